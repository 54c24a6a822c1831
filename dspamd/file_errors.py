"""Errors of files in words that help an operator: which file, and what to change.

The system says "Permission denied" and "File too large".  `explained` adds the file, which
account lacks which right, and which limit stopped the write.

Blocks, for some microseconds.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import resource
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

_SQLITE_IO_ERROR = 10


def explained(error: Exception, path: str | os.PathLike[str] | None = None) -> str:
    """An error in words.  `path` is the file, for an error that does not name it."""
    file = path if getattr(error, "filename", None) is None else getattr(error, "filename", None)
    if not isinstance(file, (str, bytes, os.PathLike)):
        return f"{error}{_limit(error)}"
    text = f"{os.fsdecode(file)}: {getattr(error, 'strerror', None) or error}{_limit(error)}"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return f"{text}: {_rights(Path(os.fsdecode(file)))}"
    return text


def _limit(error: Exception) -> str:
    """The size limit for files of this process, if it may be the reason of an error."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    too_large = isinstance(error, OSError) and error.errno == errno.EFBIG
    # SQLite does not pass the error of the system on.
    unclear = getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_IO_ERROR
    if allowed == resource.RLIM_INFINITY or not (too_large or unclear):
        return ""
    return f" (this process may write {allowed} bytes to a file: ulimit -f, LimitFSIZE)"


def _rights(path: Path) -> str:
    """Our account, and the first directory or file on the path that denies us access."""
    who = f"account {_name(pwd.getpwuid, os.geteuid())} ({_groups()})"
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would ask for the rights that we lack
    for directory in reversed(absolute.parents):
        if not os.access(directory, os.X_OK, effective_ids=True):
            return f"{who} may not enter {_owned(directory)}"
    there = absolute if os.path.lexists(absolute) else absolute.parent
    reads, writes = (os.access(there, right, effective_ids=True) for right in (os.R_OK, os.W_OK))
    if not reads:
        return f"{who} may {'not read' if writes else 'neither read nor write'} {_owned(there)}"
    return f"{who} may not {'change' if writes else 'write to'} {_owned(there)}"


def _owned(path: Path) -> str:
    """A file with its owner and mode, which stat(2) gives even for a file that we may not open."""
    try:
        found = path.stat()
    except OSError:
        return str(path)
    owner, group = _name(pwd.getpwuid, found.st_uid), _name(grp.getgrgid, found.st_gid)
    text = f"{path} (of {owner}:{group}, mode {stat.S_IMODE(found.st_mode):04o}"
    ours = {os.getegid(), *os.getgroups()}
    if found.st_uid != os.geteuid() and found.st_gid not in ours and found.st_mode & stat.S_IRGRP:
        text += f": group {group} may read it"
    return f"{text})"


def _groups() -> str:
    """The groups whose rights we have."""
    numbers = dict.fromkeys((os.getegid(), *os.getgroups()))
    return f"group{'s' * (len(numbers) > 1)} " + ", ".join(_name(grp.getgrgid, each) for each in numbers)


def _name(find: Callable[[int], Sequence[object]], number: int) -> str:
    """The name of an account or a group; its number if it has none."""
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)
