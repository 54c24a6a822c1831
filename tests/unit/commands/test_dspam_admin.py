"""dspam_admin: what the recordings do not show (tests/golden/test_cli_tools.py replays those)."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from dspamd.commands import dspam_admin
from dspamd.engine.model import Totals
from dspamd.engine.tokenizer import crc64
from dspamd.maintenance.conformance import suite
from dspamd.maintenance.conformance.steps import expect
from dspamd.maintenance.conformance.suite import CASES
from dspamd.storage.contract import Storage
from tests.support.site import Site

Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_user_may_be_called_like_the_beginning_of_default(site: Site, capsys: Output) -> None:
    for user in ("d", "default", ""):
        assert dspam_admin.main(["add", "preference", user, "spamAction", f"tag {user}"]) == 0
    capsys.readouterr()
    assert dspam_admin.main(["list", "preference", "d"]) == 0
    assert dspam_admin.main(["list", "preference", "default"]) == 0
    assert dspam_admin.main(["list", "preference", ""]) == 0
    assert capsys.readouterr().out == "spamAction=tag d\nspamAction=tag \nspamAction=tag \n"


def test_preferences_that_cannot_be_kept(site: Site, capsys: Output) -> None:
    assert dspam_admin.main(["add", "preference", "bob", "spamSubject", "two\nlines"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert dspam_admin.main(["add", "preference", "../bob", "a", "b"]) == 69
    out, err = capsys.readouterr()
    assert out == "operation failed with error 69.\n"
    assert err.startswith("Invalid user name")


STORED = "operation successful.\n"


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("spamActoin", "tag", "spamActoin=tag: there is no such preference, did you mean spamAction?"),
        ("spamAction", "drop", "spamAction=drop: one of quarantine, tag, deliver is expected"),
        ("enableBNR", "yes", "enableBNR=yes: one of on, off is expected; it is ignored"),
        ("whitelistThreshold", "ten", "whitelistThreshold=ten: a number from 1"),
        ("showFactors", "on", "showFactors of a user does not count: AllowOverride does not name it"),
    ],
)
def test_a_preference_that_will_not_count_is_stored_with_a_warning(
    site: Site, capsys: Output, name: str, value: str, warning: str
) -> None:
    site.configure("AllowOverride spamAction spamActoin enableBNR whitelistThreshold")
    for function in ("add", "change"):
        assert dspam_admin.main([function, "preference", "bob", name, value]) == 0
        out, err = capsys.readouterr()
        assert out == STORED
        assert err.startswith(f"warning: {warning}")
        assert err.count("\n") == 1
    assert dspam_admin.main(["list", "preference", "bob"]) == 0
    assert capsys.readouterr().out == f"{name}={value}\n"


def test_a_preference_that_counts_is_stored_without_a_word(site: Site, capsys: Output) -> None:
    site.configure("AllowOverride SPAMACTION localStore")
    for name, value in ("spamAction", "TAG"), ("spamaction", "quarantine"), ("localStore", ""):
        assert dspam_admin.main(["add", "preference", "bob", name, value]) == 0
        assert capsys.readouterr() == (STORED, "")
    assert dspam_admin.main(["delete", "preference", "bob", "spamaction", ""]) == 0
    assert capsys.readouterr() == (STORED, "")


def test_the_first_preference_of_everybody_replaces_those_of_the_file(site: Site, capsys: Output) -> None:
    site.configure('Preference "spamAction=tag"', 'Preference "showFactors=on"')
    assert dspam_admin.main(["add", "preference", "default", "optOut", "off"]) == 0
    out, err = capsys.readouterr()
    assert out == STORED
    assert err.startswith("warning: stored preferences of everybody replace all 2 preferences that ")
    assert dspam_admin.main(["add", "preference", "default", "optIn", "off"]) == 0
    assert capsys.readouterr() == (STORED, "")  # the warning came before
    assert dspam_admin.main(["aggregate", "preference", "default"]) == 0
    assert set(capsys.readouterr().out.split()) == {"optOut=off", "optIn=off"}


def test_is_for_the_trusted(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: 65534)
    assert dspam_admin.main(["list", "preference", "bob"]) == 1
    assert capsys.readouterr().err.startswith("Program mode requires special privileges")


def test_storage_that_keeps_its_contract(site: Site, capsys: Output) -> None:
    site.teach("bob", Totals(1, 1))
    assert dspam_admin.main(["storage-check"]) == 0
    cases = [case.__name__.replace("_", " ") for case in CASES]
    assert capsys.readouterr().out == "".join(f"ok    {case}\n" for case in cases)
    assert [path.name for path in (site.folder / "data").iterdir() if any(path.iterdir())] == ["bob"]


def test_storage_that_does_not(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    async def promises_too_much(storage: Storage, owner: str) -> None:
        expect(await storage.owners(), [owner], "owners")

    monkeypatch.setattr(suite, "CASES", (promises_too_much, *CASES[:1]))
    assert dspam_admin.main(["storage-check"]) == 1
    broken, sound = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"FAIL  promises too much: Violation\(.*owners: \[\], not .*\)", broken)
    assert sound == "ok    owners are made on demand"


def test_tokens_are_explained(site: Site, capsys: Output) -> None:
    site.teach("bob", Totals(20, 20), {crc64(b"zebra"): (9, 1)})
    assert dspam_admin.main(["explain", "bob", "zebra", "unseen"]) == 0
    told, err = capsys.readouterr()
    assert err == ""
    assert dspam_admin.main(["explain", "nobody", "zebra"]) == 0
    out, err = capsys.readouterr()
    assert err == "nobody is unknown: there is no dictionary of nobody; a new user would get this\n"
    assert told + out == (
        "S: 00009  I: 00001  P: 0.9000  zebra\n"
        "S: 00000  I: 00000  P: 0.4000  unseen\n"
        "S: 00000  I: 00000  P: 0.4000  zebra\n"
    )


def test_messages_are_explained(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    site.configure("Tokenizer word")
    site.teach("bob", Totals(20, 20), {crc64(b"zebra"): (9, 1), crc64(b"lion"): (0, 19)})
    message = io.BytesIO(b"Subject: hi\n\nzebra lion unseen\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(message))
    assert dspam_admin.main(["explain", "bob"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["S: 00000  I: 00019  P: 0.0100  lion", "S: 00009  I: 00001  P: 0.9000  zebra"]
    assert {line.split("  ")[-1] for line in lines} == {"lion", "zebra", "unseen", "Subject*hi"}


def explained(monkeypatch: pytest.MonkeyPatch, capsys: Output, *options: str) -> str:
    """What `explain` prints of a message."""
    message = io.BytesIO(b"Subject: cheap\n\ncheap pills\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(message))
    assert dspam_admin.main(["explain", "bob", *options]) == 0
    return capsys.readouterr().out


def test_reasons_are_explained_as_a_table_and_as_json(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    site.configure("Algorithm confidence", "MessageView modern")
    assert explained(monkeypatch, capsys).startswith(
        "Innocent, probability 0.5000, confidence 0.0000\n+0.0 points:"
    )
    data = json.loads(explained(monkeypatch, capsys, "--json"))
    assert (data["result"], data["points"], data["learned"]) == ("Innocent", 0, {"spam": 0, "ham": 0})
    assert dspam_admin.main(["explain", "bob", "--json", "zebra"]) == 0
    (token,) = json.loads(capsys.readouterr().out)["reasons"]
    assert token == {"reason": "zebra", "in_spam": 0, "in_ham": 0, "probability": 0.5}
