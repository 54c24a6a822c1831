"""Arguments of LMTP commands: addresses leave as the bytes that came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.server.command import SyntaxFault, declared_size, mail_path, rcpt_path, xforward_attributes


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"TO:<bob@example.net>", b"bob@example.net"),
        (b"to: <bob@example.net>", b"bob@example.net"),
        (b"TO:bob@example.net", b"bob@example.net"),
        (b"TO: bob@example.net", b"bob@example.net"),
        (b"TO <bob@example.net>", b"bob@example.net"),
        (b"TO:<bob>", b"bob"),
        (b"TO:<no address>", b"no address"),
        (b'TO:<"a b"@x>', b'"a b"@x'),
        (b'TO:<"a>b"@x>', b'"a>b"@x'),
        (b'TO:<"a\\">b"@x>', b'"a\\">b"@x'),
        (b'TO:<a"b@x>', b'a"b@x'),
        (b"TO:<a,b@c.d>", b"a,b@c.d"),
        (b"TO:<@a.example,@b.example:c@d.example>", b"c@d.example"),
        (b"TO:<J\xc3\xbcrgen@example.net>", b"J\xc3\xbcrgen@example.net"),
        (b"TO:<\xff@example.net>", b"\xff@example.net"),
        (b"TO:<bob+Detail@Example.Net>", b"bob+Detail@Example.Net"),
        (b"TO:<-x@y.z>", b"-x@y.z"),
        (b"TO:<../x@example.net>", b"../x@example.net"),
    ],
)
def test_addresses(argument: bytes, address: bytes) -> None:
    assert rcpt_path(argument).address == address


@pytest.mark.parametrize("argument", [b"FROM:<>", b"FROM: <>", b"from:<>", b"FROM:<> SIZE=3"])
def test_the_null_sender_is_empty(argument: bytes) -> None:
    assert mail_path(argument).address == b""


def test_parameters_keep_their_case() -> None:
    parameters = b"SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B314159 AUTH=<> x-own=1"
    assert mail_path(b"FROM:<a@b> " + parameters).parameters == tuple(parameters.split())
    dsn = b"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob@Example.Net"
    assert rcpt_path(b"TO:<a@b> " + dsn).parameters == tuple(dsn.split())


@pytest.mark.parametrize(
    "argument", [b"", b"TO", b"TO:", b"TO:<>", b"TO:<@y.z>", b"TO:<a@b", b"TO:<a@b>x", b"FOO"]
)
def test_malformed_recipients_are_named(argument: bytes) -> None:
    with pytest.raises(SyntaxFault, match=r"Invalid RCPT TO\. Use RCPT TO: <recipient>") as fault:
        rcpt_path(argument)
    assert fault.value.reply.code == 501
    assert fault.value.reply.enhanced in {"5.1.3", "5.5.4"}


@pytest.mark.parametrize(
    "argument", [b"", b"FROM:", b"FROM", b"FROM:<a@b", b"FROM:<a\0b@c>", b"FROM:<a\tb@c>"]
)
def test_malformed_senders_are_named(argument: bytes) -> None:
    with pytest.raises(SyntaxFault, match="Invalid MAIL FROM") as fault:
        mail_path(argument)
    assert fault.value.reply.code == 501


@pytest.mark.parametrize("parameter", [b"=x", b"-a", b"BODY=\x01"])
def test_malformed_parameters_are_named(parameter: bytes) -> None:
    with pytest.raises(SyntaxFault, match="Invalid parameter") as fault:
        mail_path(b"FROM:<a@b> " + parameter)
    assert fault.value.reply.enhanced == "5.5.4"


def test_sizes() -> None:
    assert declared_size((b"BODY=7BIT", b"size=123")) == 123
    assert declared_size(()) == 0
    with pytest.raises(SyntaxFault, match="Invalid SIZE"):
        declared_size((b"SIZE=x",))


def test_xforward() -> None:
    assert xforward_attributes(b"name=spike.example ADDR=168.100.189.2 Helo=[UNAVAILABLE]") == {
        "NAME": "spike.example",
        "ADDR": "168.100.189.2",
        "HELO": "[UNAVAILABLE]",
    }
    assert xforward_attributes(b"IDENT=a+2Bb") == {"IDENT": "a+2Bb"}


@pytest.mark.parametrize("argument", [b"", b"NAME", b"COLOUR=red", b"NAME=\xff"])
def test_malformed_xforward(argument: bytes) -> None:
    with pytest.raises(SyntaxFault):
        xforward_attributes(argument)


@given(st.binary(max_size=60))
def test_any_argument_is_read_or_refused(argument: bytes) -> None:
    for read in (mail_path, rcpt_path):
        for word in (b"", b"FROM:", b"TO:<"):
            try:
                path = read(word + argument)
            except SyntaxFault as fault:
                assert fault.reply.code == 501
            else:
                assert path.address in argument
