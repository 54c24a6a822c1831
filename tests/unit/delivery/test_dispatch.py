"""Which way a message leaves us: next hop, delivery agents, quarantine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dspamd.app import home_of
from dspamd.config.config import Config
from dspamd.delivery.dispatch import Dispatch
from dspamd.errors import Failure, TempFail
from dspamd.filter.outlet import Handover
from dspamd.telemetry.metric import OTHER
from dspamd.telemetry.metrics import Metrics
from tests.support.recording_agent import RecordingAgent
from tests.support.sink import CLOSE, Script, Sink, always

MAIL = Handover(
    sender=b"ann@example.org",
    recipient=b"bob+work@example.net",
    content=b"Subject: x\r\n\r\nbody\r\n",
    user="bob",
    arguments=("-x", "%u"),
)
SPAM = dataclasses.replace(MAIL, spam=True)


@pytest.fixture
def lda(tmp_path: Path) -> RecordingAgent:
    return RecordingAgent(tmp_path)


def dispatch(home: Path, *lines: str, metrics: Metrics | None = None) -> Dispatch:
    config = Config.from_text("\n".join([f"Home {home}", *lines]))
    return Dispatch(config, home_of(config), metrics=metrics)


@pytest.mark.parametrize(("workers", "share"), [(1, 10), (4, 2), (20, 1)])
async def test_workers_share_the_connections_to_the_next_hop(
    tmp_path: Path, workers: int, share: int
) -> None:
    metrics, sink = Metrics(), Sink()
    await sink.start()
    hop = f"Home {tmp_path}\nDeliveryHost 127.0.0.1\nDeliveryPort {sink.port}\nDeliveryProto SMTP\n"
    config = Config.from_text(hop + "DeliveryConnections 10\n")
    way = Dispatch(config, home_of(config), workers, metrics)
    assert (await way.deliver(MAIL)).ok
    readings = metrics.delivery_connections.readings()
    assert {labels[0]: number for labels, (number,) in readings}["limit"] == share
    await way.close()
    await sink.stop()


@pytest.mark.parametrize(
    ("trusted", "words"), [(True, [b"trusted", b"bob", b"-x", b"bob"]), (False, [b"untrusted", b"bob"])]
)
async def test_each_caller_has_his_agent(
    tmp_path: Path, lda: RecordingAgent, trusted: bool, words: list[bytes]
) -> None:
    way = dispatch(
        tmp_path,
        f'TrustedDeliveryAgent "{lda.command} trusted %u"',
        f'UntrustedDeliveryAgent "{lda.command} untrusted %u"',
    )
    assert (await way.deliver(dataclasses.replace(MAIL, trusted=trusted))).ok
    assert lda.words == words
    assert lda.message == b"Subject: x\n\nbody\n"


async def test_without_an_agent_mail_waits(tmp_path: Path, lda: RecordingAgent) -> None:
    way = dispatch(tmp_path, f'TrustedDeliveryAgent "{lda.command} %u"')
    with pytest.raises(TempFail, match="No UntrustedDeliveryAgent"):
        await way.deliver(dataclasses.replace(MAIL, trusted=False))


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_quarantine_agent_takes_what_is_kept_back(
    tmp_path: Path, lda: RecordingAgent, trusted: bool
) -> None:
    way = dispatch(
        tmp_path, f'QuarantineAgent "{lda.command} -q %u %r"', "DeliveryHost 192.0.2.1", "DeliveryProto SMTP"
    )
    assert (await way.quarantine(dataclasses.replace(SPAM, trusted=trusted), "bob")).ok
    assert lda.words == [b"-q", b"bob", b"bob+work@example.net"]
    assert not (tmp_path / "data").exists()


async def test_else_it_is_in_the_mailbox_of_its_owner(tmp_path: Path) -> None:
    way = dispatch(tmp_path, "DeliveryHost 192.0.2.1", "DeliveryProto SMTP")
    assert (await way.quarantine(SPAM, "group")).ok
    await way.close()
    mailbox = (tmp_path / "data/group/group.mbox").read_bytes()
    assert mailbox.startswith(b"From QUARANTINE ")
    assert mailbox.endswith(b"\nSubject: x\nX-DSPAM-Quarantined: 6\n\nbody\n\n\n\n")


@pytest.mark.parametrize(
    ("handover", "lines", "recipient"),
    [
        (SPAM, (), b"bob+quarantine@example.net"),
        (MAIL, (), b"bob+work@example.net"),
        (SPAM, ("PlusedCharacter -",), b"bob+work+quarantine@example.net"),
        (dataclasses.replace(SPAM, recipient=b"bob"), (), b"bob+quarantine"),
    ],
    ids=["spam", "mail", "other separator", "no domain"],
)
async def test_spam_that_is_delivered_has_an_address_of_its_own(
    tmp_path: Path, lda: RecordingAgent, handover: Handover, lines: tuple[str, ...], recipient: bytes
) -> None:
    agent = f'TrustedDeliveryAgent "{lda.command} %r"'
    way = dispatch(tmp_path, "QuarantineMailbox +quarantine", agent, *lines)
    await way.deliver(dataclasses.replace(handover, arguments=()))
    assert lda.words == [recipient]


async def test_a_next_hop_comes_before_agents_and_may_hang_on_the_domain(
    tmp_path: Path, lda: RecordingAgent
) -> None:
    usual, special = Sink(), Sink()
    await usual.start()
    await special.start(tmp_path / "lmtp")
    way = dispatch(
        tmp_path,
        f'TrustedDeliveryAgent "{lda.command}"',
        "DeliveryProto LMTP",
        "DeliveryHost 127.0.0.1",
        f"DeliveryPort {usual.port}",
        f"DeliveryHost.example.net {tmp_path}/lmtp",
    )
    assert (await way.deliver(MAIL)).ok
    assert (await way.deliver(dataclasses.replace(MAIL, recipient=b"cy@example.com"))).ok
    await way.close()
    assert (len(special.messages), len(usual.messages)) == (1, 1)
    assert special.lines[0].startswith(b"LHLO")
    await usual.stop()
    await special.stop()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({b"": always(CLOSE)}, "unreachable"),
        ({b"EHLO": always(b"421 not now\r\n")}, "deferred"),
        ({b"RCPT": always(b"450 later\r\n")}, "deferred"),
        ({b"RCPT": always(b"550 no\r\n")}, "refused"),
    ],
)
async def test_metrics_count_the_reason_that_a_failure_was_born_with(
    tmp_path: Path, script: dict[bytes, Script], reason: str
) -> None:
    metrics, sink = Metrics(), Sink(script)
    await sink.start()
    hop = ("DeliveryHost 127.0.0.1", f"DeliveryPort {sink.port}", "DeliveryProto SMTP")
    way = dispatch(tmp_path, *hop, metrics=metrics)
    with pytest.raises(Failure) as caught:
        await way.deliver(MAIL)
    await way.close()
    await sink.stop()
    assert caught.value.reason == reason
    counted = {labels[0]: number for labels, (number,) in metrics.handover_failures.readings() if number}
    assert counted == {reason: 1}


async def test_an_agent_that_fails_is_counted_as_other(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        await dispatch(tmp_path, "TrustedDeliveryAgent /no/such/program").deliver(MAIL)
    assert caught.value.reason == OTHER
