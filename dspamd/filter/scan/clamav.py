"""ClamAV: asks clamd whether a message contains a virus.

One connection for each message, by TCP or to a unix socket, in the dialogue of
clamd(8):

    zINSTREAM NUL  length, bytes, length, bytes, ... length 0   ->   stream: OK NUL
                                                                     stream: NAME FOUND NUL

A message that is too large for the settings of clamd (StreamMaxLength) is not scanned, now or later:
`TooLarge`, no reason to keep mail waiting.  All other trouble, the deadline included, is
`NotScanned`; `Scanners` decide what that means for the mail.

reference/protocols.md 10.1; DSPAM spoke STREAM, which clamd has given up.
"""

from __future__ import annotations

import asyncio
import contextlib

_TOO_LARGE = "size limit exceeded"
_CHUNK_BYTES = 256 * 1024
_ANSWER_BYTES = 4096


class NotScanned(Exception):
    """clamd gave no answer; the text says why."""


class ClamAV:
    """A clamd: `host` is its name, address, or the path of its socket.

    `timeout_s` bounds the whole conversation about one message.
    """

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s

    async def scan(self, content: bytes) -> str | None:
        """The name of the virus in `content`; None if there is none.  Raises `NotScanned`, `TooLarge`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._ask(content)
        except TimeoutError as error:
            raise _not_scanned(f"no answer in {self._timeout_s:g} s") from error
        except (OSError, asyncio.LimitOverrunError) as error:
            raise _not_scanned(str(error)) from error
        return _virus(answer)

    async def _ask(self, content: bytes) -> str:
        reader, writer = await self._connect()
        # clamd may answer, and close, before it has read all of the message.
        sending = asyncio.create_task(_send(writer, content))
        try:
            answer = await reader.readuntil(b"\0")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError(f"the connection ended after {error.partial!r}") from error
        finally:
            sending.cancel()
            writer.transport.abort()  # there is nothing more to say, and maybe no reader
        return answer[:-1].decode("utf-8", "replace").strip()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(self._host, limit=_ANSWER_BYTES)
        return await asyncio.open_connection(self._host, self._port, limit=_ANSWER_BYTES)


class TooLarge(Exception):
    """clamd does not scan messages of this size."""


async def _send(writer: asyncio.StreamWriter, content: bytes) -> None:
    """Send one message; the task that waits for the answer notices if the connection breaks."""
    with contextlib.suppress(ConnectionError):
        writer.write(b"zINSTREAM\0")
        for start in range(0, len(content), _CHUNK_BYTES):
            chunk = content[start : start + _CHUNK_BYTES]
            writer.writelines([len(chunk).to_bytes(4, "big"), chunk])
            await writer.drain()
        writer.write(bytes(4))


def _virus(answer: str) -> str | None:
    """The virus in an answer of clamd, None if there is none.  Raises `NotScanned`, `TooLarge`."""
    said = answer.removeprefix("stream: ")
    if said == "OK":
        return None
    if said.endswith(" FOUND"):
        return said.removesuffix(" FOUND")
    if _TOO_LARGE in said:
        raise TooLarge(answer)
    raise _not_scanned(answer)


def _not_scanned(detail: str) -> NotScanned:
    return NotScanned(f"clamd: {detail}")
