"""The preferences of users: their names and values.

They stand in dspam.conf (`Preference "name=value"`), in the stores and in files of users.
DSPAM accepted any name and any value, and ignored those that it did not understand
(reference/config.md 5.1).  So does dspamd, and warns the writer (`doubt`).

Pure.
"""

from __future__ import annotations

import re

from dspamd.config.option_types import TEXT, Kind, Tolerated, choice, number

_SWITCH = choice("on", "off")  # in preferences 1, yes and true are off
_BEHIND_WORD = re.compile(r"[ \t]#")
_BEHIND_TEXT = re.compile(r"[ \t]#(?:[ \t]|$)")


def _directory(text: str) -> str:
    if text in (".", "..") or re.search(r"[/\x00-\x1f\x7f]", text):
        raise ValueError("the name of a directory, not a path, is expected")
    return text


KINDS: dict[str, Kind] = {
    "trainingMode": choice("TOE", "TUM", "TEFT", "TONE", "NOTRAIN"),
    "spamAction": choice("quarantine", "tag", "deliver"),
    "spamSubject": TEXT,
    "statisticalSedation": number(0, 10),
    "enableBNR": _SWITCH,
    "enableWhitelist": _SWITCH,
    "signatureLocation": choice("message", "headers", attachment="message"),  # an old web page writes this
    "tagSpam": _SWITCH,
    "tagNonspam": _SWITCH,
    "showFactors": _SWITCH,
    "optIn": _SWITCH,
    "optOut": _SWITCH,
    "whitelistThreshold": number(1, 2**31 - 1),
    "makeCorpus": _SWITCH,
    "storeFragments": _SWITCH,
    "localStore": Kind("directory", _directory),
    "processorBias": _SWITCH,
    "fallbackDomain": _SWITCH,
    "trainPristine": _SWITCH,
    "optOutClamAV": _SWITCH,
    "ignoreRBLLookups": _SWITCH,
    "RBLInoculate": _SWITCH,
    "ignoreGroups": _SWITCH,
    "notifications": _SWITCH,
    "dailyQuarantineSummary": _SWITCH,
}

PREFERENCES = tuple(KINDS)
"""All preferences, in their documented spelling; comparisons ignore case."""

_SPELLING = {name.lower(): name for name in PREFERENCES}


def canonical(name: str) -> str:
    """The documented spelling of a preference; an unknown name stays as it is."""
    return _SPELLING.get(name.lower(), name)


def meant(name: str, value: str) -> str:
    """The value in a line of a file, without the comment after it.

    DSPAM took comments for parts of values, although the `default.prefs` of its web pages had such lines.
    A comment after a text has blanks on both sides of its sign: a subject may be "[SPAM #1]".
    """
    kind = KINDS.get(canonical(name))
    comment = kind and (_BEHIND_TEXT if kind is TEXT else _BEHIND_WORD).search(value)
    return value[: comment.start()].rstrip(" \t") if comment else value


def doubt(name: str, value: str) -> str:
    """The reason why a preference does not do what its writer wants; empty if there is none."""
    kind = KINDS.get(canonical(name))
    if kind is None:
        from difflib import get_close_matches  # rarely needed, and costs every start of a command

        near = get_close_matches(name.lower(), _SPELLING, 1)
        return "there is no such preference" + (f", did you mean {_SPELLING[near[0]]}?" if near else "")
    try:
        kind.canonical(value)
    except ValueError as trouble:
        return f"{trouble}; it is ignored"
    return ""


def _line(text: str) -> str:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError('"name=value" is expected')
    if trouble := doubt(name, value):
        raise Tolerated(trouble, text)
    return text


PREFERENCE = Kind('"name=value"', _line)
