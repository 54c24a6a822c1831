"""The additions of dspamc's protocol to LMTP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.errors import Reply
from dspamd.mail.transparency import PIECE, Collector
from dspamd.server.command import SyntaxFault
from dspamd.server.dialogue import written
from dspamd.server.dlmtp import (
    Login,
    is_admitted,
    is_known,
    login,
    output_phase,
    user_path,
    without_output,
)
from tests.model.transparency import mixes, sent

PASSWORDS = {"relay1": "secret"}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"FROM: <secret@Relay1>", Login(b"secret", b"Relay1", "", False)),
        (
            b'FROM: <secret@Relay1> DSPAMPROCESSMODE="--deliver=summary --class=spam "',
            Login(b"secret", b"Relay1", "--deliver=summary --class=spam ", False),
        ),
        (
            b'FROM: <secret@Relay1> DSPAMPROCESSMODE="--user \\"a b\\" " DSPAMSTUFFED',
            Login(b"secret", b"Relay1", '--user "a b" ', True),
        ),
        (
            b'FROM: <secret@Relay1> DSPAMSTUFFED DSPAMPROCESSMODE=""',
            Login(b"secret", b"Relay1", "", True),
        ),
        (b"FROM:<bob>", Login(b"bob", b"", "", False)),
    ],
)
def test_logins(argument: bytes, expected: Login) -> None:
    assert login(argument) == expected


def test_an_option_string_without_its_end_is_refused() -> None:
    with pytest.raises(SyntaxFault):
        login(b'FROM: <secret@Relay1> DSPAMPROCESSMODE="--deliver=summary')


@pytest.mark.parametrize(
    ("password", "ident", "admitted"),
    [
        (b"secret", b"Relay1", True),
        (b"secret", b"RELAY1", True),
        (b"Secret", b"Relay1", False),
        (b"", b"Relay1", False),
        (b"secret", b"Relay9", False),
        (b"secret", b"", False),
        (b"\xff", b"\xff", False),
    ],
)
def test_passwords(password: bytes, ident: bytes, admitted: bool) -> None:
    assert is_admitted(Login(password, ident, "", False), PASSWORDS) is admitted


def test_idents() -> None:
    assert is_known(b"Relay1", PASSWORDS)
    assert not is_known(b"mail.example.org", PASSWORDS)


@pytest.mark.parametrize("argument", [b"TO: <-x>", b"TO: <@x>", b"TO: <>"])
def test_users_that_look_like_something_else(argument: bytes) -> None:
    with pytest.raises(SyntaxFault, match="Invalid RCPT TO"):
        user_path(argument)


@pytest.mark.parametrize(
    ("output", "wire"),
    [
        (b"X-DSPAM-Result: bob\n", b"X-DSPAM-Result: bob\n.\r\n"),
        (b"a\r\nb\n.\n..\nc", b"a\nb\n.\n..\nc\n.\r\n"),
        (b"a\r\rb\r\n", b"a\r\rb\n.\r\n"),
    ],
)
def test_output_for_old_clients(output: bytes, wire: bytes) -> None:
    assert b"".join(output_phase(output, stuffing=False)) == wire


LONG = "u" * 250
OK = Reply(250, "2.6.0", f"<{LONG}> Message accepted for delivery: INNOCENT")
LATER = Reply(450, "4.3.0", f"<{LONG}> Deferred: " + "word " * 400)


def read_by_the_original(options: str, wire: bytes, users: int) -> tuple[int, list[bytes]]:
    """The exit status of an original dspamc, and its output (protocols.md 3.2).

    Raises `ValueError` where it would wait for a line that does not come.
    """
    lines = iter(wire.split(b"\r\n")[:-1])
    printed: list[bytes] = []
    try:
        if "--classify" in options or "summary" in options:
            while (line := next(lines)) != b".":
                printed.append(line)
        elif "stdout" in options:
            if next(lines).startswith(b"250 "):
                return 251, []
            while (line := next(lines)) != b".":
                printed.append(line)
        else:
            replies = [next(lines) for _ in range(users)]
            return -sum(not reply.startswith(b"250") for reply in replies) % 256, []
    except StopIteration:
        raise ValueError("it waits for ever") from None
    return 0, printed


@pytest.mark.parametrize("replies", [[OK], [LATER], [OK, LATER], [LATER, OK]], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        "",
        "--deliver=innocent",
        "--classify",
        "--deliver=summary",
        "--deliver=innocent,summary --stdout",
        "--stdout",
        "--deliver=stdout",
        "--classify --stdout",
        "--deliver=innocent,spam --stdout",
    ],
)
def test_an_old_client_reads_to_the_end_where_there_is_no_output(options: str, replies: list[Reply]) -> None:
    write, end = without_output(options, written)
    wire = b"".join(map(write, replies)) + end
    status, printed = read_by_the_original(options, wire, len(replies))
    if "--classify" in options or "summary" in options:
        assert [line[:3] for line in printed] == [str(reply.code).encode() for reply in replies]
        assert max(map(len, printed)) <= 510
    elif "stdout" in options:
        assert (status, printed) == (251, []), "an empty mail must be a failure"
    else:
        assert status == -replies.count(LATER) % 256


@pytest.mark.parametrize("shift", [-2, -1, 0, 1])
def test_line_ends_between_pieces(shift: int) -> None:
    output = b"a" * (PIECE + shift) + b"\r\nb\r\n"
    assert b"".join(output_phase(output, stuffing=False)) == output.replace(b"\r\n", b"\n") + b".\r\n"


@pytest.mark.parametrize("size", range(6))
def test_output_of_any_bytes_is_stuffed_like_mail(size: int) -> None:
    for output in mixes(size):
        assert b"".join(output_phase(output, stuffing=True)) == sent(output) + b".\r\n"


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b"\xff"])))
def test_output_for_our_own_client_arrives_whole(lines: list[bytes]) -> None:
    output = b"".join(line + b"\n" for line in lines)
    collector = Collector()
    assert collector.feed(b"".join(output_phase(output, stuffing=True))) == b""
    assert collector.complete
    assert collector.take() == output.replace(b"\n", b"\r\n")
