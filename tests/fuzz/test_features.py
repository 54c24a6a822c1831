"""The modern view finds the words and the style that a plain model finds, whatever a text is made of."""

from __future__ import annotations

import base64

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dspamd.mail import view_modern
from tests.model import words as plain
from tests.model.style import style

PIECES = (
    list("abcXYZ019.:?!-_@/&%$#+ \n\t\"'()=,;*~")
    + list("éÉßüİıﬁｖＡ①²ª№Å")
    + ["e\u0301", "u\u0308", "\u0301", "a\u0323\u0307"]
    + list("жЩёаеіΩσςγ")
    + list("中文字漢あアｱ가힣ราคาก้ລာក་ㄅ")
    + list("\u200b\u200d\u00ad\ufeff\u2060")
    + list("\u00a0\u3000\u2003—„“”«»…。、，・")
    + list("🔥😀☎©®™€£")
    + ["word", "Straße", "ТАБЛЕТКИ", "免费发票", "x" * 70, "é" * 70]
)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("é" * 59 + "e\u0301" * 3)
@settings(max_examples=500, deadline=None)
def test_words(text: str) -> None:
    start = 'body contains "'
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    features = view_modern.view(head + base64.encodebytes(text.encode()))
    names = {features.name(i).decode(): value >> 60 for i, value in enumerate(features.values)}
    found = {name[len(start) : -1] for name, group in names.items() if group == 0 and name.startswith(start)}
    assert found == plain.words(text)
    assert {name for name, group in names.items() if group == 7 and ": about " in name} == style(
        text.encode()
    )
