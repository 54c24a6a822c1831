"""The targets of fuzzing: all code that reads bytes of strangers.

A target takes any bytes.  It must not raise, and its assertions must hold for any bytes;
with the sanitized kernel of `make fuzz`, it reads and writes no byte outside an array.
`python -m tests.fuzz` runs a target under libFuzzer; the tests run
all of them on seeds and mutations.
"""

from __future__ import annotations

import contextlib
import zlib
from array import array
from collections.abc import Callable

from dspamd.engine._kernel import Run
from dspamd.engine._weights import Evidence, Table, negated
from dspamd.engine.model import Hits, Mode, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.tokenizer import tokenize, tokens_from_signature
from dspamd.filter.explanation import explanation_lines
from dspamd.mail import headers, mime, signature, view_classic, view_modern
from dspamd.mail.forward import forwarded
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.mail.view import SignaturePass
from dspamd.storage.files import _css, css

TOKENIZERS = ("word", "chain", "osb", "sbph")
ALGORITHMS = ("naive", "graham", "burton", "robinson", "chi-square")
PVALUES = ("bcr", "robinson", "markov")
TOTALS = (Totals(), Totals(200, 200), Totals(3000, 3000), Totals(5000, 1200))

Target = Callable[[bytes], None]


def message(data: bytes) -> None:
    """The whole engine: view, tokens, verdict, lesson, signature.  The first three bytes are options."""
    if len(data) < 3:
        return
    first, second, third = data[:3]
    text = Message(data[3:]).lf
    view = view_classic.view(text, signature_pass=_PASSES[first >> 5])
    assert len(view.body) <= len(text) + 1
    tokens = tokenize(
        view,
        TokenOptions(
            TOKENIZERS[first & 3], bool(first & 4), bool(first & 8), bool(first & 16), frozenset([b"x-i"])
        ),
    )
    assert sum(tokens.frequencies) >= len(tokens)
    options = ScoreOptions(
        frozenset([ALGORITHMS[second % 5], ALGORITHMS[second // 5 % 5]]),
        PVALUES[second // 25 % 3],
        list(Mode)[third & 3],
        bias=bool(third & 4),
        noise=bool(first & 16),
        whitelist=bool(first & 8),
        sedation=third >> 6,
        occurrence=bool(third & 8),
        strict=bool(second & 128),
    )
    snapshot = Snapshot(TOTALS[third >> 4 & 3], _hits(tokens.values))
    run = Run(tokens, snapshot, options)
    if run.patterns is not None:
        run.weigh(_hits(run.patterns))
    assert run.result.name in ("Spam", "Innocent", "Whitelisted")
    if len(tokens) < 100:  # an object for each token is slow
        assert all(len(line) < 160 for line in explanation_lines(run.reasons(), run.balance))
    assert len(run.factors) <= 2 * 27 + len(tokens) + len(run.patterns or ())
    assert len(run.learned.tokens.tokens) == len(run.learned.tokens.spam)
    tokens_from_signature(run.signature, TokenOptions(TOKENIZERS[first & 3]))


def modern(data: bytes) -> None:
    """The modern view: bounded, distinct, with names that can be printed; its tokens survive their signature.

    The first byte is an option.
    """
    options = TokenOptions(whitelist=True, view="modern")
    view = view_modern.view(
        Message(data[1:]).lf,
        signature_pass=_PASSES[data[0] & 7] if data else None,
        document=data[:1] >= b"\xe0",
        ignored=frozenset([b"x-i"]),
        our_hosts=frozenset([b"a"]),
    )
    tokens = tokenize(view, options)
    assert tokens.grouped and len(view) <= len(tokens) <= 10_000
    assert set(view.values) | {tokens.whitelist} >= set(tokens.values)
    for i in range(len(tokens)):
        assert len(tokens.name(i)) <= 255
        if tokens.values[i] != tokens.whitelist:
            assert tokens.name(i).decode().isprintable(), tokens.name(i)
    again = tokens_from_signature(tokens.signature(), options)
    assert (again.values, again.whitelist, again.grouped) == (tokens.values, tokens.whitelist, True)


_PASSES = [None, *(SignaturePass(bool(n & 1), bool(n & 2)) for n in range(7))]


def _hits(values: array[int]) -> Hits:
    """Counters made of the tokens themselves; one in four is unknown."""
    known = array("Q", (value for value in values if value & 3))
    return Hits(
        known,
        array("Q", (value >> 8 & 63 for value in known)),
        array("Q", (value >> 16 & 63 for value in known)),
    )


def stored(data: bytes) -> None:
    """A signature that comes back from the store."""
    tokens = tokens_from_signature(data, TokenOptions("osb"))
    assert len(tokens) <= len(data) // 16
    assert tokens_from_signature(tokens.signature(), TokenOptions("osb")).values == tokens.values
    tokens_from_signature(data, TokenOptions("sbph"))


def parts(data: bytes) -> None:
    """MIME: parts lie in the message, one after the other."""
    at = 0
    for part in mime.parts(data):
        assert at <= part.start <= part.body <= part.end <= len(data)
        at = part.end
        body = data[part.body : part.end]
        text = mime.decoded(part.encoding, body)
        assert len(text) <= len(body)
        if mime.reversible(part.encoding, body):
            again = mime.encoded(part.encoding, text, b"\r\n")
            assert mime.decoded(part.encoding, again).replace(b"\r\n", b"\n") == text.replace(b"\r\n", b"\n")


def header_block(data: bytes) -> None:
    """Headers: edits change only the fields that they name."""
    block = data[: headers.block_end(data)]
    kept, dropped = headers.drop(block, b"x-dspam-")
    assert len(kept) + len(dropped) == len(block)
    assert headers.drop(kept, b"x-dspam-") == (kept, b"")
    longer = headers.append(block, [b"X-A: b"], b"\r\n")
    assert longer.startswith(block)
    assert headers.values(longer, b"X-A")[-1] == b"b"
    assert headers.values(headers.prefix_subject(block, b"[SPAM]", b"\n"), b"subject")


def identifier(data: bytes) -> None:
    """Signatures: whatever is found may be a key and the name of a file."""
    for headers_only in (False, True):
        found = signature.find(Message(data), headers_only)
        assert found is None or signature.valid(found)
    ids = [each.signature for each in signature.reported(Message(data)) if each.signature]
    assert all(map(signature.valid, ids))
    assert ids[-1:] == list(filter(None, [signature.find(Message(data))]))


def forward(data: bytes) -> None:
    """A forwarded message: the restored message has the given headers."""
    if found := forwarded(Message(data)):
        head = headers.block_end(found)
        for name in (b"from", b"subject", b"content-type"):
            assert len(headers.values(found[:head], name)) == 1
        assert found[head:].strip()


def edited(data: bytes) -> None:
    """Rewriting: without an edit of the text, the body stays as it was; with one, the id is found again."""
    mail = Message(data)
    plain = rewrite(mail, Rewrite(lines=(b"X-DSPAM-Result: Innocent",)))
    assert plain.endswith(mail.raw[mail.body_start :])
    rewrite(mail, Rewrite(subject_tag=b"[SPAM]", text_tag=b"spam!", signature="1,abc"))
    assert Message(mail.crlf).lf == mail.lf


def hash_file(data: bytes) -> None:
    """A hash file that is damaged, or no hash file at all."""
    file, tokens = bytearray(data), array("Q", [1, 2, 3, 0x0123456789ABCDEF, 2**64 - 1])
    ones = array("i", [1]) * len(tokens)
    found = _css.css_find(file, 100, tokens)
    assert all(len(column) == len(found[0]) for column in found)
    planned, _, _, spam, innocent = _css.css_plan(file, 100, tokens, ones, ones, 2**20, 2**20)
    _css.css_store(file, 100, planned, spam, innocent, 0)
    _css.css_age(file, 3)
    _css.css_joined(file, 100, _css.css_after(file, 0, 10))
    _css.css_pour(file, bytearray(css.header(97) + bytes(97 * css.RECORD_BYTES)), 100)
    _css.css_delete(file, 100, tokens)
    assert len(file) == len(data)


def weights(data: bytes) -> None:
    """The block of a user, or a change of it, that is damaged; and any features."""
    table = Table()
    for read in (table.add, Table.read, _first_form, _second_form, negated):
        with contextlib.suppress(ValueError):
            read(data)
    evidence = Evidence(array("Q", data[: len(data) // 8 * 8]), (table, Table()))
    assert all(evidence.share(part)[0] < evidence.count for part in range(evidence.length))
    table.add(evidence.lesson(spam=True))
    assert table.copy().write() == table.write()


def _first_form(numbers: bytes) -> Table:
    return Table.read(b"dspamd weights 1\n" + zlib.compress(numbers))


def _second_form(numbers: bytes) -> Table:
    return Table.read(b"dspamd weights 2\n" + zlib.compress(numbers))


TARGETS: dict[str, Target] = {
    "message": message,
    "modern": modern,
    "stored": stored,
    "parts": parts,
    "headers": header_block,
    "identifier": identifier,
    "forward": forward,
    "edited": edited,
    "hash_file": hash_file,
    "weights": weights,
}
