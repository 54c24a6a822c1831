"""Reports of missing things that a configuration names: each has its line; few stop the start."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from dspamd.app import daemon_spec
from dspamd.config.config import Config
from dspamd.config.option_types import COMMAND, PATH, SOCKET
from dspamd.config.options import OPTIONS
from dspamd.daemon.account import Account
from dspamd.engine._weights import Table
from dspamd.errors import ConfigError
from dspamd.maintenance.surroundings import in_the_way, surroundings, unmet


def told(folder: Path, *lines: str) -> list[str]:
    """The complaints about these lines of a configuration whose other files are all in `folder`."""
    text = "\n".join([*lines, f"Home {folder}", f"ServerPID {folder}/pid"])
    config = Config.from_text(text, "x.conf")
    return list(map(str, surroundings(config) + unmet(config)))


def test_nothing_is_missed_where_everything_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "seed").write_bytes(Table().seed().write())
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/socket")
        lines = (
            f"TxtDirectory {tmp_path}",
            f"GroupConfig {tmp_path}/file",
            "Algorithm logistic",
            f"SeedModel {tmp_path}/seed",
            'UntrustedDeliveryAgent "/bin/cat -u %u"',
            "TrustedDeliveryAgent cat",
            f"DeliveryHost.example.org {tmp_path}/socket",
            "DeliveryProto LMTP",
            f"DeliveryTLSCAFile {tmp_path}/file",
            f"RABLQueue {tmp_path}",
            f"ServerDomainSocketPath {tmp_path}/new.sock",
            "LogTarget dspamd.telemetry.log",
            "Debug *",
        )
        assert told(tmp_path, *lines) == []


@pytest.mark.parametrize(("driver", "looked_at"), [("libhash_drv", True), ("libmysql_drv", False)])
def test_a_comment_behind_a_default_preference_is_told_with_its_line(
    tmp_path: Path, driver: str, looked_at: bool
) -> None:
    file = tmp_path / "default.prefs"
    file.write_text("# ours\nspamAction=tag  # not quarantine\n")
    complaint = (
        f'{file}:2: spamAction is "tag"; "# not quarantine" is a comment, for DSPAM it was part of the value'
    )
    assert (complaint in told(tmp_path, f"StorageDriver {driver}.so")) == looked_at


MISSING = "/nowhere/at/all"
GONE = f"{MISSING}: No such file or directory"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"Home {MISSING}", f"Home {GONE}; mail waits until the daemon has its folder"),
        ("Home /dev/null", "Home /dev/null is no folder"),
        ("TxtDirectory /etc/passwd", "TxtDirectory /etc/passwd is no folder; mail goes without its texts"),
        ("GroupConfig /etc", "GroupConfig /etc is a folder; nobody is in a group"),
        ("DeliveryTLSCAFile /etc", "DeliveryTLSCAFile /etc is a folder"),
        (f"TxtDirectory {MISSING}", f"TxtDirectory {GONE}; mail goes without its texts"),
        (f"GroupConfig {MISSING}", f"GroupConfig {GONE}; nobody is in a group"),
        (f'TrustedDeliveryAgent "{MISSING} -d %u"', f"TrustedDeliveryAgent {GONE}; mail waits"),
        ("TrustedDeliveryAgent procmail-of-nobody", "TrustedDeliveryAgent procmail-of-nobody: No such file"),
        ("UntrustedDeliveryAgent /etc/passwd", "UntrustedDeliveryAgent /etc/passwd cannot be run by"),
        ("QuarantineAgent /etc", "QuarantineAgent /etc cannot be run by"),
        (f"DeliveryTLSCAFile {MISSING}", f"DeliveryTLSCAFile {GONE}; no certificate can be checked"),
        (f"Algorithm joint\nSeedModel {MISSING}", f"SeedModel {GONE}; users begin without it"),
        ("Algorithm joint\nSeedModel /etc", "SeedModel /etc is a folder; users begin without it"),
        ("Algorithm joint\nSeedModel /dev/null", "SeedModel /dev/null is no seed: the file is empty; users"),
        ("Algorithm joint\nSeedModel /etc/passwd", "SeedModel /etc/passwd is no seed: weights of an unknown"),
        ("SeedModel /dev/null", "SeedModel /dev/null has no effect: Algorithm graham burton knows no seed"),
        (f"RABLQueue {MISSING}", f"RABLQueue {GONE}; no source of spam is noted"),
        (
            f"ServerDomainSocketPath {MISSING}",
            "ServerDomainSocketPath /nowhere/at: No such file or directory; the daemon cannot start",
        ),
        (f"ServerPID {MISSING}", "ServerPID /nowhere/at: No such file or directory; the daemon cannot start"),
        ("LogTarget /dev/null/log", "LogTarget /dev/null is no folder; the log goes to stderr"),
        ("LogTarget /etc", "LogTarget /etc is a folder, not a file; the log goes to stderr"),
        (f"ClamAVHost {MISSING}", f"ClamAVHost {GONE}"),
        (f"StorageDriver mysql_drv\nMySQLServer {MISSING}", f"MySQLServer {GONE}"),
        (f"DeliveryProto LMTP\nDeliveryHost {MISSING}", f"DeliveryHost {GONE}"),
        (f"DeliveryProto LMTP\nDeliveryHost.example.org {MISSING}", f"DeliveryHost.example.org {GONE}"),
        (
            f"ExtLookup on\nExtLookupDriver program\nExtLookupServer {MISSING}",
            f"ExtLookupServer {GONE}; mail waits",
        ),
    ],
)
def test_what_is_missed_is_told_with_its_line(tmp_path: Path, line: str, complaint: str) -> None:
    (text,) = told(tmp_path, line)
    assert text.startswith(f"x.conf:{len(line.splitlines())}: {complaint}")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ServerPID /etc", "ServerPID /etc is a folder, not a file"),
        ("ServerPID /dev/null", "ServerPID /dev/null is something else, not a file"),
        ("ServerDomainSocketPath /etc", "ServerDomainSocketPath /etc is a folder, not a socket"),
        ("ServerDomainSocketPath /etc/passwd", "ServerDomainSocketPath /etc/passwd is something else"),
    ],
)
def test_what_is_in_the_way_stops_the_start_with_its_line(line: str, complaint: str, tmp_path: Path) -> None:
    config = Config.from_text(f"Home {tmp_path}\n{line}\n", "x.conf")
    (problem,) = in_the_way(config)
    assert str(problem).startswith(f"x.conf:2: {complaint}")
    with pytest.raises(ConfigError, match="the daemon cannot start"):
        daemon_spec(config)


def test_the_debug_log_and_the_log_are_both_about_log_directory(tmp_path: Path) -> None:
    found = told(tmp_path, "LogDirectory /dev/null", "LogTarget dspamd.telemetry.log", "Debug *")
    assert [text.partition(";")[0] for text in found] == ["x.conf:1: LogDirectory /dev/null is no folder"] * 2


def test_agents_that_nobody_asks_may_be_missing(tmp_path: Path) -> None:
    """They are in every configuration that began as DSPAM's sample."""
    hop = ("DeliveryHost 127.0.0.1", "DeliveryProto SMTP")
    assert told(tmp_path, "TrustedDeliveryAgent /usr/bin/procmail-of-nobody", *hop) == []


def test_folders_are_looked_at_with_the_account_of_the_workers(tmp_path: Path) -> None:
    config = Config.from_text(f"Home {tmp_path}\nServerPID {tmp_path}/pid\n", "x.conf")
    nobody = Account("nobody", *pwd.getpwnam("nobody")[2:4])
    we = (os.geteuid(), os.getegid(), os.getgroups())
    tmp_path.chmod(0o700)
    found = list(map(str, surroundings(config, nobody.borrowed())))
    # Without root the account cannot change, and the workers do not change it.
    assert [text.partition(" /")[0] for text in found] == ["x.conf:1: Home"] * (we[0] == 0)
    assert (os.geteuid(), os.getegid(), os.getgroups()) == we


def test_each_option_that_names_a_file_or_a_program_is_looked_at(tmp_path: Path) -> None:
    named = {option.name for option in OPTIONS.values() if option.kind in (PATH, SOCKET, COMMAND)}
    lines = [
        f"{name} /dev/null/there"
        for name in sorted(named - {"Include", "LogDirectory"})  # the reader handles Include
    ]
    # The check looks at LogDirectory because of the files that dspamd makes there.
    found = told(tmp_path, *lines, "LogDirectory /dev/null", "Debug *")
    assert {text.split()[1] for text in found} == named - {"Include"}


@pytest.mark.parametrize(
    ("line", "power"),
    [
        ("ServerPass.Relay1 secret", "ServerPass.relay1"),
        ("ClientIdent secret@Relay1", "ClientIdent"),
        ("MySQLPass secret", "MySQLPass"),
        ("MySQLPass.big secret", "MySQLPass.big"),
        ("MySQLWritePass secret", "MySQLWritePass"),
        ("PgSQLPass secret", "PgSQLPass"),
        ("ExtLookupPassword secret", "ExtLookupPassword"),
    ],
)
@pytest.mark.parametrize("included", [False, True])
def test_a_password_that_everybody_may_read_is_told(
    tmp_path: Path, line: str, power: str, included: bool
) -> None:
    file = tmp_path / ("secret.conf" if included else "dspam.conf")
    common = f"Home {tmp_path}\nServerPID {tmp_path}/pid\n"
    (tmp_path / "dspam.conf").write_text(common + (f"Include {file}\n" if included else f"{line}\n"))
    if included:
        file.write_text(line + "\n")
    for mode, warned in (0o644, True), (0o604, True), (0o640, False), (0o600, False):
        file.chmod(mode)
        found = list(map(str, surroundings(Config.load(tmp_path / "dspam.conf"))))
        assert [text.startswith(f"{file}:") and f" {power} is in {file}," in text for text in found] == [
            True
        ] * warned


def test_without_passwords_everybody_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "dspam.conf").write_text(f"Home {tmp_path}\nServerPID {tmp_path}/pid\nServerMode auto\n")
    (tmp_path / "dspam.conf").chmod(0o644)
    assert surroundings(Config.load(tmp_path / "dspam.conf")) == []
