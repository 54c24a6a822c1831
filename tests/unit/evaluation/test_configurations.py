"""How a command line names configurations."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from dspamd.engine._weights import Evidence, Table
from dspamd.engine.model import Mode
from dspamd.errors import ConfigError, UsageError
from dspamd.evaluation.configurations import Configuration, configurations
from dspamd.request.request import Request
from dspamd.users.preferences import Defaults, User

BASE = """\
Home /var/lib/dspam
TrainingMode tum
Algorithm naive
MySQLPass secret
Preference "trainingMode=TEFT" "spamAction=tag"
Preference "enableBNR=on"
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "site.conf"
    path.write_text(BASE)
    return path


def _mode(configuration: Configuration) -> Mode:
    """The mode in which it works: a preference may decide it."""
    config = configuration.config
    preferences = dict(line.split("=") for line in config.Preference)
    return User("bob", preferences, (), True, Defaults.of(config)).score_options(Request()).mode


def test_none_is_the_base(base: Path) -> None:
    assert [each.name for each in configurations([], None)] == ["defaults"]
    (only,) = configurations([], base)
    assert only.name == "site.conf"
    assert only.config.TrainingMode == "tum"


def test_files_and_changes(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("Home /x\nTokenizer word\n")
    names = [str(other), "same:", "osb:Tokenizer=osb,Algorithm=graham burton"]
    file, same, osb = configurations(names, base)
    assert (file.name, same.name, osb.name) == ("other.conf", "same", "osb")
    assert file.config.Tokenizer == "word"
    assert same.settings == {
        "TrainingMode": "tum",
        "Algorithm": "naive",
        "Preference": "trainingMode=TEFT spamAction=tag enableBNR=on",
    }
    assert osb.config.Algorithm == ("graham", "burton")  # in place of those of the file
    assert osb.config.Tokenizer == "osb"
    assert osb.config.TrainingMode == "tum"
    assert len({each.fingerprint for each in (file, same, osb)}) == 3


def test_a_preference_gives_way_to_the_directive_that_it_would_overrule(base: Path) -> None:
    same, toe, other = configurations(["same:", "toe:trainingmode=toe", "x:Preference=enableBNR=off"], base)
    assert (_mode(same), _mode(toe), _mode(other)) == (Mode.TEFT, Mode.TOE, Mode.TEFT)
    assert toe.config.Preference == ("spamAction=tag", "enableBNR=on")
    assert other.config.Preference == ("trainingMode=TEFT", "spamAction=tag", "enableBNR=off")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("a:TrainingMod=toe", "a:TrainingMod=toe: unknown directive TrainingMod, did you mean TrainingMode"),
        ("a:TrainingMode=toes", "a:TrainingMode=toes: TrainingMode toes: "),
        ("a:Algorithm=", "Directive=value is expected"),
        ("a:osb", "Directive=value is expected"),
        ("/nowhere/dspam.conf", "/nowhere/dspam.conf: cannot be read"),
        ("a:Tokenizer.x=osb", "nothing can follow Tokenizer after a dot"),
    ],
)
def test_faults(word: str, complaint: str) -> None:
    with pytest.raises((ConfigError, UsageError)) as caught:
        configurations([word], None)
    assert complaint in str(caught.value)


def test_names_are_different() -> None:
    with pytest.raises(UsageError, match="two configurations are called 'a'"):
        configurations(["a:", "a:Tokenizer=osb"], None)


def test_another_seed_in_the_same_file_is_another_configuration(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "seed"
    table = Table()
    named = [f"joint:Algorithm=joint,SeedModel={file}"]
    marks = []
    for _ in range(2):
        file.write_bytes(table.seed().write())
        (configuration,) = configurations(named, base)
        assert configuration.fingerprint == configuration.fingerprint
        marks.append(configuration.fingerprint)
        for spam in (True, True, False):
            table.add(Evidence(array("Q", [1 << 40]), (table,)).lesson(spam, 1e9))
    assert marks[0] != marks[1]


@pytest.mark.parametrize("content", [None, b"", b"no seed"])
def test_a_seed_that_cannot_be_used_is_told(base: Path, tmp_path: Path, content: bytes | None) -> None:
    """The daemon would go on without; figures without it would not be those of this configuration."""
    file = tmp_path / "seed"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"joint: .*(No such file|empty|unknown form)"):
        configurations([f"joint:Algorithm=joint,SeedModel={file}"], base)
    (naive,) = configurations([f"naive:Algorithm=naive,SeedModel={file}"], base)
    assert naive.fingerprint
