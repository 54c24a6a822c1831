"""The source of a message, from its Received headers (reference/protocols.md 10.4)."""

from __future__ import annotations

import ipaddress

import pytest

from dspamd.filter.scan.source import address, source
from dspamd.mail.message import Message


def found(*received: str, local: str = "") -> str | None:
    """The source of a message with these Received headers, from the top."""
    head = "".join(f"Received: {value}\r\n" for value in received)
    message = Message(f"{head}Subject: x\r\n\r\nReceived: from b (b [192.0.2.66])\r\n".encode())
    servers = [server for server in map(address, local.split()) if server is not None]
    result = source(message, servers)
    return None if result is None else str(result)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("from mail.example (mail.example [192.0.2.7]) by mx (Postfix) with ESMTP", "192.0.2.7"),
        ("from x (unknown [192.0.2.7])\r\n\tby mx; Fri, 20 Nov 2026 08:00:00 +0000", "192.0.2.7"),
        ("from a ([IPv6:2001:db8::7]) by mx", "2001:db8::7"),
        ("from a ([2001:db8:0:0::7]) by mx", "2001:db8::7"),
        ("from a ([IPv6:::ffff:192.0.2.7]) by mx", "192.0.2.7"),
        ("from mail.example by mx [192.0.2.7] with SMTP", "192.0.2.7"),
        ("by mx [192.0.2.7] (a local message)", None),
        ("from [unknown] by mx", None),
        ("from nowhere", None),
        ("", None),
    ],
)
def test_one_header(value: str, expected: str | None) -> None:
    assert found(value) == expected


@pytest.mark.parametrize(
    "private",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "IPv6:::1",
        "IPv6:fd00::1",
        "IPv6:fe80::1",
        "IPv6:::ffff:10.0.0.1",
    ],
)
def test_private_addresses_are_passed_over(private: str) -> None:
    assert found(f"from a ([{private}]) by b", "from c ([192.0.2.9]) by a") == "192.0.2.9"


@pytest.mark.parametrize("public", ["172.15.255.255", "172.32.0.1", "192.169.0.1", "100.128.0.1", "11.0.0.1"])
def test_neighbours_of_private_ranges_are_not(public: str) -> None:
    assert found(f"from a ([{public}]) by b") == public


def test_our_own_mail_servers_are_passed_over() -> None:
    headers = ("from mx2 ([192.0.2.1]) by mx", "from a ([192.0.2.9]) by mx2")
    assert found(*headers, local="192.0.2.1") == "192.0.2.9"
    assert found(*headers, local="192.0.2.1 192.0.2.9") is None


def test_qmail() -> None:
    assert (
        found("(qmail 1234 invoked by uid 0); date", "from unknown (HELO x) (192.0.2.7) by mx") == "192.0.2.7"
    )
    assert (
        found("(qmail 1 invoked)", "from a (b [192.0.2.5]) by c", "from d (e) (192.0.2.6) by f")
        == "192.0.2.5"
    )


def test_nothing_is_read_off_the_body() -> None:
    assert found() is None


def test_address() -> None:
    assert address("ipv6:2001:DB8::1") == ipaddress.ip_address("2001:db8::1")
    assert address(" 192.0.2.1 ") == ipaddress.ip_address("192.0.2.1")
    assert address("mx.example.org") is None
