"""Notifications for systemd, and sockets from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd.daemon.notify import Notifier, inherited, notifier


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd listens."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield listening


def test_states_are_told(heard: socket.socket) -> None:
    systemd = notifier()
    systemd.ready("Serving")
    assert heard.recv(1000) == b"READY=1\nSTATUS=Serving"
    systemd.reloading()
    assert heard.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    systemd.stopping()
    assert heard.recv(1000).startswith(b"STOPPING=1\n")
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize(("pid", "seconds"), [(None, 3.0), (os.getpid(), 3.0), (1, 0.0)])
def test_the_watchdog_is_fed_if_it_is_ours(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch, pid: int | None, seconds: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(pid))
    systemd = notifier()
    assert systemd.watchdog_s == seconds
    systemd.alive()
    systemd.stopping()
    assert heard.recv(1000).startswith(b"WATCHDOG=1" if seconds else b"STOPPING=1")


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier().ready("Serving")
    Notifier("/nowhere").ready("Serving")
    assert inherited() == []


def test_sockets_meant_for_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert inherited() == []
    assert "LISTEN_FDS" not in os.environ
