"""Files of a user out of an archive: it adds lines and messages, and makes other files that are missing.

Blocks: call `take` in a thread.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dspamd.home import system_log, user_files
from dspamd.home.home import Home
from dspamd.home.user_files import Growing
from dspamd.maintenance.moving.archive import Record, as_bytes, unpacked

_SYSTEM_LOG = "system.log"
_PART = re.compile(r"(?!\.\.?$)[^/\x00]+")  # of the path of a file


class ArrivingFiles:
    """Takes the records of files for the user `name`."""

    def __init__(self, home: Home, name: str) -> None:
        self._home, self._name = home, name
        self._growing: dict[str, Growing] = {}

    def take(self, records: Sequence[Record]) -> None:
        """Use the records that are about files.  Raises ValueError for one that cannot be, OSError."""
        added: defaultdict[str, list[bytes]] = defaultdict(list)
        for record in records:
            match next(iter(record)):
                case "line":
                    added[record["of"]].append(as_bytes(record["line"]))
                case "quarantined":
                    added[user_files.MAILBOX].append(unpacked(record["quarantined"]))
                case "file":
                    user_files.add_file(self._path(record["file"]), unpacked(record["data"]))
                case "opt":
                    way = {"in": self._home.opt_in, "out": self._home.opt_out}[record["opt"]]
                    user_files.add_file(self._home.prepare(way(self._name)), b"")
        for kind, wanted in added.items():
            if kind == _SYSTEM_LOG:
                wanted = [system_log.renamed(line, self._name) for line in wanted]
            self._file(kind).add(wanted)

    def _file(self, kind: str) -> Growing:
        if kind not in self._growing:
            self._growing[kind] = self._open(kind)
        return self._growing[kind]

    def _open(self, kind: str) -> Growing:
        if kind == _SYSTEM_LOG:
            theirs: Callable[..., object] = partial(system_log.those_of, user=self._name)
            return Growing(self._home.system_log, theirs, b"\n")  # type: ignore[arg-type]
        if kind != user_files.MAILBOX and kind not in user_files.LINES:
            raise ValueError(f"lines of {kind!r}")
        path = self._home.prepare(self._home.file(self._name, kind))
        return (
            Growing.mailbox(path)
            if kind == user_files.MAILBOX
            else Growing.lines(path, user_files.LINE_ENDS.get(kind, b"\n"))
        )

    def _path(self, place: str) -> Path:
        """The path of a file that an archive names, which must not lead elsewhere, or to a dictionary."""
        ending, *below = place.split("/")
        if not all(map(_PART.fullmatch, (ending, *below))) or ending in user_files.KEPT_APART:
            raise ValueError(f"file {place!r}")
        return self._home.prepare(self._home.file(self._name, ending)).joinpath(*below)
