"""The contents of the dictionaries after a run, read through the store itself.

These are the totals, the hits of every token, and every signature with its tokens.  The store commits
the signature of a message together with its counters, so the audit can compute the counters
again.  This works because a run only classifies and learns: it corrects and purges nothing.

A scorer with weights has a block, too, and the steps that each message taught it are kept with the signature.
"""

from __future__ import annotations

from array import array

from dspamd.app import home_of
from dspamd.config.config import Config
from dspamd.engine.model import TokenOptions
from dspamd.engine.scorers import Scorer, scorer
from dspamd.filter.blocks import Blocks
from dspamd.storage.contract import Storage
from dspamd.storage.drivers import open_storage
from tests.chaos.ledger import Contents
from tests.chaos.mails import USERS


async def contents(config: Config) -> dict[str, Contents]:
    """The dictionary of each user under this configuration.  Not while a daemon writes to it."""
    storage = open_storage(config, home_of(config))
    await storage.open()
    try:
        return {user: await _contents(storage, user, scorer(config.Algorithm)) for user in USERS}
    finally:
        await storage.close()


async def _contents(storage: Storage, user: str, chosen: Scorer) -> Contents:
    uid = await storage.uid(user, create=False)
    if uid is None:
        return Contents()
    totals = (await storage.read(uid, array("Q"))).totals
    hits = {row.token: (row.spam, row.innocent) async for batch in storage.tokens(uid) for row in batch}
    signatures, steps = {}, []
    for id_, _ in await storage.signatures(uid):
        stored = await storage.signature(uid, id_)
        assert stored is not None
        tokens = chosen.recall(stored.data, TokenOptions(tokenizer="osb"))
        signatures[id_] = frozenset(chosen.wanted(tokens))
        if stored.correction is not None and stored.correction.block is not None:
            steps.append(stored.correction.block.data)
    if chosen.block is None:
        return Contents(totals, signatures, hits)
    lessons = chosen.weights(b"")
    for step in steps:
        lessons.add(step)
    weights = await Blocks().weights(storage, uid, chosen.block, chosen)
    return Contents(totals, signatures, hits, weights.write(), lessons.write())
