"""An open store of each driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dspamd.storage.contract import Storage
from tests.contract.drivers import DRIVERS, driver


@pytest.fixture(params=DRIVERS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a driver."""
    driver_name: str = request.param
    return driver_name


@pytest_asyncio.fixture
async def storage(name: str, tmp_path: Path) -> AsyncIterator[Storage]:
    store = driver(name, tmp_path)
    await store.open()
    yield store
    await store.close()
