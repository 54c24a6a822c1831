"""Rules for the tests: no module imports a test module, and none replaces private names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = {str(path.relative_to(TESTS)): ast.parse(path.read_text()) for path in sorted(TESTS.rglob("*.py"))}
PRIVATE = re.compile(r"(?:.*\.)?_[a-zA-Z]\w*")


def imported(tree: ast.AST) -> set[str]:
    """All names that a module imports, `from a import b` as a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def borrowed(tree: ast.AST) -> set[str]:
    return {
        name
        for name in imported(tree)
        if (name.startswith("tests.") and any(part.startswith("test_") for part in name.split(".")[:-1]))
        or name.rpartition(".")[2].startswith("test_")
    }


def test_no_test_module_is_imported() -> None:
    found = {path: borrowed(module) for path, module in MODULES.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_each_way_to_import_one_is_found() -> None:
    ways = (
        "from tests.unit.test_a import b",
        "from tests.unit import test_a",
        "import tests.unit.test_a",
        "from tests import test_a as b",
    )
    assert all(borrowed(ast.parse(way)) for way in ways)
    assert not borrowed(ast.parse("from tests.support.pipeline import header, test"))


def private_names_set(module: ast.AST) -> Iterator[str]:
    """Places where a module replaces a private name of another object."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            names = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if called == "setattr" and any(
                isinstance(name, str) and PRIVATE.fullmatch(name) for name in names
            ):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if PRIVATE.fullmatch(node.attr) and not own:
                yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "text",
    [
        'monkeypatch.setattr("dspamd.maintenance.purge._PATIENCE_S", ())',
        'patch.setattr(log, "_logger", None)',
        'setattr(store, "_on", None)',
        "b.pipeline._details = None",
        "a, b._c = 1, 2",
        "b._c += 1",
    ],
)
def test_a_patch_of_a_private_name_is_found(text: str) -> None:
    assert len(list(private_names_set(ast.parse(text)))) == 1


def test_no_test_replaces_what_is_private() -> None:
    """A constructor or a function takes as an argument what a test wants to replace."""
    found = [f"{name}:{each}" for name, module in MODULES.items() for each in private_names_set(module)]
    assert found == []
