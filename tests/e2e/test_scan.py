"""Mail with viruses, through the real daemon and a real clamd, which may hang or be away."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.clamd import NAME, STREAM_BYTES, VIRUS, Clamd
from tests.support.daemon import Daemon
from tests.support.message import compose, ours
from tests.support.postfix import Postfix

USERS = ("alice", "bob")
CLEAN = compose("Minutes", "The minutes of the meeting.")
INFECTED = compose("Invoice", VIRUS.decode())
ATTACHED = compose(
    "Invoice",
    base64.encodebytes(b"MZ" + bytes(3000) + VIRUS).decode(),
    "MIME-Version: 1.0",
    'Content-Type: application/octet-stream; name="invoice.exe"',
    "Content-Transfer-Encoding: base64",
)


@contextmanager
def site(folder: Path, clamd: Clamd, host: str, *lines: str) -> Iterator[tuple[Daemon, Postfix]]:
    """A daemon that asks `clamd` at `host`, and the mailboxes behind it."""
    settings = [f"ClamAVHost {host}", f"ClamAVPort {clamd.port}", "ClamAVTimeout 1", *lines]
    with (
        Postfix("smtp:[127.0.0.1]:1", USERS) as mailboxes,
        Daemon(folder, mailboxes.back, settings="\n".join([*settings, ""])) as daemon,
    ):
        yield daemon, mailboxes
        assert "Traceback" not in daemon.output


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with Clamd() as running:
        yield running


def test_refused_by_tcp_and_kept_waiting(tmp_path: Path, clamd: Clamd) -> None:
    lines = ("ClamAVResponse reject", "ClamAVOnFailure defer")
    with site(tmp_path, clamd, "127.0.0.1", *lines) as (daemon, mailboxes):
        assert daemon.deliver(INFECTED, *USERS) == [550, 550]
        assert daemon.deliver(ATTACHED, "alice") == [550]
        assert daemon.output.count("virus_found") == 2  # once for each message, not for each user
        assert f"{NAME}.UNOFFICIAL" in daemon.output
        assert daemon.deliver(CLEAN, *USERS) == [250, 250]

        clamd.freeze()
        assert daemon.deliver(CLEAN, *USERS) == [451, 451]
        clamd.thaw()
        assert daemon.deliver(CLEAN, "alice") == [250]
        clamd.stop()
        assert daemon.deliver(CLEAN, "alice") == [451]
        clamd.start()
        assert daemon.deliver(compose("Photos", "x" * STREAM_BYTES), "alice") == [250]
        assert [ours(mail)["X-DSPAM-Result"] for mail in mailboxes.arrived("alice", 3)] == ["Innocent"] * 3


def test_spam_by_socket_and_passed_unscanned(tmp_path: Path, clamd: Clamd) -> None:
    with site(tmp_path, clamd, str(clamd.socket), "ClamAVResponse spam") as (daemon, mailboxes):
        assert daemon.deliver(ATTACHED, "alice") == [250]
        (mail,) = mailboxes.arrived("alice")
        assert ours(mail)["X-DSPAM-Result"] == "Virus"
        assert b"Subject: [SPAM] Invoice\n" in mail

        clamd.freeze()
        assert daemon.deliver(CLEAN, "bob") == [250]
        clamd.stop()
        assert daemon.deliver(CLEAN, "bob") == [250]
        clamd.start()
        assert [ours(mail)["X-DSPAM-Result"] for mail in mailboxes.arrived("bob", 2)] == ["Innocent"] * 2
        assert daemon.output.count("event=virus_scan") == 2


def test_dropped_as_the_original_does(tmp_path: Path, clamd: Clamd) -> None:
    with site(tmp_path, clamd, "localhost") as (daemon, mailboxes):
        assert daemon.deliver(INFECTED, "alice") == [250]
        assert daemon.deliver(CLEAN, "alice") == [250]
        (mail,) = mailboxes.arrived("alice")
        assert b"Subject: Minutes\n" in mail
        mailboxes.drained()
        assert len(mailboxes.mailbox("alice")) == 1
