"""The account at the other end of a connection, and its rights."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pwd
import socket
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.errors import Reply
from dspamd.filter.pipeline import Pipeline
from dspamd.request.envelope import Recipient
from dspamd.server import peer
from dspamd.server.dialogue import ServerMode
from dspamd.server.filter import Caller
from dspamd.server.lmtp import LmtpServer
from dspamd.server.mailfilter import MailFilter
from tests.support.scripted_filter import MESSAGE, TERMS, Client, ScriptedFilter, connected, running

ANN = Caller(7, "ann")
NOBODY_KNOWN = Caller(7, "")


async def _no_pipeline(profile: str | None) -> Pipeline:
    raise AssertionError("nothing is processed here")


def checked(
    options: str | None, caller: Caller | None, *users: bytes, lines: str = "Trust mail"
) -> Reply | None:
    """The replies to a client before its message."""
    filter = MailFilter(Config.from_text(f"Home /x\n{lines}"), _no_pipeline)
    return filter.check([Recipient(user) for user in users or (b"bob",)], options, caller)


async def test_the_kernel_tells_who_speaks_through_a_unix_socket(tmp_path: Path) -> None:
    filter = ScriptedFilter()
    server = await asyncio.get_running_loop().create_unix_server(LmtpServer(filter, TERMS), tmp_path / "s")
    async with server:
        client = Client(*await asyncio.open_unix_connection(tmp_path / "s"))
        client.send(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\n" + MESSAGE + b".\r\nQUIT\r\n")
        assert (await client.reader.read()).endswith(b"221 2.0.0 OK\r\n")
        client.writer.close()
    assert filter.callers == [Caller(os.getuid(), pwd.getpwuid(os.getuid()).pw_name)]


async def test_nobody_is_known_by_name_who_comes_over_the_network() -> None:
    filter = ScriptedFilter()
    async with running(LmtpServer(filter, TERMS)) as port, connected(port) as client:
        client.send(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\n" + MESSAGE + b".\r\nQUIT\r\n")
        await client.reader.read()
    assert filter.callers == [None]


async def test_an_account_may_have_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        assert await peer.caller_of(transport) == Caller(os.getuid(), "")
        transport.close()


@pytest.mark.parametrize(
    ("caller", "lines"),
    [
        (None, "Trust mail"),
        (Caller(0, "root"), "Trust mail"),
        (ANN, "Trust mail\nTrust Ann"),
        (ANN, "TrustedUserSecurity off"),
    ],
)
def test_the_trusted_may_act_for_anybody(caller: Caller | None, lines: str) -> None:
    options = "--deliver=innocent --profile=big -d %u"
    assert checked(options, caller, b"bob", b"carol", lines=f"{lines}\nProfile big") is None


def test_others_may_act_for_themselves() -> None:
    assert checked("--deliver=innocent -x", ANN, b"ann") is None


@pytest.mark.parametrize(
    ("caller", "lines"),
    [
        (None, "Trust mail"),
        (Caller(0, "root"), "Trust mail"),
        (Caller(os.geteuid(), "own"), "Trust mail"),
        (Caller(7, "postfix"), "Trust mail"),
        (ANN, "Trust Ann"),
        (ANN, "SocketLMTP postfix ann"),
        (ANN, "SocketLMTP *"),
        (NOBODY_KNOWN, "SocketLMTP *"),
        (ANN, "TrustedUserSecurity off"),
    ],
)
def test_lmtp_on_a_socket_is_for_mail_servers(caller: Caller | None, lines: str) -> None:
    assert checked(None, caller, b"bob", lines=lines) is None


@pytest.mark.parametrize(
    ("caller", "name", "lines"),
    [
        (ANN, "ann", "Trust mail"),
        (NOBODY_KNOWN, "7", "Trust mail"),
        (Caller(7, "postfix"), "postfix", "SocketLMTP exim"),
    ],
)
def test_lmtp_on_a_socket_is_for_nobody_else(caller: Caller, name: str, lines: str) -> None:
    # Temporary, not permanent: mail of a server that the list lacks must not bounce.
    refused = Reply(450, "4.7.1", f"Account {name} may not speak LMTP on this socket")
    assert checked(None, caller, name.encode(), lines=lines) == refused


@pytest.mark.parametrize("mode", [ServerMode.AUTO, ServerMode.DSPAM])
async def test_an_account_logs_in_without_a_password(mode: ServerMode, tmp_path: Path) -> None:
    filter = ScriptedFilter()
    said = b'LHLO dspamc\r\nMAIL FROM:<> DSPAMPROCESSMODE="--classify"\r\nRCPT TO:<bob>\r\nDATA\r\n'
    terms = dataclasses.replace(TERMS, mode=mode)
    server = await asyncio.get_running_loop().create_unix_server(LmtpServer(filter, terms), tmp_path / "s")
    async with server:
        client = Client(*await asyncio.open_unix_connection(tmp_path / "s"))
        client.send(said + MESSAGE + b".\r\nQUIT\r\n")
        assert (await client.reader.read()).endswith(b"221 2.0.0 OK\r\n")
        client.writer.close()
    assert filter.options == ["--classify"]
    assert filter.callers == [Caller(os.getuid(), pwd.getpwuid(os.getuid()).pw_name)]


@pytest.mark.parametrize("address", [b"", b"@dspamc", b"@relay1", b"secret@", b"wrong@relay1"])
async def test_over_the_network_nobody_does(address: bytes) -> None:
    terms = dataclasses.replace(TERMS, mode=ServerMode.DSPAM)
    async with running(LmtpServer(ScriptedFilter(), terms)) as port, connected(port) as client:
        await client.hear()
        await client.say(b"LHLO dspamc")
        answer = await client.say(b"MAIL FROM:<" + address + b'> DSPAMPROCESSMODE="--classify"')
        assert answer == b"503 5.1.0 Authentication Required\r\n"


@pytest.mark.parametrize("users", [(b"bob",), (b"ann", b"bob"), (b"ann@example.org",)])
@pytest.mark.parametrize("caller", [ANN, NOBODY_KNOWN])
def test_others_may_not_act_for_anybody_else(users: tuple[bytes, ...], caller: Caller) -> None:
    reply = checked("--deliver=innocent", caller, *users)
    assert reply is not None
    assert (reply.code, reply.enhanced) == (554, "5.1.0")
    assert "Option --user requires special privileges when user does not match current user" in reply.text
    assert f"[uid=7({caller.name})]" in reply.text


def test_a_profile_is_for_the_trusted() -> None:
    reply = checked("--profile=big", ANN, b"ann", lines="Trust mail\nProfile big")
    assert reply is not None
    assert "Option --profile requires special privileges" in reply.text


def test_a_profile_must_be_declared() -> None:
    reply = checked("--profile=tiny", None, lines="Profile big")
    assert reply is not None
    assert (reply.code, "No such profile 'tiny'" in reply.text) == (554, True)
