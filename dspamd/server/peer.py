"""The account at the other end of a unix socket, from the kernel (unix(7), SO_PEERCRED).

DSPAM decided on trust in the client, which ran with the privileges of a group.
The kernel's answer needs no privileges, and a user who speaks to the socket directly
cannot get around it.

The name of an account may come from a directory on the network, so a thread looks it up,
with a deadline.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct

from dspamd.server.filter import Caller

LOOKUP_S = 10.0

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


async def caller_of(transport: asyncio.BaseTransport) -> Caller | None:
    """The account at the other end; None for a client on the network.

    Raises TimeoutError if the look-up of its name takes too long, ConnectionError if the client has left.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError as error:
        raise ConnectionError("the client has left") from error
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    async with asyncio.timeout(LOOKUP_S):
        return Caller(uid, await asyncio.to_thread(_name, uid))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
