"""The dialogue with clamd, and all its failures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dspamd.filter.scan.clamav import ClamAV, NotScanned, TooLarge
from tests.support.fake_clamd import CLEAN, INFECTED, FakeClamd, fake_clamd


async def scan(clamd: FakeClamd, content: bytes = b"Subject: x\r\n\r\nhello\r\n") -> str | None:
    return await ClamAV("127.0.0.1", clamd.port, timeout_s=10).scan(content)


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_clean_mail_arrives_there_byte_by_byte(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    async with fake_clamd(CLEAN) as clamd:
        assert await scan(clamd, content) is None
        assert clamd.scanned == [content]


async def test_a_virus_is_named() -> None:
    async with fake_clamd(INFECTED) as clamd:
        assert await scan(clamd) == "Test.Virus"


async def test_a_host_by_name() -> None:
    async with fake_clamd(INFECTED) as clamd:
        assert await ClamAV("localhost", clamd.port, timeout_s=10).scan(b"x") == "Test.Virus"


async def test_a_unix_socket(tmp_path: Path) -> None:
    clamd = FakeClamd(INFECTED)
    async with await asyncio.start_unix_server(clamd.serve, tmp_path / "clamd"):
        assert await ClamAV(str(tmp_path / "clamd"), 0, timeout_s=10).scan(b"x") == "Test.Virus"


@pytest.mark.parametrize("size", [10, 20_000_000])
async def test_too_large_is_told_before_everything_was_read(size: int) -> None:
    async with fake_clamd(b"INSTREAM size limit exceeded. ERROR\0", early=True) as clamd:
        with pytest.raises(TooLarge, match="size limit"):
            await scan(clamd, bytes(size))


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "the connection ended after b''"),
        (b"stream: O", "the connection ended after b'stream: O'"),
        (b"stream: Can't allocate memory ERROR\0", "Can't allocate memory"),
        (b"UNKNOWN COMMAND\0", "UNKNOWN COMMAND"),
        (b"x" * 10_000, "chunk"),
    ],
)
async def test_what_is_no_answer(answer: bytes, detail: str) -> None:
    async with fake_clamd(answer) as clamd:
        with pytest.raises(NotScanned) as caught:
            await scan(clamd)
    assert detail in str(caught.value)


async def test_silence_ends_at_the_deadline() -> None:
    async with fake_clamd(None) as clamd:
        with pytest.raises(NotScanned) as caught:
            await ClamAV("127.0.0.1", clamd.port, timeout_s=0.1).scan(b"x")
    assert str(caught.value) == "clamd: no answer in 0.1 s"


async def test_nobody_there(tmp_path: Path) -> None:
    async with fake_clamd() as clamd:
        port = clamd.port
    for host in ("127.0.0.1", str(tmp_path / "none"), "no.such.host.invalid"):
        with pytest.raises(NotScanned):
            await ClamAV(host, port, timeout_s=10).scan(b"x")
