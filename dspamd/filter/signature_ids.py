"""The ids of signatures: when, by which process, and chance."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable

from dspamd.mail import signature
from dspamd.storage.contract import Uid


class SignatureIds:
    """Makes ids that are new in this process; the pid tells processes apart.

    `with_uid`: they begin with the number of their owner (MySQLUIDInSignature, PgSQLUIDInSignature).
    """

    def __init__(self, *, with_uid: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._with_uid, self._clock = with_uid, clock
        self._second = 0
        self._given: set[str] = set()

    def __call__(self, uid: Uid | None) -> str:
        number = int(uid) if self._with_uid and uid is not None else None
        now = int(self._clock())
        if now != self._second:
            self._second, self._given = now, set()
        while True:
            chance = divmod(secrets.randbits(62), 1 << 31)
            made = signature.new_id(now, os.getpid(), *chance, number)
            if made not in self._given:
                self._given.add(made)
                return made
