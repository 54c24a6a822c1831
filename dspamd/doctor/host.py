"""The host: space on its disks, its clock, its limit of open files."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dspamd
from dspamd.app import connection_limit, sessions_within
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.telemetry import log

_GB, _MB = 1e9, 1e6
_LITTLE, _FEW = 0.1, 1 * _GB  # of a disk: below a tenth, and below this, it soon is full
_NEXT_TO_NOTHING = 100 * _MB
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized


class Space(NamedTuple):
    """The space of the file system of a folder, for accounts without privileges."""

    folder: Path
    free: int  # bytes
    size: int
    free_files: int | None  # that can still be made; None: the file system does not count them
    read_only: bool = False


def disk(site: Site) -> Iterator[Diagnosis]:
    """The space for dictionaries, quarantines and logs."""
    seen = set[int]()
    for folder in (site.home.path, log.directory(site.config)):
        if folder.is_dir() and (device := folder.stat().st_dev) not in seen:
            seen.add(device)
            yield judged_space(_space(folder))


def _space(folder: Path) -> Space:
    found = os.statvfs(folder)
    files = found.f_favail if found.f_files else None
    read_only = bool(found.f_flag & os.ST_RDONLY)
    return Space(folder, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, files, read_only)


def judged_space(space: Space) -> Diagnosis:
    """Whether a disk is full, or will be soon."""
    folder = space.folder
    left = f"{folder}: {space.free / _GB:.1f} GB of {space.size / _GB:.1f} GB are free"
    why = "without space nothing is learned or quarantined, and mail waits in the queue of the mail server"
    cure = f"make room; what is large: du -xh {folder} | sort -h | tail -n 20"
    if space.read_only:
        return problem(f"{folder} is mounted read-only", why, f"dmesg | tail; mount -o remount,rw {folder}")
    if space.free_files is not None and space.free_files < 1000:
        number = f"{folder}: only {space.free_files} more files can be made there"
        return problem(number, why, f"remove files; where many are: du -x --inodes {folder} | sort -n | tail")
    if space.free < _NEXT_TO_NOTHING:
        return problem(left, why, cure)
    if space.free < min(_FEW, _LITTLE * space.size):
        return advice(left, why, cure)
    return fine(left)


class Clock(NamedTuple):
    now: float  # seconds since 1970
    installed: float  # when this program was
    synchronized: bool | None  # None: the system does not say


def clock(site: Site) -> Iterator[Diagnosis]:
    """The clock of this host."""
    installed = Path(dspamd.__file__).stat().st_mtime
    yield judged_clock(Clock(time.time(), installed, _synchronized()))


def judged_clock(clock: Clock) -> Diagnosis:
    why = "purges, signatures and corrections go by the clock: a wrong one removes too much, or nothing"
    cure = "timedatectl set-ntp true; then wait, and look: timedatectl"
    if clock.now < clock.installed - 24 * 3600:
        days = (clock.installed - clock.now) / (24 * 3600)
        return problem(f"the clock is {days:.0f} days before the day when dspamd was installed", why, cure)
    if clock.synchronized is False:
        return advice("no time server sets the clock", why, cure)
    return fine("a time server sets the clock" if clock.synchronized else "the clock may be right")


def _synchronized() -> bool | None:
    """What the kernel knows about it (adjtimex(2), which changes nothing with no modes)."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def open_files(site: Site) -> Iterator[Diagnosis]:
    """The limit of open files, against the sessions that are configured."""
    wanted, workers = site.config.ServerMaxConnections, site.workers
    allowed = site.daemon.open_files() if site.daemon else None
    if allowed is None:
        served = connection_limit(site.config, workers)
        yield judged_open_files(wanted, served, "a daemon that this shell starts")
    else:
        yield judged_open_files(wanted, sessions_within(allowed, workers), "the daemon")


def judged_open_files(wanted: int, served: int, who: str) -> Diagnosis:
    """`wanted` and `served` are numbers of sessions."""
    if served >= wanted:
        return fine(f"{who} may open enough files for {wanted} sessions (ServerMaxConnections)")
    why = 'further sessions are answered with "try again later", and mail comes late'
    cure = "systemctl edit dspamd: [Service] LimitNOFILE=65536; or set ServerMaxConnections lower"
    what = f"{who} may open files for {served} sessions only, ServerMaxConnections is {wanted}"
    return problem(what, why, cure)
