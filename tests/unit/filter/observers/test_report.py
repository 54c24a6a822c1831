"""The log lines and metrics of messages, on a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.errors import PermFail, TempFail
from dspamd.request.request import Request
from tests.support.counters import counted
from tests.support.logged import Logged
from tests.support.pipeline import (
    BOTH,
    CORPUS_SPAM,
    ERROR_SPAM,
    HAM,
    SPAM,
    open_pipeline,
    signature_of,
)


async def test_one_line_tells_a_message(tmp_path: Path, logged: Logged) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.process(HAM)
    ((level, line),) = logged.lines
    assert level == "info"
    for field in (
        "event=message",
        "user=bob",
        "rcpt=bob@example.net",
        "result=Innocent",
        "parse_ms=",
        "tokens=",
    ):
        assert f" {field}" in line
    assert line.endswith(' next="250 2.0.0 queued"')
    assert counted(b.parts.metrics.messages) == {("Innocent", "inbound"): 1}


async def test_lessons_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.process(SPAM, Request(lesson=CORPUS_SPAM))
        known = signature_of(await b.process(SPAM))
        await b.process(SPAM, Request(lesson=ERROR_SPAM, signature=known))
        with pytest.raises(PermFail):
            await b.process(SPAM, Request(lesson=ERROR_SPAM, signature="unknown"))
    assert counted(b.parts.metrics.training) == {
        ("spam", "corpus", "learned"): 1,
        ("spam", "error", "learned"): 1,
        ("spam", "error", "refused"): 1,
    }
    assert counted(b.parts.metrics.last_training)


async def test_mail_without_a_verdict_is_counted_by_its_reason(
    tmp_path: Path, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pipeline(tmp_path, "OnStorageFailure deliver", "MaxMessageSize 200") as b:
        await b.process(HAM + b"x" * 200)
        monkeypatch.setattr(b.parts.storage, "read", _down)
        await b.process(HAM)
    assert counted(b.parts.metrics.unfiltered) == {("size",): 1, ("storage",): 1}
    assert [level for level, _ in logged.lines] == ["info", "warning"]
    assert 'reason=storage detail="Storage is down"' in logged.lines[1][1]


async def _down(*_: object) -> None:
    raise TempFail("Storage is down")


async def test_debug_tells_details_of_its_users_only(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, "Debug bob", "Debug carol") as b:
        await b.process(HAM, user="alice")
        assert not (tmp_path / "log/dspam.debug").exists()
        await b.process(HAM, user="bob")
    details, *factors = (tmp_path / "log/dspam.debug").read_text().splitlines()
    assert " level=debug event=details user=bob " in details
    assert " seconds=" in details
    assert factors
    assert all(" event=factor " in line and " token=" in line for line in factors)


@pytest.mark.parametrize(
    ("option", "request_"),
    [
        ("process", BOTH),
        ("classify", Request(classify=True)),
        ("corpus", Request(lesson=CORPUS_SPAM)),
    ],
)
async def test_debugopt_limits_details_to_a_kind(tmp_path: Path, option: str, request_: Request) -> None:
    others = {"process", "classify", "spam", "fp", "inoculation", "corpus"} - {option}
    path = tmp_path / "log/dspam.debug"
    async with open_pipeline(tmp_path, "Debug *", *(f"DebugOpt {other}" for other in others)) as b:
        await b.process(HAM, request_)
    assert not path.exists()
    (tmp_path / "second").mkdir()
    async with open_pipeline(tmp_path / "second", "Debug *", f"DebugOpt {option}") as b:
        await b.process(HAM, request_)
    assert (tmp_path / "second/log/dspam.debug").exists()


async def test_details_that_cannot_be_written_stop_no_mail(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no directory")
    async with open_pipeline(tmp_path, "Debug *") as b:
        await b.process(HAM)
        assert len(b.outlet.delivered) == 1
