"""Configurations from a stranger or a torn copy: reported with file and line, never by a traceback.

Each is checked (`dspamd --check-config`) and started, up to the moment in which a daemon would listen.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.commands import dspam, dspam_admin, dspamd
from dspamd.config.option_types import COMMAND, PATH, SOCKET
from dspamd.config.options import OPTIONS
from dspamd.daemon.listeners import Listeners
from dspamd.daemon.supervisor import Supervisor
from dspamd.daemon.workers import DaemonSpec
from dspamd.telemetry import log
from dspamd.telemetry.log_target import Stderr
from dspamd.telemetry.metrics import Metrics
from tests.support.account import TRUST
from tests.support.stranger import folder_of_stranger, give, stranger

SOUND = """\
Home {folder}
StorageDriver sqlite3_drv
ServerPID {folder}/pid
ServerMode auto
ServerHost 127.0.0.1
DeliveryHost 127.0.0.1
DeliveryPort 10034
DeliveryProto SMTP
ServerParameters "--deliver=innocent,spam"
"""

JUNK = (
    b"\x7fjunk=;:/?", b'""', b"", b"on off", b"-1", b"9" * 5000, b"a\0b", b"\xff\xfe", b'"unclosed',
    b"a b c", b"1e3", "\u0661\u0662".encode(), b"\x1b[2J", b"%s%n", b"/dev/null", b"..", b"[::1", b":1",
    "\u201con\u201d".encode(), b"0x", b"localhost:25", b"*", b"mx..example.org", b'"a" "b"',
)  # fmt: skip
EACH = 3  # kinds of junk for each directive; together all kinds, over and over


class Told(NamedTuple):
    """The exit status of a command, and its output on both channels."""

    status: int
    text: str


Read = pytest.CaptureFixture[str]


class Stranger:
    """Writes dspam.conf into a folder where the daemon works, and runs the check and the start on it."""

    def __init__(self, folder: Path, read: Read) -> None:
        self.folder, self._read = folder, read
        self.file = folder / "dspam.conf"
        self.sound = SOUND.format(folder=folder).encode()

    def check(self) -> Told:
        return self._run("--check-config")

    def start(self) -> Told:
        return self._run()

    def both(self) -> Told:
        """The result of the check; the start must agree with it."""
        check, start = self.check(), self.start()
        # At the next start, the account or the folder may exist.
        later = "there is no user" in start.text or "event=cannot_start" in start.text
        assert start.status == (1 if later else check.status), (check.text, start.text)
        assert (check.status == os.EX_OK) == (start.status == os.EX_OK), (check.text, start.text)
        assert (": usable, " in check.text) == (check.status == os.EX_OK)
        said = [line for line in check.text.splitlines() if line.startswith("warning: ")]
        assert not [line for line in said if "cannot start" in line or "not start" in line]
        return check

    def _run(self, *options: str) -> Told:
        status = dspamd.main(["--config", str(self.file), *options])
        text = "".join(self._read.readouterr())
        assert "Traceback" not in text
        assert "level=critical" not in text
        assert "event=bug" not in text
        assert len(text) < 20_000
        return Told(status, text)


@pytest.fixture(autouse=True)
def without_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A daemon starts in this process, up to the moment in which it would listen; nothing is left of it."""
    monkeypatch.setattr(Supervisor, "run", lambda *_: os.EX_OK)
    monkeypatch.setattr(Metrics, "share", lambda _: None)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    with log.diverted(Stderr()):
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, files)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Read) -> Stranger:
    monkeypatch.chdir(tmp_path)  # junk may be the name of a file
    return Stranger(tmp_path, capfd)


def lines_of(option: str) -> Iterator[bytes]:
    """A directive with a few kinds of junk."""
    name = OPTIONS[option].name + ("" if OPTIONS[option].bare else ".name")
    first = list(OPTIONS).index(option) * EACH
    for junk in itertools.islice(itertools.cycle(JUNK), first, first + EACH):
        yield name.encode() + b" " + junk


MUTANTS = [line for option in OPTIONS for line in lines_of(option)]


def test_there_are_hundreds_and_each_kind_of_junk_among_them() -> None:
    assert len(MUTANTS) > 300
    assert {line.partition(b" ")[2] for line in MUTANTS} == set(JUNK)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_directive_with_junk(option: str, site: Stranger) -> None:
    for line in lines_of(option):
        site.file.write_bytes(line + b"\n" + site.sound)
        told = site.both()
        assert told.status in (os.EX_OK, os.EX_CONFIG), line
        if told.status:
            assert re.search(rf"^{site.file}:1: ", told.text, re.MULTILINE), (line, told.text)


MAIL = b"From: ann@example.org\nSubject: hello\n\nthe one and only body of this mail\n"


@pytest.mark.parametrize("option", OPTIONS)
def test_mail_in_a_pipe_comes_out_of_it_whatever_the_configuration_is(
    option: str, site: Stranger, monkeypatch: pytest.MonkeyPatch, capfd: Read
) -> None:
    """`dspam --stdout | next-program`: the status is that of the next program."""
    monkeypatch.setenv("DSPAM_CONF", str(site.file))
    line = next(lines_of(option))
    site.file.write_bytes(line + b"\n" + site.sound + TRUST.encode() + b"\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MAIL)))
    status = dspam.main(["--user", "bob", "--deliver=innocent,spam", "--stdout"])
    out, err = capfd.readouterr()
    assert "Traceback" not in err, line
    assert (status, out.count("the one and only body")) == (os.EX_OK, 1), (line, out, err)


@pytest.mark.parametrize("monitored", ["", "MetricsListen 127.0.0.1:9\n"])
@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("Algorithm joint graham", ":1: Algorithm: algorithms that cannot be combined: graham joint"),
        (
            "Algorithm burton\nAlgorithm joint",
            ":1: Algorithm: algorithms that cannot be combined: burton joint",
        ),
        (
            "Algorithm confidence graham",
            ":1: Algorithm: algorithms that cannot be combined: confidence graham",
        ),
        ("ServerPort 10034", "mail would loop for ever"),
        ('ServerParameters "--class=spam"', ":1: ServerParameters: No source was specified"),
        ("ExtLookup on", ":1: ExtLookup needs ExtLookupDriver"),
        ("StorageDriver pgsql_drv", ":1: PgSQLDb is required"),
        ("DefaultProfile none", ":1: DefaultProfile none is not declared"),
    ],
)
def test_what_the_check_calls_an_error_is_one_line_of_every_command(
    lines: str, complaint: str, monitored: str, site: Stranger, monkeypatch: pytest.MonkeyPatch, capfd: Read
) -> None:
    monkeypatch.setenv("DSPAM_CONF", str(site.file))
    site.file.write_bytes(f"{lines}\n{TRUST}\n{monitored}".encode() + site.sound)
    told = site.both()
    assert told.status == os.EX_CONFIG
    assert complaint in told.text
    for words in (["explain", "bob", "word"], ["doctor", "--json"]):
        status = dspam_admin.main(words)
        said = "".join(capfd.readouterr())
        assert status in (os.EX_OK, 1, os.EX_CONFIG)
        assert not re.search("Traceback|event=bug|fault of dspamd", said), said
        assert words[0] != "doctor" or complaint in said


def listen(supervisor: Supervisor, spec: DaemonSpec) -> int:
    """The steps of a supervisor before it forks."""
    listeners = Listeners()
    try:
        listeners.open(spec.endpoints)
    finally:
        listeners.close()
    return os.EX_OK


PLACES = (
    "/nowhere/at/all", "/dev/null/x", "/dev/null", "{folder}", "{folder}/file", "{folder}/missing",
    "{folder}/file/x", "{folder}/missing/x", "{folder}/" + "x" * 90, "{folder}/" + "x" * 300,
)  # fmt: skip


@pytest.mark.parametrize(
    "name", [option.name for option in OPTIONS.values() if option.kind in (PATH, SOCKET, COMMAND)]
)
def test_what_keeps_the_daemon_from_its_start_makes_the_configuration_unusable(
    name: str, site: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a directive leads to: a check and a start agree, as far as the sockets."""
    monkeypatch.setattr(Supervisor, "run", listen)
    sound = site.sound.replace(b"ServerHost 127.0.0.1\n", b"")
    statuses = set()
    for place in PLACES:
        (site.folder / "file").write_text("")
        path = place.format(folder=site.folder)
        site.file.write_bytes(
            f"{name} {path}\nServerDomainSocketPath {site.folder}/socket\n".encode() + sound
        )
        told = site.both()
        statuses.add(told.status)
        if told.status and "Include" not in told.text:
            assert re.search(rf"^{site.file}:1: {name}", told.text, re.MULTILINE), told.text
    needed = name in ("ServerPID", "ServerDomainSocketPath")
    assert not needed or statuses == {os.EX_OK, os.EX_CONFIG}


@pytest.mark.parametrize("name", [option.name for option in OPTIONS.values() if not option.many])
def test_a_directive_given_twice(name: str, site: Stranger) -> None:
    option = OPTIONS[name.lower()]
    value = option.default or option.sample.removeprefix("# ") or "x"
    if name in ("ServerPID", "ServerDomainSocketPath"):  # their folders do not exist on every machine
        value = f"{site.folder}/other"
    line = f"{name}{'' if option.bare else '.name'} {value}\n"
    site.file.write_bytes(line.encode() * 2 + site.sound)
    assert site.both().status in (os.EX_OK, os.EX_CONFIG)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "dspam.conf: No DSPAM home specified"),
        (b"\n\n# nothing\n", "dspam.conf: No DSPAM home specified"),
        (bytes(range(256)) * 20, "dspam.conf:1: this line has a NUL byte"),
        (b"Home\n", "dspam.conf: No DSPAM home specified"),
        (b"Home /x" + b" y" * 100_000, "dspam.conf: StorageDriver is required"),
        (b"Trust " + b"x" * 1_000_000, "dspam.conf: No DSPAM home specified"),
        (b"x" * (5 << 20), "dspam.conf: cannot be read: it has more than 4 MiB"),
        (b"Home /x\rStorageDriver hash_drv\r", "dspam.conf:1: StorageDriver must begin a line of its own"),
        (b"Include", "dspam.conf: No DSPAM home specified"),
        (b"Include dspam.conf\n", ":1: Include: {folder}/dspam.conf cannot be read: it includes itself"),
        (b"Include .\n", ":1: Include: {folder}/dspam.conf cannot be read: it includes itself"),
        (b"Include nowhere\n", ":1: Include: there is no {folder}/nowhere"),
        (b"Include nowhere/at/all\n", ":1: Include: {folder}/nowhere/at/all cannot be read: {folder}"),
        (b"Include /dev/zero\n", ":1: Include: /dev/zero cannot be read: it is not a file"),
        (b"Include dspam.conf/x\n", ":1: Include: {folder}/dspam.conf/x cannot be read: Not a directory"),
        (b"Include " + b"x" * 300 + b"\n", "File name too long"),
        (b"Include \xff\n", "dspam.conf:1: Include: there is no {folder}/"),
        (b"Include **/[\n", "dspam.conf:1: Include: "),
    ],
)  # fmt: skip
def test_a_file_that_is_none(content: bytes, complaint: str, site: Stranger) -> None:
    site.file.write_bytes(content)
    told = site.both()
    assert told.status == os.EX_CONFIG
    assert complaint.format(folder=site.folder) in told.text


def test_a_chain_of_files_without_end(site: Stranger) -> None:
    for number in range(60):
        part = site.folder / f"{number}.conf"
        part.write_text(f"Include {number + 1}.conf\nInclude {number + 1}.conf\n")
    (site.folder / "60.conf").touch()
    site.file.write_bytes(b"Include 0.conf\n" + site.sound)
    told = site.both()
    assert told.status == os.EX_CONFIG
    assert "19.conf is one file too many" in told.text


def test_links_that_lead_in_a_circle(site: Stranger) -> None:
    (site.folder / "a.conf").symlink_to("b.conf")
    (site.folder / "b.conf").symlink_to("a.conf")
    site.file.write_bytes(b"Include a.conf\n" + site.sound)
    told = site.both()
    assert told.status == os.EX_CONFIG
    assert f"{site.file}:1: Include: {site.folder}/a.conf cannot be read: " in told.text


def test_no_file_and_a_folder(site: Stranger) -> None:
    assert "dspam.conf: cannot be read: No such file or directory" in site.both().text
    site.file.mkdir()
    told = site.both()
    assert told == (os.EX_CONFIG, f"{site.file}: cannot be read: Is a directory\n")


def test_nobody_may_read_it(capfd: Read) -> None:
    with folder_of_stranger() as folder:
        site = Stranger(folder, capfd)
        site.file.write_bytes(site.sound)
        give(site.file)
        site.file.chmod(0o200)
        with stranger():
            told = site.both()
    assert told.status == os.EX_CONFIG
    assert told.text.startswith(f"{site.file}: cannot be read: Permission denied: account ")
