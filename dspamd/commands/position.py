"""How far the training of a user came: the messages that were learned, so that none is learned twice.

`USER.trained` below Home has a line for each: a digest of its content, or of its permanent name
(`turns.Item.key`).  The line comes before the lesson and goes again if that fails: a program that is killed
in between leaves out one message, and teaches none twice.

The functions block for as long as a few writes take; `taken` is for the event loop all the same.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from dspamd.errors import TempFail

ENDING = "trained"
_MODE = 0o660


def digest_of(content: bytes) -> str:
    """The digest of a message, whatever its line ends are."""
    return blake2b(content.replace(b"\r\n", b"\n"), digest_size=16).hexdigest()


class Position:
    """The open file, for one program at a time."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and `TempFail` while another program teaches this user."""
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(self._file, "r", encoding="ascii", errors="replace", closefd=False) as lines:
                self._known = {line.strip() for line in lines}
        except BlockingIOError:
            os.close(self._file)
            raise TempFail("Another dspam_train teaches this user", detail=str(path)) from None
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        os.close(self._file)

    def forget(self) -> None:
        """Forget everything."""
        os.ftruncate(self._file, 0)
        self._known.clear()

    def knows(self, digest: str) -> bool:
        return digest in self._known

    @contextmanager
    def taken(self, *digests: str) -> Iterator[None]:
        """Note a message that the body learns; an exception takes that back, a kill or a signal does not."""
        size = os.fstat(self._file).st_size
        os.write(self._file, "".join(f"{digest}\n" for digest in digests).encode())
        try:
            yield
        except Exception:
            os.ftruncate(self._file, size)
            raise
        self._known.update(digests)
