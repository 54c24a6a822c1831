"""The arguments of LMTP commands: paths, parameters, XFORWARD attributes.

Addresses leave as the bytes that came in.  A mail filter that understands an
address differently from the servers around it misdelivers, so these functions unquote, fold
and repair nothing: they find the brackets, respect quotes, and take the text between the
brackets as the address (RFC 5321 4.1.2, read generously, because the next hop itself refuses
an address that it cannot use).

Pure functions.  They raise `SyntaxFault`, which carries the reply.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dspamd.errors import Reply

# Between the brackets a quoted string hides ">"; a quote that is never closed is a mere character.
_BRACKETED = re.compile(rb'<((?:"(?:[^"\\]|\\.)*"|[^">])*)>')
_UNBALANCED = re.compile(rb"<([^>]*)>")
_BARE = re.compile(rb"[^\s<>]+")
_PARAMETER = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]*(?:=[^\s\x00-\x1f\x7f]*)?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SOURCE_ROUTE = re.compile(rb"@[^:\"]*:")
_XFORWARD = re.compile(rb"([A-Za-z]+)=([!-~]*)")

XFORWARD_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")


class SyntaxFault(Exception):
    """An unreadable argument; `reply` names the fault."""

    def __init__(self, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(501, enhanced, text)


class Path(NamedTuple):
    """An address with the parameters after it, as they came."""

    address: bytes
    parameters: tuple[bytes, ...]


def mail_path(argument: bytes) -> Path:
    """Read the argument of MAIL: `FROM:<sender> PARAMETERS`; the null sender is empty."""
    return _path(argument, b"FROM", "5.1.7", "Invalid MAIL FROM. Use MAIL FROM: <sender>")


def rcpt_path(argument: bytes) -> Path:
    """Read the argument of RCPT: `TO:<recipient> PARAMETERS`."""
    text = "Invalid RCPT TO. Use RCPT TO: <recipient>"
    path = _path(argument, b"TO", "5.1.3", text)
    if not path.address or path.address.startswith(b"@"):
        raise SyntaxFault("5.1.3", text)
    return path


def _path(argument: bytes, word: bytes, enhanced: str, text: str) -> Path:
    if argument[: len(word)].upper() != word:
        raise SyntaxFault("5.5.4", text)
    rest = argument[len(word) :].lstrip(b" ").removeprefix(b":").strip(b" \t")
    bracketed = _BRACKETED.match(rest) or _UNBALANCED.match(rest)
    bare = None if bracketed else _BARE.match(rest)
    if bracketed:
        address, rest = bracketed[1], rest[bracketed.end() :]
    elif bare:
        address, rest = bare[0], rest[bare.end() :]
    else:
        raise SyntaxFault(enhanced, text)
    if _CONTROL.search(address) or (rest and not rest.startswith(b" ")):
        raise SyntaxFault(enhanced, text)
    # RFC 5321 4.1.2 and appendix C: servers accept and ignore a source route.
    route = _SOURCE_ROUTE.match(address)
    return Path(address[route.end() :] if route else address, _parameters(rest))


def _parameters(text: bytes) -> tuple[bytes, ...]:
    if not text:
        return ()
    parameters = tuple(text.split())
    for parameter in parameters:
        if not _PARAMETER.fullmatch(parameter):
            shown = parameter.decode("ascii", "backslashreplace")
            raise SyntaxFault("5.5.4", f"Invalid parameter {shown}")
    return parameters


def declared_size(parameters: tuple[bytes, ...]) -> int:
    """The size of `SIZE=n` in bytes, 0 without one (RFC 1870)."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.upper() == b"SIZE":
            if not value.isdigit() or len(value) > 20:
                raise SyntaxFault("5.5.4", "Invalid SIZE")
            return int(value)
    return 0


def xforward_attributes(argument: bytes) -> dict[str, str]:
    """Read the argument of Postfix's XFORWARD; values stay in xtext, names become upper case."""
    attributes: dict[str, str] = {}
    for word in argument.split():
        match = _XFORWARD.fullmatch(word)
        if match is None or match[1].decode("ascii").upper() not in XFORWARD_ATTRIBUTES:
            raise SyntaxFault("5.5.4", f"Invalid attribute {word.decode('ascii', 'backslashreplace')}")
        attributes[match[1].decode("ascii").upper()] = match[2].decode("ascii")
    if not attributes:
        raise SyntaxFault("5.5.4", "Use XFORWARD attribute=value ...")
    return attributes
