"""`dspamd`: the daemon, in the foreground, and the check of its configuration.

It logs to stderr and never forks: systemd, daemontools and runit want it so.
(`dspam --daemon` is the same daemon under its old name, which goes into the
background by itself.)
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import dspamd
from dspamd import log
from dspamd.config import Config, default_path
from dspamd.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 cannot start, 78 bad configuration."""
    options = _options().parse_args(arguments)
    try:
        config = Config.load(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    if options.check_config:
        for warning in config.warnings:
            print(f"warning: {warning}")
        print(f"{config.file}: usable, {len(config.warnings)} warnings")
        return os.EX_OK
    return start(config)


def start(config: Config, ready: Callable[[], None] = lambda: None) -> int:
    """Run the daemon with a configuration until it ends; returns the exit status.

    `ready` is called once it accepts connections.
    """
    from dspamd import app  # the check of a configuration needs none of it

    log.configure(config.text("LogLevel"), config.text("LogFormat"))
    for warning in config.warnings:
        log.get().warning("configuration", file=warning.file, line=warning.line, text=warning.text)
    try:
        app.run(config, ready)
    except (OSError, LookupError) as error:
        log.get().error("cannot_start", reason=str(error))
        return 1
    return os.EX_OK


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dspamd", description="Filter mail that comes by LMTP; learn from corrections."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration, by default {default_path()}"
    )
    parser.add_argument(
        "--check-config", action="store_true", help="say what is wrong with the configuration, and end"
    )
    parser.add_argument("--version", action="version", version=f"dspamd {dspamd.__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
