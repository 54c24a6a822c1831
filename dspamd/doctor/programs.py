"""The daemon, which should run and be the installed one, and what it is made of: Python and libraries."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

import dspamd
from dspamd.app import endpoints
from dspamd.daemon.listen import Endpoint
from dspamd.diagnosis import Diagnosis, fine, problem
from dspamd.doctor.greeting import heard, local, reason, version
from dspamd.doctor.site import Site

_REQUIREMENT = re.compile(r"([\w.-]+)\s*>=\s*([\d.]+)\s*$")
_START = "systemctl start dspamd; systemctl status dspamd; journalctl -u dspamd -n 50"


async def daemon(site: Site) -> list[Diagnosis]:
    """Whether a daemon answers at each of its addresses, and is the installed one."""
    return [judged_answer(str(place), await _heard(place)) for place in endpoints(site.config)]


async def _heard(endpoint: Endpoint) -> str | OSError:
    return await heard(endpoint.path or local(endpoint.host), endpoint.port)


def judged_answer(place: str, answer: str | OSError) -> Diagnosis:
    """Whether it is our daemon that answers, in the installed version."""
    if isinstance(answer, OSError):
        why = "mail waits in the queue of the mail server until the daemon runs"
        return problem(f"no daemon answers at {place}: {reason(answer)}", why, _START)
    if (running := version(answer)) is None:
        why = "mail for dspamd goes to that program, and dspamd cannot start"
        cure = "see which one: ss -lntxp; stop it, or give dspamd another ServerPort"
        return problem(f"another program answers at {place}: {answer or 'it hangs up'}", why, cure)
    if running != dspamd.__version__:
        what = f"the daemon at {place} has version {running}, installed is {dspamd.__version__}"
        why = "it still is the program from before the upgrade, and what the upgrade mends is not mended"
        return problem(what, why, "systemctl restart dspamd")
    return fine(f"the daemon at {place} answers, version {running}")


class Library(NamedTuple):
    name: str
    wanted: str  # the lowest version
    found: str | None  # None: it is not installed


def libraries(site: Site) -> Iterator[Diagnosis]:
    """The libraries that the installed package needs."""
    yield from judged_libraries(list(_needed()), ".".join(map(str, sys.version_info[:3])))


def _needed() -> Iterator[Library]:
    for requirement in metadata.requires("dspamd") or ():
        if found := _REQUIREMENT.match(requirement):  # those of an extra have a marker at the end
            name, wanted = found.groups()
            try:
                yield Library(name, wanted, metadata.version(name))
            except metadata.PackageNotFoundError:
                yield Library(name, wanted, None)


def judged_libraries(needed: list[Library], python: str) -> Iterator[Diagnosis]:
    """Whether each is there, and new enough."""
    wrong = [each for each in needed if each.found is None or _numbers(each.found) < _numbers(each.wanted)]
    for name, wanted, found in wrong:
        state = f"is {found}" if found else "is not installed"
        why = "dspamd was tested with that version and newer ones; older ones have known faults"
        cure = f"{sys.executable} -m pip install '{name}>={wanted}' && systemctl restart dspamd"
        yield problem(f"the library {name} {state}, {wanted} is needed", why, cure)
    if not wrong:
        yield fine(f"dspamd {dspamd.__version__} on Python {python}, with all {len(needed)} libraries")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))
