"""Mail servers that run our programs as commands: what exit statuses mean to them, and empty mail.

Facts: qmail-command(8), dot-courier(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, advice, fine
from dspamd.doctor.site import Site
from dspamd.filter.scan.scanners import clamav

SERVERS = {"qmail": Path("/var/qmail/control"), "Courier": Path("/etc/courier/courierd")}
_RETURNED = frozenset({64, 65, 70, 76, 77, 78, 100, 112})
"""Exit statuses with which both return a mail; they try again after others but 0 and 99."""

_TAKEN = frozenset({0, 99})


def exit_statuses(site: Site) -> Iterator[Diagnosis]:
    """Whether the configuration fits qmail or Courier, if this host has one."""
    for server in (name for name, place in SERVERS.items() if place.exists()):
        yield from list(judged_statuses(server, site.config)) or [
            fine(f"{server} understands the exit statuses of dspamc")
        ]


def judged_statuses(server: str, config: Config) -> Iterator[Diagnosis]:
    status = config.CorrectionFailureExit
    if status not in _RETURNED | _TAKEN:
        why = "a report that nobody can learn from comes back to the user after a week, not at once"
        yield advice(f"{server} tries again after exit status {status}", why, "CorrectionFailureExit 100")
    if clamav(config) is not None and config.ClamAVResponse == "reject":
        why = "with `dspamc ... | program` an empty mail arrives in place of one with a virus"
        yield advice(f"{server} may pipe mail through dspamc", why, "ClamAVResponse spam, or dspam-pipe")
