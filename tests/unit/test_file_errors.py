"""Texts about files that cannot be read or written."""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dspamd.commands import dspamc
from dspamd.config.config import Config
from dspamd.delivery.quarantine import Quarantine
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.errors import ConfigError, TempFail
from dspamd.file_errors import explained
from dspamd.home.home import Home
from dspamd.storage.contract import Change, Storage
from dspamd.storage.files.css import Shape
from dspamd.storage.files.hash import HashFiles
from dspamd.storage.files.sqlite import SQLite
from tests.support.full_disk import full_beyond
from tests.support.stranger import folder_of_stranger, give, stranger

LIMIT = r"\(this process may write {} bytes to a file: ulimit -f, LimitFSIZE\)"


async def learns(storage: Storage) -> None:
    try:
        await storage.open()
        uid = await storage.uid("bob", create=True)
        assert uid is not None
        await storage.apply(uid, Change(Learned(Totals(1), TokenChange.none())))
    finally:
        await storage.close()


async def quarantines(folder: Path) -> None:
    await Quarantine(timeout_s=5).keep(folder / "bob.mbox", b"x" * 100)


@pytest.mark.parametrize(
    ("work", "file"),
    [
        (lambda home: learns(SQLite(Home(home))), r"bob\.sdb: disk I/O error"),
        (lambda home: learns(HashFiles(Home(home), Shape())), r"bob\.css\.new: File too large"),
        (quarantines, r"bob\.mbox: File too large"),
    ],
)
def test_a_file_that_is_too_large_is_named_with_the_limit(
    work: Callable[[Path], Awaitable[None]], file: str, tmp_path: Path
) -> None:
    async def run() -> None:
        await work(tmp_path)

    with full_beyond(10), pytest.raises(TempFail) as caught:
        asyncio.run(run())
    assert re.search(f"{tmp_path}.*{file} {LIMIT.format(10)}", caught.value.detail)


def test_a_limit_that_there_is_not_is_not_told() -> None:
    assert explained(OSError(errno.EFBIG, "File too large"), "/x") == "/x: File too large"
    assert explained(sqlite3.OperationalError("disk I/O error"), "/x") == "/x: disk I/O error"
    assert explained(OSError("no number")) == "no number"


def test_an_unreadable_configuration() -> None:
    with folder_of_stranger() as folder:
        file, part = folder / "dspam.conf", folder / "part.conf"
        file.write_text("Home /x\nInclude part.conf\n")
        part.write_text("Trust root\n")
        give(file)
        give(part)

        def told() -> str:
            with stranger(), pytest.raises(ConfigError) as caught:
                Config.load(file)
            return str(caught.value)

        who = r"Permission denied: account \S+ \(groups? .+\)"
        part.chmod(0o200)
        lacks = rf"{who} may not read {part} \(of \S+:\S+, mode 0200\)"
        assert re.fullmatch(rf"{file}:2: Include: {part} cannot be read: {lacks}", told())
        file.chmod(0o200)
        lacks = rf"{who} may not read {file} \(of \S+:\S+, mode 0200\)"
        assert re.fullmatch(rf"{file}: cannot be read: {lacks}", told())
        folder.chmod(0o600)
        shut = rf"{who} may not enter {folder} \(of \S+:\S+, mode 0600\)"
        assert re.fullmatch(rf"{file}: cannot be read: {shut}", told())
        folder.chmod(0o700)


def test_what_a_group_may_read_is_told_to_those_who_are_not_in_it() -> None:
    """As a rule dspam.conf belongs to root and a group, with mode 0640."""
    with folder_of_stranger() as folder, stranger():
        file = folder / "dspam.conf"
        file.write_text("Home /x\n")
        file.chmod(0o040)
        status = file.stat()
        me = {"geteuid": status.st_uid + 1, "getegid": status.st_gid + 1, "getgroups": [status.st_gid + 2]}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in me.items():
                patch.setattr(os, name, lambda value=value: value)
            text = explained(PermissionError(errno.EACCES, "Permission denied", str(file)))
    group = grp.getgrgid(status.st_gid).gr_name
    assert f"may neither read nor write {file} (of " in text
    assert text.endswith(f":{group}, mode 0040: group {group} may read it)")


def test_a_folder_of_parts_that_nobody_may_look_into() -> None:
    """Its files were silently left out."""
    with folder_of_stranger() as folder:
        file, parts = folder / "dspam.conf", folder / "dspam.d"
        parts.mkdir()
        for path in file, parts:
            path.touch()
            give(path)
        for mode in 0o300, 0o000:
            parts.chmod(mode)
            for line in "Include dspam.d", "Include dspam.d/*.conf":
                file.write_text(f"Home /x\n{line}\n")
                with stranger(), pytest.raises(ConfigError) as caught:
                    Config.load(file)
                assert f"{file}:2: Include: " in str(caught.value)
                assert "Permission denied: account" in str(caught.value)
        parts.chmod(0o700)


def test_dspamc_says_so_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with folder_of_stranger() as folder:
        file = folder / "dspam.conf"
        file.write_text("Home /x\n")
        give(file)
        file.chmod(0o200)
        monkeypatch.setattr(dspamc, "config_path", lambda: str(file))  # borrowed rights void DSPAM_CONF
        with stranger():
            assert dspamc.main(["--user", "bob", "--deliver=stdout"]) != 0
        error = capsys.readouterr().err
    assert re.match(rf"dspamc: {file}: Permission denied: account .* may not read {file}", error)
