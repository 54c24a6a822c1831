"""The tracker of sources: who sends spam, viruses, or mail that is wanted (TrackSources).

One line in the log for each message of the kinds asked for, in the words that
firewalls and scripts look for, and, for spam, an empty file with the address as
its name in the directory `RABLQueue`:

    spam detected from 192.0.2.7
    infected message from 192.0.2.7
    innocent message from 192.0.2.7

Only plain inbound mail counts, and only of users whose dictionary has seen more than
2500 innocent messages: a young one must not blame anybody (reference/protocols.md
10.5).
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
    """Tells where mail came from.  Implements `Observer`.

    `local` are the addresses of mail servers of ours.
    """

    def __init__(self, config: Config, writer: BackgroundWriter, local: Collection[Address]) -> None:
        self._kinds = config.TrackSources
        queue = config.RABLQueue
        self._queue = Path(queue) if queue else None
        self._writer, self._local = writer, local

    def note(self, processed: Processed) -> None:
        """Tell where a message came from, if its kind is tracked."""
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
