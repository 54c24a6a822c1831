"""A view of a message: the text that is tokenized, as a value.

`dspamd.mail.views` lists all views by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class View(NamedTuple):
    """Header text and body text, as they are tokenized and kept in sbph signatures."""

    headers: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SignaturePass:
    """How the search for a signature changes the view (engine.md 1.8).

    `headers_only`: DSPAM looked for signatures in headers alone (`signatureLocation=headers`), so bodies
    stay as they are.  `cut_tags`: the first signature tag of every part is cut out (inbound mail,
    unless it is trained as it came).
    """

    headers_only: bool = False
    cut_tags: bool = False
