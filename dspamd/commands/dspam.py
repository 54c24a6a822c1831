"""dspam: filters a message from standard input, teaches, classifies; the old name of the daemon.

The options are those of DSPAM 3.10.2 (reference/cli.md 3, dspam(1)).  With
`--client` the daemon does the work (see `dspamc`), else this process (see `alone`), with the
same parts as the daemon.  It prints to standard output only what the caller asks
for, and on standard error one line for each failure, because callers like
dovecot-antispam take any output for a failure.  The log goes to syslog, as in DSPAM.
The output comes at the end, complete.  If mail for standard output cannot be filtered,
it is the mail as it came, with status 0, or with the status of the failure if the call
was a lesson (see `dspamc`, and `--fail`).

Exit status: 0 done; 1 wrong usage or empty message; `CorrectionFailureExit` for a
correction without a valid signature; 75 try again, which includes a bad
configuration while mail waits; else the sysexits status of the program or server that
refused the message for good; 99 spam, with `Broken returnCodes`.  `StrictCompatibility on`
gives the numbers of the original: 256 minus the failures, 0 for failed corrections.

With `--client` the program starts once per message, and must start fast: it loads no more than
`dspamc` does.
"""

from __future__ import annotations

import os
import sys

from dspamd.commands import dspamc
from dspamd.commands.complaint import answered_help
from dspamd.config.client_config import BadValue, Settings, config_path
from dspamd.request import command_line

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    items = command_line.divide(given)
    options = {name for name, _ in items}
    if answered_help(given, items):
        return os.EX_OK
    if "client" in options and not options & {"daemon", "version"} and _has_daemon():
        return dspamc.main(given)
    from dspamd.commands import alone  # slow to load

    return alone.main(given, items)


def _has_daemon() -> bool:
    """Whether the configuration names a daemon that accepts us, by a password or by our account."""
    try:
        settings = Settings(config_path())
        host = settings.text("ClientHost")
        by_account = host.startswith("/") and not settings.flag("StrictCompatibility")
        return bool(host and (settings.text("ClientIdent") or by_account))
    except (OSError, BadValue):
        return False  # who reads all of the file says what is wrong


if __name__ == "__main__":
    sys.exit(main())
