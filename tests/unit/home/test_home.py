"""Where files are: the layouts of the original, and names that must not lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.errors import PermFail
from dspamd.files import make_folder
from dspamd.home.home import Home, Layout
from tests.golden.data import rows

BUILDS = {
    "default (with long usernames)": Layout.NORMAL,
    "--enable-large-scale": Layout.LARGE,
    "--enable-domain-scale": Layout.DOMAIN,
}
ROOT = Path("/home-of-dspam")


@pytest.mark.parametrize("build", BUILDS)
def test_files_are_where_the_original_had_them(build: str) -> None:
    row = next(
        row for row in rows("misc.jsonl") if row.get("section") == "path-layout" and row["build"] == build
    )
    home = Home(ROOT, BUILDS[build])
    files = {str(home.file(user, "css").relative_to(ROOT)) for user in row["users"]}
    assert files == set(row["files"])


@pytest.mark.parametrize(
    ("layout", "name", "directory"),
    [
        (Layout.DOMAIN, "@example.org", "data/local/example.org"),
        (Layout.DOMAIN, "a@b@example.org", "data/example.org/a@b"),
        (Layout.DOMAIN, "bob@", "data/local/bob@"),
        (Layout.LARGE, "b", "data/b/b"),
        (Layout.NORMAL, "..bob", "data/..bob"),
    ],
)
def test_odd_names(layout: Layout, name: str, directory: str) -> None:
    assert Home(ROOT, layout).directory(name) == ROOT / directory


def test_the_large_layout_counts_bytes() -> None:
    assert os.fsencode(Home(ROOT, Layout.LARGE).directory("é")) == b"/home-of-dspam/data/\xc3/\xa9/\xc3\xa9"


@pytest.mark.parametrize("layout", Layout)
def test_opt_files(layout: Layout) -> None:
    home = Home(ROOT, layout)
    opt_in, opt_out = home.opt_in("bob@example.org"), home.opt_out("bob@example.org")
    if layout is Layout.DOMAIN:
        assert opt_in == ROOT / "opt-in/example.org/bob.dspam"
        assert opt_out == ROOT / "opt-out/example.org/bob.nodspam"
    else:
        assert opt_in == ROOT / "opt-in/bob@example.org.dspam"
        assert opt_out == ROOT / "opt-out/bob@example.org.nodspam"


def test_files_of_everybody() -> None:
    home = Home(ROOT)
    assert home.default_preferences == ROOT / "default.prefs"
    assert home.system_log == ROOT / "system.log"
    assert home.texts == ROOT / "txt"
    assert Home(ROOT, txt=Path("/etc/dspam/txt")).texts == Path("/etc/dspam/txt")


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\nb", "x" * 250])
def test_names_that_are_refused(layout: Layout, name: str) -> None:
    with pytest.raises(PermFail) as caught:
        Home(ROOT, layout).file(name, "mbox")
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (553, "5.1.3")


@pytest.mark.parametrize("name", ["bob@..", "..@example.org", "bob@.", "@.."])
def test_domains_that_are_refused(name: str) -> None:
    with pytest.raises(PermFail):
        Home(ROOT, Layout.DOMAIN).opt_in(name)


@given(st.text(max_size=20) | st.from_regex(r"[./@\\\x00a]{1,8}", fullmatch=True), st.sampled_from(Layout))
def test_no_name_leads_out_of_the_data_directory(name: str, layout: Layout) -> None:
    home = Home(ROOT, layout)
    try:
        file = home.file(name, "mbox")
    except (PermFail, UnicodeEncodeError):  # lone surrogates name no file
        return
    clean = PurePosixPath(os.path.normpath(file))
    assert clean == PurePosixPath(file)
    assert clean.is_relative_to(ROOT / "data")
    assert len(clean.relative_to(ROOT / "data").parts) >= 2


def test_directories_are_made_with_their_mode_whatever_the_umask(tmp_path: Path) -> None:
    home = Home(tmp_path / "new", Layout.DOMAIN)
    umask = os.umask(0o077)
    try:
        file = home.prepare(home.file("bob@example.org", "mbox"))
        home.prepare(file)
    finally:
        os.umask(umask)
    assert file == tmp_path / "new/data/example.org/bob/bob.mbox"
    assert [path.stat().st_mode & 0o777 for path in file.parents[:4]] == [0o770] * 4


def test_new_folders_belong_to_the_group_of_home(tmp_path: Path) -> None:
    """Whoever makes them: the daemon, or a user who is in its group."""
    home = Home(tmp_path / "home", Layout.DOMAIN)
    home.path.mkdir()
    ours = os.getegid()
    group = 65534 if os.geteuid() == 0 else next((each for each in os.getgroups() if each != ours), ours)
    os.chown(home.path, -1, group)
    file = home.prepare(home.file("bob@example.org", "mbox"))
    file.touch()
    make_folder(file.parent / "bob.sig")
    made = [file, file.parent / "bob.sig", *list(file.parents)[:3]]
    assert [path.stat().st_gid for path in made] == [group] * 5
    assert [path.stat().st_mode & 0o7777 for path in made[1:]] == [0o2770] * 4


@pytest.mark.parametrize("layout", Layout)
def test_owners_are_found_by_their_files(layout: Layout, tmp_path: Path) -> None:
    home = Home(tmp_path, layout)
    assert home.owners("sdb") == []
    names = ["b", "bob", "bob@example.org", "x.y@example.org"]
    for name in names:
        home.prepare(home.file(name, "sdb")).touch()
    home.prepare(home.file("other", "log")).touch()
    assert home.owners("sdb") == names
