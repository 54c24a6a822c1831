"""A Dovecot of our own that takes mail by LMTP, on ::1 and on a unix socket, for users of two domains.

They read it by IMAP on ::1, with and without TLS, with any password.

It lives in a folder below /tmp, shares nothing with a Dovecot of the machine, and keeps
a Maildir for each user.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import until

PROGRAM = "/usr/sbin/dovecot"
USERS = ("alice@example.org", "bob@example.com")

# Settings for all versions, then those that differ between 2.4 and earlier ones.
CONF = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp imap
listen = ::1
ssl = yes
first_valid_uid = 1
first_valid_gid = 1
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    {address} = ::1
    port = {port}
  }}
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    {address} = ::1
    port = {imap}
  }}
  inet_listener imaps {{
    {address} = ::1
    port = {imaps}
    ssl = yes
  }}
}}
"""
STORE_2_3 = """\
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
"""
STORE_2_4 = """\
ssl_server_cert_file = {folder}/cert.pem
ssl_server_key_file = {folder}/key.pem
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
passdb static {{
  fields {{
    nopassword = yes
  }}
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users
}}
"""
CERTIFICATE = (
    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost,IP:::1", "-out", "cert.pem", "-keyout", "key.pem",
)  # fmt: skip
VERSIONS_2_4 = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""


def configuration(version: tuple[int, ...], **values: object) -> str:
    """The configuration for a version of Dovecot: since 2.4 it begins with the version it is written for."""
    if version >= (2, 4):
        return (VERSIONS_2_4 + CONF + STORE_2_4).format(address="listen", **values)
    return (CONF + STORE_2_3).format(address="address", **values)


def installed() -> tuple[int, ...]:
    """The version of the Dovecot of this machine, major and minor."""
    told = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True, timeout=60)
    return tuple(int(part) for part in told.stdout.split(".")[:2])


def mail_account() -> pwd.struct_passwd:
    """The account that has the mail of all users, and runs their programs."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


class Dovecot:
    """A server for some users, with everything below `folder`; `more` is added to its configuration."""

    def __init__(self, folder: Path, more: str = "", users: Sequence[str] = USERS) -> None:
        self.folder = folder
        account = mail_account()
        self.port, self.imap, self.imaps = _free_ports(3)
        subprocess.run(CERTIFICATE, cwd=folder, check=True, capture_output=True, timeout=60)
        ports = {"port": self.port, "imap": self.imap, "imaps": self.imaps}
        group = grp.getgrgid(account.pw_gid).gr_name
        text = configuration(installed(), folder=folder, **ports, user=account.pw_name, group=group)
        (folder / "dovecot.conf").write_text(text + more)
        (folder / "users").write_text(
            "".join(
                f"{user}:{{PLAIN}}x:{account.pw_uid}:{account.pw_gid}::{folder}/mail/{user}::\n"
                for user in users
            )
        )
        (folder / "mail").mkdir()
        os.chown(folder / "mail", account.pw_uid, account.pw_gid)
        folder.chmod(0o755)

    @property
    def socket(self) -> Path:
        return self.folder / "lmtp"

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen([PROGRAM, "-F", "-c", self.folder / "dovecot.conf"])
        until(self._listens, lambda: "Dovecot to listen; its log: " + self.log)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def mailbox(self, user: str) -> list[bytes]:
        """The messages of a user as they came, with the headers that Dovecot puts on top."""
        files = (self.folder / "mail" / user / "new").glob("*")
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            for port in (self.port, self.imap, self.imaps):
                socket.create_connection(("::1", port), 1).close()
        except OSError:
            return False
        return self.socket.exists()


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("::1", 0), family=socket.AF_INET6) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


@contextmanager
def dovecot(more: str = "", users: Sequence[str] = USERS) -> Iterator[Dovecot]:
    """A running server, and nothing left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dspamd-dovecot-"))  # short: the path of a socket has 107 bytes
    server = Dovecot(folder, more, users)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
