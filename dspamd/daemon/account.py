"""Under which account workers run, and with what limits.

A daemon started by root opens its sockets as root; its workers, which alone read
what others send, become `ServerUser` and `ServerGroup` first.  The supervisor stays
root, like Postfix's master: it must be able to open a port below 1024 again.
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
"""What we write is for our account and the group of the mail programs."""


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
        """Become this account, for good; nothing if we are it.  Raises `PermissionError`."""
        if (os.geteuid(), os.getegid()) == (self.uid, self.gid):
            return
        os.initgroups(self.name, self.gid)
        os.setgid(self.gid)
        os.setuid(self.uid)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """Be this account in the body, to see what it may; only root can, for others nothing happens."""
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
    """What the system knows of a user.  Raises `LookupError` if that is nothing."""
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
    """Allow ourselves as many open files as the system does; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
