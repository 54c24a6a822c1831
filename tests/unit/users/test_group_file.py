"""The file of groups is read again when it changes; a version with errors does not count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dspamd.errors import TempFail
from dspamd.telemetry import log
from dspamd.users import group_file
from dspamd.users.group_file import INTERVAL_S, GroupFile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        self.now += INTERVAL_S


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """The log since the last call."""
    log.configure()
    yield lambda: capfd.readouterr().err
    log.configure()


async def group_of(file: GroupFile, user: str = "bob") -> str | None:
    return (await file.groups()).membership(user).shared


async def test_no_file_means_no_groups(tmp_path: Path) -> None:
    clock = Clock()
    file = GroupFile(tmp_path / "group", clock)
    none = await file.groups()
    assert none.membership("bob").shared is None
    clock.tick()
    assert await file.groups() is none


async def test_a_change_counts_within_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "group", Clock()
    path.write_text("g:shared:bob\n")
    file = GroupFile(path, clock)
    assert await group_of(file) == "g"
    path.write_text("other:shared:bob\n")
    assert await group_of(file) == "g"
    clock.tick()
    assert await group_of(file) == "other"
    same = await file.groups()
    clock.tick()
    assert await file.groups() is same
    new = tmp_path / "new"
    new.write_text("third:shared:bob\n")
    os.utime(new, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    new.replace(path)  # another file with the same date and size
    clock.tick()
    assert await group_of(file) == "third"
    path.unlink()
    clock.tick()
    assert await group_of(file) is None


async def test_a_bad_file_keeps_the_old_one_and_says_where(tmp_path: Path, logged: Callable[[], str]) -> None:
    path, clock = tmp_path / "group", Clock()
    path.write_text("g:shared:bob\n")
    file = GroupFile(path, clock)
    await file.groups()
    path.write_text("# ours\nnew:shared:bob\ng:neural:alice\n")
    clock.tick()
    assert await group_of(file) == "g"
    clock.tick()
    assert await group_of(file) == "g"
    told = logged()
    assert told.count("event=group_refused") == told.count("event=groups_kept") == 1
    assert f"file={path} line=3" in told
    assert "neural" in told
    path.write_text("new:shared:bob\n")
    clock.tick()
    assert await group_of(file) == "new"


async def test_the_first_file_counts_as_far_as_it_makes_sense(
    tmp_path: Path, logged: Callable[[], str]
) -> None:
    (tmp_path / "group").write_bytes(b"nonsense\ng:shared:bob\n\xff:shared:\xfe\n")
    file = GroupFile(tmp_path / "group", Clock())
    assert await group_of(file) == "g"
    assert await group_of(file, "\udcfe") == "\udcff"
    assert "line=1" in logged()


async def test_mail_waits_while_nobody_knows_the_groups(tmp_path: Path, logged: Callable[[], str]) -> None:
    path, clock = tmp_path / "group", Clock()
    path.mkdir()
    file = GroupFile(path, clock)
    with pytest.raises(TempFail):
        await file.groups()
    assert "groups_unreadable" in logged()
    path.rmdir()
    path.write_text("g:shared:bob\n")
    clock.tick()
    assert await group_of(file) == "g"
    path.unlink()
    path.mkdir()
    clock.tick()
    assert await group_of(file) == "g"


async def test_a_file_system_that_does_not_answer_delays_mail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_file, "DEADLINE_S", 0.05)
    path, clock = tmp_path / "group", Clock()
    path.write_text("g:shared:bob\n")
    file = GroupFile(path, clock)
    assert await group_of(file) == "g"
    path.unlink()
    os.mkfifo(path)  # open() waits for a writer
    clock.tick()
    assert await asyncio.wait_for(group_of(file), 10) == "g"
    looking = file._look
    assert looking is not None
    assert await group_of(file) == "g"
    with path.open("wb") as writer:
        writer.write(b"new:shared:bob\n")
    await asyncio.wait_for(looking, 10)
    assert await group_of(file) == "new"
