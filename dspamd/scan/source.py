"""The source of a message: the address of the host that handed it to the first server of ours.

It is read off the `Received` headers, from the top, since each server writes its
own above those that it found (RFC 5321 4.4):

    Received: from mail.example (mail.example [192.0.2.7]) by mx.example.org ...

The first address that is neither private nor one of our own mail servers
(`LocalMX`) is the source.  qmail writes `(HELO name) (192.0.2.7)` instead, below a
line of its own that begins with `(qmail`.

The rules are those of reference/protocols.md 10.4, with real private ranges and
with IPv6.  Headers below the top ones may be forged: whoever sends a message can
name any source below that of the first server of ours.  Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from dspamd.mail.message import Message

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_QMAIL = "(qmail"
_IN_BRACKETS = re.compile(r"\bfrom\b[^\[]*\[([^\]]*)\]")
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")

# What no foreign host has: this network, private use, shared by carriers, loopback, link-local.
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

    `local` are the addresses of mail servers of ours.
    """
    qmail = False
    for value in message.values("Received"):
        text = value.decode("ascii", "replace")
        if text.startswith(_QMAIL):
            qmail = True
            continue
        qmail = qmail and "[" not in text
        found = _IN_PARENTHESES.findall(text)[-1:] if qmail else _IN_BRACKETS.findall(text)[:1]
        named = address(found[0]) if found else None
        if named is not None and named not in local and not any(named in network for network in _OURS):
            return named
    return None


def address(text: str) -> Address | None:
    """The address that a text is, as in RFC 5321 4.1.3 (`IPv6:2001:db8::7`) or without that word."""
    try:
        found = ipaddress.ip_address(re.sub(r"(?i)^ipv6:", "", text.strip()))
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found
