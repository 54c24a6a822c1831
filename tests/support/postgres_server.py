"""A PostgreSQL server of our own: data, socket and port in a folder that goes when the tests are done.

It runs as an unprivileged user, also for root, and listens on the loopback and on a
socket in its folder.  Tests may stop it, crash it, freeze it and start it again; it is
always the one process that was started here, never another server of the machine.
Each test takes a database of its own.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspamd.storage.sql.common import Server
from tests.support.ports import free_port
from tests.support.server_process import WITHIN_S, ServerProcess, server_folder
from tests.support.wait import until

USER = "dspam"
_OPTIONS = (
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=60",
    "ssl=on",
)


class PostgreSQL(ServerProcess):
    """A server with everything below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = "postgres" if os.getuid() == 0 else None
        self._numbers = itertools.count(1)
        self.port = free_port()

    def install(self) -> None:
        """Have the system's own tables.  By TCP, TLS is offered and a password asked for."""
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        subprocess.run(("cp", "-a", _new() / "data", self._data), check=True, timeout=WITHIN_S)

    def make(self) -> None:
        """Make them."""
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--no-sync", f"--username={USER}", "--auth-local=trust",
                  "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", str(self._data))  # fmt: skip
        self._run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                  "-keyout", f"{self._data}/server.key", "-out", f"{self._data}/server.crt")  # fmt: skip

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        where = f"port={self.port}", f"unix_socket_directories={self._folder}"
        words = [word for setting in (*where, *_OPTIONS) for word in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            command = (_program("postgres"), "-D", str(self._data), *words)
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, user=self._user, extra_groups=self._groups
            )
        until(self._answers, "PostgreSQL", WITHIN_S)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it and all its sessions at once, as a power cut would."""
        self._end(signal.SIGQUIT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server and its sessions do not answer, but their connections stay."""
        assert self._process is not None
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)
        sessions = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for session in sessions:
            os.kill(int(session), signal.SIGSTOP)
        try:
            yield
        finally:
            for process in (*map(int, sessions), pid):
                os.kill(process, signal.SIGCONT)

    def new_database(self, script: str = "") -> Server:
        """Where a new database is, in which `script` has run."""
        name = f"dspam{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name}", "postgres")
        self.psql(script, name)
        return Server(str(self._folder), self.port, USER, "", name)

    def psql(self, script: str, database: str) -> str:
        """The output of psql for a script: rows of columns with `|` between them."""
        where = ("-h", str(self._folder), "-p", str(self.port), "-U", USER, "-d", database)
        return self._run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *where, "-f", "-", script=script)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _groups(self) -> list[str] | None:
        return None if self._user is None else []

    def _run(self, program: str, *words: str, script: str = "") -> str:
        command = (_program(program), *words)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, check=False, timeout=WITHIN_S,
            cwd=self._folder, env=environment, user=self._user, extra_groups=self._groups,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "log").read_text(errors="replace"))
        try:
            return self.psql("SELECT 1", "postgres") == "1\n"
        except RuntimeError:
            return False


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A running server."""
    folder = server_folder("pg")
    server = PostgreSQL(folder)
    try:
        server.install()
        server.start()
        yield server
    finally:
        server.stop()


@functools.cache
def _new() -> Path:
    """The folder of a server that never ran, for each one of this process to copy: initdb takes a second."""
    folder = server_folder("pg-new")
    PostgreSQL(folder).make()
    return folder


def _program(name: str) -> str:
    """Debian keeps the programs of the server out of the way, by version."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return str(max(versions, key=lambda path: int(path.parts[-3]), default=name))
