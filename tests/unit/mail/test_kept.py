"""A message leaves the quarantine unchanged, also if other programs read the mailbox."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspamd.mail.kept import entry, released
from dspamd.mail.message import Message

EPOCH = "Thu Jan  1 00:00:00 1970"
FROM_LINES = st.lists(
    st.sampled_from([b"From ", b"From", b"\n", b"a", b">", b">>From x", b"\r\n", b"X: y\n", b"\n\n\n"])
).map(b"".join)


def test_an_entry() -> None:
    assert entry(b"Subject: x\r\n\r\nFrom here\r\n>From \r\nFrom", EPOCH) == (
        b"From QUARANTINE Thu Jan  1 00:00:00 1970\nSubject: x\nX-DSPAM-Quarantined: 22\n"
        b"\n>From here\n>>From \nFrom\n\n\n"
    )


def test_a_message_with_an_mbox_line_keeps_it() -> None:
    kept = entry(b"From a@b Thu Jan  1\nSubject: x\n", EPOCH)
    assert kept == b"From a@b Thu Jan  1\nSubject: x\nX-DSPAM-Quarantined: 0\n\n\n\n"


@given(FROM_LINES)
def test_an_entry_is_one_message(content: bytes) -> None:
    lines = entry(content, EPOCH).split(b"\n")
    assert [line.startswith(b"From ") for line in lines].count(True) == 1


@given(FROM_LINES | st.binary(), st.sampled_from([b"\n", b"\r\n"]))
@example(b"no header", b"\n")
@example(b"A: b\n\n\n\n\n", b"\n")
def test_what_is_released_is_what_was_kept(content: bytes, newline: bytes) -> None:
    """With or without the line in front, with either line ends, with all empty lines or none of ours.

    A header block without a line end gets one.
    """
    content = content.replace(b"\r\n", b"\n")
    if content.startswith(b"From QUARANTINE"):
        return  # no message begins with it: `Message` removes it
    head = Message(content).head
    before = head + b"\n" + content[len(head) :] if head and not head.endswith(b"\n") else content
    kept = entry(content, EPOCH)
    alone = kept if content.startswith(b"From ") else kept.partition(b"\n")[2]
    for form in (kept, alone, kept[:-2], kept.removesuffix(b"\n\n\n")):
        assert released(Message(form.replace(b"\n", newline))).raw == before


@pytest.mark.parametrize("body", [b"From here\n", b">From there\n", b">>From where\n\n", b"end\n\n\n"])
def test_a_reader_of_python_may_take_it_out(tmp_path: Path, body: bytes) -> None:
    """It undoes the quoting of lines that begin with "From " itself, and leaves out an empty line."""
    (tmp_path / "mbox").write_bytes(entry(b"A: b\n\n" + body, EPOCH))
    box = mailbox.mbox(tmp_path / "mbox", create=False)
    taken = box.get_bytes(next(box.iterkeys()))
    box.close()
    assert released(Message(taken)).raw == b"A: b\n\n" + body


@pytest.mark.parametrize(
    "raw",
    [
        b"A: b\n\n>From here\n\n\n",
        b"X-DSPAM-Quarantined: much\n\n>From here\n",
        b"X-DSPAM-Quarantined: 9999999999999\n\nx",
    ],
)
def test_what_we_did_not_keep_stays_as_it_is(raw: bytes) -> None:
    assert released(Message(raw)).raw == raw


def test_a_size_that_is_wrong_neither_cuts_nor_fills() -> None:
    assert released(Message(b"X-DSPAM-Quarantined: 2\n\nlonger\n")).raw == b"\nlonger\n"
    assert released(Message(b"X-DSPAM-Quarantined: 999999999999\n\nx\n")).raw == b"\nx\n"
