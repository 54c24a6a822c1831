"""dspam_admin doctor: examines the site (`dspamd.doctor`) and reports it; `--fix` mends what is safe.

Exit status: 0 without problems, 1 with problems; advice alone leaves it 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands import tool
from dspamd.commands.arguments import Arguments
from dspamd.errors import ConfigError

if TYPE_CHECKING:
    from dspamd.doctor.examination import Examined
    from dspamd.doctor.site import Site

USAGE = """\
syntax: dspam_admin doctor [--json] [--fix] [--profile=PROFILE]

Examine everything that the filter needs: configuration, files, database, next hop, mail servers, scanners,
the host, the users. Each finding says what was found, why it matters, and what mends it.

	--fix   mend what a program can mend safely, and say what was done; then examine again
	--json  print the findings as JSON
	--help  print this text

Call it as root, or it cannot see all. Exit status: 0 no problem (advice may be left), 1 problems.
"""


class Options(NamedTuple):
    """The words after `doctor`."""

    fix: bool
    json: bool


def parse(words: Sequence[str]) -> Options:
    """Raises UsageError."""
    parser = Arguments("doctor")
    parser.flags("fix", "json")
    return Options(**vars(parser.parse_args(words)))


def run(options: Options, profile: str = "") -> int:
    """Examine the site of the configuration; returns the exit status."""
    return tool.guarded(lambda: _run(options, profile))


def _run(options: Options, profile: str) -> int:
    # The other functions of the command start faster without these.
    from dspamd.config.config import Config
    from dspamd.diagnosis import Diagnosis
    from dspamd.doctor import configuration
    from dspamd.doctor.examination import Examined
    from dspamd.doctor.places import silent_places, site_of

    try:
        if silent := tool.finished(lambda: silent_places(Config.load())):
            return _told([Examined("files", each) for each in silent], [], options)
        config = tool.configuration(profile)
        site = tool.finished(lambda: site_of(config))
    except (ConfigError, LookupError) as error:
        return _told([Examined("configuration", each) for each in configuration.unusable(error)], [], options)
    if isinstance(site, Diagnosis):
        return _told([Examined("files", site)], [], options)
    return tool.finished(lambda: _of_site(site, options))


async def _of_site(site: Site, options: Options) -> int:
    done: list[str] = []
    found = await _examined(site, done, fix=options.fix)
    status = _told(found, done, options)
    if any(each.hangs for each in found):
        # Nothing ends a thread that waits for a file system, and a program waits for its threads.
        sys.stdout.flush()
        os._exit(status)
    return status


def _told(found: Sequence[Examined], done: Sequence[str], options: Options) -> int:
    """Report what was found, and what was mended; the exit status."""
    from dspamd.doctor import report

    if options.json:
        sys.stdout.write(report.as_json(found, done))
    else:
        sys.stdout.write("".join(f"fixed    {line}\n" for line in done) + report.text(found))
    return os.EX_OK if report.healthy(found) else 1


async def _examined(site: Site, done: list[str], *, fix: bool) -> list[Examined]:
    """The findings; with `fix`, those that remain after mending, and `done` lists what was mended."""
    from dspamd.doctor.checks import STAGES
    from dspamd.doctor.examination import examine, mended

    found = await examine(site, STAGES)
    if fix and any(each.diagnosis.mend for each in found):
        done += await mended(site, found)
        found = await examine(site, STAGES)
    return found
