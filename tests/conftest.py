"""Fixtures that more than one folder of tests shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings

from dspamd.storage import clock
from dspamd.telemetry import log
from tests.support.day import TODAY, Held
from tests.support.logged import Logged
from tests.support.mail_site import MailSite, mail_site

USERS = ("alice", "bob", "carol", "dave")
TESTS = Path(__file__).parent

settings.register_profile("any machine", deadline=None)  # a busy machine is not a bug
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the parts together: modules are shuffled within their part, tests within their module.

    Otherwise servers that a part keeps for all its modules would run beside the load of others.
    """
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the seed of the order where something failed; `pytest -q` prints no header."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None and terminalreporter.stats.keys() & {"failed", "error"}:
        terminalreporter.line(f"Order of the tests: --randomly-seed={seed}")


# A program keeps ignoring signals that its caller ignores (nohup, `&`), so tests restore them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_UMASK = os.umask(0o022)
os.umask(_UMASK)
_GROUP = os.getegid()


@pytest.fixture(autouse=True)
def same_account() -> Iterator[None]:
    """Commands called in this process take another umask and group; the next test and its fixtures do not."""
    yield
    os.umask(_UMASK)
    os.setegid(_GROUP)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    """Postfix with dspamd behind it, for all tests of a module."""
    with mail_site(tmp_path_factory.mktemp("dspamd"), USERS) as site:
        yield site


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[MailSite]:
    """The same for one test that stops and breaks things."""
    with mail_site(tmp_path, USERS) as site:
        yield site


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> date:
    """The day that it is for the stores of this process, as long as the test runs."""
    monkeypatch.setattr(clock, "datetime", Held)
    return TODAY


@pytest.fixture
def logged() -> Iterator[Logged]:
    """The log of the program during a test."""
    target = Logged()
    with log.diverted(target, "debug"):
        yield target
