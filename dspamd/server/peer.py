"""Who is at the other end of a unix socket: the kernel knows (unix(7), SO_PEERCRED).

DSPAM judged whom to trust in the client, which ran with the privileges of a group.
The kernel's word needs no privileges, and nobody can get around it by speaking to
the socket himself.

The name of an account may come from a directory on the network, so it is looked up
in a thread, with a deadline.
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
    """The account at the other end; None if it is none of this machine's, for it came over the network.

    Raises TimeoutError if its name cannot be found out in time, ConnectionError if the client has left.
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
