"""Messages to systemd, and sockets from it (sd_notify(3), sd_listen_fds(3)).

The daemon notifies systemd when it is ready, reloads, stops, and that it is alive.  systemd
may have opened the listening sockets.  Without systemd the environment has none of the
variables, and nothing happens.

The daemon removes the variables from its environment, so that delivery agents do not use
them.
"""

from __future__ import annotations

import os
import socket
import time
from typing import NamedTuple

_FIRST_DESCRIPTOR = 3
_PATIENCE_S = 1.0


class Notifier:
    """Notifies systemd.  systemd expects `alive` at least every `watchdog_s` seconds; 0: never."""

    def __init__(self, address: str = "", watchdog_s: float = 0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=Finishing the messages at hand")

    def alive(self) -> None:
        if self.watchdog_s:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return  # mail goes on even if systemd does not listen


class Inherited(NamedTuple):
    """A listening socket that systemd opened, with the name its unit file gives it."""

    name: str
    socket: socket.socket


def notifier() -> Notifier:
    """The notifier that the environment asks for."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    watchdog_us = os.environ.pop("WATCHDOG_USEC", "0")
    meant = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return Notifier(address, int(watchdog_us) / 1e6 if meant and watchdog_us.isdecimal() else 0)


def inherited() -> list[Inherited]:
    """The listening sockets that systemd passed to this process.

    Raises `OSError` if one of them is no listening stream socket.
    """
    process = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for number in range(int(count)):
        opened = socket.socket(fileno=_FIRST_DESCRIPTOR + number)
        opened.set_inheritable(False)  # forked workers keep it, delivery agents must not have it
        opened.setblocking(False)
        name = names[number] if number < len(names) else ""
        if opened.type != socket.SOCK_STREAM or not opened.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            raise OSError(f"socket {name} from systemd is no listening stream socket")
        found.append(Inherited(name, opened))
    return found
