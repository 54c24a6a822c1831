"""A delivery agent gets its words and the message, and its exit status decides."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from dspamd.delivery.agent import Agent
from dspamd.errors import PermFail, Reply, TempFail
from dspamd.filter.outlet import Handover
from tests.support.recording_agent import RecordingAgent
from tests.support.wait import until

CONTENT = b"Subject: x\r\n\r\nbody\r\n"
HANDOVER = Handover(sender=b"ann@example.org", recipient=b"bob+x@example.net", content=CONTENT)


@pytest.fixture
def lda(tmp_path: Path) -> RecordingAgent:
    return RecordingAgent(tmp_path)


async def test_the_message_has_lf_line_ends(lda: RecordingAgent) -> None:
    assert await lda.agent("-d %u").deliver(HANDOVER) == Reply(250, "2.0.0", "Delivered")
    assert lda.message == b"Subject: x\n\nbody\n"
    assert lda.words == [b"-d", b"bob"]


async def test_words_that_stand_for_something(lda: RecordingAgent) -> None:
    await lda.agent(r"%u $u \%u \$u %r \%r %s \%s a=%u %uu").deliver(HANDOVER)
    recipient, sender = b"bob+x@example.net", b"ann@example.org"
    assert lda.words == [b"bob"] * 4 + [recipient] * 2 + [sender] * 2 + [b"a=%u", b"%uu"]


async def test_without_recipient_the_user_stands_for_it(lda: RecordingAgent) -> None:
    await lda.agent("%r").deliver(Handover(sender=b"", recipient=b"", content=CONTENT))
    assert lda.words == [b"bob"]


async def test_arguments_come_as_from_the_original(lda: RecordingAgent) -> None:
    await lda.agent("-d", ["-x", "a=%u", "q r", "", "it;s", "%u", "$(id)", "`id`"]).deliver(HANDOVER)
    assert lda.words == [b"-d", b"-x", b"a=%u", b"q", b"r", b"", b"it;s", b"bob", b"$(id)", b"`id`"]


async def test_addresses_are_passed_as_they_came(lda: RecordingAgent) -> None:
    handover = Handover(
        sender=b'"a b; $(id)"@example.org', recipient="jürgen@example.net".encode("latin-1"), content=CONTENT
    )
    await lda.agent("%s %r").deliver(handover)
    assert lda.words == [handover.sender, handover.recipient]


@pytest.mark.parametrize("word", ["%u", "$u", "\\%u", "\\$u", "%r", "\\%r", "%s", "\\%s"])
@pytest.mark.parametrize("arguments", [True, False], ids=["passed-on", "configured"])
@pytest.mark.parametrize("value", ["-oQ/tmp", "--help", "-", "--", "-x@example.net"])
async def test_no_address_becomes_an_option(
    lda: RecordingAgent, word: str, arguments: bool, value: str
) -> None:
    def agent(words: str) -> Agent:
        command, passed = (lda.command, [words]) if arguments else (f"{lda.command} {words}", [])
        return Agent(command, passed, user=value, timeout_s=20)

    handover = Handover(sender=value.encode(), recipient=value.encode(), content=CONTENT)
    for front in ("", "-d", "x--"):
        with pytest.raises(PermFail) as caught:
            await agent(f"{front} {word}").deliver(handover)
        assert caught.value.text == f"The delivery agent would take {value} for an option"
        assert caught.value.reply.enhanced == "5.1.7"
    assert (await agent(f"-i -- x {word}").deliver(handover)).ok
    assert lda.words == [b"-i", b"--", b"x", value.encode()]


async def test_only_a_bad_recipient_is_told_to_be_one(lda: RecordingAgent) -> None:
    handover = Handover(sender=b"ann@example.org", recipient=b"-x@example.net", content=CONTENT)
    with pytest.raises(PermFail) as caught:
        await lda.agent("-f %s -d %r").deliver(handover)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (550, "5.1.3")
    assert (await lda.agent("-f %s -d %u").deliver(handover)).ok  # no client asked for it


@pytest.mark.parametrize("status", [1, 22, 67, 75, 255])
async def test_failures_are_for_later(lda: RecordingAgent, status: int) -> None:
    lda.ends(f"sys.exit({status})")
    with pytest.raises(TempFail, match=f"returned exit code {status}") as caught:
        await lda.agent().deliver(HANDOVER)
    assert (caught.value.reply.code, caught.value.exit_status) == (451, os.EX_TEMPFAIL)


@pytest.mark.parametrize(("status", "ours"), [(1, 69), (22, 69), (67, 67), (77, 77), (255, 69)])
async def test_failures_may_be_for_good(lda: RecordingAgent, status: int, ours: int) -> None:
    lda.ends(f"sys.exit({status})")
    with pytest.raises(PermFail, match=f"returned exit code {status}") as caught:
        await lda.agent(permanent=True).deliver(HANDOVER)
    assert (caught.value.reply.code, caught.value.exit_status) == (550, ours)


@pytest.mark.parametrize(
    ("end", "text"), [("sys.exit(75)", "exit code 75"), ("os.kill(os.getpid(), 9)", "died by signal 9")]
)
async def test_these_are_never_for_good(lda: RecordingAgent, end: str, text: str) -> None:
    lda.ends(end)
    with pytest.raises(TempFail, match=text):
        await lda.agent(permanent=True).deliver(HANDOVER)


@pytest.mark.parametrize("command", ["/no/such/agent", "", "/"])
async def test_no_such_command(command: str) -> None:
    with pytest.raises(TempFail, match="Unable to run"):
        await Agent(command, user="bob", timeout_s=20, errors_permanent=True).deliver(HANDOVER)


async def test_an_agent_that_reads_nothing_decides_all_the_same(tmp_path: Path) -> None:
    large = Handover(sender=b"", recipient=b"", content=b"x" * 5_000_000)
    assert (await Agent("true", user="bob", timeout_s=20).deliver(large)).ok
    with pytest.raises(TempFail, match="exit code 1"):
        await Agent("false", user="bob", timeout_s=20).deliver(large)


def test_an_agent_that_is_faster_than_we_decides_on_this_loop_too() -> None:
    """uvloop has closed the pipe before we write into it, if the agent has ended by then."""

    async def deliveries() -> None:
        agent = Agent("true", user="bob", timeout_s=20)
        for reply in await asyncio.gather(*(agent.deliver(HANDOVER) for _ in range(20))):
            assert reply.ok

    uvloop.run(deliveries())


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


CHILD = (
    "import subprocess\n"
    "child = subprocess.Popen(['sleep', '60'])\n"
    "(folder / 'pids.new').write_text(f'{os.getpid()} {child.pid}')\n"
    "(folder / 'pids.new').rename(folder / 'pids')\n"
    "child.wait()"
)


async def started(folder: Path) -> list[int]:
    """The processes of an agent with a child, once both run."""
    pids = folder / "pids"
    await asyncio.to_thread(until, pids.exists, "the agent to start its child")
    return [int(word) for word in pids.read_text().split()]


async def gone(pids: list[int]) -> None:
    await asyncio.to_thread(until, lambda: not any(map(is_running, pids)), "the agent and its child to end")


async def test_an_agent_that_takes_too_long_is_killed_with_its_children(
    lda: RecordingAgent, tmp_path: Path
) -> None:
    lda.ends(CHILD)
    with pytest.raises(TempFail, match="took too long"):
        await lda.agent(timeout_s=1.5).deliver(HANDOVER)
    await gone(await started(tmp_path))


async def test_nothing_is_left_running_when_we_stop(lda: RecordingAgent, tmp_path: Path) -> None:
    lda.ends(CHILD)
    delivery = asyncio.create_task(lda.agent(timeout_s=60).deliver(HANDOVER))
    pids = await started(tmp_path)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    await gone(pids)
