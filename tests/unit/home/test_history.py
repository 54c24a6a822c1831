"""system.log, the logs of users and their statistics: the original's formats, and trouble with them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.engine.model import Totals
from dspamd.home.history import Fields, History, Record
from dspamd.home.home import Home
from dspamd.mail.message import Message
from tests.golden.data import rows
from tests.support.day import NOW_S
from tests.support.full_disk import full_beyond
from tests.support.logged import Logged

RECORD = Record(
    user="bob",
    file_user="bob",
    letter="I",
    signature="6b000a80122151437417508",
    status="Delivered",
    seconds=0.000824,
    statistics="bob",
    totals=Totals(innocent_learned=3),
    merged=None,
    fields=Fields("ann@example.org", "minutes", "<abc@example.org>"),
)
LOGS = [
    (file["path"], line)
    for row in rows("files.jsonl")
    for file in row.get("files", ())
    if file["path"].endswith(".log")
    for line in file["content"].splitlines(keepends=True)
    if line != "\n"
]


def history(home: Path) -> History:
    return History(Home(home), system=True, user=True, stats=True, clock=lambda: NOW_S + 0.5)


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("path", "line"), LOGS)
def test_a_line_is_that_of_the_original(path: str, line: str) -> None:
    when, letter, sender, signature, subject, *rest = line.removesuffix("\n").split("\t")
    fields = Fields(sender, subject, rest[-1])
    ours = replace(RECORD, letter=letter, signature=signature, status=rest[-2], fields=fields)
    if path == "system.log":
        ours = replace(ours, seconds=float(rest[0]), user=rest[1])
        assert ours.system_line(int(when)) == line
    else:
        assert ours.user_line(int(when)) == line + "\n"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b" a\tb\x1b[2Jc ", "a b [2Jc"),
        (b"folded\r\n\tonce\r\n twice", "folded once twice"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Gr\ufffd\ufffde"),
        (b"x" * 300, "x" * 255),
        (b"x" + "ü".encode() * 200, "x" + "ü" * 127),
        (b"x" * 254 + "ü".encode(), "x" * 254),
    ],
)
def test_no_header_ends_its_field_or_is_cut_within_a_character(value: bytes, field: str) -> None:
    message = Message(b"Subject: " + value + b"\r\n\r\nbody\r\n")
    assert Fields.of(message) == ("<None Specified>", field, "")


async def test_records_are_appended_and_counters_replaced(tmp_path: Path) -> None:
    log = history(tmp_path)
    log.add(RECORD)
    log.add(replace(RECORD, totals=Totals(spam_learned=1, innocent_learned=3), merged="group"))
    log.add(replace(RECORD, user="ann", file_user="shop", statistics="team", totals=None))
    await log.close()
    seen = f"{NOW_S:.0f}\tI\tann@example.org\t6b000a80122151437417508\tminutes"
    bob = f"{seen}\t0.000824\tbob\tDelivered\t<abc@example.org>\n"
    assert (tmp_path / "system.log").read_text() == bob * 2 + bob.replace("bob", "ann")
    line = f"{seen}\tDelivered\t<abc@example.org>\n\n"
    assert (tmp_path / "data/bob/bob.log").read_text() == line * 2
    assert (tmp_path / "data/shop/shop.log").read_text() == line
    assert files(tmp_path) == {"system.log", "data/bob/bob.log", "data/bob/bob.stats", "data/shop/shop.log"}
    assert (tmp_path / "data/bob/bob.stats").read_text() == "1,3,0,0,0,0\ngroup\n"


async def test_a_full_disk_leaves_whole_lines(tmp_path: Path, logged: Logged) -> None:
    for subject in ("one", "torn", "two"):
        log = history(tmp_path)
        log.add(replace(RECORD, fields=RECORD.fields._replace(subject=subject)))
        with full_beyond(150) if subject == "torn" else nullcontext():
            await log.close()
    lines = (tmp_path / "system.log").read_text().splitlines()
    assert [line.split("\t")[4] for line in lines] == ["one", "two"]
    assert "history_not_written" in logged.take()


async def test_a_full_disk_is_told_once_and_what_it_cost_is_counted(tmp_path: Path, logged: Logged) -> None:
    log = history(tmp_path)
    with full_beyond(0):
        for number in range(100):
            user = f"user{number % 5}"
            log.add(replace(RECORD, file_user=user, statistics=user))
        await log.close()
    first, last = logged.take().splitlines()
    assert "event=history_not_written" in first
    assert "File too large (this process may write 0 bytes to a file" in first
    assert 'reason="as before"' in last
    lost = sum(int(line.split("lost=")[1].split()[0]) for line in (first, last))
    assert lost == 5 * (20 + 20 + 1)  # lines of both logs, and a file of statistics


async def test_trouble_with_one_file_is_told_and_costs_the_others_nothing(
    tmp_path: Path, logged: Logged
) -> None:
    (tmp_path / "system.log").mkdir()
    log = history(tmp_path)
    log.add(replace(RECORD, user="ann", statistics="a/b"))
    log.add(RECORD)
    await log.close()
    assert (tmp_path / "data/bob/bob.stats").read_text() == "0,3,0,0,0,0\n"
    assert (tmp_path / "data/bob/bob.log").read_text().count("\n\n") == 2
    told = logged.take()
    assert told.count("history_not_written") == 2
    assert "a/b" in told
