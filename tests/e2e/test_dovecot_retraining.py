"""Users correct the filter with their mail program: a real Dovecot as docs/dovecot.md sets it up, by IMAP."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from itertools import pairwise

import pytest

from dspamd.config.config import Config
from dspamd.doctor.retraining import retraining as retraining_of
from dspamd.doctor.site import Site
from tests.support.message import compose
from tests.support.retraining import USERS, VERSION, Retraining, account_of_daemon, last, retraining

TRASH = "Papierkorb"
MANY = 5
_users = iter(USERS)


@pytest.fixture(scope="module")
def site() -> Iterator[Retraining]:
    with retraining("95-dspam.conf", "96-dspam-flags.conf") as site:
        yield site
        assert "sieve: binary" not in site.dovecot.log  # the scripts are compiled


@pytest.fixture
def user() -> str:
    """A user who has no mail yet."""
    return next(_users)


def mail(number: int = 0) -> bytes:
    return compose(f"number {number}", f"The text of mail {number}, with some more words.")


def test_the_socket_is_for_the_group_alone(site: Retraining) -> None:
    found = (site.daemon.folder / "socket").stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert (found.st_uid, found.st_gid) == account_of_daemon()[2:4]


@pytest.mark.parametrize("way", ["MOVE", "COPY"])
def test_the_last_move_counts(site: Retraining, user: str, way: str) -> None:
    site.deliver(user.capitalize(), mail())
    lessons = site.lessons
    for (source, target), missed in zip(pairwise(("INBOX", "Junk", "INBOX", "Junk")), (1, 0, 1), strict=True):
        site.move(user, source, target, way=way)
        assert site.missed(user) == missed
    assert site.lessons == lessons + 3


def test_who_empties_the_folder_for_spam_teaches_nothing(site: Retraining, user: str) -> None:
    site.deliver(user, mail())
    site.move(user, "INBOX", "Junk")
    lessons = site.lessons
    site.move(user, "Junk", TRASH)
    assert (site.missed(user), site.lessons) == (1, lessons)


def test_mail_that_never_came_through_the_filter_is_learned_by_its_text(site: Retraining, user: str) -> None:
    site.deliver(user, mail())
    with site.client(user) as client:
        assert client.append("Junk", "", "", mail(1))[0] == "OK"
    assert site.missed(user) == 1
    site.move(user, "Junk", "INBOX")
    assert site.missed(user) == 0


def test_mail_whose_signature_is_gone_is_learned_by_its_text(site: Retraining, user: str) -> None:
    site.deliver(user, mail())
    site.forget()
    for source, target, missed in (("INBOX", "Junk", 1), ("Junk", "INBOX", 0)):
        site.move(user, source, target)
        assert site.missed(user) == missed


def test_many_messages_in_one_move(site: Retraining, user: str) -> None:
    site.deliver(user, *map(mail, range(MANY)))
    site.move(user, "INBOX", "Junk", messages="1:*")
    assert site.missed(user) == MANY


@pytest.mark.parametrize(
    ("spam", "innocent"), [("$Junk", "$NotJunk"), ("Junk", "NonJunk"), ("SPAM", "NONSPAM")]
)
def test_marks_of_mail_programs_teach(site: Retraining, user: str, spam: str, innocent: str) -> None:
    site.deliver(user, mail())
    lessons = site.lessons
    with site.client(user) as client:
        for change, missed in (
            (r"+FLAGS (\Seen)", 0),
            (f"+FLAGS ({spam})", 1),
            (f"-FLAGS ({spam})", 1),
            (f"+FLAGS ({innocent})", 0),
            (f"FLAGS ({spam})", 1),
        ):
            assert client.uid("STORE", "1", *change.split(" ", 1))[0] == "OK"
            assert site.missed(user) == missed
    assert site.lessons == lessons + 3


def test_a_lesson_that_fails_is_told_and_costs_no_mail(site: Retraining, user: str) -> None:
    site.deliver(user, mail())
    said = len(site.dovecot.log)
    socket = site.daemon.folder / "socket"
    away = socket.rename(socket.with_name("away"))
    site.move(user, "INBOX", "Junk")
    away.rename(socket)
    log = site.dovecot.log[said:]
    assert "dspamc: cannot connect to " in log
    assert "to execute to program" in log
    with site.client(user, "Junk") as client:
        assert last(client) == "1"
    site.move(user, "Junk", "INBOX")
    site.move(user, "INBOX", "Junk")
    assert site.missed(user) == 1


def test_the_doctor_finds_nothing_to_mend(site: Retraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a program that is not there."""
    monkeypatch.setenv("CONFIG_FILE", str(site.dovecot.folder / "dovecot.conf"))
    examined = Site.of(Config.load(site.daemon.config))
    (well,) = retraining_of(examined)
    assert (well.severity, well.what) == ("fine", "Dovecot teaches dspamd what users move")
    program = site.folder / "sieve-pipe/dspamc"
    away = program.rename(program.with_name("away"))
    (missing,) = retraining_of(examined)
    away.rename(program)
    assert (missing.severity, missing.what.startswith(f"Dovecot cannot run {program}")) == ("problem", True)


@pytest.fixture(scope="module")
def old_site() -> Iterator[Retraining]:
    with retraining("95-dspam-antispam.conf") as site:
        yield site


@pytest.mark.skipif(VERSION != "2.3", reason="dovecot-antispam exists for Dovecot 2.3 and earlier ones")
class TestAntispam:
    """The plugin dovecot-antispam with its backend for dspam."""

    @pytest.mark.parametrize("way", ["COPY", "MOVE"])
    def test_several_messages_in_each_move_and_the_last_one_counts(
        self, old_site: Retraining, user: str, way: str
    ) -> None:
        old_site.deliver(user, *map(mail, range(MANY)))
        for source, target, missed in (
            ("INBOX", "Junk", MANY),
            ("Junk", "INBOX", 0),
            ("INBOX", "Junk", MANY),
        ):
            old_site.move(user, source, target, messages="1:*", way=way)
            assert old_site.missed(user) == missed

    def test_a_failure_is_shown_to_the_user(self, old_site: Retraining, user: str) -> None:
        old_site.deliver(user, mail())
        old_site.forget()
        with old_site.client(user) as client:
            status, (text,) = client.uid("COPY", "1", "Junk")
            assert status == "NO"
            assert text.startswith(b"[CANNOT] Failed to call dspam ")
            assert client.select("Junk") == ("OK", [b"0"])
