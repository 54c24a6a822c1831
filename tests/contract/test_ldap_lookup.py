"""Users in a real directory: OpenLDAP's slapd with a configuration, data and a port of its own."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.errors import PermFail, TempFail
from dspamd.users.lookup import Lookup
from dspamd.users.lookup_ldap import escaped
from dspamd.users.lookup_source import AT_ONCE
from tests.support.slapd import BASE, Slapd

PEOPLE = {  # uid: organizational unit, cn, mail
    "bob": ("people", "Bob", ["bob@example.org", "robert@example.org"]),
    "ann": ("people", "Ann", ["ann@example.org"]),
    "twin1": ("people", "Twin", ["twins@example.org"]),
    "twin2": ("people", "Twin", ["twins@example.org"]),
    "twin3": ("people", "Twin", ["twins@example.org"]),
    "eve": ("hidden", "Eve", ["eve@example.org"]),
    "odd": ("people", "Odd", ["o(d)d*\\ö@example.org"]),
}


def _data() -> str:
    entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example"]
    entries += [
        f"dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}" for unit in ("people", "hidden")
    ]
    for uid, (unit, name, addresses) in PEOPLE.items():
        mails = "".join(f"\nmail: {address}" for address in addresses if address.isascii())
        cn = "".join(f"\ncn: {address}" for address in addresses if not address.isascii())
        entries.append(
            f"dn: uid={uid},ou={unit},{BASE}\nobjectClass: inetOrgPerson\n"
            f"uid: {uid}\nsn: {name}\ncn: {name}{cn}{mails}"
        )
    return "\n\n".join(entries) + "\n"


class Directory(Slapd):
    """The server with these people."""

    def lookup(
        self, *lines: str, host: str = "127.0.0.1", mode: str = "strict", port: int | None = None
    ) -> Lookup:
        """As the guide says, after `lines`, of which the first one counts."""
        settings = (
            "Home /x", "ExtLookup on", "ExtLookupDriver ldap", f"ExtLookupServer {host}",
            f"ExtLookupMode {mode}", f"ExtLookupPort {port or self.port}", f'ExtLookupDB "{BASE}"',
            'ExtLookupQuery "(|(mail=%u)(cn=%u))"', "ExtLookupLDAPAttribute uid", "ExtLookupTimeout 5",
        )  # fmt: skip
        lookup = Lookup.from_config(Config.from_text("\n".join((*lines, *settings))))
        assert lookup is not None
        return lookup


class Road:
    """A connection to a server that a test can cut, or let swallow all bytes.  Use as `async with`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.travelled = 0  # connections so far
        self._ways: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []

    async def __aenter__(self) -> Road:
        self._server = await asyncio.start_server(self._open, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        self.swallow()
        self.cut()

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.travelled += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, target in ((reader, back), (there, writer)):
            self._ways.append((target, asyncio.create_task(_carry(source, target))))

    def swallow(self) -> None:
        """From now on nothing arrives over the open connections."""
        for _, task in self._ways:
            task.cancel()

    def cut(self) -> None:
        for writer, _ in self._ways:
            writer.transport.abort()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
    target.close()


# The library leaves unconnected sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """They go in the test that made them, or later tests would see their warnings."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def slapd() -> Iterator[Directory]:
    with tempfile.TemporaryDirectory() as folder:
        server = Directory(Path(folder), _data())
        server.start()
        yield server
        server.stop()


async def test_users_are_found_by_their_addresses(slapd: Directory) -> None:
    lookup = slapd.lookup()
    assert await lookup.user("robert@example.org") == "bob"
    assert await lookup.user("ann@example.org") == "ann"
    with pytest.raises(PermFail, match="Invalid user 'carol"):
        await lookup.user("carol@example.org")
    assert await slapd.lookup(mode="map").user("carol@example.org") == "carol@example.org"


async def test_who_is_only_verified_keeps_his_name(slapd: Directory) -> None:
    for attribute in ("uid", '""'):
        lookup = slapd.lookup(f"ExtLookupLDAPAttribute {attribute}", mode="verify")
        assert await lookup.user("bob@example.org") == "bob@example.org"
        with pytest.raises(PermFail):
            await lookup.user("carol@example.org")


async def test_more_than_one_entry_is_nobody(slapd: Directory) -> None:
    with pytest.raises(PermFail):
        await slapd.lookup().user("twins@example.org")


async def test_the_last_value_counts_and_its_name_in_any_case(slapd: Directory) -> None:
    assert await slapd.lookup("ExtLookupLDAPAttribute MAIL").user("bob@example.org") == "robert@example.org"
    with pytest.raises(PermFail):
        await slapd.lookup("ExtLookupLDAPAttribute telephoneNumber").user("bob@example.org")


@pytest.mark.parametrize("name", ["*", "*@example.org", "bob@example.org)(uid=*", "a\0b", "\\2a", "\udce4"])
async def test_a_name_is_never_part_of_the_filter(slapd: Directory, name: str) -> None:
    with pytest.raises(PermFail):
        await slapd.lookup().user(name)


async def test_odd_names_are_found(slapd: Directory) -> None:
    assert await slapd.lookup().user("o(d)d*\\ö@example.org") == "odd"


async def test_the_scope(slapd: Directory) -> None:
    with pytest.raises(PermFail):
        await slapd.lookup("ExtLookupLDAPScope one").user("bob@example.org")
    people = f'ExtLookupDB "ou=people,{BASE}"'
    assert await slapd.lookup("ExtLookupLDAPScope one", people).user("bob@example.org") == "bob"


async def test_the_base_alone(slapd: Directory) -> None:
    alone = "ExtLookupLDAPScope base"
    with pytest.raises(PermFail):
        await slapd.lookup(alone).user("bob@example.org")
    bob = f'ExtLookupDB "uid=bob,ou=people,{BASE}"'
    assert await slapd.lookup(alone, bob).user("bob@example.org") == "bob"
    as_it_was = slapd.lookup(alone, "StrictCompatibility on")
    assert await as_it_was.user("bob@example.org") == "bob"


async def test_a_connection_is_used_again(slapd: Directory) -> None:
    async with Road(slapd.port) as road:
        lookup = slapd.lookup(port=road.port)
        assert await lookup.user("bob@example.org") == "bob"
        assert await lookup.user("ann@example.org") == "ann"
        with pytest.raises(PermFail):
            await lookup.user("carol@example.org")
        assert road.travelled == 1
        names = [f"nobody{number}@example.org" for number in range(50)]
        found = await asyncio.gather(*map(lookup.user, names), return_exceptions=True)
        assert {type(each) for each in found} == {PermFail}
        assert road.travelled <= AT_ONCE


async def test_a_connection_that_was_closed_is_replaced(slapd: Directory) -> None:
    async with Road(slapd.port) as road:
        lookup = slapd.lookup(port=road.port)
        assert await lookup.user("bob@example.org") == "bob"
        road.cut()
        assert await lookup.user("ann@example.org") == "ann"
        assert road.travelled == 2


async def test_a_connection_that_fell_silent_costs_one_answer(slapd: Directory) -> None:
    async with Road(slapd.port) as road:
        lookup = slapd.lookup("ExtLookupTimeout 1", port=road.port)
        assert await lookup.user("bob@example.org") == "bob"
        road.swallow()
        with pytest.raises(TempFail):
            await lookup.user("ann@example.org")
        assert await lookup.user("ann@example.org") == "ann"
        assert road.travelled == 2


async def test_a_connection_on_which_a_search_failed_is_not_used_again(slapd: Directory) -> None:
    async with Road(slapd.port) as road:
        lookup = slapd.lookup('ExtLookupDB "dc=elsewhere"', port=road.port)
        for travelled in (1, 2):
            with pytest.raises(TempFail, match="noSuchObject"):
                await lookup.user("bob@example.org")
            assert road.travelled == travelled


async def test_login(slapd: Directory) -> None:
    login = f'ExtLookupLogin "cn=dspam,{BASE}"'
    assert await slapd.lookup(login, "ExtLookupPassword secret").user("eve@example.org") == "eve"
    with pytest.raises(PermFail):
        await slapd.lookup().user("eve@example.org")
    with pytest.raises(TempFail, match="Unable to look up user"):
        await slapd.lookup(login, "ExtLookupPassword wrong").user("eve@example.org")


async def test_encryption(slapd: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(slapd.folder / "cert.pem"))
    tls = "ExtLookupCrypto tls"
    assert await slapd.lookup(tls, host="localhost").user("bob@example.org") == "bob"
    with pytest.raises(TempFail):
        await slapd.lookup(tls, host="127.0.0.1").user("bob@example.org")  # not the name in the certificate
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(TempFail):
        await slapd.lookup(tls, host="localhost").user("bob@example.org")


async def test_a_base_that_is_not_there_lets_mail_wait(slapd: Directory) -> None:
    with pytest.raises(TempFail, match="noSuchObject"):
        await slapd.lookup('ExtLookupDB "dc=elsewhere"', mode="map").user("bob@example.org")


async def test_while_the_directory_is_down_mail_waits(slapd: Directory) -> None:
    lookup = slapd.lookup()
    slapd.stop()
    with pytest.raises(TempFail):
        await lookup.user("bob@example.org")
    slapd.start()
    assert await lookup.user("bob@example.org") == "bob"


async def test_a_directory_that_hangs_does_not_hold_us(slapd: Directory) -> None:
    lookup = slapd.lookup("ExtLookupTimeout 1")
    slapd.freeze()
    try:
        with pytest.raises(TempFail):
            await lookup.user("bob@example.org")
    finally:
        slapd.thaw()
    assert await lookup.user("bob@example.org") == "bob"


def test_escapes() -> None:
    assert escaped("bob@example.org") == "bob@example.org"
    assert escaped("a*(b)\\\0ü\udcff") == "a\\2a\\28b\\29\\5c\\00\\c3\\bc\\ff"
