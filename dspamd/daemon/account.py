"""The account and the limits of workers.

A daemon that root starts opens its sockets as root.  Only its workers read what clients
send; they become `ServerUser` and `ServerGroup` first.  The supervisor stays root, like
Postfix's master, so that it can open a port below 1024 again.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import resource
from collections.abc import Iterator
from dataclasses import dataclass

UMASK = 0o006
"""Our account and the group of the mail programs may read and write our files."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the group that files get; `name` is for its other groups."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, user: str, group: str = "") -> Account:
        """The account with these names; the group is the user's own if none is given.

        Raises `LookupError` if there is no such user or group.
        """
        entry = user_entry(user)
        return cls(user, entry.pw_uid, gid_of(group) if group else entry.pw_gid)

    def assume(self) -> None:
        """Become this account permanently; does nothing if we are this account.  Raises `PermissionError`.

        Its home is ours then: drivers of databases look for certificates there.
        """
        if (os.geteuid(), os.getegid()) == (self.uid, self.gid):
            return
        os.initgroups(self.name, self.gid)
        os.setgid(self.gid)
        os.setuid(self.uid)
        os.environ["HOME"] = user_entry(self.name).pw_dir

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """Be this account in the body, to see its rights.  Does nothing unless we are root."""
        if os.geteuid() != 0:
            yield
            return
        groups, gid = os.getgroups(), os.getegid()
        try:
            os.initgroups(self.name, self.gid)
            os.setegid(self.gid)
            os.seteuid(self.uid)
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)


def user_entry(name: str) -> pwd.struct_passwd:
    """The entry of a user in the password database.  Raises `LookupError` if there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"there is no user {name}") from None


def gid_of(group: str) -> int:
    """The number of a group.  Raises `LookupError` if there is none of that name."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {group}") from None


def raise_open_files() -> int:
    """Raise our limit of open files as far as the system allows; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
