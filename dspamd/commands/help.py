"""--help, -h and --version: the same for every command, with no configuration needed.

Whoever asks is answered on standard output, with exit status 0; on standard error where a
recorded command of DSPAM 3.10.2 did so, since scripts may read it there.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from dspamd import __version__


def answered(words: Sequence[str], name: str, usage: str, *, on_stderr: Collection[str] = ()) -> bool:
    """Whether a command was asked for its usage or version, by its first word; then that is told.

    Further words may be names, and names may be anything.
    """
    match words[:1]:
        case [("-h" | "--help") as word]:
            (sys.stderr if word in on_stderr else sys.stdout).write(usage)
        case ["--version"]:
            sys.stdout.write(f"{name} (dspamd) {__version__}\n")
        case _:
            return False
    return True
