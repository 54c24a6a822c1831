"""The mail of a run: numbered mails through Postfix, as fast as they arrive.

Enough of them are under way at any time that a fault always hits some, and not so many that
they all wait in Postfix's queue, where no fault can hit them.
"""

from __future__ import annotations

import threading

from tests.chaos.mails import Mail
from tests.chaos.next_hop import HopProcess
from tests.support.postfix import Postfix
from tests.support.wait import until

UNDER_WAY = 60  # copies
_PATIENCE_S = 300


class Load:
    """Mails of the run `seed`.  Use as `with Load(...)`: a thread sends them until the block ends."""

    def __init__(self, front: Postfix, hop: HopProcess, seed: int) -> None:
        self._front, self._hop, self._seed = front, hop, seed
        self._lock = threading.Lock()
        self._copies = 0
        self.mails = 0
        self._enough = False
        self._sender = threading.Thread(target=self._send_all)
        self._error: BaseException | None = None

    def __enter__(self) -> Load:
        self._sender.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._enough = True
        self._sender.join()
        if self._error:
            raise self._error

    def take(self) -> Mail:
        """The next mail, for a caller that sends it itself."""
        with self._lock:
            mail = Mail(self._seed, self.mails)
            self.mails += 1
            self._copies += len(mail.users)
            return mail

    def send(self, mail: Mail) -> None:
        """Hand a mail over to Postfix."""
        self._front.send(mail.content, *mail.users)

    def _send_all(self) -> None:
        try:
            while not self._enough:
                self.send(self.take())
                until(self._room, "mail to arrive", _PATIENCE_S)
        except BaseException as error:
            self._error = error

    def _room(self) -> bool:
        return self._copies - self._hop.count < UNDER_WAY or self._enough
