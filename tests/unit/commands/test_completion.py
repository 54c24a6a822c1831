"""Shells complete our command lines: each shell itself loads the file that is made for it, and answers."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from dspamd.commands.completion import SHELLS, syntax, syntaxes
from dspamd.config.preferences import PREFERENCES
from dspamd.engine.scorers import SCORERS

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
MODES = {"toe", "tum", "teft", "notrain", "unlearn"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file for each shell."""
    folder, commands = tmp_path_factory.mktemp("completion"), syntaxes()
    made = {shell: folder / shell for shell in SHELLS}
    for shell, file in made.items():
        file.write_text("\n".join(SHELLS[shell](commands)) + "\n")
    return made


def test_each_command_is_known() -> None:
    assert syntaxes().keys() == SCRIPTS.keys()


def test_what_a_help_tells() -> None:
    told = syntax("x [--mode=[toe|tum] | --order a|b] --all\n\tadd preference [user]\n\tseed [file] -v\n")
    assert {name: known for name, known in told.options.items() if known} == {
        "--mode=": ("toe", "tum"),
        "--order": ("a", "b"),
    }
    assert told.options.keys() >= {"--help", "--version", "--all", "-v"}
    assert told.functions == {"add": ("preference",), "seed": ()}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_reads_it(shell: str, files: dict[str, Path]) -> None:
    assert shutil.which(shell), f"{shell} is missing: etc/install-packages test"
    done = subprocess.run([shell, "-n", files[shell]], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dspam --mo", {"--mode="}),
        ("dspam --mode =", MODES),
        ("dspam --mode = t", {"toe", "tum", "teft"}),
        ("dspam --profile = d", set()),
        ("dspam_eval --order d", {"date"}),
        ("dspam_eval new : Algor", {"Algorithm="}),
        ("dspam_eval new : Algorithm = j", {name for name in SCORERS if name.startswith("j")}),
        ("dspam_admin agg", {"aggregate"}),
        ("dspam_admin add pref", {"preference"}),
        ("dspam_admin add preference bob tag", {name for name in PREFERENCES if name.startswith("tag")}),
        ("/usr/bin/dspamd --check", {"--check-config"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], files: dict[str, Path]) -> None:
    """With the words as bash splits them."""
    asked = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dspamd "$1"; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", asked, files["bash"], *words.split()], capture_output=True, text=True, timeout=60
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dspam --mode=", {f"--mode={mode}" for mode in MODES}),
        ("dspam_admin agg", {"aggregate"}),
        ("dspam_admin add preference bob tag", {name for name in PREFERENCES if name.startswith("tag")}),
        ("dspamd --check", {"--check-config"}),
    ],
)
def test_fish_completes(line: str, expected: set[str], files: dict[str, Path], tmp_path: Path) -> None:
    asked = f"source {files['fish']}; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(tmp_path)},
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dspam --mo", "dspam --mode="),
        ("dspamd --check", "dspamd --check-config "),
        ("dspam_admin agg", "dspam_admin aggregate "),
        ("dspam --mode=teft --cli", "dspam --mode=teft --client "),
    ],
)
def test_zsh_completes(line: str, expected: str, files: dict[str, Path], tmp_path: Path) -> None:
    """In a terminal of its own, with its completion system; the tabulator completes what is unique."""
    (tmp_path / "_dspamd").symlink_to(files["zsh"])
    asked = f"""
        zmodload zsh/zpty
        zpty shell zsh -fi
        zpty -w shell "PROMPT=; fpath=({tmp_path} \\$fpath); autoload -Uz compinit; compinit -u -D"
        zpty -w shell 'show() {{ print "<$BUFFER>"; zle kill-buffer }}; zle -N show; bindkey ^O show'
        zpty -w shell 'print begin'
        zpty -r shell seen '*begin*begin*'
        zpty -n -w shell '{line}'$'\\t\\C-o'
        zpty -r shell seen '*<*>*'
        print -r -- "$seen"
    """
    done = subprocess.run(["zsh", "-fc", asked], capture_output=True, text=True, timeout=60)
    assert f"<{expected}>" in done.stdout, done.stdout + done.stderr
