"""The first line that a server says, which tells a dspamd from other servers."""

from __future__ import annotations

import asyncio
import os
import re

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_OURS = re.compile(r"220 DSPAM D?LMTP (\S+) ")


def local(host: str) -> str:
    """Where this machine reaches a server that listens at `host`, which may be all addresses."""
    return _EVERYWHERE.get(host, host)


async def heard(host: str, port: int) -> str | OSError:
    """What the server at an address, or at the socket with this path, says first; empty if it hangs up."""
    try:
        if host.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(host)
        else:
            reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return error
    try:
        return (await reader.readline()).decode("utf-8", "replace").strip()
    except OSError as error:
        return error
    except ValueError:  # a line without an end
        return ""
    finally:
        writer.transport.abort()


def version(greeting: str) -> str | None:
    """The version of the dspamd that greets so; None if it is another program."""
    found = _OURS.match(greeting)
    return found[1] if found else None


def reason(error: OSError) -> str:
    """Why there was no connection; the text of asyncio repeats the address instead."""
    number = error.errno or 0  # negative: the name is not known
    return os.strerror(number) if number > 0 else str(error)
