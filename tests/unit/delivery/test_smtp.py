"""Hand-over to a next hop that is kind, slow, refusing, broken, or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dspamd.delivery.connection import Deadlines
from dspamd.delivery.smtp import SmtpDelivery
from dspamd.errors import Failure, PermFail, Reply, TempFail
from dspamd.filter.outlet import Handover
from dspamd.telemetry.metrics import Metrics
from tests.model.transparency import all_mixes, sent
from tests.support.sink import ANSWERS, CLOSE, HANG, Script, Sink, always, first

MESSAGE = b"From: a@example.org\r\nSubject: hi\r\n\r\nbody\r\n"
HANDOVER = Handover(b"a@example.org", b"bob@example.net", MESSAGE)
SHORT = Deadlines(connect=0.2, command=0.2, reply=0.2)
QUEUED = Reply(250, "2.0.0", "queued")
PLAIN = b"250 sink.example\r\n"  # an answer to EHLO that offers nothing


@asynccontextmanager
async def delivering(sink: Sink, path: Path | None = None, **options: Any) -> AsyncIterator[SmtpDelivery]:
    """A delivery to `sink`, which is started for it."""
    await sink.start(path)
    delivery = SmtpDelivery({"": str(path or "127.0.0.1")}, {"": sink.port}, **options)
    try:
        yield delivery
    finally:
        await delivery.close()
        await sink.stop()


async def failure_of(delivery: SmtpDelivery, handover: Handover = HANDOVER) -> Failure:
    with pytest.raises(Failure) as error:
        await delivery.deliver(handover)
    return error.value


def handover(content: bytes = MESSAGE, **fields: Any) -> Handover:
    return Handover(
        **{"sender": b"a@example.org", "recipient": b"bob@example.net", "content": content, **fields}
    )


# Arriving mail.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"Subject: x\r\n\r\n",
        b".\r\n",
        b"a\r\n.\r\n..\r\n...\r\n.b\r\n",
        b"Subject: \xe4\r\n\r\n\xff\xfe \0 \r\n",
        b"x" * 1_000_000 + b"\r\n",
        b".\r\n" * 200_000,
        (b"x" * 70 + b"\r\n") * 280_000,
    ],
    ids=["empty", "empty-line", "no-body", "dot", "dots", "8bit-nul", "long-line", "many-dots", "20MB"],
)
async def test_content_arrives_bit_for_bit(content: bytes) -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        assert await delivery.deliver(handover(content)) == QUEUED
    assert sink.messages == [content]


async def test_every_mix_of_line_ends_and_dots_is_sent_as_the_standard_says() -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(all_mixes(7)))
    assert sink.wire == [sent(all_mixes(7)) + b".\r\n"]


@pytest.mark.parametrize(
    ("content", "arrives"),
    [
        (b"no final line end", b"no final line end\r\n"),
        (b"a\n.\nMAIL FROM:<evil@example.org>\n", b"a\r\n.\r\nMAIL FROM:<evil@example.org>\r\n"),
        (b"a\r.\rMAIL FROM:<evil@example.org>\r\n", b"a . MAIL FROM:<evil@example.org>\r\n"),
    ],
)
async def test_no_message_hides_another(content: bytes, arrives: bytes) -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(content))
    assert sink.messages == [arrives]


@pytest.mark.parametrize(
    "address",
    [
        b"",
        b'"a b"@x',
        b'"a>b"@x',
        b"a,b@c.d",
        b'a"b@c.d',
        b"x@y (c)",
        b"J\xc3\xbc@x",
        b"\xff@x",
        b"no address",
    ],
)
async def test_addresses_leave_as_they_came(address: bytes) -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(sender=address, recipient=address or b"bob"))
    mail, rcpt, _ = sink.lines[1:4]
    assert mail == b"MAIL FROM:<%s> SIZE=%d" % (address, len(MESSAGE))
    assert rcpt == b"RCPT TO:<%s>" % (address or b"bob")


@pytest.mark.parametrize("field", ["sender", "recipient"])
async def test_an_address_with_a_line_end_goes_nowhere(field: str) -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        failure = await failure_of(delivery, handover(**{field: b"a@b>\r\nRCPT TO:<evil@x"}))
        assert isinstance(failure, PermFail)
        assert failure.reply.enhanced == "5.1.3"
        await delivery.deliver(HANDOVER)
    assert sink.connections == 1
    assert sink.messages == [MESSAGE]


async def test_parameters_leave_if_their_extension_is_offered() -> None:
    sink = Sink()
    parameters = (b"SIZE=1", b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS", b"ENVID=Ab", b"AUTH=<>", b"OWN=1")
    dsn = (b"NOTIFY=NEVER", b"ORCPT=rfc822;Bob@Example.Net")
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(mail_parameters=parameters, rcpt_parameters=dsn))
    size = b"SIZE=%d" % len(MESSAGE)
    assert (
        sink.lines[1] == b"MAIL FROM:<a@example.org> " + size + b" BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Ab"
    )
    assert sink.lines[2] == b"RCPT TO:<bob@example.net> NOTIFY=NEVER ORCPT=rfc822;Bob@Example.Net"


@pytest.mark.parametrize("body", [b"\xff\xfe\r\n", b"plain\r\n"])
async def test_without_extensions_the_message_leaves_as_it_is(body: bytes) -> None:
    sink = Sink({b"EHLO": always(PLAIN)})
    parameters = (b"SIZE=1", b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS")
    async with delivering(sink) as delivery:
        content = b"Subject: x\r\n\r\n" + body
        await delivery.deliver(
            handover(content, mail_parameters=parameters, rcpt_parameters=(b"NOTIFY=NEVER",))
        )
    assert sink.lines[1:4] == [b"MAIL FROM:<a@example.org>", b"RCPT TO:<bob@example.net>", b"DATA"]
    assert sink.messages == [content]


@pytest.mark.parametrize("field", ["sender", "recipient"])
async def test_an_internationalized_address_does_not_pass_a_next_hop_without_smtputf8(field: str) -> None:
    sink = Sink({b"EHLO": always(PLAIN)})
    async with delivering(sink) as delivery:
        mail = handover(mail_parameters=(b"SMTPUTF8",), **{field: b"J\xc3\xbc@x"})
        failure = await failure_of(delivery, mail)
    assert isinstance(failure, PermFail)
    assert (failure.reply.code, failure.reply.enhanced) == (550, "5.6.7")


@pytest.mark.parametrize(
    ("content", "said", "leaves"),
    [
        (b"Subject: x\r\n\r\nplain\r\n", (), b""),
        (b"Subject: J\xc3\xbc\r\n\r\n", (), b" BODY=8BITMIME"),
        (b"Subject: J\xc3\xbc\r\n", (b"body=7bit",), b" BODY=8BITMIME"),
        (b"Subject: x\r\n\r\nJ\xc3\xbc\r\n", (b"BODY=8BITMIME",), b" BODY=8BITMIME"),
    ],
    ids=["ascii", "header", "header-7bit", "body"],
)
@pytest.mark.parametrize("offered", [b"8BITMIME", b"SIZE"])
async def test_internationalized_mail_with_plain_addresses_passes_any_next_hop(
    content: bytes, said: tuple[bytes, ...], leaves: bytes, offered: bytes
) -> None:
    sink = Sink({b"EHLO": always(b"250-x\r\n250 " + offered + b"\r\n")})
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(content, mail_parameters=(b"smtputf8", *said)))
    size = b" SIZE=%d" % len(content)
    assert sink.lines[1] == b"MAIL FROM:<a@example.org>" + (leaves if offered == b"8BITMIME" else size)
    assert sink.messages == [content]


async def test_a_parameter_in_utf8_stays_behind_where_nobody_could_read_it() -> None:
    sink = Sink({b"EHLO": always(b"250-x\r\n250 DSN\r\n")})
    dsn = (b"NOTIFY=NEVER", b"ORCPT=utf-8;J\xc3\xbc@x")
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(rcpt_parameters=dsn))
    assert sink.lines[2] == b"RCPT TO:<bob@example.net> NOTIFY=NEVER"


@pytest.mark.parametrize("pipelining", [True, False])
async def test_xforward_tells_what_the_next_hop_wants_to_know(pipelining: bool) -> None:
    keywords = b"250-PIPELINING\r\n" if pipelining else b""
    sink = Sink({b"EHLO": always(b"250-x\r\n" + keywords + b"250 XFORWARD NAME ADDR\r\n")})
    xforward = {"NAME": "spike", "ADDR": "1.2.3.4", "IDENT": "4abc"}
    async with delivering(sink) as delivery:
        await delivery.deliver(handover(xforward=xforward))
    assert sink.lines[1:3] == [b"XFORWARD NAME=spike", b"XFORWARD ADDR=1.2.3.4"]
    assert sink.messages == [MESSAGE]


# Where it goes.


async def test_lmtp_says_lhlo() -> None:
    sink = Sink()
    async with delivering(sink, lmtp=True, ident="dspam.example.org") as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.lines[0] == b"LHLO dspam.example.org"


async def test_unix_sockets(tmp_path: Path) -> None:
    sink = Sink()
    async with delivering(sink, tmp_path / "lmtp", lmtp=True) as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("::1", "::1")])
async def test_names_and_ipv6(host: str, bound: str) -> None:
    sink = Sink()
    await sink.start(host=bound)
    delivery = SmtpDelivery({"": host}, {"": sink.port})
    assert await delivery.deliver(HANDOVER) == QUEUED
    await delivery.close()
    await sink.stop()


async def test_a_domain_may_have_a_host_or_a_port_of_its_own() -> None:
    general, special = Sink(), Sink()
    await general.start()
    await special.start()
    ports = {"": general.port, "special.example": special.port}
    delivery = SmtpDelivery({"": "127.0.0.1", "nowhere.example": "127.0.0.1"}, ports)
    await delivery.deliver(handover(recipient=b"a@Special.Example"))
    await delivery.deliver(handover(recipient=b"b@other.example"))
    await delivery.deliver(handover(recipient=b"c@nowhere.example"))
    await delivery.deliver(handover(recipient=b"d"))
    assert (len(special.messages), len(general.messages)) == (1, 3)
    await delivery.close()
    await general.stop()
    await special.stop()


async def test_no_host_at_all_is_no_reason_to_lose_mail() -> None:
    assert isinstance(await failure_of(SmtpDelivery({}, {})), TempFail)


@pytest.mark.parametrize("refusal", [b"502 5.5.1 what?\r\n", b"500 what?\r\n"])
async def test_helo_for_those_who_do_not_know_ehlo(refusal: bytes) -> None:
    sink = Sink({b"EHLO": always(refusal)})
    async with delivering(sink, ident="dspam.example.org") as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.lines[:3] == [
        b"EHLO dspam.example.org",
        b"HELO dspam.example.org",
        b"MAIL FROM:<a@example.org>",
    ]


# Replies of the next hop.


@pytest.mark.parametrize("extensions", [ANSWERS[b"EHLO"], PLAIN], ids=["pipelining", "in-turn"])
@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize(
    ("answer", "kind", "reply"),
    [
        (b"450 4.2.0 later\r\n", TempFail, Reply(450, "4.2.0", "Deferred: 450 4.2.0 later")),
        (
            b"452-4.2.2 mailbox\r\n452 4.2.2 full\r\n",
            TempFail,
            Reply(450, "4.2.2", "Deferred: 452 4.2.2 mailbox full"),
        ),
        (b"421 4.3.2 closing\r\n", TempFail, Reply(450, "4.3.2", "Deferred: 421 4.3.2 closing")),
        (b"450\r\n", TempFail, Reply(450, "4.3.0", "Deferred: 450")),
        (b"550 5.1.1 unknown\r\n", PermFail, Reply(550, "5.1.1", "Fatal: 550 5.1.1 unknown")),
        (b"550 5.1.1\r\n", PermFail, Reply(550, "5.1.1", "Fatal: 550 5.1.1")),
        (
            b"550-hello\r\n550-5.7.26 no DKIM\r\n550 5.7.26 see https://x\r\n",
            PermFail,
            Reply(550, "5.7.26", "Fatal: 550 5.7.26 hello no DKIM see https://x"),
        ),
        (b"550 4.2.2 full\r\n", PermFail, Reply(550, "5.3.0", "Fatal: 550 4.2.2 full")),
        (b"550 5.1.1.1 host\r\n", PermFail, Reply(550, "5.3.0", "Fatal: 550 5.1.1.1 host")),
        (b"554 no\r\n", PermFail, Reply(550, "5.3.0", "Fatal: 554 no")),
        (b"554 \x1b[1mn\xf6\r\n", PermFail, Reply(550, "5.3.0", "Fatal: 554 ?[1mn?")),
        (
            b"554-nothing\r\n" * 99 + b"554 more\r\n",
            PermFail,
            Reply(550, "5.3.0", "Fatal: 554 " + " ".join(["nothing"] * 50)),
        ),
    ],
    ids=[
        "450",
        "452",
        "421",
        "bare",
        "550",
        "no-text",
        "lines",
        "other-class",
        "address",
        "554",
        "unprintable",
        "endless",
    ],
)
async def test_a_refusal_is_told_as_it_is(
    extensions: bytes, verb: bytes, answer: bytes, kind: type[Failure], reply: Reply
) -> None:
    sink = Sink({b"EHLO": always(extensions), verb: first(answer, ANSWERS[verb])})
    async with delivering(sink) as delivery:
        failure = await failure_of(delivery)
        assert type(failure) is kind
        assert failure.reply == reply
        # The next message goes through, over the same connection if that is in order.
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.messages[-1] == MESSAGE


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"250 2.6.0 <m@x> Queued\r\n", Reply(250, "2.6.0", "<m@x> Queued")),
        (b"250 ok\r\n", Reply(250, "", "ok")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250-2.0.0 a\r\n250 b\r\n", Reply(250, "2.0.0", "a b")),
        (b"250-2.0.0 a\r\n250 2.0.0 b\r\n", Reply(250, "2.0.0", "a b")),
    ],
)
async def test_a_success_is_told_as_it_is(answer: bytes, reply: Reply) -> None:
    async with delivering(Sink({b".": always(answer)})) as delivery:
        assert await delivery.deliver(HANDOVER) == reply


@pytest.mark.parametrize(
    ("verb", "answer", "lmtp", "text"),
    [
        (b"", b"554 5.7.1 go away\r\n", False, "554 5.7.1 go away"),
        (b"", b"421 busy\r\n", False, "421 busy"),
        (b"LHLO", b"550 not you\r\n", True, "LHLO: 550 not you"),
        (b"EHLO", b"421 not now\r\n", False, "HELO: 421 not now"),
        (b"", CLOSE, False, "Unable to connect to server"),
        (b"EHLO", CLOSE, False, "Unable to connect to server"),
        (b"", HANG, False, "Unable to connect to server"),
        (b"EHLO", HANG, False, "Unable to connect to server"),
    ],
)
async def test_who_does_not_greet_us_gets_the_mail_later(
    verb: bytes, answer: bytes | None, lmtp: bool, text: str
) -> None:
    async with delivering(Sink({verb: always(answer)}), lmtp=lmtp, deadlines=SHORT) as delivery:
        failure = await failure_of(delivery)
    assert isinstance(failure, TempFail)
    assert failure.reply == Reply(450, "4.3.0", text)
    assert failure.reason == ("unreachable" if text.startswith("Unable") else "deferred")


async def test_a_greeting_that_defers_keeps_its_status() -> None:
    async with delivering(Sink({b"": always(b"421 4.7.0 too many\r\n")})) as delivery:
        assert (await failure_of(delivery)).reply == Reply(450, "4.7.0", "421 4.7.0 too many")


async def test_helo_refused() -> None:
    script: dict[bytes, Script] = {b"EHLO": always(b"502 what?\r\n"), b"HELO": always(b"550 not you\r\n")}
    async with delivering(Sink(script)) as delivery:
        assert (await failure_of(delivery)).reply == Reply(450, "4.3.0", "HELO: 550 not you")


async def test_nobody_there() -> None:
    sink = Sink()
    await sink.start()
    await sink.stop()
    failure = await failure_of(SmtpDelivery({"": "127.0.0.1"}, {"": sink.port}))
    assert isinstance(failure, TempFail)
    assert failure.reply == Reply(450, "4.3.0", "Unable to connect to server")


@pytest.mark.parametrize("host", ["/no/such/socket", "no..name", "name.invalid"])
async def test_nowhere(host: str) -> None:
    failure = await failure_of(SmtpDelivery({"": host}, {"": 25}))
    assert isinstance(failure, TempFail)
    assert failure.text == "Unable to connect to server"
    assert failure.detail is not None
    assert failure.detail.startswith(f"{host}: " if host.startswith("/") else f"{host}:25: ")


@pytest.mark.parametrize("extensions", [ANSWERS[b"EHLO"], PLAIN], ids=["pipelining", "in-turn"])
@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("answer", [CLOSE, HANG, b"what?\r\n", b"999 x\r\n", b"2" * 70_000], ids=str)
async def test_trouble_is_never_permanent(extensions: bytes, verb: bytes, answer: bytes | None) -> None:
    sink = Sink({b"EHLO": always(extensions), verb: first(answer, ANSWERS[verb])})
    async with delivering(sink, deadlines=SHORT) as delivery:
        failure = await failure_of(delivery)
        assert isinstance(failure, TempFail)
        assert failure.text.startswith("Deferred: ")
        assert failure.reason == "deferred"
        assert await delivery.deliver(HANDOVER) == QUEUED


@pytest.mark.parametrize("size", [100, 5_000_000])
async def test_a_connection_that_breaks_in_the_middle_of_a_message(size: int) -> None:
    sink = Sink(close_after=50)
    async with delivering(sink) as delivery:
        failure = await failure_of(delivery, handover(b"x" * size + b"\r\n"))
    assert isinstance(failure, TempFail)
    assert failure.text.startswith(("Packet send failure", "Deferred: "))
    assert failure.reason == ("broken" if failure.text.startswith("Packet") else "deferred")
    assert not sink.wire


# Connections out of step.

OUT_OF_STEP = [
    b"250 ok\r\n",
    b"354 go on\r\n",
    b"220 hi\r\n",
    b"150 wait\r\n",
    b"what?\r\n",
    b"250-a\r\n550 b\r\n",
]


@pytest.mark.parametrize("extensions", [ANSWERS[b"EHLO"], PLAIN], ids=["pipelining", "in-turn"])
@pytest.mark.parametrize("surplus", [*OUT_OF_STEP, b"550 5.1.1 not for you\r\n", b"421 4.3.2 bye\r\n"])
async def test_after_a_surplus_answer_a_connection_is_not_used_again(
    extensions: bytes, surplus: bytes
) -> None:
    sink = Sink({b"EHLO": always(extensions), b".": first(ANSWERS[b"."] + surplus, ANSWERS[b"."])})
    async with delivering(sink) as delivery:
        assert [await delivery.deliver(HANDOVER) for _ in range(3)] == [QUEUED] * 3
    assert sink.connections == 2
    assert sink.messages == [MESSAGE] * 3


@pytest.mark.parametrize("extensions", [ANSWERS[b"EHLO"], PLAIN], ids=["pipelining", "in-turn"])
@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("answer", OUT_OF_STEP, ids=str)
async def test_an_answer_that_cannot_be_one_is_not_believed(
    extensions: bytes, verb: bytes, answer: bytes
) -> None:
    right = ANSWERS[verb]
    if answer[:1] == right[:1] and answer[3:4] == b" ":
        answer = right + answer  # it is in place here, but not twice
    sink = Sink({b"EHLO": always(extensions), verb: first(answer, right)})
    async with delivering(sink) as delivery:
        try:
            assert await delivery.deliver(HANDOVER) == QUEUED
        except TempFail as failure:
            assert failure.text.startswith("Deferred: ")
        assert await delivery.deliver(HANDOVER) == QUEUED
        assert sink.connections == 2


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
async def test_a_code_is_told_with_its_zeros(verb: bytes) -> None:
    sink = Sink({verb: always(b"050 5.0.0 what is this\r\n")})
    async with delivering(sink) as delivery:
        with pytest.raises(TempFail) as caught:
            await delivery.deliver(HANDOVER)
    assert "050 " in str(caught.value)


async def test_an_answer_that_comes_late_is_no_refusal_of_the_next_message() -> None:
    # It arrives after the next MAIL was sent, so each later answer belongs to the command before.
    late = b"550 5.1.1 not you\r\n250 2.1.0 OK\r\n"
    sink = Sink({b"MAIL": lambda seen, line: late if seen == 1 else ANSWERS[b"MAIL"]})
    async with delivering(sink) as delivery:
        assert [await delivery.deliver(HANDOVER) for _ in range(3)] == [QUEUED] * 3
    assert sink.connections == 2


@pytest.mark.parametrize("answer", [b"554 5.5.1 no\r\n", b"354 go\r\n", CLOSE])
async def test_who_cannot_begin_anew_is_left(answer: bytes) -> None:
    sink = Sink({b"RCPT": first(b"550 5.1.1 unknown\r\n", ANSWERS[b"RCPT"]), b"RSET": always(answer)})
    async with delivering(sink) as delivery:
        assert isinstance(await failure_of(delivery), PermFail)
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.connections == 2


# Connections that are kept.


async def test_connections_are_kept_and_bounded() -> None:
    sink = Sink()
    async with delivering(sink, connections=3) as delivery:
        replies = await asyncio.gather(*(delivery.deliver(handover(b"%d\r\n" % n)) for n in range(50)))
    assert replies == [QUEUED] * 50
    assert sorted(sink.messages) == sorted(b"%d\r\n" % n for n in range(50))
    assert sink.connections <= 3


async def test_a_refused_recipient_leaves_the_others_alone() -> None:
    def answer(seen: int, line: bytes) -> bytes:
        return b"250 ok\r\n" if line[len(b"RCPT TO:<user")] % 2 else b"550 5.1.1 unknown\r\n"

    sink = Sink({b"RCPT": answer})
    async with delivering(sink, connections=5) as delivery:
        results = await asyncio.gather(
            *(delivery.deliver(handover(recipient=b"user%d@x" % (n % 10))) for n in range(50)),
            return_exceptions=True,
        )
    assert [isinstance(result, PermFail) for result in results] == [n % 2 == 0 for n in range(50)]
    assert len(sink.messages) == 25
    assert sink.connections <= 5


async def test_a_kept_connection_that_the_peer_closed_is_replaced() -> None:
    sink = Sink()
    async with delivering(sink) as delivery:
        await delivery.deliver(HANDOVER)
        sink.hang_up()
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.connections == 2


@pytest.mark.parametrize("answer", [CLOSE, b"421 4.4.2 timeout\r\n"])
async def test_a_kept_connection_that_dies_when_it_is_used_is_replaced_once(answer: bytes) -> None:
    sink = Sink({b"MAIL": lambda seen, line: answer if seen == 1 else ANSWERS[b"MAIL"]})
    async with delivering(sink) as delivery:
        await delivery.deliver(HANDOVER)
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.connections == 2
    assert len(sink.messages) == 2


async def test_a_new_connection_that_dies_is_not_replaced() -> None:
    sink = Sink({b"MAIL": always(b"421 4.4.2 always\r\n")})
    async with delivering(sink) as delivery:
        assert (await failure_of(delivery)).text == "Deferred: 421 4.4.2 always"
    assert sink.connections == 1


async def test_a_message_whose_fate_is_unknown_is_not_sent_twice() -> None:
    sink = Sink({b".": lambda seen, line: CLOSE if seen == 1 else ANSWERS[b"."]})
    async with delivering(sink) as delivery:
        await delivery.deliver(HANDOVER)
        failure = await failure_of(delivery)
    assert isinstance(failure, TempFail)
    assert len(sink.messages) == 2
    assert sink.connections == 1


async def test_a_next_hop_that_takes_data_for_nobody_gets_nothing() -> None:
    # RFC 2920 3.1 warns of servers that answer 354 although they refused every RCPT.
    sink = Sink({b"RCPT": first(b"550 5.1.1 unknown\r\n", ANSWERS[b"RCPT"])}, careless=True)
    async with delivering(sink) as delivery:
        assert isinstance(await failure_of(delivery), PermFail)
        assert not sink.messages
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.messages == [MESSAGE]


async def test_idle_connections_are_given_back() -> None:
    sink = Sink()
    async with delivering(sink, idle_s=0.01) as delivery:
        await delivery.deliver(HANDOVER)
        async with asyncio.timeout(5):
            await sink.arrived[b"QUIT"].wait()
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.connections == 2


async def test_a_cancelled_hand_over_does_not_spoil_the_next() -> None:
    sink = Sink({b".": first(HANG, ANSWERS[b"."])})
    async with delivering(sink, connections=1) as delivery:
        task = asyncio.create_task(delivery.deliver(HANDOVER))
        await sink.arrived[b"."].wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert sink.connections == 2


async def test_who_waits_too_long_for_a_connection_comes_back_later() -> None:
    sink = Sink({b".": always(HANG)})
    deadlines = Deadlines(connect=1, command=0.2, reply=30)
    async with delivering(sink, connections=1, deadlines=deadlines) as delivery:
        silent = asyncio.create_task(delivery.deliver(HANDOVER))
        await sink.arrived[b"."].wait()
        failures = await asyncio.gather(*(failure_of(delivery) for _ in range(3)))
        silent.cancel()
    assert {failure.text for failure in failures} == {"Deferred: the next hop is busy with other messages"}
    assert sink.connections == 1


def connections(metrics: Metrics) -> dict[str, float]:
    return {labels[0]: number for labels, (number,) in metrics.delivery_connections.readings()}


async def test_operators_see_who_waits_for_a_connection() -> None:
    metrics = Metrics()
    sink = Sink({b".": always(HANG)})
    async with delivering(sink, connections=1, metrics=metrics) as delivery:
        tasks = [asyncio.create_task(delivery.deliver(HANDOVER)) for _ in range(5)]
        await sink.arrived[b"."].wait()
        assert connections(metrics) == {"used": 1, "waiting": 4, "limit": 1}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not any(connections(metrics).values())
