"""Weights that are added to those of a user: of a merged group, and of the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.engine.model import Totals
from dspamd.request.request import Request
from dspamd.storage.contract import Block
from tests.support.logged import Logged
from tests.support.pipeline import (
    BASE,
    ERROR_INNOCENT,
    HAM,
    SPAM,
    PipelineFixture,
    open_pipeline,
    signature_of,
)

JOINT = BASE.replace("graham burton", "joint")
CLASSIFY = Request(classify=True)


async def block(b: PipelineFixture, user: str) -> Block:
    uid = await b.parts.storage.uid(user, create=False)
    assert uid is not None
    return await b.parts.storage.block(uid, "joint")


async def is_spam(b: PipelineFixture, mail: bytes, user: str = "bob") -> bool:
    verdict = (await b.process(mail, CLASSIFY, user)).verdict
    assert verdict is not None
    return verdict.result.spam


async def found(b: PipelineFixture, mail: bytes, user: str = "bob") -> bool:
    """Whether new mail is found to be spam.  Questions (`--classify`) ask no group."""
    verdict = (await b.process(mail, user=user)).verdict
    assert verdict is not None
    return verdict.result.spam


async def test_what_a_merged_group_knows_is_added(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=JOINT) as b:
        await b.feed("site")
        assert (await found(b, SPAM, "site"), await found(b, SPAM)) == (True, False)
        group = await block(b, "site")
    (tmp_path / "group").write_text("site:merged:*\n")
    async with open_pipeline(tmp_path, base=JOINT) as b:
        assert (await found(b, SPAM, "ann"), await found(b, HAM, "ann")) == (True, False)
        for _ in range(8):  # what members teach is theirs alone, and soon outweighs the rest for them
            seen = signature_of(await b.process(SPAM, user="ann"))
            await b.process(b"\n\n", Request(lesson=ERROR_INNOCENT, signature=seen), "ann")
        assert (await found(b, SPAM, "ann"), await found(b, SPAM, "ben")) == (False, True)
        assert await block(b, "site") == group
        assert (await block(b, "ann")).changes


@pytest.mark.parametrize("content", [b"", b"no seed", b"dspamd weights 1\nxxxx", None])
async def test_a_seed_that_cannot_be_used_is_logged_once_and_mail_goes_on(
    tmp_path: Path, logged: Logged, content: bytes | None
) -> None:
    file = tmp_path / "seed"
    if content is not None:
        file.write_bytes(content)
    async with open_pipeline(tmp_path, f"SeedModel {file}", base=JOINT) as b:
        for user in "bob", "bob", "ann":
            assert (await b.process(HAM, user=user)).reply.ok
        assert (len(b.outlet.delivered), await b.totals()) == (3, Totals(innocent_learned=2))
        await b.feed()
        assert await is_spam(b, SPAM)
    complaints = [line for level, line in logged.lines if level == "error"]
    assert len(complaints) == 1
    assert "event=seed_not_read" in complaints[0]
    assert str(file) in complaints[0]
