"""The daemon as processes: workers that die, reloads, the end, one daemon beside another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.memory import BUDGET_MIB, pss_mib
from tests.support.daemon import PROGRAM, Daemon
from tests.support.load import ACCEPTED, PATIENCE_S, NextHop, event, mail, session
from tests.support.ports import free_port, greets
from tests.support.wait import until

TWO = "ServerWorkers 2\n"


@pytest.fixture
async def hop() -> AsyncIterator[NextHop]:
    async with NextHop() as hop:
        yield hop


class Traffic:
    """Clients that send mail, each on a new connection, until the test stops them.

    A message that is not accepted is offered again, as a mail server does.  `codes` are all replies.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port, self._clients = port, clients
        self._enough = False
        self.codes: list[int] = []
        self.accepted: list[str] = []
        self.refused = 0  # connections

    async def __aenter__(self) -> Traffic:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._enough = True
        async with asyncio.timeout(PATIENCE_S):  # cancels sessions whose mail is never accepted
            await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        count = 0
        while not self._enough:
            subject = f"{number}-{count}"
            count += 1
            while subject not in self.accepted:
                if await self._try(subject) == ACCEPTED:
                    self.accepted.append(subject)

    async def _try(self, subject: str) -> int:
        try:
            async with session(self._port) as sender:
                code = await sender.send(mail(subject))
        except (OSError, AssertionError):
            self.refused += 1
            return 0
        self.codes.append(code)
        return code

    async def more(self, count: int = 20) -> None:
        """Wait until so many more messages are accepted."""
        wanted = len(self.accepted) + count
        await event(lambda: len(self.accepted) >= wanted, f"{count} more messages to be accepted")


async def test_a_worker_that_is_killed_is_replaced_and_mail_goes_on(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        before = daemon.workers
        async with Traffic(daemon.port) as traffic:
            await traffic.more()
            os.kill(before[0], signal.SIGKILL)
            await event(
                lambda: len(daemon.workers) == 2 and before[0] not in daemon.workers, "a new worker to come"
            )
            await traffic.more()
        assert before[1] in daemon.workers
        assert set(traffic.accepted) <= set(hop.subjects)


async def test_a_reload_under_load_refuses_and_loses_nothing(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        async with session(daemon.port) as kept, Traffic(daemon.port) as traffic:
            assert await kept.send(mail("before")) == ACCEPTED
            for number in (1, 2, 3):
                await traffic.more()
                daemon.reload()
                await event(lambda: daemon.output.count("event=reloaded") >= number, "a reload")  # noqa: B023
                await traffic.more()
            assert await kept.send(mail("after")) == ACCEPTED
        assert traffic.refused == 0
        assert set(traffic.codes) == {ACCEPTED}
        assert sorted(hop.subjects) == sorted([*traffic.accepted, "before", "after"])


async def test_a_second_reload_drops_nobody_whom_the_first_one_serves(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        former = daemon.workers
        daemon.reload()
        until(lambda: len(daemon.workers) > 2, "a new worker", every_s=0)
        held = (set(daemon.workers) - set(former)).pop()
        try:
            for pid in (held, *former):  # the reload is not complete, and the other new worker must serve
                os.kill(pid, signal.SIGSTOP)
            async with session(daemon.port) as sender:
                assert "event=reloaded" not in daemon.output
                for pid in former:
                    os.kill(pid, signal.SIGCONT)
                daemon.reload()
                await event(lambda: "event=reloaded" in daemon.output, "the second reload")
                assert await sender.send(mail("still served")) == ACCEPTED
        finally:
            os.kill(held, signal.SIGCONT)


async def test_a_reload_brings_the_new_configuration(tmp_path: Path, hop: NextHop) -> None:
    path = tmp_path / "dspam.sock"
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
            client.connect(str(path))
        daemon.configure(f"ServerWorkers 3\nServerDomainSocketPath {path}\nServerPort {free_port()}\n")
        daemon.reload()
        await event(lambda: "event=reloaded" in daemon.output, "the reload")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            assert client.recv(4) == b"220 "
        await event(lambda: not greets(daemon.port), "the former port to be closed")
        await event(lambda: len(daemon.workers) == 3, "the former workers to leave")
    assert not path.exists()


async def test_a_bad_configuration_is_told_and_the_old_one_stays(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        before = daemon.workers
        daemon.configure("TrainingMode never\nServerTimeout soon\n")
        daemon.reload()
        await event(lambda: "event=not_reloaded" in daemon.output, "the reload to fail")
        problems = [line for line in daemon.output.splitlines() if "event=bad_configuration" in line]
        assert [f"line={number}" in line for number, line in enumerate(problems, 1)] == [True, True]
        assert all(f"file={tmp_path}/dspam.conf" in line for line in problems)
        assert daemon.workers == before
        async with session(daemon.port) as sender:
            assert await sender.send(mail("still here")) == ACCEPTED


async def test_a_port_that_is_taken_leaves_the_old_configuration(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon, socket.create_server(("127.0.0.1", 0)) as taken:
        daemon.configure(f"ServerPort {taken.getsockname()[1]}\n")
        daemon.reload()
        await event(lambda: "event=not_reloaded" in daemon.output, "the reload to fail")
        assert greets(daemon.port)


async def test_at_the_end_every_message_taken_is_answered(tmp_path: Path, hop: NextHop) -> None:
    hop.gate.clear()
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        async with contextlib.AsyncExitStack() as stack:
            busy = [await stack.enter_async_context(session(daemon.port)) for _ in range(8)]
            idle = [await stack.enter_async_context(session(daemon.port)) for _ in range(4)]
            for number, sender in enumerate(busy):
                assert await sender.offer(mail(f"held {number}")) == 354
            await hop.got(len(busy))
            daemon.terminate()
            assert [await sender.reply() for sender in idle] == [421] * len(idle)
            await event(lambda: not greets(daemon.port), "the port to be closed")
            hop.gate.set()
            assert [await sender.reply() for sender in busy] == [ACCEPTED] * len(busy)
        await asyncio.to_thread(daemon.wait)
    assert not (tmp_path / "dspam.pid").exists()


async def test_workers_leave_when_their_supervisor_is_killed(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings=TWO) as daemon:
        workers = daemon.workers
        daemon.kill()
        await event(lambda: not any(map(running, workers)), "the workers to end")
        daemon.start()  # on the same port, with the pid file that was left behind
        assert (tmp_path / "dspam.pid").read_text() == f"{daemon.pid}\n"


def running(pid: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_two_daemons_live_side_by_side(tmp_path: Path, hop: NextHop) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with Daemon(folders[0], hop.port) as one, Daemon(folders[1], hop.port) as two:
        for daemon in (one, two):
            async with session(daemon.port) as sender:
                assert await sender.send(mail("hello")) == ACCEPTED
    assert hop.subjects == ["hello", "hello"]


def test_an_idle_worker_is_small(tmp_path: Path) -> None:
    with Daemon(tmp_path, free_port(), settings=TWO) as daemon:
        assert max(map(pss_mib, [daemon.pid, *daemon.workers])) < BUDGET_MIB


def test_workers_run_under_their_account_with_all_the_files_there_are(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    with Daemon(tmp_path, free_port(), settings=f"{TWO}ServerUser {account.pw_name}\n") as daemon:
        for pid in daemon.workers:
            assert Path(f"/proc/{pid}").stat().st_uid == account.pw_uid
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            )
            assert status["Umask"] == "0006"
            limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
            soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
            assert soft == hard


class TestRefused:
    """The daemon's output and exit status when it cannot start."""

    def test_a_second_daemon_with_the_same_pid_file(self, tmp_path: Path) -> None:
        with Daemon(tmp_path, free_port()) as daemon:
            second = self.run("--config", tmp_path / "dspam.conf")
            assert (second.returncode, greets(daemon.port)) == (1, True)
            assert f"another daemon runs as process {daemon.pid}" in second.stderr
            assert (tmp_path / "dspam.pid").read_text() == f"{daemon.pid}\n"

    @pytest.mark.parametrize("on_path", [False, True])
    def test_a_second_daemon_on_the_same_socket(self, tmp_path: Path, on_path: bool) -> None:
        path = tmp_path / "dspam.sock"
        where = f"ServerDomainSocketPath {path}\n" if on_path else ""
        with Daemon(tmp_path, free_port(), settings=where) as daemon:
            other = tmp_path / "other.conf"
            config = (tmp_path / "dspam.conf").read_text()
            if on_path:
                config = config.replace(f"ServerPort {daemon.port}", f"ServerPort {free_port()}")
            other.write_text(f"ServerPID {tmp_path}/other.pid\n{config}")
            second = self.run("--config", other)
            assert second.returncode == 1
            assert (str(path) if on_path else f"127.0.0.1:{daemon.port}") in second.stderr
            assert greets(daemon.port)
            assert not (tmp_path / "other.pid").exists()

    @pytest.mark.parametrize(
        ("line", "complaint"),
        [
            ("TrainingMode never", "dspam.conf:1: TrainingMode never: one of"),
            ('ServerParameters "--class=spam --classify"', "ServerParameters: Classify mode may not specify"),
            ("DeliveryHost 127.0.0.1\nDeliveryPort 4\nServerPort 4", "mail would loop for ever"),
            (
                "StorageDriver dragon",
                "dspam.conf:1: StorageDriver dragon: there is no such driver; the drivers are hash_drv",
            ),
            ("Lookup zone\nDNSServer nowhere", "dspam.conf:2: DNSServer nowhere: an IP address is expected"),
        ],
    )
    def test_a_bad_configuration(self, tmp_path: Path, line: str, complaint: str) -> None:
        daemon = Daemon(tmp_path, free_port(), settings=line + "\n")
        for option in ([], ["--check-config"]):
            done = self.run("--config", daemon.config, *option)
            assert done.returncode == os.EX_CONFIG, done.stderr
            assert complaint in done.stderr

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ("ServerUser no-such-user", "user"),
            ("ServerUser root\nServerGroup no-such-user", "group"),
            ("ServerDomainSocketPath {folder}/socket\nSocketOwner no-such-user", "user"),
        ],
    )
    def test_an_account_that_is_not_known(self, tmp_path: Path, line: str, kind: str) -> None:
        daemon = Daemon(tmp_path, free_port(), settings=f"\n{line.format(folder=tmp_path)}\n")
        place = (
            f"dspam.conf:{1 + len(line.splitlines())}: {line.split()[-2]}: there is no {kind} no-such-user"
        )
        for option, status in ([], 1), (["--check-config"], os.EX_CONFIG):
            done = self.run("--config", daemon.config, *option)
            assert (done.returncode, place in done.stderr) == (status, True), done.stderr

    @staticmethod
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)


def test_check_config_warns_of_what_would_lose_mail(tmp_path: Path) -> None:
    settings = 'ServerParameters "--stdout --deliver=innocent"\n'
    daemon = Daemon(tmp_path, free_port(), settings=settings)
    done = TestRefused.run("--config", daemon.config, "--check-config")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--stdout has no effect, nobody would get the mail" in done.stdout


def test_a_log_that_cannot_be_written_is_told_on_stderr_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Daemon(tmp_path, free_port(), settings=f"LogTarget {tmp_path}/file/mail.log\n") as daemon:
        assert f"event=log_out_of_reach target={tmp_path}/file/mail.log" in daemon.output


def test_started_without_standard_streams_it_writes_its_log_into_no_other_file(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, free_port())
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$0" --config "$1" <&- >&- 2>&-', PROGRAM, daemon.config]
    )
    try:
        until(lambda: greets(daemon.port), "the daemon to greet")
        for number in range(3):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path(os.devnull)
        assert (tmp_path / "dspam.pid").read_text() == f"{process.pid}\n"
    finally:
        process.terminate()
    assert process.wait(20) == 0


def test_it_may_be_started_with_a_thousand_open_files(tmp_path: Path) -> None:
    """So many has a supervisor of many workers after some reloads; select(2) would not know the next ones."""
    opening = (
        "import os, sys; from dspamd.daemon.account import raise_open_files; raise_open_files();"
        "[os.dup2(0, number) for number in range(10, 1100)]; os.execv(sys.argv[1], sys.argv[1:])"
    )
    daemon = Daemon(tmp_path, free_port())
    process = subprocess.Popen([sys.executable, "-c", opening, PROGRAM, "--config", daemon.config])
    try:
        until(lambda: greets(daemon.port), "the daemon to greet")
    finally:
        process.terminate()
    assert process.wait(20) == 0


class TestBackground:
    """`dspam --daemon`, which returns when the daemon is ready."""

    def test_returns_when_the_daemon_serves(self, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path, free_port())
        done = self.run(daemon)
        assert done.returncode == 0, done.stderr
        pid = int((tmp_path / "dspam.pid").read_text())
        try:
            assert greets(daemon.port)
            assert os.getsid(pid) == pid
            assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
        finally:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not running(pid), "the daemon to end")
        assert not (tmp_path / "dspam.pid").exists()

    def test_stays_in_the_foreground_on_demand(self, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path, free_port())
        with (tmp_path / "output").open("ab") as output:
            process = subprocess.Popen(
                [PROGRAM.with_name("dspam"), "--daemon", "--nofork"],
                env={**os.environ, "DSPAM_CONF": str(daemon.config)},
                stderr=output,
            )
        until(lambda: greets(daemon.port) or process.poll() is not None, "the daemon to greet")
        assert (tmp_path / "dspam.pid").read_text() == f"{process.pid}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, daemon.output

    def test_fails_when_the_daemon_cannot_listen(self, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path, free_port())
        with socket.create_server(("127.0.0.1", daemon.port)):
            assert self.run(daemon).returncode == 1

    @staticmethod
    def run(daemon: Daemon) -> subprocess.CompletedProcess[str]:
        with (daemon.folder / "output").open("ab") as output:
            return subprocess.run(
                [PROGRAM.with_name("dspam"), "--daemon"],
                env={**os.environ, "DSPAM_CONF": str(daemon.config)},
                input="",
                stdout=subprocess.PIPE,
                stderr=output,  # a pipe would end with the daemon only, which logs to it
                text=True,
                timeout=60,
            )
