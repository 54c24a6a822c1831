"""The modern view of a message: its features.

A feature is something that can be said of a message: a word of its text, a word of a field, the host of a
link, a network that it came through, its structure.  Texts are decoded to Unicode; HTML is read as a browser
shows it, and what it hides is kept apart.  Each feature is a number of 64 bits, whose top four bits are its
group: a scorer can give each group the same weight.  `_features.pyx` makes them; `features/kinds.pxi` says
which there are.

Nothing here changes the message, keeps state, or fails for any bytes.  Time grows linearly with the message,
and of a long one only so much is looked at: 64 KiB of each text, 128 KiB of each page, 256 KiB in all.
"""

from __future__ import annotations

from dspamd.mail._features import Features, features_of
from dspamd.mail.view import SignaturePass


def view(
    message: bytes,
    *,
    signature_pass: SignaturePass | None = None,
    document: bool = False,
    ignored: frozenset[bytes] = frozenset(),
    our_hosts: frozenset[bytes] = frozenset(),
) -> Features:
    """The features of a message with LF line ends.

    `signature_pass`: whether the first signature tag of each part is left out.  A `document` has no headers:
    whatever looks like one is text.  `ignored` are names of fields that are left out, `our_hosts` those by
    which our mail servers write `Authentication-Results` (RFC 8601), in lower case: what others write there
    is not believed.  Raises MemoryError if there is no memory.
    """
    cut_tags = signature_pass is not None and signature_pass.cut_tags and not signature_pass.headers_only
    return features_of(message, document, cut_tags, ignored, our_hosts)
