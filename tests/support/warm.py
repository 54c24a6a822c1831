"""The commands of dspamd as programs that start at once: a process that has them loaded forks for each call.

`programs` are files in a folder for PATH.  Each hands its command line, environment, folder, umask and
standard streams to the process `python -m tests.support.warm SOCKET`, which calls the function of the
command in a child of its own, and ends with the status of that child.  Imports cost most of a command's time.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

_LOADED = ("dspamd.app", "dspamd.commands.functions", "dspamd.doctor.checks", "dspamd.storage.drivers")
_REQUEST_BYTES = 1 << 20
_PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    umask = os.umask(0o22)
    request = {{"argv": sys.argv, "environment": dict(os.environ), "folder": os.getcwd(), "umask": umask}}
    content = json.dumps(request).encode()
    socket.send_fds(server, [len(content).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(content)
    status = server.recv(1)
sys.exit(status[0] if status else 70)
"""


@contextmanager
def programs(folder: Path) -> Iterator[Path]:
    """A folder with all commands, below `folder`; they work until the end of the body."""
    place, commands = folder / "socket", folder / "bin"
    commands.mkdir()
    for name in distribution("dspamd").entry_points.names:
        path = commands / name
        path.write_text(_PROGRAM.format(python=sys.executable, place=str(place)))
        path.chmod(0o755)
    command: list[str | Path] = [sys.executable, "-m", "tests.support.warm", place]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield commands
        finally:
            server.terminate()


def _serve(place: str) -> None:
    for module in _LOADED:
        importlib.import_module(module)
    scripts = {script.name: script for script in distribution("dspamd").entry_points}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        while True:
            client, _ = listening.accept()
            with client:
                if not os.fork():
                    listening.close()
                    _answer(client, scripts)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(client: socket.socket, scripts: dict[str, EntryPoint]) -> None:
    """Do what a client asks for, and end."""
    length, streams, _, _ = socket.recv_fds(client, 4, 3)
    content = b""
    while len(content) < int.from_bytes(length, "big"):
        content += client.recv(_REQUEST_BYTES)
    request = json.loads(content)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8") for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    client.send(bytes([_status(scripts[Path(sys.argv[0]).name])]))
    os._exit(0)


def _status(script: EntryPoint) -> int:
    """The exit status of a command, as sys.exit would give it."""
    try:
        status = script.load()()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status & 255 if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    _serve(sys.argv[1])
