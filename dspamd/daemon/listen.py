"""Listening sockets: the supervisor opens them once, before there is a loop, for all its workers.

The daemon listens at `ServerDomainSocketPath`, or else at `ServerHost` and
`ServerPort` (an address or a name of either IP version; none means all
interfaces).  The backlog is `ServerQueueSize`.

A unix socket is a file: its mode and owner say who may connect, and they hold
from its first moment.  DSPAM made it writable for everybody; here that is
a choice.  The daemon replaces a socket file without a server behind it.  It never takes the
socket of a living server, and it leaves any other file alone.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dspamd.daemon import account

_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The place of a listening socket: `path`, if it is given, or `host` and `port`.

    `owner` and `group` are names or decimal numbers; empty means our own.
    """

    path: str = ""
    mode: int = 0o660
    owner: str = ""
    group: str = ""
    host: str = ""
    port: int = 24
    backlog: int = 128

    def __str__(self) -> str:
        return self.path or f"{self.host or '*'}:{self.port}"


def listen(endpoint: Endpoint) -> list[socket.socket]:
    """Open the endpoint's listening sockets.

    It may resolve a name, so do not call it in a running loop.  Raises `OSError` (with
    EADDRINUSE if another server is there), `LookupError` for an unknown owner.
    """
    if endpoint.path:
        return [_unix_socket(endpoint)]
    opened: list[socket.socket] = []
    try:
        for family, address in _addresses(endpoint):
            opened.append(_tcp_socket(family, address, endpoint.backlog))
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


def renew(endpoint: Endpoint, sockets: Iterable[socket.socket]) -> None:
    """Give open sockets the mode, owner and backlog of an endpoint with the same address.

    Raises `OSError`, `LookupError`.
    """
    if endpoint.path:
        _admit(endpoint)
    for each in sockets:
        each.listen(endpoint.backlog)


def _addresses(endpoint: Endpoint) -> Iterable[tuple[socket.AddressFamily, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(
            endpoint.host or None, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise OSError(error.errno, error.strerror, endpoint.host) from error
    return dict.fromkeys((family, address) for family, _, _, _, address in found)


def _tcp_socket(family: socket.AddressFamily, address: tuple[object, ...], backlog: int) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            # "All interfaces" is one socket for each IP version.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(backlog)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise OSError(error.errno, error.strerror, "{}:{}".format(*address)) from error
    return opened


def _unix_socket(endpoint: Endpoint) -> socket.socket:
    path = Path(endpoint.path)
    _make_way(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # No client can connect before mode and owner are right.
    umask = os.umask(0o777)
    try:
        opened.bind(endpoint.path)
    except OSError as error:
        opened.close()
        number = error.errno or errno.ENAMETOOLONG  # Python's own check gives no number
        raise OSError(number, os.strerror(number), endpoint.path) from error
    finally:
        os.umask(umask)
    try:
        _admit(endpoint)
        opened.listen(endpoint.backlog)
        opened.setblocking(False)
    except (OSError, LookupError):
        opened.close()
        path.unlink(missing_ok=True)
        raise
    return opened


def _admit(endpoint: Endpoint) -> None:
    """Give the socket file its owner and mode."""
    if endpoint.owner or endpoint.group:
        os.chown(endpoint.path, *owners(endpoint))
    Path(endpoint.path).chmod(endpoint.mode)


def owners(endpoint: Endpoint) -> tuple[int, int]:
    """User and group of the socket file, as numbers for chown(2).  Raises `LookupError`."""
    unchanged = -1
    user, group = endpoint.owner, endpoint.group
    uid = int(user) if user.isdecimal() else account.user_entry(user).pw_uid if user else unchanged
    gid = int(group) if group.isdecimal() else account.gid_of(group) if group else unchanged
    return uid, gid


def _make_way(path: Path) -> None:
    """Remove the socket file of a server that has ended.  Raises `OSError` if anything else is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "exists and is no socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except TimeoutError:
            pass  # a full queue belongs to a living server
    raise OSError(errno.EADDRINUSE, "another server is listening", str(path))
