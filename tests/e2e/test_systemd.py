"""The daemon under systemd and other supervisors: notifications, passed sockets, and their files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM, Daemon
from tests.support.load import ACCEPTED, NextHop, event, mail, session
from tests.support.namespaces import unshare
from tests.support.ports import free_port, greets
from tests.support.wait import until

REPOSITORY = Path(__file__).parents[2]
UNITS = REPOSITORY / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd listens, with a watchdog of 1.5 s."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "1500000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


def hear(listening: socket.socket, word: str) -> str:
    """The next notice that is about `word`."""
    while True:
        notice = listening.recv(4096).decode()
        if notice.startswith(word):
            return notice


def test_systemd_is_told_what_happens(tmp_path: Path, heard: socket.socket) -> None:
    with Daemon(tmp_path, free_port(), settings="ServerWorkers 2\n") as daemon:
        assert "STATUS=Serving with 2 workers" in hear(heard, "READY=1")
        assert hear(heard, "WATCHDOG=1")
        daemon.configure("ServerWorkers 1\n")
        daemon.reload()
        assert "MONOTONIC_USEC=" in hear(heard, "RELOADING=1")
        assert "STATUS=Serving with 1 workers" in hear(heard, "READY=1")
        daemon.configure("TrainingMode never\n")
        daemon.reload()
        assert "the new one is unusable" in hear(heard, "READY=1")
    assert hear(heard, "STOPPING=1")


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path, heard: socket.socket) -> None:
    async with NextHop() as hop:
        with Daemon(tmp_path, hop.port, settings="ServerWorkers 2\n") as daemon:
            await asyncio.to_thread(hear, heard, "READY=1")
            hanging = daemon.workers[0]
            os.kill(hanging, signal.SIGSTOP)
            await event(
                lambda: hanging not in daemon.workers and len(daemon.workers) == 2, "a new worker to come"
            )
            assert daemon.output.count(f"event=worker_killed worker={hanging}") == 1
            async with session(daemon.port) as sender:
                assert await sender.send(mail("hello")) == ACCEPTED


def activated(daemon: Daemon, *addresses: str) -> subprocess.Popen[bytes]:
    """A process that listens for the daemon, and becomes it when a client connects."""
    listen = [f"--listen={address}" for address in addresses]
    command = [
        "systemd-socket-activate",
        *listen,
        "--fdname=lmtp:lmtp",
        str(PROGRAM),
        "--config",
        str(daemon.config),
    ]
    with (daemon.folder / "output").open("ab") as output:
        return subprocess.Popen(command, stderr=output)


async def test_sockets_are_taken_over_from_systemd(tmp_path: Path) -> None:
    async with NextHop() as hop:
        daemon = Daemon(tmp_path, hop.port, settings="ServerWorkers 2\n")
        port, path = free_port(), tmp_path / "lmtp.sock"
        activator = activated(daemon, f"127.0.0.1:{port}", str(path))
        try:
            await event(path.exists, "the sockets")
            async with session(port) as sender:  # this starts the daemon
                assert await sender.send(mail("hello")) == ACCEPTED
                activator.send_signal(signal.SIGHUP)
                await event(lambda: "event=reloaded" in daemon.output, lambda: "a reload; " + daemon.output)
            assert await asyncio.to_thread(greets, port)
            assert not await asyncio.to_thread(greets, daemon.port)
        finally:
            activator.terminate()
        assert await asyncio.to_thread(activator.wait, 20) == 0
        assert path.exists()  # it is systemd's


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit files, with an existing program in place of ours, which may not be installed."""
    assert {path.suffix for path in UNITS.iterdir()} == {".service", ".socket", ".timer", ".d"}
    for unit in UNITS.glob("*.*"):
        if unit.is_file():
            text = unit.read_text()
            (tmp_path / unit.name).write_text(re.sub(r"/usr/bin/dspam\w*", "/bin/true", text))
    return tmp_path


def test_systemd_understands_the_units(units: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(units.glob("dspam*.*"))],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:/usr/lib/systemd/system:/lib/systemd/system"},
    )
    ours = [line for line in done.stderr.splitlines() if "dspam" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_shut_in(service: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", UNITS / service],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_the_daemon_can_tell_the_accounts_at_its_socket() -> None:
    """In a user namespace of its own the kernel would call each of them `nobody`."""
    assert "\nPrivateUsers=no\n" in (UNITS / "dspamd.service").read_text()


@pytest.mark.parametrize("kind", ["sysusers", "tmpfiles"])
def test_accounts_and_folders_are_understood(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for name, line in (("passwd", "root:x:0:0::/:/bin/sh"), ("group", "root:x:0:")):
        (root / "etc" / name).write_text(line + "\n")
    subprocess.run(
        ["systemd-sysusers", f"--root={root}", UNITS / "sysusers.d/dspamd.conf"], check=True, timeout=60
    )
    assert re.search(r"^dspam:.*:/var/lib/dspam:", (root / "etc/passwd").read_text(), re.M)
    if kind == "tmpfiles":
        subprocess.run(
            ["systemd-tmpfiles", "--create", f"--root={root}", UNITS / "tmpfiles.d/dspamd.conf"],
            check=True,
            timeout=60,
        )
        assert (root / "run/dspam").is_dir()


def laid_out(supervisor: str, tmp_path: Path) -> tuple[Daemon, Path]:
    """A daemon, and its service folder as we ship it, except for paths of the machine."""
    daemon, service = Daemon(tmp_path, free_port()), tmp_path / "services/dspamd"
    shutil.copytree(REPOSITORY / "etc" / supervisor, service)
    ours = {
        "/usr/bin/dspamd": str(PROGRAM),
        "/run/dspam": f"{tmp_path}/run",
        "/var/log/dspam": f"{tmp_path}/log",
    }
    for script in (path for path in service.rglob("*") if path.is_file()):
        assert os.access(script, os.X_OK), script
        subprocess.run(["sh", "-n", script], check=True, timeout=10)
        text = script.read_text()
        for theirs, path in ours.items():
            text = text.replace(theirs, path)
        script.write_text(text)
    return daemon, service


@contextlib.contextmanager
def supervised(supervisor: str, daemon: Daemon, service: Path, inside: Sequence[str] = ()) -> Iterator[None]:
    """The real supervisor over a service, begun by `inside`; it is ended with all that it started."""
    commands: dict[str, tuple[list[str | Path], list[str | Path]]] = {
        "daemontools": (["svscan", service.parent], ["svc", "-dx", service, service / "log"]),
        "runit": (["runsv", service], ["sv", "-w", "60", "exit", service]),
    }
    command, end = commands[supervisor]
    with (daemon.folder / "supervisor").open("ab") as output:
        process = subprocess.Popen(
            [*inside, *command],
            stdout=output,
            stderr=output,
            env={**os.environ, "DSPAM_CONF": str(daemon.config)},
        )
    try:
        yield
    finally:
        subprocess.run(end, check=True, timeout=90)
        process.terminate()
        process.wait(60)
        until(lambda: not (daemon.folder / "dspam.pid").exists(), "the daemon to end")


@pytest.mark.parametrize("supervisor", ["daemontools", "runit"])
def test_supervisors_run_the_daemon(supervisor: str, tmp_path: Path) -> None:
    """It is the process that the supervisor started, hears its signals, and its lines come into the log."""
    reload, restart = {
        "daemontools": (["svc", "-h"], ["svc", "-t"]),
        "runit": (["sv", "reload"], ["sv", "-w", "60", "restart"]),
    }[supervisor]
    daemon, service = laid_out(supervisor, tmp_path)
    daemon.configure(f"ServerDomainSocketPath {tmp_path}/socket\nServerMode auto\n")
    log = tmp_path / "log/daemon/current"

    def logged(event: str, count: int) -> None:
        until(
            lambda: log.exists() and log.read_text().count(f"event={event} ") == count,
            lambda: (
                f"{event}; " + (log.read_text() if log.exists() else (tmp_path / "supervisor").read_text())
            ),
        )

    with supervised(supervisor, daemon, service):
        logged("started", 1)
        pid = int((tmp_path / "dspam.pid").read_text())
        status = (service / "supervise/status").read_bytes()
        assert int.from_bytes(status[12:16], "little") == pid
        subprocess.run([*reload, service], check=True, timeout=90)
        logged("reloaded", 1)
        subprocess.run([*restart, service], check=True, timeout=90)
        logged("started", 2)
        os.kill(int((tmp_path / "dspam.pid").read_text()), signal.SIGKILL)  # its socket and pid file stay
        logged("started", 3)


@pytest.mark.parametrize("supervisor", ["daemontools", "runit"])
def test_in_a_terminal_it_stays_until_ctrl_c(supervisor: str, tmp_path: Path) -> None:
    daemon, service = laid_out(supervisor, tmp_path)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", service / "run"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "DSPAM_CONF": str(daemon.config)},
    )
    os.close(slave)
    said = b""
    while b"event=started " not in said:
        said += os.read(master, 4096)
    os.write(master, b"\x03")
    assert process.wait(60) == 0
    os.close(master)
    assert not (tmp_path / "dspam.pid").exists()


def test_runit_leaves_down_what_has_a_bad_configuration(tmp_path: Path) -> None:
    daemon, service = laid_out("runit", tmp_path)
    daemon.configure("TrainingMode never\n")
    with supervised("runit", daemon, service):
        log, state = tmp_path / "log/daemon/current", service / "supervise/stat"
        until(lambda: log.exists() and "TrainingMode never" in log.read_text(), "its complaint", 60)
        # Otherwise runsv says "want up".
        until(lambda: state.read_text() == "down\n", "the service to stay down", 60)
    assert log.read_text().count("TrainingMode never") == 1


MAIL = b"From: ann@example.net\nSubject: lunch\n\nshall we meet at noon\n"


def test_full_disks_cost_lines_and_lessons_and_no_mail(tmp_path: Path) -> None:
    """The disk of multilog, which then reads no more, and that of Home: small ones of this service."""
    log, home = tmp_path / "log", tmp_path / "home"
    inside = unshare("--mount", probe=f"mount -t tmpfs tmpfs {tmp_path}")
    # SQLite lets its log grow to 4 MB; what fits in Home before it is filled must not depend on the pace.
    sizes = {log: "2m", home: "40m"}
    mounts = "".join(f"mkdir {disk}; mount -t tmpfs -o size={sizes[disk]} tmpfs {disk}; " for disk in sizes)
    daemon, service = laid_out("daemontools", tmp_path)
    socket = tmp_path / "socket"
    sockets = f"ServerDomainSocketPath {socket}\nClientHost {socket}\nServerMode auto\n"
    daemon.configure(f"ServerWorkers 1\nHome {home}\n{sockets}")

    def dspamc(mail: bytes, *words: str) -> bytes:
        done = subprocess.run(
            [PROGRAM.with_name("dspamc"), *words],
            input=mail,
            stdout=subprocess.PIPE,
            timeout=60,
            env={**os.environ, "DSPAM_CONF": str(daemon.config)},
        )
        assert done.returncode == 0
        return done.stdout

    def flows(user: str, mail: bytes = MAIL) -> bool:
        printed = dspamc(mail, "--deliver=stdout", "--user", user)
        return re.sub(rb"^X-DSPAM-.*\n([ \t].*\n)*", b"", printed, flags=re.M) == mail

    with supervised("daemontools", daemon, service, [*inside, "sh", "-euc", f'{mounts} exec "$@"', "sh"]):
        until(lambda: greets(daemon.port), "the daemon")
        pid = int((tmp_path / "dspam.pid").read_text())
        there = Path(f"/proc/{pid}/root")  # what the service sees
        current = there / str(log / "daemon/current").lstrip("/")
        with full(there / str(log).lstrip("/")):
            complaint = "pausing: out of disk space"
            until(lambda: flows("bob") and complaint in (tmp_path / "supervisor").read_text(), complaint)
            crowd = [f"user{number}" for number in range(100)]
            for _ in range(3):  # more lines than the pipe between them takes
                assert dspamc(MAIL, "--classify", "--user", *crowd).count(b"; class=") == len(crowd)
            assert flows("bob")
        until(lambda: flows("carol") and "user=carol " in current.read_text(), "the log to go on")
        with full(there / str(home).lstrip("/")):
            long = MAIL + b"".join(b"word%d\n" % number for number in range(20_000))
            assert [flows(user, long) for user in ("bob", "bob", "new", "bob")] == [True] * 4
            until(lambda: current.read_text().count("event=not_learned uid=bob") == 3, "the lost lessons")
        assert flows("dave")
        until(lambda: "user=dave " in current.read_text(), "the next mail")
        said = current.read_text()
        assert said.count("level=error") == 1  # one line has the reason
        assert "event=not_learned uid=dave" not in said
        assert pid == int((tmp_path / "dspam.pid").read_text())


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """A disk without room; it has some again afterwards."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    try:
        yield
    finally:
        filler.unlink()  # or multilog would wait for ever
