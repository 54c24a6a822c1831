"""The listening sockets, which stay open when the configuration changes.

On a reload, a socket of both configurations stays open, so clients can always connect;
only its mode, owner and backlog change.  The supervisor opens new addresses before the
new workers start, and closes old ones after the new workers have taken over.

Under socket activation (sd_listen_fds(3)) systemd opens and keeps the sockets; the daemon
then always uses these in place of the configured addresses.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from dspamd.daemon.listen import Endpoint, listen, renew

Address = tuple[str, str, int]


class Listeners:
    """The open sockets of endpoints; `inherited` are those that systemd opened."""

    def __init__(self, inherited: Sequence[socket.socket] = ()) -> None:
        self._inherited = tuple(inherited)
        self._open: dict[Address, list[socket.socket]] = {}

    def open(self, endpoints: Iterable[Endpoint]) -> tuple[socket.socket, ...]:
        """The sockets of these endpoints.  Opens the missing ones, all of them or none.

        May resolve names.  Raises `OSError`, `LookupError` (see `listen`).
        """
        if self._inherited:
            return self._inherited
        fresh: dict[Address, list[socket.socket]] = {}
        found: list[socket.socket] = []
        try:
            for endpoint in endpoints:
                address = _address(endpoint)
                if address in self._open:
                    renew(endpoint, self._open[address])
                else:
                    fresh[address] = listen(endpoint)
                found += fresh.get(address) or self._open[address]
        except (OSError, LookupError):
            for address, sockets in fresh.items():
                _close(address, sockets)
            raise
        self._open |= fresh
        return tuple(found)

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Close all sockets except those of these endpoints."""
        kept = {_address(endpoint) for endpoint in endpoints}
        for address in self._open.keys() - kept:
            _close(address, self._open.pop(address))

    def forget(self, kept: Iterable[socket.socket]) -> None:
        """In a worker: close our copies of all other sockets; other processes keep theirs."""
        for each in {each for sockets in self._open.values() for each in sockets} - set(kept):
            each.close()

    def close(self) -> None:
        """Close all sockets."""
        self.keep(())


def _address(endpoint: Endpoint) -> Address:
    return (endpoint.path, "", 0) if endpoint.path else ("", endpoint.host, endpoint.port)


def _close(address: Address, sockets: Iterable[socket.socket]) -> None:
    if path := address[0]:
        Path(path).unlink(missing_ok=True)  # first: a client that connects now must not wait for an answer
    for each in sockets:
        each.close()
