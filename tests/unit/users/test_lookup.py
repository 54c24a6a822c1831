"""Look-ups by a program of the site: the answers of golden/misc.jsonl, and all failures."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dspamd.config.config import Config
from dspamd.errors import ConfigError, Failure, PermFail, TempFail
from dspamd.users import cache
from dspamd.users.lookup import Lookup
from dspamd.users.lookup_program import Program
from dspamd.users.lookup_source import AT_ONCE, template
from tests.golden.data import rows

RECORDED = """\
#!/bin/sh
printf 'ARGS:%s\\n' "$*" >> {folder}/calls
case "$1" in
    alias@*) echo bob@example.net ;;
    bob*) echo "$1" ;;
esac
"""


def program(folder: Path, text: str) -> str:
    """A script below `folder`; its path."""
    file = folder / "lookup"
    file.write_text(text.format(folder=folder))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def shell(folder: Path, text: str) -> Program:
    return Program(
        f"{program(folder, '#!/bin/sh' + chr(10) + text.replace('{', '{{').replace('}', '}}'))} %u"
    )


class Answers:
    """A source with fixed answers, which counts the questions."""

    def __init__(self, **users: str | Failure | None) -> None:
        self.users, self.asked = users, 0
        self.open = asyncio.Event()
        self.open.set()
        self.crowded = asyncio.Event()
        self.waiting = self.most = 0

    async def find(self, name: str) -> str | None:
        self.asked += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.waiting == AT_ONCE:
            self.crowded.set()
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        answer = self.users.get(name)
        if isinstance(answer, Failure):
            raise answer
        return answer


# --- what the original did -----------------------------------------------------------------

LOOKUPS = [row for row in rows("misc.jsonl") if row.get("id", "").startswith("extlookup-")]


@pytest.mark.parametrize("row", LOOKUPS, ids=lambda row: row["id"])
async def test_as_recorded(row: dict[str, Any], tmp_path: Path) -> None:
    config = Config.from_text(
        f"Home {tmp_path}\nExtLookup on\nExtLookupDriver program\n"
        f'ExtLookupServer "{program(tmp_path, RECORDED)} %u"\nExtLookupMode {row["config"]["ExtLookupMode"]}'
    )
    lookup = Lookup.from_config(config)
    assert lookup is not None
    user = row["argv"][2]
    if row["exit"]:
        with pytest.raises(PermFail) as caught:
            await lookup.user(user)
        assert str(caught.value.reply) == f"550 5.1.1 Invalid user '{user}'"
        assert f"Invalid user '{user}'" in row["syslog"][0]
        assert caught.value.exit_status == os.EX_NOUSER
    else:
        shown = row["stdout"].removeprefix("X-DSPAM-Result: ").partition(";")[0]
        assert await lookup.user(user) == shown
    assert (tmp_path / "calls").read_text() == f"ARGS:{user}\n"


# --- the lookup ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "found", "missing"),
    [("verify", "bob", None), ("map", "robert", "carol"), ("strict", "robert", None)],
)
async def test_modes(mode: str, found: str, missing: str | None) -> None:
    lookup = Lookup(Answers(bob="robert"), mode, 1)
    assert await lookup.user("bob") == found
    if missing:
        assert await lookup.user("carol") == missing
    else:
        with pytest.raises(PermFail, match="Invalid user 'carol'"):
            await lookup.user("carol")


async def test_answers_are_remembered_for_a_while() -> None:
    now = 0.0
    source = Answers(bob="robert")
    lookup = Lookup(source, "strict", 1, lambda: now)
    for _ in range(3):
        assert await lookup.user("bob") == "robert"
        with pytest.raises(PermFail):
            await lookup.user("carol")
    assert source.asked == 2
    source.users = {"carol": "caroline"}
    now = cache.SECONDS
    assert await lookup.user("carol") == "caroline"


async def test_trouble_is_not_remembered() -> None:
    source = Answers(bob=TempFail("the directory is down"))
    lookup = Lookup(source, "map", 1)
    with pytest.raises(TempFail, match="down"):
        await lookup.user("bob")
    source.users = {"bob": "robert"}
    assert await lookup.user("bob") == "robert"


async def test_no_answer_in_time_lets_mail_wait() -> None:
    source = Answers(bob="robert")
    source.open.clear()
    with pytest.raises(TempFail, match="no answer in time"):
        await Lookup(source, "map", 0.01).user("bob")
    assert source.waiting == 0


async def test_no_more_questions_at_once_than_a_source_bears() -> None:
    source = Answers(**{f"u{number}": "x" for number in range(3 * AT_ONCE)})
    source.open.clear()
    lookup = Lookup(source, "strict", 10)
    answers = [asyncio.ensure_future(lookup.user(user)) for user in source.users]
    await source.crowded.wait()
    source.open.set()
    assert await asyncio.gather(*answers) == ["x"] * len(source.users)
    assert source.most == AT_ONCE


@pytest.mark.parametrize("answer", ["a\nb", "\x07", "a\x00"])
async def test_an_answer_that_is_no_name_is_none(answer: str) -> None:
    with pytest.raises(TempFail, match="is no name"):
        await Lookup(Answers(bob=answer), "strict", 1).user("bob")


# --- the program ---------------------------------------------------------------------------


@pytest.fixture(params=["stock", "uvloop"])
def loops(request: pytest.FixtureRequest) -> Any:
    return asyncio.new_event_loop if request.param == "stock" else uvloop.new_event_loop


def asked(source: Program, name: str, loops: Any = None) -> str | None:
    with asyncio.Runner(loop_factory=loops) as runner:
        return runner.run(source.find(name))


def test_the_first_line_counts_and_the_status_does_not(tmp_path: Path, loops: Any) -> None:
    assert asked(shell(tmp_path, "echo robert; echo more; exit 3\n"), "bob", loops) == "robert"
    assert asked(shell(tmp_path, "exit 1\n"), "bob", loops) is None
    assert asked(shell(tmp_path, "echo; echo late\n"), "bob", loops) is None
    assert asked(shell(tmp_path, "printf 'r\\303\\266b\\377\\r\\n'\n"), "bob", loops) == "röb\udcff"


def test_users_are_no_shell_words(tmp_path: Path, loops: Any) -> None:
    source = shell(tmp_path, 'printf "%s" "$*"\n')
    for user in ("a b;$(id)", "bob\udce4@example.org", "%u"):
        assert asked(source, user, loops) == user


def test_the_environment_is_empty(tmp_path: Path, loops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPAM_SECRET", "secret")
    assert asked(Program("/usr/bin/env %%u"), "bob", loops) is None  # %u is no program
    assert asked(Program("/usr/bin/env"), "bob", loops) is None


@pytest.mark.parametrize("ending", ["kill -9 $$\n", "exit 75\n"])
def test_a_program_that_died_has_said_nothing(ending: str, tmp_path: Path, loops: Any) -> None:
    with pytest.raises(TempFail, match="ended with status"):
        asked(shell(tmp_path, ending), "bob", loops)


def test_a_long_answer_is_none(tmp_path: Path, loops: Any) -> None:
    with pytest.raises(TempFail, match="too long"):
        asked(shell(tmp_path, "head -c 100000 /dev/zero | tr '\\0' a\n"), "bob", loops)


@pytest.mark.parametrize(("front", "found"), [("", None), ("--", "-e")])
def test_a_user_never_becomes_an_option(front: str, found: str | None, tmp_path: Path, loops: Any) -> None:
    asked_for = program(tmp_path, '#!/bin/sh\necho "$2"\n')
    assert asked(Program(f"{asked_for} {front} %u"), "-e", loops) == found


@pytest.mark.parametrize("command", ["/no/such/program %u", "/etc/passwd %u"])
def test_a_program_that_does_not_start(command: str) -> None:
    with pytest.raises(TempFail, match="Unable to look up user"):
        asked(Program(command), "bob")


def test_a_name_that_cannot_be_a_word() -> None:
    with pytest.raises(TempFail, match="Unable to look up user"):
        asked(Program("/bin/echo %u"), "a\0b")


async def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    source = shell(tmp_path, f"exec 3> {fifo}; sleep 1000 & wait\n")
    with pytest.raises(TempFail, match="no answer in time"):
        await Lookup(source, "verify", 0.5).user("bob")
    # Both held the writing end, so the end of the file shows that both have ended.
    os.set_blocking(reader, True)
    assert await asyncio.wait_for(asyncio.to_thread(os.read, reader, 1), 10) == b""
    os.close(reader)


# --- settings ------------------------------------------------------------------------------


def test_marks() -> None:
    assert template("(|(mail=%u)(uid=%u)(x=100%%))")("a%b") == "(|(mail=a%b)(uid=a%b)(x=100%))"
    for text in ("%x", "a%", "%U"):
        with pytest.raises(ValueError, match="means nothing"):
            template(text)


LDAP = ("ExtLookupDriver ldap", "ExtLookupServer localhost")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((), "needs ExtLookupDriver"),
        (("ExtLookupDriver program",), "needs ExtLookupServer"),
        (("ExtLookupDriver program", 'ExtLookupServer "/bin/x %n"'), "%n means nothing"),
        ((*LDAP, "ExtLookupQuery (uid=bob)"), "needs ExtLookupQuery"),
        ((*LDAP, 'ExtLookupQuery "(uid=%u%d)"'), "%d means nothing"),
        ((*LDAP, "ExtLookupQuery (uid=%u)", "ExtLookupMode map"), "needs ExtLookupLDAPAttribute"),
        (
            (*LDAP, "ExtLookupQuery (uid=%u)", "ExtLookupCrypto tls", "ExtLookupLDAPVersion 2"),
            "needs ExtLookupLDAPVersion 3",
        ),
    ],
)
def test_settings_that_cannot_be_used(lines: Sequence[str], problem: str) -> None:
    config = Config.from_text("\n".join(("Home /x", "ExtLookup on", *lines)))
    with pytest.raises(ConfigError, match=problem):
        Lookup.from_config(config)


def test_no_lookup_is_the_default() -> None:
    assert Lookup.from_config(Config.from_text("Home /x")) is None
