"""The mail of the measurements.

By default the messages bundled with the demo; DSPAMD_CORPUS may name another
archive of the same form (a tar with one message in each file, below spam/ and ham/).
"""

from __future__ import annotations

import os
import random
import tarfile
from pathlib import Path

BUNDLED = Path(__file__).parent.parent / "demo" / "sample.tar.xz"
AT_MOST = 400


def messages() -> list[bytes]:
    """Raw messages with LF line ends, in an order that is always the same."""
    return [content for _, content in _labelled()]


def _labelled() -> list[tuple[bool, bytes]]:
    """Whether a message is spam, and its content."""
    found = []
    with tarfile.open(os.environ.get("DSPAMD_CORPUS", BUNDLED)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                found.append((member.name.startswith("spam/"), file.read()))
    random.Random(1).shuffle(found)
    return found[:AT_MOST]


def of_size(size: int, count: int) -> list[bytes]:
    """`count` different messages of `size` bytes with CR LF, spam and ham by turns.

    Their text is that of real ones of the same class, line by line.
    """
    chance = random.Random(size)
    lines: dict[bool, list[bytes]] = {True: [], False: []}
    for spam, message in _labelled():
        lines[spam] += [line for line in message.split(b"\n\n", 1)[-1].splitlines() if line]
    made = []
    for number in range(count):
        text = [b"From: sender@example.net", b"Subject: message %d" % number, b""]
        length = sum(map(len, text)) + 2 * len(text)
        while length < size:
            line = chance.choice(lines[number % 2 == 0])[: max(1, size - length - 2)]
            text.append(line)
            length += len(line) + 2
        made.append(b"\r\n".join(text) + b"\r\n")
    return made
