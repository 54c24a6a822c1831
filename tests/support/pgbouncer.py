"""A pgbouncer of our own in front of a PostgreSQL server, in a folder that goes when the test is done.

It runs as an unprivileged user, also for root, and listens on the loopback only.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspamd.storage.sql.common import Server
from tests.support.ports import free_port
from tests.support.postgres_server import USER
from tests.support.wait import until

_WITHIN_S = 30
_PROGRAM = "/usr/sbin/pgbouncer"
_KEEPS_STATEMENTS = (1, 21)


@contextmanager
def pgbouncer(behind: Server, mode: str) -> Iterator[Server]:
    """The way to a database through a pooler that keeps no statements; `mode` is its `pool_mode`."""
    folder = Path(tempfile.mkdtemp(prefix="dspamd-pgbouncer-"))
    port = free_port()
    user = "postgres" if os.getuid() == 0 else None
    lines = [
        "[databases]",
        f"{behind.database} = host={behind.host} port={behind.port} user={USER}",
        "[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
        f"auth_type = any\npool_mode = {mode}",
        "max_prepared_statements = 0" if _version() >= _KEEPS_STATEMENTS else "",
    ]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    if user is not None:
        for path in folder, *folder.iterdir():
            shutil.chown(path, user)
    with (folder / "log").open("ab") as log:
        command = (_PROGRAM, "-q", str(folder / "pgbouncer.ini"))
        groups: list[str] | None = None if user is None else []
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, user=user, extra_groups=groups
        )
    try:
        until(lambda: _listens(process, port, folder / "log"), "pgbouncer", _WITHIN_S)
        yield Server("127.0.0.1", port, USER, "", behind.database)
    finally:
        process.terminate()
        process.wait(_WITHIN_S)
        shutil.rmtree(folder)


def _version() -> tuple[int, ...]:
    told = subprocess.run(
        [_PROGRAM, "--version"], capture_output=True, text=True, check=True, timeout=_WITHIN_S
    ).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    assert found, told
    return tuple(map(int, found.groups()))


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text(errors="replace"))
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
