"""The output of dspamc if its dialogue with a daemon fails at some byte.

    python -m tests.unit.commands.cuts <what fails> <words> <file of the mail> <folder> <point>...

`killed`, `frozen`: the daemon.  `signal`: a signal ends dspamc while the daemon is silent.  `full`: the
disk; the point is its room, in bytes.

A program of its own, because it forks: a dspamc for each point, without the cost of its start.
It prints a line for each: the point, the exit status, what was printed, whether syslog was told.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dspamd.commands import client, dspamc, spool
from dspamd.mail.transparency import stuffed
from dspamd.telemetry import log_target
from tests.support.account import TRUST

Turn = tuple[str, bytes]  # "S" and what the daemon says, or "C" and what the client says

PLAIN = "--deliver=stdout"
MARK = b"X-DSPAM-Result: Innocent\n"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FROZEN_S = 0.01  # a later answer counts as none


def dialogue(mail: bytes, words: str = PLAIN) -> list[Turn]:
    """All that is said about one mail that is printed, as the words of a command line ask."""
    return [
        ("S", b"220 DSPAM DLMTP 3.10.2 Authentication Required\r\n"),
        ("C", b"LHLO relay\r\n"),
        ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250-DSPAMSTUFFED\r\n250 SIZE\r\n"),
        ("C", b'MAIL FROM: <secret@relay> DSPAMPROCESSMODE="%b " DSPAMSTUFFED\r\n' % words.encode()),
        ("S", b"250 2.1.0 OK\r\n"),
        ("C", b"RCPT TO: <bob>\r\n"),
        ("S", b"250 2.1.5 OK\r\n"),
        ("C", b"DATA\r\n"),
        ("S", b"354 go\r\n"),
        ("C", wire(mail)),
        ("S", b"X-Daemon-Classification: INNOCENT\r\n" + wire(MARK + mail)),
        ("S", b"250 2.6.0 <bob> Message accepted for delivery: INNOCENT\r\n"),
    ]


def wire(mail: bytes) -> bytes:
    return b"".join(stuffed(mail.replace(b"\n", b"\r\n"))) + b".\r\n"


def borders(mail: bytes) -> list[int]:
    """Points around the border of each turn, and some within the long ones."""
    points, at = set(), 0
    for _, text in dialogue(mail):
        points |= {at - 1, at, at + 1, at + len(text) // 2, at + len(text) - 4}
        at += len(text)
    return sorted(point for point in points if 0 <= point < at)


def limit_for(mail: bytes) -> int:
    """Bytes that stay in memory; a small mail is brought to the disk by less room there."""
    return 0 if len(mail) < 10_000 else min(spool.LIMIT, len(mail) // 4)


def full_at(mail: bytes) -> tuple[list[int], int]:
    """Rooms that are too small for a mail and its answer, and one that is not."""
    answer, limit = len(MARK + mail), limit_for(mail)
    filed = len(mail) - limit // spool.CHUNK * spool.CHUNK
    least = filed + answer - limit
    if not limit:
        return list(range(least)), least
    borders = {0, 1, spool.CHUNK - 1, spool.CHUNK, filed // 2, filed - 1, filed, filed + 1, least - 1}
    return sorted(borders), filed + answer


def fill_disk(room: int) -> None:
    """Let files have `room` bytes from now on, in all."""
    left = room

    def write_all(descriptor: int, data: bytes) -> None:
        nonlocal left
        fits = data[:left]
        left -= len(fits)
        os.write(descriptor, fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool.write_all = write_all  # dspamc.show imports it by name


def play(connection: socket.socket, turns: Sequence[Turn], point: int) -> None:
    """Take part in the dialogue up to a byte; then say and take nothing more."""
    left = point
    try:
        for who, text in turns:
            if who == "S":
                connection.sendall(text[:left])
            elif not take(connection, min(len(text), left)):
                return
            left -= len(text)
            if left <= 0:
                return
    except OSError:  # it has given up
        return


def take(connection: socket.socket, size: int) -> bool:
    while size:
        data = connection.recv(min(size, 1 << 20))
        size -= len(data)
        if not data:
            return False
    return True


class Cuts:
    """Runs dspamc against that daemon."""

    def __init__(self, how: str, words: str, mail: Path, folder: Path) -> None:
        self._how, self._words, self._mail = how, words, mail
        content = mail.read_bytes()
        self._limit = limit_for(content)
        self._turns = dialogue(content, words.replace(" --fail=tempfail", ""))
        self._known = {content: "original", MARK + content: "filtered", b"": "nothing"}
        path = folder / "s"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        config = folder / "dspam.conf"
        config.write_text(f"Home {folder}\nClientHost {path}\nClientIdent secret@relay\n{TRUST}\n")
        os.environ["DSPAM_CONF"] = str(config)

    def ends(self, points: Sequence[int]) -> Iterator[str]:
        for point in points:
            with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as told:
                child = os.fork()
                if not child:
                    os._exit(self._dspamc(point, output.fileno(), told.fileno()))
                status = self._serve(child, point)
                output.seek(0)
                printed = self._known.get(output.read(), "something else")
                lines = os.fstat(told.fileno()).st_size
                yield f"{point} {os.waitstatus_to_exitcode(status)} {printed} {'told' if lines else 'silent'}"

    def _serve(self, child: int, point: int) -> int:
        """Be the daemon for one dspamc; returns what waitpid says of it."""
        ended = os.pidfd_open(child)
        ready, _, _ = select.select([self._server.fileno(), ended], [], [])
        os.close(ended)
        if self._server.fileno() not in ready:  # it had no room for the mail
            return os.waitpid(child, 0)[1]
        connection, _ = self._server.accept()
        with connection:
            play(connection, self._turns, sys.maxsize if self._how == "full" else point)
            if self._how == "signal":
                os.kill(child, SIGNALS[point % len(SIGNALS)])
            if self._how in ("killed", "full"):
                connection.close()
            return os.waitpid(child, 0)[1]

    def _dspamc(self, point: int, output: int, told: int) -> int:
        self._server.close()
        os.dup2(os.open(self._mail, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        syslog = lambda _, level, line: os.write(told, line.encode() + b"\n")  # noqa: E731
        log_target.Syslog.write = syslog  # type: ignore[method-assign, assignment]
        if self._how == "frozen":
            client.COMMAND_TIMEOUT_S = client.RESULT_TIMEOUT_S = FROZEN_S
        if self._how == "full":
            spool.Spool.__init__.__defaults__ = (self._limit,)
            fill_disk(point)
        return dspamc.main(["--user", "bob", *self._words.split()])


if __name__ == "__main__":
    how, words, mail, folder, *points = sys.argv[1:]
    for line in Cuts(how, words, Path(mail), Path(folder)).ends(list(map(int, points))):
        print(line)
