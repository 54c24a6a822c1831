"""From a view of a message, or from its signature, to its tokens.

The modern view gives tokens itself: its features (`dspamd.mail.view_modern`).  Of the classic one, four
tokenizers make them (reference/engine.md 2): `word` gives single words, `chain` words and neighbouring
pairs, `osb` pairs within five words, `sbph` all combinations within five words.  Every token is a
64-bit number; its name is built only on request.

Tokens depend on the message and on `TokenOptions` alone: users with equal options share them.  They
never change once made, and may be read from any thread.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dspamd.engine import _kernel
from dspamd.engine._kernel import Tokens, crc64
from dspamd.mail import view_classic
from dspamd.mail._features import Features
from dspamd.mail.views import GROUPED

if TYPE_CHECKING:
    from dspamd.engine.model import TokenOptions
    from dspamd.mail.views import AnyView

__all__ = ["Tokens", "crc64", "tokenize", "tokens_from_signature"]

FEATURES_MARK = b"dspamd features\n"  # begins a signature of a scorer with weights (`engine.joint`)
TEXT_MARK = b"\x01"  # stands between the two texts of an sbph signature (engine.md 8.2)


def tokenize(view: AnyView, options: TokenOptions) -> Tokens:
    """The tokens of a view.

    Of the modern view these are its features, and the same whitelist token as that of the classic view.
    Raises ValueError for an unknown tokenizer, MemoryError, and OverflowError from 4 GiB of text.
    """
    if isinstance(view, Features):
        # Both views know a sender by the same token: that of the From line as the classic view shows it.
        senders = view_classic.view(view.senders).headers if options.whitelist else b""
        return _kernel.tokenize_features(view, senders)
    headers, body = view
    return _tokens(headers, body, options)


def tokens_from_signature(signature: bytes, options: TokenOptions) -> Tokens:
    """The tokens of a stored signature, to train a message that is gone (engine.md 7.7, 8.2).

    An sbph signature is text and is tokenized again; any other is a list of tokens without names.
    That of a scorer with weights has none that others could use.
    """
    if signature.startswith(FEATURES_MARK):
        return Tokens.from_signature(b"")  # a scorer that the user had before
    if options.view in GROUPED:
        return Tokens.from_signature(signature, grouped=True)
    if options.tokenizer != "sbph":
        return Tokens.from_signature(signature)
    headers, _, body = signature.partition(b"\0")[0].partition(TEXT_MARK)
    return _tokens(headers, body, options)


def _tokens(headers: bytes, body: bytes, options: TokenOptions) -> Tokens:
    return _kernel.tokenize_view(
        headers,
        body,
        options.tokenizer,
        options.url_context,
        options.whitelist,
        options.noise,
        _headings(options.ignore_headers),
    )


@lru_cache(maxsize=16)
def _headings(names: frozenset[bytes]) -> _kernel.Headings:
    return _kernel.Headings(names)
