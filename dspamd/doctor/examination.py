"""Runs checks: those of a stage at the same time, each within its deadline.

A check that fails, or does not end, is a diagnosis, too: nothing keeps the others from being told.
Checks that block run in threads that die with the program, since nothing can end a thread that waits
for a file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from dspamd.diagnosis import Diagnosis, problem
from dspamd.doctor.site import Site
from dspamd.errors import ConfigError, Failure
from dspamd.file_errors import explained
from dspamd.telemetry import log

T = TypeVar("T")
Look = Callable[[Site], Awaitable[Sequence[Diagnosis]]]


class Check(NamedTuple):
    """One look at a subject, which takes `deadline_s` at most; without diagnoses there was nothing to see."""

    subject: str
    look: Look
    deadline_s: float = 20.0


class Stage(NamedTuple):
    """Checks that may run at the same time; `as_daemon`: with the rights of the daemon's account."""

    checks: tuple[Check, ...]
    as_daemon: bool = False


class Examined(NamedTuple):
    """A diagnosis with its subject; `as_daemon`: what mends it needs the rights of the daemon's account.

    `hangs`: a thread still waits for what was looked at.
    """

    subject: str
    diagnosis: Diagnosis
    as_daemon: bool = False
    hangs: bool = False


async def examine(site: Site, stages: Iterable[Stage]) -> list[Examined]:
    """The diagnoses of all checks, in the order of the table."""
    found: list[Examined] = []
    for stage in stages:
        with _rights(site, stage.as_daemon):
            looked = await asyncio.gather(*(_looked(site, check) for check in stage.checks))
        for check, diagnoses in zip(stage.checks, looked, strict=True):
            told = [_silent(check.deadline_s)] if diagnoses is None else diagnoses
            found += [Examined(check.subject, each, stage.as_daemon, diagnoses is None) for each in told]
    return found


async def mended(site: Site, found: Iterable[Examined]) -> list[str]:
    """Mend what is to be mended; a line about each, also about what could not be."""
    lines = []
    for subject, diagnosis, as_daemon, _ in found:
        if diagnosis.mend is not None:
            try:
                with _rights(site, as_daemon):
                    done = await diagnosis.mend()
            except (Failure, OSError) as error:
                done = f"could not: {explained(error)}"
            lines.append(f"{subject}: {done}")
    return lines


def _rights(site: Site, as_daemon: bool) -> contextlib.AbstractContextManager[None]:
    return site.rights_of_daemon() if as_daemon else contextlib.nullcontext()


def blocking(look: Callable[[Site], Iterable[Diagnosis]]) -> Look:
    """A check that runs in a thread of its own."""
    return lambda site: apart(lambda: list(look(site)))


async def apart(work: Callable[[], T]) -> T:
    """The result of some work in a thread of its own, which dies with the program if its time is up."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def tell(set_: Callable[[Any], None], outcome: object) -> None:
        if not ended.done():  # else its time is up
            set_(outcome)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            try:
                result = work()
            except Exception as error:
                loop.call_soon_threadsafe(tell, ended.set_exception, error)
            else:
                loop.call_soon_threadsafe(tell, ended.set_result, result)

    threading.Thread(target=run, daemon=True).start()
    return await ended


async def within(seconds: float, looking: Awaitable[T]) -> T:
    """The result of a look.  Raises TimeoutError if it has no end.

    Nobody waits for one whose time is up: it may hang while it cleans up, too.
    """
    look = asyncio.ensure_future(looking)
    if not (await asyncio.wait({look}, timeout=seconds))[0]:
        look.cancel()
        raise TimeoutError
    return await look


async def _looked(site: Site, check: Check) -> Sequence[Diagnosis] | None:
    """What a check finds; None if it has no end."""
    try:
        return await within(check.deadline_s, check.look(site))
    except TimeoutError:
        return None
    except (Failure, ConfigError) as error:
        return [_unknown(str(error), "mend that first")]
    except OSError as error:
        return [_unknown(explained(error), "mend that first")]
    except Exception as error:
        log.get().exception("bug", check=check.subject)
        return [_unknown(f"{error!r}, which is a fault of dspamd", "report it; the log has its place")]


def _silent(deadline_s: float) -> Diagnosis:
    return _unknown(f"no answer within {deadline_s:g} s", "look why it hangs")


def _unknown(reason: str, cure: str) -> Diagnosis:
    return problem(f"cannot be examined: {reason}", "what is wrong here stays hidden", cure)
