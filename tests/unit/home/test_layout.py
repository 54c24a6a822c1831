"""The layout of a tree is found by a look at it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dspamd.app import Parts, daemon_spec, home_of, oddities
from dspamd.commands import dspam_admin, dspam_dump, dspam_stats, dspamd
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.errors import ConfigError
from dspamd.home.home import Home, Layout
from dspamd.home.layout import examples
from tests.golden.data import rows
from tests.support.site import Site

BUILDS = {
    "default (with long usernames)": Layout.NORMAL,
    "--enable-large-scale": Layout.LARGE,
    "--enable-domain-scale": Layout.DOMAIN,
}
RECORDED = {BUILDS[row["build"]]: row["files"] for row in rows("misc.jsonl") if row.get("build") in BUILDS}
ENDINGS = ("css", "sdb", "log", "stats", "mbox", "prefs")


def put(home: Path, *files: str) -> None:
    for name in files:
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def configured(home: Path, *lines: str) -> Config:
    file = home / "dspam.conf"
    head = (f"Home {home}", "StorageDriver libhash_drv.so", "DeliveryHost 127.0.0.1", "DeliveryPort 25")
    file.write_text("\n".join((*head, f"ServerPID {home}/pid", *lines)) + "\n")
    return Config.load(file)


@pytest.mark.parametrize("layout", Layout)
def test_what_dspam_made_is_taken_as_it_is(tmp_path: Path, layout: Layout) -> None:
    put(tmp_path, *RECORDED[layout])
    assert examples(tmp_path).keys() == {layout}
    for lines in ((), (f"DirectoryLayout {layout.value}",)):
        config = configured(tmp_path, *lines)
        assert home_of(config).layout is layout
        assert not [each for each in oddities(config) if "DirectoryLayout" in each.text]
        daemon_spec(config)


@pytest.mark.parametrize("file", range(5))
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("layout", Layout)
def test_any_user_and_any_file_tells(tmp_path: Path, layout: Layout, file: int, ending: str) -> None:
    put(tmp_path, RECORDED[layout][file].replace(".css", f".{ending}"))
    (tmp_path / "data/empty/folder").mkdir(parents=True)
    assert examples(tmp_path).keys() == {layout}


@pytest.mark.parametrize("empty", ["", "data", "data/bob", "data/example.org/bob", "data/b/o/bob"])
def test_an_empty_tree_gets_the_layout_that_is_set(tmp_path: Path, empty: str) -> None:
    (tmp_path / empty).mkdir(parents=True, exist_ok=True)
    assert home_of(configured(tmp_path)).layout is Layout.NORMAL
    for layout in Layout:
        assert home_of(configured(tmp_path, f"DirectoryLayout {layout.value}")).layout is layout


def test_what_lies_beside_the_files_of_a_user_tells_nothing(tmp_path: Path) -> None:
    put(
        tmp_path, "data/bob/bob.css", "data/bob/bob.sig/1,a.sig", "data/bob/bob.corpus/spam/1.msg",
        "data/bob/bob.frag/1.frag", "data/lost+found/x",
    )  # fmt: skip
    assert examples(tmp_path) == {Layout.NORMAL: tmp_path / "data/bob/bob.css"}


@pytest.mark.parametrize("there", Layout)
@pytest.mark.parametrize("wanted", Layout)
def test_a_directive_that_contradicts_the_tree_stops_the_start(
    tmp_path: Path, wanted: Layout, there: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, *RECORDED[there])
    config = configured(tmp_path, "Trust root", f"DirectoryLayout {wanted.value}")
    if wanted is there:
        assert dspamd.main(["--config", config.file, "--check-config"]) == os.EX_OK
        return
    for start in (home_of, daemon_spec, Parts):
        with pytest.raises(ConfigError, match=f"write DirectoryLayout {there.value}$"):
            start(config)
    for words in ([], ["--check-config"]):
        assert dspamd.main(["--config", config.file, *words]) == os.EX_CONFIG
        told = capsys.readouterr().err
        assert f"{config.file}:7: DirectoryLayout {wanted.value} would not see the files of users: " in told
        assert any(str(tmp_path / file) in told for file in RECORDED[there])


def test_a_mixed_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dictionaries that a daemon began beside the old ones."""
    put(tmp_path, "data/example.org/bob/bob.css", "data/bob@example.org/bob@example.org.css")
    with pytest.raises(ConfigError, match="DirectoryLayout must be set: files of users lie in several"):
        home_of(configured(tmp_path))
    for layout in (Layout.NORMAL, Layout.DOMAIN):
        config = configured(tmp_path, f"DirectoryLayout {layout.value}")
        assert home_of(config).layout is layout
        assert dspamd.main(["--config", config.file, "--check-config"]) == os.EX_OK
        told = capsys.readouterr().out
        assert f"warning: {config.file}:6: DirectoryLayout files of users lie in several layouts" in told
        assert f"{tmp_path}/data/bob@example.org/bob@example.org.css as for normal" in told
        assert f"{tmp_path}/data/example.org/bob/bob.css as for domain" in told
    with pytest.raises(ConfigError, match=r"write DirectoryLayout (normal|domain) or DirectoryLayout"):
        home_of(configured(tmp_path, "DirectoryLayout large"))


def test_a_few_users_beside_many_are_seen(tmp_path: Path) -> None:
    put(tmp_path, *(f"data/user{n}@example.org/user{n}@example.org.css" for n in range(300)))
    put(tmp_path, "data/example.org/bob/bob.css")
    assert examples(tmp_path).keys() == {Layout.NORMAL, Layout.DOMAIN}


@pytest.mark.no_cover  # tracing would add to the times measured here
@pytest.mark.parametrize("layout", Layout)
def test_a_look_is_bounded(tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any number of users, also if none has a file that shows the layout."""
    home = Home(tmp_path, layout)
    for n in range(3_000):
        (home.directory(f"{n:04}user@{n % 7}.example") / "x").mkdir(parents=True)
    asked: list[str] = []

    def counting(look: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def counted(path: Any) -> Any:
            asked.append(path)
            return look(path)

        return counted

    monkeypatch.setattr(os, "scandir", counting(os.scandir))
    monkeypatch.setattr(os.path, "lexists", counting(os.path.lexists))
    assert examples(tmp_path) == {}
    assert 0 < len(asked) < 3_000
    start = time.process_time()
    examples(tmp_path)
    assert time.process_time() - start < 1


def test_commands_see_the_old_dictionaries_and_make_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, monkeypatch, "libhash_drv.so")
    site.configure("DirectoryLayout domain")
    site.teach("bob@example.org", Totals(2, 1), {7: (2, 1)})
    before = sorted(tmp_path.rglob("*"))
    site.configure("DirectoryLayout normal")
    for command, words in (
        (dspam_stats.main, ["bob@example.org"]), (dspam_dump.main, ["bob@example.org"]),
        (dspam_admin.main, ["list", "preference", "bob@example.org"]),
    ):  # fmt: skip
        assert command(words) == os.EX_CONFIG
        assert "write DirectoryLayout domain" in capsys.readouterr().err
    site.configure()
    assert dspam_dump.main(["bob@example.org"]) == os.EX_OK
    assert capsys.readouterr().out.split()[:5] == ["7", "S:", "00002", "I:", "00001"]
    assert dspam_stats.main(["bob@example.org"]) == os.EX_OK
    assert sorted(tmp_path.rglob("*")) == before
