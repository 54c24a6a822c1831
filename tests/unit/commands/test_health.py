"""`dspamd --health` without a daemon, and with others; tests/e2e/test_observe.py has a real one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dspamd.commands import health
from dspamd.config.config import Config
from tests.support.ports import free_port


@contextmanager
def server(says: bytes | None) -> Iterator[int]:
    """A server that says something to its only client (None: nothing, and keeps it waiting); its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                if says is None:
                    client.recv(1) and client.recv(1000)
                    client.recv(1)  # until it hangs up
                else:
                    client.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def asked(text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = health.ask(Config.from_text(f"{text}Home /nonexistent\nStorageDriver sqlite_drv\n"))
    (line,) = capsys.readouterr().out.splitlines()
    return status, line


def test_a_daemon_without_monitoring_greets(capsys: pytest.CaptureFixture[str]) -> None:
    with server(b"220 DSPAM LMTP 4.0.0 ready\r\n") as port:
        status, line = asked(f"ServerHost 0.0.0.0\nServerPort {port}\n", capsys)
    assert status == 0
    assert line == f"0.0.0.0:{port} answers; MetricsListen would tell of the storage and of the next hop"


@pytest.mark.parametrize(("says", "told"), [(b"421 too busy\r\n", "421 too busy"), (b"", "nothing")])
def test_another_greeting_is_no_health(says: bytes, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with server(says) as port:
        assert asked(f"ServerHost 127.0.0.1\nServerPort {port}\n", capsys) == (
            1,
            f"127.0.0.1:{port} answers: {told}",
        )


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port, path = free_port(), tmp_path / "socket"
    refused = (1, f"no daemon answers at 127.0.0.1:{port}: Connection refused")
    assert asked(f"ServerHost 127.0.0.1\nServerPort {port}\n", capsys) == refused
    assert asked(f"MetricsListen 127.0.0.1:{port}\n", capsys) == refused
    missing = (1, f"no daemon answers at {path}: No such file or directory")
    assert asked(f"ServerDomainSocketPath {path}\n", capsys) == missing


def test_a_server_of_something_else_is_no_health(capsys: pytest.CaptureFixture[str]) -> None:
    with server(b"220 mail.example.org ESMTP\r\n") as port:
        status, line = asked(f"MetricsListen 127.0.0.1:{port}\n", capsys)
    assert (status, line) == (1, f"another program answers at 127.0.0.1:{port}")


@pytest.mark.parametrize("directive", ["MetricsListen 127.0.0.1:{}", "ServerHost 127.0.0.1\nServerPort {}"])
def test_a_daemon_that_hangs_is_no_health(
    directive: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.1)
    with server(None) as port:
        status, line = asked(f"{directive.format(port)}\n", capsys)
    assert (status, line) == (1, f"no answer at 127.0.0.1:{port} within 0.1 s")
