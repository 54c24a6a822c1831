"""Files that are replaced as a whole, and open files that may have been replaced.

These functions block: call them in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY_MODE = 0o770  # the web pages run under another account of the same group


def atomic_replace(
    path: Path, content: bytes, *, ending: str = "new", mode: int | None = None, durable: bool = False
) -> None:
    """Give a file this content: readers find the old content or the new, never a part of it.

    `ending` is that of `replacement`.  `mode` holds whatever the umask is; None leaves it to the umask.
    `durable`: the content is on the disk before it takes the place of the old one.

    Raises OSError; then the old file stays.
    """
    with replacement(path, ending) as fresh, fresh.open("wb") as file:
        file.write(content)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        if durable:
            os.fsync(file.fileno())


@contextmanager
def replacement(path: Path, ending: str = "new") -> Iterator[Path]:
    """The name of a file beside `path`, which the body writes; at the end it takes the place of `path`.

    The name is that of `path` and `ending`.  Processes that may replace one file at the same time need a
    lock, or an `ending` each.  If the body or the renaming fails, the fresh file is removed.
    """
    fresh = path.with_name(f"{path.name}.{ending}")
    try:
        yield fresh
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def is_still(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one at `path`.

    Ask after taking its lock: another process may have replaced or removed the file in the meantime.
    Raises OSError, but not if there is no such file.
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, as `make_folder` does.  Raises OSError."""
    if not folder.is_dir():
        make_folders(folder.parent)
        make_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder for all accounts that share the one above it, unless it is there.

    Its group is that of the folder above, also for what will be in it, whoever makes that and whatever the
    umask is; it stays that of the account if this is not in the group.  Raises OSError.
    """
    try:
        folder.mkdir(mode=DIRECTORY_MODE)
    except FileExistsError:  # perhaps another process was faster, and sets its mode
        return
    group, found = folder.parent.stat().st_gid, folder.stat()
    if found.st_gid != group:
        with suppress(PermissionError):
            os.chown(folder, -1, group)
    # A process that may not set this bit (RestrictSUIDSGID of systemd) gets it from the folder above.
    if stat.S_IMODE(found.st_mode) != stat.S_ISGID | DIRECTORY_MODE:
        try:
            folder.chmod(stat.S_ISGID | DIRECTORY_MODE)
        except PermissionError:
            if found.st_mode & 0o777 != DIRECTORY_MODE:
                folder.chmod(DIRECTORY_MODE)
