"""We write quarantine mailboxes as DSPAM 3.10.2 did, except for one header of ours."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from dspamd.mail.kept import entry
from tests.golden.data import rows

MAILBOXES = [
    (row["id"], file["content"].encode("latin-1"))
    for row in rows("files.jsonl")
    for file in row.get("files", ())
    if file["path"].endswith(".mbox")
]
WHEN = "Fri Nov 20 09:16:09 2026"
QUARANTINE = f"From QUARANTINE {WHEN}\n".encode()
END = b"\n\n\n"


@pytest.mark.parametrize(("name", "mailbox"), MAILBOXES, ids=[name for name, _ in MAILBOXES])
def test_mailbox(name: str, mailbox: bytes) -> None:
    messages = [message.removeprefix(QUARANTINE) for message in split(mailbox)]
    assert len(messages) >= 3
    ours = b"".join(entry(message, WHEN) for message in messages)
    assert re.sub(rb"X-DSPAM-Quarantined: [0-9]+\n", b"", ours) == mailbox


def split(mailbox: bytes) -> list[bytes]:
    """The messages between `From ` lines, with these."""
    starts = [0, *(at + 1 for at in range(len(mailbox)) if mailbox.startswith(b"\nFrom ", at)), len(mailbox)]
    return [mailbox[start:end].removesuffix(END) for start, end in pairwise(starts)]
