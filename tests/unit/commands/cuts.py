"""A daemon that fails at some byte of its dialogue with dspamc, and what dspamc then prints.

    python -m tests.unit.commands.cuts killed|frozen <words> <file of the mail> <folder> <point>...

A program of its own, because it forks: a dspamc for each point, without the cost of its start.
It prints a line for each: the point, the exit status, what was printed, whether syslog was told.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dspamd.commands import client, dspamc
from dspamd.mail.transparency import stuffed
from dspamd.telemetry import log_target
from tests.support.account import TRUST

Turn = tuple[str, bytes]  # "S" and what the daemon says, or "C" and what the client says

PLAIN = "--deliver=stdout"
MARK = b"X-DSPAM-Result: Innocent\n"
FROZEN_S = 0.01  # an answer that comes later than this is as good as none


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


def play(connection: socket.socket, turns: Sequence[Turn], point: int, *, frozen: bool) -> None:
    """Take part in the dialogue up to a byte; then leave, or say and take nothing more."""
    left = point
    try:
        for who, text in turns:
            if who == "S":
                connection.sendall(text[:left])
            elif not take(connection, min(len(text), left)):
                return
            left -= len(text)
            if left <= 0:
                break
        if frozen:
            connection.recv(1, socket.MSG_PEEK)  # whatever the client says is not read
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

    def __init__(self, words: str, mail: Path, folder: Path, *, frozen: bool) -> None:
        self._words, self._mail, self._folder, self._frozen = words, mail, folder, frozen
        content = mail.read_bytes()
        self._turns = dialogue(content, words)
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
                    os._exit(self._dspamc(output.fileno(), told.fileno()))
                connection, _ = self._server.accept()
                with connection:
                    play(connection, self._turns, point, frozen=self._frozen)
                    if self._frozen:
                        status = os.waitpid(child, 0)[1]
                if not self._frozen:
                    status = os.waitpid(child, 0)[1]
                output.seek(0)
                printed = self._known.get(output.read(), "something else")
                lines = os.fstat(told.fileno()).st_size
                yield f"{point} {os.waitstatus_to_exitcode(status)} {printed} {'told' if lines else 'silent'}"

    def _dspamc(self, output: int, told: int) -> int:
        self._server.close()
        os.dup2(os.open(self._mail, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        syslog = lambda _, level, line: os.write(told, line.encode() + b"\n")  # noqa: E731
        log_target.Syslog.write = syslog  # type: ignore[method-assign, assignment]
        if self._frozen:
            client.COMMAND_TIMEOUT_S = client.RESULT_TIMEOUT_S = FROZEN_S
        return dspamc.main(["--user", "bob", *self._words.split()])


if __name__ == "__main__":
    how, words, mail, folder, *points = sys.argv[1:]
    for line in Cuts(words, Path(mail), Path(folder), frozen=how == "frozen").ends(list(map(int, points))):
        print(line)
