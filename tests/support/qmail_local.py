"""What qmail-local does with the commands in a `.qmail` file, as its manual says.

Debian has no package of qmail.  This is not qmail: it knows command lines and comments alone, and delivers to
no mailbox and no address.  From dot-qmail(5), qmail-command(8) and qmail-local(8): which file is for an
address, the environment of a command, that `sh -c` runs it in the home directory with the message, rewound,
as its input, and what its exit status means.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.local_account import LocalAccount

DELIVERED, LEAVE, HARD, SOFT = 0, 99, 100, 111
_ALSO_HARD = (64, 65, 70, 76, 77, 78, 112)


@dataclass(frozen=True)
class Delivered:
    """How qmail-local ends: DELIVERED, HARD (the mail bounces) or SOFT (it waits), and what commands said."""

    status: int
    output: bytes


@dataclass(frozen=True)
class QmailLocal:
    """The user `user` of qmail, whose account is `account` and whose `.qmail` files are in `home`.

    With vpopmail `user` is a domain, and the rest of the local part, the extension, is a mailbox in it.
    """

    account: LocalAccount
    user: str
    home: Path
    path: str = "/usr/bin:/bin"

    def deliver(
        self, mail: bytes, extension: str, domain: str, sender: str = "sender@example.net", **more: str
    ) -> Delivered:
        """Follow the instructions for an address; `more` is added to the environment."""
        file, default = self._instructions(extension)
        if file is None:
            return Delivered(HARD, b"Sorry, no mailbox here by that name. (#5.1.1)\n")
        local = f"{self.user}-{extension}"
        environment = {**self._environment(local, extension, domain, sender), **more}
        if default is not None:
            environment["DEFAULT"] = default
        output = b""
        with tempfile.TemporaryFile() as message:
            message.write(mail)
            message.flush()
            for line in file.read_text().splitlines():
                if not line.strip() or line.startswith("#"):
                    continue
                if not line.startswith("|"):
                    raise ValueError(f"{file}: {line}: only commands are known here")
                message.seek(0)
                status, said = self._command(line[1:], message.fileno(), environment)
                output += said
                if status == LEAVE:
                    break
                if status:
                    return Delivered(HARD if status in (HARD, *_ALSO_HARD) else SOFT, output)
        return Delivered(DELIVERED, output)

    def _instructions(self, extension: str) -> tuple[Path | None, str | None]:
        """The file for an extension, and the part of it that `default` stands for."""
        name = extension.lower().replace(".", ":")
        file = self.home / f".qmail-{name}"
        if file.exists():
            return file, None
        for cut in [*(match.end() for match in reversed([*re.finditer("-", name)])), 0]:
            file = self.home / f".qmail-{name[:cut]}default"
            if file.exists():
                return file, extension[cut:]
        return None, None

    def _environment(self, local: str, extension: str, domain: str, sender: str) -> dict[str, str]:
        hosts = domain.split(".")
        parts = extension.split("-")
        return {
            "PATH": self.path,
            "USER": self.user,
            "HOME": str(self.home),
            "LOCAL": local,
            "HOST": domain,
            "RECIPIENT": f"{local}@{domain}",
            "SENDER": sender,
            "NEWSENDER": sender,
            "DTLINE": f"Delivered-To: {local}@{domain}\n",
            "RPLINE": f"Return-Path: <{sender}>\n",
            "UFLINE": f"From {sender} Thu Jan  1 00:00:00 1970\n",
            "EXT": extension,
            **{f"EXT{n}": "-".join(parts[n - 1 :]) for n in (2, 3, 4)},
            **{f"HOST{n}": ".".join(hosts[: max(0, len(hosts) - n + 1)]) for n in (2, 3, 4)},
        }

    def _command(self, line: str, message: int, environment: dict[str, str]) -> tuple[int, bytes]:
        done = subprocess.run(
            ["sh", "-c", line],
            stdin=message,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            cwd=self.home,
            env=environment,
            **self.account.identity,
        )
        # A command that a signal ends has not failed for good.
        return (done.returncode if done.returncode >= 0 else SOFT), done.stdout
