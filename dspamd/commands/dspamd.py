"""`dspamd`: the daemon, in the foreground; the check of its configuration, and of its health.

It logs to stderr and never goes into the background, as systemd, daemontools and runit
expect.  (`dspam --daemon` is the same daemon under its old name, and goes into the
background.)

Exit status: 0 a signal stopped it; 1 it cannot start, for example because another program
listens on its port, or it is not healthy; 78 bad configuration, which no restart repairs.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import dspamd
from dspamd.config.config import Config, default_path
from dspamd.errors import ConfigError
from dspamd.telemetry import log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _options().parse_args(arguments)
    try:
        config = Config.load(options.config)
        if options.check_config:
            return check(config)
        return health(config) if options.health else start(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status


def check(config: Config) -> int:
    """Print what is odd about a configuration.

    Returns 78 for one with which the daemon cannot start, or would let all mail wait.
    """
    from dspamd.app import obstacles, oddities, store_obstacles, store_oddities

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the file may be in any character set
    warnings = oddities(config)
    for warning in warnings:
        print(f"warning: {warning}")
    if errors := obstacles(config) or [*map(str, store_obstacles(config))]:
        print(*errors, sep="\n", file=sys.stderr)
        print(f"{config.file}: not usable, {_counted(errors, 'error')}")
        return os.EX_CONFIG
    for warning in (told := store_oddities(config)):
        print(f"warning: {warning}")
    warnings += told
    print(f"{config.file}: usable, {_counted(warnings, 'warning')}")
    return os.EX_OK


def health(config: Config) -> int:
    """Ask the daemon that runs with a configuration; 0 if mail would get through, else 1."""
    from dspamd.commands.health import ask  # the daemon does not need it

    return ask(config)


def _counted(things: Sequence[object], what: str) -> str:
    return f"{len(things)} {what}{'s' * (len(things) != 1)}"


def start(config: Config, ready: Callable[[], None] = lambda: None) -> int:
    """Run the daemon with a configuration until it ends; returns the exit status.

    It calls `ready` once it accepts connections.  Raises `ConfigError`.
    """
    from dspamd import app  # other commands do not need it

    hold_standard_streams()
    app.start_log(config)
    try:
        return app.run(config, ready)
    except (OSError, LookupError) as error:
        log.get().error("cannot_start", reason=str(error))
        return 1


def hold_standard_streams() -> None:
    """Open the standard streams that are closed, or other files would take their place and get the log."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)  # for delivery agents
    os.close(opened)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dspamd", description="Filter mail that comes by LMTP; learn from corrections."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration, by default {default_path()}"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--check-config", action="store_true", help="report problems of the configuration and exit"
    )
    only.add_argument(
        "--health", action="store_true", help="ask the daemon that runs whether mail gets through, and exit"
    )
    parser.add_argument("--version", action="version", version=f"dspamd {dspamd.__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
