"""The composition root: every part built from one configuration, run, and stopped.

`Parts` is the filter without its listeners, as a command needs it that works by
itself; `run` is the daemon: listening sockets, signals, orderly end.

On SIGTERM and SIGINT the daemon accepts nothing new, finishes the messages it
has, and ends; a message it could not finish was not acknowledged and comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import uvloop

import dspamd
from dspamd import log
from dspamd.config import Config
from dspamd.delivery.dispatch import Dispatch
from dspamd.history import History
from dspamd.home import Home, Layout
from dspamd.mail import signature
from dspamd.maintenance import purging
from dspamd.pipeline import Pipeline
from dspamd.server.dialogue import ServerMode, Terms
from dspamd.server.listen import Endpoint, listen, serve
from dspamd.server.lmtp import LmtpServer
from dspamd.server.mailfilter import MailFilter
from dspamd.storage import open_storage
from dspamd.users import Users

GRACE_S = 60.0
"""How long messages being processed may take to finish when the daemon ends."""


class Parts:
    """The parts of the filter, wired.  Use as `async with Parts(config) as parts`."""

    def __init__(self, config: Config, *, trusted: bool = True) -> None:
        self.config = config
        self.home = home_of(config)
        self.storage = open_storage(config, self.home)
        self.users = Users(config, self.storage, self.home)
        self.outlet = Dispatch(config, self.home, trusted=trusted)
        self.history = History(
            self.home,
            system=config.flag("SystemLog"),
            user=config.flag("UserLog"),
            stats=config.flag("WebStats"),
        )
        self.pipeline = Pipeline(
            config,
            self.users,
            self.storage,
            self.outlet,
            self.history,
            tags=_tags(self.home),
            new_signature=SignatureIds(),
        )

    async def __aenter__(self) -> Parts:
        await self.storage.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.outlet.close()
        await self.history.close()
        await self.storage.close()


class SignatureIds:
    """Makes ids that this process has not given before; the pid tells processes apart."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = 0
        self._given: set[str] = set()

    def __call__(self) -> str:
        now = int(self._clock())
        if now != self._second:
            self._second, self._given = now, set()
        while True:
            made = signature.new_id(now, os.getpid(), secrets.randbelow(1 << 31), secrets.randbelow(1 << 31))
            if made not in self._given:
                self._given.add(made)
                return made


def home_of(config: Config) -> Home:
    """The tree of files that a configuration names."""
    txt = config.text("TxtDirectory")
    return Home(Path(config.text("Home")), Layout(config.text("DirectoryLayout")), Path(txt) if txt else None)


def _tags(home: Home) -> dict[bool, bytes]:
    """The texts that tagSpam and tagNonspam append; a missing one is no text."""
    texts = {}
    for spam, name in ((True, "msgtag.spam"), (False, "msgtag.nonspam")):
        try:
            texts[spam] = (home.texts / name).read_bytes()
        except OSError:
            texts[spam] = b""
    return texts


def endpoints(config: Config) -> list[Endpoint]:
    """Where the daemon listens: its unix socket; TCP if there is none, or a ServerHost besides."""
    backlog = config.number("ServerQueueSize")
    found = []
    if path := config.text("ServerDomainSocketPath"):
        owner, _, group = config.text("SocketOwner").partition(":")
        mode = config.number("SocketMode")
        found.append(Endpoint(path=path, mode=mode, owner=owner, group=group, backlog=backlog))
    if not path or config.text("ServerHost"):
        found.append(
            Endpoint(host=config.text("ServerHost"), port=config.number("ServerPort"), backlog=backlog)
        )
    return found


def terms(config: Config) -> Terms:
    """What our servers offer to their clients."""
    return Terms(
        mode=ServerMode(config.text("ServerMode")),
        version=dspamd.__version__,
        ident=config.text("ServerIdent"),
        passwords=config.suffixes("ServerPass"),
        size_limit=config.number("ServerMaxMessageSize"),
    )


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Run the daemon until it is told to end.

    `ready` is called once connections are accepted.  Raises OSError if it cannot
    listen or write its pid file.
    """
    sockets = [each for endpoint in endpoints(config) for each in listen(endpoint)]
    try:
        with _pid_file(Path(config.text("ServerPID"))):
            uvloop.run(_serve(config, sockets, ready))
    finally:
        for each in sockets:
            each.close()
        if path := config.text("ServerDomainSocketPath"):
            Path(path).unlink(missing_ok=True)


async def _serve(config: Config, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with Parts(config) as parts, purging(config, parts.users, parts.storage, parts.home):
        server = LmtpServer(
            MailFilter(config, parts.pipeline),
            terms(config),
            idle_s=config.number("ServerTimeout"),
            connection_limit=config.number("ServerMaxConnections"),
        )
        listeners = await serve(loop, sockets, server, config.number("ServerQueueSize"))
        log.get().info("started", pid=os.getpid(), version=dspamd.__version__)
        ready()
        await told.wait()
        log.get().info("stopping", messages=server.held)
        for listener in listeners:
            listener.close()
        await server.close(GRACE_S)
    log.get().info("stopped")


@contextlib.contextmanager
def _pid_file(path: Path) -> Iterator[None]:
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
