"""dspamc says to the daemon what the original said, and ends as it did.

Every recorded dialogue is replayed with the daemon's side scripted, under
`StrictCompatibility on` so that the exit status is the original's.  Where we do
otherwise, the tables below say how and why.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dspamd.commands import dspamc as program
from tests.golden.data import messages, rows
from tests.support.account import TRUST
from tests.support.scripted_daemon import Turn, daemon, run

ROWS = [row for row in rows("net_dspamc.jsonl") if "argv" in row]

# A line with a lone dot in the output ended it for the original, which lost the
# rest; it ends at ".\r\n" only, because the daemon's own lines end in LF there.
LONE_DOT_KEPT = {
    "process-stdout",
    "process-deliver=stdout",
    "summary+innocent-stdout",
    "multi-user-stdout",
    "dspam--client-stdout",
    "crlf",
}

STDOUT = {
    # The original takes the answer for the line X-Daemon-Classification and swallows it.
    "classify-stdout": 'X-DSPAM-Result: bob; result="Innocent"; class="{}"; '
    "probability=0.0000; confidence=0.99; signature=N/A\n",
}

STATUS = {
    # The original goes on without its ident, or without an address, and fails later.
    "ident-no-at": 22,
    "no-clienthost": 22,
}

# The stand-in for a message, sent with --signature, has a bare LF in the original.
SAID = {
    "retrain-signature": (b"\n\r\n.\r\n", b"\r\n\r\n.\r\n"),
    "retrain-signature-nl": (b"\n\r\n.\r\n", b"\r\n\r\n.\r\n"),
    "retrain-bad-signature": (b"\n\r\n.\r\n", b"\r\n\r\n.\r\n"),
}

# A daemon in mode auto that does not know the ident takes it for a mail server, and the message
# for new mail; we leave before it does.  The original went on.
TURNED_AWAY = {"auto-wrong-relay"}

# Options are checked by the daemon alone; the original's client refused them before it connected.
REFUSED_BY_DAEMON = {"bad-class"}
REFUSAL: list[Turn] = [
    ("S", b"220 DSPAM LMTP 3.10.2 Ready\r\n"),
    ("C", b"LHLO Relay1\r\n"),
    ("S", b"250-mx.example.org\r\n250-DSPAMPROCESSMODE\r\n250 SIZE\r\n"),
    ("C", b'MAIL FROM: <secret@Relay1> DSPAMPROCESSMODE="--class=foo --source=error "\r\n'),
    ("S", b"250 2.1.0 OK\r\n"),
    ("C", b"RCPT TO: <bob>\r\n"),
    ("S", b"250 2.1.5 OK\r\n"),
    ("C", b"DATA\r\n"),
    ("S", b"554 5.1.0 Unable to initialize agent context\r\n"),
    ("C", b"QUIT\r\n"),
    ("S", b"221 2.0.0 OK\r\n"),
]

TURNING_AWAY: list[Turn] = [
    ("S", b"220 DSPAM LMTP 3.10.2 Ready\r\n"),
    ("C", b"LHLO Relay9\r\n"),
    ("S", b"250-mx.example.org\r\n250-PIPELINING\r\n250 SIZE\r\n"),
    ("C", b"QUIT\r\n"),
    ("S", b"221 2.0.0 OK\r\n"),
]

IDENTS = {
    "wrong-pass": '"wrong@Relay1"',
    "wrong-relay": '"secret@Relay9"',
    "ident-no-at": "Relay1",
    "no-ident": "",
}


def name(row: dict[str, Any]) -> str:
    """The id of a row without the server mode it was recorded in."""
    return str(row["id"]).partition("-")[2]


def script_of(row: dict[str, Any]) -> list[Turn]:
    if name(row) in REFUSED_BY_DAEMON:
        return REFUSAL
    if name(row) == "ident-no-at":
        return []
    if row["id"] in TURNED_AWAY:
        return TURNING_AWAY
    turns = [(who, text.encode("latin-1")) for dialogue in row["dialogue"] for who, text in dialogue]
    if turns and turns[-1] == ("C", b"QUIT\r\n"):
        # The original left before the daemon was done; we want to hear its end.
        output = turns[-2][1].removesuffix(b".\r\n") + b".\r\n"
        turns[-2:] = [("S", output), ("C", b"QUIT\r\n"), ("S", b"221 2.0.0 OK\r\n")]
    return turns


def stdin_of(row: dict[str, Any]) -> bytes:
    if row["stdin_ref"]:
        return messages("corpus_messages.tar.gz")[row["stdin_ref"]]
    return str(row["stdin"]).encode("latin-1")


def expected_stdout(row: dict[str, Any]) -> bytes:
    if row["id"] in TURNED_AWAY:
        return b""
    if name(row) in STDOUT:
        shown = "Whitelisted" if 'class=\\"Whitelisted' in str(row["dialogue"]) else "Innocent"
        return STDOUT[name(row)].format(shown).encode()
    return str(row["stdout"] + (".\nlast\n" if name(row) in LONE_DOT_KEPT else "")).encode("latin-1")


def expected_status(row: dict[str, Any]) -> int:
    return 251 if row["id"] in TURNED_AWAY else STATUS.get(name(row), row["exit"])


def configure(row: dict[str, Any], folder: Path) -> Path:
    config = folder / "dspam.conf"
    ident = IDENTS.get(name(row), '"secret@Relay1"')
    host = "" if name(row) == "no-clienthost" else folder / "s"
    config.write_text(
        f"Home {folder}\nStrictCompatibility on\nClientHost {host}\nClientIdent {ident}\n{TRUST}\n"
    )
    return config


REPLAYED = [row for row in ROWS if name(row) not in ("help", "version") and "as_user" not in row]


@pytest.mark.parametrize("row", REPLAYED, ids=[row["id"] for row in REPLAYED])
async def test_dialogue(row: dict[str, Any], tmp_path: Path) -> None:
    script = script_of(row)
    said = [text for who, text in script if who == "C"]
    if name(row) in SAID:
        old, new = SAID[name(row)]
        said[said.index(old)] = new
    config = configure(row, tmp_path)
    socket = tmp_path / ("elsewhere" if name(row) == "no-server" else "s")
    async with daemon(script, socket) as scripted:
        ended = await run("dspamc", row["argv"][1:], stdin_of(row), config)
    assert scripted.said == said
    assert ended.stdout == expected_stdout(row)
    assert ended.status == expected_status(row)
    assert bool(ended.stderr) == (ended.status != 0), "one line about trouble, nothing on success"


@pytest.mark.parametrize("row", [row for row in ROWS if "as_user" in row], ids=lambda row: row["id"])
def test_an_untrusted_caller(
    row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DSPAM_CONF", str(configure(row, tmp_path)))
    monkeypatch.setattr("sys.argv", row["argv"])
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: int(row["as_user"]))
    assert program.main() == row["exit"]
    assert row["syslog"][0].partition(": ")[2] in capsys.readouterr().err


@pytest.mark.parametrize("row", [row for row in ROWS if name(row) == "help"], ids=lambda row: row["id"])
async def test_help(row: dict[str, Any], tmp_path: Path) -> None:
    ended = await run("dspamc", row["argv"][1:], b"", tmp_path / "no.conf")
    assert ended == (row["exit"], b"", row["stderr"].encode())


@pytest.mark.parametrize("row", [row for row in ROWS if name(row) == "version"], ids=lambda row: row["id"])
async def test_version(row: dict[str, Any], tmp_path: Path) -> None:
    ended = await run("dspamc", row["argv"][1:], b"", configure(row, tmp_path))
    assert ended.status == row["exit"]
    ours, theirs = ended.stdout.decode().split("\n"), row["stdout"].split("\n")
    assert ours[0] == theirs[0]
    assert ours[1].startswith("DSPAM Anti-Spam Suite ")
    assert ours[1].endswith(" (agent/library)")
    assert f"'--with-dspam-home={tmp_path}'" in ours[-3]
    assert ours[-3].startswith("Configuration parameters:  '")
