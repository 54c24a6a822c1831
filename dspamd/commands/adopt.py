"""dspam_admin adopt: rehearses on a live site of DSPAM 3.10.2 (`dspamd.adoption`); it touches nothing.

Exit status: 0 if the site can be adopted as it is, 1 if there are errors, 2 for mail that cannot be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dspamd.commands import tool
from dspamd.commands.arguments import Arguments
from dspamd.commands.progress import Bar
from dspamd.errors import ConfigError, UsageError

USAGE = """\
syntax: dspam_admin adopt FILE [--maildir PATH [--user USER] [--messages N]] [--json]

Rehearse the change from DSPAM 3.10.2 to dspamd on a live site, whose dspam.conf is FILE. It is only read:
no file, no table, nothing in them is made or changed.

	--maildir PATH  score the newest messages of this maildir, folder or mbox as DSPAM does and as dspamd will
	--user USER     whose mail that is; it may be left out if the site has one user only
	--messages N    how many of them, 200 by default
	--json          print an object instead of text
	--help          print this text
"""


class Options(NamedTuple):
    """The words after `adopt`."""

    file: Path
    maildir: Path | None
    user: str
    messages: int
    json: bool


def parse(words: Sequence[str]) -> Options:
    """Raises UsageError."""
    parser = Arguments("adopt")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--maildir", type=Path)
    parser.add_argument("--user", default="")
    parser.add_argument("--messages", type=int, default=200)
    parser.flags("json")
    found = parser.parse_args(words)
    if found.file is None:
        raise UsageError("adopt: a dspam.conf is needed")
    if found.messages < 1:
        raise UsageError("adopt: --messages needs a number from 1")
    return Options(**vars(found))


def run(options: Options, profile: str = "") -> int:
    """Rehearse, whatever profile was named; returns the exit status."""
    return tool.guarded(lambda: _run(options))


def _run(options: Options) -> int:
    # The other functions of the command start faster without these.
    from dspamd.adoption import report
    from dspamd.adoption.rehearsal import Mail, rehearse, unusable
    from dspamd.config.config import Config
    from dspamd.telemetry import log
    from dspamd.telemetry.log_target import Syslog

    mail = Mail(options.maildir, options.user, options.messages) if options.maildir else None
    try:
        config = Config.load(options.file)
        log.configure("error", config.LogFormat, Syslog("dspam"))  # stores warn of what adoption will change
        with tool.files_in_trouble(2), Bar() as bar:
            found = tool.finished(lambda: rehearse(config, mail, bar.show))
    except ConfigError as error:
        found = unusable(options.file, error)
    sys.stdout.write(report.as_json(found) if options.json else report.as_text(found))
    return 1 if found.errors else os.EX_OK
