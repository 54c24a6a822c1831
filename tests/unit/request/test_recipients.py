"""The deliveries of a message: recipients, users, retraining addresses (protocols.md 6, cli.md 3.4)."""

from __future__ import annotations

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source
from dspamd.errors import UsageError
from dspamd.mail.message import Message
from dspamd.request.envelope import Recipient
from dspamd.request.recipients import addressed, deliveries, readdress, reports, requested, unnamed, user_of
from dspamd.request.request import Request

PLAIN = Message(b"To: bob@example.net\n\nbody\n")


def config(*lines: str) -> Config:
    return Config.from_text("\n".join(["Home /nowhere", *lines]))


def served(request: Request, *recipients: bytes, lines: tuple[str, ...] = ()) -> list[tuple[str, bytes]]:
    made = deliveries(config(*lines), request, [Recipient(each) for each in recipients])
    return [(delivery.user, delivery.recipient.address) for delivery in made]


def test_each_recipient_is_a_user() -> None:
    assert served(Request(), b"bob@x.org", b"Ann@x.org") == [
        ("bob@x.org", b"bob@x.org"),
        ("Ann@x.org", b"Ann@x.org"),
    ]


def test_the_same_recipient_twice_is_served_twice() -> None:
    assert len(served(Request(), b"bob@x.org", b"bob@x.org")) == 2


def test_a_fixed_user_serves_all_recipients() -> None:
    assert served(Request(users=("filter",)), b"a@x.org", b"b@x.org") == [
        ("filter", b"a@x.org"),
        ("filter", b"b@x.org"),
    ]


def test_recipients_pair_with_users_and_the_first_user_fills_up() -> None:
    request = Request(users=("one", "two"))
    assert served(request, b"a@x.org", b"b@x.org", b"c@x.org") == [
        ("one", b"a@x.org"),
        ("two", b"b@x.org"),
        ("one", b"c@x.org"),
    ]
    assert served(Request(users=("one", "two", "three")), b"a@x.org") == [("one", b"a@x.org")]


def test_without_recipients_the_users_are_served() -> None:
    assert served(Request(users=("bob", "ann"))) == [("bob", b"bob"), ("ann", b"ann")]


@pytest.mark.parametrize(
    ("lines", "address", "user"),
    [
        ((), "Bob+x@Example.Net", "Bob+x@Example.Net"),
        (("StripRcptDomain on",), "Bob+Detail@Example.Net", "Bob+Detail"),
        (("Broken case",), "Bob+x@Example.Net", "bob+x@example.net"),
        (("EnablePlusedDetail on",), "Bob+Detail@Example.Net", "Bob@Example.Net"),
        (("EnablePlusedDetail on", "PlusedCharacter -"), "bob-x-y@x.org", "bob@x.org"),
        (("EnablePlusedDetail on", "PlusedUserLowercase on"), "Bob+D@X.Org", "bob@x.org"),
        (("EnablePlusedDetail on",), "+lonely@x.org", "+lonely@x.org"),
        (("StripRcptDomain on",), "alice", "alice"),
        (("StripRcptDomain on",), '"odd@local"@x.org', '"odd@local"'),
    ],
)
def test_the_user_that_an_address_names(lines: tuple[str, ...], address: str, user: str) -> None:
    assert user_of(config(*lines), address) == user


PARSE = ("ParseToHeaders on", "ChangeModeOnParse on")
HEADER = (*PARSE, "RetrainAddress header")
SPAM = Lesson(Label.SPAM, Source.ERROR)


def planned(
    *lines: str, to: bytes = b"", recipients: tuple[bytes, ...], request: Request | None = None
) -> list[tuple[str, str, Label | None]]:
    """User, recipient and lesson of each delivery that a message makes."""
    message = Message(b"To: " + to + b"\n\nbody\n")
    settings = config(*lines)
    request = readdress(settings, message, request or Request())
    made = deliveries(settings, request, [Recipient(each) for each in recipients])
    return [
        (delivery.user, delivery.recipient.text, delivery.request.lesson and delivery.request.lesson.label)
        for delivery in reports(settings, message, made)
    ]


@pytest.mark.parametrize(
    "to",
    [
        b'" spam-free newsletter" <bob@x.org>',
        b"Team spam-busters <bob@x.org>",
        b"spam-busters@other.example, bob@x.org",
        b"<notspam-l@lists.example>",
        b"spam-ann@x.org, bob@x.org",
    ],
)
def test_mail_for_others_is_mail_whatever_to_says(to: bytes) -> None:
    lines = (*PARSE, "ChangeUserOnParse full")
    assert planned(*lines, to=to, recipients=(b"bob@x.org",)) == [("bob@x.org", "bob@x.org", None)]


def test_each_recipient_stands_for_himself() -> None:
    lines = (*PARSE, "ChangeUserOnParse full")
    both = (b"spam-bob@x.org", b"carol@x.org", b"notspam-dave@x.org")
    assert planned(*lines, to=b"carol@x.org", recipients=both) == [
        ("bob@x.org", "spam-bob@x.org", Label.SPAM),
        ("carol@x.org", "carol@x.org", None),
        ("dave@x.org", "notspam-dave@x.org", Label.INNOCENT),
    ]


@pytest.mark.parametrize(
    ("lines", "user"),
    [
        (("ChangeUserOnParse user",), "bob"),
        (("ChangeUserOnParse full",), "bob@x.org"),
        (("ChangeUserOnParse off",), "bob@x.org"),
        (("ChangeUserOnParse off", "StripRcptDomain on"), "bob"),
        (("ChangeUserOnParse full", "EnablePlusedDetail on"), "bob@x.org"),
    ],
)
def test_whose_correction_it_is(lines: tuple[str, ...], user: str) -> None:
    recipient = b"spam-bob+a@x.org" if "EnablePlusedDetail on" in lines else b"spam-bob@x.org"
    ((found, _, label),) = planned(*PARSE, *lines, recipients=(recipient,))
    assert (found, label) == (user, Label.SPAM)


CASES = [
    (("Broken case",), "bob@x.org"),
    (("EnablePlusedDetail on", "PlusedUserLowercase on"), "bob@x.org"),
    ((), "BOB@X.org"),
]


@pytest.mark.parametrize(("lines", "user"), CASES)
@pytest.mark.parametrize("parse", ["off", "user", "full"])
def test_the_user_of_a_report_has_the_case_of_the_user_of_other_mail(
    lines: tuple[str, ...], user: str, parse: str
) -> None:
    """Wherever the address stands."""
    settings = config(*PARSE, *lines, f"ChangeUserOnParse {parse}")
    mail = deliveries(settings, Request(), addressed(settings, [Recipient(b"BOB@X.org")]))
    assert [each.user for each in mail] == [user]
    expected = user.partition("@")[0] if parse == "user" else user

    (report,) = reports(
        settings,
        PLAIN,
        deliveries(settings, Request(), addressed(settings, [Recipient(b"Spam-BOB@X.org")])),
    )
    assert (report.user, report.request.lesson) == (expected, SPAM)

    alias = Recipient(b"BOB@X.org", (b"ORCPT=rfc822;spam-boB@x.org",))
    (report,) = reports(settings, PLAIN, deliveries(settings, Request(), addressed(settings, [alias])))
    assert (report.user, report.request.lesson) == (expected, SPAM)

    if parse == "off":
        return  # the rest is for a mailbox of all reports
    settings = config(*PARSE, *lines, f"ChangeUserOnParse {parse}", "RetrainAddress original")
    message = Message(b"X-Original-To: spam-BOB@X.org\n\nfwd\n")
    (report,) = reports(settings, message, deliveries(settings, Request(), [Recipient(b"reports@x.org")]))
    assert (report.user, report.request.lesson) == (expected, SPAM)

    settings = config(*PARSE, *lines, f"ChangeUserOnParse {parse}", "RetrainAddress header")
    message = Message(b"To: spam-BOB@X.org\n\nfwd\n")
    (delivery,) = deliveries(settings, readdress(settings, message, Request()), [])
    assert (delivery.user, delivery.request.lesson) == (expected, SPAM)


def test_an_address_of_another_domain_is_none_of_ours() -> None:
    lines = (*PARSE, "ChangeUserOnParse full", "RetrainDomain X.org y.org")
    for recipient, label in (
        (b"spam-bob@x.ORG", Label.SPAM),
        (b"notspam-ann@y.org", Label.INNOCENT),
        (b"spam-busters@z.example", None),
        (b"spam-bob", Label.SPAM),
    ):
        ((_, delivered, found),) = planned(*lines, recipients=(recipient,))
        assert (delivered, found) == (recipient.decode(), label)
    message = Message(b"To: spam-busters@z.example\n\nfwd\n")
    header = config(*lines, "RetrainAddress header")
    assert readdress(header, message, Request()) == Request()
    assert unnamed(header, message) == ()


def test_a_user_named_by_the_configuration_stays_unless_the_address_is_asked() -> None:
    fixed = Request(users=("filter",))
    assert planned(*PARSE, recipients=(b"spam-bob@x.org",), request=fixed)[0][0] == "filter"
    lines = (*PARSE, "ChangeUserOnParse user")
    assert planned(*lines, recipients=(b"spam-bob@x.org",), request=fixed)[0][0] == "bob"


@pytest.mark.parametrize("lines", [PARSE, HEADER])
def test_who_asks_for_a_lesson_needs_no_leave_and_classifying_stays(lines: tuple[str, ...]) -> None:
    settings, message = config(*lines), Message(b"To: spam-bob@x.org\n\nfwd\n")
    for asked, lesson, report in (
        (Request(), SPAM, True),
        (Request(lesson=Lesson(Label.INNOCENT, Source.ERROR)), SPAM, False),
        (Request(classify=True), None, False),
    ):
        made = deliveries(settings, readdress(settings, message, asked), [Recipient(b"spam-bob@x.org")])
        (delivery,) = reports(settings, message, made)
        assert (delivery.request.lesson, delivery.request.report is not None) == (lesson, report)


def test_the_recipient_before_the_alias_counts_where_the_mail_server_says_it() -> None:
    message = Message(b"X-Original-To: spam-bob@x.org\nX-Original-To: spam-eve@x.org\nTo: a@b\n\nfwd\n")
    for lines, lesson in ((PARSE, None), ((*PARSE, "RetrainAddress original"), SPAM)):
        settings = config(*lines, "ChangeUserOnParse full")
        (delivery,) = reports(
            settings, message, deliveries(settings, Request(), [Recipient(b"reports@x.org")])
        )
        assert (delivery.user, delivery.request.lesson) == (
            "bob@x.org" if lesson else "reports@x.org",
            lesson,
        )
    two = deliveries(settings, Request(), [Recipient(b"reports@x.org"), Recipient(b"carol@x.org")])
    assert [delivery.request.lesson for delivery in reports(settings, message, two)] == [None, None]


def test_a_stranger_corrects_by_no_recipient() -> None:
    stranger = Request(users=("spam-bob",), trusted=False)
    assert planned(*PARSE, recipients=(), request=stranger) == [("spam-bob", "spam-bob", None)]


def test_a_correction_for_nobody_is_for_whom_to_names() -> None:
    message = Message(b"To: Spam Reports <spam-bob@x.org>\n\nfwd\n")
    assert unnamed(config(*PARSE, "ChangeUserOnParse user"), message) == ("spam-bob@x.org",)
    assert unnamed(config(*PARSE, "ChangeUserOnParse user"), PLAIN) == ()
    assert unnamed(config(*PARSE), message) == ()
    assert unnamed(config("ChangeUserOnParse user"), message) == ()


def test_a_retraining_address_in_to_corrects_for_its_user() -> None:
    message = Message(b"From: bob@x.org\nTo: Spam Reports <spam-bob@x.org>\n\nfwd\n")
    request = readdress(config(*HEADER, "ChangeUserOnParse user"), message, Request())
    assert request.lesson == SPAM
    assert request.users == ("bob",)


def test_a_retraining_address_in_to_may_name_the_full_user() -> None:
    message = Message(b"To: notspam-bob@x.org\n\nfwd\n")
    request = readdress(config(*HEADER, "ChangeUserOnParse full"), message, Request())
    assert request.lesson == Lesson(Label.INNOCENT, Source.ERROR)
    assert request.users == ("bob@x.org",)


def test_a_retraining_address_in_to_may_leave_the_user_or_the_mode() -> None:
    message = Message(b"To: spam-bob@x.org\n\nfwd\n")
    assert readdress(config(*HEADER), message, Request()).users == ()
    lines = ("ParseToHeaders on", "ChangeUserOnParse on", "RetrainAddress header")
    only_user = readdress(config(*lines), message, Request())
    assert (only_user.lesson, only_user.users) == (None, ("bob",))


def test_addresses_are_not_parsed_unless_configured() -> None:
    message = Message(b"To: spam-bob@x.org\n\nfwd\n")
    for lines in (("ChangeModeOnParse on", "RetrainAddress header"), PARSE):
        assert readdress(config(*lines), message, Request()) == Request()
    assert readdress(config(*HEADER), PLAIN, Request()) == Request()
    assert planned("ChangeModeOnParse on", recipients=(b"spam-b@x.org",))[0][2] is None


def test_mail_released_from_a_shared_quarantine_names_its_owner() -> None:
    message = Message(b"X-DSPAM-User: ann\nSubject: x\n\nbody\n")
    correction = Request(users=("group",), lesson=Lesson(Label.INNOCENT, Source.ERROR))
    assert readdress(config(), message, correction).users == ("ann",)
    assert readdress(config(), message, Request(users=("group",))).users == ("group",)


def test_aliases_of_classes_come_from_the_configuration() -> None:
    words = ["--user", "bob", "--class=junk", "--source=error"]
    assert requested(config("ClassAliasSpam junk"), words).lesson == Lesson(Label.SPAM, Source.ERROR)
    with pytest.raises(UsageError, match="No such class 'junk'"):
        requested(config(), words)


def test_the_detail_of_a_named_user_is_for_the_next_hop_only() -> None:
    words = ["--user", "bob+x", "Ann+Y@Example.net"]
    plused = config("EnablePlusedDetail on", "PlusedUserLowercase on")
    found = deliveries(plused, requested(plused, words), [])
    assert [(delivery.user, delivery.recipient.address) for delivery in found] == [
        ("bob", b"bob+x"),
        ("ann@example.net", b"Ann+Y@Example.net"),
    ]
    (given,) = deliveries(plused, requested(plused, words[:2]), [Recipient(b"bob@example.net")])
    assert (given.user, given.recipient.address) == ("bob", b"bob@example.net")
    assert [delivery.user for delivery in deliveries(config(), requested(config(), words), [])] == words[1:]


def test_a_stranger_keeps_the_name_that_he_has() -> None:
    plused = config("EnablePlusedDetail on")
    stranger = Request(users=("bob+x",), trusted=False)
    assert [delivery.user for delivery in deliveries(plused, stranger, [])] == ["bob+x"]


def test_small_letters_hold_for_the_next_hop_too() -> None:
    given = [Recipient(b"Bob@Example.Net", (b"ORCPT=rfc822;Bob@Example.Net",))]
    assert addressed(config(), given) == given
    lowered = Recipient(b"bob@example.net", given[0].parameters)
    assert addressed(config("Broken case"), given) == [lowered]


def test_a_message_does_not_make_a_stranger_somebody_else() -> None:
    lines = (*HEADER, "ChangeUserOnParse user")
    stranger = Request(users=("eve",), trusted=False)
    report = Message(b"To: spam-bob@example.net\n\nbody\n")
    corrected = readdress(config(*lines), report, stranger)
    assert (corrected.users, corrected.lesson) == (("eve",), Lesson(Label.SPAM, Source.ERROR))
    assert corrected.report is None
    released = Message(b"X-DSPAM-User: bob\n\nbody\n")
    lesson = Lesson(Label.INNOCENT, Source.ERROR)
    for trusted, user in ((True, "bob"), (False, "eve")):
        request = Request(users=("eve",), lesson=lesson, trusted=trusted)
        assert readdress(config(*lines), released, request).users == (user,)
