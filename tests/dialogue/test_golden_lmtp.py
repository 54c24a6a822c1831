"""Recorded sessions of the original, repeated with our server.

The client's side is the recorded one.  The filter answers with the recorded outcome,
so the test compares the protocol.  DEVIATIONS lists every difference from the
original, with its reason; any other fails.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import Any, NamedTuple

import pytest

from dspamd.errors import Reply
from dspamd.server.dialogue import ServerMode
from dspamd.server.lmtp import LmtpServer
from tests.golden import data
from tests.support.scripted_filter import TERMS, Client, ScriptedFilter, connected, running

CLOSED = b"<closed>"
XFORWARD = b"XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"


class Deviation(NamedTuple):
    """In sessions `session`, after the client said `said`, the original's `old` is our `new`.

    The first three are patterns.
    """

    session: str
    said: bytes
    old: bytes
    new: bytes
    reason: str


DEVIATIONS = [
    Deviation(
        "",
        rb"(?i)^LHLO",
        rb"250-8BITMIME\r\n",
        b"250-8BITMIME\r\n250-SMTPUTF8\r\n250-" + XFORWARD + b"\r\n",
        "Mail for internationalized addresses, and the client's name for our log and the next hop.",
    ),
    Deviation(
        "",
        rb"(?i)^LHLO",
        rb"250-DSPAMPROCESSMODE\r\n",
        b"250-DSPAMPROCESSMODE\r\n250-DSPAMSTUFFED\r\n",
        "Our own client gets its output dot-stuffed; a lone dot cut it short.",
    ),
    Deviation(
        "",
        rb"(?i)^QUIT",
        rb"^250 2.0.0 OK\r\n",
        b"221 2.0.0 OK\r\n",
        "RFC 5321 4.1.1.10: QUIT is answered 221, in any state.",
    ),
    Deviation(
        "",
        rb"^RSET",
        rb"^250 OK",
        b"250 2.0.0 OK",
        "RFC 2034: who offers ENHANCEDSTATUSCODES has to use them.",
    ),
    Deviation("", rb"^NOOP", rb"^503 [^\r]*", b"250 2.0.0 OK", "RFC 2033 requires NOOP."),
    Deviation(
        "",
        rb"^VRFY",
        rb"^503 [^\r]*",
        b"252 2.5.0 Send some mail and we will see",
        "RFC 5321 4.5.1 requires VRFY.",
    ),
    Deviation("", rb"^HELP", rb"^503 [^\r]*", b"214 2.0.0 This is LMTP, see RFC 2033", "It was asked for."),
    Deviation(
        "(standard|auto)-rcpt-forms",
        rb"^RCPT TO:(<>)?\r",
        rb"^503 5.1.2",
        b"501 5.1.3",
        "503 is for commands out of order; this one is malformed.",
    ),
    Deviation(
        "(standard|auto)-rcpt-forms",
        rb"^RCPT(\r| FOO)",
        rb"^503 [^\r]*",
        b"501 5.5.4 Invalid RCPT TO. Use RCPT TO: <recipient>",
        "Say what is wrong with it.",
    ),
    Deviation(
        "(standard|auto)-mail-no-brackets",
        rb"^RCPT",
        rb"^503 [^\r]*",
        b"250 2.1.5 OK",
        "An address without brackets is accepted; the original used stale memory.",
    ),
    Deviation(
        "(standard|auto)-mail-no-brackets",
        rb"^DATA",
        rb"^554 [^\r]*",
        b'354 Enter mail, end with "." on a line by itself',
        "The recipient was accepted.",
    ),
    Deviation(
        "(standard|auto)-mail-no-brackets",
        rb"^From: ",
        rb"(?s)^554.*",
        b"250 2.6.0 <bob@example.net> Message accepted for delivery\r\n",
        "The recipient was accepted.",
    ),
    Deviation(
        "(standard|auto)-two-mails",
        rb"^MAIL FROM:<d@e.f>",
        rb"^554 [^\r]*",
        b"503 5.0.0 Need RCPT TO here.",
        "A command out of order does not run the checks of DATA.",
    ),
    Deviation(
        "bad-mode-arg",
        rb"^From: ",
        rb"(?s)^554.*",
        b"503 5.0.0 Need DATA here.\r\n" * 7,
        "A command out of order does not run the checks of DATA.",
    ),
    Deviation(
        "bad-mode-arg|banner",
        rb"^QUIT",
        rb"^$",
        b"221 2.0.0 OK\r\n" + CLOSED,
        "The recording ended before the original came to QUIT.",
    ),
    Deviation(
        "empty-message",
        rb"^\.\r\n",
        rb"(?s)^530 (.*)<closed>",
        rb"550 \1",
        "530 asks for authentication; and there is no reason to hang up.",
    ),
    Deviation("sink", rb"^From: ", rb"(?m)^530 5.3.0", b"550 5.3.0", "530 asks for authentication."),
    Deviation(
        "sink",
        rb"^From: ",
        rb"(?m)^421 4.3.0",
        b"450 4.3.0",
        "421 announces the end of the connection; some clients drop the other recipients.",
    ),
    Deviation(
        "sink-banner",
        rb"^From: ",
        rb"^$",
        b"450 4.3.0 <bob@example.net> 554 go away\r\n",
        "The original waits for a better greeting for ever.",
    ),
    Deviation(
        "(standard|auto)-lf-only",
        rb"^(Subject: x|QUIT)",
        rb"(?s)^.*",
        b"",
        "A message ends at CR LF . CR LF only; whoever ends it otherwise can be smuggled past.",
    ),
]


def exchanges(row: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The line of the client, and the replies to it."""
    turns = [(b"", b"")]
    for who, text in row["dialogue"]:
        if who == "C":
            turns.append((text.encode("latin-1"), b""))
        else:
            said, heard = turns[-1]
            turns[-1] = (said, heard + text.encode("latin-1"))
    return turns


def expected(session: str, said: bytes, heard: bytes) -> bytes:
    for each in DEVIATIONS:
        if re.search(each.session, session) and re.search(each.said, said):
            heard = re.sub(each.old, each.new, heard, count=0 if each.old.startswith(b"(?m)") else 1)
    return heard


def outcome(filter: ScriptedFilter, answer: bytes) -> None:
    """Make the filter return the recorded outcome."""
    if answer.startswith(b"X-DSPAM-Result"):
        filter.output = answer.removesuffix(b".\r\n")
        return
    lines = [line.decode("latin-1").split(" ", 2) for line in answer.split(b"\r\n")[:-1]]
    filter.replies = tuple(Reply(int(code), enhanced, text) for code, enhanced, text in lines)


ROWS = data.rows("net_lmtp.jsonl")


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_sessions_of_the_original(row: dict[str, Any]) -> None:
    session = row["id"]
    terms = dataclasses.replace(TERMS, mode=ServerMode(row["config"]["ServerMode"][0]))
    filter = ScriptedFilter()
    if "bad-mode-arg" in session:
        filter.refusal = Reply(554, "5.1.0", "Unable to initialize agent context")
    async with running(LmtpServer(filter, terms)) as port, connected(port) as client:
        receiving = False
        for said, heard in exchanges(row):
            answer = expected(session, said, heard)
            if receiving:
                per_recipient = answer.partition(b"221 ")[0]
                outcome(filter, per_recipient)
            client.send(said)
            await hear(client, answer)
            receiving = b"\r\n354 " in b"\r\n" + answer


async def hear(client: Client, answer: bytes) -> None:
    text, closed, _ = answer.partition(CLOSED)
    async with asyncio.timeout(5):
        assert await client.reader.readexactly(len(text)) == text
        if closed:
            assert await client.reader.read() == b""


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.reason[:40])
def test_no_deviation_is_listed_in_vain(deviation: Deviation) -> None:
    assert any(
        re.search(deviation.session, row["id"])
        and re.search(deviation.said, said)
        and re.search(deviation.old, heard)
        for row in ROWS
        for said, heard in exchanges(row)
    )
