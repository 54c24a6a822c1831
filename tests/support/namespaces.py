"""Namespaces of the kernel: what root may make on a machine of its own, and in most containers nobody."""

from __future__ import annotations

import subprocess

import pytest


def unshare(*options: str, probe: str = "true") -> tuple[str, ...]:
    """The command that starts a program in namespaces of its own, with these options of unshare(1).

    `probe`: what the program has to be allowed, as a line of sh. Where it is not, the test is skipped, and
    says so: no package that we could install would help.
    """
    command = ("unshare", *options)
    tried = subprocess.run([*command, "sh", "-ec", probe], capture_output=True, text=True, timeout=60)
    if tried.returncode:
        pytest.skip(f"this account may not make namespaces here: {tried.stderr.strip()}")
    return command
