"""Encryption to the next hop: where it is offered, or always, and then only to whom it should be."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.delivery.connection import Tls
from dspamd.delivery.dispatch import Dispatch
from dspamd.delivery.smtp import SmtpDelivery
from dspamd.errors import ConfigError, Reply, TempFail
from dspamd.filter.outlet import Handover
from dspamd.home.home import Home
from tests.support.sink import Sink, always

MESSAGE = b"Subject: hi\r\n\r\nbody\r\n"
HANDOVER = Handover(b"a@example.org", b"bob@example.net", MESSAGE)
QUEUED = Reply(250, "2.0.0", "queued")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key beside it, which nobody else signed."""
    folder = tmp_path_factory.mktemp("tls")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", "key.pem", "-out", "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return folder / "certificate.pem"


@pytest.fixture
def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


@asynccontextmanager
async def delivering(
    sink: Sink, tls: Tls | None, host: str = "localhost", *, path: Path | None = None, lmtp: bool = False
) -> AsyncIterator[SmtpDelivery]:
    await sink.start(path)
    delivery = SmtpDelivery({"": str(path or host)}, {"": sink.port}, tls=tls, lmtp=lmtp)
    try:
        yield delivery
    finally:
        await delivery.close()
        await sink.stop()


@pytest.mark.parametrize("lmtp", [False, True])
async def test_a_message_is_encrypted_for_whom_it_should_be(
    lmtp: bool, certificate: Path, served: ssl.SSLContext
) -> None:
    sink = Sink(tls=served)
    async with delivering(sink, Tls.of("require", str(certificate)), lmtp=lmtp) as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED
        assert await delivery.deliver(Handover(b"", b"ann@example.net", MESSAGE * 100_000)) == QUEUED
    hello = b"LHLO localhost" if lmtp else b"EHLO localhost"
    assert sink.lines[:3] == [hello, b"STARTTLS", hello]
    assert (sink.connections, sink.messages) == (1, [MESSAGE, MESSAGE * 100_000])


async def test_who_may_be_encrypted_needs_no_name(served: ssl.SSLContext) -> None:
    sink = Sink(tls=served)
    async with delivering(sink, Tls.of("may"), "127.0.0.1") as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED
    assert b"STARTTLS" in sink.lines


async def test_where_it_is_not_offered_mail_goes_as_it_may() -> None:
    sink = Sink()
    async with delivering(sink, Tls.of("may")) as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED
    async with delivering(sink, Tls.of("require")) as delivery:
        with pytest.raises(TempFail, match="STARTTLS is not offered"):
            await delivery.deliver(HANDOVER)
    assert len(sink.messages) == 1


@pytest.mark.parametrize(("host", "trusting"), [("localhost", False), ("127.0.0.1", True)])
async def test_somebody_else_gets_nothing(
    host: str, trusting: bool, certificate: Path, served: ssl.SSLContext
) -> None:
    sink = Sink(tls=served)
    tls = Tls.of("require", str(certificate) if trusting else "")
    async with delivering(sink, tls, host) as delivery:
        with pytest.raises(TempFail, match="certificate verify failed"):
            await delivery.deliver(HANDOVER)
    assert sink.messages == []


async def test_a_next_hop_that_cannot_now(certificate: Path, served: ssl.SSLContext) -> None:
    sink = Sink({b"STARTTLS": always(b"454 4.7.0 later\r\n")})
    sink.tls = served
    async with delivering(sink, Tls.of("require", str(certificate))) as delivery:
        with pytest.raises(TempFail, match=r"454 4\.7\.0 later"):
            await delivery.deliver(HANDOVER)


async def test_a_socket_needs_none(tmp_path: Path, certificate: Path) -> None:
    sink = Sink()
    async with delivering(sink, Tls.of("require", str(certificate)), path=tmp_path / "lmtp") as delivery:
        assert await delivery.deliver(HANDOVER) == QUEUED


async def test_settings(tmp_path: Path, certificate: Path, served: ssl.SSLContext) -> None:
    sink = Sink(tls=served)
    await sink.start()
    hop = f"Home {tmp_path}\nDeliveryHost localhost\nDeliveryPort {sink.port}\nDeliveryTLS require\n"
    dispatch = Dispatch(Config.from_text(f"{hop}DeliveryTLSCAFile {certificate}\n"), Home(tmp_path))
    try:
        assert await dispatch.deliver(HANDOVER) == QUEUED
    finally:
        await dispatch.close()
        await sink.stop()
    assert b"STARTTLS" in sink.lines
    with pytest.raises(ConfigError, match="DeliveryTLSCAFile /nowhere"):
        Dispatch(Config.from_text(f"{hop}DeliveryTLSCAFile /nowhere\n"), Home(tmp_path))
