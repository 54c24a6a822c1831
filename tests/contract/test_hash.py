"""The hash driver: the files of DSPAM, byte for byte, and trouble."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import fcntl
import os
import random
import resource
import signal
import struct
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.config.config import Config
from dspamd.engine.model import Hits, Label, Learned, Snapshot, TokenChange, TokenOptions, Totals
from dspamd.engine.tokenizer import tokenize
from dspamd.errors import ConfigError, TempFail
from dspamd.home.home import Home
from dspamd.mail.view_classic import view
from dspamd.maintenance.conformance.steps import all_tokens, counts, learn, learning, new, totals
from dspamd.storage.contract import Change, Correct, Signature, Stale, Stored
from dspamd.storage.drivers import open_storage
from dspamd.storage.files import css
from dspamd.storage.files.css import Shape
from dspamd.storage.files.hash import HashFiles, shape
from dspamd.storage.files.hash_file import HashFile
from dspamd.storage.files.journal import Before, Journal
from dspamd.storage.files.threads import Threads
from tests.golden.data import rows
from tests.support.day import TODAY
from tests.support.logged import Logged
from tests.support.recorded_stores import HASH_LEFT, HASH_SINGLE, css_file, hash_file

SMALL = Shape(records=13, seek=3, percent=10)
GROWN = [row for row in rows("css_files.jsonl") if row["steps"][-1]["exit"] == 0]
FULL = [row for row in rows("css_files.jsonl") if row["steps"][-1]["exit"] != 0]


def content(folder: Path, owner: str = "bob") -> bytes:
    return css_file(folder, owner).read_bytes()


def dumped(row: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """Spam and innocent hits of the tokens that dspam_dump showed."""
    fields = (line.split() for line in row["dump"].splitlines())
    return {int(field[0]): (int(field[2]), int(field[4])) for field in fields}


def configured(row: dict[str, Any], *more: str) -> Shape:
    lines = [f"{name} {value}" for name, value in row["config"].items()]
    return shape(Config.from_text("\n".join(["Home /x", *lines, *more])))


@asynccontextmanager
async def hashes(
    folder: Path, form: Shape = SMALL, *, today: date = TODAY, busy_s: float = 3.0
) -> AsyncIterator[HashFiles]:
    storage = HashFiles(Home(folder), form, today=lambda: today, busy_s=busy_s)
    await storage.open()
    yield storage
    await storage.close()


@pytest.mark.parametrize(
    "row", [*GROWN, *FULL, *HASH_SINGLE], ids=lambda row: "-".join(row["config"].values())
)
async def test_what_dspam_left_is_read(tmp_path: Path, row: dict[str, Any]) -> None:
    hash_file(tmp_path, bytes.fromhex(row["css_hex"]))
    known = dumped(row)
    async with hashes(tmp_path, configured(row)) as storage:
        assert await counts(storage, "bob", [*known, 1, 2, 3]) == known
        assert [
            (token.token, (token.spam, token.innocent)) for token in await all_tokens(storage, "bob")
        ] == sorted(known.items())
        assert (await totals(storage, "bob")).innocent_learned > 0
    assert content(tmp_path) == bytes.fromhex(row["css_hex"])


@pytest.mark.parametrize("row", [*GROWN, *HASH_SINGLE], ids=lambda row: "-".join(row["config"].values()))
async def test_what_we_write_is_what_dspam_wrote(tmp_path: Path, row: dict[str, Any]) -> None:
    """The same messages make the same file, extent by extent; only our day in its padding differs."""
    sizes = []
    async with hashes(tmp_path, configured(row, "StrictCompatibility on")) as storage:
        for message in row["messages"]:
            options = TokenOptions("word", whitelist=True)
            tokens = tokenize(view(message.encode("latin-1")), options).values
            n = len(tokens)
            change = TokenChange(tokens, array("i", [0]) * n, array("i", [1]) * n)
            await storage.apply("bob", Change(Learned(Totals(innocent_learned=1), change)))
            sizes.append(len(content(tmp_path)))
    ours = bytearray(content(tmp_path))
    css.set_day(ours, 0)
    assert ours == bytes.fromhex(row["css_hex"])
    assert sizes == [step["size"] for step in row.get("steps", [row] * len(sizes))]


async def test_signatures_lie_where_dspam_has_them(tmp_path: Path) -> None:
    path, recorded = next(iter(HASH_LEFT["sig_hex"].items()))
    owner, id = Path(path).parts[1], Path(path).stem
    async with hashes(tmp_path) as storage:
        data = bytes.fromhex(recorded)
        await storage.apply(owner, Change(Learned.nothing(), Signature(id, data)))
        assert (tmp_path / path).read_bytes() == data
        stored = await storage.signature(owner, id)
        assert stored == Stored(data, None)
    assert {file.suffix for file in (tmp_path / path).parent.parent.iterdir()} == {
        ".css", ".sig", ".lock", ".journal",
    }  # fmt: skip


async def test_a_correction_goes_when_signatures_are_purged(tmp_path: Path) -> None:
    """DSPAM's maintenance script deletes `*.sig` files."""
    async with hashes(tmp_path) as storage:
        await storage.apply("bob", Change(Learned.nothing(), Signature("s", b"")))
        await storage.apply("bob", Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
        assert [id for id, _ in await storage.signatures("bob")] == ["s"]
        signatures = Home(tmp_path).file("bob", "sig")
        assert len(list(signatures.glob("*.sig"))) == len(list(signatures.iterdir())) == 2
        for signature in signatures.glob("*.sig"):
            signature.unlink()
        assert await storage.signature("bob", "s") is None


# Layouts of other machines: header, record, and the order of the fields in a record.
LAYOUTS = {"32-bit": ("<I8iI", "<QII"), "32-bit big": (">I8iI", ">QII"), "64-bit big": (">Q8qI4x", ">QQQ")}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("row", GROWN, ids=lambda row: "-".join(row["config"].values()))
async def test_files_of_other_machines_are_converted(
    tmp_path: Path, layout: str, row: dict[str, Any]
) -> None:
    ours, theirs, at = bytes.fromhex(row["css_hex"]), b"", 0
    head, record = LAYOUTS[layout]
    for records in css.extents(ours):
        size, *counters, flags, _ = css.HEADER.unpack_from(ours, at)
        at += css.HEADER.size
        theirs += struct.pack(head, size, *counters, flags)
        for fields in struct.iter_unpack("<QQQ", ours[at : at + 24 * records]):
            theirs += struct.pack(record, *fields)
        at += 24 * records
    hash_file(tmp_path, theirs)
    async with hashes(tmp_path, configured(row)) as storage:
        assert await counts(storage, "bob", list(dumped(row))) == dumped(row)
    assert content(tmp_path) == ours


@pytest.mark.parametrize("missing", [1, 24, 100, 23 * 24, 23 * 24 + 40])
async def test_a_cut_file_is_completed(tmp_path: Path, missing: int) -> None:
    whole = bytes.fromhex(GROWN[0]["css_hex"])
    hash_file(tmp_path, whole[:-missing])
    known = dumped(GROWN[0])
    async with hashes(tmp_path, configured(GROWN[0])) as storage:
        kept = await counts(storage, "bob", list(known))
        assert kept.items() <= known.items()
        assert len(kept) >= len(known) - 5  # the last extent is lost
        await learn(storage, "bob", list(known), 1, 0, spam_learned=1)
        assert all(spam == 1 for spam, _ in (await counts(storage, "bob", list(known))).values())
    assert css.sound_length(content(tmp_path)) == len(content(tmp_path))


@given(st.binary(max_size=400) | st.integers(80, 500).map(bytes))
def test_any_file_is_a_hash_file_or_none(file: bytes) -> None:
    length = css.sound_length(file)
    assert length is None or length >= css.HEADER.size
    native = css.converted(file)
    assert native is None or css.sound_length(native) == len(native)


@pytest.mark.parametrize("junk", [b"short", bytes(1_000), b"no hash file at all " * 100])
async def test_what_is_no_hash_file_is_left_alone(tmp_path: Path, junk: bytes) -> None:
    hash_file(tmp_path, junk)
    async with hashes(tmp_path) as storage:
        for _ in range(2):
            with pytest.raises(TempFail):
                await learn(storage, "bob", [1], 1)
    assert content(tmp_path) == junk


async def test_an_empty_file_of_another_account_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSPAM left such files where the disk was full; only root may give a file away."""
    given: list[int] = []

    def chown(path: Path, user: int, group: int) -> None:
        if user != -1:
            raise PermissionError
        given.append(group)

    hash_file(tmp_path, b"")
    monkeypatch.setattr(os, "chown", chown)
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 1)
        assert await counts(storage, "bob", [1]) == {1: (1, 0)}
    assert given == [css_file(tmp_path).stat().st_gid]


async def test_a_full_file_grows_or_loses_tokens(tmp_path: Path, logged: Logged) -> None:
    tokens = range(1, 101)
    async with hashes(tmp_path, SMALL) as storage:
        await learn(storage, "grows", tokens, 1, 0, spam_learned=1)
        assert await counts(storage, "grows", tokens) == dict.fromkeys(tokens, (1, 0))
    assert css.extents(content(tmp_path, "grows")) == [13, 17, 19, 23, 29]
    assert "hash_file_full" not in logged.take()
    async with hashes(tmp_path, Shape(records=13, seek=3, extents=2)) as storage:
        await learn(storage, "stops", tokens, 1, 0, spam_learned=1)
        kept = await counts(storage, "stops", tokens)
        assert len(kept) == 3 * 13
        assert (await totals(storage, "stops")).spam_learned == 1
    assert f"lost={100 - 3 * 13}" in logged.take()
    async with hashes(tmp_path, Shape(records=13, seek=3, extend=False)) as storage:
        await learn(storage, "full", tokens, 1)
        assert len(await counts(storage, "full", tokens)) == 13


LARGE = Shape(records=6_291_469, seek=100)


def on_disk(file: Path) -> int:
    """Bytes that a file takes there."""
    return file.stat().st_blocks * 512


async def test_a_file_is_made_when_something_is_learned(tmp_path: Path) -> None:
    file = css_file(tmp_path)
    async with hashes(tmp_path, LARGE) as storage:
        assert await storage.uid("bob", create=True) == "bob"
        assert await totals(storage, "bob") == Totals()
        assert await storage.signature("bob", "s") is None
        assert await all_tokens(storage, "bob") == []
        assert await storage.uid("bob", create=False) is None
        assert await storage.owners() == []
        assert list(file.parent.iterdir()) == []
        await learn(storage, "bob", [1], 1)
        assert await storage.uid("bob", create=False) == "bob"
        assert file.stat().st_size > 144 * 2**20


async def test_a_large_file_is_sparse(tmp_path: Path) -> None:
    """Also a file that has grown, or a new copy; and no record ever lies in a hole."""
    tokens = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 1_001)]
    file = css_file(tmp_path)
    async with hashes(tmp_path, LARGE) as storage:
        await learn(storage, "bob", tokens, 1, 0, spam_learned=1)
        assert on_disk(file) < 8 * 2**20 < file.stat().st_size
        await storage.delete_tokens("bob", array("Q", tokens[500:]))
        assert await counts(storage, "bob", tokens) == dict.fromkeys(tokens[:500], (1, 0))
    with closing(HashFile(file, LARGE, 3.0, time.monotonic() + 60)) as opened:
        opened.rewrite(least=LARGE.records)
    assert on_disk(file) < 40 * 2**20 < file.stat().st_size
    crowded = dataclasses.replace(LARGE, seek=1, percent=0)
    async with hashes(tmp_path, crowded) as storage:
        twins = [1 + LARGE.records * n for n in range(3)]  # all with the same home
        await learn(storage, "bob", twins, 1, 0, spam_learned=1)
        assert len(css.extents(content(tmp_path))) == 3
        assert on_disk(file) < 40 * 2**20
        assert await counts(storage, "bob", [*tokens, *twins]) == dict.fromkeys(
            [*tokens[:500], *twins], (1, 0)
        )


@pytest.mark.parametrize("option", ["HashNoHoles", "HashFallocate"])
async def test_a_site_may_want_files_without_holes(tmp_path: Path, option: str) -> None:
    form = dataclasses.replace(configured({"config": {}}, f"{option} on"), records=800_000)
    async with hashes(tmp_path, form) as storage:
        await learn(storage, "bob", [1], 1, 0, spam_learned=1)
    file = css_file(tmp_path)
    assert on_disk(file) >= file.stat().st_size > 2**24


async def test_a_disk_without_room_for_a_hole_undoes_the_change(tmp_path: Path) -> None:
    """The driver allocates blocks before it writes to the page: else the kernel would end the process."""
    file = css_file(tmp_path)
    async with hashes(tmp_path, LARGE) as storage:
        await learn(storage, "bob", [1], 1, 0, spam_learned=1)
    with closing(HashFile(file, LARGE, 3.0, time.monotonic() + 60)) as opened:
        reading, writing = os.pipe()  # a pipe has no blocks
        os.dup2(writing, opened._holes)
        with pytest.raises(OSError, match="seek"):
            opened.apply(Change(learning([1, 2**40], 1, 0, spam_learned=1)), TODAY)
        assert opened.read(array("Q", [1, 2**40])) == Snapshot(
            Totals(spam_learned=1), Hits(array("Q", [1]), array("Q", [1]), array("Q", [0]))
        )
        os.close(reading)
        os.close(writing)


async def test_a_large_file_has_few_extents(tmp_path: Path) -> None:
    """Unless the site limits their number, and so counts on their size."""
    tokens = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 20_001)]
    for name, limit, wanted in (("any", 0, range(8, 20)), ("some", 10_000, range(20, 10_000))):
        shape = Shape(records=101, seek=10, extents=limit)
        async with hashes(tmp_path / name, shape) as storage:
            await learn(storage, "bob", tokens, 1, 0, spam_learned=1)
            assert await counts(storage, "bob", tokens) == dict.fromkeys(tokens, (1, 0))
        assert len(css.extents(css_file(tmp_path / name).read_bytes())) in wanted


async def test_hits_are_limited_as_by_dspam_only_if_asked(tmp_path: Path) -> None:
    strict = configured({"config": {}}, "StrictCompatibility on")
    async with hashes(tmp_path, strict) as storage:
        await learn(storage, "strict", [1], 5, 5, spam_learned=2)
        assert await counts(storage, "strict", [1]) == {1: (2, 0)}
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 2**31 - 1, 5, spam_learned=2)
        assert await counts(storage, "bob", [1]) == {1: (2**28 - 1, 5)}


async def test_days_are_counted_in_the_ages(tmp_path: Path) -> None:
    epoch = date(1970, 1, 1).toordinal()
    for day, token in ((0, 1), (3, 2), (40, 3)):
        async with hashes(tmp_path, today=TODAY + timedelta(day)) as storage:
            await learn(storage, "bob", [token], 1)
    async with hashes(tmp_path, today=TODAY + timedelta(100)) as storage:
        days = {
            row.token: row.last_hit - TODAY.toordinal() + epoch for row in await all_tokens(storage, "bob")
        }
        assert days == {1: 0, 2: 3, 3: 40}
        await learn(storage, "bob", [1], 1)
        days = {
            row.token: row.last_hit - TODAY.toordinal() + epoch for row in await all_tokens(storage, "bob")
        }
        assert days == {1: 100, 2: 3, 3: 40}
        assert await counts(storage, "bob", [1, 2, 3]) == {1: (2, 0), 2: (1, 0), 3: (1, 0)}


@pytest.mark.parametrize("rubbish", [1, 2**32 - 1])
async def test_rubbish_in_the_padding_makes_nothing_old(tmp_path: Path, rubbish: int) -> None:
    file = bytearray.fromhex(GROWN[0]["css_hex"])
    css.set_day(file, rubbish)
    hash_file(tmp_path, bytes(file))
    async with hashes(tmp_path, configured(GROWN[0])) as storage:
        await learn(storage, "bob", [1], 1)
        today = TODAY.toordinal() - date(1970, 1, 1).toordinal()
        assert {row.last_hit for row in await all_tokens(storage, "bob")} == {today}


async def test_what_was_begun_and_not_finished_is_undone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with hashes(tmp_path) as storage:
        await storage.apply(
            "bob", Change(learning([1, 2], 4, 1, spam_learned=4), Signature("old", b"before"))
        )
        before = Before(
            Totals(spam_learned=4), array("Q", [1, 3]), array("Q", [4, 0]), array("Q", [1, 0]),
            {"old.sig": b"before", "new.sig": None},
        )  # fmt: skip
        await storage.apply("bob", Change(learning([1, 3], 1, 0, spam_learned=1), Signature("old", b"after")))
        await storage.apply("bob", Change(Learned.nothing(), Signature("new", b"after")))
        Journal(home.file("bob", "journal")).begin(before)
        assert await counts(storage, "bob", [1, 2, 3]) == {1: (4, 1), 2: (4, 1)}
        assert (await totals(storage, "bob")).spam_learned == 4
        stored = await storage.signature("bob", "old")
        assert stored is not None
        assert stored.data == b"before"
        assert await storage.signature("bob", "new") is None
        assert not Journal(home.file("bob", "journal")).pending()


async def test_a_journal_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    journal = Home(tmp_path).file("bob", "journal")
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 1)
        Journal(journal).begin(
            Before(Totals(9), array("Q", [1]), array("Q", [9]), array("Q", [9]), {"a.sig": b"b"})
        )
        whole = journal.read_bytes()
        for length in range(1, len(whole)):
            journal.write_bytes(whole[:length])
            assert await counts(storage, "bob", [1]) == {1: (1, 0)}
        journal.write_bytes(whole)
        assert await counts(storage, "bob", [1]) == {1: (9, 9)}


async def test_trouble_on_the_way_undoes_the_change(tmp_path: Path) -> None:
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 1, 0, spam_learned=1)
        signatures = Home(tmp_path).file("bob", "sig")
        signatures.write_bytes(b"")  # a file in place of the directory
        with pytest.raises(TempFail):
            await storage.apply(
                "bob", Change(learning([1, 2], 1, 0, spam_learned=1), Signature("s", b"data"))
            )
        signatures.unlink()
        assert await counts(storage, "bob", [1, 2]) == {1: (1, 0)}
        assert (await totals(storage, "bob")).spam_learned == 1


async def test_a_file_that_may_not_grow_leaves_whole_messages(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    async with hashes(tmp_path, SMALL) as storage:
        await new(storage, "bob")
    script = (
        "import asyncio, pathlib, sys\n"
        "from dspamd.home.home import Home\n"
        "from dspamd.maintenance.conformance.steps import learn\n"
        "from dspamd.storage.files.hash import HashFiles\n"
        "from dspamd.storage.files.css import Shape\n"
        "async def main():\n"
        "    storage = HashFiles(Home(pathlib.Path(sys.argv[1])), Shape(records=13, seek=3, percent=100))\n"
        "    for first in range(1, 2**40, 500):\n"
        "        await learn(storage, 'bob', range(first, first + 500), 1, 0, spam_learned=1)\n"
        "        print(flush=True)\n"
        "asyncio.run(main())\n"
    )
    learner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, preexec_fn=limit,
    )  # fmt: skip
    confirmed, trouble = await learner.communicate()
    assert b"TempFail: Storage is not available" in trouble.splitlines()[-1]
    async with hashes(tmp_path, SMALL) as storage:
        learned = (await totals(storage, "bob")).spam_learned
        assert learned == len(confirmed) > 0
        tokens = range(1, 500 * learned + 1)
        assert len(await all_tokens(storage, "bob")) == 500 * learned
        assert await counts(storage, "bob", tokens) == dict.fromkeys(tokens, (1, 0))


async def test_extents_may_have_a_power_of_two(tmp_path: Path) -> None:
    """Beside those of a prime number that are there already."""
    row, tokens = GROWN[0], range(1, 2_001)
    hash_file(tmp_path, bytes.fromhex(row["css_hex"]))
    form = configured(row, "HashPow2 on")
    async with hashes(tmp_path, form) as storage:
        await learn(storage, "bob", tokens, 1, 0)
        assert await counts(storage, "bob", [*dumped(row), *tokens]) == dumped(row) | dict.fromkeys(
            tokens, (1, 0)
        )
        sizes = css.extents(content(tmp_path))
        assert sizes[:5] == [13, 17, 19, 23, 32]
        assert all(size & (size - 1) == 0 for size in sizes[4:])
        await storage.delete_tokens("bob", array("Q", tokens))
        await storage.compact("bob")
        assert await counts(storage, "bob", [*dumped(row), *tokens]) == dumped(row)
    assert css.extents(content(tmp_path)) == [512]


def mapped(folder: Path) -> int:
    """How many hash files this process has open."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(line.endswith(".css") and str(folder) in line for line in maps)


async def test_a_site_says_how_many_files_stay_open(tmp_path: Path) -> None:
    lines = f"Home {tmp_path}\nStorageDriver libhash_drv.so\nHashRecMax 13\nHashConnectionCache "
    owners = [f"user{number}" for number in range(40)]
    for cache, at_most in (("4", 7), ("100", 40)):  # each of four threads may have one
        storage = open_storage(Config.from_text(lines + cache), Home(tmp_path))
        await storage.open()
        for owner in owners:
            await learn(storage, owner, [1], 1)
        open_files = mapped(tmp_path)
        assert 0 < open_files <= at_most
        await storage.close()
    assert open_files == 40


@pytest.mark.parametrize("driver", ["hash", "sqlite3"])
async def test_a_site_says_how_long_it_waits_for_its_files(tmp_path: Path, driver: str) -> None:
    lines = f"Home {tmp_path}\nStorageDriver lib{driver}_drv.so\nStorageTimeout 1"
    storage = open_storage(Config.from_text(lines), Home(tmp_path))
    await storage.open()
    await storage.uid("bob", create=True)
    os.mkfifo(fifo := tmp_path / "data" / "bob" / "bob.prefs")
    with pytest.raises(TempFail, match="no answer within 1 s"):
        await storage.preferences("bob")
    os.close(os.open(fifo, os.O_RDWR))  # release the thread that waits for a writer
    await storage.close()


async def test_a_purged_file_gives_its_space_back(tmp_path: Path) -> None:
    """Counters, ages, totals and signatures stay, and it is as small as a new file."""
    tokens = range(1, 5_001)
    async with hashes(tmp_path, SMALL, today=TODAY - timedelta(7)) as storage:
        await learn(storage, "bob", tokens, 1, 2, spam_learned=1)
        await storage.apply("bob", Change(Learned.nothing(), Signature("s", b"data")))
    async with hashes(tmp_path, SMALL) as storage, hashes(tmp_path, SMALL) as other:
        await counts(other, "bob", tokens)
        await learn(storage, "bob", tokens[:10], 1, 0)
        before = await all_tokens(storage, "bob")
        await storage.delete_tokens("bob", array("Q", tokens[20:]))
        large = css_file(tmp_path).stat()
        await storage.compact("bob")
        small = css_file(tmp_path).stat()
        assert small.st_size < 80 + 24 * 100 < large.st_size
        assert (small.st_mode, small.st_uid, small.st_gid) == (large.st_mode, large.st_uid, large.st_gid)
        for store in (storage, other):
            assert await all_tokens(store, "bob") == before[:20]
            assert (await totals(store, "bob")).spam_learned == 1
            assert await store.signature("bob", "s") == Stored(b"data", None)
        await storage.compact("bob")
        assert css_file(tmp_path).stat().st_ino == small.st_ino  # nothing more to gain


async def test_a_disk_that_is_full_keeps_the_larger_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with hashes(tmp_path, SMALL) as storage:
        await learn(storage, "bob", range(1, 1_001), 1)
        await storage.delete_tokens("bob", array("Q", range(11, 1_001)))
        with monkeypatch.context() as patch:
            patch.setattr(os, "truncate", full)
            with pytest.raises(TempFail):
                await storage.compact("bob")
        assert {path.suffix for path in css_file(tmp_path).parent.iterdir()} == {".css", ".journal", ".lock"}
        assert await counts(storage, "bob", range(1, 1_001)) == dict.fromkeys(range(1, 11), (1, 0))


KILLS = 300


@pytest.mark.timeout(300)  # for a busy machine
async def test_hundreds_of_kills_leave_whole_messages(tmp_path: Path) -> None:
    """Each message adds one to the total and to all tokens, and leaves a signature; the file grows, too."""
    chance, path = random.Random(1), Home(tmp_path).prepare(css_file(tmp_path))
    confirmed, signatures = 0, path.with_suffix(".sig")
    for kill in range(KILLS):
        confirmed += killed(path, kill, chance.random() * 0.004)
        async with hashes(tmp_path, SMALL) as storage:
            learned = (await totals(storage, "bob")).spam_learned
            assert learned in (confirmed, confirmed + 1)
            assert await counts(storage, "bob", COMMON) == dict.fromkeys(COMMON, (learned, 0))
            assert len(list(signatures.glob("*.sig"))) == learned  # the store would ask how old each one is
            confirmed = learned
    async with hashes(tmp_path, SMALL) as storage:
        assert len(await storage.signatures("bob")) == confirmed
        assert len(await all_tokens(storage, "bob")) == len(COMMON) + 10 * confirmed
    assert len(css.extents(content(tmp_path))) > 5


COMMON = range(1, 201)


def killed(path: Path, kill: int, after_s: float) -> int:
    """Let a process learn, and kill it so long after its first message; the number of confirmed messages."""
    done, say = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover
        learn_for_ever(path, kill, say)
    os.close(say)
    os.read(done, 1)
    time.sleep(after_s)  # in the middle of one of the next messages
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(done, "rb") as rest:
        return 1 + len(rest.read())


def learn_for_ever(path: Path, kill: int, say: int) -> None:  # pragma: no cover
    """Confirm each message after the store has learned it."""
    until = time.monotonic() + 60
    file = HashFile(path, SMALL, 3.0, until)
    for number in range(10_000):
        own = 10**9 + 10 * (10_000 * kill + number)
        change = learning([*COMMON, *range(own, own + 10)], 1, 0, spam_learned=1)
        file.apply(Change(change, Signature(f"{kill},{number:x}", b"data")), TODAY)
        os.write(say, b"x")
    os._exit(1)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lock of an owner, held by another process, as DSPAM holds it while it works on a message."""
    path = Home(folder).file("bob", "lock")
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover
        with path.open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    yield
    os.write(done[1], b"x")
    os.waitpid(child, 0)
    for end in (*ready, *done):
        os.close(end)


async def test_dspam_at_work_is_waited_for(tmp_path: Path) -> None:
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 1)
        with held(tmp_path):
            learned = asyncio.create_task(learn(storage, "bob", [1], 1))
            await asyncio.wait([learned], timeout=0.1)
            assert not learned.done()
        await learned
        assert await counts(storage, "bob", [1]) == {1: (2, 0)}


async def test_waiting_for_dspam_ends(tmp_path: Path) -> None:
    async with hashes(tmp_path, busy_s=0.05) as storage:
        await learn(storage, "bob", [1], 1)
        with held(tmp_path):
            with pytest.raises(TempFail, match="locked"):
                await learn(storage, "bob", [1], 1)
            with pytest.raises(TempFail, match="locked"):
                await counts(storage, "bob", [1])
        assert await counts(storage, "bob", [1]) == {1: (1, 0)}


async def test_a_file_replaced_by_cssclean_is_noticed(tmp_path: Path) -> None:
    row = GROWN[0]
    async with hashes(tmp_path, configured(row)) as storage:
        await learn(storage, "bob", [1], 1)
        fresh = css_file(tmp_path).with_name(".dspam1.css")
        fresh.write_bytes(bytes.fromhex(row["cssclean"]["css_hex"]))
        fresh.rename(css_file(tmp_path))
        assert await counts(storage, "bob", [*dumped(row), 1]) == dumped(row)


async def test_what_lies_in_memory_is_read_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hashes(tmp_path) as storage:
        await learn(storage, "bob", [1], 1, 0, spam_learned=1)
        with monkeypatch.context() as patch:
            patch.setattr(Threads, "run", None)
            snapshot = await storage.read("bob", array("Q", [1, 2]))
            assert (snapshot.totals.spam_learned, list(snapshot.hits.tokens)) == (1, [1])
        with held(tmp_path):  # now a thread waits
            read = asyncio.create_task(counts(storage, "bob", [1]))
            await asyncio.wait([read], timeout=0.1)
            assert not read.done()
        assert await read == {1: (1, 0)}


async def test_hostile_ids_never_become_paths(tmp_path: Path) -> None:
    async with hashes(tmp_path) as storage:
        await learn(storage, "eve", [1], 1)
        await storage.apply("bob", Change(Learned.nothing(), Signature("s", b"secret")))
        await storage.apply("bob", Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
        for id in ("../../bob/bob.sig/s", "../eve.css", "s.corrected", "s\0", "."):
            for owner in ("eve", "bob"):
                assert await storage.signature(owner, id) is None
                assert not await storage.delete_signature(owner, id)
                with pytest.raises(Stale):
                    await storage.apply(
                        owner, Change(learning([1], 1), correct=Correct(id, None, Label.SPAM))
                    )


def test_the_driver_is_chosen_by_the_name_of_its_library(tmp_path: Path) -> None:
    def chosen(driver: str) -> str:
        config = Config.from_text(f"Home {tmp_path}\nStorageDriver {driver}")
        return type(open_storage(config, Home(tmp_path))).__name__

    assert chosen("/usr/lib/dspam/libhash_drv.so") == chosen("hash_drv") == "HashFiles"
    assert chosen("/usr/lib/dspam/libsqlite3_drv.so") == chosen("libsqlite_drv.la") == "SQLite"
    with pytest.raises(ConfigError, match="oracle"):
        chosen("liboracle_drv.so")
