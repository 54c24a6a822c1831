"""The composition root: every part built from one configuration, run, and stopped.

`Parts` is the filter without its listeners, for a command that works by itself.  `run` is
the daemon: a supervisor (daemon/supervisor.py) and its workers, each a process with its own
event loop and its own `Parts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import uvloop

import dspamd
from dspamd.config.config import Config
from dspamd.daemon import notify
from dspamd.daemon.account import UMASK, Account, raise_open_files
from dspamd.daemon.listen import Endpoint, owners
from dspamd.daemon.listeners import Listeners
from dspamd.daemon.loads import OwnLoad
from dspamd.daemon.pid_file import pid_file
from dspamd.daemon.supervisor import Supervisor
from dspamd.daemon.worker import WorkerContext
from dspamd.daemon.workers import DaemonSpec
from dspamd.delivery.dispatch import Dispatch
from dspamd.delivery.notices import Notices
from dspamd.engine.scorers import scorer
from dspamd.errors import ConfigError, Failure, Problem, TempFail
from dspamd.file_errors import explained
from dspamd.filter.observers.copies import Copies
from dspamd.filter.observers.report import Details
from dspamd.filter.observers.tracker import Tracker
from dspamd.filter.outlet import Outlet
from dspamd.filter.pipeline import Pipeline
from dspamd.filter.scan.scanners import Scanners, local_addresses
from dspamd.filter.signature_ids import SignatureIds
from dspamd.home.history import History
from dspamd.home.home import Home
from dspamd.home.layout import layout, mixture
from dspamd.home.templates import Texts, lacking
from dspamd.mail._view import keep_memory
from dspamd.maintenance.config_checks import pitfalls
from dspamd.maintenance.maintenance import Maintenance, ages, purging
from dspamd.maintenance.surroundings import in_the_way, surroundings, unmet
from dspamd.offload.background import BackgroundWriter
from dspamd.server.dialogue import ServerMode, Terms
from dspamd.server.lmtp import LmtpServer
from dspamd.server.mailfilter import MailFilter
from dspamd.storage.contract import Uid
from dspamd.storage.drivers import advice, family, open_storage, refusals, stores, uid_in_signature
from dspamd.storage.measured import Measured
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics
from dspamd.users.users import Users

if TYPE_CHECKING:
    from dspamd.web.health import Health

MEMORY_KEPT = 16 << 20
"""Bytes that a worker keeps from one message for the next: enough for messages of 200 kB."""


class Parts:
    """The parts of the filter, wired.  Use as `async with Parts(config) as parts`.

    `workers` is how many processes share the limits.  The caller closes an `outlet` that it gives.
    All parts count in `metrics`.  `new_signature` makes the ids of messages for the owner of a dictionary.
    """

    def __init__(
        self,
        config: Config,
        *,
        workers: int = 1,
        outlet: Outlet | None = None,
        metrics: Metrics | None = None,
        new_signature: Callable[[Uid | None], str] | None = None,
    ) -> None:
        self.config = config
        self.metrics = metrics or Metrics()
        self.home = home_of(config)
        self.storage = Measured(open_storage(config, self.home, self.metrics), family(config), self.metrics)
        self.users = Users(config, self.storage, self.home)
        self._own: Dispatch | None = None
        if outlet is None:
            outlet = self._own = Dispatch(config, self.home, workers, self.metrics)
        self.outlet = outlet
        self.history = History(
            self.home,
            system=config.SystemLog,
            user=config.UserLog,
            stats=config.WebStats,
        )
        self.scanners = Scanners(config, self.home)
        self.texts = Texts(self.home.texts)
        self.background = BackgroundWriter()
        self.notices = Notices(self.home, self.outlet, self.texts, quarantine_limit=config.QuarantineWarnSize)
        self.observers = (
            Copies(self.home, self.background),
            Tracker(config, self.background, local_addresses(config)),
            self.notices,
        )
        self.pipeline = Pipeline(
            config,
            self.users,
            self.storage,
            self.outlet,
            self.history,
            scanners=self.scanners,
            texts=self.texts,
            observers=self.observers,
            metrics=self.metrics,
            details=Details(config),
            new_signature=new_signature or SignatureIds(with_uid=uid_in_signature(config)),
        )

    async def __aenter__(self) -> Parts:
        await self.storage.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.notices.close()
        await self.background.close()
        if self._own:
            await self._own.close()
        await self.history.close()
        await self.storage.close()


class Profiles:
    """The parts of each storage profile; `--profile` chooses one for a single request.

    The parts of a profile open when the first request names it; only declared profiles count.
    Requests that name no profile get `usual`.  Use as `async with Profiles(parts) as profiles`.
    """

    def __init__(self, usual: Parts) -> None:
        self._usual = usual
        self._opened = {usual.config.profile.lower(): usual}
        self._opening = asyncio.Lock()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Profiles:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def pipeline(self, profile: str | None) -> Pipeline:
        """The pipeline of a declared profile.  Raises `TempFail` if it cannot be used."""
        return self._usual.pipeline if profile is None else (await self._parts(profile)).pipeline

    def stores(self) -> list[str]:
        """Profiles that together name each store once, the usual one first.  Raises `ConfigError`."""
        return stores(self._usual.config, self._usual.home)

    async def maintenance(self, profile: str) -> Maintenance:
        """The maintenance of the store of a profile.  Raises `TempFail` if it cannot be used."""
        parts = await self._parts(profile)
        return Maintenance(
            parts.users, parts.storage, ages(parts.config), profile=profile, metrics=parts.metrics
        )

    async def _parts(self, profile: str) -> Parts:
        name = profile.lower()
        async with self._opening:
            if name not in self._opened:
                self._opened[name] = await self._open(self._usual.config.with_profile(profile))
        return self._opened[name]

    async def _open(self, config: Config) -> Parts:
        try:
            # One limit of connections to the next hop holds for all profiles together.
            parts = await asyncio.to_thread(
                partial(Parts, config, outlet=self._usual.outlet, metrics=self._usual.metrics)
            )
        except ConfigError as error:
            raise TempFail("Storage profile cannot be used", detail=str(error)) from error
        return await self._stack.enter_async_context(parts)


def home_of(config: Config) -> Home:
    """The tree of files that a configuration names.  Raises `ConfigError` if its layout is another."""
    return Home(Path(config.Home), layout(config), texts_of(config))


def texts_of(config: Config) -> Path | None:
    """`TxtDirectory`, if it is set."""
    txt = config.TxtDirectory
    return Path(txt) if txt else None


def endpoints(config: Config) -> list[Endpoint]:
    """Where the daemon listens: its unix socket; TCP if there is none, or a ServerHost besides."""
    backlog = config.ServerQueueSize
    found = []
    if path := config.ServerDomainSocketPath:
        owner, group = _socket_owner(config)
        mode = config.SocketMode
        found.append(Endpoint(path=path, mode=mode, owner=owner, group=group, backlog=backlog))
    if not path or config.ServerHost:
        found.append(Endpoint(host=config.ServerHost, port=config.ServerPort, backlog=backlog))
    return found


def _socket_owner(config: Config) -> tuple[str, str]:
    """User and group of the unix socket; with root's own group nobody else could connect."""
    if given := config.SocketOwner:
        owner, _, group = given.partition(":")
        return owner, group
    account = account_of(config)
    return (str(account.uid), str(account.gid)) if account else ("", "")


def terms(config: Config) -> Terms:
    """The terms that our servers offer to their clients."""
    return Terms(
        mode=ServerMode(config.ServerMode),
        version=dspamd.__version__,
        ident=config.ServerIdent,
        passwords=config.suffixes(Config.ServerPass),
        size_limit=config.ServerMaxMessageSize,
    )


def daemon_spec(config: Config, metrics: Metrics | None = None) -> DaemonSpec:
    """The spec that a configuration gives to the supervisor.

    It builds the parts once and drops them: workers then share the modules that the parts import,
    and a part that cannot be built stops the start before a worker tries.
    Raises `ConfigError`, and `LookupError` if an account is unknown (the system may know it later).
    """
    metrics = metrics or Metrics()
    errors = pitfalls(config).errors + in_the_way(config)
    try:
        _observed(config, Parts(config, metrics=metrics))
    except ConfigError as error:
        errors += error.problems
    if errors:
        raise ConfigError(errors)
    account, listening = account_of(config), endpoints(config)
    for endpoint in listening:
        with _known(config, "SocketOwner"):
            owners(endpoint)
    workers = workers_of(config)
    if (sessions := connection_limit(config, workers)) < config.ServerMaxConnections:
        log.get().warning("few_open_files", allowed=raise_open_files(), connections=sessions)
    return DaemonSpec(tuple(listening), workers, partial(_work, config, account, workers, metrics))


def workers_of(config: Config) -> int:
    """The number of workers."""
    return config.ServerWorkers or len(os.sched_getaffinity(0))


def account_of(config: Config) -> Account | None:
    """The account of the workers, if they change theirs."""
    if not (user := config.ServerUser):
        return None
    with _known(config, "ServerUser"):
        account = Account.of(user)
    if group := config.ServerGroup:
        with _known(config, "ServerGroup"):
            account = Account.of(user, group)
    return account


@contextlib.contextmanager
def _known(config: Config, option: str) -> Iterator[None]:
    """Say which line names an unknown account."""
    try:
        yield
    except LookupError as error:
        raise LookupError(str(config.problem(option, f"{option}: {error}"))) from error


def run(config: Config, ready: Callable[[], None] = lambda: None) -> int:
    """Run the daemon until a signal ends it; returns its exit status.

    It calls `ready` once it accepts connections.  Raises `ConfigError`, `OSError`
    and `LookupError` if it cannot start.
    """
    os.umask(UMASK)
    raise_open_files()
    metrics = Metrics()
    metrics.share()
    notifier, given = notify.notifier(), notify.inherited()
    for each in given:
        log.get().info("socket_inherited", name=each.name, address=each.socket.getsockname())
    listeners = Listeners([each.socket for each in given])

    def reread() -> DaemonSpec:
        fresh = Config.load(Path(config.file))
        spec = daemon_spec(fresh, metrics)
        start_log(fresh)
        return spec

    spec = daemon_spec(config, metrics)
    with pid_file(Path(config.ServerPID)), contextlib.closing(listeners):
        return Supervisor(listeners, reread, notifier, ready).run(spec)


def oddities(config: Config) -> list[Problem]:
    """Warnings about a usable configuration, and about the files and programs that it names."""
    texts = Home(Path(config.Home), txt=texts_of(config)).texts
    found = [*config.warnings, *pitfalls(config).warnings, *lacking(config, texts), *mixture(config)]
    with contextlib.suppress(LookupError):  # `daemon_spec` reports an unknown account
        account = account_of(config)
        found += surroundings(config, account.borrowed() if account else contextlib.nullcontext())
    return found


def obstacles(config: Config) -> list[str]:
    """Why a daemon could not start with a configuration now."""
    found = list(map(str, unmet(config)))
    try:
        daemon_spec(config)
    except ConfigError as error:
        found += map(str, error.problems)
    except LookupError as error:
        found.append(str(error))
    return found


def store_obstacles(config: Config) -> list[Problem]:
    """`refused_places` for those who have no event loop."""
    return asyncio.run(refused_places(config))


async def refused_places(config: Config) -> list[Problem]:
    """Why all mail would wait with the databases in reach.  Asks the servers; raises `ConfigError`."""
    return await refusals(config, home_of(config)) if _keeps_blocks(config) else []


def store_oddities(config: Config) -> list[Problem]:
    """Warnings about the databases.  Asks the servers; raises `ConfigError`."""
    found = asyncio.run(advice(config, home_of(config), workers_of(config)))
    if config.ShadowAlgorithm and not _keeps_blocks(config):
        found += asyncio.run(refusals(config, home_of(config)))
    return found


def start_log(config: Config) -> None:
    """Log as configured, beginning with warnings about the configuration."""
    level, form, target = config.LogLevel, config.LogFormat, log.target(config)
    try:
        target.open()  # as root, if we are root yet
    except OSError as error:
        log.configure(level, form)  # to stderr
        log.get().error("log_out_of_reach", target=config.LogTarget, reason=explained(error))
    log.configure(level, form, target)
    for warning in [*oddities(config), *unmet(config)]:
        log.get().warning("configuration", file=warning.file, line=warning.line or None, text=warning.text)


def _work(
    config: Config, account: Account | None, workers: int, metrics: Metrics, context: WorkerContext
) -> int:
    """The life of a worker, in its own process; returns its exit status."""
    try:
        if account:
            account.assume()
        keep_memory(MEMORY_KEPT)
        metrics.claim()
        uvloop.run(context.serve(_server(config, workers, metrics, context.load)))
    except (OSError, Failure) as error:
        log.get().error("cannot_start", reason=str(error))
        return 1
    return os.EX_OK


@contextlib.asynccontextmanager
async def _server(config: Config, workers: int, metrics: Metrics, load: OwnLoad) -> AsyncIterator[LmtpServer]:
    """The server of one of `workers`, within the limits that they have together."""
    async with (
        Parts(config, workers=workers, metrics=metrics) as parts,
        Profiles(parts) as profiles,
        purging(config, parts.home, profiles.stores, profiles.maintenance),
        _observed(config, parts, lambda: load.left),
    ):
        yield LmtpServer(
            MailFilter(config, profiles.pipeline, metrics),
            terms(config),
            idle_s=config.ServerTimeout,
            connection_limit=connection_limit(config, workers),
            elsewhere=lambda: load.others,
            memory_limit=_memory_limit(config, workers),
            metrics=metrics,
        )


def _observed(
    config: Config, parts: Parts, retired: Callable[[], bool] = lambda: False
) -> contextlib.AbstractAsyncContextManager[None]:
    """The server that answers to monitoring, if it is configured."""
    if not (address := config.MetricsListen):
        return contextlib.nullcontext()
    from dspamd.web.health import Exposition, observed  # its libraries cost 3 MiB

    exposition = Exposition(parts.home.path, parts.metrics)
    return observed(address, health(config, parts), exposition, parts.metrics, retired)


def health(config: Config, parts: Parts) -> Health:
    """Whether mail would get through these parts."""
    from dspamd.web.health import Health

    return Health(parts.storage, parts.home.path, parts.metrics, blocks=_keeps_blocks(config))


def _keeps_blocks(config: Config) -> bool:
    """Whether the knowledge of users is in blocks."""
    return scorer(config.Algorithm).block is not None


def connection_limit(config: Config, workers: int) -> int:
    """Sessions of all workers together."""
    return min(config.ServerMaxConnections, sessions_within(raise_open_files(), workers))


def sessions_within(open_files: int, workers: int) -> int:
    """Sessions of `workers` with so many open files each; half of them are kept to serve the sessions."""
    return workers * (open_files // 2)


def _memory_limit(config: Config, workers: int) -> int:
    """Bytes of messages that one of `workers` may hold."""
    limit = config.ServerMaxMemory
    # The largest message must fit, or the server would put it off until its sender gives up.
    return max(limit // workers, config.ServerMaxMessageSize) if limit else sys.maxsize
