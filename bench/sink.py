"""The next hop of the measurements: smtp-sink(1) of Postfix, which takes everything and looks at nothing.

python -m bench.sink PORT
"""

from __future__ import annotations

import os
import sys

PROGRAM = "/usr/sbin/smtp-sink"
SESSIONS, BACKLOG = 256, 128


def main(port: int) -> None:
    """Become smtp-sink, whose process id is ours then.  It refuses to run as root."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    os.execv(PROGRAM, [PROGRAM, *user, "-m", str(SESSIONS), f"inet:127.0.0.1:{port}", str(BACKLOG)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
