"""What the values of options look like: words, numbers, flags, sizes.

A kind knows the one canonical spelling of a value, in which it is kept: `on` for
a flag, decimal digits for a number or a size, the documented case of a word.  It
says what is expected where a value is bad, and whether DSPAM would have let it
pass.

DSPAM took every word but `on` for off, and the leading digits of anything for a
number.  Here on, yes, true and 1 are the same, and numbers are numbers within
their range (reference/config.md 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class Tolerated(ValueError):
    """A bad value that DSPAM let pass: worth a warning, read as `value` (None: as if absent)."""

    def __init__(self, text: str, value: str | None) -> None:
        super().__init__(text)
        self.value = value


@dataclass(frozen=True, slots=True)
class Kind:
    """What the values of an option look like.

    `canonical` returns the one spelling of a value; it raises ValueError, or
    `Tolerated`, with what is expected.  Where a scalar is given several times its
    first value counts; if `ranked`, the value that comes first in `words`.
    """

    text: str
    canonical: Callable[[str], str]
    words: tuple[str, ...] = ()
    ranked: bool = False


_TRUE = ("on", "yes", "true", "1")
_FALSE = ("off", "no", "false", "0")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _flag(text: str) -> str:
    if text.lower() in _TRUE:
        return "on"
    if text.lower() in _FALSE:
        return "off"
    raise Tolerated("on or off is expected; taken as off", "off")


def choice(*words: str, ranked: bool = False, **aliases: str) -> Kind:
    """One of some words, in any case; `aliases` are other spellings of them."""
    spelling = {word.lower(): word for word in words} | aliases

    def canonical(text: str) -> str:
        if text.lower() not in spelling:
            raise ValueError(f"one of {', '.join(words)} is expected")
        return spelling[text.lower()]

    return Kind(" | ".join(words), canonical, words, ranked)


def familiar(text: str, words: Sequence[str]) -> Kind:
    """Any word, though one that is not among `words` is probably a mistake."""
    spelling = {word.lower(): word for word in words}

    def canonical(value: str) -> str:
        if value.lower() not in spelling:
            raise Tolerated(f"there is no such {text}", value)
        return spelling[value.lower()]

    return Kind(f"name of a {text}", canonical)


def number(low: int, high: int) -> Kind:
    """A whole number in a range; hexadecimal with 0x."""

    def canonical(text: str) -> str:
        base = 16 if text[:2].lower() == "0x" else 10
        if not re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)", text) or not low <= int(text, base) <= high:
            raise ValueError(f"a number from {low} to {high} is expected")
        return str(int(text, base))

    return Kind(f"{low}..{high}", canonical)


def _size(text: str) -> str:
    match = re.fullmatch(r"([0-9]+)([kmg]?)", text.lower())
    if not match:
        raise ValueError("a number of bytes is expected, for example 1048576 or 1M")
    return str(int(match[1]) * _UNITS[match[2]])


def _days(text: str) -> str:
    if text.lower() == "off":
        return "off"
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError("a number of days or off is expected")
    return str(int(text))


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError("an octal file mode is expected, for example 0660")
    return str(int(text, 8))


def _feature(text: str) -> str:
    """`noise`, `whitelist` or `tb=N`; the first letters suffice, as in the original."""
    word = text.lower()
    if word.startswith("no"):
        return "noise"
    if word.startswith("wh"):
        return "whitelist"
    if re.fullmatch(r"tb=([0-9]|10)", word):
        return word
    if word in ("chained", "sbph"):
        raise Tolerated("tokenizers are chosen with the directive Tokenizer now; ignored", None)
    raise Tolerated("noise, whitelist or tb=0..10 is expected; ignored", None)


def _preference(text: str) -> str:
    if not re.match(r"[^=]+=", text):
        raise Tolerated('"name=value" is expected; ignored', None)
    return text


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError("host:port is expected, for example 127.0.0.1:9424 or [::]:9424")
    return text


def _character(text: str) -> str:
    if not text:
        raise ValueError("a character is expected")
    return text[0]


TEXT = Kind("text", str)
PATH = Kind("path", str)
COMMAND = Kind("command line", str)
FLAG = Kind("on | off", _flag, ("on", "off"), ranked=True)
SIZE = Kind("bytes", _size)
DAYS = Kind("days | off", _days)
MODE = Kind("octal mode", _mode)
FEATURE = Kind("noise | whitelist | tb=0..10", _feature)
PREFERENCE = Kind('"name=value"', _preference)
CHARACTER = Kind("character", _character)
PORT = number(1, 65535)
ADDRESS = Kind("host:port", _address)
SECONDS = number(1, 86400)
COUNT = number(0, 2**31 - 1)
