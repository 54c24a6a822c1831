"""The source of an external look-up, and the templates of its questions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 8
"""Questions to a source at the same time; further ones wait."""


_MARK = re.compile("%(.?)")


class Source(Protocol):
    """Knows the users of a site."""

    async def find(self, name: str) -> str | None:
        """The name of a user in the source; None if it has no such user.

        Raises `TempFail` if the source gives no answer now.
        """


def template(text: str) -> Callable[[str], str]:
    """A function that puts a user in place of each `%u` in a text; `%%` is a percent sign.

    Raises ValueError for any other mark.
    """
    for mark in _MARK.findall(text):
        if mark not in ("u", "%"):
            raise ValueError(f"%{mark} means nothing: only %u and %% do")
    return lambda user: _MARK.sub(lambda mark: user if mark[1] == "u" else "%", text)
