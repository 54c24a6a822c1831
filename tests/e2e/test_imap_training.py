"""dspam_train on folders of a mail server, which it only reads."""

from __future__ import annotations

import imaplib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd.commands import dspam_train
from tests.support.dovecot import Dovecot, dovecot
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
FOLDER = "Müll & Co"


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as server:
        with imaplib.IMAP4("::1", server.imap, timeout=60) as client:
            client.login("bob@example.com", "x")
            client.create('"M&APw-ll &- Co"')
            for number in range(3):
                client.append('"M&APw-ll &- Co"', "", "", b"Subject: pills\r\n\r\nmore pills %d\r\n" % number)
            client.append("INBOX", "", "", b"Subject: lunch\r\n\r\nat noon\r\n")
            client.append("INBOX", r"(\Deleted)", "", b"Subject: gone\r\n\r\ngone\r\n")
        yield server


def unseen(server: Dovecot) -> bytes:
    with imaplib.IMAP4("::1", server.imap, timeout=60) as client:
        client.login("bob@example.com", "x")
        _, status = client.status('"M&APw-ll &- Co"', "(MESSAGES UNSEEN RECENT)")
        return bytes(status[0])


def test_folders(server: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    site = Site(tmp_path, monkeypatch)
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.folder / "cert.pem"))
    before = unseen(server)
    words = [
        "bob", "--json", "--password-file", str(tmp_path / "password"),
        "--spam", f"imaps://bob%40example.com@[::1]:{server.imaps}/M%C3%BCll & Co",
        "--ham", f"imap://bob@example.com@[::1]:{server.imap}",
    ]  # fmt: skip
    told = []
    for _ in range(2):
        assert dspam_train.main(words) == 0
        found = json.loads(capsys.readouterr().out)
        told.append((found["messages"], found["spam"], found["ham"], found["known"]))
    assert told == [(4, 3, 1, 0), (4, 0, 0, 4)]
    assert site.totals("bob").spam_learned == 3
    assert unseen(server) == before
    assert b"UNSEEN 3" in before


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("imaps://bob%40example.com@[::1]:{imaps}/INBOX", "certificate verify failed"),
        ("imap://bob%40example.com@[::1]:{imap}/none", "Mailbox doesn't exist: none"),
        ("imap://nobody@[::1]:{imap}/INBOX", "imap://nobody@"),
        ("imap://bob@[::1]:1/INBOX", "Connection refused"),
    ],
)
def test_refused(
    url: str, said: str, server: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    Site(tmp_path, monkeypatch)
    monkeypatch.setenv("DSPAM_IMAP_PASSWORD", "x")
    place = url.format(imap=server.imap, imaps=server.imaps)
    assert dspam_train.main(["bob", "--spam", place]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
