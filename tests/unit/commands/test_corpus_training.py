"""dspam_train --spam --ham: any place, in turns, and never the same mail twice."""

from __future__ import annotations

import json
import mailbox
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dspamd.commands import corpus_training, dspam_train
from dspamd.commands.position import Position
from dspamd.errors import TempFail
from tests.support.site import Site

ROOT = Path(__file__).parents[3]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def mail(word: str, number: int) -> bytes:
    return f"From: ann@example.org\nSubject: {word} {number}\n\n{word} {number} and more {word}\n".encode()


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Spam in an mbox and a file of its own, ham in a maildir and a folder."""
    box = mailbox.mbox(tmp_path / "box")
    for number in range(3):
        box.add(mail("pills", number))
    box.close()
    (tmp_path / "one").write_bytes(mail("pills", 3))
    for folder, name in (
        ("maildir/cur", "1:2,S"),
        ("maildir/new", "2"),
        ("maildir/tmp", "3"),
        ("plain", "4"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_bytes(mail("lunch", int(name[0])))
    spam, ham = (
        [str(tmp_path / name) for name in ("box", "one")],
        [str(tmp_path / n) for n in ("maildir", "plain")],
    )
    return ["--spam", *spam, "--ham", *ham]


def told(words: Sequence[str], output: Output, status: int = 0) -> dict[str, object]:
    """What the command tells with --json."""
    assert dspam_train.main([*words, "--json"]) == status
    found: dict[str, object] = json.loads(output.readouterr().out)
    return found


def learned(found: dict[str, object]) -> tuple[object, ...]:
    return tuple(found[name] for name in ("messages", "spam", "ham", "known", "left_out"))


@pytest.mark.parametrize("mode", corpus_training.LEARNING)
def test_each_message_once(mode: str, places: list[str], site: Site, capsys: Output) -> None:
    words = ["bob", *places, "--mode", mode]
    assert learned(told(words, capsys)) == (7, 4, 3, 0, 0)
    after = site.totals("bob"), site.known("bob")
    assert any(after[0])
    assert learned(told(words, capsys)) == (7, 0, 0, 7, 0)
    assert (site.totals("bob"), site.known("bob")) == after
    assert learned(told([*words, "--again"], capsys)) == (7, 4, 3, 0, 0)


def test_mail_that_lies_elsewhere_is_known(places: list[str], site: Site, capsys: Output) -> None:
    told(["bob", *places], capsys)
    other = site.folder / "other"
    other.write_bytes(mail("lunch", 2).replace(b"\n", b"\r\n"))
    assert learned(told(["bob", "--ham", str(other)], capsys)) == (1, 0, 0, 1, 0)
    assert learned(told(["ann", "--ham", str(other)], capsys)) == (1, 0, 1, 0, 0)


def test_turns_and_lines(places: list[str], site: Site, capsys: Output) -> None:
    assert dspam_train.main(["bob", *places, "--verbose"]) == 0
    out, err = capsys.readouterr()
    *lines, summary = out.splitlines()
    assert ["box" in line or "one" in line for line in lines] == [False, True, True, False, True, True, False]
    assert summary.startswith("bob: 4 spam and 3 ham of 7 messages learned; ")
    assert "% right" in summary
    assert err == ""


def test_what_cannot_be_learned_is_left_out(places: list[str], site: Site, capsys: Output) -> None:
    site.configure("MaxMessageSize 200")
    (site.folder / "plain" / "5").write_bytes(mail("lunch", 5) + b"x" * 200)
    assert dspam_train.main(["bob", *places]) == 1
    out, err = capsys.readouterr()
    assert "; 1 left out" in out
    assert err == f"dspam_train: {site.folder}/plain/5: the filter gives it no verdict\n"
    site.configure()
    assert learned(told(["bob", *places], capsys)) == (8, 0, 1, 7, 0)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--spam", "/none"], 'Corpus "/none" must be either a MBOX file or a maildir directory.'),
        (["--spam", "imaps://h/INBOX"], "imaps://h/INBOX: it must be imaps://USER@HOST/FOLDER"),
        (["--ham", "imap://a:b@h"], "a URL with a password shows it to everybody: use --password-file"),
        (["--ham", "imaps://a@h:x/"], "imaps://a@h:x/: the port is no number"),
    ],
)
def test_unusable_places(
    words: list[str], complaint: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv(corpus_training.PASSWORD, "secret")
    assert dspam_train.main(["bob", *words]) == 2
    assert capsys.readouterr() == ("", f"dspam_train: {complaint}\n")


def test_no_password(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.delenv(corpus_training.PASSWORD, raising=False)
    assert dspam_train.main(["bob", "--spam", "imaps://bob@localhost/Junk"]) == 2
    assert "--password-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--spam"], ["bob", "ann", "--spam", "x"], ["--ham", "x", "--mode", "notrain"]]
)
def test_wrong_usage(words: list[str], site: Site, capsys: Output) -> None:
    assert dspam_train.main(words) == 1
    assert capsys.readouterr().err.endswith(dspam_train.USAGE)


def test_one_at_a_time(tmp_path: Path) -> None:
    first = Position(tmp_path / "bob.trained")
    with pytest.raises(TempFail, match="Another dspam_train"):
        Position(tmp_path / "bob.trained")
    first.close()
    Position(tmp_path / "bob.trained").close()


def test_a_lesson_that_fails_is_not_noted(tmp_path: Path) -> None:
    position = Position(tmp_path / "bob.trained")
    with pytest.raises(TempFail), position.taken("1" * 32):
        raise TempFail("Storage is busy")
    assert not position.knows("1" * 32)
    with position.taken("2" * 32):
        pass
    position.close()
    assert (tmp_path / "bob.trained").read_text() == "2" * 32 + "\n"


def test_interrupted(site: Site, tmp_path: Path, capsys: Output) -> None:
    """Ctrl-C ends it between two messages; the same command learns the others, each once."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number:03}").write_bytes(mail("lunch", number))
    words = ["bob", "--ham", str(folder), "--mode", "teft"]
    program = subprocess.Popen(
        [sys.executable, "-m", "dspamd.commands.dspam_train", *words, "--verbose"],
        cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    position = tmp_path / "data" / "bob" / "bob.trained"
    assert program.stdout is not None
    program.stdout.readline()
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130
    done = len(position.read_text().splitlines())
    assert 0 < done < 400
    assert f"bob: 0 spam and {done} ham of 400 messages learned" in err
    assert "the same command goes on from there" in err
    assert site.totals("bob").innocent_learned == done
    assert learned(told(words, capsys)) == (400, 0, 400 - done, done, 0)
    assert site.totals("bob").innocent_learned == 400
