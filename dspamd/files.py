"""Files that are replaced as a whole, and open files that may have been replaced.

These functions block: call them in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
