"""What a release says of itself: changes, contents, lowest versions, and on what it does not depend."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from dspamd import __version__
from release.changes import changes
from release.minimum import lowest
from release.moment import environment, moment
from release.sbom import bill

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_the_version_stands_in_one_place_and_has_its_changes() -> None:
    assert changes((ROOT / "CHANGELOG.md").read_text(), __version__)
    listed = ["git", "grep", "-lF", f'"{__version__}"', "--", "*.py", "*.toml", "debian", "Makefile"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dspamd/__init__.py"]


def test_changes_are_those_of_one_version() -> None:
    text = "# Changes\n\n## 2.0\n\n### New\n\n* two\n\n## 1.0\n\nOne.\n"
    assert changes(text, "2.0") == "### New\n\n* two\n"
    assert changes(text, "1.0") == "One.\n"
    with pytest.raises(LookupError, match="has no part 3"):
        changes(text, "3")


def test_the_bill_names_all_that_is_required() -> None:
    made = bill(0)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.5")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["serialNumber"])
    parts = {part["name"].lower().replace("_", "-"): part for part in made["components"]}
    project = tomllib.loads(PYPROJECT)["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *extras["blacklists"], *extras["ldap"], "pymysql", "pyasn1"):
        name = re.split("[>=]", text)[0]
        assert parts[name]["version"] == version(name)
        assert parts[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
        assert parts[name]["licenses"]
    assert not {"pytest", "mypy", "typing-extensions"} & parts.keys()
    known = {made["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in made["components"])}
    assert {one["ref"] for one in made["dependencies"]} == known
    assert {ref for one in made["dependencies"] for ref in one["dependsOn"]} <= known
    assert bill(0) == made
    assert bill(1) != made


def test_lowest_versions_are_those_of_the_program_and_its_extras() -> None:
    text = """
        [project]
        dependencies = ["a>=1.2", "b[x]>=3"]
        [project.optional-dependencies]
        more = ["c>=4"]
        dev = ["d>=5"]
    """
    assert list(lowest(text)) == ["a==1.2", "b==3", "c==4"]
    with pytest.raises(ValueError, match="no lowest version of a"):
        list(lowest(text.replace("a>=1.2", "a")))
    assert len(list(lowest(PYPROJECT))) >= 8


def test_the_time_is_that_of_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    last = ["git", "log", "-1", "--format=%ct"]
    assert moment(ROOT) == int(subprocess.run(last, cwd=ROOT, capture_output=True, check=True).stdout)
    (tmp_path / "PKG-INFO").touch()
    assert moment(tmp_path) == int((tmp_path / "PKG-INFO").stat().st_mtime)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    assert moment(tmp_path) == 7


def test_no_step_takes_what_cython_made_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CYTHON_CACHE_DIR", "/elsewhere")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.setenv("CC", "cc")
    found = environment(tmp_path)
    assert "CYTHON_CACHE_DIR" not in found
    assert (found["SOURCE_DATE_EPOCH"], found["CC"]) == ("1000000000", "cc")


@pytest.mark.parametrize("step", ["wheel", "deb"])
def test_a_step_that_compiles_has_no_other_environment(step: str) -> None:
    text = (ROOT / f"release/{step}.py").read_text()
    assert "environment(tree)" in text
    assert "os.environ" not in text
