"""Every driver keeps the contract, case by case (dspamd/maintenance/conformance)."""

from __future__ import annotations

import importlib
from pathlib import Path
from pkgutil import iter_modules

import pytest

from dspamd.errors import TempFail
from dspamd.maintenance import conformance
from dspamd.maintenance.conformance import suite
from dspamd.maintenance.conformance.steps import Case, Violation
from dspamd.maintenance.conformance.suite import CASES
from dspamd.storage.contract import Change, Storage, Uid, Unreachable

PREFIX = f"{conformance.__name__}."


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_case(case: Case, storage: Storage) -> None:
    await case(storage, "someone")


def test_every_case_is_listed() -> None:
    modules = [importlib.import_module(found.name) for found in iter_modules(conformance.__path__, PREFIX)]
    functions = [value for module in modules for name, value in vars(module).items() if _is_case(name, value)]
    assert len(CASES) == len(set(CASES))
    assert set(functions) == set(CASES)


def _is_case(name: str, value: object) -> bool:
    hints = getattr(value, "__annotations__", {})
    return (
        not name.startswith("_")
        and list(hints) == ["storage", "owner", "return"]
        and hints["return"] == "None"
    )


async def test_a_check_reports_success_and_cleans_up(storage: Storage, tmp_path: Path) -> None:
    report = [entry async for entry in suite.check(storage, "check")]
    assert report == [(case.__name__.replace("_", " "), None) for case in CASES]
    assert await storage.owners() == []
    assert _directories_of_owners(tmp_path) == []


def _directories_of_owners(home: Path) -> list[Path]:
    return list(home.glob("data/*"))


async def test_a_check_finds_what_is_broken(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = storage.apply

    async def forgetful(uid: Uid, change: Change) -> None:
        await apply(uid, Change(change.learned, change.signature))

    monkeypatch.setattr(storage, "apply", forgetful)
    broken = {name: trouble async for name, trouble in suite.check(storage, "check") if trouble}
    assert isinstance(broken["corrections count once"], Violation)
    assert "counters add up and stop at zero" not in broken


async def test_a_check_goes_on_after_trouble(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cases need some table, and it may be missing."""

    async def failing(owner: str) -> None:
        raise TempFail("Storage is not available", detail="no such table")

    monkeypatch.setattr(storage, "delete_owner", failing)
    report = [trouble async for _, trouble in suite.check(storage, "check")]
    assert [str(trouble) for trouble in report] == ["Storage is not available: no such table"] * len(CASES)


async def test_a_check_ends_when_the_store_cannot_be_reached(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(owner: str, *, create: bool = False) -> None:
        raise Unreachable("Storage is not available", detail="it is down")

    monkeypatch.setattr(storage, "uid", failing)
    monkeypatch.setattr(storage, "delete_owner", failing)
    ((case, trouble),) = [entry async for entry in suite.check(storage, "check")]
    assert case == "owners are made on demand"
    assert isinstance(trouble, Unreachable)
