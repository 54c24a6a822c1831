"""The classic view of a message: the text that the original's tokenizer saw.

A message becomes two texts: the headers of all its parts, decoded and cut as the original cut them,
and the bodies of its text parts, decoded and freed of HTML (reference/engine.md 1).  This view
makes old dictionaries usable, so it keeps the original's oddities: boundaries that never expire, text
after an encoded word that is lost, script content that shows.  Reads beyond the text are repaired;
NUL bytes are dropped, as the original's LMTP input did.

The original looked for a signature before it tokenized, and that changed the text;
`SignaturePass` says how.  Nothing here changes the message, keeps state, or fails for any bytes; time
and memory grow linearly with the message.
"""

from __future__ import annotations

from dspamd.mail import _view
from dspamd.mail.view import SignaturePass, View

_NO_HEADERS = b": \n\n"
"""Put before a document, it is the header that a message needs; it makes no token (engine.md 1.1)."""


def view(
    message: bytes,
    *,
    signature_pass: SignaturePass | None = None,
    document: bool = False,
    ignored: frozenset[bytes] = frozenset(),
    our_hosts: frozenset[bytes] = frozenset(),
) -> View:
    """The classic view of a message with LF line ends.

    Without `signature_pass` it is that of a message that is not searched for a signature (engine.md
    9.6).  A `document` has no headers: whatever looks like one is text.  All fields are shown: of those that
    are `ignored` the tokenizer makes no words; `our_hosts` says nothing here.  Raises MemoryError if there
    is no memory.
    """
    if b"\0" in message:
        message = message.replace(b"\0", b"")
    if document:
        message = _NO_HEADERS + message
    if signature_pass is None:
        return View(*_view.flatten_message(message, False, False, False))
    return View(*_view.flatten_message(message, True, signature_pass.headers_only, signature_pass.cut_tags))
