"""The registry of views."""

from __future__ import annotations

import pytest

from dspamd.engine.model import TokenOptions
from dspamd.mail import view_classic
from dspamd.mail.view import SignaturePass, View
from dspamd.mail.views import VIEWS


def test_the_view_of_a_message_is_the_classic_one_unless_options_name_another() -> None:
    assert VIEWS[TokenOptions().view] is view_classic.view


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_is_a_value_of_one_type(name: str) -> None:
    view = VIEWS[name](b"Subject: x\n\n!DSPAM:1,2! text\n", signature_pass=SignaturePass(cut_tags=True))
    assert type(view) is View
    assert b"DSPAM" not in view.body
    assert VIEWS[name](b"no header", document=True) == View(b": \n", b"no header")
