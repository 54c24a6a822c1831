"""Mail by LMTP, from the first command to the next hop: the users that are served, and the outcomes.

Recorded sessions are replayed with the whole filter, on SQLite files where the original
had hash files, and everything is compared that a mail server, a user or an administrator
sees: replies, recipients and messages at the next hop, whose files were made, the system
log.  Rows named `files-...` close a run of sessions with one store.  Where we do
otherwise, the tables below say how and why.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dspamd.app import Parts, Profiles, terms
from dspamd.config.config import Config
from dspamd.server.lmtp import LmtpServer
from dspamd.server.mailfilter import MailFilter
from tests.golden.data import rows
from tests.support.scripted_filter import Client, connected, running
from tests.support.sink import Sink, always

SITE = """\
Home {home}
StorageDriver libsqlite3_drv.so
TrainingMode teft
Algorithm graham burton
Tokenizer osb
PValue bcr
Feature whitelist
ProcessorBias on
Preference "enableWhitelist=on"
Preference "signatureLocation=headers"
AllowOverride fallbackDomain
WebStats on
RetrainAddress header
RetrainFrom any
DeliveryHost 127.0.0.1
DeliveryPort {port}
"""

LOGS = "SystemLog on\nUserLog on\n"

# Further settings of these runs, which the recording does not show.
SETTINGS = {
    "pluseddetail": LOGS + "EnablePlusedDetail on\n",
    "pluseddetail-lc": LOGS + "EnablePlusedDetail on\nPlusedUserLowercase on\nPlusedCharacter -\n",
    "optin": LOGS + "Opt in\n",
    "fallbackdomains": LOGS + "FallbackDomains on\n",
    "system-log-off": "SystemLog off\nUserLog off\n",
}

NEXT_HOP = {
    "lmtp-dataend-550": {b".": always(b"550 mailbox full\r\n")},
    "onfail-unlearn": {b"RCPT": always(b"550 no\r\n")},
}

# The original had 421 and 530 for one recipient of many (protocols.md 15), and 503 for a bad address.
CODES = {"421 4.3.0": "450 4.3.0", "530 5.3.0": "550 5.3.0", "503 5.1.2": "501 5.1.3"}

# Mail that the original did not deliver: it showed it to the mail server instead of replies
# (--stdout), dropped it (no --deliver), or took "-d" for a delivery agent (no DeliveryProto).
SAVED = {"params-stdout", "params-none", "smtp-noproto"}

# Corrections without a signature: the original dropped them and said that all was well.
CORRECTION = r"^parseto(-full)?-.*(?<![a-z])(spam|notspam)-"

NO_SIGNATURE = "Unable to find a valid signature: forward the message as an attachment"

# Runs in which the next hop takes nothing: we learn nothing then, and log what the original logged
# as delivered as the failure that it was.
REFUSED = {
    "lmtp-dataend-550": "Delivery Failed (Fatal: 550 mailbox full)",
    "onfail-unlearn": "Delivery Failed (Fatal: 550 no)",
}

# The original made these files, and we do not: those of users whom only a failed
# correction named, and statistics of refused mail.
BOB = "data/bob@example.net/bob@example.net"
NOT_MADE = {name: {f"{BOB}.stats"} for name in REFUSED} | {
    "parseto": {"data/alice/alice.sdb", "data/bob/bob.sdb"},
    "parseto-full": {"data/alice@example.net/alice@example.net.sdb"},
}

END = b"\r\n.\r\n"  # it added an empty line


def runs() -> Iterator[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
    """Name, sessions and files of each run with a store of its own."""
    sessions: list[dict[str, Any]] = []
    for row in rows("net_delivery.jsonl"):
        if "dialogue" in row:
            sessions.append(row)
        elif sessions:
            yield row["id"].removeprefix("files-"), sessions, row
            sessions = []


RUNS = {name: (sessions, files) for name, sessions, files in runs()}


def settings(name: str, config: dict[str, list[str] | None], home: Path, port: int) -> Config:
    recorded = "".join(
        f"{key} {' '.join(values)}\n"
        for key, values in config.items()
        if values and key not in ("DeliveryHost", "DeliveryPort")
    )
    return Config.from_text(SETTINGS.get(name, LOGS) + recorded + SITE.format(home=home, port=port))


PUNCTUAL = re.compile(rb"^(X-DSPAM-(?:Processed|Signature): ).*\r\n", re.M)


def said(session: dict[str, Any]) -> list[str]:
    """The original's replies to RCPT, DATA and the message, with our codes."""
    answers: list[str] = []
    for (who, command), (_, answer) in itertools.pairwise(session["dialogue"]):
        if who == "C" and (command.startswith(("RCPT", "DATA")) or command.endswith("\r\n.\r\n")):
            answers += answer.splitlines(keepends=True)
    for old, new in CODES.items():
        answers = [re.sub(f"^{old} ", f"{new} ", answer) for answer in answers]
    return answers


async def hear(client: Client, session: dict[str, Any]) -> list[str]:
    """Our replies to the same."""
    heard: list[str] = []
    await client.hear()
    for who, text in session["dialogue"]:
        if who == "S":
            continue
        client.send(text.encode("latin-1"))
        message = text.endswith("\r\n.\r\n")
        count = sum(reply.startswith("250 2.1.5") for reply in heard) if message else 1
        replies = [(await client.hear()).decode("latin-1") for _ in range(count)]
        if message or text.startswith(("RCPT", "DATA")):
            heard += replies
    return heard


def handed_over(session: dict[str, Any]) -> tuple[list[bytes], list[bytes]]:
    """Recipients and messages that the original brought to the next hop."""
    recipients, messages = [], []
    for dialogue in session["delivery_dialogue"]:
        for who, text in dialogue:
            if who == "C" and text.startswith("RCPT"):
                recipients.append(text.strip().encode("latin-1"))
            elif who == "C" and text.endswith("\r\n.\r\n"):
                messages.append(re.sub(rb"(?m)^\.\.", b".", text.encode("latin-1")).removesuffix(END))
    return sorted(recipients), sorted(PUNCTUAL.sub(rb"\1\r\n", message) for message in messages)


def logged(text: str | None) -> list[list[str]]:
    """The system log without what differs from run to run; several recipients are served side by side."""
    fields = (line.split("\t") for line in (text or "").splitlines())
    return sorted([*line[1:3], line[4], *line[6:]] for line in fields)


@pytest.mark.parametrize("name", RUNS)
async def test_the_original_is_followed(name: str, tmp_path: Path) -> None:
    sessions, files = RUNS[name]
    sink = Sink(NEXT_HOP.get(name, {}))
    await sink.start()
    config = settings(name, sessions[0]["config"], tmp_path, sink.port)
    async with Parts(config) as parts, Profiles(parts) as profiles:
        server = LmtpServer(MailFilter(config, profiles.pipeline), terms(config))
        async with running(server) as port:
            for session in sessions:
                await _replay(session, sink, port)
    await sink.stop()
    _check_files(name, files, tmp_path)


def _check_files(name: str, files: dict[str, Any], home: Path) -> None:
    made = {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()}
    theirs = {file.replace(".css", ".sdb") for file in files["files"] if not file.endswith(".lock")}
    assert made == theirs - NOT_MADE.get(name, set())
    log = home / "system.log"
    told = logged(log.read_text() if log.exists() else None)
    theirs_told = logged(files["system_log"])
    if name in REFUSED:
        theirs_told = [["E", *line[1:4], REFUSED[name], line[5]] for line in theirs_told]
    assert told == theirs_told


async def _replay(session: dict[str, Any], sink: Sink, port: int) -> None:
    sink.lines.clear()
    sink.wire.clear()
    async with connected(port) as client:
        heard = await hear(client, session)
    id_ = session["id"].removeprefix("delivery-")
    answers, (recipients, messages) = said(session), handed_over(session)
    if id_ in SAVED:
        assert recipients == messages == []
        assert heard[-1] == "250 2.6.0 <bob@example.net> Message accepted for delivery\r\n"
        assert [b"body words here\r\n.dot stuffed\r\n" in message for message in sink.messages] == [True]
        return
    if re.search(CORRECTION, id_):
        assert (recipients, answers[-1][:3]) == ([], "250")
        answers[-1] = f"550 5.6.0 <bob@example.net> {NO_SIGNATURE}\r\n"
    assert heard == answers
    assert sorted(line for line in sink.lines if line.startswith(b"RCPT")) == recipients
    if id_ != "lmtp-dataend-550":  # where both were refused it
        assert sorted(PUNCTUAL.sub(rb"\1\r\n", message) for message in sink.messages) == messages
