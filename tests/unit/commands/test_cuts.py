"""In a pipe no mail is emptied or cut short, wherever the dialogue with the daemon ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.commands.cuts import PLAIN, borders, dialogue, full_at

ROOT = Path(__file__).parents[3]
LANES = 4  # programs at a time


def mail_of(size: int) -> bytes:
    head = b"From: ann@example.org\nSubject: hi\n\n.\n..dots\n"
    line = b".a line of some sixty bytes, which begins with a dot, as it may\n"
    return head + line * ((size - len(head)) // len(line))


def ends(how: str, mail: bytes, folder: Path, points: list[int], asked: str = PLAIN) -> list[list[str]]:
    """Point, exit status, what was printed, and whether syslog was told, of each run, by points.

    The points are shared out to several programs, since most of their time is waiting.
    """
    path = folder / "mail"
    path.write_bytes(mail)
    lanes = []
    for number in range(min(LANES, len(points))):
        lane = folder / str(number)
        lane.mkdir()
        words = (
            "-m",
            "tests.unit.commands.cuts",
            how,
            asked,
            str(path),
            str(lane),
            *map(str, points[number::LANES]),
        )
        lanes.append(subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True))
    lines = [line.split() for lane in lanes for line in lane.communicate()[0].splitlines()]
    assert not any(lane.returncode for lane in lanes)
    return sorted(lines, key=lambda line: int(line[0]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["killed", "frozen", "signal"])
@pytest.mark.parametrize("size", [1_000, 1_000_000, 20_000_000])
def test_the_mail_goes_on_as_it_came(how: str, size: int, tmp_path: Path) -> None:
    mail = mail_of(size)
    total = sum(len(text) for _, text in dialogue(mail))
    points = list(range(total)) if size == 1_000 else borders(mail)
    ended = ends(how, mail, tmp_path, points)
    assert [point for point, *_ in ended] == list(map(str, points))
    assert {tuple(rest) for _, *rest in ended} == {("0", "original", "told")}


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_the_mail_of_a_lesson_goes_on_and_the_lesson_has_to_be_repeated(how: str, tmp_path: Path) -> None:
    lesson = "--class=innocent --source=error --deliver=innocent --stdout"
    mail = mail_of(1_000)
    every = list(range(sum(len(text) for _, text in dialogue(mail, lesson))))
    points = every if how == "killed" else borders(mail)
    ended = ends(how, mail, tmp_path, points, lesson)
    assert [point for point, *_ in ended] == list(map(str, points))
    assert {tuple(rest) for _, *rest in ended} == {("75", "original", "told")}


ENDS = [
    (PLAIN, ("0", "original", "told")),
    (f"{PLAIN} --fail=tempfail", ("75", "nothing", "told")),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [1_000, 1_000_000, 20_000_000])
@pytest.mark.parametrize(("words", "end"), ENDS)
def test_a_full_disk_cuts_no_mail(words: str, end: tuple[str, ...], size: int, tmp_path: Path) -> None:
    """Wherever it is full, in the middle of the mail or of the answer."""
    mail = mail_of(size)
    points, enough = full_at(mail)
    if words != PLAIN:
        points = points[:: 1 + len(points) // 100]
    ended = ends("full", mail, tmp_path, [*points, enough], words)
    assert [point for point, *_ in ended] == list(map(str, [*points, enough]))
    assert {tuple(rest) for _, *rest in ended[:-1]} == {end}
    assert ended[-1][1:] == ["0", "filtered", "silent"]


def test_a_signal_ends_a_call_that_prints_no_mail(tmp_path: Path) -> None:
    words = f"{PLAIN} --fail=tempfail"
    mail = mail_of(1_000)
    points = borders(mail)
    ended = ends("signal", mail, tmp_path, points, words)
    assert [point for point, *_ in ended] == list(map(str, points))
    assert {tuple(rest) for _, *rest in ended} == {("75", "nothing", "told")}


@pytest.mark.parametrize("size", [1_000, 1_000_000, 20_000_000])
def test_the_whole_answer_is_printed(size: int, tmp_path: Path) -> None:
    mail = mail_of(size)
    total = sum(len(text) for _, text in dialogue(mail))
    assert ends("killed", mail, tmp_path, [total]) == [[str(total), "0", "filtered", "silent"]]
