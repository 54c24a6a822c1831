"""The other ways in docs/postfix.md between Postfix and dspamd: the shipped files with the real Postfix.

The usual way is in test_samples.py.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon_of
from tests.support.documents import blocks, with_lines
from tests.support.dovecot import dovecot
from tests.support.guide_postfix import GuidePostfix, shipped
from tests.support.guide_site import folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.message import as_sent, compose, ours
from tests.support.ports import free_port
from tests.support.postfix import DOMAIN, Postfix
from tests.support.wait import until

MAIL = compose("Minutes", "The minutes.\n.\n..\nFrom here on")
ERIN = f"erin@{DOMAIN}"
DEBIAN = Path("/usr/share/postfix/master.cf.dist")
OUTCOMES = {"bob": "550 5.1.1 Gone", "carol": "451 4.3.0 Later"}
USERS = ("alice", "bob", "carol", "erin")


def lines_of(key: str) -> str:
    """The lines of dspam.conf of the guide that set `key`."""
    (block,) = (block for block in blocks("postfix", "conf") if re.search(f"^{key} ", block.text, re.M))
    return block.text


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspam", "dspamc") as folder:
        yield folder


@contextmanager
def daemon_with(lines: str, folder: Path, back: int) -> Iterator[Daemon]:
    """The daemon with etc/dspam.conf and these lines, under an account of its own."""
    account = LocalAccount("games")
    folder.mkdir()
    account.own(folder)
    daemon = daemon_of("dspam.conf", folder, back)
    text = with_lines(daemon.config.read_text(), f"ServerUser {account.name}\n{lines}")
    daemon.config.write_text(f"Trust {account.name}\n{text}")
    daemon.config.chmod(0o644)
    with daemon:
        yield daemon
    assert "Traceback" not in daemon.output


def make_place_for_a_socket(postfix: Postfix) -> Path:
    """Do what the guide says; returns the path of the socket."""
    (block,) = (block for block in blocks("postfix", "root") if "/var/spool/postfix" in block.text)
    script = re.sub("^systemctl .*\n", "", block.text, flags=re.M)
    spool = str(postfix.folder / "spool")
    script = script.replace("/var/spool/postfix", spool).replace("dspam:", "games:")
    subprocess.run(["sh", "-euc", script], check=True, timeout=60)
    return Path(spool, "dspam/dspam.sock")


def statuses(postfix: Postfix) -> dict[str, str]:
    """What the log says became of the recipients: the last status of each."""
    return dict(re.findall(rf"to=<(\w+)@{DOMAIN}>.* relay=(?!virtual).* status=(\w+)", postfix.log))


def check_outcomes(postfix: Postfix) -> None:
    """One message, three recipients, three outcomes: it arrives, comes back, and waits."""
    postfix.send(MAIL, "alice", "bob", "carol", sender=ERIN)
    (mail,) = postfix.arrived("alice")
    assert as_sent(mail) == MAIL.replace(b"\r\n", b"\n")
    assert ours(mail)["X-DSPAM-Result"] == "Innocent"
    (returned,) = postfix.arrived("erin")
    assert b"550 5.1.1" in returned
    assert b"Gone" in returned
    until(lambda: len(statuses(postfix)) == 3, lambda: f"three outcomes: {postfix.log}")
    assert statuses(postfix) == {"alice": "sent", "bob": "bounced", "carol": "deferred"}


def correction(user: str, mail: bytes) -> bytes:
    """A mail of a user with another one attached."""
    head = f"From: {user}@{DOMAIN}\r\nSubject: Fwd\r\nContent-Type: message/rfc822\r\n\r\n"
    return head.encode() + mail.replace(b"\n", b"\r\n")


def shut_in(postfix: Postfix, program: str) -> bool:
    """Whether all processes of a program of this Postfix see its queue as the root."""
    path = f"/proc/{postfix.pid}/task/{postfix.pid}/children"
    found = [
        str(Path(f"/proc/{pid}/root").readlink())
        for pid in Path(path).read_text().split()
        if Path(f"/proc/{pid}/comm").read_text() == f"{program}\n"
    ]
    return set(found) == {str(postfix.folder / "spool")}


def test_a_socket_in_the_chroot(folder: Path) -> None:
    back = free_port()
    master = shipped("master-socket.cf")
    with GuidePostfix(USERS, master=master, places={}, back=back, outcomes=OUTCOMES) as postfix:
        socket = make_place_for_a_socket(postfix)
        lines = lines_of("ServerDomainSocketPath").replace("/var/spool/postfix/dspam/dspam.sock", str(socket))
        with daemon_with(lines, folder / "socket", back) as daemon:
            check_outcomes(postfix)
            assert shut_in(postfix, "lmtp")
            (queued,) = re.findall(r"event=message queue_id=(\w+)", daemon.output)
            assert f"orig_queue_id={queued}, orig_client=" in postfix.log  # XFORWARD, all the way
            assert LocalAccount("nobody").run("test", "-S", socket).returncode
        assert not postfix.complaints


def test_mail_for_an_imap_server(folder: Path) -> None:
    """Postfix has Debian's own services for mail from outside and for LMTP."""
    master = "".join(re.findall("^(?:smtp +inet|lmtp +unix) .*\n", DEBIAN.read_text(), re.M))
    main = shipped("main-relay.cf")
    with dovecot() as hop, GuidePostfix(["alice"], main=main, master=master, places={}) as postfix:
        socket = make_place_for_a_socket(postfix)
        lines = lines_of("ServerDomainSocketPath").replace("/var/spool/postfix/dspam/dspam.sock", str(socket))
        lines += f"DeliveryProto LMTP\nDeliveryHost {hop.socket}\n"
        with daemon_with(lines, folder / "relay", free_port()):
            postfix.send(MAIL, "alice")
            until(lambda: bool(hop.mailbox(f"alice@{DOMAIN}")), lambda: f"the mail; {postfix.log}")
            (mail,) = hop.mailbox(f"alice@{DOMAIN}")
            assert as_sent(mail) == MAIL.replace(b"\r\n", b"\n")
            assert ours(mail)["X-DSPAM-Result"] == "Innocent"
            assert shut_in(postfix, "lmtp")
        assert not postfix.complaints


def test_a_pipe(folder: Path) -> None:
    back = free_port()
    path = folder / "pipe/s"
    main = f"{shipped('main-pipe.cf')}export_environment = DSPAM_CONF={folder}/pipe/dspam.conf\n"
    places = {"/usr/bin/dspam": f"{folder}/bin/dspam", "user=dspam": "user=mail"}
    with GuidePostfix(
        (*USERS, "spam-alice"),
        main=main,
        master=shipped("master-pipe.cf"),
        places=places,
        back=back,
        outcomes=OUTCOMES,
    ) as postfix:
        lines = f"ServerDomainSocketPath {path}\nClientHost {path}\nSocketMode 0666\n"
        with daemon_with(lines, folder / "pipe", back) as daemon:
            check_outcomes(postfix)
            (mail,) = postfix.arrived("alice")
            until(lambda: ours(mail)["X-DSPAM-Signature"] in daemon.output, "a kept signature")
            postfix.send(correction("alice", mail), "spam-alice", sender=f"alice@{DOMAIN}")
            learned = f"user=alice@{DOMAIN} rcpt=spam-alice@{DOMAIN} result=Spam source=error"
            until(lambda: learned in daemon.output, lambda: f"a correction: {daemon.output}")
        postfix.send(MAIL, "erin", sender="")
        until(lambda: statuses(postfix).get("erin") == "deferred", "a deferral")
        assert not postfix.complaints


def test_extensions(folder: Path) -> None:
    """An extension is a mailbox of its user, `+spam` and `+notspam` are corrections."""
    back = free_port()
    lines = lines_of("EnablePlusedDetail")
    with daemon_with(lines, folder / "plus", back) as daemon:
        places = {"[127.0.0.1]:10033": f"[127.0.0.1]:{daemon.port}"}
        main = f"default_database_type = hash\n{shipped('main.cf', 'main-plus.cf')}"
        with GuidePostfix(
            ["alice"], main=main, master=shipped("master.cf"), places=places, back=back
        ) as postfix:
            postfix.send(MAIL, "alice+lists")
            (mail,) = postfix.arrived("alice")
            postfix.drained()  # the signature is kept after the hand-over, before the answer to it
            assert f"\nDelivered-To: alice+lists@{DOMAIN}\n".encode() in mail
            signature = ours(mail)["X-DSPAM-Signature"]
            for extension, result in ("spam", "Spam"), ("NotSpam", "Innocent"):
                report = correction("alice", mail)
                with postfix.session(postfix.submission) as smtp:
                    postfix.send(report, f"alice+{extension}", smtp=smtp, sender=f"alice@{DOMAIN}")
                postfix.drained()
                said = rf"user=alice@{DOMAIN} .*result={result} source=error .*signature={signature} "
                assert re.search(said, daemon.output), daemon.output
            assert len(postfix.mailbox("alice")) == 1
        assert not postfix.complaints
