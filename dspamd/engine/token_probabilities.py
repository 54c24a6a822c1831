"""The probabilities of tokens without names, as a dictionary holds them.

The probability of such a token depends on its hits alone, so a dictionary has
no more different ones than it has different pairs of hits (reference/engine.md 3).
`probabilities` computes them with the engine itself, so `dspam_dump` and the purge
see the numbers that count for mail.

PValue markov weighs names, which are not stored.  Here its tokens get the
probabilities of bcr; otherwise all would be neutral, and a purge would leave nothing.
A scorer with a block of its own has no probabilities of such tokens; they get the classic ones.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import replace

from dspamd.engine.model import Hits, ScoreOptions, Snapshot, Totals
from dspamd.engine.scorers import scorer
from dspamd.engine.tokenizer import Tokens

_RECORD = struct.Struct("<QB7x")  # of a signature (engine.md 8.2)

Pair = tuple[int, int]  # spam hits, innocent hits


def classic(options: ScoreOptions) -> ScoreOptions:
    """The same options with the classic algorithms."""
    return replace(options, algorithms=ScoreOptions().algorithms)


def probabilities(pairs: Iterable[Pair], totals: Totals, options: ScoreOptions) -> dict[Pair, float]:
    """The probability of being spam for each pair of hits, in the dictionary with these totals."""
    different = list(set(pairs))
    numbers = array("Q", range(1, len(different) + 1))
    tokens = Tokens.from_signature(b"".join(_RECORD.pack(number, 1) for number in numbers))
    hits = Hits(
        numbers,
        array("Q", (spam for spam, _ in different)),
        array("Q", (innocent for _, innocent in different)),
    )
    if options.pvalue == "markov":
        options = replace(options, pvalue="bcr")
    if scorer(options.algorithms).block is not None:  # it knows no hits
        options = classic(options)
    run = scorer(options.algorithms).score(tokens, Snapshot(totals, hits), options)
    return {(token.spam, token.innocent): token.probability for token in run.explain()}
