"""Users from other sources, with the real daemon: their names, the trusted ones, shared dictionaries."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden.data import rows
from tests.support.daemon import Daemon
from tests.support.mariadb_server import MariaDB, mariadb
from tests.support.ports import free_port
from tests.support.postfix import DOMAIN
from tests.support.wait import until

MESSAGE = "From: ann@example.org\r\nSubject: hi\r\n\r\nwords of a letter\r\n"
HEADERS = 'Preference "signatureLocation=headers"\n'


class Local:
    """A daemon with a unix socket, and programs of this machine that speak to it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def ask(self, options: str, *users: str, account: str | None = None, network: bool = False) -> str:
        """The replies to dspamc, as a program of `account` (ours if None)."""
        with self._connected(account, network) as connection:
            recipients = "".join(f"RCPT TO: <{user}>\r\n" for user in users)
            mode = options.replace('"', '\\"')
            connection.sendall(
                f'LHLO Relay1\r\nMAIL FROM: <secret@Relay1> DSPAMPROCESSMODE="{mode}"\r\n{recipients}'
                f"DATA\r\n".encode()
            )
            heard = b""
            while not re.search(rb"^(354|50[0-9]|55[0-9]) .*\n\Z", heard, re.M):
                piece = connection.recv(65536)
                assert piece, heard
                heard += piece
            if not heard.splitlines()[-1].startswith(b"354"):
                return heard.splitlines()[-1].decode()
            connection.sendall(f"{MESSAGE}.\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.read().decode()

    @contextlib.contextmanager
    def _connected(self, account: str | None, network: bool) -> Iterator[socket.socket]:
        ours = os.geteuid()
        with socket.socket(socket.AF_INET if network else socket.AF_UNIX) as connection:
            connection.settimeout(60)
            try:
                if account is not None and ours == 0:
                    os.seteuid(pwd.getpwnam(account).pw_uid)
                connection.connect(
                    ("127.0.0.1", self.daemon.port) if network else str(self.daemon.folder / "socket")
                )
            finally:
                os.seteuid(ours)
            yield connection


@contextlib.contextmanager
def local(settings: str = "", driver: str = "libsqlite3_drv.so") -> Iterator[Local]:
    """In a folder that other accounts may enter, with a path that a socket can have."""
    folder = Path(tempfile.mkdtemp(prefix="dspamd-"))
    folder.chmod(0o755)
    common = f"ServerMode auto\nServerDomainSocketPath {folder}/socket\nSocketMode 0666\n"
    common += "ServerPass.Relay1 secret\n"
    with Daemon(folder, free_port(), driver=driver, settings=common + HEADERS + settings) as daemon:
        yield Local(daemon)
        assert "Traceback" not in daemon.output
    shutil.rmtree(folder)


def signature(answer: str) -> str:
    found = re.search(r"signature=([0-9a-f,]+)", answer)
    assert found, answer
    return found[1]


def dictionaries(daemon: Daemon) -> set[str]:
    return {file.stem for file in (daemon.folder / "data").glob("*/*.sdb")}


# --- trust ---------------------------------------------------------------------------------

STRANGER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(scope="module")
def trusting() -> Iterator[Local]:
    with local("Trust mail\nParseToHeaders on\nChangeUserOnParse user\n") as site:
        yield site


def test_a_local_stranger_may_act_for_himself(trusting: Local) -> None:
    answer = trusting.ask("--deliver=summary", STRANGER, account=STRANGER)
    assert answer.startswith(f'X-DSPAM-Result: {STRANGER}; result="Innocent"; ')
    correct = f"--class=spam --source=error --signature={signature(answer)} --deliver=summary"
    assert f'X-DSPAM-Result: {STRANGER}; result="Spam"; ' in trusting.ask(correct, STRANGER, account=STRANGER)


@pytest.mark.parametrize("options", ["--deliver=summary", "--class=spam --source=corpus", "--classify"])
def test_a_local_stranger_may_not_act_for_others(trusting: Local, options: str) -> None:
    answer = trusting.ask(options, "bob", account=STRANGER)
    uid = pwd.getpwnam(STRANGER).pw_uid
    assert answer == (
        "554 5.1.0 Unable to initialize agent context (Option --user requires special privileges when user "
        f"does not match current user, e.g.. root or Trusted User [uid={uid}({STRANGER})])"
    )
    assert "bob" not in dictionaries(trusting.daemon)


def test_a_local_stranger_may_not_speak_lmtp(trusting: Local) -> None:
    """A client that can deliver mail to anybody would get around the check of the account."""
    said = b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\n"
    with trusting._connected(STRANGER, network=False) as connection, connection.makefile("rb") as heard:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        answers = heard.read().splitlines(keepends=True)
    # The account of the daemon may; a test without root runs as that account.
    refused = f"450 4.7.1 Account {STRANGER} may not speak LMTP on this socket\r\n".encode()
    assert answers[-1].startswith(refused if os.geteuid() == 0 else b"354 ")


def test_a_local_stranger_may_choose_no_profile(trusting: Local) -> None:
    answer = trusting.ask("--profile=big", STRANGER, account=STRANGER)
    assert "Option --profile requires special privileges" in answer


def test_who_knows_the_password_is_trusted_over_the_network() -> None:
    with local("Trust mail\nServerHost 127.0.0.1\n") as site:
        answer = site.ask("--deliver=summary", "carol", network=True)
    assert answer.startswith("X-DSPAM-Result: carol; ")


# --- files ---------------------------------------------------------------------------------

PLACES = {
    "default (with long usernames)": "normal",
    "--enable-domain-scale": "domain",
    "--enable-large-scale": "large",
}
LAYOUTS = [row for row in rows("misc.jsonl") if row.get("build") in PLACES]


@pytest.mark.parametrize("row", LAYOUTS, ids=lambda row: PLACES[row["build"]])
def test_files_are_where_the_original_had_them(row: dict[str, Any]) -> None:
    with local(f"DirectoryLayout {PLACES[row['build']]}\n") as site:
        site.ask("--deliver=summary", *row["users"])
        folder = site.daemon.folder
        made = {str(file.relative_to(folder)).replace(".sdb", ".css") for file in folder.rglob("*.sdb")}
    assert made == set(row["files"])


def test_what_preferences_say_of_a_user() -> None:
    """fallbackDomain, localStore, and opting out by preference and by file."""
    settings = "FallbackDomains on\nAllowOverride fallbackDomain localStore optOut\nUserLog on\n"
    with local(settings) as site:
        folder = site.daemon.folder
        for user, preference in (
            ("@example.net", "fallbackDomain=on"), ("ann", "localStore=shelf"), ("bob", "optOut=on"),
        ):  # fmt: skip
            (folder / "data" / user).mkdir(parents=True)
            (folder / "data" / user / f"{user}.prefs").write_text(f"{preference}\n")
        (folder / "opt-out").mkdir()
        (folder / "opt-out/carol.nodspam").touch()
        users = ("ann", "bob", "carol", "dave@example.net", "eve@example.org")
        heard = site.ask("--deliver=summary", *users)
        known = dictionaries(site.daemon)
        logs = {"shelf", "@example.net", "eve@example.org"}
        until(lambda: {file.parent.name for file in folder.rglob("*.log")} == logs, "the logs of three users")
    assert re.findall("X-DSPAM-Result: ([^;]+);", heard) == ["ann", "@example.net", "eve@example.org"]
    assert known == {"ann", "@example.net", "eve@example.org"}


# --- external lookup -----------------------------------------------------------------------

LOOKUP = """\
#!/bin/sh
case "$1" in
    alias) echo bob ;;
    bob|carol) echo "$1" ;;
    late) exit 75 ;;
    hung) exec sleep 1000 ;;
esac
"""


@pytest.mark.parametrize(
    ("mode", "codes", "known"),
    [
        ("verify", [250, 250, 550, 451, 451], {"bob", "alias"}),
        ("map", [250, 250, 250, 451, 451], {"bob", "nobody-here"}),
        ("strict", [250, 250, 550, 451, 451], {"bob"}),
    ],
)
def test_a_program_says_who_is_a_user(tmp_path: Path, mode: str, codes: list[int], known: set[str]) -> None:
    program = tmp_path / "lookup"
    program.write_text(LOOKUP)
    program.chmod(0o755)
    settings = (
        f"ExtLookup on\nExtLookupDriver program\nExtLookupMode {mode}\nExtLookupTimeout 1\n"
        f'ExtLookupServer "{program} %u"\n'
        "TrustedDeliveryAgent /bin/true\nOnStorageFailure deliver\n"
    )
    daemon = Daemon(tmp_path, free_port(), settings=HEADERS + settings)
    agents_alone = re.sub(r"(?m)^Delivery.*\n", "", daemon.config.read_text())
    daemon.config.write_text(agents_alone)
    with daemon:
        answered = daemon.deliver(MESSAGE.encode(), "bob", "alias", "nobody-here", "late", "hung")
        refused = re.findall(r"reply=\"550 5\.1\.1 Invalid user 'nobody-here'\"", daemon.output)
    assert answered == codes, daemon.output
    assert len(refused) == (mode != "map")
    assert dictionaries(daemon) == known


# --- MariaDB: numbers in signatures, aliases, profiles --------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDB]:
    with mariadb() as server:
        yield server


def _server(database: MariaDB, *profiles: str) -> tuple[str, list[str]]:
    """Settings that reach a new database, under each profile one; and their names."""
    names = [database.new_database().database for _ in profiles]
    lines = f"MySQLServer {database.socket}\nMySQLUser root\n"
    for profile, name in zip(profiles, names, strict=True):
        lines += f"MySQLDb{'.' * bool(profile)}{profile} {name}\n"
    return lines, names


def test_a_signature_names_its_owner_by_number(database: MariaDB) -> None:
    settings, (name,) = _server(database, "")
    with local(f"{settings}MySQLUIDInSignature on\nTrust root\n", "libmysql_drv.so") as site:
        seen = [signature(site.ask("--deliver=summary", user)) for user in ("ann", "bob")]
        assert all(re.fullmatch(r"[0-9]+,[0-9a-f]{20,30}", each) for each in seen)
        numbers = dict(database.query(f"SELECT username, uid FROM {name}.dspam_virtual_uids"))
        assert [int(each.partition(",")[0]) for each in seen] == [numbers["ann"], numbers["bob"]]

        spam = f"--class=spam --source=error --signature={seen[1]} --deliver=summary"
        assert site.ask(spam, "spam-alias").startswith('X-DSPAM-Result: bob; result="Spam"; ')
        learned = f"SELECT uid, spam_misclassified FROM {name}.dspam_stats"
        assert dict(database.query(learned)) == {numbers["ann"]: 0, numbers["bob"]: 1}

        for wrong in (f"{numbers['ann']},{seen[1].partition(',')[2]}", f"4294967295,{seen[1]}", "1,x"):
            answer = site.ask(spam.replace(seen[1], wrong), "spam-alias")
            assert "5.6.0 <spam-alias> Unable to find a valid signature" in answer
        assert set(numbers) == {"ann", "bob"}
        known = database.query(f"SELECT username FROM {name}.dspam_virtual_uids ORDER BY 1")
        assert known == [("ann",), ("bob",)]


def test_whom_a_report_may_correct_for(database: MariaDB) -> None:
    """A local client corrects for the owner of any signature; a known sender only for themselves."""
    settings, (name,) = _server(database, "")
    settings += "MySQLUIDInSignature on\nRetrainedMail drop\n"
    with local(settings, "libmysql_drv.so") as site:
        seen = [signature(site.ask("--deliver=summary", user)) for user in ("bob", "carol")]
        report = f"Subject: Fwd\r\n\r\n!DSPAM:{seen[0]}!\r\n".encode()
        learned = (
            f"SELECT username, spam_misclassified FROM {name}.dspam_stats "
            f"JOIN {name}.dspam_virtual_uids USING (uid)"
        )
        carol = f"carol@{DOMAIN}"
        assert site.daemon.deliver(report, "spam-carol", sender=carol, source="REMOTE") == [550]
        assert dict(database.query(learned)) == {"bob": 0, "carol": 0}
        assert site.daemon.deliver(report, "spam-carol", sender=carol, source="LOCAL") == [250]
        assert dict(database.query(learned)) == {"bob": 1, "carol": 0}


def test_preferences_are_those_of_who_is_named(database: MariaDB) -> None:
    settings, (name,) = _server(database, "")
    settings += "MySQLUIDInSignature on\nAllowOverride optOut localStore\nUserLog on\n"
    with local(settings, "libmysql_drv.so") as site:
        seen = signature(site.ask("--deliver=summary", "bob"))
        bob = int(seen.partition(",")[0])
        database.query(f"INSERT INTO {name}.dspam_preferences VALUES ({bob}, 'localStore', 'shelf')")
        log = site.daemon.folder / "data/shelf/shelf.log"

        def corrected() -> bool:
            """bob's preferences may be remembered for some seconds."""
            for label in ("spam", "innocent"):
                site.ask(f"--class={label} --source=error --signature={seen}", "spam-alias")
            return log.exists() and seen in log.read_text()

        until(corrected, "a correction in the log of bob's localStore")


def test_aliases_share_a_dictionary_and_keep_their_names(database: MariaDB) -> None:
    settings, (name,) = _server(database, "")
    with local(f"{settings}MySQLUIDInSignature on\n", "libmysql_drv.so") as site:
        site.ask("--deliver=summary", "first")  # this makes the tables
        database.queries(
            [
                f"DROP TABLE {name}.dspam_virtual_uids",
                f"CREATE TABLE {name}.dspam_virtual_uids (uid INT UNSIGNED NOT NULL, "
                "username VARCHAR(128) NOT NULL, UNIQUE KEY id_virtual_uids_01 (username))",
                f"INSERT INTO {name}.dspam_virtual_uids VALUES (7, 'bob'), (7, 'robert'), (8, 'carol')",
            ]
        )
        seen = signature(site.ask("--deliver=summary", "robert"))
        assert seen.startswith("7,")
        spam = f"--class=spam --source=error --signature={seen} --deliver=summary"
        assert site.ask(spam, "robert").startswith('X-DSPAM-Result: robert; result="Spam"; ')
        assert site.ask(spam, "carol").startswith('X-DSPAM-Result: bob; result="Spam"; ')
        # A new user has no number: their mail waits until the site gives them one.
        assert "451 4.3.0 <stranger> Storage is not available" in site.ask("--deliver=summary", "stranger")


def test_a_profile_holds_for_one_request(database: MariaDB) -> None:
    settings, (one, two) = _server(database, "one", "two")
    settings += "Profile one two three\nDefaultProfile one\nMySQLDb.three no_such_database\n"
    with local(settings, "libmysql_drv.so") as site:

        def known(name: str) -> list[str]:
            rows = database.query(f"SELECT username FROM {name}.dspam_virtual_uids ORDER BY 1")
            return [user for (user,) in rows]

        for user, options in (
            ("ann", ""),
            ("bob", "--profile=two"),
            ("carol", ""),
            ("dave", "--profile=TWO"),
        ):
            assert site.ask(f"--deliver=summary {options}", user).startswith(f"X-DSPAM-Result: {user}; ")
        assert (known(one), known(two)) == (["ann", "carol"], ["bob", "dave"])
        assert "451 4.3.0 <eve> " in site.ask("--deliver=summary --profile=three", "eve")
        assert "No such profile 'four'" in site.ask("--deliver=summary --profile=four", "eve")
        assert site.ask("--deliver=summary", "eve").startswith("X-DSPAM-Result: eve; ")
