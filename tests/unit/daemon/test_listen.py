"""Listening sockets: their files, their owners, and whose they are."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from dspamd.daemon.listen import Endpoint, listen


def test_a_socket_file_has_the_mode_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "dspam.sock"
    (opened,) = listen(Endpoint(path=str(path), mode=0o640))
    with opened:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_socket_file_has_the_owner_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "dspam.sock"
    owner, group = os.getuid(), os.getgid()
    (opened,) = listen(Endpoint(path=str(path), owner=str(owner), group=str(group)))
    with opened:
        assert (path.stat().st_uid, path.stat().st_gid) == (owner, group)


def test_an_unknown_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "dspam.sock"
    for owner, group, unknown in ("nobody-at-all", "", "user nobody"), ("", "none-at-all", "group none"):
        with pytest.raises(LookupError, match=f"there is no {unknown}-at-all"):
            listen(Endpoint(path=str(path), owner=owner, group=group))
        assert not path.exists()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dspam.sock"
    listen(Endpoint(path=str(path)))[0].close()
    assert path.exists()
    (opened,) = listen(Endpoint(path=str(path)))
    with opened, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_living_socket_is_not_stolen(tmp_path: Path) -> None:
    path = tmp_path / "dspam.sock"
    (first,) = listen(Endpoint(path=str(path)))
    with first:
        with pytest.raises(OSError, match="another server is listening") as error:
            listen(Endpoint(path=str(path)))
        assert error.value.errno == errno.EADDRINUSE
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mailbox"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        listen(Endpoint(path=str(path)))
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "::1"])
def test_addresses_and_names(host: str) -> None:
    opened = listen(Endpoint(host=host, port=0))
    assert opened
    for each in opened:
        with each:
            assert each.getsockname()[1] > 0


@pytest.mark.parametrize("path", ["missing/dspam.sock", "x" * 120])
def test_a_path_that_cannot_be_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError, match=path):
        listen(Endpoint(path=str(tmp_path / path)))


def test_a_name_without_address_is_named() -> None:
    with pytest.raises(OSError, match=r"host\.invalid"):
        listen(Endpoint(host="host.invalid"))


def test_a_port_in_use_is_an_error() -> None:
    (first,) = listen(Endpoint(host="127.0.0.1", port=0))
    with first, pytest.raises(OSError, match="in use"):
        listen(Endpoint(host="127.0.0.1", port=first.getsockname()[1]))
