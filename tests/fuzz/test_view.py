"""The kernel and the plain reference see the same view and the same tokens, whatever the bytes.

Messages are mixtures of the pieces that rules are made of, and recorded mail with such pieces put in.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import tokenize
from dspamd.mail import view_classic
from dspamd.mail.view import SignaturePass, View
from tests.fuzz.pieces import mutated_mail, pieces
from tests.model import classic as plain_classic
from tests.model import tokens as plain_tokens

texts = st.lists(pieces, max_size=60).map(b"".join)
passes = st.none() | st.builds(SignaturePass, st.booleans(), st.booleans())
options = st.builds(
    TokenOptions,
    st.sampled_from(["word", "chain", "sbph", "osb"]),
    st.booleans(),
    st.booleans(),
    st.just(True),
    st.just(frozenset([b"x-i"])),
)


@given(texts | mutated_mail(), passes)
@settings(max_examples=300, deadline=None)
def test_view(message: bytes, signature_pass: SignaturePass | None) -> None:
    assert view_classic.view(message, signature_pass=signature_pass) == plain_classic.view(
        message.replace(b"\0", b""),
        headers_only=signature_pass.headers_only if signature_pass else None,
        cut_tags=bool(signature_pass and signature_pass.cut_tags),
    )


@given(texts, texts | mutated_mail(1500), options)
@settings(max_examples=200, deadline=None)
def test_tokens(headers: bytes, body: bytes, options: TokenOptions) -> None:
    tokens = tokenize(View(headers, body), options)
    plain = plain_tokens.Tokenizer(
        options.tokenizer, options.url_context, options.whitelist, options.ignore_headers
    )(headers, body)
    entries = plain.iterate()
    values = tokens.values
    assert list(values) == [entry.value for entry in entries]
    assert list(tokens.frequencies) == [entry.frequency for entry in entries]
    assert [tokens.name(i) for i in range(len(tokens))] == [entry.name for entry in entries]
    assert tokens.whitelist == plain.whitelist
    assert [values[i] for i in tokens.order_stream] == plain.order
    assert [values[i] for i in tokens.chained_stream] == plain.chained
