"""cssstat, csscompress, cssclean, cssconvert: inspect one hash file, or make it smaller.

These are commands of DSPAM 3.10.2 (reference/cli.md 8), for scripts that call them.  Nobody needs
them any more: dspam_clean purges hash files like any other store and gives their space back, and
the hash driver converts files of other machines when it first opens them.

They may run while mail flows: they take the lock of the file (`HashFile`).  `cssstat --json` prints JSON.

Unlike the originals, cssclean removes tokens by the days since their last hit, not by the number of
its runs, and always ends; csscompress and cssclean make one extent with all tokens, and log the
former size of the file; cssstat prints the number of extents.

Exit status: 0 done; 1 wrong usage, or no such file; 75 try again; 78 bad configuration.
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from dspamd.commands import tool
from dspamd.commands.alone import share_files
from dspamd.config.config import Config
from dspamd.errors import ConfigError, Failure, UsageError
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import TokenRow
from dspamd.storage.files.css import Shape
from dspamd.storage.files.hash import shape
from dspamd.storage.files.hash_file import HashFile
from dspamd.telemetry import log
from dspamd.telemetry.log_target import Syslog

_WITHIN_S = 300.0  # as long as DSPAM waits for a lock
_AT_ONCE = 10_000


def stat() -> int:
    """Run cssstat; returns its exit status, like the others."""
    return _run("cssstat", _stat)


def compress() -> int:
    return _run("csscompress", _compress)


def clean() -> int:
    return _run("cssclean", _clean)


def convert() -> int:
    return _run("cssconvert", lambda file, shape, words: None)  # opening it is enough


Work = Callable[[HashFile, Shape, Sequence[str]], None]  # words: the file, and what follows


def _run(name: str, work: Work) -> int:
    command = tool.Command(name, f"syntax: {name} [filename]\n")
    return tool.command(command, lambda words: _work_on(words, name, work))


def _work_on(words: list[str], name: str, work: Work) -> int:
    words = [word for word in words if word != "--json"] + ["--json"] * ("--json" in words)
    if words in ([], ["--json"]):
        raise UsageError
    try:
        path = Path(words[0]).resolve(strict=True)
        if (fault := _fault(path)) is not None:
            sys.stderr.write(f"{name}: {words[0]} is {fault}, no hash file\n")
            return 1
        config = Config.load()
        share_files(config)
        log.configure(config.LogLevel, config.LogFormat, Syslog("dspam"))
        form = shape(config)
        with closing(HashFile(path, form, _WITHIN_S, time.monotonic() + _WITHIN_S)) as file:
            work(file, form, words)
    except OSError:
        sys.stderr.write(f"{name} failed on error -5\n")
        return 1
    except (ConfigError, Failure) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_status
    return os.EX_OK


def _fault(path: Path) -> str | None:
    """Why a path is no hash file, or None; to open an empty file or a device would make it one."""
    if not path.is_file():
        return "no regular file"
    return None if path.stat().st_size else "empty"


def _stat(file: HashFile, shape: Shape, words: Sequence[str]) -> None:
    extents = file.extents()
    size = Path(words[0]).stat().st_size
    if "--json" in words:
        named = [{"records": records, "used": used} for records, used in extents]
        print(json.dumps({"file": words[0], "bytes": size, "extents": named}))
        return
    print(f"filename {words[0]} length {size}")
    for number, (records, used) in enumerate(extents):
        print(f"extent {number}: record length {records}")
        print(f"\textent records used {used}\n\textent records free {records - used}")
    total = sum(used for _, used in extents)
    print(f"total database records used {total}")
    print(f"total database records free {sum(records for records, _ in extents) - total}")
    print(f"total extents               {len(extents)}")


def _compress(file: HashFile, shape: Shape, words: Sequence[str]) -> None:
    for number, (records, _) in enumerate(file.extents()):
        print(f"compressing {records} records in extent {number}")
    file.rewrite(least=2)


def _clean(file: HashFile, shape: Shape, words: Sequence[str]) -> None:
    today = utc_day()
    day, heavy = day_number(today), "heavy" in words
    last = 0
    while rows := file.tokens(last, _AT_ONCE, today):
        last = rows[-1].token
        file.delete_tokens(array("Q", (row.token for row in rows if worthless(row, day, heavy=heavy))))
    file.rewrite(least=shape.records)


def worthless(row: TokenRow, day: int, *, heavy: bool = False) -> bool:
    """Whether cssclean removes a token on a day (days since 1970-01-01; storage.md 6.5)."""
    hits, days = row.spam + row.innocent, day - row.last_hit
    leaning = abs(row.innocent - row.spam) * 1000 // hits if hits else 1000
    if heavy:
        return hits <= 1 or leaning < 100
    if days > 15 and (hits <= 1 or leaning < 200):
        return True
    return days > 120 or (days > 60 and row.spam + 2 * row.innocent < 5)
