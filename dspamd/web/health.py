"""Answers to monitoring: `/metrics` for Prometheus, `/healthz` for load balancers and service managers.

A small HTTP server on its own address, `MetricsListen`, which is off by default and has no
password: use an address that only monitoring can reach.  Each worker listens there
(SO_REUSEPORT), and gives the numbers of all workers (telemetry/metrics.py).  A worker that
cannot bind the address logs that and goes on serving mail.

Healthy means that mail would get through, and be learned: the storage answers, takes changes, and has a
place for what the Algorithm knows, Home takes a file, and the next hop, if we spoke to it within the last
minute, answered (RFC 9110 15.6.4: 503 if not).  A worker asks its storage at most once a second, however
often clients ask it.

No request waits longer than `PATIENCE_S`; a worker serves at most `AT_ONCE` at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

import dspamd
from dspamd.errors import Failure
from dspamd.storage.block import NoBlocks
from dspamd.storage.contract import NoChanges, Storage
from dspamd.telemetry import log
from dspamd.telemetry.metric import Counter, Histogram, Latest
from dspamd.telemetry.metric import Metric as Counted
from dspamd.telemetry.metrics import Metrics

PATIENCE_S = 5.0
AT_ONCE = 20
LOOK_S = 1.0
RECENT_S = 60.0

_HEAD_BYTES = 8192
_PROBE = bytes(1 << 16)  # a mail may change as much
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, our share of it, our limit for a file


class Health:
    """Whether mail would get through; `clock` gives seconds since 1970.

    `blocks`: whether the storage must have a place for them.
    """

    def __init__(
        self,
        storage: Storage,
        home: Path,
        metrics: Metrics,
        *,
        blocks: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage, self._home, self._metrics, self._clock = storage, home, metrics, clock
        self._blocks = blocks
        self._changes = metrics.last_unchanged, metrics.last_changed
        self._asking = asyncio.Lock()
        self._asked, self._troubles = 0.0, list[str]()
        self._looking: asyncio.Task[list[str]] | None = None

    async def troubles(self) -> list[str]:
        """The reasons why mail would not get through; none if it would."""
        async with self._asking:
            if not self._asked <= self._clock() < self._asked + LOOK_S:
                self._troubles = [
                    *await self._storage_troubles(),
                    *await self._file_troubles(),
                ]
                self._asked = self._clock()
        return self._troubles + self._hop_troubles()

    def told(self, troubles: list[str]) -> str:
        """The text of the answer, a line for each fact."""
        seen = _when(self._metrics.last_handover)
        hop = f"{self._clock() - seen:.0f} s ago" if seen else "never"
        return "\n".join(
            ["not ready" if troubles else "ready", *troubles, f"next hop: answered last {hop}", ""]
        )

    async def _storage_troubles(self) -> list[str]:
        try:
            async with asyncio.timeout(PATIENCE_S / 2):
                await self._storage.preferences("")
                await self._storage.need_changes()
                if self._blocks:
                    await self._storage.need_blocks()
        except TimeoutError:
            return ["storage: no answer in time"]
        except (NoBlocks, NoChanges) as failure:
            return [f"storage: {failure.detail}"]
        except Failure as failure:
            return [f"storage: {failure.text}"]
        # Another worker may know which.  One user's file stops nobody while those of others take changes.
        refused, taken = (_when(each) > self._clock() - RECENT_S for each in self._changes)
        return ["storage: takes no changes, see not_learned in the log"] if refused and not taken else []

    async def _file_troubles(self) -> list[str]:
        """What keeps files from being written; a disk that hangs holds no more than one thread."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(_file_troubles, self._home))
        done, _ = await asyncio.wait([self._looking], timeout=PATIENCE_S / 4)
        if not done:
            return ["home: no answer in time"]
        looked, self._looking = self._looking, None
        return looked.result()

    def _hop_troubles(self) -> list[str]:
        recent = self._recent(self._metrics.last_unreached, self._metrics.last_handover)
        return ["next hop: cannot be reached"] if recent else []

    def _recent(self, failed: Latest, well: Latest) -> bool:
        """Whether something failed within the last minute, and has not gone well since then."""
        return _when(failed) > max(_when(well), self._clock() - RECENT_S)


def _file_troubles(home: Path) -> list[str]:
    """Whether Home can be written, and its folder of users, which may be on another disk."""
    data = home / "data"
    folders = {"home": home} | ({"data": data} if data.exists() else {})
    found = {name: _trouble(folder) for name, folder in folders.items()}
    return [f"{name}: {trouble}" for name, trouble in found.items() if trouble]


def _trouble(folder: Path) -> str:
    """Why a file cannot be made in a folder and filled; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # without a name, so that nothing stays
            file.write(_PROBE)
            file.flush()
    except OSError as error:
        return "no space left" if error.errno in _FULL else "cannot be written"
    return ""


def _when(latest: Latest) -> float:
    """Seconds since 1970; 0.0 for what never happened."""
    return latest.readings()[0].numbers[0]


class Exposition(Collector):
    """The metrics in the format of Prometheus; `home` is the folder of files."""

    def __init__(self, home: Path, metrics: Metrics) -> None:
        self._home, self._metrics = home, metrics

    def collect(self) -> Iterator[Metric]:
        yield from map(_family, self._metrics)
        build = GaugeMetricFamily(
            "dspamd_build_info",
            "Always 1; the versions in its labels are running.",
            labels=("version", "python"),
        )
        build.add_metric((dspamd.__version__, platform.python_version()), 1)
        yield build
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._home)
            yield GaugeMetricFamily(
                "dspamd_home_free_bytes",
                "Free space on the disk with Home.",
                value=disk.f_bavail * disk.f_frsize,
            )


def _family(metric: Counted) -> Metric:
    readings = metric.readings()
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        ends = [*map(str, metric.bounds), "+Inf"]
        for labels, (*buckets, total) in readings:
            if metric.labels and not any(buckets):
                continue  # most drivers are not in use
            histogram.add_metric(labels, list(zip(ends, accumulate(buckets), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, (number,) in readings:
        family.add_metric(labels, number)
    return family


class Observatory:
    """Answers requests."""

    def __init__(self, health: Health, exposition: Exposition) -> None:
        self._health, self._exposition = health, exposition
        self._busy = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        self._busy += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._busy <= AT_ONCE:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client is no monitoring, or has gone
        except Exception:
            log.get().exception("bug")
        finally:
            self._busy -= 1
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"", "Allow: GET, HEAD")
        if path == b"/metrics":
            text = await asyncio.to_thread(generate_latest, self._exposition)
            return _response(
                "200 OK", text, f"Content-Type: {CONTENT_TYPE_PLAIN_0_0_4}", bare=method == b"HEAD"
            )
        if path == b"/healthz":
            troubles = await self._health.troubles()
            status = "503 Service Unavailable" if troubles else "200 OK"
            return _response(status, self._health.told(troubles).encode(), bare=method == b"HEAD")
        return _response("404 Not Found", b"/metrics and /healthz are here\n", bare=method == b"HEAD")


def _response(status: str, body: bytes, *fields: str, bare: bool = False) -> bytes:
    """A response; `bare`: its head only."""
    if not any(field.startswith("Content-Type") for field in fields):
        fields += ("Content-Type: text/plain; charset=utf-8",)
    head = "\r\n".join(
        [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    )
    return head.encode() + (b"" if bare else body)


@contextlib.asynccontextmanager
async def observed(
    address: str, health: Health, exposition: Exposition, metrics: Metrics, retired: Callable[[], bool]
) -> AsyncIterator[None]:
    """Answer at `address` (host:port) until `retired`, and measure the event loop, while the body runs."""
    host, _, port = address.rpartition(":")
    observatory = Observatory(health, exposition)
    server: asyncio.Server | None = None
    try:
        server = await asyncio.start_server(
            observatory.serve, host.strip("[]") or None, int(port), limit=_HEAD_BYTES, reuse_port=True
        )
    except OSError as error:
        log.get().error("metrics_not_served", address=address, reason=str(error))
    looking = asyncio.create_task(_look(server, metrics, retired))
    try:
        yield
    finally:
        looking.cancel()
        if server is not None:
            server.close()


async def _look(server: asyncio.Server | None, metrics: Metrics, retired: Callable[[], bool]) -> None:
    """Measure every second how late the event loop is.

    A retired worker stops answering, because its view of the storage may be out of date.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
        if server is not None and retired():
            server.close()
