"""How the original handled the answers of a next hop, and what it sent.

A sink plays the recorded answers back.  The outcome must be the same: permanent or temporary,
with the same text.  Our commands must be the same, too, except for the differences of
reference/protocols.md 15: EHLO before HELO, and no empty line added at the end of the message.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from dspamd.delivery.smtp import SmtpDelivery
from dspamd.errors import Failure, PermFail, TempFail
from dspamd.filter.outlet import Handover
from tests.golden import data
from tests.support.sink import Sink, always

ROWS = [
    row
    for row in data.rows("net_lmtp.jsonl")
    if row["id"].startswith("standard-")
    and row.get("delivery_dialogue")
    and len(row["delivery_dialogue"]) == 1
]
OUTCOME = re.compile(r"(250|530|421) \S+ <[^>]*> (.*)\r\n")


def played_back(turns: list[list[str]]) -> tuple[Sink, list[bytes], bytes]:
    """A sink that answers as recorded, with the commands and the message that were recorded."""
    sink = Sink({b"EHLO": always(b"502 5.5.1 what?\r\n")})
    commands: list[bytes] = []
    message, verb = b"", b""
    for who, text in turns:
        line = text.encode("latin-1")
        if who == "S":
            sink.script[verb] = always(line)
        elif verb == b"DATA":
            message, verb = line, b"."
        else:
            commands.append(line.removesuffix(b"\r\n"))
            verb = line.split()[0]
    return sink, commands, message


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_the_outcome_is_that_of_the_original(row: dict[str, Any]) -> None:
    sink, commands, message = played_back(row["delivery_dialogue"][0])
    # The recorded message ends with the empty line that the original added.
    content = message.removesuffix(b"\r\n.\r\n").replace(b"\r\n.", b"\r\n") or b"Subject: x\r\n"
    said = next(
        (match for who, text in row["dialogue"] if who == "S" and (match := OUTCOME.match(text))), None
    )
    sender, recipient = (_address(commands, verb) for verb in (b"MAIL", b"RCPT"))
    await sink.start()
    delivery = SmtpDelivery({"": "127.0.0.1"}, {"": sink.port}, ident="dspam.example.org")
    try:
        reply = await delivery.deliver(Handover(sender, recipient or b"bob@example.net", content))
    except Failure as failure:
        # The original never stopped waiting for a better greeting, so there is no recording.
        code, text = said.groups() if said else ("421", "554 go away")
        assert type(failure) is {"530": PermFail, "421": TempFail}[code]
        assert failure.text == text
    else:
        assert said is not None
        assert said[1] == "250"
        assert reply.ok
        assert sink.wire == [message.removesuffix(b"\r\n.\r\n") + b".\r\n"]
    finally:
        await delivery.close()
        await sink.stop()
    ours = [line for line in sink.lines if not line.startswith((b"EHLO", b"RSET", b"QUIT"))]
    assert ours == [line for line in commands if line != b"QUIT"]


def _address(commands: list[bytes], verb: bytes) -> bytes:
    return next((line.partition(b"<")[2].rstrip(b">") for line in commands if line.startswith(verb)), b"")
