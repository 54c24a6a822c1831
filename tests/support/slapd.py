"""OpenLDAP's slapd with a configuration, data and a port of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wait import until

BASE = "dc=example,dc=org"
CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/pid
argsfile {folder}/args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {folder}/cert.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
suffix "dc=example,dc=org"
directory {folder}
rootdn "cn=dspam,dc=example,dc=org"
rootpw secret
access to dn.subtree="ou=hidden,dc=example,dc=org" by users read by * none
access to * by * read
"""


class Slapd:
    """One server below `folder`, with these entries (LDIF)."""

    def __init__(self, folder: Path, entries: str) -> None:
        self.folder, self.port = folder, free_port()
        names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        files = ("-keyout", folder / "key.pem", "-out", folder / "cert.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
            check=True,
            capture_output=True,
        )
        (folder / "slapd.conf").write_text(CONFIGURATION.format(folder=folder))
        (folder / "data.ldif").write_text(entries)
        add = ("/usr/sbin/slapadd", "-f", folder / "slapd.conf", "-l", folder / "data.ldif")
        subprocess.run(add, check=True, capture_output=True)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "/usr/sbin/slapd",
                "-f",
                self.folder / "slapd.conf",
                "-h",
                f"ldap://127.0.0.1:{self.port}",
                "-d",
                "0",
            ],
            stderr=subprocess.DEVNULL,
        )
        until(self._listens, "slapd to listen")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)
