"""DNS blacklists, with a name server that the tests run."""

from __future__ import annotations

import ipaddress

import pytest

from dspamd.filter.scan.rbl import Blacklists, question
from tests.support.name_server import BROKEN, SILENT, name_server

SOURCE = ipaddress.ip_address("192.0.2.7")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("192.0.2.7", "7.2.0.192.rbl.example."),
        ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.rbl.example."),
    ],
)
def test_question(source: str, name: str) -> None:
    assert question("rbl.example", ipaddress.ip_address(source)) == name


@pytest.mark.parametrize(
    ("records", "zone"),
    [
        ({}, None),
        ({"7.2.0.192.one.example": "127.0.0.2"}, "one.example"),
        ({"7.2.0.192.two.example": "127.0.0.2"}, "two.example"),
        ({"7.2.0.192.one.example": "127.0.0.2", "7.2.0.192.two.example": "127.0.0.4"}, "one.example"),
        ({"7.2.0.192.one.example": "192.0.2.99"}, None),
        ({"7.2.0.192.one.example": "127.255.255.254"}, None),
        ({"7.2.0.192.one.example": "127.0.1.2 127.0.0.9"}, "one.example"),
        ({"8.2.0.192.one.example": "127.0.0.2"}, None),
        ({"one.example": BROKEN, "7.2.0.192.two.example": "127.0.0.2"}, "two.example"),
    ],
)
async def test_the_first_zone_that_lists_the_source_counts(records: dict[str, str], zone: str | None) -> None:
    async with name_server(records) as server:
        lists = Blacklists(["one.example", ".two.example."], server=server.place, timeout_s=10)
        assert await lists.listing(SOURCE) == zone
        assert sorted(set(server.asked)) == ["7.2.0.192.one.example", "7.2.0.192.two.example"]


async def test_answers_are_kept() -> None:
    async with name_server({"7.2.0.192.one.example": "127.0.0.2"}) as server:
        lists = Blacklists(["one.example"], server=server.place, timeout_s=10)
        assert await lists.listing(SOURCE) == "one.example"
        assert await lists.listing(SOURCE) == "one.example"
        assert len(server.asked) == 1


async def test_a_silent_zone_is_left_alone_for_a_minute() -> None:
    now = [0.0]
    async with name_server({"one.example": SILENT, "7.2.0.192.two.example": "127.0.0.2"}) as server:
        lists = Blacklists(
            ["one.example", "two.example"], server=server.place, timeout_s=0.2, clock=lambda: now[0]
        )
        assert await lists.listing(SOURCE) == "two.example"
        asked = server.asked.count("7.2.0.192.one.example")
        assert asked >= 1
        now[0] = 59.9
        assert await lists.listing(SOURCE) == "two.example"
        assert server.asked.count("7.2.0.192.one.example") == asked
        now[0] = 60.0
        assert await lists.listing(SOURCE) == "two.example"
        assert server.asked.count("7.2.0.192.one.example") > asked


@pytest.mark.parametrize("server", ["localhost", "127.0.0.1:x", "1.2.3", "[::1]:53:5"])
def test_bad_name_servers(server: str) -> None:
    with pytest.raises(ValueError):
        Blacklists(["one.example"], server=server, timeout_s=1)


@pytest.mark.parametrize("server", ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353", "[::1]", ""])
async def test_good_name_servers(server: str) -> None:
    assert await Blacklists([], server=server, timeout_s=1).listing(SOURCE) is None
