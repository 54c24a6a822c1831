"""The hash driver: one hash file for each owner, `USER.css`, as DSPAM keeps them.

The fastest store, for one host.  It uses files of DSPAM 3.10.2 where they are, and
converts those of 32-bit or big-endian machines when it first opens them
(reference/storage.md 6).  Processes take turns on an owner's files (`USER.lock`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from datetime import date
from pathlib import Path

from dspamd.config.config import Config
from dspamd.engine.model import Snapshot
from dspamd.home.home import Home
from dspamd.storage.clock import utc_day
from dspamd.storage.contract import Uid
from dspamd.storage.files.css import Shape
from dspamd.storage.files.file_store import FileStore
from dspamd.storage.files.hash_file import HashFile


def shape(config: Config) -> Shape:
    """How to create, grow and search files, from a configuration."""
    return Shape(
        records=config.HashRecMax,
        extend=config.HashAutoExtend,
        extents=config.HashMaxExtents,
        percent=config.HashPctIncrease,
        seek=config.HashMaxSeek,
        folded=config.HashPow2,
        solid=config.HashNoHoles or config.HashFallocate,
        limited=config.StrictCompatibility,
    )


class HashFiles(FileStore):
    """A `Storage` of hash files."""

    ending = "css"
    endings = ("journal", "css", "sig", "block", "lock")

    def __init__(
        self,
        home: Home,
        shape: Shape,
        *,
        today: Callable[[], date] = utc_day,
        open_files: int = 32,
        deadline_s: float = 10.0,
        busy_s: float = 3.0,
    ) -> None:
        super().__init__(home, today=today, open_files=open_files, deadline_s=deadline_s, busy_s=busy_s)
        self._shape = shape

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The owner's name itself.  Makes their directory; `apply` makes the files.

        So mail that cannot be delivered leaves no files, which `HashRecMax` may make large.
        """
        path = self._path(owner)
        if create and path not in self._open[self._threads.lane(path)]:
            await self._in_thread(owner, lambda _: self._home.prepare(path))
        return owner if create else await super().uid(owner, create=False)

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        """Looked up by the event loop itself if that neither blocks nor takes long: a thread costs more."""
        path = self._path(str(uid))
        lane = self._threads.lane(path)
        if path in self._open[lane] and await self._threads.idle(lane):
            file = self._open[lane].get(path)
            if isinstance(file, HashFile) and (snapshot := file.glance(tokens)) is not None:
                return snapshot
        return await super().read(uid, tokens)

    def _file(self, path: Path, until: float) -> HashFile:
        return HashFile(path, self._shape, self._busy_s, until)
