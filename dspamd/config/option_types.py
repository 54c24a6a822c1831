"""The syntax of option values: words, numbers, flags, sizes.

A kind turns a value into its canonical spelling: `on` for a flag, decimal digits for a
number or a size, the documented case of a word.  For a bad value it says what it
expects, and whether DSPAM accepted the value.

DSPAM read every word but `on` as off, and the leading digits of any text as a number.
Here on, yes, true and 1 are the same, a number must be in its range, and every other value is
an error: nobody can tell what it means (reference/config.md 6).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class Tolerated(ValueError):
    """A bad value that DSPAM accepted: it gets a warning, and counts as `value` (None: as absent)."""

    def __init__(self, text: str, value: str | None) -> None:
        super().__init__(text)
        self.value = value


@dataclass(frozen=True, slots=True)
class Kind:
    """The syntax of an option's values.

    `canonical` returns the canonical spelling of a value; it raises ValueError, or
    `Tolerated`, that says what it expects.  If a scalar is given several times, its
    first value counts; if `ranked`, the value that comes first in `words`.
    """

    text: str
    canonical: Callable[[str], str]
    words: tuple[str, ...] = ()
    ranked: bool = False


_TRUE = ("on", "yes", "true", "1")
_FALSE = ("off", "no", "false", "0")
_DIGITS = re.compile("-?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_ENDLESS = 1 << 63  # more bytes than any system counts
_ZONE_LENGTH = 253 - len("f." * 32)  # an IPv6 address stands before it
_PATH_BYTES, _NAME_BYTES, _SOCKET_BYTES = 4096, 255, 107  # Linux
_LABEL = re.compile(r"[\w-]{1,63}")
_DRIVER_NAME = re.compile(
    r"(lib)?(hash|mysql|mariadb|pgsql|postgres(ql)?|sqlite3?)(_drv)?(\.(so|la|a)[.0-9]*)?", re.IGNORECASE
)


def _flag(text: str) -> str:
    if text.lower() in _TRUE:
        return "on"
    if text.lower() in _FALSE:
        return "off"
    raise ValueError("on or off is expected")


def choice(*words: str, ranked: bool = False, **aliases: str) -> Kind:
    """One of some words, in any case; `aliases` are other spellings of them."""
    spelling = {word.lower(): word for word in words} | aliases

    def canonical(text: str) -> str:
        if text.lower() not in spelling:
            raise ValueError(f"one of {', '.join(words)} is expected")
        return spelling[text.lower()]

    return Kind(" | ".join(words), canonical, words, ranked)


def familiar(text: str, words: Sequence[str]) -> Kind:
    """Any word; one that is not in `words` is probably a mistake."""
    spelling = {word.lower(): word for word in words}

    def canonical(value: str) -> str:
        if value.lower() not in spelling:
            raise Tolerated(f"there is no such {text}", value)
        return spelling[value.lower()]

    return Kind(f"name of a {text}", canonical)


def number(low: int, high: int) -> Kind:
    """A whole number in a range; hexadecimal with 0x."""

    def canonical(text: str) -> str:
        base = 16 if "x" in text.lower() else 10
        if not _DIGITS.fullmatch(text) or not low <= int(text, base) <= high:
            raise ValueError(f"a number from {low} to {high} is expected")
        return str(int(text, base))

    return Kind(f"{low}..{high}", canonical)


def _factor(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,6})?|100", text, re.ASCII):
        raise ValueError("a number from 0 to 100 is expected, for example 1 or 0.5")
    return str(float(text))


def _size(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,20})([kmg]?)", text.lower())
    size = int(match[1]) * _UNITS[match[2]] if match else _ENDLESS
    if size >= _ENDLESS:
        raise ValueError("a number of bytes is expected, for example 1048576 or 1M")
    return str(size)


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
    if word in ("chained", "sbph"):  # as in releases before 3.8
        raise Tolerated("tokenizers are chosen with the directive Tokenizer now; ignored", None)
    raise ValueError("noise, whitelist or tb=0..10 is expected")


def _path(text: str) -> str:
    path = os.fsencode(text)
    if not text:
        raise ValueError("a path is expected")
    if len(path) >= _PATH_BYTES or any(len(name) > _NAME_BYTES for name in path.split(b"/")):
        raise ValueError("the path is too long")
    return text


def _socket(text: str) -> str:
    if len(os.fsencode(text)) > _SOCKET_BYTES:
        raise ValueError(f"the path of a socket has {_SOCKET_BYTES} bytes at most")
    return _path(text)


def _log_target(text: str) -> str:
    return text.lower() if text.lower() in ("stderr", "syslog") else _path(text)


def _driver(text: str) -> str:
    """A driver of DSPAM, by its name or by the path of its library."""
    if not _DRIVER_NAME.fullmatch(text.rpartition("/")[2]):
        raise ValueError(f"there is no such driver; the drivers are {DRIVERS}")
    return text


def _is_name(text: str) -> bool:
    """Whether a text may be a name in the DNS."""
    if len(text) > 253 or not all(map(_LABEL.fullmatch, text.removesuffix(".").split("."))):
        return False
    try:
        return text.isascii() or bool(text.encode("idna"))
    except UnicodeError:
        return False


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(text: str) -> str:
    if not _is_ip(text) and not _is_name(text):
        raise ValueError("a host name or an IP address, without a port, is expected")
    return text


def _host_or_socket(text: str) -> str:
    """An empty value means no host, and hides a later line, which does not count."""
    if text.startswith("/"):
        return _socket(text)
    if text and not _is_ip(text) and not _is_name(text):
        raise ValueError("a host name or an IP address, without a port, or the path of a socket is expected")
    return text


def _zone(text: str) -> str:
    if len(text) > _ZONE_LENGTH or not _is_name(text.strip(".")):
        raise ValueError("the name of a DNS zone is expected")
    return text


def parted(text: str) -> tuple[str, str]:
    """Host and port of `host:port` or `[address]:port`; the port is empty if there is none."""
    match = re.fullmatch(r"\[(.*)\](?::([0-9]{1,5}))?|([^:]*)(?::([0-9]{1,5}))?", text)
    return (match[1] or match[3] or "", match[2] or match[4] or "") if match else (text, "")


def _address(text: str) -> str:
    host, port = parted(text)
    if not (_is_ip(host) or _is_name(host)) or not port or not 0 < int(port) < 65536:
        raise ValueError("host:port is expected, for example 127.0.0.1:9424 or [::]:9424")
    return text


def _name_server(text: str) -> str:
    host, port = parted(text)
    if not _is_ip(host) or (port and not 0 < int(port) < 65536):
        raise ValueError("an IP address is expected, with or without a port: 127.0.0.1:5353, [::1]:5353")
    return text


def _own_address(text: str) -> str:
    if not _is_ip(text):
        raise Tolerated("an IP address is expected; it never is the source of a message", text)
    return text


def _header(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x39\x3b-\x7e]+", text):
        raise Tolerated("the name of a header has neither blanks nor a colon", text)
    return text


def _identity(text: str) -> str:
    if "@" not in text:
        raise ValueError("password@name is expected")
    return text


def _character(text: str) -> str:
    if not text:
        raise ValueError("a character is expected")
    return text[0]


DRIVERS = "hash_drv, mysql_drv, pgsql_drv, sqlite3_drv"

TEXT = Kind("text", str)
PATH = Kind("path", _path)
SOCKET = Kind("path", _socket)
LOG_TARGET = Kind("stderr | syslog | path", _log_target)
COMMAND = Kind("command line", str)
DRIVER = Kind("name or path of a driver", _driver)
FLAG = Kind("on | off", _flag, ("on", "off"), ranked=True)
FACTOR = Kind("0..100", _factor)
SIZE = Kind("bytes", _size)
DAYS = Kind("days | off", _days)
MODE = Kind("octal mode", _mode)
FEATURE = Kind("noise | whitelist | tb=0..10", _feature)
CHARACTER = Kind("character", _character)
PORT = number(1, 65535)
HOST = Kind("host", _host)
HOST_OR_SOCKET = Kind("host | path", _host_or_socket)
ADDRESS = Kind("host:port", _address)
NAME_SERVER = Kind("address[:port]", _name_server)
OWN_ADDRESS = Kind("address", _own_address)
ZONE = Kind("DNS zone", _zone)
HEADER = Kind("name of a header", _header)
IDENTITY = Kind("password@name", _identity)
SECONDS = number(1, 86400)
COUNT = number(0, 2**31 - 1)
