"""Tokens of the modern view."""

from __future__ import annotations

import pytest

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import Tokens, tokenize, tokens_from_signature
from dspamd.mail import view_classic, view_modern

OPTIONS = TokenOptions(whitelist=True, view="modern")


def tokens_of(message: bytes, options: TokenOptions = OPTIONS) -> Tokens:
    return tokenize(view_modern.view(message), options)


def test_the_tokens_are_the_features() -> None:
    message = b"Subject: cheap\n\nlook at http://example.org/"
    features, tokens = view_modern.view(message), tokens_of(message)
    assert tokens.grouped
    assert set(tokens.values) == set(features.values)
    assert set(tokens.frequencies) == {1}
    assert tokens.whitelist is None
    for texts_of in ("name", "topic"):
        of_features = {getattr(features, texts_of)(i) for i in range(len(features))}
        assert of_features == {getattr(tokens, texts_of)(i) for i in range(len(tokens))}
    assert {b'Subject contains "cheap"', b"link to host example.org", b'body contains "look"'} <= {
        tokens.name(tokens.index(value)) for value in features.values
    }


@pytest.mark.parametrize(
    "header",
    [
        b"From: Bob <bob@example.org>\n",
        b"To: a\nFrom: X: y\nX: b\n",
        b'From: "A Very Long Name"\n <a.user@b.example>\nTo: a\n',
        b"From:  two\n",
        b"From: a\n b\n",
        b"From: a\n bcdef: g\n",
        b"From: " + b"x" * 300 + b"\n",
        b"From: =?utf-8?Q?B=C3=BCrger?= <a@b>\n",
        b"From: a\nFrom: b\n",
        b"FROM: x\n",
        b"from: x\n",
        b"X-From: x\n",
        b"Subject: From: x\n",
        b"From : x\n",
        b"",
    ],
)
def test_the_whitelist_token_is_that_of_the_classic_view(header: bytes) -> None:
    message = header + b"\nFrom: no\n"
    classic = tokenize(view_classic.view(message), TokenOptions("word", whitelist=True))
    tokens = tokens_of(message)
    assert tokens.whitelist == classic.whitelist
    assert len(tokens) == len(view_modern.view(message)) + (tokens.whitelist is not None)
    if tokens.whitelist and classic.whitelist:
        assert tokens.name(tokens.index(tokens.whitelist)) == classic.name(classic.index(tokens.whitelist))
    assert tokens_of(message, TokenOptions(view="modern")).whitelist is None


def test_a_signature_brings_the_tokens_back() -> None:
    tokens = tokens_of(b"From: Bob <bob@example.org>\nSubject: cheap\n\nlook")
    for tokenizer in ("word", "sbph"):
        again = tokens_from_signature(
            tokens.signature(), TokenOptions(tokenizer, whitelist=True, view="modern")
        )
        assert again.grouped
        assert (again.values, again.whitelist) == (tokens.values, tokens.whitelist)
        assert again.signature() == tokens.signature()
        assert again.name(0) == b""


def test_a_classic_signature_has_no_groups() -> None:
    tokens = tokenize(view_classic.view(b"From: a\n\nx x"), TokenOptions("word", whitelist=True))
    again = tokens_from_signature(tokens.signature(), TokenOptions("word", whitelist=True))
    assert not tokens.grouped
    assert not again.grouped
    assert again.whitelist is None
