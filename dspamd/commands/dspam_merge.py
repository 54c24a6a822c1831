"""dspam_merge: adds the dictionaries of some users to that of another (reference/cli.md 8).

It adds the hits of all tokens and the learned messages; the other totals stay, as in DSPAM
3.10.2.  Each batch of tokens is one transaction.  An interrupted merge has added a part, says so, and
would add it twice if started again.

The command refuses to merge users into themselves: that would count their mail twice.
"""

from __future__ import annotations

import asyncio
import os
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.errors import UsageError
from dspamd.storage.contract import Change, TokenRow, Uid

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "syntax: dspam_merge [user1] [user2] ... [userN] -o [user] [--profile=PROFILE]\n"
_MOST = 2**31 - 1  # hits that one change can add


COMMAND = tool.Command("dspam_merge", USAGE, complaint="{error}\n", complains_on_stdout=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 after wrong usage."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    users, into = parse(words)
    return tool.run(lambda parts: merge(parts, users, into), profile)


def parse(words: Sequence[str]) -> tuple[list[str], str]:
    """The users, and the one to add them to.  Raises UsageError."""
    at = words.index("-o") if "-o" in words else len(words)
    users, into = [*words[:at], *words[at + 2 :]], words[at + 1 : at + 2]
    if not into or not users:
        raise UsageError
    if into[0] in users:
        raise UsageError(f"{into[0]} cannot be merged into themselves")
    return users, into[0]


async def merge(parts: Parts, users: Sequence[str], into: str) -> int:
    sys.stderr.write(f"Destination user: {into}\n")
    destination = await parts.storage.uid(into, create=True)
    assert destination is not None
    for user in users:
        sys.stdout.write(f"Merging user: {user}\n")
        uid = await parts.storage.uid(user, create=False)
        count = 0 if uid is None else await _add(parts, uid, destination)
        sys.stdout.write(f"processed {count} tokens\n")
    sys.stdout.write("storing merged tokens...\ncompleted.\n")
    return os.EX_OK


async def _add(parts: Parts, uid: Uid, destination: Uid) -> int:
    """Add one dictionary to another; the number of its tokens."""
    totals = (await parts.storage.read(uid, array("Q"))).totals
    learned = Totals(spam_learned=totals.spam_learned, innocent_learned=totals.innocent_learned)
    count = 0
    try:
        await tool.uninterrupted(
            parts.storage.apply(destination, Change(Learned(learned, TokenChange.none())))
        )
        async for batch in parts.storage.tokens(uid):
            count += len(batch)
            await tool.uninterrupted(
                parts.storage.apply(destination, Change(Learned(Totals(), _hits(batch))))
            )
    except asyncio.CancelledError:
        sys.stderr.write(f"{count} tokens are added, and would be added again: see dspam_admin merge user\n")
        raise
    return count


def _hits(rows: Sequence[TokenRow]) -> TokenChange:
    return TokenChange(
        array("Q", (row.token for row in rows)),
        array("i", (min(row.spam, _MOST) for row in rows)),
        array("i", (min(row.innocent, _MOST) for row in rows)),
    )


if __name__ == "__main__":
    sys.exit(main())
