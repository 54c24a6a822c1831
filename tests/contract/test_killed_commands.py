"""Commands that teach are killed (kill -9) at each step of their work, and called again until they end.

Nothing is learned twice.  Nothing is missing, but for what a manual page says: of new mail that is taught,
one message for each kill.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from itertools import cycle
from pathlib import Path

import pytest

from dspamd.app import Parts
from dspamd.commands import dspam_admin, dspam_clean, dspam_merge, dspam_train
from dspamd.commands.learner import Local
from dspamd.config.config import Config
from dspamd.engine.model import Learned, Totals
from dspamd.storage.contract import Block, BlockChange, Change, Storage
from dspamd.storage.measured import Measured
from tests.support.belongings import DRIVER_NAMES, first_slots, lesson
from tests.support.site import Site

MESSAGES = 5
TOKENS = 9
POINTS = ("before", "amid", "after")
Command = Callable[[Sequence[str]], int]
Step = Callable[..., Coroutine[None, None, object]]


@pytest.fixture
def here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, furnish: Callable[[str, Path], None]
) -> Site:
    furnish(name, tmp_path)
    return Site(tmp_path, monkeypatch, DRIVER_NAMES[name])


def in_spite_of_kills(command: Command, *words: str) -> int:
    """Call it again and again, killed around the second change that it makes each time; how many kills."""
    for kills, point in enumerate(cycle(POINTS)):
        assert kills < 50, "it never ends"
        child = os.fork()
        if not child:
            _end(command, words, point)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == os.EX_OK
            return kills
        assert os.WTERMSIG(status) == signal.SIGKILL
    raise AssertionError


def _end(command: Command, words: Sequence[str], point: str, at: int = 2) -> None:
    """Run it in this process, which ends with it, or before."""
    calls: list[str] = []
    for method in ("apply", "load", "fold", "delete_signature"):
        setattr(Measured, method, _killing(getattr(Measured, method), point, calls, at))
    try:
        os._exit(command(words))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(70)


def _killing(method: Step, point: str, calls: list[str], at: int) -> Step:
    async def call(*given: object, **named: object) -> object:
        calls.append(point)
        if len(calls) != at:
            return await method(*given, **named)
        if point != "before":
            change = asyncio.ensure_future(method(*given, **named))
            await (asyncio.sleep(0) if point == "amid" else change)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    return call


def folder_of(place: Path, word: str, head: str = "") -> Path:
    """Mail with a word of its own in each."""
    place.mkdir(parents=True)
    for number in range(MESSAGES):
        own = f"{word}{number}"
        (place / f"{number}:2,S").write_text(f"{head}Message-ID: <{own}@example.org>\n\n{own}\n")
    return place


def learned(site: Site) -> int:
    totals = site.totals("bob")
    return totals.spam_learned + totals.innocent_learned


def most(site: Site) -> int:
    """The hits of the token that bob's dictionary knows best."""
    return max(spam + innocent for spam, innocent in site.known("bob").values())


def test_training(here: Site) -> None:
    places = [str(folder_of(here.folder / word, word)) for word in ("spam", "ham")]
    kills = in_spite_of_kills(dspam_train.main, "bob", "--spam", places[0], "--ham", places[1])
    assert kills >= MESSAGES / 2
    assert 2 * MESSAGES - kills <= learned(here) <= 2 * MESSAGES
    assert most(here) <= learned(here)
    assert dspam_train.main(["bob", "--spam", places[0], "--ham", places[1]]) == 0
    assert learned(here) <= 2 * MESSAGES


def test_maildirs_without_our_signatures(here: Site) -> None:
    folder_of(here.folder / "mail/bob/Maildir/.Junk/cur", "spam")
    words = ("learn-maildirs", "--new-users", f"{here.folder}/mail/*/Maildir")
    kills = in_spite_of_kills(dspam_admin.main, *words)
    assert kills
    assert MESSAGES - kills <= here.totals("bob").spam_learned == learned(here) <= MESSAGES


def test_maildirs_with_our_signatures(here: Site) -> None:
    """The store takes a correction once, so nothing is left out either."""
    here.configure("Preference signatureLocation=headers")

    async def judge() -> list[str]:
        async with Parts(Config.load()) as parts:
            mails = [b"Subject: x\n\nsome%d\n" % number for number in range(MESSAGES)]
            found = [await Local(parts).judge("bob", mail) for mail in mails]
            return [each.signature for each in found if each]

    junk = folder_of(here.folder / "mail/bob/Maildir/.Junk/cur", "spam")
    for path, signature in zip(sorted(junk.iterdir()), asyncio.run(judge()), strict=True):
        path.write_text(f"X-DSPAM-Result: Innocent\nX-DSPAM-Signature: {signature}\n\nx\n")
    assert in_spite_of_kills(dspam_admin.main, "learn-maildirs", f"{here.folder}/mail/*/Maildir")
    assert here.totals("bob") == Totals(spam_learned=MESSAGES, spam_misclassified=MESSAGES)
    assert set(here.known("bob").values()) <= {(1, 0), (MESSAGES, 0)}


def killed_at(command: Command, words: Sequence[str], change: int) -> None:
    """Run it, killed after that change."""
    child = os.fork()
    if not child:
        _end(command, words, "after", change)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_merging_after_a_purge(
    here: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One of ours leaves the position alone; after another one the merge is refused, not done twice."""
    monkeypatch.setattr(dspam_merge, "LOADED_AT_ONCE", 2)
    here.teach("ann", Totals(6, 7), {token: (1, token) for token in range(1, TOKENS + 1)})
    here.teach("bob", Totals(1, 1), {1: (1, 1)}, "some")
    words = ["ann", "-o", "bob"]
    killed_at(dspam_merge.main, words, 4)
    assert dspam_clean.main(["-s0"]) == 0
    part = here.known("bob")
    assert 1 < len(part) < TOKENS

    async def signatures(storage: Storage) -> list[str]:
        uid = await storage.uid("bob", create=False)
        assert uid is not None
        return [id_ for id_, _ in await storage.signatures(uid)]

    (position,) = here.on_store(signatures)
    assert dspam_merge.main(words) == 0
    both = {token: (1, token) for token in range(1, TOKENS + 1)} | {1: (2, 2)}
    assert (here.known("bob"), here.totals("bob")) == (both, Totals(7, 8))

    async def purge(storage: Storage) -> None:
        uid = await storage.uid("bob", create=False)
        assert uid is not None
        assert await storage.delete_signature(uid, position)

    killed_at(dspam_merge.main, words, 4)
    here.on_store(purge)
    part = here.known("bob")
    capfd.readouterr()
    assert dspam_merge.main(words) == 1
    assert f"its position, signature {position}, was removed" in capfd.readouterr().err
    assert here.known("bob") == part


def test_merging(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dspam_merge, "LOADED_AT_ONCE", 2)
    here.teach("ann", Totals(6, 7), {token: (1, token) for token in range(1, TOKENS + 1)})
    here.teach("cat", Totals(3, 2), dict.fromkeys(range(TOKENS, 2 * TOKENS), (2, 0)))
    here.teach("bob", Totals(1, 1), {1: (1, 1)})
    lessons = {"ann": lesson(1, 2, 3), "cat": lesson(3, 4), "bob": lesson(1, 4, 5)}

    async def weigh(storage: Storage) -> None:
        for name, change in lessons.items():
            uid = await storage.uid(name, create=False)
            assert uid is not None
            await storage.apply(uid, Change(Learned.nothing(), block=BlockChange("joint", change)))

    here.on_store(weigh)
    assert in_spite_of_kills(dspam_merge.main, "ann", "cat", "-o", "bob") > TOKENS / 2
    both = {token: (1, token) for token in range(1, TOKENS + 1)}
    both |= dict.fromkeys(range(TOKENS, 2 * TOKENS), (2, 0)) | {1: (2, 2), TOKENS: (3, TOKENS)}
    assert here.known("bob") == both
    assert here.totals("bob") == Totals(10, 10)

    async def weights(storage: Storage) -> list[tuple[int, int, int, int]]:
        uid = await storage.uid("bob", create=False)
        assert uid is not None
        return first_slots(await storage.block(uid, "joint"))

    alone = Block(1, 0, b"", tuple(lessons.values()))
    assert here.on_store(weights) == first_slots(alone)
