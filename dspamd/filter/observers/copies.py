"""Copies of messages for their users: whole ones, and the first lines.

    USER.corpus/spam/SIGNATURE.msg       with the preference makeCorpus: the message as
    USER.corpus/nonspam/SIGNATURE.msg    it came, to build a corpus from
    USER.frag/SIGNATURE.frag             with storeFragments: the beginning of its body,
                                         shown by the web pages

A correction moves the copy to the other folder.  Formats and names are those of
DSPAM 3.10.2 (reference/config.md 5.1, storage.md 1.2); files have LF line ends.

The background writer makes the copies after the hand-over; no mail waits for them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from dspamd.engine.model import Source
from dspamd.filter.observers.observer import Processed
from dspamd.home.home import Home
from dspamd.mail.message import Message
from dspamd.offload.background import BackgroundWriter
from dspamd.users.preferences import User

_FRAGMENT_BYTES = 1023
_FOLDERS = {True: "spam", False: "nonspam"}


class Copies:
    """Makes the copies that users' preferences ask for.  Implements `Observer`."""

    def __init__(self, home: Home, writer: BackgroundWriter) -> None:
        self._home, self._writer = home, writer

    def note(self, processed: Processed) -> None:
        """Have a message copied, or its copy moved; a message without a signature has no name for one."""
        user, message, verdict = processed.user, processed.mail.message, processed.verdict
        signature, spam = verdict.signature, verdict.result.spam
        if not signature:
            return
        if verdict.source is Source.ERROR:
            if user.make_corpus:
                self._writer.add(lambda: self._move(user, signature, spam=spam))
            return
        if user.make_corpus:
            copy = self._copy(user, signature, spam=spam)
            self._writer.add(lambda: self._write(copy, message.lf), len(message))
        if user.store_fragments:
            file = self._home.file(user.file_name, "frag") / f"{signature}.frag"
            self._writer.add(lambda: self._write(file, fragment(message)), len(message))

    def _copy(self, user: User, signature: str, *, spam: bool) -> Path:
        return self._home.file(user.file_name, "corpus") / _FOLDERS[spam] / f"{signature}.msg"

    def _write(self, file: Path, content: bytes) -> None:
        self._home.prepare(file).write_bytes(content)

    def _move(self, user: User, signature: str, *, spam: bool) -> None:
        """Move a copy to the folder of its class; it may be there already, or may never have been made."""
        with contextlib.suppress(FileNotFoundError):
            found = self._copy(user, signature, spam=not spam)
            if found.exists():
                found.rename(self._home.prepare(self._copy(user, signature, spam=spam)))


def fragment(message: Message) -> bytes:
    """The beginning of the body, from the line end of the last header on, and a line end."""
    start = message.lf.find(b"\n\n")
    return message.lf[start : start + _FRAGMENT_BYTES] + b"\n" if start >= 0 else b"\n"
