"""What the commands of an administrator share: who may call them, and how they begin and end.

They work by themselves, with the parts of the daemon and on its store, and need not be
told apart from it: the daemon may run or not (reference/cli.md 1, 2).  Results go to
standard output, errors to standard error, the log to syslog.

Exit status: that of the command; 1 wrong usage, or not trusted; 75 try again; 78 bad
configuration; 0 after SIGINT, SIGTERM or a closed pipe, as with DSPAM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from dspamd.commands.dspam import share_files
from dspamd.config.config import Config
from dspamd.errors import ConfigError, Failure, UsageError
from dspamd.telemetry import log
from dspamd.telemetry.log_target import Syslog
from dspamd.users.trust import trusted

if TYPE_CHECKING:
    from dspamd.app import Parts


class NotTrusted(UsageError):
    """The caller may not do this (exit 1)."""

    def __init__(self) -> None:
        super().__init__("Program mode requires special privileges, e.g., root or Trusted User")


def run(work: Callable[[Parts], Awaitable[int]], profile: str = "", *, anybody: bool = False) -> int:
    """Do the work of a command, with the parts of the filter; returns the exit status.

    `anybody` leaves it to the work to ask who is calling.
    """
    try:
        config = Config.load()
        share_files(config)
        if not anybody and not trusted(config, os.getuid()):
            raise NotTrusted
        if profile:
            config = config.with_profile(profile)
        log.configure(config.LogLevel, config.LogFormat, Syslog("dspam"))
        return asyncio.run(_with_parts(config, work))
    except (ConfigError, UsageError, Failure) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except asyncio.CancelledError:
        sys.stderr.write("terminated.\n")
        return os.EX_OK
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains of what it could not write
        return os.EX_OK
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_TEMPFAIL


async def _with_parts(config: Config, work: Callable[[Parts], Awaitable[int]]) -> int:
    from dspamd.app import Parts

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with Parts(config) as parts:
        status = await work(parts)
        sys.stdout.flush()
        return status


def profile_of(words: list[str]) -> tuple[list[str], str]:
    """The words of a command line without `--profile=NAME`, and that name."""
    names = [word.partition("=")[2] for word in words if word.startswith("--profile=")]
    return [word for word in words if not word.startswith("--profile=")], names[-1] if names else ""
