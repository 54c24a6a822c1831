"""Ports of the loopback interface."""

from __future__ import annotations

import contextlib
import socket


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def greets(port: int) -> bool:
    """Does a mail server answer on this loopback port?"""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(5)
        return connection.recv(4) == b"220 "
    return False
