"""Files and rights: folders that must be there, files that the daemon cannot use, files that all can read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from dspamd.daemon.account import Account
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.files import DIRECTORY_MODE
from dspamd.telemetry import log

_WITHIN_S = 15.0  # for looking at files; then the rest goes unseen
_NAMED = 5  # of many
_TREES = ("data", "opt-in", "opt-out")
_PUBLIC = 0o755  # the folder of the socket: SocketMode says who may connect

Entry = tuple[Path, os.stat_result]


class Reader(NamedTuple):
    """An account with its groups."""

    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, account: Account) -> Reader:
        return cls(account.uid, frozenset(os.getgrouplist(account.name, account.gid)))

    def uses(self, found: os.stat_result) -> bool:
        """Whether the account may read and change a file, or work in a folder."""
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.groups else 0
        needed = 0o7 if stat.S_ISDIR(found.st_mode) else 0o6
        return self.uid == 0 or found.st_mode >> shift & needed == needed


def files(site: Site) -> Iterator[Diagnosis]:
    """The folders of the daemon, and the files of users."""
    if site.account and os.geteuid() not in (0, site.account.uid):
        why = "what others keep to themselves stays unseen, and cannot be mended"
        yield advice("this is neither root nor the daemon's account", why, "sudo dspam_admin doctor")
    missing = list(_missing(site))
    yield from missing
    entries = list(_entries(site.home.path))
    found = list(judged_files(entries, site.account, site.home.path)) if site.account else []
    found += judged_privacy(entries, site.home.path, _entered)
    yield from found
    if not missing and not found:
        yield fine(f"{len(entries)} files and folders of users are the daemon's, and nobody else's")


def _missing(site: Site) -> Iterator[Diagnosis]:
    config = site.config
    wanted = {site.home.path: DIRECTORY_MODE, Path(config.ServerPID).parent: _PUBLIC}
    if config.ServerDomainSocketPath:
        wanted[Path(config.ServerDomainSocketPath).parent] = _PUBLIC
    if config.LogTarget not in ("stderr", "syslog") or config.Debug:
        wanted[log.directory(config)] = DIRECTORY_MODE
    for folder, mode in wanted.items():
        if not folder.exists():
            yield judged_missing(folder, mode, site.account)


def judged_missing(folder: Path, mode: int, account: Account | None) -> Diagnosis:
    owner = f"-o {account.name} -g {account.gid} " if account else ""
    cure = f"install -d -m {mode:04o} {owner}{folder}"
    why = "the daemon does not start, or mail waits"
    return problem(f"the folder {folder} is missing", why, cure, partial(_made, folder, mode, account))


async def _made(folder: Path, mode: int, account: Account | None) -> str:
    await asyncio.to_thread(_make, folder, mode, account)
    return f"made the folder {folder}"


def _make(folder: Path, mode: int, account: Account | None) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    if account and os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid)


def _entries(home: Path) -> Iterator[Entry]:
    """The folders of users, and what lies in them, as far as there is time to look."""
    until = monotonic() + _WITHIN_S
    for tree in _TREES:
        for folder, _, names in os.walk(home / tree):
            for path in (folder, *(f"{folder}/{name}" for name in names)):
                with contextlib.suppress(FileNotFoundError):  # it has just gone
                    yield Path(path), os.lstat(path)
            if monotonic() > until:
                return


def judged_files(entries: Iterable[Entry], account: Account, home: Path) -> Iterator[Diagnosis]:
    """Whether the daemon may use its files."""
    reader = Reader.of(account)
    lost = [path for path, found in entries if not stat.S_ISLNK(found.st_mode) and not reader.uses(found)]
    if lost:
        what = f"{len(lost)} files and folders cannot be used by {account.name}: {_named(lost)}"
        why = "mail of these users waits, or is not learned"
        owner = f"{account.name}:{account.gid}"
        trees = " ".join(str(home / tree) for tree in _TREES if (home / tree).exists())
        cure = f"chown -R {owner} {trees}; chmod -R u+rwX {trees}"
        change = partial(_given, account)
        yield problem(what, why, cure, partial(_changed, home, lost, change, f"gave them to {account.name}"))


def judged_privacy(
    entries: Iterable[Entry], home: Path, entered: Callable[[Path], bool]
) -> Iterator[Diagnosis]:
    """Whether others can read the mail of users; `entered`: whether they may enter a folder."""
    open_ = [path for path, found in entries if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IRWXO]
    passable = {folder: entered(folder) for folder in {path.parent for path in open_}}
    reached = [path for path in open_ if passable[path.parent]]
    if reached:
        what = (
            f"every account of this host can read or change {len(reached)} files of users: {_named(reached)}"
        )
        why = "quarantines and logs tell who gets mail from whom, and what about"
        cure = f"chmod -R o-rwx {home / 'data'}"
        yield problem(
            what, why, cure, partial(_changed, home, reached, _closed, "took the rights of others away")
        )


def _entered(folder: Path) -> bool:
    """Whether others may enter a folder."""
    with contextlib.suppress(OSError):
        return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))
    return False


def _named(paths: list[Path]) -> str:
    return ", ".join(map(str, paths[:_NAMED])) + (" ..." if len(paths) > _NAMED else "")


async def _changed(home: Path, paths: list[Path], change: Callable[[int], None], done: str) -> str:
    return await asyncio.to_thread(_change_all, home, paths, change, done)


def _change_all(home: Path, paths: list[Path], change: Callable[[int], None], done: str) -> str:
    """Change files and folders, but no file with a second name, which may be somebody else's."""
    changed = 0
    for path in paths:
        with contextlib.suppress(OSError), _opened(home, path) as descriptor:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
                change(descriptor)
                changed += 1
    return f"{changed} of {len(paths)} files and folders: {done}"


@contextlib.contextmanager
def _opened(home: Path, path: Path) -> Iterator[int]:
    """A file or folder below Home, reached without a link, which could lead root elsewhere."""
    with contextlib.ExitStack() as opened:
        descriptor = None
        for part in (str(home), *path.relative_to(home).parts):
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if descriptor is None else os.O_NOFOLLOW)
            descriptor = os.open(part, flags, dir_fd=descriptor)
            opened.callback(os.close, descriptor)
        assert descriptor is not None
        yield descriptor


def _given(account: Account, descriptor: int) -> None:
    """Give a file to an account, which may then use it."""
    os.fchown(descriptor, account.uid, account.gid)
    mode = os.fstat(descriptor).st_mode
    os.fchmod(descriptor, stat.S_IMODE(mode) | (0o700 if stat.S_ISDIR(mode) else 0o600))


def _closed(descriptor: int) -> None:
    os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~stat.S_IRWXO)
