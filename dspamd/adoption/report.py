"""A rehearsal as text for people, or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from dspamd.adoption.counting import SiteCount
from dspamd.adoption.rehearsal import Rehearsal
from dspamd.adoption.scoring import Comparison
from dspamd.adoption.steps import Step

_WIDTH = 110  # columns


def as_json(found: Rehearsal) -> str:
    """One object; its names are those of the values."""
    return json.dumps(_plain(found), indent=2) + "\n"


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if hasattr(value, "__slots__") and not isinstance(value, str | int | float):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def as_text(found: Rehearsal) -> str:
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Rehearsal) -> Iterator[str]:
    yield f"{found.file}: nothing was changed."
    if found.home:
        yield f"Files of users lie below {found.home}, layout {found.layout}; the store is {found.driver}."
    yield from _section("Errors", map(str, found.errors))
    yield from _section("Warnings", map(str, found.warnings))
    if found.count is not None:
        yield from _section("What is there", _counts(found.count))
    if found.comparison is not None:
        yield from _section("Recent mail, scored as DSPAM does and as dspamd will", _scores(found.comparison))
    yield from _section(
        "What will differ (docs/compatibility.md)",
        (f"{each.quirk}: {each.what}" if each.quirk else each.what for each in found.differences),
    )
    yield from _steps("The switch", found.forward)
    yield from _steps("The way back", found.back)


def _section(title: str, texts: Iterator[str]) -> Iterator[str]:
    for n, text in enumerate(texts):
        if not n:
            yield from ("", title)
        yield from textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _counts(count: SiteCount) -> Iterator[str]:
    total = count.total
    yield (
        f"{count.users} users; {total.spam_learned} spam and {total.innocent_learned} innocent messages "
        f"learned; {total.tokens} tokens; {total.signatures} signatures; "
        f"{total.quarantined} messages in quarantine ({total.quarantine_bytes} bytes)"
    )
    for user in count.largest:
        kept = f"{user.signatures} signatures, {user.quarantined} in quarantine"
        yield f"{user.name}: {user.tokens} tokens, {kept}"
    for text in count.unreadable:
        yield f"cannot be read: {text}"


def _scores(comparison: Comparison) -> Iterator[str]:
    c = comparison
    yield f"{c.messages} messages of {c.user}: {c.spam} spam and {c.innocent} innocent for both"
    yield f"{c.only_strict_spam} are spam for DSPAM alone, {c.only_ours_spam} for dspamd alone"
    if c.then:
        yield f"{c.then} have a verdict of DSPAM in their header; {c.then_as_strict} would get the same now"
    for each in c.different:
        yield (
            f"{each.message}: {each.strict} ({each.strict_probability:.4f}) for DSPAM, "
            f"{each.ours} ({each.ours_probability:.4f}) for dspamd"
        )


def _steps(title: str, steps: tuple[Step, ...]) -> Iterator[str]:
    for n, step in enumerate(steps, 1):
        if n == 1:
            yield from ("", title)
        yield from textwrap.wrap(f"{n}. {step.what}.", _WIDTH, initial_indent="  ", subsequent_indent="     ")
        yield from (f"       {command}" for command in step.commands)
