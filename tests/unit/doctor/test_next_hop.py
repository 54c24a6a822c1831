"""What the doctor says of the next hop, as it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Severity
from dspamd.doctor.next_hop import next_hop
from dspamd.doctor.site import Site
from tests.support.ports import free_port
from tests.support.sink import ANSWERS, Sink, always

XFORWARD = ANSWERS[b"EHLO"].replace(b"250-PIPELINING", b"250-XFORWARD NAME ADDR\r\n250-PIPELINING")
PLAIN = b"250-sink.example\r\n250 PIPELINING\r\n"


def site_of(folder: Path, *lines: str) -> Site:
    (folder / "dspam.conf").write_text("\n".join((f"Home {folder}", f"ServerPID {folder}/pid", *lines)))
    return Site.of(Config.load(folder / "dspam.conf"))


async def told(folder: Path, port: int, protocol: str = "SMTP") -> list[tuple[Severity, str]]:
    lines = ("DeliveryHost 127.0.0.1", f"DeliveryPort {port}", f"DeliveryProto {protocol}")
    found = await next_hop(site_of(folder, *lines))
    return [(each.severity, each.what.replace(f" 127.0.0.1:{port}", "")) for each in found]


@pytest.mark.parametrize(
    ("answers", "protocol", "expected"),
    [
        ({b"EHLO": XFORWARD}, "SMTP", [("fine", "the next hop takes mail, and offers what we need")]),
        ({}, "LMTP", [("fine", "the next hop takes mail, and offers what we need")]),
        ({}, "SMTP", [("advice", "the next hop does not offer us XFORWARD")]),
        (
            {b"LHLO": PLAIN},
            "LMTP",
            [
                ("advice", "the next hop does not offer 8BITMIME"),
                ("advice", "the next hop does not offer SMTPUTF8"),
            ],
        ),
        (
            {b"": b"220 DSPAM LMTP 4.0.0 Ready\r\n"},
            "SMTP",
            [("problem", "the next hop is a dspamd, probably this one")],
        ),
        (
            {b"": b"554 5.7.1 no access\r\n"},
            "SMTP",
            [("problem", "the next hop does not take mail: it refuses to talk to us: 5.7.1 no access")],
        ),
        (
            {b"LHLO": b"502 5.5.1 no LMTP here\r\n"},
            "LMTP",
            [("problem", "the next hop does not take mail: it refuses to talk to us: 5.5.1 no LMTP here")],
        ),
    ],
)
async def test_a_next_hop(
    answers: dict[bytes, bytes], protocol: str, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    sink = Sink({verb: always(answer) for verb, answer in answers.items()})
    await sink.start()
    try:
        assert await told(tmp_path, sink.port, protocol) == expected
    finally:
        await sink.stop()


async def test_none_listens(tmp_path: Path) -> None:
    ((severity, what),) = await told(tmp_path, free_port())
    assert severity is Severity.PROBLEM
    assert what == "the next hop does not take mail: Connection refused"


async def test_one_that_hangs_does_not_hide_the_other(tmp_path: Path) -> None:
    hangs, works = Sink({b"": always(None)}), Sink({b"EHLO": always(XFORWARD)})
    await hangs.start()
    await works.start()
    lines = (
        "DeliveryHost 127.0.0.1",
        f"DeliveryPort {works.port}",
        f"DeliveryPort.example.org {hangs.port}",
        "DeliveryHost.example.org 127.0.0.1",
        "DeliveryProto SMTP",
    )
    found = await next_hop(site_of(tmp_path, *lines), connect_s=2.0)
    assert sorted(each.severity for each in found) == ["fine", "problem"]
    await hangs.stop()
    await works.stop()


async def test_mail_for_an_agent_has_none(tmp_path: Path) -> None:
    assert await next_hop(site_of(tmp_path, "TrustedDeliveryAgent /bin/cat")) == []
