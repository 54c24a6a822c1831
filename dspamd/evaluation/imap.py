"""A folder of a mail server (IMAP4rev1, RFC 9051) as a corpus, which nothing here changes.

`imaps://USER@HOST[:PORT]/FOLDER` begins with TLS, `imap://` asks for it (STARTTLS); only a server on this
machine gets a password without TLS.  EXAMINE opens the folder for reading; BODY.PEEK leaves messages unread.

These functions block: call them in a thread, one at a time.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from dspamd.errors import TempFail
from dspamd.evaluation.corpus import UnusableCorpus

SCHEMES = ("imap", "imaps")
_PORTS = {"imap": 143, "imaps": 993}
_LOCAL = ("localhost", "127.0.0.1", "::1")
_TIMEOUT_S = 60.0
_AT_ONCE = 1_000  # messages whose numbers one answer has
_UID, _DELETED = re.compile(rb"UID (\d+)"), re.compile(rb"\\Deleted", re.IGNORECASE)
_FOREIGN = re.compile(r"[^ -~]+")  # characters that a name of a folder cannot have as they are


class Gone(OSError):
    """Somebody has removed the message since the folder was listed."""


class Account(NamedTuple):
    """What a URL says."""

    scheme: str
    user: str
    host: str
    port: int
    folder: str

    @classmethod
    def of(cls, url: str) -> Account:
        """Raises `UnusableCorpus` for a URL that lacks something, or has a password in it."""
        found = urlsplit(url)
        try:
            port = found.port or _PORTS[found.scheme]
        except ValueError:
            raise UnusableCorpus(f"{url}: the port is no number") from None
        if found.password is not None:
            raise UnusableCorpus("a URL with a password shows it to everybody: use --password-file")
        if not (found.username and found.hostname):
            raise UnusableCorpus(f"{url}: it must be {found.scheme}://USER@HOST/FOLDER")
        folder = unquote(found.path.strip("/")) or "INBOX"
        return cls(found.scheme, unquote(found.username), found.hostname, port, folder)


class Folder:
    """An open folder."""

    def __init__(self, url: str, password: str) -> None:
        """Sign in and open it.  Raises `UnusableCorpus` if the server refuses, or cannot be reached."""
        self._url, account = url, Account.of(url)
        try:
            self._connection = _connection(account)
        except (imaplib.IMAP4.error, OSError) as error:
            raise UnusableCorpus(f"{url}: {_told(error)}") from error
        try:
            self._connection.login(account.user, password)
            answer, found = self._connection.select(_quoted(account.folder), readonly=True)
            if answer != "OK":
                raise UnusableCorpus(f"{url}: {_text(found)}")
        except (imaplib.IMAP4.error, OSError) as error:
            self.close()
            raise UnusableCorpus(f"{url}: {_told(error)}") from error
        except UnusableCorpus:
            self.close()
            raise
        self._count = int(found[0] or 0)
        self._validity = _text(self._connection.response("UIDVALIDITY")[1])

    def close(self) -> None:
        """Sign out."""
        with suppress(imaplib.IMAP4.error, OSError):
            self._connection.logout()
        with suppress(OSError):  # a server that is gone leaves it open
            self._connection.shutdown()

    def messages(self) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
        """Name, key and reader of each message that is not deleted; the key is that of RFC 9051 2.3.1.1.

        Raises `TempFail` if the connection breaks.
        """
        for first in range(1, self._count + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, self._count)
            for line in self._asked(lambda: self._connection.fetch(f"{first}:{last}", "(UID FLAGS)")):  # noqa: B023
                if isinstance(line, bytes) and (uid := _UID.search(line)) and not _DELETED.search(line):
                    yield self._message(int(uid[1]))

    def _message(self, uid: int) -> tuple[str, str, Callable[[], bytes]]:
        name = f"{self._url}/{uid}"
        return name, f"{name} {self._validity}", lambda: self._read(uid)

    def _read(self, uid: int) -> bytes:
        """A message.  Raises `Gone`, and `TempFail` if the connection breaks."""
        for part in self._asked(lambda: self._connection.uid("FETCH", str(uid), "(BODY.PEEK[])")):
            if isinstance(part, tuple):
                return bytes(part[1])
        raise Gone(f"{self._url}/{uid}: the message is gone")

    def _asked(self, ask: Callable[[], tuple[str, list[Any]]]) -> list[Any]:
        try:
            answer, found = ask()
        except (imaplib.IMAP4.error, OSError) as error:
            raise TempFail("The IMAP server failed", detail=f"{self._url}: {_told(error)}") from error
        if answer != "OK":
            raise TempFail("The IMAP server refused", detail=f"{self._url}: {_text(found)}")
        return found


def _connection(account: Account) -> imaplib.IMAP4:
    """A connection that may carry a password.  Raises imaplib.IMAP4.error, OSError."""
    context = ssl.create_default_context()  # which takes further authorities from SSL_CERT_FILE
    if account.scheme == "imaps":
        return imaplib.IMAP4_SSL(account.host, account.port, ssl_context=context, timeout=_TIMEOUT_S)
    connection = imaplib.IMAP4(account.host, account.port, timeout=_TIMEOUT_S)
    if account.host not in _LOCAL:
        try:
            connection.starttls(context)
        except BaseException:
            connection.shutdown()
            raise
    return connection


def _quoted(folder: str) -> str:
    """The name of a folder as a server takes it: quoted, in modified UTF-7 (RFC 3501 5.1.3)."""
    name = _FOREIGN.sub(_encoded, folder.replace("&", "&-"))
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encoded(foreign: re.Match[str]) -> str:
    coded = b64encode(foreign[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
    return f"&{coded}-"


def _told(error: Exception) -> str:
    """An error of the library, whose first argument may be the server's words as bytes."""
    words = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error).encode()
    return words.decode("utf-8", "replace") or type(error).__name__


def _text(found: object) -> str:
    """The first line of an answer."""
    line = found[0] if isinstance(found, list) and found else b""
    return line.decode("utf-8", "replace") if isinstance(line, bytes) else ""
