"""dspam_train: the order of the messages, and what a corpus may be."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from dspamd.commands import dspam_train
from dspamd.commands.dspam_train import Options, corpus
from dspamd.commands.turns import Item, in_turns
from dspamd.engine.model import Label
from tests.support.site import Site


def _items(label: Label, count: int) -> list[Item]:
    return [Item(label, str(number), bytes) for number in range(count)]


@pytest.mark.parametrize(
    ("innocent", "spam", "turns"),
    [
        (8, 6, "isisisisisiisi"),  # as recorded
        (4, 4, "isisisis"),
        (6, 2, "isiisiii"),
        (2, 6, "isssssis"),
        (0, 2, "ss"),
        (2, 0, "ii"),
        (0, 0, ""),
    ],
)
def test_turns(innocent: int, spam: int, turns: str) -> None:
    items = list(in_turns(_items(Label.INNOCENT, innocent), _items(Label.SPAM, spam)))
    assert "".join("s" if item.label is Label.SPAM else "i" for item in items) == turns
    assert len({item[:2] for item in items}) == innocent + spam


def _contents(*corpora: Path) -> list[tuple[Label, bytes]]:
    return [(item.label, item.read()) for item in corpus(Options("bob", False, "", corpora))]


def test_corpora(tmp_path: Path) -> None:
    maildir = tmp_path / "maildir"
    for folder in ("cur", "new", "tmp"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "cur" / "1:2,S").write_bytes(b"seen\n")
    (maildir / "new" / "2").write_bytes(b"new\n")
    (maildir / "new" / ".hidden").write_bytes(b"no message\n")
    box = mailbox.mbox(tmp_path / "mbox")
    for text in ("Subject: one\n\nfirst\n", "Subject: two\n\nsecond\n"):
        box.add(text)
    box.close()
    assert _contents(tmp_path / "mbox", maildir) == [
        (Label.INNOCENT, b"seen\n"),
        (Label.SPAM, b"Subject: one\n\nfirst\n"),
        (Label.INNOCENT, b"new\n"),
        (Label.SPAM, b"Subject: two\n\nsecond\n"),
    ]


def test_index(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"spam\n")
    (tmp_path / "c").write_bytes(b"ham\n")
    (tmp_path / "index").write_text(f"spam {tmp_path}/a b\n\nham c\n")
    assert _contents(tmp_path / "index") == [(Label.SPAM, b"spam\n"), (Label.INNOCENT, b"ham\n")]


def test_unusable_corpora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Site(tmp_path, monkeypatch)
    (tmp_path / "index").write_text("viagra message\n")
    for name, complaint in (
        ("none", f'Failed to open index file "{tmp_path}/none": No such file or directory\n'),
        ("index", f"{tmp_path}/index: 'viagra' is neither spam nor ham\n"),
    ):
        assert dspam_train.main(["bob", "-i", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == complaint
