"""A client of the daemon that vanishes in the middle of a dialogue."""

from __future__ import annotations

import socket
import struct
from enum import Enum
from typing import BinaryIO

from tests.chaos.mails import Mail
from tests.support.postfix import DOMAIN, SENDER, stuffed


class Step(Enum):
    """After what it vanishes."""

    CONNECT = 0
    LHLO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    HALF = 5  # of the message
    DOT = 6  # before it hears the reply


def vanish(port: int, mail: Mail, step: Step, *, reset: bool) -> None:
    """Begin to hand over `mail` by LMTP, and vanish after `step`: by closing, or by a reset."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        replies = client.makefile("rb")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hear(replies)
        wire = stuffed(mail.content)
        recipients = "".join(f"RCPT TO:<{user}@{DOMAIN}>\r\n" for user in mail.users)
        said = {
            Step.LHLO: b"LHLO client.example.net\r\n",
            Step.MAIL: f"MAIL FROM:<{SENDER}> BODY=8BITMIME\r\n".encode(),
            Step.RCPT: recipients.encode(),
            Step.DATA: b"DATA\r\n",
            Step.HALF: wire[: len(wire) // 2],
            Step.DOT: wire[len(wire) // 2 :],
        }
        for each, words in said.items():
            if each.value > step.value:
                break
            client.sendall(words)
            if each.value < min(step.value, Step.HALF.value):
                for _ in range(words.count(b"\r\n")):
                    hear(replies)
        replies.close()


def hear(replies: BinaryIO) -> None:
    """Read one reply, whatever it says: a client that is put off hands nothing over, and vanishes too."""
    while replies.readline()[3:4] == b"-":
        pass
