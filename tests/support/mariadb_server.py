"""A MariaDB server of our own: data, socket and port in a folder that goes when the tests are done.

It runs as an unprivileged user, also for root, and listens on the loopback only.
Tests may stop it, kill it, freeze it and start it again; it is always the one
process that was started here, never another server of the machine.  Each test
takes a database of its own.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

from dspamd.storage.sql.common import Server
from tests.support.ports import free_port
from tests.support.server_process import WITHIN_S, ServerProcess, server_folder
from tests.support.wait import until

_OPTIONS = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=2",  # tests crash the server, never the machine
    "--max-allowed-packet=64M",
    "--max-connections=100",
)


class MariaDB(ServerProcess):
    """A server with its data below `folder`; root needs no password, from this machine alone."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self._folder = folder
        self._tls = tls
        self._user = "mysql" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self._numbers = count(1)
        self.socket = folder / "socket"
        self.port = free_port()

    def install(self) -> None:
        """Have the system's own tables."""
        if os.getuid() == 0:
            shutil.chown(self._folder, self._user)
        copy = ("cp", "-a", "--sparse=always", _new() / "data", self._folder / "data")
        subprocess.run(copy, check=True, timeout=WITHIN_S)
        if self._tls:
            self._certify()

    def make(self) -> None:
        """Make them."""
        if os.getuid() == 0:
            shutil.chown(self._folder, self._user)
        command = ("mariadb-install-db", "--no-defaults", *self._owned(), "--skip-test-db")
        method = "--auth-root-authentication-method=normal"
        subprocess.run((*command, method), check=True, stdout=subprocess.DEVNULL, cwd=self._folder)

    def _certify(self) -> None:
        """Make a certificate that nobody signed."""
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem")
        certificate = ("-x509", "-subj", "/CN=database", "-out", "certificate.pem")
        command = ("openssl", "req", *key, *certificate)
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)
        if os.getuid() == 0:
            for file in ("key.pem", "certificate.pem"):
                shutil.chown(self._folder / file, self._user)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        paths = (f"--socket={self.socket}", f"--port={self.port}", f"--pid-file={self._folder}/pid")
        tls = (
            f"--ssl-{what}={self._folder}/{file}.pem"
            for what, file in (("key", "key"), ("cert", "certificate"))
        )
        command = ("mariadbd", *_OPTIONS, *self._owned(), *paths, *(tls if self._tls else ()))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        until(self._greets, "MariaDB", WITHIN_S)

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server does not answer, but its connections stay."""
        self._signal(signal.SIGSTOP)
        until(self._stopped, "MariaDB to freeze", WITHIN_S)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def new_database(self) -> Server:
        """A new database, whose texts are latin1 as those of DSPAM, reached by the socket as root."""
        name = f"dspam{next(self._numbers)}"
        self.query(f"CREATE DATABASE {name} CHARACTER SET latin1")
        return Server(str(self.socket), 0, "root", "", name)

    def query(self, statement: str, server: Server | None = None) -> list[tuple[Any, ...]]:
        """The answer to a statement of root."""
        return self.queries([statement], server)[-1]

    def queries(self, statements: Sequence[str], server: Server | None = None) -> list[list[tuple[Any, ...]]]:
        """The answers to statements of root, one after the other in one session."""
        connection = pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=server.database if server else None,
            charset="utf8mb4",
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            answers = []
            for statement in statements:
                cursor.execute(statement)
                answers.append(list(cursor.fetchall()))
            return answers

    def _owned(self) -> tuple[str, ...]:
        return f"--user={self._user}", f"--datadir={self._folder / 'data'}", f"--tmpdir={self._folder}"

    def _greets(self) -> bool:
        """It does so when it is ready for everything.

        Before that it listens already, and a SIGTERM that comes then is taken and forgotten.
        """
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "log").read_text(errors="replace"))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(WITHIN_S)
            return client.connect_ex(str(self.socket)) == 0 and client.recv(1) != b""

    def _stopped(self) -> bool:
        """Whether all its threads are."""
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


@contextmanager
def mariadb(*, tls: bool = False) -> Iterator[MariaDB]:
    """A running server, which offers TLS or not."""
    folder = server_folder("mariadb")
    server = MariaDB(folder, tls=tls)
    try:
        server.install()
        server.start()
        yield server
    finally:
        server.stop()


@functools.cache
def _new() -> Path:
    """The folder of a server that never ran, for each one of this process to copy: it takes seconds."""
    folder = server_folder("mariadb-new")
    MariaDB(folder).make()
    return folder
