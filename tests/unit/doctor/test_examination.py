"""The frame of the doctor: whatever a check does, the doctor reports the others, and in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, Severity, advice, fine, problem
from dspamd.doctor.examination import Check, Examined, Stage, blocking, examine, mended
from dspamd.doctor.site import Site
from dspamd.errors import TempFail
from tests.support.logged import Logged

WELL = fine("all is well")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "dspam.conf").write_text(f"Home {tmp_path}\nServerPID {tmp_path}/pid\n")
    return Site.of(Config.load(tmp_path / "dspam.conf"))


async def well(site: Site) -> Sequence[Diagnosis]:
    return [WELL]


async def found(site: Site, *checks: Check) -> list[tuple[str, Severity, str]]:
    examined = await examine(site, [Stage(checks)])
    return [(subject, each.severity, each.what) for subject, each, *_ in examined]


async def test_checks_of_a_stage_run_at_the_same_time_and_are_told_in_their_order(site: Site) -> None:
    both = threading.Barrier(2, timeout=60)  # each waits for the other

    def meet(site: Site) -> Iterator[Diagnosis]:
        both.wait()
        yield WELL

    first, second = Check("first", blocking(meet), 60), Check("second", blocking(meet), 60)
    assert [subject for subject, *_ in await found(site, first, second)] == ["first", "second"]


async def test_a_check_that_fails_or_hangs_is_told_and_the_others_go_on(site: Site, logged: Logged) -> None:
    ever = threading.Event()

    def hang(site: Site) -> Iterator[Diagnosis]:
        ever.wait()
        yield WELL

    async def refuse(site: Site) -> Sequence[Diagnosis]:
        raise TempFail("Storage is not available", detail="nobody listens")

    def lack(site: Site) -> Iterator[Diagnosis]:
        yield WELL
        Path("/nonexistent/file").read_bytes()

    async def stumble(site: Site) -> Sequence[Diagnosis]:
        raise KeyError("bug")

    checks = [
        Check("hangs", blocking(hang), 0.01),
        Check("refuses", refuse),
        Check("lacks", blocking(lack)),
        Check("stumbles", stumble),
        Check("works", well),
    ]
    start = "cannot be examined: "
    assert await found(site, *checks) == [
        ("hangs", Severity.PROBLEM, f"{start}no answer within 0.01 s"),
        ("refuses", Severity.PROBLEM, f"{start}Storage is not available: nobody listens"),
        ("lacks", Severity.PROBLEM, f"{start}/nonexistent/file: No such file or directory"),
        ("stumbles", Severity.PROBLEM, f"{start}KeyError('bug'), which is a fault of dspamd"),
        ("works", Severity.FINE, "all is well"),
    ]
    assert "event=bug check=stumbles" in logged.take()
    assert [each.hangs for each in await examine(site, [Stage(tuple(checks[:2]))])] == [True, False]
    ever.set()


async def test_mending_tells_what_it_did_and_goes_on_after_a_failure(site: Site) -> None:
    async def work() -> str:
        return "made the folder"

    async def fail() -> str:
        raise PermissionError(1, "Operation not permitted", "/etc/x")

    found = [
        Examined("files", problem("no folder", "", "mkdir", fail)),
        Examined("files", problem("no folder", "", "mkdir", work)),
        Examined("clock", advice("wrong", "", "set it")),
    ]
    first, second = await mended(site, found)
    assert first.startswith("files: could not: /etc/x: Operation not permitted")
    assert second == "files: made the folder"
