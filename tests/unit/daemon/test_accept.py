"""The worker that takes a connection, when several could."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from dspamd.daemon.accept import Acceptor
from dspamd.daemon.listen import Endpoint, listen
from dspamd.daemon.loads import TOLERANCE, Loads


class Hello(asyncio.Protocol):
    """A session that greets with a word and ends when the client does."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        cast(asyncio.Transport, transport).write(self._word)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)


def saying(word: bytes) -> Callable[[], Hello]:
    return lambda: Hello(word)


async def greeting(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return await reader.readexactly(1), writer


async def test_both_kinds_of_sockets_are_served(tmp_path: Path) -> None:
    path = str(tmp_path / "dspam.sock")
    sockets = listen(Endpoint(path=path)) + listen(Endpoint(host="127.0.0.1", port=0))
    port = sockets[1].getsockname()[1]
    acceptor = Acceptor(sockets, saying(b"a"))
    for connecting in (asyncio.open_unix_connection(path), asyncio.open_connection("127.0.0.1", port)):
        reader, writer = await connecting
        assert await reader.readexactly(1) == b"a"
        writer.close()
    acceptor.close()
    await asyncio.wait_for(acceptor.deserted(), 5)
    assert [each.fileno() for each in sockets] == [-1, -1]


async def test_sessions_are_spread_evenly() -> None:
    loads = Loads(2)
    (shared,) = listen(Endpoint(host="127.0.0.1", port=0))
    port = shared.getsockname()[1]
    acceptors = [
        Acceptor([shared.dup()], saying(word), loads.own(place)) for place, word in enumerate((b"a", b"b"))
    ]
    shared.close()
    words, writers = zip(*[await greeting(port) for _ in range(8)], strict=True)
    assert sorted(words) == [b"a"] * 4 + [b"b"] * 4
    for writer in writers:
        writer.close()
    for acceptor in acceptors:
        acceptor.close()
        await asyncio.wait_for(acceptor.deserted(), 5)


async def test_a_connection_that_the_other_leaves_is_taken_after_all() -> None:
    loads = Loads(2)
    loads.own(1).take()  # a busy worker, which accepts nothing
    (listening,) = listen(Endpoint(host="127.0.0.1", port=0))
    port = listening.getsockname()[1]
    acceptor = Acceptor([listening], saying(b"a"), loads.own(0))
    for _ in range(3):
        word, writer = await greeting(port)
        assert word == b"a"
        writer.close()
    acceptor.close()


async def test_without_descriptors_connections_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspamd.daemon.accept.EXHAUSTED_S", 0.01)
    (real,) = listen(Endpoint(host="127.0.0.1", port=0))

    class Exhausted(socket.socket):
        refusals = 2

        def accept(self) -> tuple[socket.socket, object]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    port = real.getsockname()[1]
    listening = Exhausted(fileno=real.detach())
    acceptor = Acceptor([listening], saying(b"a"))
    word, writer = await greeting(port)
    assert (word, listening.refusals) == (b"a", 0)
    writer.close()
    acceptor.close()


def test_a_worker_is_ahead_of_those_who_are_there() -> None:
    loads = Loads(3)
    own, other = loads.own(0), loads.own(1)
    own.take()
    own.add(1)
    assert not own.ahead  # nobody else is there
    other.take()
    assert own.ahead
    other.leave()
    assert not own.ahead


def test_among_many_sessions_a_few_are_no_difference() -> None:
    loads = Loads(2)
    own, other = loads.own(0), loads.own(1)
    for load in (own, other):
        load.take()
        load.add(10 * TOLERANCE)
    own.add(10)
    assert not own.ahead
    own.add(1)
    assert own.ahead
