"""The views of a message, by name.  To add one, write a module like `view_classic` and name it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dspamd.mail import view_classic, view_modern
from dspamd.mail._features import Features
from dspamd.mail.view import SignaturePass, View

AnyView = View | Features
"""What a view is: two texts to be split into tokens, or the tokens themselves."""


class Viewer(Protocol):
    """Turns a message with LF line ends into a view of it; see `dspamd.mail.view_modern.view`."""

    def __call__(
        self,
        message: bytes,
        *,
        signature_pass: SignaturePass | None = None,
        document: bool = False,
        ignored: frozenset[bytes] = frozenset(),
        our_hosts: frozenset[bytes] = frozenset(),
    ) -> AnyView: ...


VIEWS: Mapping[str, Viewer] = {"classic": view_classic.view, "modern": view_modern.view}

GROUPED = frozenset({"modern"})
"""The views that consist of features, which have groups."""
