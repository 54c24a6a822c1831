"""dspam_admin export, import, delete user: their answers (tests/contract/test_moving.py: what arrives)."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from dspamd.commands import dspam_admin
from dspamd.commands.functions import FUNCTIONS
from dspamd.engine.model import Totals
from dspamd.home.home import Home, Layout
from dspamd.maintenance.moving.importing import Import
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
HITS = {1: (2, 3), 2**64 - 1: (4, 0)}
TOTALS = Totals(4, 3)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", TOTALS, HITS, "6b000a80122151437417508")
    site.folder.joinpath("data/bob/bob.blocklist").write_text("example.net\n")
    return site


@pytest.fixture
def archive(site: Site, tmp_path: Path, capsys: Output) -> str:
    file = str(tmp_path / "bob.export")
    assert dspam_admin.main(["export", "bob", file, "--verify"]) == 0
    assert capsys.readouterr() == (f"{file}: bob: 1 totals, 2 token, 1 signature, 1 line\n", "")
    return file


def test_the_archive_is_json_for_its_owner_alone(archive: str) -> None:
    lines = gzip.decompress(Path(archive).read_bytes()).splitlines()
    first, *rest, last = map(json.loads, lines)
    assert (first["dspamd_export"], first["user"], first["driver"]) == (1, "bob", "sqlite")
    tokens = [record for record in rest if "token" in record]
    assert [record["token"] for record in tokens] == ["0000000000000001", "ffffffffffffffff"]
    assert last["end"] == {"totals": 1, "token": 2, "signature": 1, "line": 1}
    assert Path(archive).stat().st_mode & 0o777 == 0o600


def test_a_known_user_stays_unless_they_are_replaced_or_merged(
    site: Site, archive: str, capsys: Output
) -> None:
    assert dspam_admin.main(["import", archive]) == 1
    error = "bob is known here: --replace puts the archive in place, --merge adds it\n"
    assert capsys.readouterr() == ("", error)
    assert dspam_admin.main(["import", archive, "--merge"]) == 0
    assert site.known("bob") == {1: (4, 6), 2**64 - 1: (8, 0)}
    assert dspam_admin.main(["import", archive, "--verify"]) == 1
    assert (
        "bob: the totals are (8, 6, 0, 0, 0, 0, 0, 0), not (4, 3, 0, 0, 0, 0, 0, 0)\n"
        in capsys.readouterr().err
    )
    assert dspam_admin.main(["import", archive, "--replace"]) == 0
    assert (site.known("bob"), site.totals("bob")) == (HITS, TOTALS)


def test_an_archive_goes_to_another_name(site: Site, archive: str, capsys: Output) -> None:
    assert dspam_admin.main(["import", "ann", archive, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["user"], told["records"]["token"], told["different"]) == ("ann", 2, [])
    assert (site.known("ann"), site.totals("ann")) == (HITS, TOTALS)
    assert site.folder.joinpath("data/ann/ann.blocklist").read_text() == "example.net\n"


def test_it_goes_through_a_pipe(site: Site, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert dspam_admin.main(["export", "bob"]) == 0
    assert gzip.decompress(capfdbinary.readouterr().out).count(b"\n") == 7


def test_archives_that_are_none(site: Site, archive: str, tmp_path: Path, capsys: Output) -> None:
    whole = Path(archive).read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    other = tmp_path / "other"
    for content, why in (
        (b"", "the file is empty"),
        (b"text", "no sound gzip file"),
        (whole[:-9], "no sound gzip file"),
        (gzip.compress(b"text\n"), "a line is no JSON"),
        (gzip.compress(b"{}\n"), "a line is no JSON object"),
        (gzip.compress(b'{"a": 1}, {"b": 1}\n'), "a line is no JSON object"),
        (gzip.compress(b"[" * 99_999 + b"\n"), "a line is no JSON"),
        (gzip.compress(b'{"user": "ann"}\n'), "this is no export of dspam_admin"),
        (gzip.compress(b'{"dspamd_export": 1}\n'), "this is no export of dspam_admin"),
        (gzip.compress(b'{"dspamd_export": 2, "user": "x"}\n'), "format 2 needs a later release"),
        (gzip.compress(b"".join(lines[:-1])), "its end is missing"),
        (gzip.compress(b"".join(lines[:1] + lines[2:])), "it is damaged: its checksum is another one"),
    ):
        other.write_bytes(content)
        assert dspam_admin.main(["import", "ann", str(other)]) == 1, why
        out, err = capsys.readouterr()
        assert (out, err.startswith(f"{other}: {why}"), err.count("\n")) == ("", True, 1), err
    assert dspam_admin.main(["import", "ann", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert site.known("ann") == {}


@pytest.mark.parametrize(
    "record",
    [
        {"file": "../../x", "data": ""},
        {"file": "x/../../../x", "data": ""},
        {"file": "css", "data": ""},
        {"file": "prefs", "data": ""},
        {"file": "/etc/x", "data": ""},
        {"line": "x", "of": "../x"},
        {"opt": "no"},
        {"token": "1", "spam": "1); DROP TABLE x", "innocent": 0, "last_hit": None},
        {"token": "1" * 17, "spam": 1, "innocent": 0, "last_hit": None},
        {"token": "1", "spam": -1, "innocent": 0, "last_hit": None},
        {"block": "../x", "base": ""},
        {"change": "", "of": "joint"},
        {"totals": {"none": 1}},
        {"quarantined": "no base64"},
        {"signature": "abc", "day": "x", "data": ""},
    ],
)
def test_hostile_records_change_nothing_elsewhere(
    site: Site, archive: str, tmp_path: Path, capsys: Output, record: dict[str, object]
) -> None:
    from dspamd.maintenance.moving.archive import Writer

    other = tmp_path / "other"
    with other.open("wb") as file:
        writer = Writer(file, {"user": "ann"})
        writer.add([record])
        writer.end()
    before = sorted(path for path in tmp_path.rglob("*") if "ann" not in str(path))
    assert dspam_admin.main(["import", str(other)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "a record cannot be used" in err) == ("", 1, True), err
    assert sorted(path for path in tmp_path.rglob("*") if "ann" not in str(path)) == before


def test_deleting_shows_first_what_there_is(site: Site, capsys: Output) -> None:
    found = "7 messages learned, 2 tokens, 1 signatures, 1 blocklist lines"
    assert dspam_admin.main(["delete", "user", "bob"]) == 0
    assert capsys.readouterr().out == f"bob: {found}; --yes deletes that\n"
    assert site.known("bob") == HITS
    assert dspam_admin.main(["delete", "user", "bob", "--yes"]) == 0
    assert capsys.readouterr().out == f"bob: {found} deleted\n"
    assert not site.folder.joinpath("data/bob").exists()
    assert dspam_admin.main(["delete", "user", "bob", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["user"], told["deleted"], told["tokens"]) == ("bob", False, 0)


def test_what_is_not_under_the_name_of_a_user_stays(site: Site, tmp_path: Path, capsys: Output) -> None:
    site.folder.joinpath("group").write_text("team:shared:ann,bob\n")
    site.folder.joinpath("data/bob/notes").touch()
    shared = "bob has the dictionary of team, which is not meant here\n"
    assert dspam_admin.main(["export", "bob", str(tmp_path / "x")]) == 0
    assert capsys.readouterr().err == shared
    assert dspam_admin.main(["delete", "user", "bob"]) == 0
    assert capsys.readouterr().err == shared
    assert dspam_admin.main(["delete", "user", "bob", "--yes"]) == 0
    assert capsys.readouterr().err == (
        f"{shared}{site.folder}/group names bob in line 1: change it there\n"
        f"{site.folder}/data/bob stays: files in it do not begin with bob.\n"
    )
    assert [path.name for path in site.folder.joinpath("data/bob").iterdir()] == ["notes"]


def test_users_without_anything(site: Site, tmp_path: Path, capsys: Output) -> None:
    assert dspam_admin.main(["export", "nobody", str(tmp_path / "x")]) == 1
    assert capsys.readouterr() == ("", "nobody: there is nothing to export\n")
    assert not tmp_path.joinpath("x").exists()
    assert dspam_admin.main(["export", "bob", str(tmp_path / "none/x")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_user_gets_another_name(site: Site, capsys: Output) -> None:
    site.folder.joinpath("group").write_text("team:shared:ann,bob\n")
    assert dspam_admin.main(["rename", "user", "bob", "bob@example.org"]) == 0
    found = "7 messages learned, 2 tokens, 1 signatures, 1 blocklist lines"
    assert capsys.readouterr() == (
        f"bob is bob@example.org now: {found}\n",
        f"{site.folder}/group names bob in line 1: change it there\n",
    )
    assert (site.known("bob@example.org"), site.known("bob")) == (HITS, {})
    assert dspam_admin.main(["rename", "user", "bob", "x"]) == 1
    assert capsys.readouterr() == ("", "bob: there is nothing to rename\n")


def test_a_user_moves_to_another_domain(site: Site, capsys: Output) -> None:
    site.folder.joinpath("data/bob").rename(site.folder / "data/old")
    site.configure("DirectoryLayout domain")
    home = Home(site.folder, Layout.DOMAIN)
    old, new = "bob@old.example", "bob@new.example"
    for path in home.path.joinpath("data/old").iterdir():
        path.rename(home.prepare(home.file(old, path.suffix.removeprefix("."))))
    home.prepare(home.opt_in(old)).touch()
    assert dspam_admin.main(["rename", "user", old, new]) == 0
    assert (site.known(new), site.known(old)) == (HITS, {})
    assert home.file(new, "blocklist").read_text() == "example.net\n"
    assert (home.opt_in(new).exists(), home.opt_in(old).exists()) == (True, False)
    assert not home.directory(old).exists()


def test_users_are_joined(site: Site, capsys: Output) -> None:
    site.teach("ann", Totals(1, 1), {1: (1, 1), 5: (1, 0)}, "6b000a80122151437417509")
    assert dspam_admin.main(["rename", "user", "bob", "ann"]) == 1
    assert capsys.readouterr() == ("", "ann is known: merge user bob ann joins them\n")
    assert dspam_admin.main(["merge", "user", "bob", "ann"]) == 0
    found = "9 messages learned, 3 tokens, 2 signatures, 1 blocklist lines"
    assert capsys.readouterr() == (f"bob is part of ann now: {found}\n", "")
    assert site.known("ann") == {1: (3, 4), 5: (1, 0), 2**64 - 1: (4, 0)}
    assert dspam_admin.main(["merge", "user", "bob", "ann"]) == 1
    assert capsys.readouterr() == ("", "bob: there is nothing to merge\n")
    assert dspam_admin.main(["merge", "user", "ann", "ann"]) == 1
    assert capsys.readouterr() == ("", "ann and ann are the same\n")


def test_an_interruption_says_how_far_it_came(
    site: Site, archive: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Import.load

    async def interrupted(arriving: Import) -> None:
        await load(arriving)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(Import, "load", interrupted)
        assert dspam_admin.main(["import", "ann", archive]) == 0
    out, err = capsys.readouterr()
    told = "ann: 2 of 2 tokens are in: the same command goes on from there\nterminated.\n"
    assert (out, err) == ("", told)
    assert dspam_admin.main(["import", "ann", archive]) == 0
    assert (site.known("ann"), site.totals("ann")) == (HITS, TOTALS)


@pytest.mark.parametrize("name", list(FUNCTIONS))
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_each_function_says_how_it_is_used(name: tuple[str, ...], word: str, capsys: Output) -> None:
    assert dspam_admin.main([*name, word]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (FUNCTIONS[name].usage, "")
    assert out.startswith(f"syntax: dspam_admin {' '.join(name)} ")


@pytest.mark.parametrize(
    "words",
    [
        ["export"],
        ["export", "bob", "a", "b"],
        ["export", "bob", "--verify"],
        ["export", "bob", "a", "--x"],
        ["import"],
        ["import", "a", "--replace", "--merge"],
        ["import", "a", "b", "c"],
        ["delete", "user"],
        ["delete", "user", "a", "b"],
        ["delete", "user", "a", "--force"],
        ["rename", "user", "a"],
        ["rename", "a", "b"],
        ["merge", "user", "a"],
        ["merge", "user", "a", "b", "--json"],
    ],
)
def test_wrong_usage(site: Site, words: list[str], capsys: Output) -> None:
    assert dspam_admin.main(words) == 1
    out, err = capsys.readouterr()
    assert (out, dspam_admin.USAGE in err) == ("", True)
