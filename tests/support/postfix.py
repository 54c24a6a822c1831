"""A real Postfix of our own, for one test module.

It lives in a folder of its own below /tmp, listens on free loopback ports, and
shares nothing with the Postfix of the machine, which need not run, nor with
another copy of itself.  It is the set-up of the guide for administrators:

    port `inbound`     smtpd with content_filter ──▶ dspamd (LMTP)
    port `submission`  smtpd for our own users, whose reports alone go to dspamd (transport_maps)
    port `back`        smtpd without a filter ──▶ virtual(8) ──▶ Maildir of each user

`Postfix.send` speaks SMTP to the first one, with exactly the given bytes; `Postfix.mailbox`
reads what arrived.  Recipients below `outcomes` are answered at the second one
with what is written there, so that one message can have mixed outcomes.

Postfix's master needs root, and drops it for everything that touches mail.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.support.ports import free_port, greets
from tests.support.wait import until

DOMAIN = "example.org"
SENDER = "sender@example.net"
PROGRAMS = Path("/usr/lib/postfix/sbin")
BUGS = ("panic:", "fatal:", "error: ")  # in Postfix's log: our set-up is wrong

# Settings that `postfix check` needs.
QUEUE_CF = """\
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/spool
data_directory = {folder}/data
"""

MAIN_CF = (
    QUEUE_CF
    + """\
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}/log
myhostname = mx.{domain}
myorigin = {domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
# Postfix must treat mail from loopback as foreign, and add nothing to it.
local_header_rewrite_clients =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_mailbox_base = {folder}/mail
virtual_mailbox_limit = 0
transport_maps = regexp:{{{{/^(spam|notspam)-/ {content_filter}}}}}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
message_size_limit = 52428800
# Tests wait for retries, so Postfix retries at once.
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
in_flow_delay = 0
smtpd_peername_lookup = no
disable_dns_lookups = yes
"""
)

MASTER_CF = """\
127.0.0.1:{inbound} inet n - n - - smtpd
  -o content_filter={content_filter}
  -o receive_override_options=no_address_mappings
127.0.0.1:{submission} inet n - n - - smtpd
  -o local_header_rewrite_clients=permit_mynetworks
127.0.0.1:{back} inet n - n - - smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
  -o smtpd_helo_restrictions= -o smtpd_client_restrictions= -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=check_recipient_access,texthash:{outcomes},permit_mynetworks,reject
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_tls_security_level=none -o smtpd_error_sleep_time=0
dspam     unix - - n - 20 lmtp
  -o lmtp_send_xforward_command=yes
  -o lmtp_line_length_limit=0
  -o lmtp_data_done_timeout=1200s
  -o disable_mime_output_conversion=yes
smtp      unix - - n - - smtp
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One private Postfix; a context manager that starts and stops it.

    `content_filter` is Postfix's own notation, as in `dspam:[127.0.0.1]:10033`; `main` and `master` are
    more lines for the files of that name.
    `outcomes` maps a user to the reply that the second listener gives for it.
    """

    def __init__(
        self,
        content_filter: str,
        users: Iterable[str],
        *,
        back: int | None = None,
        outcomes: Mapping[str, str] | None = None,
        main: str = "",
        master: str = "",
    ) -> None:
        self._main, self._services = main, master
        self.content_filter = content_filter
        self.users = tuple(users)
        self.outcomes = outcomes or {}
        self.inbound, self.submission = free_port(), free_port()
        self.back = back or free_port()

    def __enter__(self) -> Postfix:
        if os.geteuid() != 0:
            raise PermissionError("Postfix can only be started by root: run these tests as root")
        if not PROGRAMS.is_dir():
            raise FileNotFoundError("Postfix is not installed: etc/install-packages test")
        # Not pytest's tmp_path, which only its owner may read.
        self.folder = Path(tempfile.mkdtemp(prefix="dspamd-postfix-"))
        self.folder.chmod(0o711)
        self._lay_out()
        let_cool(self.folder / "etc")
        subprocess.run(["cp", "-a", _empty_queue(), self.folder / "spool"], check=True, timeout=30)
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, again too, and wait until it listens."""
        self._master = subprocess.Popen(
            [PROGRAMS / "master", "-c", self.folder / "etc", "-d"],
            start_new_session=True,  # it signals its process group when it ends
        )
        until(self._listens, lambda: "Postfix to listen; its log:\n" + self.log)

    def _listens(self) -> bool:
        assert self._master.poll() is None, f"Postfix ended at once:\n{self.log}"
        return greets(self.inbound) and greets(self.back)

    @property
    def pid(self) -> int:
        return self._master.pid

    def stop(self) -> None:
        """Stop it; mail and queue stay."""
        self._master.send_signal(signal.SIGTERM)
        self._master.wait(20)

    def _lay_out(self) -> None:
        """Configuration and Maildirs with the owners that Postfix insists on."""
        postfix, nobody = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
        for name in ("etc", "data", "log", "mail"):
            (self.folder / name).mkdir(mode=0o755)
        os.chown(self.folder / "data", postfix.pw_uid, 0)
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)
        etc = self.folder / "etc"
        values = {
            "folder": self.folder,
            "domain": DOMAIN,
            "uid": nobody.pw_uid,
            "gid": nobody.pw_gid,
            "inbound": self.inbound,
            "submission": self.submission,
            "back": self.back,
            "content_filter": self.content_filter,
            "outcomes": etc / "outcomes",
        }
        (etc / "main.cf").write_text(MAIN_CF.format(**values) + self._main)
        (etc / "master.cf").write_text(MASTER_CF.format(**values) + self._services)
        (etc / "mailboxes").write_text("".join(f"{user}@{DOMAIN} {user}/\n" for user in self.users))
        (etc / "outcomes").write_text(
            "".join(f"{user}@{DOMAIN} {reply}\n" for user, reply in self.outcomes.items())
        )

    @property
    def log(self) -> str:
        """Postfix's log so far."""
        path = self.folder / "log" / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def complaints(self) -> list[str]:
        """Lines of the log that say that the set-up itself is broken."""
        return [line for line in self.log.splitlines() if any(bug in line for bug in BUGS)]

    @contextlib.contextmanager
    def session(self, port: int | None = None) -> Iterator[smtplib.SMTP]:
        """An SMTP session with a listener, the first one if none is named."""
        with smtplib.SMTP("127.0.0.1", port or self.inbound, timeout=60) as smtp:
            smtp.ehlo("client.example.net")
            yield smtp

    def send(
        self, content: bytes, *users: str, smtp: smtplib.SMTP | None = None, sender: str = SENDER
    ) -> None:
        """Hand `content` (CR LF) to Postfix for `users`, all of which it must accept."""
        if smtp is None:
            with self.session() as smtp:
                self.send(content, *users, smtp=smtp, sender=sender)
            return
        commands = [f"MAIL FROM:<{sender}> BODY=8BITMIME", *(f"RCPT TO:<{user}@{DOMAIN}>" for user in users)]
        for command in commands:
            code, reply = smtp.docmd(command)
            assert code == 250, (command, code, reply)
        code, reply = smtp.docmd("DATA")
        assert code == 354, (code, reply)
        smtp.send(stuffed(content))
        code, reply = smtp.getreply()
        assert code == 250, (code, reply)

    def mailbox(self, user: str) -> list[bytes]:
        """The messages that arrived for `user`, LF line ends, in no particular order."""
        new = self.folder / "mail" / user / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.is_dir() else []

    def arrived(self, user: str, count: int = 1, timeout_s: float = 30) -> list[bytes]:
        """The mailbox of `user` as soon as it holds `count` messages; more of them are a failure."""
        new = self.folder / "mail" / user / "new"
        until(
            lambda: new.is_dir() and len(list(new.iterdir())) >= count,
            lambda: f"{count} messages for {user}; the end of the log:\n{self.log[-3000:]}",
            timeout_s,
        )
        messages = self.mailbox(user)
        assert len(messages) == count, f"{len(messages)} messages for {user}, not {count}"
        return messages

    def queue(self) -> list[dict[str, object]]:
        """The queued messages as postqueue(1) describes them."""
        done = subprocess.run(
            ["postqueue", "-c", self.folder / "etc", "-j"], capture_output=True, timeout=30, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def drained(self, timeout_s: float = 60) -> None:
        """Wait until nothing is queued any more: everything was delivered or returned."""
        until(lambda: not self.queue(), lambda: f"an empty queue; it holds {self.queue()}", timeout_s)

    def flush(self) -> None:
        """Try everything that is queued at once."""
        subprocess.run(["postqueue", "-c", self.folder / "etc", "-f"], timeout=30, check=True)


@functools.cache
def _empty_queue() -> Path:
    """A queue without mail, for each Postfix of this process to copy: Postfix takes seconds to make one."""
    folder = Path(tempfile.mkdtemp(prefix="dspamd-postfix-queue-"))
    atexit.register(shutil.rmtree, folder)
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(QUEUE_CF.format(folder=folder))
    (folder / "etc" / "master.cf").touch()
    let_cool(folder / "etc")
    done = subprocess.run(
        ["postfix", "-c", folder / "etc", "check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return folder / "spool"


def let_cool(folder: Path) -> None:
    """Make files old: each program of Postfix waits before it trusts one that was written a moment ago."""
    for file in folder.iterdir():
        os.utime(file, (0, 0))


def stuffed(content: bytes) -> bytes:
    """`content` as it goes over the wire: dots doubled after CR LF, and the final dot."""
    lines = content.replace(b"\r\n.", b"\r\n..")
    start = b"." if lines.startswith(b".") else b""
    end = b"" if lines.endswith(b"\r\n") else b"\r\n"
    return start + lines + end + b".\r\n"
