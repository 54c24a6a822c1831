"""The dialogues in this folder, held with the server over a socket.

A dialogue file has these lines:

    # a comment                      the subject
    mode: standard                   ServerMode
    limit: 1000                      the largest message, in bytes
    refusal: 554 5.1.0 Text          the filter's reply before DATA
    replies: 250 2.6.0 A | 450 ...   its replies after DATA, one for each recipient
    output: text\\n                   the output for dspamc
    C: MAIL FROM:<a@b>               the client sends this line (lines in a row leave together)
    c: bare\\nline                    the client sends exactly this
    S: 250 2.1.0 OK                  the server answers this line
    s: X-DSPAM-Result\\n              the server answers exactly this
    content: Subject: x\\r\\n           the message that the filter got
    closed                           the server closes the connection

In all lines except C: and S:, \\r, \\n, \\0 and \\xff mean the same as in Python.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dspamd.errors import Reply
from dspamd.server.dialogue import ServerMode
from dspamd.server.lmtp import LmtpServer
from tests.support.scripted_filter import TERMS, Client, ScriptedFilter, connected, running

FILES = sorted(Path(__file__).parent.glob("*.txt"))


def unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def reply(text: str) -> Reply:
    code, enhanced, words = text.strip().split(" ", 2)
    return Reply(int(code), enhanced, words)


@dataclass
class Script:
    """A dialogue file: how the server is set up, and the steps."""

    mode: ServerMode = ServerMode.STANDARD
    limit: int = 0
    filter: ScriptedFilter = field(default_factory=ScriptedFilter)
    steps: list[tuple[str, bytes]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Script:
        script = cls()
        settings: dict[str, Callable[[str], None]] = {
            "mode": lambda text: setattr(script, "mode", ServerMode(text)),
            "limit": lambda text: setattr(script, "limit", int(text)),
            "refusal": lambda text: setattr(script.filter, "refusal", reply(text)),
            "replies": lambda text: setattr(script.filter, "replies", tuple(map(reply, text.split("|")))),
            "output": lambda text: setattr(script.filter, "output", unescaped(text)),
        }
        for line in file.read_text().splitlines():
            word, _, text = line.partition(":")
            text = text.removeprefix(" ")
            if word in settings:
                settings[word](text)
            elif word in ("C", "S"):
                script.steps.append((word.lower(), text.encode() + b"\r\n"))
            elif word in ("c", "s", "content"):
                script.steps.append((word, unescaped(text)))
            elif line == "closed":
                script.steps.append((line, b""))
            elif line and not line.startswith("#"):
                raise ValueError(f"{file.name}: what is {line!r}?")
        return script


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_dialogue(file: Path) -> None:
    script = Script.read(file)
    terms = dataclasses.replace(TERMS, mode=script.mode, size_limit=script.limit)
    server = LmtpServer(script.filter, terms, penalty_s=0)
    async with running(server) as port, connected(port) as client, asyncio.timeout(10):
        for number, (word, data) in enumerate(script.steps, 1):
            heard = await perform(word, data, client, script.filter)
            assert heard == data, f"step {number}"


async def perform(word: str, data: bytes, client: Client, filter: ScriptedFilter) -> bytes:
    """Carry out one step; returns the result, to compare with `data`."""
    match word:
        case "c":
            client.send(data)
            return data
        case "s":
            # All lines up to the length that is expected; a longer answer shows in the next step.
            return await client.reader.readexactly(len(data))
        case "content":
            return filter.envelopes[-1].content
        case _:
            return await client.reader.read()
