"""Stores for dictionaries, signatures and preferences, one module per driver.

`open_storage` chooses the driver that `StorageDriver` names.  It imports that driver alone,
so a site needs no libraries of the others.
"""

from __future__ import annotations

import contextlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from dspamd.config.config import Config
from dspamd.config.libraries import needed_by
from dspamd.config.option_types import DRIVERS
from dspamd.diagnosis import Diagnosis, Severity, problem
from dspamd.errors import ConfigError, Failure, Problem, UsageError
from dspamd.storage.block import NoBlocks
from dspamd.storage.sql.common import Server, UserTable

if TYPE_CHECKING:  # a caller that needs the contract alone must not pay for these
    from dspamd.home.home import Home
    from dspamd.storage.contract import Storage
    from dspamd.storage.reading import Readable
    from dspamd.telemetry.metrics import Metrics


def open_storage(config: Config, home: Home, metrics: Metrics | None = None) -> Storage:
    """The store of a site, not opened yet, with those that `Failover` names after it.

    Connections to a server count themselves in `metrics`.
    Raises `ConfigError` if there is no driver, an unknown profile, or no library of the driver.
    """
    profile = config.profile.lower()
    following = {name: after.lower() for name, after in config.suffixes(Config.Failover).items()}
    if profile not in following:
        return _store(config, home, metrics)
    from dspamd.storage.sql.failover import Failover

    stores = {profile: _store(config, home, metrics)}
    while (profile := following.get(profile, profile)) not in stores:
        try:
            stores[profile] = _store(config.with_profile(profile), home, metrics)
        except UsageError as error:
            option = next(f"Failover.{name}" for name, after in following.items() if after == profile)
            raise ConfigError([config.problem(option, f"{option}: {error}")]) from error
    return Failover(config.profile.lower(), stores, following, config.FailoverAttempts)


def family(config: Config) -> str:
    """Which kind of store `StorageDriver` names: one of `telemetry.metrics.DRIVERS`."""
    files = "hash" if "hash" in driver_name(config) else "sqlite"
    return {"MySQL": "mysql", "PgSQL": "postgresql"}.get(server_prefix(config), files)


def stores(config: Config, home: Home) -> list[str]:
    """Profiles that together name each store once, the one in use first.

    Raises `ConfigError` if a file that says where a store is cannot be read.
    """
    names: dict[object, str] = {_place(config, home): config.profile}
    for name in config.Profile:
        names.setdefault(_place(config.with_profile(name), home), name)
    return list(names.values())


async def diagnoses(config: Config, home: Home, workers: int) -> list[Diagnosis]:
    """What an examination of the SQL servers finds, where each of `workers` opens connections.

    Asks the servers; changes nothing.  Raises `ConfigError` as `stores` does.
    """
    return [diagnosis for _, diagnosis in await _examined(config, home, workers)]


async def advice(config: Config, home: Home, workers: int) -> list[Problem]:
    """The same as problems of the lines of the configuration, without what is fine.

    A server that does not answer is a problem, too, though it may answer when the daemon starts.
    """
    return [
        config.problem(address, f"{diagnosis.what}: {diagnosis.cure}")
        for address, diagnosis in await _examined(config, home, workers)
        if diagnosis.severity is not Severity.FINE
    ]


async def _examined(config: Config, home: Home, workers: int) -> list[tuple[str, Diagnosis]]:
    """The diagnoses of each server, with the key that says where it is."""
    prefix = server_prefix(config)
    if prefix == "MySQL":
        from dspamd.storage.mysql.diagnoses import diagnoses as ask
    elif prefix == "PgSQL":
        from dspamd.storage.postgres.diagnoses import diagnoses as ask
    else:
        return []
    found = []
    for address, of_profile in _servers(config, home):
        try:
            several = await ask(of_profile, home, workers)
        except Failure as failure:
            cure = "start the server, or correct its address, account and database in this file"
            several = [problem(str(failure), "all mail waits", cure)]
        found += [(address, diagnosis) for diagnosis in several]
    return found


async def refusals(config: Config, home: Home) -> list[Problem]:
    """SQL servers in reach where the daemon would have no place for blocks.  Changes nothing there.

    Raises `ConfigError` as `stores` does.
    """
    prefix = server_prefix(config)
    if prefix == "MySQL":
        from dspamd.storage.mysql.refusal import refusal as ask
    elif prefix == "PgSQL":
        from dspamd.storage.postgres.refusal import refusal as ask
    else:
        return []
    found = []
    for address, of_profile in _servers(config, home):
        with contextlib.suppress(Failure):  # `diagnoses` reports servers that do not answer
            if reason := await ask(of_profile, home):
                found.append(config.problem(address, NoBlocks(reason).detail))
    return found


def _servers(config: Config, home: Home) -> list[tuple[str, Config]]:
    """Of each server, the key that says where it is, and the configuration with its profile."""
    names = stores(config, home)
    return [(_address(config, name), config.with_profile(name) if name else config) for name in names]


def _address(config: Config, profile: str) -> str:
    """The key that says where the server of a profile is, or else of which kind it is."""
    option = Config.MySQLServer if server_prefix(config) == "MySQL" else Config.PgSQLServer
    if profile and config.given(option, profile):
        return f"{option.name}.{profile}"
    return option.name if config.given(option) else Config.StorageDriver.name


def _place(config: Config, home: Home) -> tuple[object, ...]:
    """The place of a profile's store: server, database and table of users.

    Files lie in `home` for every profile.  Raises `ConfigError`.
    """
    prefix = server_prefix(config)
    if not prefix:
        return ()
    changes = "MySQLWrite" if prefix == "MySQL" and config.MySQLWriteServer else prefix
    server = Server.from_config(config, changes, home.path / f"{prefix.lower()}.data")
    return server, UserTable.from_config(config, prefix)


def _store(config: Config, home: Home, metrics: Metrics | None) -> Storage:
    """The store that `StorageDriver` names."""
    driver, server = driver_name(config), server_prefix(config)
    if not driver:
        raise ConfigError([config.problem("StorageDriver", f"StorageDriver is required: one of {DRIVERS}")])
    deadline_s = config.StorageTimeout
    if "sqlite" in driver:
        with needed_by(config, Config.StorageDriver, "sqlite3", "Python was built without it"):
            from dspamd.storage.files.sqlite import SQLite

        return SQLite(home, config.SQLitePragma or None, deadline_s=deadline_s)
    if "hash" in driver:
        from dspamd.storage.files.hash import HashFiles, shape

        open_files = config.HashConnectionCache
        return HashFiles(home, shape(config), open_files=open_files, deadline_s=deadline_s)
    if server == "MySQL":
        with needed_by(config, Config.StorageDriver, "aiomysql"):
            from dspamd.storage.mysql.store import MySQL

        return MySQL.from_config(config, home, metrics)
    with needed_by(config, Config.StorageDriver, "asyncpg"):
        from dspamd.storage.postgres.store import Postgres

    return Postgres.from_config(config, home, metrics)


def open_readable(config: Config, home: Home) -> Readable:
    """The store of a site that must not be touched, not opened yet.  Raises `ConfigError`."""
    driver, server = driver_name(config), server_prefix(config)
    if server == "MySQL":
        with needed_by(config, Config.StorageDriver, "aiomysql"):
            from dspamd.storage.mysql.store import MySQL

        return MySQL.from_config(config, home, create=False)
    if server == "PgSQL":
        with needed_by(config, Config.StorageDriver, "asyncpg"):
            from dspamd.storage.postgres.store import Postgres

        return Postgres.from_config(config, home, create=False)
    from dspamd.storage.files.readers import HashReader, SQLiteReader

    return HashReader(home) if "hash" in driver else SQLiteReader(home)


def driver_name(config: Config) -> str:
    """The last part of `StorageDriver`: files written for DSPAM name it by the path of its library."""
    return PurePath(config.StorageDriver).name.lower()


def server_prefix(config: Config) -> str:
    """The prefix of the options of the server that `StorageDriver` names; empty for stores of files."""
    driver = driver_name(config)
    if "mysql" in driver or "mariadb" in driver:
        return "MySQL"
    return "PgSQL" if "pgsql" in driver or "postgres" in driver else ""


def uid_in_signature(config: Config) -> bool:
    """Whether ids of signatures begin with the number of their owner and a comma."""
    prefix = server_prefix(config)
    return {"MySQL": config.MySQLUIDInSignature, "PgSQL": config.PgSQLUIDInSignature}.get(prefix, False)
