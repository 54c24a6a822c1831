"""Folders, programs, files and sockets that a configuration names and that are missing.

`pitfalls` looks at the configuration alone, and so is the same everywhere and at any
time.  A missing folder may be mounted, a program installed, while the daemon runs; until then mail
waits, so nearly all of it is worth a warning (`surroundings`).  Two things are errors: a place for the
daemon's own files that is not there yet (`unmet`), so that the start fails until it is; and an obstacle
in their place (`in_the_way`), which only a change of the configuration removes.

Every look is one or two system calls, but that at the seed reads the file.  Blocks.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dspamd.config.config import Config
from dspamd.engine.scorers import scorer
from dspamd.errors import Problem, TempFail
from dspamd.file_errors import explained
from dspamd.home import preference_files
from dspamd.home.home import Home
from dspamd.request.command_line import split
from dspamd.storage.drivers import server_prefix
from dspamd.telemetry import log

PASSWORDS = {
    Config.ServerPass: "may act for every user",
    Config.ClientIdent: "may act for every user",
    Config.MySQLPass: "may change the database",
    Config.MySQLWritePass: "may change the database",
    Config.PgSQLPass: "may change the database",
    Config.ExtLookupPassword: "may ask the directory",
}
_NO_START = "the daemon cannot start"
AGENTS = (Config.TrustedDeliveryAgent, Config.UntrustedDeliveryAgent, Config.QuarantineAgent)


def surroundings(config: Config, workers: AbstractContextManager[object] | None = None) -> list[Problem]:
    """What a daemon with this configuration would miss while it runs.

    `workers` is a context in which we have the account of the workers.
    """
    found = [*_log(config), *_open_to_all(config)]
    with workers or contextlib.nullcontext():
        found += _missed_by_workers(config)
        odd = _default_preferences(config)
    return [config.problem(key, f"{key} {text}") for key, text in found if text] + odd


def unmet(config: Config) -> list[Problem]:
    """What the daemon needs for its start and does not have; another start may find it."""
    pid, path = Path(config.ServerPID), config.ServerDomainSocketPath
    found = [("ServerPID", _folder(pid.parent, _NO_START) or _written(pid))]
    if path:
        found.append(("ServerDomainSocketPath", _folder(Path(path).parent, _NO_START)))
    return [config.problem(key, f"{key} {text}") for key, text in found if text]


def in_the_way(config: Config) -> list[Problem]:
    """Obstacles where the daemon has to make a file, so that it cannot start."""
    named = [
        (Config.ServerPID, stat.S_ISREG, "a file"),
        (Config.ServerDomainSocketPath, stat.S_ISSOCK, "a socket"),
    ]
    found = []
    for option, is_right, what in named:
        key, path = option.name, config.value(option)
        kind, wrong = _kind(Path(path)) if path else (0, "absent")
        if not wrong and not is_right(kind):
            what_is = "a folder" if stat.S_ISDIR(kind) else "something else"
            text = f"{key} {path} is {what_is}, not {what}; {_NO_START}"
            found.append(config.problem(key, text))
    return found


def _default_preferences(config: Config) -> list[Problem]:
    """Doubtful lines of `default.prefs`; servers have a table instead."""
    home = Path(config.Home)
    if server_prefix(config) or _folder(home, ""):
        return []
    file = Home(home).default_preferences
    try:
        return preference_files.doubts(file)
    except TempFail as failure:
        return [Problem(str(file), 0, f"{failure.text}: {failure.detail}")]


def _log(config: Config) -> Iterator[tuple[str, str]]:
    """Keys, each with the fault of the thing that it names; an empty text means no fault."""
    target = config.LogTarget
    if target not in ("stderr", "syslog"):
        key = "LogTarget" if Path(target).is_absolute() else "LogDirectory"
        yield key, _place(_ancestor(log.directory(config) / target), "the log goes to stderr")


def _open_to_all(config: Config) -> Iterator[tuple[str, str]]:
    """Files with passwords that every account of this machine may read."""
    for option, power in PASSWORDS.items():
        plain = [option.name] if config.value(option) else []
        for key in [*plain, *(f"{option.name}.{suffix}" for suffix in config.suffixes(option))]:
            file = config.problem(key, "").file
            mode, wrong = _kind(Path(file))
            if not wrong and mode & stat.S_IROTH:
                yield (
                    key,
                    f"is in {file}, which everybody may read, and who knows it {power}: chmod o-r {file}",
                )


def _missed_by_workers(config: Config) -> Iterator[tuple[str, str]]:
    yield "Home", _folder(Path(config.Home), "mail waits until the daemon has its folder")
    if queue := config.RABLQueue:
        yield "RABLQueue", _folder(Path(queue), "no source of spam is noted")
    if config.Debug:
        yield "LogDirectory", _place(_ancestor(log.directory(config) / "dspam.debug"), "it will be missing")
    if texts := config.TxtDirectory:
        yield "TxtDirectory", _readable(Path(texts), "mail goes without its texts", folder=True)
    if groups := config.GroupConfig:
        yield "GroupConfig", _readable(Path(groups), "nobody is in a group")
    if authorities := config.DeliveryTLSCAFile:
        yield "DeliveryTLSCAFile", _readable(Path(authorities), "no certificate can be checked")
    if seed := config.SeedModel:
        yield "SeedModel", _seed(Path(seed), config.Algorithm)
    for agent in AGENTS:
        if agent is Config.QuarantineAgent or not config.DeliveryHost:  # without it no component asks them
            yield agent.name, _program(config.value(agent))
    if config.ExtLookup and config.ExtLookupDriver == "program":
        yield "ExtLookupServer", _program(config.ExtLookupServer)
    yield from _sockets(config)


def _sockets(config: Config) -> Iterator[tuple[str, str]]:
    """Servers with the path of a socket as their name."""
    named = {"DeliveryHost": config.DeliveryHost, "ClamAVHost": config.ClamAVHost}
    for domain, host in config.suffixes(Config.DeliveryHost).items():
        named[f"DeliveryHost.{domain}"] = host
    if prefix := server_prefix(config):
        servers = {"MySQL": config.MySQLServer, "PgSQL": config.PgSQLServer}
        named[f"{prefix}Server"] = servers[prefix]
    for key, path in named.items():
        if path.startswith("/"):
            yield key, _kind(Path(path))[1]


def _folder(path: Path, purpose: str) -> str:
    """The fault of a folder that must be writable."""
    kind, wrong = _kind(path)
    if not wrong and not stat.S_ISDIR(kind):
        wrong = f"{path} is no folder"
    if not wrong and not _may(path, os.W_OK | os.X_OK):
        wrong = f"{path} cannot be written to by {_account()}"
    return wrong and f"{wrong}; {purpose}"


def _written(file: Path) -> str:
    """The fault of a file that may be there, and is to be written again."""
    kind, absent = _kind(file)
    if absent or not stat.S_ISREG(kind) or _may(file, os.R_OK | os.W_OK):
        return ""
    return f"{file} cannot be written to by {_account()}; {_NO_START}"


def _place(file: Path, loss: str) -> str:
    """The fault of the place of a file to be made, in a folder that must exist."""
    kind, _ = _kind(file)
    if stat.S_ISDIR(kind):
        return f"{file} is a folder, not a file; {loss}"
    return _folder(file.parent, loss)


def _ancestor(file: Path) -> Path:
    """The same file in the nearest existing folder above, because the daemon makes missing ones."""
    folder = next((parent for parent in file.parents if not _kind(parent)[1]), Path("/"))
    return file if folder == file.parent else folder / file.name


def _readable(path: Path, loss: str, *, folder: bool = False) -> str:
    kind, wrong = _kind(path)
    if not wrong and stat.S_ISDIR(kind) != folder:
        wrong = f"{path} is {'no' if folder else 'a'} folder"
    if not wrong and not _may(path, os.R_OK):
        wrong = f"{path} cannot be read by {_account()}"
    return wrong and f"{wrong}; {loss}"


def _seed(path: Path, algorithms: Iterable[str]) -> str:
    """The fault of the file that users begin with."""
    loss = "users begin without it"
    if wrong := _readable(path, loss):
        return wrong
    chosen = scorer(algorithms)
    if chosen.block is None:
        return f"{path} has no effect: Algorithm {' '.join(algorithms)} knows no seed"
    try:
        written = path.read_bytes()
        chosen.weights(written)
    except OSError as error:
        return f"{explained(error, path)}; {loss}"
    except ValueError as error:
        return f"{path} is no seed: {error}; {loss}"
    return "" if written else f"{path} is no seed: the file is empty; {loss}"


def _program(command: str) -> str:
    """The fault of the program of a command line."""
    words = split(command)
    if not words:
        return ""
    path = Path(words[0] if "/" in words[0] else shutil.which(words[0]) or words[0])
    kind, wrong = _kind(path)
    if not wrong and not (stat.S_ISREG(kind) and _may(path, os.X_OK)):
        wrong = f"{path} cannot be run by {_account()}"
    return wrong and f"{wrong}; mail waits"


def _kind(path: Path) -> tuple[int, str]:
    """The mode of a file, or the reason why there is none."""
    try:
        return path.stat().st_mode, ""
    except (OSError, ValueError) as error:
        return 0, f"{path}: {getattr(error, 'strerror', error)}"


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _account() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
