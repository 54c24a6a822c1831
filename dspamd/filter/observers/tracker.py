"""The tracker of sources: which hosts send spam, viruses, or wanted mail (TrackSources).

It logs one line for each message of the kinds asked for, in the words that firewalls and scripts
look for.  For spam it also makes an empty file in the directory `RABLQueue`, with the
address as its name:

    spam detected from 192.0.2.7
    infected message from 192.0.2.7
    innocent message from 192.0.2.7

Only plain inbound mail counts, and only for users whose dictionary has seen more than 2500 innocent
messages: a young dictionary must not blame anybody (reference/protocols.md 10.5).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from dspamd.config.config import Config
from dspamd.filter.observers.observer import Processed
from dspamd.filter.scan.source import Address, source
from dspamd.offload.background import BackgroundWriter
from dspamd.telemetry import log

_EXPERIENCED = 2500
_TEXTS = {
    "spam": "spam detected from",
    "virus": "infected message from",
    "nonspam": "innocent message from",
}


class Tracker:
    """Logs where mail came from.  Implements `Observer`.

    `local` are the addresses of our own mail servers.
    """

    def __init__(self, config: Config, writer: BackgroundWriter, local: Collection[Address]) -> None:
        self._kinds = config.TrackSources
        queue = config.RABLQueue
        self._queue = Path(queue) if queue else None
        self._writer, self._local = writer, local

    def note(self, processed: Processed) -> None:
        """Log where a message came from, if its kind is tracked."""
        result, totals = processed.verdict.result, processed.totals
        kind = "virus" if result.name == "Virus" else "spam" if result.spam else "nonspam"
        if kind not in self._kinds or not processed.inbound or totals is None:
            return
        if totals.innocent_learned + totals.innocent_classified <= _EXPERIENCED:
            return
        address = source(processed.mail.message, self._local)
        if address is None:
            return
        log.get().info("source_tracked", text=f"{_TEXTS[kind]} {address}", user=processed.user.name)
        if kind == "spam" and self._queue is not None:
            self._writer.add((self._queue / str(address)).touch)
