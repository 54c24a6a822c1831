"""Hostile sessions, some hundred of those of `make fuzz`, with a real daemon and with a server of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspamd.daemon.accept import Acceptor
from dspamd.daemon.listen import Endpoint, listen
from dspamd.server.dialogue import ServerMode, Terms
from dspamd.server.lmtp import LmtpServer
from tests.fuzz.dialogue import Client, Ledger, Place, Wrong, against_daemon, load
from tests.fuzz.sessions import SIZE_LIMIT, Session, session
from tests.support.load import event
from tests.support.scripted_filter import ScriptedFilter

SEED = "smoke"
TERMS = Terms(ServerMode.AUTO, "GIT", passwords={"relay1": "secret"}, size_limit=SIZE_LIMIT)


async def test_a_daemon_survives_hostile_sessions(tmp_path: Path) -> None:
    assert await against_daemon(tmp_path, SEED, 0, 250) == []


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[LmtpServer, Place]]:
    """A server on a port and a socket."""
    path = folder / "s"
    sockets = [*listen(Endpoint(host="127.0.0.1", port=0)), *listen(Endpoint(path=str(path)))]
    server = LmtpServer(ScriptedFilter(), TERMS, idle_s=5, penalty_s=0)
    place = Place(sockets[0].getsockname()[1], path)
    acceptor = Acceptor(sockets, server)
    try:
        yield server, place
    finally:
        acceptor.close()
        await server.close(grace_s=5)


def held() -> tuple[int, int]:
    """Open files and tasks of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())


async def test_nothing_is_left_of_hostile_sessions(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, place):
        assert await load(place, SEED, range(300, 350), Ledger()) == []  # fills the pool of threads
        idle = held()
        assert await load(place, SEED, range(350, 550), Ledger()) == []
        await event(lambda: not server.sessions, lambda: f"{len(server.sessions)} sessions to end")
        await asyncio.sleep(0)
        assert held() == idle
        assert threading.active_count() <= min(32, (os.cpu_count() or 1) + 4) + 1
        assert (server.held, server._tasks) == (0, set())


# The fuzzer itself: it reports wrong answers.


class Scripted:
    """A server that answers a session with lines of a script, one for each that it hears."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in self._answers:
            writer.write(answer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if answer.startswith(b"221") or not await reader.readline():
                break
        writer.close()


BURSTS = (b"LHLO x\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<a>\r\n", b"DATA\r\n", b".\r\n")
OK, GO = b"250 2.0.0 OK\r\n", b"354 go on\r\n"
HEAD = (b"220 ready\r\n", OK, OK, OK, GO)
BYE = b"221 2.0.0 OK\r\n"


async def heard(*answers: bytes) -> None:
    """A session whose server answers so; raises `Wrong` if the fuzzer finds that wrong."""
    server = await asyncio.start_server(Scripted(*answers), "127.0.0.1", 0)
    async with server, Place(server.sockets[0].getsockname()[1], Path()).connected(False) as streams:
        plan = Session(0, False, BURSTS, 0, None, "")
        await Client(plan, *streams, Ledger()).talk()


async def test_what_is_right_passes() -> None:
    await heard(*HEAD, OK, BYE)


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ((b"554 no\r\n",), "greeted with 554"),
        ((*HEAD, OK + OK, BYE), "QUIT was not understood"),
        ((*HEAD, OK, BYE + OK), "it spoke after the end"),
        ((b"220 ready\r\n", OK, OK, OK + OK, GO, OK, BYE), "for DATA"),
        ((*HEAD, b"what?\r\n"), "this is no reply"),
        ((*HEAD, b"250 OK\n"), "this is no reply"),
        ((*HEAD, b"354 go\r\n"), "is no reply for a recipient"),
        ((b"220 ready\r\n", GO), "was taken for DATA"),
    ],
)
async def test_what_is_wrong_is_found(answers: tuple[bytes, ...], what: str) -> None:
    with pytest.raises(Wrong, match=what):
        await heard(*answers)


def test_lost_and_extra_mail_is_found() -> None:
    ledger = Ledger(whole={1, 2})
    ledger.accepted.update({b"fz-1-0": 2, b"fz-3-0": 1})
    ledger.offered.update({b"fz-1-0": 2, b"fz-2-0": 1, b"fz-3-0": 2})
    fine = {b"fz-1-0": 2, b"fz-2-0": 1, b"fz-3-0": 2}
    assert ledger.wrong(Counter(fine)) == []
    worse = Counter({b"fz-1-0": 1, b"fz-2-0": 2, b"fz-3-0": 1})
    assert [text.split(" ", 1)[0] for text in ledger.wrong(worse)] == ["b'fz-1-0'", "b'fz-2-0'"]


def test_a_seed_makes_the_same_sessions() -> None:
    assert [session("a", number) for number in range(50)] == [session("a", number) for number in range(50)]
    assert session("a", 1) != session("b", 1)
