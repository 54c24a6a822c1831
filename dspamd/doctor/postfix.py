"""The settings of the Postfix of this host, as postconf(1) and postmap(1) tell them.

Both read MAIL_CONFIG, so the doctor examines another instance if that names its folder.  Blocks.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dspamd.errors import TempFail

_PROGRAM_S = 5.0
_OVERRIDE = re.compile(r"([^ =]+/[^ =/]+)/(\w+) = ?(.*)")
_PLAIN = ("regexp", "pcre", "cidr", "texthash")  # kinds of tables that are read from a text
_LINE_END = re.compile(r"\n(?![ \t])")  # a line that begins with a blank continues the one before
_VALUE = re.compile(r"(\w+) = ?(.*)")


@dataclass(frozen=True, slots=True)
class Service:
    """A line of master.cf, with the parameters that it sets itself."""

    name: str  # "smtp", "127.0.0.1:10034", "dspam"
    kind: str  # "inet", "unix"
    limit: str  # of processes: a number, or "-"
    command: str  # with its arguments
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name for `postconf -P`."""
        return f"{self.name}/{self.kind}"

    @property
    def program(self) -> str:
        return self.command.partition(" ")[0]

    @property
    def port(self) -> str:
        """Its port, or the name of one; "smtp" for 127.0.0.1:smtp."""
        return self.name.rpartition(":")[2]


class Route(NamedTuple):
    """A line of a table of transports: an address, a domain or a pattern of them, and where to."""

    addresses: str
    value: str


@dataclass(frozen=True, slots=True)
class Postfix:
    parameters: Mapping[str, str]  # of main.cf, and defaults
    services: tuple[Service, ...]
    routes: tuple[Route, ...] = ()  # the lines of the tables of transport_maps

    def value(self, name: str, service: Service | None = None) -> str:
        """The value of a parameter, for a service if one is named."""
        return (service.own if service else {}).get(name, self.parameters.get(name, ""))

    def transport(self, name: str) -> Service | None:
        """The service that a transport like `dspam:[127.0.0.1]:10033` names first."""
        wanted = name.partition(":")[0]
        return next((each for each in self.services if each.kind == "unix" and each.name == wanted), None)

    def listeners(self) -> list[Service]:
        """The services that take mail by SMTP from the network."""
        return [
            each for each in self.services if each.kind == "inet" and each.program in ("smtpd", "postscreen")
        ]

    def processes(self, service: Service) -> int | None:
        """How many processes a service may have; None: without limit."""
        limit = service.limit if service.limit != "-" else self.value("default_process_limit")
        return int(limit) if limit.isdigit() and int(limit) else None


def in_use() -> bool:
    """Whether there is a Postfix with a configuration."""
    folder = os.environ.get("MAIL_CONFIG", "/etc/postfix")
    return shutil.which("postconf") is not None and Path(folder, "main.cf").exists()


def read() -> Postfix:
    """The settings.  Raises `TempFail` if Postfix cannot tell them."""
    parameters = {found[1]: found[2] for found in _found(_VALUE, _output("postconf", "-x"))}
    own: dict[str, dict[str, str]] = {}
    for found in _found(_OVERRIDE, _output("postconf", "-Px")):
        own.setdefault(found[1], {})[found[2]] = found[3]
    lines = (line.split(None, 7) for line in _output("postconf", "-M").splitlines())
    services = (
        Service(name, kind, limit, command, own.get(f"{name}/{kind}", {}))
        for name, kind, _, _, _, _, limit, command in (line for line in lines if len(line) == 8)
    )
    maps = parameters.get("transport_maps", "")
    return Postfix(parameters, tuple(services), tuple(dict.fromkeys(routes(maps))))


def looked_up(key: str, maps: str) -> str | None:
    """What the first of some tables has for a key; None if none has it, or a table cannot be asked."""
    for table in tables(maps):
        done = _run("postmap", "-q", key, table.removeprefix("proxy:"))
        if done is not None and done.returncode == 0:
            return done.stdout.strip()
    return None


def routes(maps: str) -> Iterator[Route]:
    """The lines of some tables, as far as they can be listed: not those in a database or a directory."""
    for table in tables(maps):
        kind, _, place = table.removeprefix("proxy:").partition(":")
        if place.startswith("{"):
            yield from _split(rule.strip("{}") for rule in re.findall(r"\{[^{}]+\}", place))
            continue
        if kind in _PLAIN:
            with contextlib.suppress(OSError):
                yield from _split(_LINE_END.split(Path(place).read_text("utf-8", "replace")))
        elif (done := _run("postmap", "-s", f"{kind}:{place}")) is not None:
            yield from _split(done.stdout.splitlines())


def _split(lines: Iterable[str]) -> Iterator[Route]:
    words = (line.rsplit(None, 1) for line in lines if not line.startswith("#"))
    return (Route(each[0].strip(), each[1]) for each in words if len(each) == 2)


def tables(maps: str) -> Iterator[str]:
    """The tables in a list of them; what is in braces stays together."""
    depth, word = 0, ""
    for character in f"{maps} ":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and character in ", \t\n":
            if ":" in word:
                yield word
            word = ""
        else:
            word += character


def _found(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The lines of a text that are settings."""
    return [found for found in map(pattern.fullmatch, text.splitlines()) if found]


def _output(*command: str) -> str:
    done = _run(*command)
    if done is None or done.returncode:
        said = done.stderr.strip() if done else f"no answer within {_PROGRAM_S:g} s"
        raise TempFail(" ".join(command), detail=said)
    return done.stdout


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """What a program says; None if it does not end."""
    run = partial(subprocess.run, capture_output=True, text=True, errors="replace", timeout=_PROGRAM_S)
    try:
        done: subprocess.CompletedProcess[str] = run(command)
    except subprocess.TimeoutExpired:
        return None
    return done
