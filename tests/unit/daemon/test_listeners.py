"""Sockets that stay open while configurations change."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from dspamd.daemon.listen import Endpoint
from dspamd.daemon.listeners import Listeners
from tests.support.ports import free_port


def tcp(port: int) -> Endpoint:
    return Endpoint(host="127.0.0.1", port=port)


def connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_what_both_configurations_name_stays_open(tmp_path: Path) -> None:
    listeners, path, ports = Listeners(), tmp_path / "sock", (free_port(), free_port())
    before = listeners.open([Endpoint(path=str(path), mode=0o600), tcp(ports[0])])
    after = [Endpoint(path=str(path), mode=0o660), tcp(ports[1])]
    opened = listeners.open(after)
    assert opened[0] is before[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (connects(ports[0]), connects(ports[1])) == (True, True)
    listeners.keep(after)
    assert (connects(ports[0]), connects(ports[1])) == (False, True)
    listeners.close()
    assert not connects(ports[1])
    assert not path.exists()


def test_all_sockets_are_opened_or_none(tmp_path: Path) -> None:
    listeners, path = Listeners(), tmp_path / "sock"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        listeners.open([Endpoint(path=str(path)), tcp(taken.getsockname()[1])])
    assert not path.exists()


def test_a_worker_forgets_what_is_not_its_own() -> None:
    listeners, ports = Listeners(), (free_port(), free_port())
    first, second = listeners.open([tcp(ports[0])]) + listeners.open([tcp(ports[1])])
    listeners.forget([second])
    assert (first.fileno(), second.fileno() >= 0) == (-1, True)
    listeners.close()


def test_inherited_sockets_take_the_place_of_all_others(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        listeners = Listeners([given])
        assert listeners.open([Endpoint(path=str(tmp_path / "sock"))]) == (given,)
        listeners.close()
        assert given.fileno() >= 0
    assert not (tmp_path / "sock").exists()
