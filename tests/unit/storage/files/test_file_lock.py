"""The lock between processes."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from dspamd.errors import TempFail
from dspamd.storage.files.file_lock import FileLock, Seen
from dspamd.storage.files.journal import HEAD_BYTES

HOLDER = """
import pathlib, sys, time
from dspamd.storage.files.file_lock import FileLock
path = pathlib.Path(sys.argv[1])
with FileLock(path, path, 12).held(time.monotonic() + 10, shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    if sys.stdin.readline() == "delete\\n":
        pathlib.Path(sys.argv[1]).unlink()
"""


async def holder(path: Path, kind: str) -> asyncio.subprocess.Process:
    """A process that holds the lock until it reads a line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), kind,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    return process


def taken(path: Path, wait_s: float, *, shared: bool = False) -> bool:
    with FileLock(path, path, HEAD_BYTES).held(time.monotonic() + wait_s, shared=shared):
        return path.exists()


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
async def test_who_may_hold_it_together(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    other = await holder(path, kind)
    with pytest.raises(TempFail, match="locked"):
        taken(path, 0)
    if kind == "shared":
        assert taken(path, 0, shared=True)
    else:
        with pytest.raises(TempFail, match="locked"):
            taken(path, 0, shared=True)
    other.kill()  # the lock goes with its holder
    await other.communicate()
    assert taken(path, 0)


async def test_a_lock_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = await holder(path, "exclusive")
    waiting = asyncio.create_task(asyncio.to_thread(taken, path, 10))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await other.communicate(b"delete\n")
    assert await waiting


def test_what_lies_beside_is_seen_with_the_lock(tmp_path: Path) -> None:
    file, journal = tmp_path / "file", tmp_path / "journal"
    lock = FileLock(tmp_path / "lock", file, HEAD_BYTES)

    def seen() -> Seen:
        with journal.open("rb") as opened, lock.held(0, journal=opened.fileno()) as what:
            return what

    journal.write_bytes(bytes(HEAD_BYTES) + b"old")
    assert seen() == Seen(0, 0, False)
    file.write_bytes(b"abc")
    journal.write_bytes(b"\0\1")
    assert seen() == Seen(file.stat().st_ino, 3, True)
    with lock.held(0) as what:
        assert what.begun is None
    with journal.open("rb") as opened:
        journal.unlink()
        with lock.held(0, journal=opened.fileno()) as what:
            assert what.begun is None
