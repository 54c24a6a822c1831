"""Monitoring of a real daemon with two workers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.memory import BUDGET_MIB, pss_mib
from tests.support.daemon import Daemon
from tests.support.load import ACCEPTED, NextHop, event, mail, session
from tests.support.ports import free_port

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Watched(Daemon):
    """A daemon that monitoring looks at."""

    def __init__(self, folder: Path, next_hop: int, settings: str = "") -> None:
        self.watch_port = free_port()
        lines = f"ServerWorkers 2\nMetricsListen 127.0.0.1:{self.watch_port}\nLogTarget mail.log\n"
        super().__init__(folder, next_hop, settings=settings + lines)

    @property
    def log(self) -> str:
        return (self.folder / "log/mail.log").read_text()

    async def ask(self, request: str) -> tuple[str, str]:
        """The status line and the body of the answer to a request, of which the end may be missing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.watch_port)
        writer.write(request.encode())
        async with asyncio.timeout(20):
            answer = (await reader.read()).decode()
        writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        return head.partition("\r\n")[0], body

    async def get(self, path: str) -> tuple[str, str]:
        return await self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")

    async def health(self) -> tuple[int, str]:
        """The exit status of `dspamd --health`, and the line that it prints."""
        words = ("--config", self.folder / "dspam.conf", "--health")
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dspamd", *words, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await command.communicate()
        (line,) = printed.decode().splitlines()
        return command.returncode or 0, line

    async def metrics(self) -> Samples:
        status, text = await self.get("/metrics")
        assert status == "HTTP/1.1 200 OK"
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def number(self, name: str, **labels: str) -> float:
        return (await self.metrics()).get((name, frozenset(labels.items())), 0.0)

    async def accepted(self) -> float:
        return await self.number("dspamd_lmtp_replies_total", code_class="2xx")


@pytest.fixture
async def hop() -> AsyncIterator[NextHop]:
    async with NextHop() as hop:
        yield hop


async def send(daemon: Daemon, count: int) -> None:
    """Some messages, each on a connection of its own, all at once: both workers get some."""

    async def one(number: int) -> None:
        async with session(daemon.port) as sender:
            assert await sender.send(mail(str(number))) == ACCEPTED

    await asyncio.gather(*(one(number) for number in range(count)))


async def test_whoever_is_asked_tells_the_numbers_of_all_workers_dead_ones_too(
    tmp_path: Path, hop: NextHop
) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        await send(daemon, 8)
        for _ in range(6):  # the kernel chooses the worker
            assert await daemon.accepted() == 8
        before = daemon.workers
        os.kill(before[0], signal.SIGKILL)
        await event(lambda: len(daemon.workers) == 2 and before[0] not in daemon.workers, "a new worker")
        await send(daemon, 2)
        assert await daemon.accepted() == 10
        daemon.reload()
        await event(lambda: "event=reloaded" in daemon.log, "the reload")
        await send(daemon, 2)
        assert await daemon.accepted() == 12


async def test_a_message_is_seen_in_all_metrics_it_concerns(tmp_path: Path, hop: NextHop) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        started = time.time()
        await send(daemon, 1)
        seen = await daemon.metrics()

        def number(name: str, **labels: str) -> float:
            return seen[name, frozenset(labels.items())]

        assert number("dspamd_messages_total", result="Innocent", source="inbound") == 1
        for stage in ("parse", "scan", "tokens", "store", "classify", "handover", "commit"):
            assert number("dspamd_message_seconds_count", stage=stage) == 1
        assert number("dspamd_message_bytes_count") == number("dspamd_tokens_per_message_count") == 1
        assert number("dspamd_handover_seconds_count") == 1
        assert number("dspamd_storage_seconds_count", driver="sqlite", operation="apply") == 1
        assert number("dspamd_last_handover_timestamp_seconds") >= started
        assert number("dspamd_home_free_bytes") > 0
        (build,) = [dict(labels) for name, labels in seen if name == "dspamd_build_info"]
        assert set(build) == {"version", "python"}


async def test_the_log_tells_a_message_in_one_line(tmp_path: Path, hop: NextHop) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        await send(daemon, 1)
        (line,) = [line for line in daemon.log.splitlines() if "event=message" in line]
        fields = [word.partition("=")[0] for word in line.split(" next=")[0].split()]
        assert fields[:3] == ["timestamp", "level", "event"]
        wanted = {
            "user",
            "rcpt",
            "result",
            "probability",
            "signature",
            "size",
            "tokens",
            "store_ms",
            "total_ms",
        }
        assert wanted <= set(fields)
        assert ' next="250 ' in line
        daemon.stop()
        assert "event=stopping" in daemon.log
        daemon.start()


async def test_retired_workers_count_but_do_not_answer(tmp_path: Path, hop: NextHop) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        former = daemon.watch_port
        async with session(daemon.port) as kept:
            daemon.watch_port = free_port()
            daemon.configure(
                f"ServerWorkers 2\nMetricsListen 127.0.0.1:{daemon.watch_port}\nLogTarget mail.log\n"
            )
            daemon.reload()
            await event(lambda: "event=reloaded" in daemon.log, "the reload")
            await event(lambda: not _listens(former), "the former workers to answer no more")
            assert await kept.send(mail("late")) == ACCEPTED
            assert await daemon.accepted() == 1


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def test_a_next_hop_that_cannot_be_reached_is_no_health(tmp_path: Path) -> None:
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        with Watched(tmp_path, taken.getsockname()[1]) as daemon:
            status, body = await daemon.get("/healthz")
            assert (status, body.splitlines()[0]) == ("HTTP/1.1 200 OK", "ready")
            assert await daemon.health() == (0, "ready; next hop: answered last never")
            async with session(daemon.port) as sender:
                assert await sender.send(mail("late")) // 100 == 4
            status, body = await daemon.get("/healthz")
            assert status == "HTTP/1.1 503 Service Unavailable"
            assert body.splitlines()[:2] == ["not ready", "next hop: cannot be reached"]
            answer = "not ready; next hop: cannot be reached; next hop: answered last never"
            assert await daemon.health() == (1, answer)
            assert await daemon.number("dspamd_handover_failures_total", reason="unreachable") == 1
            assert await daemon.number("dspamd_lmtp_replies_total", code_class="4xx") == 1


async def test_users_whose_files_cannot_be_written_are_no_health(tmp_path: Path, hop: NextHop) -> None:
    (tmp_path / "data").touch()  # a file there stops root, too
    with Watched(tmp_path, hop.port) as daemon:
        status, body = await daemon.get("/healthz")
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert "data: cannot be written" in body.splitlines()


async def test_a_storage_that_is_down_is_no_health(tmp_path: Path, hop: NextHop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = (
            f"StorageDriver libpgsql_drv.so\nPgSQLServer 127.0.0.1\nPgSQLPort {port}\n"
            "PgSQLUser dspam\nPgSQLPass x\nPgSQLDb dspam\n"
        )
        with Watched(tmp_path, hop.port, settings) as daemon:
            status, body = await daemon.get("/healthz")
            assert status == "HTTP/1.1 503 Service Unavailable"
            assert body.splitlines()[1].startswith("storage: ")
            assert (
                await daemon.number("dspamd_storage_errors_total", driver="postgresql", kind="unreachable")
                > 0
            )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("HEAD /metrics?x=y HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GET /metrics HTTP/1.1\r\nX: " + 9000 * "x" + "\r\n\r\n", ""),
        ("nonsense\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("GET /metrics HTTP/1.1\r\n", ""),  # never complete
    ],
)
async def test_strange_requests_get_short_answers(
    tmp_path: Path, hop: NextHop, request_: str, status: str
) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        got, body = await daemon.ask(request_)
        assert got == status
        assert "TYPE" not in body
        assert (await daemon.get("/healthz"))[0] == "HTTP/1.1 200 OK"


async def test_an_address_that_is_taken_stops_no_mail(tmp_path: Path, hop: NextHop) -> None:
    with socket.socket() as taken:
        daemon = Watched(tmp_path, hop.port)
        taken.bind(("127.0.0.1", daemon.watch_port))
        taken.listen()
        with daemon:
            await event(lambda: daemon.log.count("event=metrics_not_served") == 2, "a word of each worker")
            await send(daemon, 2)


async def test_an_idle_worker_with_metrics_stays_small(tmp_path: Path, hop: NextHop) -> None:
    with Watched(tmp_path, hop.port) as daemon:
        await send(daemon, 4)
        await daemon.metrics()
        assert max(map(pss_mib, daemon.workers)) <= BUDGET_MIB
