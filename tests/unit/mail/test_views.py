"""The registry of views."""

from __future__ import annotations

from typing import Any

import pytest

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import tokenize
from dspamd.mail import view_classic
from dspamd.mail.view import SignaturePass
from dspamd.mail.views import GROUPED, VIEWS


def test_the_view_of_a_message_is_the_classic_one_unless_options_name_another() -> None:
    assert VIEWS[TokenOptions().view] is view_classic.view


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_can_be_tokenized(name: str) -> None:
    """The tokens are those of the text, whatever the view is made of."""
    options = TokenOptions("word", view=name)

    def said(message: bytes, **how: Any) -> bytes:
        tokens = tokenize(VIEWS[name](message, **how), options)
        assert tokens.grouped == (name in GROUPED)
        return b"\n".join(tokens.name(i) for i in range(len(tokens)))

    found = said(b"Subject: x\n\n!DSPAM:1,2! text\n", signature_pass=SignaturePass(cut_tags=True))
    assert b"text" in found
    assert b"dspam" not in found.lower()
    assert b"Subject" in found
    assert b"hello" in said(b"Subject: hello\n", document=True)
