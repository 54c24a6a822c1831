"""Verdict and outcome of a message, and their texts: headers and the summary line.

A `Verdict` is the decision of the filter for one user; `header_lines` and `summary_line` write it in the
form of the original, to the last digit (reference/engine.md 11, protocols.md 9.1), because
filters and scripts of many sites read them.  The pipeline returns an `Outcome` for each
recipient.

Header lines have no line ends; a folded header is several lines.  No value can end its line: line
breaks and NUL in names and reasons become blanks.

Pure: it decides nothing, and the clock is an argument.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import datetime

from dspamd.engine.model import Factor, Result, Source
from dspamd.errors import Reply
from dspamd.request.envelope import Recipient

_UNPRINTABLE = re.compile(rb"[^ -~]|%")
_BREAKS = re.compile(r"[\r\n\0]+")

_NAME_LIMIT = 112
"""A factor's name takes no further byte when it has that many."""

_FACTORS_LIMIT = 10239
"""Bytes of the whole X-DSPAM-Factors header."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one message for one user.

    result         of the statistics, or of a scanner that decided before them (Virus, ...)
    processed      when, in the time zone of the site; shown for plain inbound mail alone
    source         the source of a lesson, None for plain inbound mail
    signature      id of the stored signature, None if there is none
    user           shown in X-DSPAM-User, None: not shown (managed groups, localStore)
    factors        shown in X-DSPAM-Factors, None: not shown (`showFactors`)
    factor_count   how many there are, if `factors` has the first ones only
    improbability  show X-DSPAM-Improbability (`ImprobabilityDrive on`)
    unproven       it is spam, but so little is known that it is not quarantined (`QuarantineAfter`)
    """

    result: Result
    processed: datetime | None = None
    source: Source | None = None
    signature: str | None = None
    user: str | None = None
    factors: tuple[Factor, ...] | None = None
    factor_count: int = 0
    improbability: bool = False
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the pipeline for one recipient of a message.

    verdict   None if the message passed without one
    summary   the summary line, if the client asked for it
    printed   the message, if the client asked for it (`--stdout`)
    status    the short text of the user log ("Delivered", "Quarantined", ...)
    said      the text of the reply, in place of "Message accepted for delivery"
    """

    recipient: Recipient
    reply: Reply
    verdict: Verdict | None
    summary: bytes = b""
    printed: bytes = b""
    status: str = ""
    said: str = ""


def header_lines(verdict: Verdict) -> list[bytes]:
    """The X-DSPAM header block in the order of the original."""
    result, error = verdict.result, verdict.source is Source.ERROR
    lines = [f"X-DSPAM-{'Reclassified' if error else 'Result'}: {result.name}"]
    if verdict.source is None and verdict.processed is not None:
        lines.append(f"X-DSPAM-Processed: {verdict.processed.ctime()}")
    if not error:
        lines.append(f"X-DSPAM-Confidence: {result.confidence:.4f}")
        if verdict.improbability:
            other = "ham" if result.spam else "spam"
            lines.append(f"X-DSPAM-Improbability: 1 in {_odds(result.confidence)} chance of being {other}")
        lines.append(f"X-DSPAM-Probability: {result.probability:.4f}")
        if verdict.signature:
            lines.append(f"X-DSPAM-Signature: {verdict.signature}")
    if verdict.user is not None:
        lines.append(f"X-DSPAM-User: {_one_line(verdict.user)}")
    block = [_bytes(line) for line in lines]
    if verdict.factors is not None:
        block += _factor_lines(verdict.factors, max(verdict.factor_count, len(verdict.factors)))
    return block


def twin_lines(verdict: Verdict) -> list[bytes]:
    """The verdict in the fields of SpamAssassin, for rules of users who come from there (`SpamHeaders`).

    The score is ten times the probability, held where the verdict is: 5.0 to 9.9 for spam, 0.0 to 4.9 for
    other mail.  It never reaches 10, where such rules often throw mail away.
    """
    result = verdict.result
    low, high = (5.0, 9.9) if result.spam else (0.0, 4.9)
    score = min(max(10 * result.probability, low), high)
    word, reason = "Yes" if result.spam else "No", f"DSPAM_{result.name.upper()}"
    lines = ["X-Spam-Flag: YES"] if result.spam else []
    lines += [
        f"X-Spam-Score: {score:.1f}",
        f"X-Spam-Status: {word}, score={score:.1f} required=5.0 tests={reason}",
    ]
    if stars := "*" * int(score):  # a field without a value is none to some programs
        lines.append(f"X-Spam-Level: {stars}")
    return [line.encode() for line in lines]


def unfiltered_lines(reason: str) -> list[bytes]:
    """The headers of a message that went through without a verdict, and why."""
    return [b"X-DSPAM-Result: Unfiltered", _bytes(f"X-DSPAM-Reason: {_one_line(reason)}")]


def summary_line(user: str, verdict: Verdict) -> bytes:
    """The answer to `--classify` and `--deliver=summary`, without line end."""
    result = verdict.result
    return _bytes(
        f'X-DSPAM-Result: {_one_line(user)}; result="{"Spam" if result.spam else "Innocent"}"; '
        f'class="{result.name}"; probability={result.probability:.4f}; '
        f"confidence={result.confidence:.2f}; signature={verdict.signature or 'N/A'}"
    )


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _single(value: float) -> float:
    """The nearest number of single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _odds(confidence: float) -> int:
    """N of "1 in N", in the single precision of the original: 1.0 gives 98689409."""
    c = _single(min(confidence, 0.999999))
    return round(1 + _single(_single(100 * c) / _single(1 - c)))


def _factor_lines(factors: tuple[Factor, ...], count: int) -> list[bytes]:
    shown = [b"X-DSPAM-Factors: %d" % count]
    shown += [b"\t%s, %.5f" % (escaped(factor.name), factor.value) for factor in factors]
    # A cut may leave an empty line, which would end the headers of the message.
    return b",\n".join(shown)[:_FACTORS_LIMIT].rstrip().split(b"\n")


def escaped(name: bytes) -> bytes:
    """A token's name in printable ASCII, cut where the original cuts it."""
    if len(name) < _NAME_LIMIT and not _UNPRINTABLE.search(name):
        return name
    shown = bytearray()
    for byte in name:
        if len(shown) >= _NAME_LIMIT:
            break
        shown += b"%%%02x" % byte if byte < 0x20 or byte > 0x7E or byte == 0x25 else bytes((byte,))
    return bytes(shown)
