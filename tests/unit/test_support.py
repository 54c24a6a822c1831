"""Tests share code through tests/support: no test module imports another one."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


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
    found = {
        str(path.relative_to(TESTS)): borrowed(ast.parse(path.read_text())) for path in TESTS.rglob("*.py")
    }
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
