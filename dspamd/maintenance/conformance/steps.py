"""The steps of a case: small lessons for a store, questions to it, and what the answers have to be."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence

from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.storage.contract import BlockChange, Change, Signature, Stale, Storage, TokenRow, Uid

Case = Callable[[Storage, str], Awaitable[None]]


class Violation(AssertionError):
    """The store broke its contract."""


def expect(actual: object, wanted: object, what: str) -> None:
    """Raises `Violation`, which names what differs, unless both are equal."""
    if actual != wanted:
        raise Violation(f"{what}: {actual!r}, not {wanted!r}")


async def expect_stale(storage: Storage, uid: Uid, change: Change) -> None:
    """Raises `Violation` if the store applies a change whose guard does not hold."""
    try:
        await storage.apply(uid, change)
    except Stale:
        return
    raise Violation("a correction whose guard does not hold was applied")


async def new(storage: Storage, owner: str) -> Uid:
    """The uid of an owner, who is made unless they exist."""
    uid = await storage.uid(owner, create=True)
    if uid is None:
        raise Violation(f"owner {owner!r} was not made")
    return uid


def learning(tokens: Sequence[int], spam: int = 0, innocent: int = 0, **totals: int) -> Learned:
    """The same change for all `tokens`, and changes of totals by name."""
    n = len(tokens)
    changes = TokenChange(array("Q", tokens), array("i", [spam] * n), array("i", [innocent] * n))
    return Learned(Totals(**totals), changes)


async def learn(storage: Storage, uid: Uid, tokens: Sequence[int], *hits: int, **totals: int) -> None:
    """Apply what `learning` makes, and nothing else."""
    await storage.apply(uid, Change(learning(tokens, *hits, **totals)))


async def append(storage: Storage, uid: Uid, data: bytes, name: str = "weights") -> None:
    """Append to a block, and do nothing else."""
    await storage.apply(uid, Change(Learned.nothing(), block=BlockChange(name, data)))


# The correction of a message that `deliver` learned as innocent, with tokens 1 and 2: it is spam.
MISSED = learning([1, 2], 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)


async def deliver(storage: Storage, uid: Uid, tokens: Sequence[int]) -> None:
    """Learn a message as innocent, with the signature `s`."""
    await storage.apply(uid, Change(learning(tokens, 0, 1, innocent_learned=1), Signature("s", b"data")))


async def counts(storage: Storage, uid: Uid, tokens: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Spam and innocent hits of those tokens that have any."""
    hits = (await storage.read(uid, array("Q", tokens))).hits
    return {token: (s, i) for token, s, i in zip(*hits, strict=True) if s or i}


async def totals(storage: Storage, uid: Uid) -> Totals:
    return (await storage.read(uid, array("Q"))).totals


async def all_tokens(storage: Storage, uid: Uid) -> list[TokenRow]:
    return [row async for batch in storage.tokens(uid) for row in batch]


async def content(storage: Storage, uid: Uid, signature: str) -> bytes | None:
    """What the store keeps under the id of a signature."""
    stored = await storage.signature(uid, signature)
    return stored.data if stored else None
