"""Each type of group, seen by several users: the report of one changes the mail of another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.message import compose, ours
from tests.support.name_server import name_server
from tests.support.postfix import DOMAIN, SENDER
from tests.support.sink import Sink

LOTTERY = "Claim the lottery jackpot now, unclaimed millions wait for the lucky winner of the jackpot."
PILLS = "Order cheap pills without prescription from our certified pharmacy, discreet parcels worldwide."
SOUP = "Shall we have soup at noon, as we did last Tuesday, or do you prefer the salad of the canteen?"


class GroupSite:
    """A daemon with a file of groups, and the next hop that gets its mail."""

    def __init__(self, daemon: Daemon, sink: Sink) -> None:
        self.daemon, self.sink = daemon, sink

    async def arrived(self, user: str, text: str, *fields: str) -> list[bytes]:
        """The mail that arrives at the next hop for a message to a user."""
        before = len(self.sink.messages)
        assert await self._send(compose("Hello", text, *fields), user) == [250]
        return [message.replace(b"\r\n", b"\n") for message in self.sink.messages[before:]]

    async def judge(self, user: str, text: str = LOTTERY, *fields: str) -> bytes:
        """The message as it arrives."""
        (message,) = await self.arrived(user, text, *fields)
        return message

    async def verdict(self, user: str, text: str = LOTTERY) -> str:
        return ours(await self.judge(user, text))["X-DSPAM-Result"]

    async def report(self, user: str, message: bytes, label: str = "spam") -> list[int]:
        """Let a user forward a message to their alias for corrections; returns the reply codes."""
        alias = f"{label}-{user}"
        head = f"From: {user}@{DOMAIN}\r\nTo: {alias}@{DOMAIN}\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
        forwarded = b"Content-Type: message/rfc822\r\n\r\n" + message.replace(b"\n", b"\r\n")
        return await self._send(head.encode() + forwarded, alias, f"{user}@{DOMAIN}")

    async def teach(self, user: str, spam: str = LOTTERY, innocent: str = SOUP) -> None:
        """Let a user report spam until the filter finds it, and may not deliver it any more."""
        for _ in range(6):
            await self.judge(user, innocent)
            for message in await self.arrived(user, spam):
                assert await self.report(user, message) == [250]

    async def _send(self, content: bytes, user: str, sender: str = SENDER) -> list[int]:
        return await asyncio.to_thread(self.daemon.deliver, content, user, sender=sender)


@contextlib.asynccontextmanager
async def site(folder: Path, groups: str, settings: str = "") -> AsyncIterator[GroupSite]:
    (folder / "group").write_text(groups)
    sink = Sink()
    await sink.start()
    try:
        with Daemon(folder, sink.port, settings=settings) as daemon:
            yield GroupSite(daemon, sink)
        assert "Traceback" not in daemon.output
    finally:
        await sink.stop()


def user_logs(home: Path) -> set[str]:
    return {path.name for path in home.glob("data/*/*.log")}


async def test_a_shared_dictionary(tmp_path: Path) -> None:
    async with site(tmp_path, "team:shared:alice,bob\n") as users:
        await users.teach("alice")
        assert await users.verdict("bob") == "Spam"
        assert await users.verdict("carol") == "Innocent"
        # Signatures belong to the group: each member may correct what another one got.
        message = await users.judge("alice")
        assert await users.report("carol", message, "notspam") == [550]
        assert await users.report("bob", message, "notspam") == [250]


async def test_a_changed_file_counts_while_the_daemon_runs(tmp_path: Path) -> None:
    async with site(tmp_path, "") as users:
        await users.teach("alice")
        newcomers = (f"newcomer{n}" for n in itertools.count())
        assert await users.verdict(next(newcomers)) == "Innocent"
        (tmp_path / "new").write_text("alice:merged:*\n")
        (tmp_path / "new").replace(tmp_path / "group")
        deadline = time.monotonic() + 20
        while await users.verdict(next(newcomers)) != "Spam":
            assert time.monotonic() < deadline


async def test_a_managed_group_has_one_quarantine(tmp_path: Path) -> None:
    settings = 'ServerParameters "--deliver=innocent"\nPreference "spamAction=quarantine"\nUserLog on\n'
    async with site(tmp_path, "team:shared,managed:alice,bob\n", settings) as users:
        await users.teach("alice")
        assert await users.verdict("carol") == "Innocent"
        assert await users.arrived("bob", LOTTERY) == []
        quarantined = (tmp_path / "data/team/team.mbox").read_bytes()
    assert quarantined.count(b"\nX-DSPAM-User: bob\n") == 1
    assert user_logs(tmp_path) == {"team.log", "carol.log"}


async def test_merged_counters(tmp_path: Path) -> None:
    async with site(tmp_path, "everybody:merged:*,-dave\n") as users:
        await users.teach("everybody")
        assert await users.verdict("alice") == "Spam"
        assert await users.verdict("dave") == "Innocent"
        # Only Alice has her lessons.
        await users.teach("alice", spam=PILLS)
        assert await users.verdict("alice", PILLS) == "Spam"
        assert await users.verdict("bob", PILLS) == "Innocent"


async def test_members_who_are_not_sure_ask_the_others(tmp_path: Path) -> None:
    async with site(tmp_path, "team:classification:alice,bob\n") as users:
        puzzle = f"{LOTTERY} {SOUP}"
        await users.teach("alice", spam=puzzle, innocent="Nothing to see here.")
        for user in ("bob", "carol"):
            await users.teach(user)
        told = ours(await users.judge("bob", puzzle))
        assert told["X-DSPAM-Result"] == "Spam"
        assert float(told["X-DSPAM-Confidence"]) < 0.65
        assert await users.verdict("carol", puzzle) == "Innocent"


async def test_new_users_believe_a_global_user(tmp_path: Path) -> None:
    async with site(tmp_path, "wise:classification:*alice\n") as users:
        await users.teach("alice")
        told = ours(await users.judge("carol"))
        assert (told["X-DSPAM-Result"], told["X-DSPAM-Confidence"]) == ("Spam", "0.6000")
        assert await users.verdict("carol", SOUP) == "Innocent"


async def test_inoculation(tmp_path: Path) -> None:
    async with site(tmp_path, "team:inoculation:alice,bob\n") as users:
        assert await users.report("alice", await users.judge("alice")) == [250]
        assert await users.verdict("bob") == "Spam"
        assert await users.verdict("carol") == "Innocent"


async def test_what_a_blacklist_lists_is_taught_to_the_others(tmp_path: Path) -> None:
    listed = "Received: from mail.example ([192.0.2.7]) by mx.example; Fri, 20 Nov 2026 09:00:00 +0000"
    async with name_server({"7.2.0.192.rbl.example": "127.0.0.2"}) as server:
        settings = (
            f'Lookup rbl.example\nDNSServer {server.place}\nPreference "RBLInoculate=on"\n'
            "AllowOverride RBLInoculate\n"
        )
        async with site(tmp_path, "team:inoculation:alice,bob,dave\n", settings) as users:
            # A user who does not learn from blacklists teaches nobody.
            preferences = tmp_path / "data/dave/dave.prefs"
            preferences.parent.mkdir(parents=True)
            preferences.write_text("RBLInoculate=off\n")
            told = ours(await users.judge("dave", LOTTERY, listed))
            assert told["X-DSPAM-Result"] == "Blacklisted"
            assert await users.verdict("bob") == "Innocent"

            told = ours(await users.judge("alice", PILLS, listed))
            assert told["X-DSPAM-Result"] == "Spam"
            assert await users.verdict("bob", PILLS) == "Spam"
            assert await users.verdict("carol", PILLS) == "Innocent"
