"""The source of a message: the address of the host that handed it to the first server of ours.

The `Received` headers name it.  They are read from the top, since each server writes its own above
the others (RFC 5321 4.4):

    Received: from mail.example (mail.example [192.0.2.7]) by mx.example.org ...

The first address that is neither private nor one of our own mail servers
(`LocalMX`) is the source.  qmail writes `(HELO name) (192.0.2.7)` instead, below a
line of its own that begins with `(qmail`.

The rules are those of reference/protocols.md 10.4, with real private ranges and with IPv6.  Headers
below that of our first server may be forged: the sender of a message can write any of them.  Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from dspamd.mail.message import Message

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_QMAIL = "(qmail"
_FROM = re.compile(r"\bfrom\b")
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")
_HOPS = 100  # the most that a message may have on its way (RFC 5321 6.3)
_LONGEST = 4096  # characters of a header that are looked at

# Addresses of no foreign host: this network, private use, shared by carriers, loopback, link-local.
_OURS = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
]


def source(message: Message, local: Collection[Address] = ()) -> Address | None:
    """The address that a message came from; None if its headers name no foreign one.

    `local` are the addresses of our own mail servers.
    """
    qmail = False
    for value in message.values("Received")[:_HOPS]:
        text = value[:_LONGEST].decode("ascii", "replace")
        if text.startswith(_QMAIL):
            qmail = True
            continue
        qmail = qmail and "[" not in text
        named = address(_in_parentheses(text) if qmail else _in_brackets(text))
        if named is not None and named not in local and not any(named in network for network in _OURS):
            return named
    return None


def _in_brackets(text: str) -> str:
    """The text in the first brackets after the word "from"; empty if there are none."""
    found = _FROM.search(text)
    inside, closing, _ = text[found.end() :].partition("[")[2].partition("]") if found else ("", "", "")
    return inside if closing else ""


def _in_parentheses(text: str) -> str:
    """The text in the last parentheses; empty if there are none."""
    found = _IN_PARENTHESES.findall(text)
    return found[-1] if found else ""


def address(text: str) -> Address | None:
    """The address in a text of that form, with the tag of RFC 5321 4.1.3 (`IPv6:2001:db8::7`) or without."""
    try:
        found = ipaddress.ip_address(re.sub(r"(?i)^ipv6:", "", text.strip()))
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found
