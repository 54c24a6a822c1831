"""The daemon while its database is away, comes back, or is somewhere else now."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.database import Database, database
from tests.support.load import ACCEPTED, NextHop, mail, session

WAIT = 451
SOON_S = 5  # until it finds the server again


@pytest.fixture
async def hop() -> AsyncIterator[NextHop]:
    async with NextHop() as hop:
        yield hop


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server the site has."""
    name: str = request.param
    return name


@pytest.fixture
def primary(kind: str) -> Iterator[Database]:
    with database(kind) as site:
        yield site


@pytest.fixture
def second(kind: str) -> Iterator[Database]:
    with database(kind) as site:
        yield site


@pytest.fixture
def address() -> Iterator[Path]:
    """Where the daemon looks for its server; short, because the path of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dspamd-") as folder:
        yield Path(folder)


async def offer(daemon: Daemon, subject: str = "hello") -> int:
    """Hand one message over; the code of the reply."""
    async with session(daemon.port) as sender:
        return await sender.send(mail(subject))


async def accepted(daemon: Daemon) -> None:
    """Offer a message again and again, as a mail server does, until it is taken."""
    async with asyncio.timeout(SOON_S):
        while (code := await offer(daemon)) != ACCEPTED:
            assert code == WAIT


async def test_the_daemon_starts_without_its_database(
    tmp_path: Path, hop: NextHop, primary: Database, address: Path
) -> None:
    primary.move_here(address)
    primary.server.stop()
    settings = primary.settings(address)
    with Daemon(tmp_path, hop.port, driver=primary.driver, settings=settings) as daemon:
        assert [await offer(daemon) for _ in range(3)] == [WAIT] * 3
        assert hop.subjects == []
        primary.server.start()
        await accepted(daemon)
        assert hop.subjects == ["hello"]
        assert primary.learned() == 1


async def test_mail_passes_unfiltered_if_that_is_wanted(
    tmp_path: Path, hop: NextHop, primary: Database, address: Path
) -> None:
    primary.move_here(address)
    primary.server.stop()
    settings = primary.settings(address) + "OnStorageFailure deliver\n"
    with Daemon(tmp_path, hop.port, driver=primary.driver, settings=settings) as daemon:
        assert await offer(daemon, "one") == ACCEPTED
        assert hop.subjects == ["one"]
        primary.server.start()
        assert await offer(daemon, "two") == ACCEPTED
        assert primary.learned() == 1
    assert daemon.output.count("event=unfiltered ") == 1


async def test_a_restart_of_the_server_costs_no_mail(
    tmp_path: Path, hop: NextHop, primary: Database, address: Path
) -> None:
    primary.move_here(address)
    codes: list[int] = []
    taken: list[str] = []

    async def client(daemon: Daemon, number: int) -> None:
        for count in range(30):
            subject = f"{number}-{count}"
            while (code := await offer(daemon, subject)) != ACCEPTED:
                codes.append(code)
            taken.append(subject)
            if (number, count) == (0, 10):
                await asyncio.to_thread(primary.server.stop)
                codes.append(await offer(daemon, "while it was down"))
                await asyncio.to_thread(primary.server.start)

    settings = primary.settings(address)
    with Daemon(tmp_path, hop.port, driver=primary.driver, settings=settings) as daemon:
        async with asyncio.timeout(60):
            await asyncio.gather(*(client(daemon, number) for number in range(4)))
        before = primary.learned()
        assert await offer(daemon) == ACCEPTED
        assert primary.learned() == before + 1
    assert set(codes) == {WAIT}
    assert len(taken) == 120
    assert set(taken) <= set(hop.subjects)  # a message whose reply was lost comes twice


async def test_another_profile_is_turned_to(
    tmp_path: Path, hop: NextHop, primary: Database, second: Database, address: Path
) -> None:
    primary.move_here(address / "a")
    second.move_here(address / "b")
    settings = "".join(
        (
            primary.settings(address / "a", ".A"),
            second.settings(address / "b", ".B"),
            "Profile A\nProfile B\nDefaultProfile A\nFailover.A B\n",
        )
    )
    with Daemon(tmp_path, hop.port, driver=primary.driver, settings=settings) as daemon:
        assert await offer(daemon) == ACCEPTED
        assert primary.learned() == 1
        primary.server.stop()
        await accepted(daemon)
        assert await offer(daemon) == ACCEPTED
        assert second.learned() == 2
    assert "event=failover profile=a to=b" in daemon.output


async def test_a_primary_that_turned_read_only_is_left(
    tmp_path: Path, hop: NextHop, primary: Database, second: Database, address: Path
) -> None:
    """Mail that is accepted meanwhile costs at most a training step, as all mail after the hand-over."""
    settings = "ServerWorkers 1\n" + primary.settings(address)
    for site in (second, primary):  # the same user in both, as in a copy
        site.move_here(address)
        with Daemon(tmp_path, hop.port, driver=site.driver, settings=settings) as daemon:
            assert await offer(daemon) == ACCEPTED
        assert site.learned() == 1
    with Daemon(tmp_path, hop.port, driver=primary.driver, settings=settings) as daemon:
        assert await offer(daemon) == ACCEPTED
        primary.turn_read_only()
        second.move_here(address)
        async with asyncio.timeout(SOON_S):
            while second.learned() == 1:
                assert await offer(daemon) in (ACCEPTED, WAIT)
        assert primary.learned() == 2
        assert primary.sessions() == 0
