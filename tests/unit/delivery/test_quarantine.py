"""The quarantine keeps every message whole, or says that it cannot."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from dspamd.delivery.quarantine import Quarantine
from dspamd.errors import TempFail
from dspamd.mail.kept import entry, released
from dspamd.mail.message import Message
from tests.support.day import NOW_S

MESSAGE = b"Subject: x\r\n\r\nbody\r\n"


@asynccontextmanager
async def quarantine(timeout_s: float = 20) -> AsyncIterator[Quarantine]:
    kept = Quarantine(timeout_s=timeout_s, clock=lambda: NOW_S)
    try:
        yield kept
    finally:
        await kept.close()


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bob" / "bob.mbox"


def text(mbox: Path) -> bytes:
    return mbox.read_bytes()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def put(mbox: Path, content: bytes) -> None:
    mbox.parent.mkdir(parents=True, exist_ok=True)
    new = mbox.with_suffix(".new")
    new.write_bytes(content)
    new.rename(mbox)


async def test_messages_follow_each_other(mbox: Path) -> None:
    async with quarantine() as kept:
        assert (await kept.keep(mbox, MESSAGE)).ok
        assert (await kept.keep(mbox, MESSAGE)).ok
    assert text(mbox) == entry(MESSAGE, time.ctime(NOW_S)) * 2
    assert text(mbox).count(b"\nFrom QUARANTINE ") == 1


async def test_the_mailbox_is_for_owner_and_group(mbox: Path) -> None:
    old = os.umask(0o006)
    try:
        async with quarantine() as kept:
            await kept.keep(mbox, MESSAGE)
    finally:
        os.umask(old)
    assert mode(mbox) == 0o660
    assert mode(mbox.parent) == 0o770


async def test_many_at_once_do_not_mix(mbox: Path) -> None:
    bodies = [b"Subject: %d\n\n" % number + b"%d\n" % number * 5000 for number in range(20)]
    async with quarantine() as kept:
        await asyncio.gather(*(kept.keep(mbox, body) for body in bodies))
    assert sorted(released(Message(each)).raw for each in split(text(mbox))) == sorted(bodies)


def split(text: bytes) -> list[bytes]:
    """The messages of a mailbox with what follows them, without their From lines."""
    return [part.partition(b"\n")[2] for part in text.split(b"From QUARANTINE ")[1:]]


async def test_a_torn_message_is_shut_off(mbox: Path) -> None:
    put(mbox, b"From QUARANTINE x\nSubject: torn")
    async with quarantine() as kept:
        await kept.keep(mbox, MESSAGE)
    assert text(mbox) == b"From QUARANTINE x\nSubject: torn\n\n" + entry(MESSAGE, time.ctime(NOW_S))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full once a file has so many bytes (SIGXFSZ is ignored by Python)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_message_that_does_not_fit_leaves_no_trace(mbox: Path) -> None:
    async with quarantine() as kept:
        await kept.keep(mbox, MESSAGE)
        before = text(mbox)
        with largest_file(len(before) + 1000), pytest.raises(TempFail, match="Unable to quarantine"):
            await kept.keep(mbox, b"x" * 100_000)
        assert text(mbox) == before
        await kept.keep(mbox, MESSAGE)
        assert text(mbox) == before * 2


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    put(tmp_path / "file", b"")
    async with quarantine() as kept:
        with pytest.raises(TempFail, match="Unable to quarantine"):
            await kept.keep(tmp_path / "file" / "bob.mbox", MESSAGE)


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(mbox: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of a mailbox until its input ends."""
    mbox.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(mbox)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield holder


async def test_who_holds_the_lock_is_waited_for(mbox: Path) -> None:
    with held(mbox) as holder:
        async with quarantine() as kept:
            keeping = asyncio.create_task(kept.keep(mbox, MESSAGE))
            done, _ = await asyncio.wait([keeping], timeout=0.2)
            assert not done
            assert text(mbox) == b""
            assert holder.stdin is not None
            holder.stdin.close()
            assert (await keeping).ok
    assert text(mbox) == entry(MESSAGE, time.ctime(NOW_S))


async def test_but_not_for_ever(mbox: Path) -> None:
    with held(mbox) as holder:
        async with quarantine(timeout_s=0.2) as kept:
            with pytest.raises(TempFail, match="Quarantine is busy"):
                await kept.keep(mbox, MESSAGE)
        assert holder.stdin is not None
        holder.stdin.close()
    assert text(mbox) == b""


async def test_a_mailbox_that_was_replaced_meanwhile(mbox: Path) -> None:
    with held(mbox) as holder:
        async with quarantine() as kept:
            keeping = asyncio.create_task(kept.keep(mbox, MESSAGE))
            await asyncio.wait([keeping], timeout=0.2)
            put(mbox, b"")
            assert holder.stdin is not None
            holder.stdin.close()
            await keeping
    assert text(mbox) == entry(MESSAGE, time.ctime(NOW_S))
