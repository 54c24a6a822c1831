"""What the pages of docs/ say, where nobody can just do it: each line is read by the program that it is for.

`tests/e2e/test_documents.py` follows the pages, and runs what an ordinary account may do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dspamd.commands import dspam_admin, dspamd
from dspamd.config.config import Config
from dspamd.config.options import OPTIONS
from dspamd.errors import UsageError
from dspamd.users.groups import Groups
from tests.support.documents import PAGES, ROOT, Block, blocks, commands, shared_files, text_of, with_lines

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SAMPLE = (ROOT / "etc/dspam.conf").read_text()
KINDS = {
    "sh",
    "root",
    "conf",
    "group",
    "master.cf",
    "main.cf",
    "courierd",
    "qmail",
    "exim",
    "pgsql",
    "mariadb",
}
OTHER_PAGES = {"accuracy", "compatibility", "flow"}  # for people who work on dspamd, or measure it
OTHER_UNITS = {"dovecot", "dspam", "exim4", "opensmtpd", "postfix", "qpsmtpd", "rspamd", "spamd"}
PROGRAMS = {
    "apt", "chgrp", "chmod", "chown", "cp", "docker", "doveadm", "journalctl", "ln", "mkdir", "openssl",
    "postalias", "postfix", "postqueue", "postsuper", "python3", "sed", "sievec", "systemd-analyze",
    "systemd-sysusers", "systemd-tmpfiles", "tar", "update-exim4.conf",
}  # fmt: skip
"""Programs of the system that the pages call as root; we do not check their options."""

EVERYWHERE = {"cp", "du", "echo", "grep", "mkdir", "umask"}
"""Programs that each Debian has."""

INSTALLED = {
    f"/usr/{place}/{path.name}"
    for place, patterns in PROJECT["tool"]["setuptools"]["data-files"].items()
    for pattern in patterns
    for path in ROOT.glob(pattern)
}
"""Files that come with the program; `tests/e2e/test_debian.py` looks into the package."""

FOLDERS = {str(Path(file).parent) for file in INSTALLED}


def all_blocks(*kinds: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *kinds)]


def named(block: Block) -> str:
    return block.place


def systemctl(words: Sequence[str]) -> None:
    """Each unit is ours, or one of the mail server."""
    units = [word for word in words[1:] if not word.startswith("-")]
    ours = {path.name.removesuffix(".service") for path in (ROOT / "systemd").iterdir()}
    assert set(units) <= ours | OTHER_UNITS


def make(words: Sequence[str]) -> None:
    """Each target exists."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(words) <= set(targets)


READ: dict[str, Callable[[Sequence[str]], object]] = {
    "dspamd": lambda words: dspamd._options().parse_args(words),
    "dspam_admin": dspam_admin.check,
    "systemctl": systemctl,
    "make": make,
}
"""What knows the words after a command."""


def check_command(words: Sequence[str]) -> None:
    program = words[0].removeprefix("/opt/dspamd/bin/")
    if program in READ:
        READ[program](words[1:])
    else:
        assert program in PROGRAMS | {"pip"}, f"{program}: nobody reads what follows"
    for word in words[1:]:
        if word.startswith(("etc/", "systemd/")):
            assert list(ROOT.glob(word)), f"{word} is not in this tree"


def test_sievec_comes_after_the_restart_of_dovecot() -> None:
    """It has the settings from the Dovecot that runs, and knows no extension that this has not read."""
    compiling = [block.text for block in all_blocks("root") if "sievec" in block.text]
    assert compiling
    for text in compiling:
        assert text.index("systemctl restart dovecot") < text.index("sievec ")


@pytest.mark.parametrize("block", all_blocks("root"), ids=named)
def test_a_command_for_root_is_understood(block: Block) -> None:
    for words in commands(block.text):
        check_command(words)


@pytest.mark.parametrize(
    "text",
    [
        "dspamd --test",
        "dspam_admin repair",
        "dspam_admin doctor --fast",
        "systemctl start dspamx",
        "make package",
        "make deb && dspamd --reload",
        "cp etc/nothing.conf /etc/dspam/",
        "unheard-of",
    ],
)
def test_a_wrong_one_is_found(text: str) -> None:
    with pytest.raises((AssertionError, UsageError, SystemExit)):
        for words in commands(text):
            check_command(words)


def test_every_program_of_the_system_is_used() -> None:
    used = {words[0] for block in all_blocks("root") for words in commands(block.text)}
    assert used >= PROGRAMS


def test_the_other_programs_that_a_test_runs_are_installed_for_it() -> None:
    """Each has the name of its package."""
    (packages,) = re.findall(r"= test \].*packages=\"(.*)\"", (ROOT / "etc/install-packages").read_text())
    used = {words[0] for block in all_blocks("sh") for words in commands(block.text)}
    assert used - set(PROJECT["project"]["scripts"]) - EVERYWHERE <= set(packages.split())


@pytest.mark.parametrize("block", all_blocks("conf"), ids=named)
def test_a_line_of_the_configuration_is_understood(block: Block) -> None:
    text = re.sub("^Include .*\n", "", block.text, flags=re.M)  # the page has its reader make the file
    assert not Config.from_text(with_lines(SAMPLE, text)).warnings


@pytest.mark.parametrize("block", all_blocks("group"), ids=named)
def test_a_line_of_the_groups_is_understood(block: Block) -> None:
    _, problems = Groups.parse(block.text, "group")
    assert not problems


def test_the_lines_for_addresses_of_corrections_are_those_that_are_shipped() -> None:
    """`tests/e2e/test_samples.py` has a Postfix with them, and with the page's lines of master.cf."""
    shipped = [path.read_text() for path in (ROOT / "etc/postfix").glob("main*.cf")]
    for block in blocks("postfix", "main.cf"):
        assert any(block.text in text for text in shipped), block.place


def test_every_page_has_its_place() -> None:
    there = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert there == {*PAGES, *OTHER_PAGES}
    assert {block.kind for block in all_blocks()} == KINDS


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    text = text_of(page)
    assert shared_files(page) <= INSTALLED | FOLDERS
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / link).is_file(), link
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        word = code.split()[0]
        if word in PROJECT["project"]["scripts"] and " -" in code:
            READ[word](commands(code)[0][1:])
        if re.fullmatch("[A-Z][a-z]+[A-Z][A-Za-z]+", word):
            assert word.lower() in {option.name.lower() for option in OPTIONS.values()}, word


def test_each_system_beside_which_we_work_has_its_guide_and_a_test() -> None:
    lines = [line for line in text_of("integrations").splitlines() if line.startswith("|")]
    rows = [line.split("|")[1:-1] for line in lines[2:]]
    guides = set(re.findall(r"\]\(([\w-]+)\.md", "".join(guide for _, _, guide, _ in rows)))
    with_files = {path.name for path in (ROOT / "etc").iterdir() if path.is_dir()}
    assert guides >= (with_files & set(PAGES)) - {"container"}  # that is a way to install dspamd
    for system, _, guide, test in rows:
        assert re.search(r"\]\([\w-]+\.md", guide), system
        modules = re.findall(r"`(tests/\S+\.py)`", test)
        assert modules, system
        assert all((ROOT / module).is_file() for module in modules), system


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short(page: str) -> None:
    assert len(text_of(page).splitlines()) < 200
