"""The words of a command line become a Request, or the error of the original."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.engine.model import Label, Lesson, Mode, Source
from dspamd.errors import UsageError
from dspamd.request.command_line import SYNTAX, divide, is_address, join, parameters, split, version
from dspamd.request.request import Misconfigured, Request, parse


def test_nothing_asked() -> None:
    assert parse([]) == Request()


@pytest.mark.parametrize(
    ("words", "users", "arguments"),
    [
        ("--user a b --stdout", ("a", "b"), ()),
        ("--user a --user b", ("a", "b"), ()),
        ("--user a -d b", ("a",), ("-d", "b")),
        ("--user a -- b", ("a",), ("b",)),
        ("--stdout -- b", (), ("--", "b")),
        ("--user", (), ()),
        ("--user --stdout", (), ()),
        ("-d %u x", (), ("-d", "%u", "x")),
    ],
)
def test_where_a_list_ends(words: str, users: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    request = parse(words.split())
    assert (request.users, request.agent_arguments) == (users, arguments)


def test_an_empty_word_ends_a_list() -> None:
    request = parse(["--user", "a", "", "b"])
    assert (request.users, request.agent_arguments) == (("a",), ("", "b"))


def test_too_long_user_names_are_left_out() -> None:
    request = parse(["--user", "u" * 254, "u" * 255])
    assert request.users == ("u" * 254,)
    assert len(request.warnings) == 1


def test_lower_case() -> None:
    request = parse(["--user", "Bob", "--rcpt-to", "Bob@Example.Org"], lower_case=True)
    assert (request.users, request.recipients) == (("bob",), ("bob@example.org",))


@pytest.mark.parametrize(
    ("word", "lesson"),
    [
        ("--class=spam --source=error", Lesson(Label.SPAM, Source.ERROR)),
        ("--class=innocent --source=corpus", Lesson(Label.INNOCENT, Source.CORPUS)),
        ("--class=nonspam --source=inoculation", Lesson(Label.INNOCENT, Source.INOCULATION)),
        ("--class=junk --source=error", Lesson(Label.SPAM, Source.ERROR)),
        ("--addspam", Lesson(Label.SPAM, Source.ERROR)),
        ("--falsepositive", Lesson(Label.INNOCENT, Source.ERROR)),
        ("--mode=unlearn --class=spam", Lesson(Label.SPAM, Source.ERROR, unlearn=True)),
        ("--mode=toe", None),
    ],
)
def test_lesson(word: str, lesson: Lesson | None) -> None:
    assert parse(word.split(), class_aliases={"junk": Label.SPAM}).lesson == lesson


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("--mode=toe", Mode.TOE),
        ("--mode=notrain", Mode.NOTRAIN),
        ("--mode=unlearn --class=spam", Mode.TEFT),
        ("--mode=unlearn", Mode.NOTRAIN),
        ("--stdout", None),
    ],
)
def test_mode(word: str, mode: Mode | None) -> None:
    assert parse(word.split()).mode is mode


@pytest.mark.parametrize(
    ("word", "innocent", "spam", "summary", "stdout"),
    [
        ("--deliver=innocent", True, False, False, False),
        ("--deliver=nonspam,spam", True, True, False, False),
        ("--deliver=summary", False, False, True, False),
        ("--deliver=stdout", True, True, False, True),
        ("--deliver=spam --stdout", False, True, False, True),
        ("--deliver=spam --deliver=innocent", True, True, False, False),
        ("--deliver=", False, False, False, False),
        ("--stdout", False, False, False, True),
    ],
)
def test_delivery(word: str, innocent: bool, spam: bool, summary: bool, stdout: bool) -> None:
    request = parse(word.split())
    assert (request.deliver_innocent, request.deliver_spam) == (innocent, spam)
    assert (request.summary, request.stdout) == (summary, stdout)


@pytest.mark.parametrize(
    ("word", "features", "warned"),
    [
        ("--feature=noise,whitelist,tb=3", ("noise", "whitelist", "tb=3"), 0),
        ("--feature=no,wh", ("noise", "whitelist"), 0),
        ("--feature=", (), 0),
        ("--feature=tb=x", ("tb=0",), 0),
        ("--feature=tb=11", (), 1),
        ("--feature=tb=-1", (), 1),
        ("--feature=chained", (), 1),
        ("--stdout", None, 0),
    ],
)
def test_features(word: str, features: tuple[str, ...] | None, warned: int) -> None:
    request = parse([word])
    assert (request.features, len(request.warnings)) == (features, warned)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--class=foo"], "No such class 'foo'"),
        (["--source=foo"], "No such source 'foo'"),
        (["--deliver=innocent,foo"], "No such delivery option 'foo'"),
        (["--mode=TEFT"], "Invalid training mode 'TEFT' specified"),
        (["--user", "../bob"], "Illegal username ('../' or '..\\' not allowed in username)"),
        (["--rcpt-to", "no address"], "Invalid email address: no address"),
        (["--rcpt-to", "bob@localhost"], "Invalid email address: bob@localhost"),
        (["--rcpt-to", ".b@x.org"], "Invalid email address: .b@x.org"),
        (["--class=foo", "--source=bar"], "No such class 'foo'"),
        (["--mail-from=a@x.org\r\nRCPT TO:<z>"], "Invalid email address: control character in --mail-from"),
    ],
)
def test_errors(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value) == text
    assert not isinstance(caught.value, Misconfigured)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--classify --class=spam --source=error", "Classify mode may not specify a class"),
        ("--class=spam", "No source was specified for this class"),
        ("--source=error", "No class was specified for this source"),
        ("--source=folder", "No class was specified for this source"),
        (
            "--class=spam --source=folder --signature=6b0d",
            "--source=folder needs the message, not --signature",
        ),
    ],
)
def test_options_that_do_not_go_together(words: str, text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse(words.split())
    assert str(caught.value) == text


@pytest.mark.parametrize("address", ["b@x.org", '"a b"@x.org', "a.b+c@x-y.org", "ü@x.org", '"a>b".c@x.org'])
def test_recipients(address: str) -> None:
    assert parse(["--rcpt-to", address]).recipients == (address,)


ATOM = r"[^\x00-\x20\x7f()<>@,;:\\\".\[\]]+"
WORD = rf'(?:{ATOM}|"(?:[^"\\\r\n]|\\[^\r\n])*")'
ADDRESS = re.compile(rf"{WORD}(?:\.{WORD})*@{ATOM}(?:\.{ATOM})+")


@given(st.text('a.@"\\ \n<', max_size=9))
def test_addresses(text: str) -> None:
    assert is_address(text) is bool(ADDRESS.fullmatch(text))
    assert is_address(f"{text}@x.org") is bool(ADDRESS.fullmatch(f"{text}@x.org"))


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["--user=bob"], "'--user=bob' goes to the delivery agent; was --user meant?"),
        (["--delivr=spam"], "'--delivr=spam' goes to the delivery agent; was --deliver meant?"),
        (["--stdou"], "'--stdou' goes to the delivery agent; was --stdout meant?"),
        (["–d"], "'–d' starts with a typographic dash, not with '-'"),
        (
            ["--deliver=innocent,", "spam"],
            "--deliver=innocent, ends in a comma: what follows the blank is not in the list",
        ),
    ],
)
def test_warnings(words: list[str], warning: str) -> None:
    assert parse(words).warnings == (warning,)


def test_arguments_of_agents_are_not_warned_about() -> None:
    assert parse(["-d", "%u", "--bogus", "--"]).warnings == ()


def test_an_untrusted_caller_asks_for_himself() -> None:
    request = parse(["--user", "ann", "--stdout", "-x"], trusted=False, login="ann", uid=7)
    assert request == Request(users=("ann",), stdout=True, trusted=False)
    same = parse(["--rcpt-to", "ann"], trusted=False, login="ann", uid=7)
    assert same == Request(users=("ann",), trusted=False)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--user", "bob"],
            "Option --user requires special privileges when user does not match current user, "
            "e.g.. root or Trusted User [uid=7(ann)]",
        ),
        (
            ["--profile=x"],
            "Option --profile requires special privileges; e.g.. root or Trusted User [uid=7(ann)]",
        ),
    ],
)
def test_an_untrusted_caller_is_refused(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words, trusted=False, login="ann", uid=7)
    assert str(caught.value) == text


def test_programs_options_leave_no_trace() -> None:
    assert parse(["--client", "--daemon", "--nofork", "--debug", "--help", "--version"]) == Request()


def test_split_server_parameters() -> None:
    assert split("--deliver=innocent,spam  -d %u") == ["--deliver=innocent,spam", "-d", "%u"]
    assert split('-x "" y') == ["-x", "", "y"]
    assert split("") == []


def test_join_leaves_out_what_travels_as_rcpt() -> None:
    items = divide(["--user", "bob", "--mail-from=a@b", "--rcpt-to", "c@d.e", "--stdout", "-x", ""])
    assert join(items) == '--mail-from=a@b --stdout -x \\"\\" '


def test_join_refuses_line_ends() -> None:
    with pytest.raises(ValueError, match="line end"):
        join([("", "a\nb")])


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), max_size=9), max_size=9))
def test_words_survive_the_protocol(words: list[str]) -> None:
    words = [word for word in words if word not in ('""', "--user", "--rcpt-to")]
    items = [item for item in divide(words) if item[0] not in ("user", "rcpt-to")]
    assert divide(split(join(items).replace('\\"', '"'))) == items


def test_scripts_find_what_they_read_in_help_and_version() -> None:
    for values in ("toe|tum|teft|notrain|unlearn", "spam|innocent", "error|corpus|inoculation"):
        assert f"=[{values}]" in SYNTAX
    text = version(parameters("/var/dspam", "libhash_drv.so", "/etc/dspam/dspam.conf", "large"))
    assert "\nDSPAM Anti-Spam Suite 3.10.2 " in text
    assert "'--with-dspam-home=/var/dspam' '--sysconfdir=/etc/dspam'" in text
    assert "'--enable-large-scale'" in text
    assert "Configuration" not in version([])
