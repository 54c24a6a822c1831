"""Somebody follows the pages of docs/, from top to bottom: the commands do what the pages say.

Each page has a site of its own, with the shipped configuration: the lines that a page gives replace those of
the same name. Folders, ports and the places of servers are others, since those of the machine are not ours.
Commands that need root or the services of the machine are read in `tests/unit/test_documents.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.account import TRUST
from tests.support.daemon import Daemon
from tests.support.documents import PAGES, ROOT, Block, blocks, with_lines
from tests.support.labelled_mail import unpacked
from tests.support.mariadb_server import mariadb
from tests.support.ports import free_port
from tests.support.postgres_server import postgresql
from tests.support.warm import programs

TAUGHT = Block(
    "sh", "dspam --user alice@example.org --class=spam --source=corpus <message.eml", "before a page"
)
ASKS_THE_DAEMON = re.compile(r"^(dspamc|curl) ", re.M)


class Reader:
    """Somebody with a site below `folder`.

    `commands` is the folder of the commands, `places` are ours for those of the pages, `settings` lines of
    dspam.conf that our servers need.
    """

    def __init__(self, folder: Path, commands: Path, places: Mapping[str, str], settings: str = "") -> None:
        self._folder, self._commands = folder, commands
        self._config = folder / "etc/dspam/dspam.conf"
        self._daemon = Daemon(folder, free_port())
        self._daemon.config = self._config
        self._started_with: str | None = None
        self._places = {
            "/etc/dspam": str(folder / "etc/dspam"),
            "/var/lib/dspam": str(folder / "var/lib/dspam"),
            "/run/dspam": str(folder / "run"),
            "/var/vmail": str(folder / "vmail"),
            "192.0.2.10": "127.0.0.1",
            "10033": str(self._daemon.port),
            "9424": str(free_port()),
            **places,
        }
        for name in ("etc/dspam", "var/lib/dspam", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        shipped = self._here((ROOT / "etc/dspam.conf").read_text())
        self._config.write_text(f"{TRUST}\nServerPID {folder}/run/dspam.pid\n{settings}{shipped}")

    def _here(self, text: str) -> str:
        """A text with our places."""
        theirs = "|".join(map(re.escape, self._places))
        return re.sub(theirs, lambda match: self._places[match[0]], text)

    def follow(self, block: Block) -> None:
        """Do what a block of the page says."""
        text = self._here(block.text)
        match block.kind:
            case "conf":
                self._config.write_text(with_lines(self._config.read_text(), text))
            case "group":
                (self._folder / "var/lib/dspam/group").write_text(text)
            case "sh":
                if ASKS_THE_DAEMON.search(text):
                    self._start_daemon()
                self._run(text, block.place)

    def _start_daemon(self) -> None:
        """Start it, again if its configuration has changed."""
        text = self._config.read_text()
        if self._started_with != text:
            self.stop_daemon()
            self._daemon.start()
            self._started_with = text

    def stop_daemon(self) -> None:
        if self._started_with is not None:
            self._daemon.stop()
            self._started_with = None

    def _run(self, script: str, place: str) -> None:
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            cwd=self._folder,
            env={
                "PATH": f"{self._commands}:/usr/bin:/bin",
                "HOME": str(self._folder),
                "DSPAM_CONF": str(self._config),
                "LC_ALL": "C.UTF-8",
                "USER": os.environ.get("USER", "root"),
            },
        )
        assert done.returncode == 0, f"{place}: {done.stdout}"
        assert "Traceback" not in done.stdout, f"{place}: {done.stdout}"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with programs(tmp_path_factory.mktemp("programs")) as commands:
        yield commands


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Path:
    """A site where Alice has mail, good and bad, and taught a message."""
    folder = tmp_path_factory.mktemp("begun")
    mail, maildir = folder / "mail", folder / "vmail/example.org/alice/Maildir"
    mail.mkdir()
    unpacked(mail)
    for label, box in (("ham", maildir), ("spam", maildir / ".Junk")):
        for part in ("cur", "new", "tmp"):
            (box / part).mkdir(parents=True)
        for number, path in enumerate(sorted((mail / label).iterdir())[:15]):
            shutil.copy(path, box / f"cur/{number}:2,S")
    (folder / "Maildir").symlink_to("vmail/example.org/alice/Maildir")
    shutil.copy(maildir / ".Junk/cur/0:2,S", folder / "message.eml")
    shutil.rmtree(mail)
    Reader(folder, commands, {}).follow(TAUGHT)
    return folder


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> Path:
    """A copy of that site."""
    return Path(shutil.copytree(begun, tmp_path / "site", symlinks=True))


@pytest.fixture
def reader(place: Path, commands: Path) -> Iterator[Reader]:
    somebody = Reader(place, commands, {})
    yield somebody
    somebody.stop_daemon()


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"postgresql", "mariadb"}))
def test_the_commands_of_a_page_work(page: str, reader: Reader) -> None:
    for block in blocks(page):
        reader.follow(block)


def test_the_commands_for_postgresql_work(place: Path, commands: Path) -> None:
    """The server is as Debian installs it: `postgres` is its administrator, and we have no account."""
    with postgresql() as server:
        folder = server.new_database().host

        def administer(script: str, user: str = "postgres") -> None:
            where = ("-h", folder, "-p", str(server.port), "-U", user, "-d", "postgres")
            command = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", *where]
            subprocess.run(command, input=script, text=True, check=True, timeout=60, stdout=subprocess.PIPE)

        administer("CREATE ROLE postgres SUPERUSER LOGIN", "dspam")
        administer("ALTER ROLE dspam RENAME TO installer")
        reader = Reader(place, commands, {"/var/run/postgresql": folder}, f"PgSQLPort {server.port}\n")
        for block in blocks("postgresql"):
            if block.kind == "pgsql":
                administer(block.text)
            reader.follow(block)


def test_the_commands_for_mariadb_work(place: Path, commands: Path) -> None:
    with mariadb() as server:
        reader = Reader(place, commands, {"/run/mysqld/mysqld.sock": str(server.socket)})
        for block in blocks("mariadb"):
            if block.kind == "mariadb":
                server.queries([line for line in block.text.split(";\n") if line.strip()])
            reader.follow(block)
