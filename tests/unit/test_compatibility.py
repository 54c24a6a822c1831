"""The tests that docs/compatibility.md names exist; and one promise that belongs to no part alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dspamd.app import Parts
from dspamd.config.config import Config
from dspamd.config.options import OPTIONS
from dspamd.engine.tokenizer import crc64
from dspamd.request.request import Request
from tests.support.pipeline import CORPUS_INNOCENT, PipelineFixture, RecordingOutlet

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/\S+\.py)(?:::(\S+))?`", (ROOT / "docs/compatibility.md").read_text())


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_tests_it_names_exist(file: str, name: str) -> None:
    scope: ast.AST = ast.parse((ROOT / file).read_text())
    for part in filter(None, name.split("::")):
        inner = [node for node in ast.iter_child_nodes(scope) if getattr(node, "name", "") == part]
        assert inner, part
        (scope,) = inner


def test_every_directive_of_our_own_has_a_row() -> None:
    theirs = {name.lower() for name in (ROOT / "tests/unit/directives.txt").read_text("ascii").split()}
    section = (ROOT / "docs/compatibility.md").read_text().partition("\n### Directives of our own\n")[2]
    rows = re.findall(r"^\| (`.*?) \|", section.partition("\n## ")[0], re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    ours = [option.name for key, option in OPTIONS.items() if key not in theirs]
    assert sorted(named) == sorted(ours)


@pytest.mark.parametrize("strict", [False, True])
async def test_tags_in_corpus_mail(tmp_path: Path, strict: bool) -> None:
    """Q-M18: the id in a tag is no token, but was one."""
    tagged = b"Subject: a\r\n\r\none !DSPAM:1,4a5b6c! two\r\n"
    settings = f"""
        Home {tmp_path}
        StorageDriver sqlite3_drv
        Algorithm graham
        Tokenizer word
        Preference "signatureLocation=message"
        StrictCompatibility {"on" if strict else "off"}
        DeliveryHost 127.0.0.1
        DeliveryProto SMTP
        DeliveryPort 10034
        """
    outlet = RecordingOutlet()
    async with Parts(Config.from_text(settings), outlet=outlet) as parts:
        b = PipelineFixture(parts, outlet)
        await b.process(tagged, Request(lesson=CORPUS_INNOCENT))
        tokens = await b.dump()
    assert crc64(b"one") in tokens
    assert crc64(b"two") in tokens
    assert (crc64(b"4a5b6c!") in tokens) is strict
