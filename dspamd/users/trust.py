"""The accounts of the system that are trusted."""

from __future__ import annotations

import pwd

from dspamd.config.config import Config, contains
from dspamd.errors import UsageError


def login_name(uid: int) -> str:
    """The name of an account.  Raises UsageError if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise UsageError("Unable to determine the runtime user") from None


def trusted(config: Config, uid: int, name: str | None = None) -> bool:
    """Whether an account may act for other users (cli.md 2).

    `name` is the name of the account, None if it must be looked up.  Raises UsageError if the
    account has none.
    """
    if uid == 0 or not config.TrustedUserSecurity:
        return True
    return contains(config.Trust, login_name(uid) if name is None else name)
