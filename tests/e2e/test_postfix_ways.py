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
from tests.support.postgres_server import PostgreSQL, postgresql
from tests.support.wait import until

MAIL = compose("Minutes", "The minutes.\n.\n..\nFrom here on")
ERIN = f"erin@{DOMAIN}"
DEBIAN = Path("/usr/share/postfix/master.cf.dist")
OUTCOMES = {"bob": "550 5.1.1 Gone", "carol": "451 4.3.0 Later"}
USERS = ("alice", "bob", "carol", "erin")


def lines_of(beginning: str) -> str:
    """The lines of dspam.conf of the guide, of which one begins so."""
    (block,) = (block for block in blocks("postfix", "conf") if re.search(f"^{beginning}", block.text, re.M))
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
        lines = lines_of("ServerDomainSocketPath /var").replace(
            "/var/spool/postfix", f"{postfix.folder}/spool"
        )
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
        make_place_for_a_socket(postfix)
        lines = lines_of("ServerDomainSocketPath /var").replace(
            "/var/spool/postfix", f"{postfix.folder}/spool"
        )
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
        lines = lines_of("ServerDomainSocketPath /run").replace("/run/dspam", f"{folder}/pipe")
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


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


def password_login(server: PostgreSQL, role: str, database: str) -> None:
    """Let a role in from the network, as our servers have no socket for all accounts."""
    server.psql(f"ALTER ROLE {role} LOGIN PASSWORD 'secret'", database)


class Home:
    """The home of an account of this machine, with a maildir and a recipe for it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.account = LocalAccount(name)
        self._maildir = folder / "Maildir"
        self.recipe = folder / "recipe"
        folder.mkdir()
        self.recipe.write_text(f'to "{self._maildir}"\n')
        self.recipe.chmod(0o600)
        self.account.own(folder, self.recipe)
        self.account.run("maildirmake", self._maildir)

    def arrived(self, count: int, postfix: Postfix) -> list[bytes]:
        new = self._maildir / "new"
        until(
            lambda: len(list(new.iterdir())) == count, lambda: f"{count} messages in {new}: {postfix.log}", 5
        )
        return [path.read_bytes() for path in sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns)]


def install_corrections(postfix: Postfix, folder: Path, user: str) -> None:
    """Do what the guide says, for the user in place of Alice; all lines count."""
    shared = folder / "shared"
    shared.mkdir()
    text = re.sub("^#(?=(not)?spam:)", "", shipped("corrections"), flags=re.M).replace("alice", user)
    (shared / "corrections").write_text(text.replace("/usr/bin", f"{folder.parent}/bin"))
    (block,) = (block for block in blocks("postfix", "root") if "postalias" in block.text)
    script = block.text.replace("/usr/share/dspamd/postfix", str(shared)).replace("/etc/dspam", str(folder))
    script = script.replace("-R dspam", "-R mail").replace("postalias", f"postalias -c {postfix.folder}/etc")
    subprocess.run(["sh", "-euc", script], check=True, timeout=60)


def test_users_with_accounts(folder: Path, server: PostgreSQL) -> None:
    """maildrop delivers for `backup`, an agent of the daemon for `news`; `mail` has the aliases."""
    place = folder / "local"
    agent = folder / "agent"
    agent.write_text(f'#!/bin/sh\necho "$@" >{place}/words\ncat >{place}/message\n')
    agent.chmod(0o755)
    database = server.new_database().database
    password_login(server, "dspam", database)
    lines = lines_of("ServerDomainSocketPath /run").replace("/run/dspam", str(place)) + (
        f"StorageDriver pgsql_drv\nPgSQLServer 127.0.0.1\nPgSQLPort {server.port}\nPgSQLUser dspam\n"
        f"PgSQLPass secret\nPgSQLDb {database}\nPgSQLUIDInSignature on\n"
        f'UntrustedDeliveryAgent "{agent} -d %u"\nTrust mail\n'
    )
    (dspam,) = re.findall("^#mailbox_command = (.*)", shipped("main-local.cf"), re.M)
    main = (
        f"{shipped('main-local.cf')}mydestination = {DOMAIN}\nvirtual_mailbox_domains =\n"
        "transport_maps =\nmailbox_size_limit = 0\n"
        f"export_environment = DSPAM_CONF={place}/dspam.conf\n"
        f"mailbox_command_maps = inline:{{{{news = {dspam.replace('$', '$$')}}}}}\n"
    )
    master = "".join(re.findall("^(?:smtp +inet|local +unix) .*\n", DEBIAN.read_text(), re.M))
    with daemon_with(lines, place, free_port()) as daemon:
        text = re.sub("^DeliveryHost .*\n", "", daemon.config.read_text(), flags=re.M)
        daemon.config.write_text(text)
        daemon.reload()
        until(lambda: "event=reloaded" in daemon.output, "a reload")
        home = Home(place / "home", "backup")
        places = {
            "/usr/bin/dspam": f"{folder}/bin/dspam",
            "/usr/bin/maildrop": f"/usr/bin/maildrop {home.recipe}",
            "hash:/etc/aliases, ": "",
            "/etc/dspam/aliases": f"{place}/aliases",
        }
        with GuidePostfix([], main=main, master=master, places=places) as postfix:
            install_corrections(postfix, place, "backup")
            postfix.send(MAIL, "backup")
            (mail,) = home.arrived(1, postfix)
            mail = mail.partition(b"\n")[2]  # without the line of local(8) that begins an mbox
            assert as_sent(mail) == MAIL.replace(b"\r\n", b"\n")
            assert ours(mail)["X-DSPAM-Result"] == "Innocent"
            for alias, result in ("spam-backup", "Spam"), ("notspam", "Innocent"):
                postfix.send(correction("backup", mail), alias, sender=f"backup@{DOMAIN}")
                postfix.drained()
                assert re.search(rf" user=backup rcpt=\w+ result={result} source=error", daemon.output)
            postfix.send(MAIL, "spam-backup", sender=f"backup@{DOMAIN}")
            returned = b" ".join(home.arrived(2, postfix)[1].split())
            assert b"Unable to find a valid signature" in returned, returned
            postfix.send(MAIL, "news")
            postfix.drained()
            assert (place / "words").read_text() == "-d news\n"
            assert b"\nX-DSPAM-Result: Innocent\n" in (place / "message").read_bytes()
            daemon.stop()
            postfix.send(MAIL, "backup")
            assert b"X-DSPAM-" not in home.arrived(3, postfix)[2]
            postfix.send(MAIL, "spam-backup")
            until(lambda: "status=deferred" in postfix.log, lambda: f"a deferral: {postfix.log}")
            assert not postfix.complaints


TABLES = """
CREATE TABLE mailbox (username text, maildir text);
CREATE TABLE alias (address text, goto text);
INSERT INTO mailbox SELECT name || '@example.org', name || '/' FROM unnest(ARRAY['alice', 'bob']) AS name;
INSERT INTO alias VALUES ('sales@example.org', 'alice@example.org, bob@example.org');
CREATE ROLE postfix;
GRANT SELECT ON mailbox, alias TO postfix;
"""


def test_tables_in_a_database(folder: Path, server: PostgreSQL) -> None:
    back = free_port()
    database = server.new_database(TABLES).database
    password_login(server, "postfix", database)
    with daemon_with("", folder / "sql", back) as daemon:
        places = {
            "[127.0.0.1]:10033": f"[127.0.0.1]:{daemon.port}",
            "unix:/var/run/postgresql": f"127.0.0.1:{server.port}",
            "dbname = mail": f"dbname = {database}\npassword = secret",
        }
        main = re.sub("^virtual_mailbox_maps .*\n", "", shipped("main.cf"), flags=re.M)
        main += shipped("main-sql.cf")
        with GuidePostfix([], main=main, master=shipped("master.cf"), places=places, back=back) as postfix:
            postfix.send(MAIL, "sales")
            for user in "alice", "bob":
                (mail,) = postfix.arrived(user)
            postfix.drained()
            assert re.findall(r"event=message .* rcpt=(\S+) ", daemon.output) == [f"sales@{DOMAIN}"]
            with postfix.session(postfix.submission) as smtp:
                assert smtp.docmd(f"MAIL FROM:<bob@{DOMAIN}>")[0] == 250
                assert smtp.docmd(f"RCPT TO:<spam-nobody@{DOMAIN}>")[0] == 550
                assert smtp.rset()[0] == 250
                postfix.send(correction("bob", mail), "spam-sales", smtp=smtp, sender=f"bob@{DOMAIN}")
            postfix.drained()
            assert f"user=sales@{DOMAIN} rcpt=spam-sales@{DOMAIN} result=Spam source=error" in daemon.output
        assert not postfix.complaints
