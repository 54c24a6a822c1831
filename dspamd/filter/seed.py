"""The seed: knowledge that users begin with, made from mail of the site (`SeedModel`).

Its weights and counters are added to those of each user, whose own lessons soon count more.  It holds
hashes and sums, no mail.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from dspamd.engine.scorers import Scorer, Weights
from dspamd.file_errors import explained
from dspamd.telemetry import log


class Seed:
    """The seed in a file; a path of None means that there is none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read: dict[str, Weights | None] = {}

    async def weights(self, scorer: Scorer) -> Weights | None:
        """What the seed knows; None if there is none, or it cannot be read, which is logged once."""
        if self._path is None or scorer.block is None:
            return None
        if scorer.block not in self._read:
            self._read[scorer.block] = await asyncio.to_thread(self._load, self._path, scorer)
        return self._read[scorer.block]

    def _load(self, path: Path, scorer: Scorer) -> Weights | None:
        try:
            return seed_in(path, scorer)
        except (OSError, ValueError) as error:
            log.get().error("seed_not_read", file=str(path), reason=explained(error))
            return None


NO_SEED = Seed(None)


def seed_in(path: Path, scorer: Scorer) -> Weights:
    """The seed in a file.  Raises OSError, and ValueError if it is none."""
    data = path.read_bytes()
    if not data:
        raise ValueError("the file is empty")
    return scorer.weights(data)
