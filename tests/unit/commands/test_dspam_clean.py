"""dspam_clean: its command line, whom it serves, and that it really purges files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dspamd.commands import dspam_clean
from dspamd.commands.dspam_clean import USAGE, Options, parse
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.errors import UsageError
from dspamd.maintenance.purge import Ages, Unused
from tests.support.site import Site


@pytest.fixture(params=["libsqlite3_drv.so", "libhash_drv.so"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch, request.param)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", Options()),
        ("-s -p -u", Options("", "", "")),
        ("-s7 -p0 -u1,2,3,4 ann bob", Options("7", "0", "1,2,3,4", ("ann", "bob"))),
        ("ann -u9", Options(unused="9", users=("ann",))),
        ("--compact ann", Options(users=("ann",), compact=True)),
        ("--profile=big --verbose -p", Options(neutral="", profile="big", verbose=True)),
    ],
)
def test_command_line(words: str, wanted: Options) -> None:
    assert parse(words.split()) == wanted


@pytest.mark.parametrize(
    "word", ["-x", "-sx", "-u1,2,3,4,5", "-u1,,2", "-u60,,", "-p-1", "--quiet", "-s123456", "-"]
)
def test_unknown_options_are_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse([word])


@pytest.mark.parametrize(
    ("configured", "words", "wanted"),
    [
        ("", "-s -p -u", Ages(14, 30, Unused(90, 30, 15, 15))),
        ("", "-u7", Ages(unused=Unused(7, 30, 15, 15))),
        ("PurgeNeutral 90\nPurgeHapaxes 20", "-p -u60", Ages(None, 90, Unused(60, 20, 15, 15))),
        ("PurgeSignatures 7\nPurgeUnused 60", "-s0", Ages(0, None, Unused(60, 30, 15, 15))),
        ("PurgeSignatures off\nPurgeNeutral off", "-s -p", Ages()),
        ("PurgeSignatures off\nPurgeNeutral off", "-s1 -p1", Ages(1, 1)),
        ("PurgeUnused off", "-u", Ages(unused=Unused(None, 30, 15, 15))),
    ],
)
def test_ages(configured: str, words: str, wanted: Ages) -> None:
    config = Config.from_text(f"Home /x\n{configured}\n")
    assert dspam_clean.purge_ages(config, parse(words.split())) == wanted


def test_purges_what_it_should_and_says_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for owner in ("ann", "bob"):
        site.teach(owner, Totals(50, 50), {1: (1, 0), 2: (0, 9)}, "4c873d4a1")
    assert dspam_clean.main(["-s0", "-p0", "bob"]) == 0
    assert site.known("bob") == {2: (0, 9)}
    assert site.known("ann") == {1: (1, 0), 2: (0, 9)}
    assert site.totals("bob") == Totals(50, 50)
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert dspam_clean.main([]) == 1
    assert capsys.readouterr() == ("", USAGE)
    assert dspam_clean.main(["-h"]) == 0
    assert capsys.readouterr() == ("", USAGE)
    site.configure("PurgeSignatures off")
    assert dspam_clean.main(["-s"]) == 0
    assert capsys.readouterr() == ("", "")
    assert dspam_clean.main(["-x"]) == 1
    assert capsys.readouterr() == ("", f"unknown option '-x'\n{USAGE}")


def test_is_for_the_trusted(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: 65534)
    assert dspam_clean.main(["-s"]) == 1
    err = capsys.readouterr().err
    assert err == "Program mode requires special privileges, e.g., root or Trusted User\n"


def test_trouble_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.teach("ann", Totals(1, 1), {1: (1, 0)})
    (site.folder / "data/ann").rename(site.folder / "data/gone")
    (site.folder / "data/ann").mkdir()
    for ending in ("sdb", "css"):
        (site.folder / f"data/ann/ann.{ending}").write_bytes(b"no database\n" * 100)
    site.teach("bob", Totals(1, 1), {1: (1, 0)})
    assert dspam_clean.main(["-p0"]) == 75
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("dspam_clean: ann: Storage is not available: ")
    assert site.known("bob") == {}
