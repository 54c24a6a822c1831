"""One reader of the original, message after message.

Recorded runs fed a corpus first, then classified, and corrected every wrong verdict
by the signature of its message.  `Replay` does each of the three and learns from it.
"""

from __future__ import annotations

import gzip

from dspamd.engine._kernel import Run
from dspamd.engine.model import Label, Lesson, ScoreOptions, Source, TokenOptions
from dspamd.engine.tokenizer import Tokens, tokenize, tokens_from_signature
from dspamd.mail.view import View
from tests.golden.data import FOLDER
from tests.support.hash_store import HashStore

LABELS = {"spam": Label.SPAM, "ham": Label.INNOCENT}


def corpus_index() -> list[tuple[Label, str]]:
    """Label and name of every message of the corpus, in the order of all recordings."""
    lines = gzip.decompress((FOLDER / "corpus_index.gz").read_bytes()).decode().splitlines()
    return [(LABELS[label], path.rpartition("/")[2]) for label, path in map(str.split, lines)]


class Replay:
    """A user with settings and a store."""

    def __init__(self, token_options: TokenOptions, options: ScoreOptions, store: HashStore) -> None:
        self.token_options, self.options, self.store = token_options, options, store

    def process(self, view: View) -> Run:
        return self._run(tokenize(view, self.token_options), None)

    def feed(self, view: View, label: Label) -> Run:
        """Teach from a corpus, with the full text."""
        return self._run(tokenize(view, self.token_options), Lesson(label, Source.CORPUS))

    def correct(self, signature: bytes, label: Label) -> Run:
        tokens = tokens_from_signature(signature, self.token_options)
        return self._run(tokens, Lesson(label, Source.ERROR))

    def _run(self, tokens: Tokens, lesson: Lesson | None) -> Run:
        run = Run(tokens, self.store.read(tokens.values), self.options, lesson)
        if run.patterns is not None:
            run.weigh(self.store.read(run.patterns).hits)
        self.store.apply(run.learned)
        return run
