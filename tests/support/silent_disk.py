"""A file system that never answers, as one of a server that is gone: whoever looks at it waits.

It is one of FUSE, whose program we are, and we do not read the requests of the kernel.  Needs root.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MNT_DETACH = 2


@contextmanager
def silent_disk(folder: Path) -> Iterator[None]:
    """Mount it on a folder.  At the end, all who wait get an error."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    try:
        if libc.mount(b"silent", bytes(folder), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount", str(folder))
        try:
            yield
        finally:
            libc.umount2(bytes(folder), _MNT_DETACH)
    finally:
        os.close(device)
