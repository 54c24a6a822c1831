"""The SQLite driver in trouble, over the years, and beside DSPAM itself."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Learned, ScoreOptions, Totals
from dspamd.errors import TempFail
from dspamd.home.home import Home
from dspamd.maintenance.conformance.steps import all_tokens, counts, learn, learning, new, totals
from dspamd.maintenance.purge import Ages, Unused, purge
from dspamd.storage.contract import Change, Correct, Signature, Stored, TokenRow
from dspamd.storage.files.sqlite import SQLite
from dspamd.storage.files.sqlite_file import MOMENT_PAGES
from tests.dates import TURKISH
from tests.support.account import TRUST
from tests.support.day import LAST_OF_A_MONTH, NUMBER, TODAY
from tests.support.logged import Logged
from tests.support.recorded_stores import sqlite_file, sqlite_rows

RARE_ONES = Ages(unused=Unused(any=None))


@asynccontextmanager
async def sqlite(
    folder: Path,
    pragmas: Sequence[str] | None = None,
    *,
    today: Callable[[], date] = lambda: TODAY,
    deadline_s: float = 10.0,
    busy_s: float = 3.0,
    open_files: int = 32,
    moment_pages: int = MOMENT_PAGES,
) -> AsyncIterator[SQLite]:
    storage = SQLite(
        Home(folder),
        pragmas,
        today=today,
        deadline_s=deadline_s,
        busy_s=busy_s,
        open_files=open_files,
        moment_pages=moment_pages,
    )
    await storage.open()
    yield storage
    await storage.close()


def connect(folder: Path, owner: str) -> closing[sqlite3.Connection]:
    """The file of an owner as another program opens it."""
    path = Home(folder).file(owner, "sdb")
    return closing(sqlite3.connect(Home(folder).prepare(path), isolation_level=None, timeout=0))


def files(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


async def test_what_dspam_left_is_read(tmp_path: Path) -> None:
    sqlite_file(tmp_path, "bob")
    known = {
        int(token): (int(spam), int(innocent)) for token, spam, innocent, _ in sqlite_rows("dspam_token_data")
    }
    ((id, data, _, _),) = sqlite_rows("dspam_signature_data")
    async with sqlite(tmp_path) as storage:
        assert await storage.owners() == ["bob"]
        assert await storage.uid("bob", create=False) == "bob"
        assert await counts(storage, "bob", [*known, 1, 2]) == known
        assert await totals(storage, "bob") == Totals(spam_learned=1, spam_misclassified=1)
        stored = await storage.signature("bob", id)
        assert stored == Stored(bytes.fromhex(data), None)
        today = NUMBER
        assert await all_tokens(storage, "bob") == [TokenRow(t, *known[t], today) for t in sorted(known)]
        assert await storage.signatures("bob") == [(id, today)]


async def test_what_we_write_is_what_dspam_wrote(tmp_path: Path) -> None:
    """The recorded session: an innocent message, corrected to spam."""
    tokens = [int(row[0]) for row in sqlite_rows("dspam_token_data")]
    ((id, data, _, day),) = sqlite_rows("dspam_signature_data")
    missed = learning(tokens, 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)
    async with sqlite(tmp_path, today=lambda: date.fromisoformat(day)) as storage:
        uid = await new(storage, "bob")
        learned = learning(tokens, 0, 1, innocent_learned=1)
        await storage.apply(uid, Change(learned, Signature(id, bytes.fromhex(data))))
        await storage.apply(uid, Change(missed, correct=Correct(id, None, Label.SPAM)))
    with connect(tmp_path, "bob") as database:
        for table, columns in (
            ("dspam_token_data", "*"),
            ("dspam_signature_data", "signature, hex(data), length(data), created_on"),
            ("dspam_stats", "*"),
        ):
            written = [
                [str(value) for value in row] for row in database.execute(f"SELECT {columns} FROM {table}")
            ]
            assert sorted(written) == sorted(sqlite_rows(table)), table


async def test_the_schema_is_that_of_dspam(tmp_path: Path) -> None:
    sqlite_file(tmp_path, "theirs")
    async with sqlite(tmp_path) as storage:
        await new(storage, "ours")
        await new(storage, "theirs")
    with connect(tmp_path, "ours") as ours, connect(tmp_path, "theirs") as theirs:
        for table in ("dspam_token_data", "dspam_signature_data", "dspam_stats", "dspamd_correction"):
            columns = ours.execute(f"PRAGMA table_info({table})").fetchall()
            assert columns == theirs.execute(f"PRAGMA table_info({table})").fetchall()
            assert columns
        for kind in ("index", "trigger"):
            named = "SELECT name FROM sqlite_master WHERE type = ? ORDER BY name"
            assert ours.execute(named, (kind,)).fetchall() == theirs.execute(named, (kind,)).fetchall()


async def test_a_purge_by_dspam_takes_corrections_along(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as storage:
        uid = await new(storage, "bob")
        await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"")))
        await storage.apply(uid, Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
        with connect(tmp_path, "bob") as database:
            database.execute("DELETE FROM dspam_signature_data")
            assert database.execute("SELECT count(*) FROM dspamd_correction").fetchone() == (0,)


@pytest.mark.parametrize("theirs", [False, True])
async def test_a_purged_file_becomes_small_while_mail_flows(theirs: bool, tmp_path: Path) -> None:
    """dspamd's or DSPAM's; the latter becomes one that can shrink in steps."""
    if theirs:
        sqlite_file(tmp_path, "bob")
    stale, fresh = range(1, 8_001), range(10**6, 10**6 + 50)
    file = Home(tmp_path).file("bob", "sdb")
    messages = 0
    async with sqlite(tmp_path) as storage, sqlite(tmp_path) as daemon:
        await learn(storage, "bob", stale, 1, 0)
        await learn(storage, "bob", fresh, 0, 9)
        large = _size(file)

        async def mail() -> None:
            nonlocal messages
            while True:
                await learn(daemon, "bob", fresh, 0, 1, innocent_learned=1)
                messages += 1

        task = asyncio.create_task(mail())
        today = NUMBER + 31
        steps = [each async for each in purge(storage, "bob", RARE_ONES, ScoreOptions(), today)]
        assert not task.done()
        task.cancel()
        await asyncio.wait((task,))
        assert steps[-1].tokens_left == len(fresh)
        assert messages > 0
        assert set(await counts(daemon, "bob", fresh)) == set(fresh)
    assert _size(file) < large / 5
    with connect(tmp_path, "bob") as database:
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _size(file: Path) -> int:
    """The size of the file, once it has all that is in its log."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return file.stat().st_size


async def test_a_large_file_of_dspam_is_written_anew_on_request(tmp_path: Path) -> None:
    sqlite_file(tmp_path, "bob")
    tokens, file = range(1, 10_001), Home(tmp_path).file("bob", "sdb")
    async with sqlite(tmp_path, moment_pages=10) as storage:
        await learn(storage, "bob", tokens, 1, 2)
        await storage.delete_tokens("bob", array("Q", tokens[2_000:]))
        large = _size(file)
        assert not await storage.compact("bob")
        assert _size(file) == large
        assert not await storage.compact("bob", whole=True)
        assert _size(file) < large / 2
        assert await counts(storage, "bob", tokens) == dict.fromkeys(tokens[:2_000], (1, 2))
        assert await storage.compact("bob", whole=True) is False
    recorded_signature = sqlite_rows("dspam_signature_data")[0][0]
    with connect(tmp_path, "bob") as database:
        assert database.execute("SELECT signature FROM dspam_signature_data").fetchall() == [
            (recorded_signature,)
        ]


async def test_days_are_those_of_the_clock(tmp_path: Path) -> None:
    day = LAST_OF_A_MONTH
    async with sqlite(tmp_path, today=lambda: day) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1, 2], 1)
        day += timedelta(1)
        await learn(storage, uid, [2, 3], 1)
        first = (LAST_OF_A_MONTH - date(1970, 1, 1)).days
        assert [row.last_hit for row in await all_tokens(storage, uid)] == [first, first + 1, first + 1]
    with connect(tmp_path, "bob") as database:
        days = database.execute("SELECT last_hit FROM dspam_token_data ORDER BY token").fetchall()
    assert days == [("2026-01-31",), ("2026-02-01",), ("2026-02-01",)]


async def test_a_writer_elsewhere_delays_writing_but_not_reading(tmp_path: Path) -> None:
    async with sqlite(tmp_path, busy_s=0.05) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
        with connect(tmp_path, "bob") as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TempFail, match="locked"):
                await learn(storage, uid, [1], 1, 0, spam_learned=1)
            assert await counts(storage, uid, [1]) == {1: (1, 0)}
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
        assert await counts(storage, uid, [1]) == {1: (2, 0)}


async def test_a_writer_waits_for_its_turn(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as storage:
        uid = await new(storage, "bob")
        with connect(tmp_path, "bob") as other:
            other.execute("BEGIN IMMEDIATE")
            learned = asyncio.create_task(learn(storage, uid, [1], 1))
            await asyncio.wait([learned], timeout=0.1)
            assert not learned.done()
            other.execute("COMMIT")
        await learned
        assert await counts(storage, uid, [1]) == {1: (1, 0)}


async def test_the_write_ahead_log_is_turned_on_when_nobody_minds(tmp_path: Path) -> None:
    sqlite_file(tmp_path, "bob")
    async with sqlite(tmp_path) as storage:
        await new(storage, "bob")
    with connect(tmp_path, "bob") as other:
        assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
        other.execute("BEGIN")
        other.execute("SELECT * FROM dspam_stats").fetchone()
        async with sqlite(tmp_path, busy_s=0.05) as storage:
            assert (await totals(storage, "bob")).spam_learned == 1
        other.execute("COMMIT")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    async with sqlite(tmp_path) as storage:
        assert (await totals(storage, "bob")).spam_learned == 1
    with connect(tmp_path, "bob") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
    async with sqlite(tmp_path, ["max_page_count = 30"]) as storage:
        with pytest.raises(TempFail, match="full") as failure:
            change = learning(range(1, 50_000), 1, 0, spam_learned=1)
            await storage.apply(uid, Change(change, Signature("s", bytes(100_000))))
        assert failure.value.reply.code == 451
        assert "full" not in failure.value.text
    async with sqlite(tmp_path) as storage:
        assert (await totals(storage, uid)).spam_learned == 1
        assert await counts(storage, uid, range(1, 50_000)) == {1: (1, 0)}
        assert await storage.signature(uid, "s") is None
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
        assert await counts(storage, uid, [1]) == {1: (2, 0)}


async def test_a_file_that_may_not_grow_leaves_whole_messages(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    words = ("-m", "tests.support.learner", "sqlite", str(tmp_path), "bob", "1000000")
    learner = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=limit,
    )
    confirmed, trouble = await learner.communicate()
    assert b"TempFail: Storage is not available" in trouble.splitlines()[-1]
    async with sqlite(tmp_path) as storage:
        learned = (await totals(storage, "bob")).spam_learned
        assert learned == len(confirmed) > 0
        assert await counts(storage, "bob", range(1, 501)) == dict.fromkeys(range(1, 501), (learned, 0))


async def test_a_damaged_file_is_a_temporary_failure(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as storage:
        path = Home(tmp_path).prepare(Home(tmp_path).file("bob", "sdb"))
        path.write_bytes(b"no database at all" * 1_000)
        with pytest.raises(TempFail, match="not a database"):
            await totals(storage, "bob")
        with pytest.raises(TempFail, match="not a database"):
            await learn(storage, "bob", [1], 1)
        path.unlink()
        await learn(storage, "bob", [1], 1)
        assert await counts(storage, "bob", [1]) == {1: (1, 0)}


async def test_work_past_its_deadline_is_undone(tmp_path: Path) -> None:
    tokens = range(1, 300_001)
    async with sqlite(tmp_path) as storage:
        await new(storage, "bob")
    async with sqlite(tmp_path, deadline_s=0.05) as storage:
        with pytest.raises(TempFail, match="busy"):
            await learn(storage, "bob", tokens, 1, 0, spam_learned=1)
    async with sqlite(tmp_path) as storage:
        assert await totals(storage, "bob") == Totals()
        assert await all_tokens(storage, "bob") == []


async def test_files_replaced_or_deleted_behind_our_back_are_noticed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with sqlite(tmp_path) as ours, sqlite(tmp_path) as theirs:
        for storage in (ours, theirs):
            await learn(storage, "bob", [1], 1)
        assert await counts(ours, "bob", [1]) == {1: (2, 0)}
        await theirs.delete_owner("bob")
        assert await ours.uid("bob", create=False) is None
        assert await counts(ours, "bob", [1]) == {}
        await learn(theirs, "bob", [2], 1)
        assert await counts(ours, "bob", [1, 2]) == {2: (1, 0)}
        assert home.file("bob", "sdb").stat().st_mode & 0o007 == 0


async def test_few_files_are_open_for_many_owners(tmp_path: Path) -> None:
    def opened() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return sum(link.resolve().suffix == ".sdb" for link in links)

    async with sqlite(tmp_path, open_files=8) as storage:
        for number in range(60):
            await learn(storage, f"user{number}", [number + 1], 1)
        assert opened() <= 8
        for number in range(60):
            assert await counts(storage, f"user{number}", [number + 1]) == {number + 1: (1, 0)}
        assert len(await storage.owners()) == 60
    assert opened() == 0


async def test_a_site_tunes_its_connections(tmp_path: Path, logged: Logged) -> None:
    async with sqlite(tmp_path, ["nonsense?", "max_page_count = 3"]) as storage:
        with pytest.raises(TempFail):
            await learn(storage, "bob", range(1, 10_000), 1)
    assert "sqlite_pragma_failed" in logged.take()
    (tmp_path / "sqlite.pragma").write_text("PRAGMA max_page_count = 3\n\n")
    async with sqlite(tmp_path) as storage:
        with pytest.raises(TempFail):
            await learn(storage, "bob", range(1, 10_000), 1)


async def test_reading_needs_no_file(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as storage:
        snapshot = await storage.read("nobody", array("Q", [1]))
        assert (snapshot.totals, list(snapshot.hits.tokens)) == (Totals(), [])
        assert await storage.delete_tokens("nobody", array("Q", [1])) == 0
    assert files(tmp_path) == []


def test_the_contract_is_kept_where_a_capital_i_has_another_small_letter(tmp_path: Path) -> None:
    """Python's `sqlite3` looked at statements by the rules of the locale."""
    turkish = tmp_path / TURKISH
    subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", turkish], check=True, timeout=60)
    config = tmp_path / "dspam.conf"
    config.write_text(f"Home {tmp_path}\nStorageDriver sqlite3_drv\n{TRUST}\n")
    done = subprocess.run(
        [sys.executable, "-m", "dspamd.commands.dspam_admin", "storage-check"],
        env={**os.environ, "LC_ALL": TURKISH, "LOCPATH": str(tmp_path), "DSPAM_CONF": str(config)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
