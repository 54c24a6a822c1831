"""A site for the commands of its administrator: a home, a configuration, dictionaries."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from dspamd.app import home_of
from dspamd.config.config import Config
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.maintenance.conformance.steps import all_tokens
from dspamd.storage.contract import Change, Signature, Storage
from dspamd.storage.drivers import open_storage
from tests.support.account import TRUST

T = TypeVar("T")
Hits = Mapping[int, tuple[int, int]]  # by token: spam, innocent


class Site:
    """Its configuration is that of the commands, by DSPAM_CONF."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, driver: str = "libsqlite3_drv.so") -> None:
        self.folder = folder
        self._config = folder / "dspam.conf"
        self._driver = driver
        self.configure()
        patch.setenv("DSPAM_CONF", str(self._config))

    def configure(self, *lines: str) -> None:
        head = ("TrainingMode teft", f"Home {self.folder}", f"StorageDriver {self._driver}", TRUST)
        self._config.write_text("\n".join((*head, *lines)) + "\n")

    def on_store(self, work: Callable[[Storage], Awaitable[T]]) -> T:
        """What `work` makes of the open store."""

        async def run() -> T:
            config = Config.load(self._config)
            storage = open_storage(config, home_of(config))
            await storage.open()
            try:
                return await work(storage)
            finally:
                await storage.close()

        return asyncio.run(run())

    def teach(self, owner: str, totals: Totals, hits: Hits | None = None, *signatures: str) -> None:
        """Give an owner a dictionary."""
        hits = hits or {}

        async def teach(storage: Storage) -> None:
            uid = await storage.uid(owner, create=True)
            assert uid is not None
            spam = array("i", (spam for spam, _ in hits.values()))
            innocent = array("i", (innocent for _, innocent in hits.values()))
            await storage.apply(uid, Change(Learned(totals, TokenChange(array("Q", hits), spam, innocent))))
            for signature in signatures:
                await storage.apply(uid, Change(Learned.nothing(), Signature(signature, b"")))

        self.on_store(teach)

    def known(self, owner: str) -> dict[int, tuple[int, int]]:
        """The hits in an owner's dictionary."""

        async def look(storage: Storage) -> dict[int, tuple[int, int]]:
            uid = await storage.uid(owner, create=False)
            return {} if uid is None else {row[0]: row[1:3] for row in await all_tokens(storage, uid)}

        return self.on_store(look)

    def totals(self, owner: str) -> Totals:
        async def look(storage: Storage) -> Totals:
            uid = await storage.uid(owner, create=False)
            assert uid is not None
            return (await storage.read(uid, array("Q"))).totals

        return self.on_store(look)
