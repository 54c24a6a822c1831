"""Hand-over by LMTP to a real Dovecot: by IPv6 and by unix socket, over connections that are kept."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.dovecot import Dovecot, dovecot
from tests.support.message import as_sent, compose, ours
from tests.support.postfix import SENDER, stuffed

MAIL = compose("Minutes", "The minutes.\n.\n..\nFrom here on: Grüße\n" + "x" * 2000)


@pytest.fixture(scope="module")
def hop() -> Iterator[Dovecot]:
    with dovecot() as server:
        yield server


@pytest.fixture
def daemon(tmp_path: Path, hop: Dovecot) -> Iterator[Daemon]:
    lines = (
        "ServerWorkers 1",
        "DeliveryProto LMTP",
        "DeliveryHost ::1",
        f"DeliveryPort {hop.port}",
        f"DeliveryHost.example.com {hop.socket}",
    )
    with Daemon(tmp_path, 25, settings="\n".join(lines) + "\n") as daemon:
        yield daemon


def deliver(
    daemon: Daemon, *recipients: str, mail: bytes = MAIL, parameters: tuple[str, ...] = ()
) -> list[tuple[int, bytes]]:
    """Send a mail; the reply for each recipient."""
    with smtplib.LMTP("127.0.0.1", daemon.port, timeout=60) as client:
        client.ehlo("client.example.net")
        assert client.mail(SENDER, parameters)[0] == 250
        assert {client.rcpt(recipient)[0] for recipient in recipients} == {250}
        assert client.docmd("DATA")[0] == 354
        client.send(stuffed(mail))
        return [client.getreply() for _ in recipients]


def connections(hop: Dovecot) -> int:
    return hop.log.count("Connect from ::1") + hop.log.count("Connect from local")


def test_mail_arrives_by_both_ways_and_unchanged(daemon: Daemon, hop: Dovecot) -> None:
    assert [code for code, _ in deliver(daemon, "alice@example.org", "bob@example.com")] == [250, 250]
    for user in ("alice@example.org", "bob@example.com"):
        message = hop.mailbox(user)[-1]
        assert as_sent(message) == MAIL.replace(b"\r\n", b"\n")
        assert ours(message)["X-DSPAM-Result"] == "Innocent"
    assert "Connect from ::1" in hop.log
    assert "Connect from local" in hop.log


def test_internationalized_mail_arrives_where_no_address_needs_it(daemon: Daemon, hop: Dovecot) -> None:
    mail = "Subject: Grüße\r\n\r\nGrüße\r\n".encode()
    parameters = ("SMTPUTF8", "BODY=8BITMIME")
    assert deliver(daemon, "alice@example.org", mail=mail, parameters=parameters)[0][0] == 250
    assert as_sent(hop.mailbox("alice@example.org")[-1]) == mail.replace(b"\r\n", b"\n")


def test_whom_it_does_not_know_is_refused_and_the_others_are_not(daemon: Daemon, hop: Dovecot) -> None:
    before = len(hop.mailbox("alice@example.org"))
    (refused, text), (taken, _) = deliver(daemon, "nobody@example.org", "alice@example.org")
    assert (refused, taken) == (550, 250)
    assert text.startswith(b"5.1.1 <nobody@example.org> Fatal: 550 5.1.1 ")
    assert len(hop.mailbox("alice@example.org")) == before + 1


def test_one_connection_serves_many_messages_and_a_restart_costs_none(daemon: Daemon, hop: Dovecot) -> None:
    before = connections(hop)
    for _ in range(5):
        assert deliver(daemon, "alice@example.org")[0][0] == 250
    assert connections(hop) == before + 1
    hop.stop()
    assert deliver(daemon, "alice@example.org")[0][0] == 450
    hop.start()
    assert deliver(daemon, "alice@example.org")[0][0] == 250
