"""The frame of commands: usage, --help, --version, exit status, and work on the stores of a site.

`command` is the frame of every command except dspam and dspamc, which share one command line
(`dspamd.request.command_line`), and dspamd, which uses argparse.  A `Command` holds the recorded
peculiarities of a command of DSPAM 3.10.2.

`run` is for commands that open the stores (reference/cli.md 1, 2).  They work with and without a
running daemon.  Results go to standard output, errors to standard error, the log to syslog.

Exit status: that of the command; 1 after wrong usage or for a caller without trust; 75 try again;
78 bad configuration; 130 after SIGINT; 0 after SIGTERM or a closed pipe, as with DSPAM.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dspamd import __version__
from dspamd.errors import ConfigError, Failure, PermFail, UsageError
from dspamd.file_errors import explained

if TYPE_CHECKING:
    from pathlib import Path

    from dspamd.app import Parts
    from dspamd.config.config import Config


T = TypeVar("T")

INTERRUPTED = 128 + signal.SIGINT
"""The exit status after SIGINT, by which a shell knows that it must not go on."""


@dataclass(frozen=True, slots=True)
class Command:
    """The texts of a command about itself.

    `complaint` is the text for a command line that it cannot carry out: with the error, the usage,
    and the name by which it was `called`.  For an error without text it writes the usage alone.

    The usage is that of DSPAM where the command is; `further` are options of ours, which --help adds.
    """

    name: str
    usage: str
    help_on_stderr: tuple[str, ...] = ()  # DSPAM answered these words there, and scripts may read it
    complaint: str = "{error}\n{usage}"
    complains_on_stdout: bool = False
    wrong_usage: int = UsageError.exit_status
    further: str = ""


def command(
    command: Command, work: Callable[[list[str]], int], arguments: Sequence[str] | None = None
) -> int:
    """Run a command: answer --help, -h and --version, or do its work; returns the exit status.

    `work` takes the words of the command line, by default those of the process, and may raise
    UsageError.  The answers need no configuration.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if _answered(command, words):
        return os.EX_OK
    try:
        return work(words)
    except UsageError as error:
        text = command.complaint if str(error) else "{usage}"
        stream = sys.stdout if command.complains_on_stdout else sys.stderr
        stream.write(text.format(error=error, usage=command.usage, called=sys.argv[0]))
        return command.wrong_usage
    except KeyboardInterrupt:
        return _terminated(INTERRUPTED)


def _answered(command: Command, words: Sequence[str]) -> bool:
    """Answer if the first word asks for the usage or the version; whether it does.

    Further words may be names, and any text may be a name.
    """
    match [word for word in words if not word.startswith("--profile=")][:1]:
        case [("-h" | "--help") as word]:
            text = command.usage + command.further * (word == "--help")
            (sys.stderr if word in command.help_on_stderr else sys.stdout).write(text)
        case ["--version"]:
            sys.stdout.write(f"{command.name} (dspamd) {__version__}\n")
        case _:
            return False
    return True


class NotTrusted(UsageError):
    """The caller may not do this (exit 1)."""

    def __init__(self) -> None:
        super().__init__("Program mode requires special privileges, e.g., root or Trusted User")


def run(work: Callable[[Parts], Awaitable[int]], profile: str = "", *, anybody: bool = False) -> int:
    """Do the work of a command with the parts of the filter; returns the exit status.

    With `anybody`, the work itself checks the caller.
    """
    return guarded(
        lambda: finished(partial(_with_parts, configuration(profile, anybody=anybody), work)),
    )


def configuration(profile: str = "", *, anybody: bool = False) -> Config:
    """The configuration for this process, which takes the rights and the log that it asks for.

    Raises `ConfigError`, UsageError for an unknown profile, `NotTrusted` unless `anybody` may do it.
    """
    # Commands without a configuration start faster without these.
    from dspamd.commands.alone import share_files
    from dspamd.config.config import Config
    from dspamd.telemetry import log
    from dspamd.telemetry.log_target import Syslog
    from dspamd.users.trust import trusted

    config = Config.load()
    share_files(config)
    if not anybody and not trusted(config, os.getuid()):
        raise NotTrusted
    if profile:
        config = config.with_profile(profile)
    log.configure(config.LogLevel, config.LogFormat, Syslog("dspam"))
    return config


def guarded(work: Callable[[], int]) -> int:
    """The exit status of some work; each failure is a line on standard error."""
    import asyncio

    try:
        return work()
    except (ConfigError, UsageError, Failure) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except asyncio.CancelledError:
        return _terminated(os.EX_OK)
    except KeyboardInterrupt:
        return _terminated(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains about the rest of its output
        return os.EX_OK
    except OSError as error:
        sys.stderr.write(f"{explained(error)}\n")
        return os.EX_TEMPFAIL


@contextmanager
def files_in_trouble(status: int, file: Path | None = None) -> Iterator[None]:
    """Make an OSError a `PermFail` with this exit status; `file` is for errors that do not name theirs."""
    try:
        yield
    except BrokenPipeError:  # of our output, not of a file
        raise
    except OSError as error:
        raise PermFail(explained(error, file), exit_status=status) from error


def _terminated(status: int) -> int:
    sys.stderr.write("terminated.\n")
    return status


def finished(work: Callable[[], Awaitable[T]]) -> T:
    """The result of some work in an event loop of its own; SIGINT and SIGTERM cancel it.

    Raises `KeyboardInterrupt` after SIGINT, `asyncio.CancelledError` after SIGTERM.
    """
    import asyncio

    came: list[int] = []

    async def whole() -> T:
        task = asyncio.current_task()
        assert task is not None

        def cancel(number: int) -> None:
            came.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, cancel, number)
        return await work()

    try:
        return asyncio.run(whole())
    except asyncio.CancelledError:
        if signal.SIGINT in came:
            raise KeyboardInterrupt from None
        raise


async def uninterrupted(work: Coroutine[None, None, T]) -> T:
    """The result of a step that a signal does not cut short: it ends the program afterwards."""
    import asyncio

    step = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await step
        raise


async def _with_parts(config: Config, work: Callable[[Parts], Awaitable[int]]) -> int:
    from dspamd.app import Parts

    async with Parts(config) as parts:
        status = await work(parts)
        sys.stdout.flush()
        return status


def profile_of(words: list[str]) -> tuple[list[str], str]:
    """The words of a command line without `--profile=NAME`, and that name."""
    names = [word.partition("=")[2] for word in words if word.startswith("--profile=")]
    return [word for word in words if not word.startswith("--profile=")], names[-1] if names else ""
