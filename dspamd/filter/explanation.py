"""What a verdict rests on, as text and as data, for `dspam --classify` and `dspam_admin explain`.

DSPAM's formulas have a line for each token, in the form of `dspam_dump`.  Scorers that add up evidence have a
table of reasons, and what their points add up to (`engine.reasons`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dspamd.engine.model import Explained, Result
from dspamd.engine.reasons import Balance
from dspamd.filter.verdict import escaped

_SHOWN = 0.05  # points of an area that is named: fewer would be shown as 0.0


def explanation_lines(explained: Sequence[Explained], balance: Balance | None) -> list[bytes]:
    """Tokens or reasons (`Run.reasons`), one a line, without line ends.

    The name comes last, since it may contain anything and have any length.
    """
    if balance is None:
        return [_token_line(token) for token in explained]
    return [
        *(line.encode() for line in _balance_lines(balance)),
        b"",
        b"  points  in spam  in ham  reason",
        *(
            b"%+8.1f %8d %7d  %s" % (reason.points, reason.spam, reason.innocent, _readable(reason.name))
            for reason in explained
        ),
        b"%+8.1f                   everything else" % _rest(explained, balance),
    ]


def result_line(result: Result) -> str:
    """The verdict, in a line."""
    return f"{result.name}, probability {result.probability:.4f}, confidence {result.confidence:.4f}"


def explanation_data(
    explained: Sequence[Explained], balance: Balance | None, result: Result | None
) -> dict[str, object]:
    """The same as values for JSON; `result`: None if the tokens are of no message."""
    data: dict[str, object] = {}
    if result is not None:
        data |= {
            "result": result.name,
            "spam": result.spam,
            "probability": result.probability,
            "confidence": result.confidence,
        }
    if balance is not None:
        data |= {
            "points": balance.sum,
            "points_for_spam": balance.spam,
            "points_for_ham": balance.innocent,
            "points_of_others": balance.added,
            "points_of_everything_else": _rest(explained, balance),
            "threshold": None if math.isinf(balance.threshold) else balance.threshold,
            "learned": dict(zip(("spam", "ham"), balance.lessons, strict=True)),
            "areas": dict(balance.areas),
        }
    return data | {"reasons": [_data(reason, balance) for reason in explained]}


def _rest(explained: Sequence[Explained], balance: Balance) -> float:
    """The points of the reasons that are not shown."""
    return balance.sum - sum(reason.points for reason in explained)


def _data(reason: Explained, balance: Balance | None) -> dict[str, object]:
    data: dict[str, object] = {
        "reason": reason.name.decode("utf-8", "backslashreplace"),
        "in_spam": reason.spam,
        "in_ham": reason.innocent,
        "probability": reason.probability,
    }
    return data if balance is None else data | {"points": reason.points}


def _token_line(token: Explained) -> bytes:
    """Hits and probability have the form of `dspam_dump`."""
    return b"S: %05d  I: %05d  P: %.4f  %s" % (
        token.spam,
        token.innocent,
        token.probability,
        escaped(token.name),
    )


def _balance_lines(balance: Balance) -> list[str]:
    learned = f"learned from {balance.lessons[0]} spam and {balance.lessons[1]} ham of this user"
    if balance.added:
        learned += f"; the seed and groups give {balance.added:+.1f} of the points"
    lines = [
        f"{balance.sum:+.1f} points: {balance.spam:+.1f} for spam, {balance.innocent:+.1f} for ham; "
        f"{balance.bound}",
        learned,
    ]
    areas = [f"{area} {points:+.1f}" for area, points in balance.areas if abs(points) >= _SHOWN]
    return [*lines, f"points by area: {', '.join(areas)}"] if areas else lines


def _readable(name: bytes) -> bytes:
    """A name as it is, if a terminal shows it; else in ASCII."""
    try:
        return name if name.decode().isprintable() else escaped(name)
    except UnicodeDecodeError:
        return escaped(name)
