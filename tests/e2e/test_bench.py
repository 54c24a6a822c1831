"""`make bench` in small: each measurement of the daemon runs, and gives its values.

A few messages may cost less CPU than the system can count.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench import large, loads, path, source, workers
from bench.client import names
from bench.sample import of_size
from tests.support.ports import free_port


class Mailbox:
    """aiosmtpd's handler: keeps arriving mail."""

    def __init__(self) -> None:
        self.mail: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mail += [(recipient, envelope.content) for recipient in envelope.rcpt_tos]
        return "250 2.0.0 kept"


@pytest.mark.parametrize("sessions", [1, 8])
async def test_the_source_sends_a_message_of_his_own_to_each_user(sessions: int) -> None:
    mailbox, loop = Mailbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: LMTP(mailbox, hostname="test", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seconds = await asyncio.to_thread(source.send, port, sessions=sessions, count=24, size=2_000)
    server.close()
    await server.wait_closed()
    assert seconds > 0
    mails = zip(names(source.MAILS), of_size(1_998, source.MAILS), strict=True)
    assert Counter(mailbox.mail) == {
        (f"{user}@example.org", content + b"\r\n"): 24 // source.MAILS for user, content in mails
    }


def test_the_source_says_what_went_wrong() -> None:
    with pytest.raises(RuntimeError, match="Connection refused"):
        source.send(free_port(), sessions=8, count=8, size=2_000)


@pytest.fixture
def hardly_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "teach", partial(path.teach, lessons=2))


@pytest.mark.usefixtures("hardly_taught")
def test_loads_of_one_worker_and_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "MODES", ("teft",))
    monkeypatch.setattr(loads, "SIZES", {"2 kB": 2_000})
    monkeypatch.setattr(loads, "SESSIONS", (1, 8))
    monkeypatch.setattr(loads, "COUNT", 8)
    figures = {figure.name: figure for figure in loads.measure()}
    each = ("1 session", "8 sessions")
    assert list(figures) == [
        *(f"1 worker, teft, 2 kB, {some}: {what}" for some in each for what in ("rate", "CPU", "p50", "p99")),
        *(f"1 worker, teft, worker 1: {what}" for what in ("CPU of all this", "memory")),
        *(
            f"2 workers, teft, 2 kB, {some}: {what}"
            for some in each
            for what in ("rate", "CPU", "p50", "p99")
        ),
        *(f"2 workers, teft, worker {n}: {what}" for n in (1, 2) for what in ("CPU of all this", "memory")),
    ]
    assert all(each.value > 0 and each.baseline > 0 for name, each in figures.items() if "CPU" not in name)


@pytest.mark.usefixtures("hardly_taught")
def test_two_workers_against_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ROUNDS", 0)
    monkeypatch.setattr(workers, "COUNT", 40)
    pinned, _, _, part, _ = figures = workers.measure()
    assert all(figure.value > 0 and figure.baseline > 0 for figure in figures)
    assert (pinned.budget, pinned.more) == (1.7, True)
    assert 50 <= part.value <= 100


@pytest.mark.usefixtures("hardly_taught")
def test_the_path_against_its_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "ROUNDS", 0)
    monkeypatch.setattr(path, "flood", partial(path.flood, count=16))
    monkeypatch.setattr(path, "load", partial(path.load, count=16))
    monkeypatch.setattr(large, "SIZE", 2_000_000)
    figures = path.measure()
    without = [figure.name for figure in figures if figure.budget is None]
    assert without == ["mail path, commands one by one, eight users"]
    assert all(figure.value > 0 for figure in figures if "CPU" not in figure.name)
