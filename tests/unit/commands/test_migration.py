"""dspam_admin copy: from one configuration's store into another's, and its report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dspamd.commands import dspam_admin
from dspamd.engine.model import Totals
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
HITS = {1: (2, 3), 2**64 - 1: (4, 0)}


class Move:
    """A site with hash files that changes to SQLite, in another place."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        for place in ("old", "new"):
            (folder / place).mkdir()
        self.old = Site(folder / "old", patch, "libhash_drv.so")
        self.old.teach("ann", Totals(2, 1), HITS, "6b000a80122151437417508")
        self.old.teach("bob", Totals(1, 0), {5: (1, 0)})
        self._prefer("cy", "spamAction=tag\n")
        self.new = Site(folder / "new", patch)
        self.config = str(folder / "old/dspam.conf")

    def _prefer(self, user: str, text: str) -> None:
        path = self.old.folder / f"data/{user}/{user}.prefs"
        path.parent.mkdir()
        path.write_text(text)


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    return Move(tmp_path, monkeypatch)


def test_all_users_are_brought_over(move: Move, capsys: Output) -> None:
    (move.old.folder / "default.prefs").write_text("optIn=on\n")
    assert dspam_admin.main(["copy", move.config, "--verbose"]) == 0
    assert capsys.readouterr() == (
        "default: 0 tokens (0 changed), 0 signatures (0 new), 1 preferences (1 new)\n"
        "ann: 2 tokens (2 changed), 1 signatures (1 new), 0 preferences (0 new)\n"
        "bob: 1 tokens (1 changed), 0 signatures (0 new), 0 preferences (0 new)\n"
        "cy: 0 tokens (0 changed), 0 signatures (0 new), 1 preferences (1 new)\n"
        "3 users: 3 tokens (3 changed), 1 signatures (1 new), 2 preferences (2 new)\n",
        "",
    )
    assert (move.new.known("ann"), move.new.totals("ann")) == (HITS, Totals(2, 1))
    assert (move.new.folder / "data/cy/cy.prefs").read_text() == "spamAction=tag\n"
    assert dspam_admin.main(["copy", move.config]) == 0
    assert capsys.readouterr().out == (
        "3 users: 3 tokens (0 changed), 1 signatures (0 new), 2 preferences (0 new)\n"
    )
    assert (move.new.known("ann"), move.new.totals("ann")) == (HITS, Totals(2, 1))


def test_some_users_are(move: Move, capsys: Output) -> None:
    assert dspam_admin.main(["copy", move.config, "bob", "nobody"]) == 0
    assert capsys.readouterr().out.startswith("2 users: 1 tokens (1 changed)")
    assert move.new.known("ann") == {}


def test_who_has_learned_there_is_left_alone_unless_he_is_to_be_replaced(move: Move, capsys: Output) -> None:
    move.new.teach("ann", Totals(9, 9), {7: (9, 9)})
    assert dspam_admin.main(["copy", move.config]) == 1
    out, err = capsys.readouterr()
    assert err == "dspam_admin: ann: has learned other mail over there\n"
    assert out.startswith("3 users: 1 tokens (1 changed)")
    assert move.new.known("ann") == {7: (9, 9)}
    assert dspam_admin.main(["copy", "--replace", move.config, "ann"]) == 0
    assert (move.new.known("ann"), move.new.totals("ann")) == (HITS, Totals(2, 1))


def test_a_configuration_that_is_not_there(move: Move, capsys: Output) -> None:
    assert dspam_admin.main(["copy", f"{move.config}.bak"]) == os.EX_CONFIG
    assert "dspam.conf.bak" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--replace"], ["dspam.conf", "--all"]])
def test_usage(words: list[str], capsys: Output) -> None:
    assert dspam_admin.main(["copy", *words]) == 1
    assert capsys.readouterr() == ("", dspam_admin.USAGE)
