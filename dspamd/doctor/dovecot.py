"""The settings of the Dovecot of this host, as doveconf(1) tells them, in the syntax of 2.3 or of 2.4.

It reads CONFIG_FILE, so the doctor examines another instance if that names its configuration.  Blocks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dspamd.errors import TempFail

_PROGRAM_S = 5.0
_SCRIPT = re.compile(
    r"plugin/imapsieve_mailbox\w+_(?:before|after)"
    r"|(?P<block>(?:.*/)?sieve_script [^/]+/(?:sieve_script_)?)path"
)
_ACCOUNT = re.compile(r"mail_uid|userdb[^/]*/fields/uid")
_PIPE = re.compile(r'\bpipe\s(?:[^;"]*\s)?"([^"]+)"')
_COMMENT = re.compile(r"#[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Script:
    """A script that runs when users move or mark mail, and the programs that it pipes mail into."""

    path: Path
    programs: tuple[str, ...] | None  # None: it cannot be read


@dataclass(frozen=True, slots=True)
class Dovecot:
    version: str  # "2.3"
    settings: Mapping[str, str]  # by name, that of a block in front: "protocol imap/mail_plugins"

    def value(self, name: str) -> str:
        """The value of a setting, which earlier versions have in the block `plugin`."""
        return self.settings.get(name) or self.settings.get(f"plugin/{name}", "")

    def words(self, name: str) -> set[str]:
        """The words of a list: `name = a +b`, and since 2.4 `name { a = yes }`."""
        block = {
            key.removeprefix(f"{name}/") for key, value in self.settings.items()
            if key.startswith(f"{name}/") and value == "yes"
        }  # fmt: skip
        return block | {word.lstrip("+") for word in self.value(name).replace(",", " ").split()}

    @property
    def plugins(self) -> set[str]:
        """The plugins of IMAP sessions."""
        return self.words("mail_plugins") | self.words("protocol imap/mail_plugins")

    @property
    def account(self) -> str:
        """The account that has the mail of all users; empty if each has their own, or a table says it."""
        named = [value for name, value in self.settings.items() if _ACCOUNT.fullmatch(name) and value]
        arguments = [value for name, value in self.settings.items() if name == "userdb/args"]
        named += [found[1] for value in arguments if (found := re.search(r"(?:^|\s)uid=(\S+)", value))]
        return named[0] if named else ""

    def scripts(self) -> Iterator[Script]:
        """The scripts of the administrator for mail that users move or mark."""
        for name, value in self.settings.items():
            found = _SCRIPT.fullmatch(name)
            # The scripts of users, and those for delivery, have no cause.
            if found and (not found["block"] or f"{found['block']}cause" in self.settings):
                path = Path(value.removeprefix("file:").partition(";")[0])
                try:
                    text = path.read_text(errors="replace")
                except OSError:
                    yield Script(path, None)
                else:
                    yield Script(path, tuple(_PIPE.findall(_COMMENT.sub("", text))))


def in_use() -> bool:
    """Whether there is a Dovecot with a configuration."""
    file = os.environ.get("CONFIG_FILE", "/etc/dovecot/dovecot.conf")
    return shutil.which("doveconf") is not None and Path(file).exists()


def read() -> Dovecot:
    """The settings.  Raises `TempFail` if Dovecot cannot tell them."""
    try:
        done = subprocess.run(
            ["doveconf", "-n"], capture_output=True, text=True, errors="replace", timeout=_PROGRAM_S
        )
    except subprocess.TimeoutExpired:
        raise TempFail("doveconf -n", detail=f"no answer within {_PROGRAM_S:g} s") from None
    if done.returncode:
        raise TempFail("doveconf -n", detail=done.stderr.strip())
    return parsed(done.stdout)


def parsed(text: str) -> Dovecot:
    """What `doveconf -n` tells."""
    version = re.match(r"# (\d+\.\d+)", text)
    settings: dict[str, str] = {}
    blocks: list[str] = []
    for line in map(str.strip, text.splitlines()):
        name, equals, value = line.partition(" =")
        if line.endswith("{") and not equals:
            blocks.append(line.removesuffix("{").strip())
        elif line == "}":
            del blocks[-1:]
        elif equals and not line.startswith("#"):
            settings["/".join((*blocks, name))] = value.strip().strip('"').strip()
    return Dovecot(version[1] if version else "", settings)
