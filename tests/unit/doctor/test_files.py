"""What the doctor says of files and rights, and that mending them touches nobody else's."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.daemon.account import Account
from dspamd.diagnosis import Diagnosis
from dspamd.doctor import files as subject
from dspamd.doctor.files import Reader, files, judged_files, judged_privacy
from dspamd.doctor.site import Site

DAEMON = Account("nobody", 65534, 65534)


def seen(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "usable"),
    [
        (0o600, 7, 9, True),
        (0o400, 7, 9, False),
        (0o060, 7, 9, False),  # the owner has the rights of the owner, not of the group
        (0o660, 1, 8, True),
        (0o640, 1, 8, False),
        (0o666, 1, 9, True),
        (0o660, 1, 9, False),
    ],
)
def test_who_may_use_a_file(mode: int, uid: int, gid: int, usable: bool) -> None:
    reader = Reader(7, frozenset({8}))
    assert reader.uses(seen(stat.S_IFREG | mode, uid, gid)) is usable
    assert Reader(0, frozenset()).uses(seen(stat.S_IFREG | mode, uid, gid))


def test_a_folder_must_be_entered() -> None:
    reader = Reader(7, frozenset({8}))
    assert not reader.uses(seen(stat.S_IFDIR | 0o660, 1, 8))
    assert reader.uses(seen(stat.S_IFDIR | 0o770, 1, 8))


def examined(folder: Path, *lines: str) -> list[Diagnosis]:
    (folder / "dspam.conf").write_text("\n".join((f"Home {folder}/home", *lines)))
    return list(files(Site.of(Config.load(folder / "dspam.conf"))))


async def mended(found: Sequence[Diagnosis]) -> list[str]:
    return [await each.mend() for each in found if each.mend]


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    lines = (
        f"ServerPID {tmp_path}/run/pid",
        f"ServerDomainSocketPath {tmp_path}/run/socket",
        "LogTarget dspam.log",
    )
    found = examined(tmp_path, *lines)
    missing = [tmp_path / "home", tmp_path / "run", tmp_path / "home/log"]
    assert [each.what for each in found] == [f"the folder {folder} is missing" for folder in missing]
    assert await mended(found) == [f"made the folder {folder}" for folder in missing]
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o770
    assert [each.severity for each in examined(tmp_path, *lines)] == ["fine"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "home/data/bob"
    data.mkdir(parents=True)
    return data


async def test_files_that_others_can_read(data: Path, tmp_path: Path) -> None:
    open_, closed = data / "bob.mbox", data / "bob.log"
    for file, mode in (open_, 0o644), (closed, 0o660):
        file.touch()
        file.chmod(mode)
    entries = [(file, file.stat()) for file in (open_, closed)]
    # Pytest locks its own folders.
    (found,) = judged_privacy(entries, tmp_path / "home", lambda folder: True)
    assert found.what.endswith(f"read or change 1 files of users: {open_}")
    assert await mended([found]) == ["1 of 1 files and folders: took the rights of others away"]
    assert stat.S_IMODE(open_.stat().st_mode) == 0o640
    assert stat.S_IMODE(closed.stat().st_mode) == 0o660


def test_a_locked_folder_hides_what_is_in_it(data: Path, tmp_path: Path) -> None:
    (data / "bob.mbox").touch(0o644)
    data.chmod(0o750)
    assert [each.severity for each in examined(tmp_path, f"ServerPID {tmp_path}/pid")] == ["fine"]


async def test_only_files_that_lie_there_are_given_to_the_daemon(data: Path, tmp_path: Path) -> None:
    """Not those with a second name, or behind a link: they may lie elsewhere."""
    own, linked, elsewhere = data / "bob.log", data / "bob.sdb", tmp_path / "elsewhere"
    for file in own, elsewhere:
        file.touch()
        file.chmod(0o000)
    os.link(elsewhere, linked)
    (data.parent / "ann").symlink_to(tmp_path)
    paths = [own, linked, data.parent / "ann/elsewhere", data.parent / "ann"]
    ourselves = Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid())
    entries = [(path, seen(stat.S_IFREG, 4711, 4711)) for path in paths]
    change = partial(subject._given, ourselves)
    assert subject._change_all(tmp_path / "home", paths, change, "ours") == "1 of 4 files and folders: ours"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o000
    (found,) = judged_files(entries, DAEMON, tmp_path / "home")
    assert found.what.startswith(f"4 files and folders cannot be used by nobody: {own}, ")
    tree = f"{tmp_path}/home/data"
    assert found.cure == f"chown -R nobody:65534 {tree}; chmod -R u+rwX {tree}"
