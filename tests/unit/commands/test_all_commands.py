"""What holds for all commands: a configuration that cannot be read, JSON that parses, Ctrl-C midway."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.commands import dspam_logrotate, dspam_merge
from dspamd.commands.dspam_logrotate import rotate
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.engine.tokenizer import crc64
from dspamd.storage.contract import Change, Signature, TokenRow, Uid
from dspamd.storage.files.hash import shape
from dspamd.storage.files.hash_file import HashFile
from dspamd.storage.measured import Measured
from tests.support import scripts
from tests.support.site import Site

Output = pytest.CaptureFixture[str]

WITHOUT_CONFIGURATION = {"dspam_crc", "dspam_eval", "dspam_logrotate"}
WORDS = {
    "cssclean": ["{hash}"], "csscompress": ["{hash}"], "cssconvert": ["{hash}"], "cssstat": ["{hash}"],
    "dspam": ["--user", "bob", "--classify"], "dspam-retrain-forward": ["--class=spam", "--source=error"],
    "dspam_2sql": [], "dspam_admin": ["list", "preference", "bob"], "dspam_clean": ["-s"],
    "dspam_dump": ["bob"], "dspam_maintenance": [], "dspam_merge": ["bob", "-o", "ann"],
    "dspam_notify": [], "dspam_stats": [],
    "dspam_train": ["bob", "{mail}", "{mail}"], "dspamc": ["--user", "bob"], "dspamd": ["--check-config"],
}  # fmt: skip
"""A command line for each command with a configuration."""


def run(command: str, words: Sequence[str], patch: pytest.MonkeyPatch) -> int:
    mail = io.TextIOWrapper(io.BytesIO(b"X-DSPAM-Signature: 1\n\nx\n"))
    return scripts.run(command, words, mail, patch)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "1").write_bytes(b"Subject: x\n\nx\n")
    return site


def words_of(words: Sequence[str], site: Site) -> list[str]:
    return [word.format(hash=site.folder / "bob.css", mail=site.folder / "mail") for word in words]


def test_each_command_has_its_words() -> None:
    assert WORDS.keys() == scripts.SCRIPTS.keys() - WITHOUT_CONFIGURATION


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize("kind", ["folder", "none"])
def test_a_configuration_that_cannot_be_read(
    kind: str, command: str, site: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output
) -> None:
    (site.folder / "bob.css").write_bytes(b"x")
    file = site.folder if kind == "folder" else site.folder / "none.conf"
    monkeypatch.setenv("DSPAM_CONF", str(file))
    assert run(command, words_of(WORDS[command], site), monkeypatch) in (os.EX_CONFIG, os.EX_TEMPFAIL)
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert str(file) in told


class Asked(NamedTuple):
    """A command line with --json, and a name that its output has."""

    words: list[str]
    name: str


JSON = [
    Asked(["dspam_stats", "--json", "-t"], "TP"),
    Asked(["dspam_stats", "--json", "-sS", "bob"], "OCA"),
    Asked(["cssstat", "{hash}", "--json"], "extents"),
    Asked(["dspam_clean", "-s", "-u", "--json"], "signatures_left"),
    Asked(["dspam_maintenance", "--json"], "tokens_left"),
    Asked(["dspam_admin", "list", "preference", "bob", "--json"], "trainingMode"),
    Asked(["dspam_admin", "aggregate", "preference", "bob", "--json"], "trainingMode"),
    Asked(["dspam_admin", "delete", "user", "bob", "--json"], "user"),
    Asked(["dspam_admin", "export", "bob", "{mail}/archive", "--json"], "records"),
    Asked(["dspam_admin", "explain", "bob", "word", "--json"], "word"),
    Asked(["dspam_admin", "learn-maildirs", "{mail}/*/Maildir", "--json"], "by_signature"),
    Asked(["dspam_dump", "bob", "--json"], "probability"),
    Asked(["dspam_dump", "--json", "bob", "word"], "probability"),
    Asked(["dspam_crc", "word", "--json"], "crc"),
    Asked(["dspam_crc", "--json", "word"], "crc"),
    Asked(["dspam_2sql", "--json"], "bob"),
    Asked(["dspam_train", "bob", "--spam", "{mail}/1", "--json"], "per_second"),
]


@pytest.mark.parametrize("asked", JSON, ids=[" ".join(asked.words[:3]) for asked in JSON])
def test_json(asked: Asked, site: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    site.teach("bob", Totals(1, 2, 3, 4), {7: (1, 0), crc64(b"word"): (1, 0)})
    site.configure("AllowOverride trainingMode")
    assert run("dspam_admin", ["add", "preference", "bob", "trainingMode", "TOE"], monkeypatch) == 0
    (site.folder / "mail" / "bob" / "Maildir" / "cur").mkdir(parents=True)
    HashFile(site.folder / "bob.css", shape(Config.load()), 60.0, time.monotonic() + 60).close()
    capfd.readouterr()
    command, *words = words_of(asked.words, site)
    assert run(command, words, monkeypatch) == 0
    out = capfd.readouterr().out
    found = (
        [json.loads(line) for line in out.splitlines()]
        if out[0] == "{" and out[1] != "\n"
        else [json.loads(out)]
    )
    assert found
    assert all(asked.name in str(each) for each in found)


MESSAGES, TOKENS = 12, 300


@pytest.fixture
def much(site: Site) -> Site:
    """A dozen messages, in a folder and in Junk, and an owner with some hundred tokens."""
    junk = site.folder / "mail" / "bob" / "Maildir" / ".Junk" / "cur"
    junk.mkdir(parents=True)
    (site.folder / "more").mkdir()
    for number in range(MESSAGES):
        for folder in (site.folder / "more", junk):
            (folder / f"{number}").write_bytes(b"Message-ID: <%d>\n\nword%d\n" % (number, number))
    site.teach("ann", Totals(1), dict.fromkeys(range(1, TOKENS + 1), (1, 0)))
    return site


class Long(NamedTuple):
    """A long command; what of it is done, and what in the end."""

    words: list[str]
    call: str  # of the store; Ctrl-C comes in the second one
    done: Callable[[Site], int]
    whole: int
    said: str = ""


def learned(site: Site) -> int:
    totals = site.totals("bob")
    return totals.spam_learned + totals.innocent_learned


def purged(site: Site) -> int:
    return TOKENS - len(site.known("ann"))


AGAIN, NEXT = "the same command goes on", "the next run goes on"
LONG = [
    Long(["dspam_train", "bob", "--ham", "{mail}/../more"], "apply", learned, MESSAGES, AGAIN),
    Long(["dspam_train", "bob", "--spam", "{mail}/../more"], "apply", learned, MESSAGES, AGAIN),
    Long(
        ["dspam_admin", "learn-maildirs", "--new-users", "{mail}/*/Maildir"], "apply", learned, MESSAGES, NEXT
    ),
    Long(["dspam_clean", "-u0,0,0,0"], "delete_tokens", purged, TOKENS),
]


@pytest.mark.parametrize("long", LONG, ids=[" ".join(long.words[:3]) for long in LONG])
def test_interrupted(long: Long, much: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    """Ctrl-C leaves whole steps, and the same command does the rest, nothing twice."""
    command, *words = words_of(long.words, much)
    calls: list[object] = []
    method = getattr(Measured, long.call)

    async def interrupting(*given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return await method(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Measured, long.call, interrupting)
        assert run(command, words, monkeypatch) == 130
    told = capfd.readouterr().err
    assert long.said in told
    assert told.endswith("terminated.\n")
    assert 0 < long.done(much) < long.whole
    assert run(command, words, monkeypatch) == 0
    assert long.done(much) == long.whole


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_an_interrupted_training_says_what_it_learned(
    number: int, status: int, much: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output
) -> None:
    """The form of DSPAM does not go on, so it says how far it came."""
    method, calls = Measured.apply, list[Change]()

    async def interrupting(store: Measured, uid: Uid, change: Change) -> None:
        calls.append(change)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        await method(store, uid, change)

    (much.folder / "none").mkdir()
    words = [str(much.folder / name) for name in ("none", "more")]
    with monkeypatch.context() as patch:
        patch.setattr(Measured, "apply", interrupting)
        assert run("dspam_train", ["bob", *words], monkeypatch) == status
    told = capfd.readouterr().err
    assert told.startswith(f"dspam_train: {learned(much)} of {MESSAGES} messages are learned; called again")
    assert told.endswith("terminated.\n")


def test_an_interrupted_merge_goes_on(much: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    method, calls = Measured.load, list[Uid]()
    monkeypatch.setattr(dspam_merge, "LOADED_AT_ONCE", TOKENS // 3)

    async def interrupting(store: Measured, uid: Uid, rows: Sequence[TokenRow], to: Signature) -> None:
        calls.append(uid)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        await method(store, uid, rows, to)

    with monkeypatch.context() as patch:
        patch.setattr(Measured, "load", interrupting)
        assert run("dspam_merge", ["ann", "-o", "bob"], monkeypatch) == 130
    added = len(much.known("bob"))
    assert f"{added} tokens are added; the same command goes on" in capfd.readouterr().err
    assert added < TOKENS
    assert run("dspam_merge", ["dan", "-o", "bob"], monkeypatch) == 1
    assert capfd.readouterr().err.endswith("finish it first: dspam_merge ann -o bob\n")
    for times in (1, 2):  # the next one begins anew, as in DSPAM
        assert run("dspam_merge", ["ann", "-o", "bob"], monkeypatch) == 0
        assert much.known("bob") == dict.fromkeys(range(1, TOKENS + 1), (times, 0))
        assert much.totals("bob") == Totals(times)


def test_a_merge_of_somebody_unknown(site: Site, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    site.teach("ann", Totals(1), {7: (1, 0)})
    assert run("dspam_merge", ["nobody", "-o", "bob"], monkeypatch) == 1
    assert capfd.readouterr().err.endswith("nobody: there is no such user in the store\nnothing was added\n")
    assert site.on_store(lambda storage: storage.owners()) == ["ann"]


def test_an_interrupted_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    for log in logs:
        log.write_text("1\told\n")

    def interrupting(log: Path, oldest: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return rotate(log, oldest)

    monkeypatch.setattr(dspam_logrotate, "rotate", interrupting)
    assert run("dspam_logrotate", ["-a", "1", "-d", str(tmp_path)], monkeypatch) == 130
    assert capfd.readouterr().err == "dspam_logrotate: ended by SIGINT: 1 of 3 logs are rotated\n"
    assert [log.read_text() for log in logs] == ["", "1\told\n", "1\told\n"]
