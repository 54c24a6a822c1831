"""The findings about any SQL server, from the answers that its driver got.  Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from dspamd.diagnosis import Diagnosis, advice, problem
from dspamd.storage.sql.common import UserTable

_USERS = "dspam_virtual_uids"
_CLOCK_S = 60.0  # by which our clock and the server's may differ

Columns = tuple[str, ...]
Keys = Mapping[str, set[Columns]]
"""The columns of the unique indexes of each table, each in alphabetical order."""


class Missing(NamedTuple):
    """A unique index that statements of the driver count on."""

    table: str
    columns: Columns

    @property
    def name(self) -> str:
        """That of an index which we make in its place."""
        return f"dspamd_{self.table.rpartition('.')[2]}_{'_'.join(self.columns)}"[:60]


class Connections(NamedTuple):
    """Numbers of connections to a server: that it allows, that others have now, that the daemon may open."""

    allowed: int
    others: int
    ours: int


def missing_keys(found: Keys, users: UserTable) -> list[Missing]:
    """The indexes that tables lack which are there."""
    wanted = [
        Missing("dspam_token_data", ("uid", "token")),
        Missing("dspam_signature_data", ("uid", "signature")),
        Missing("dspam_stats", ("uid",)),
        Missing("dspam_preferences", ("uid", "preference")),
        Missing(_USERS, (users.name,)),
        Missing("dspamd_correction", ("uid", "signature")),
        Missing("dspamd_block", ("uid", "name")),
        Missing("dspamd_block_change", ("uid", "name", "version")),
    ]
    if users.table != _USERS:  # a table of the site's own is their concern
        wanted = [each for each in wanted if each.table != _USERS]
    return [each for each in wanted if each.table in found and _key(each.columns) not in found[each.table]]


def _key(columns: Columns) -> Columns:
    return tuple(sorted(columns))


def judged_keys(
    missing: list[Missing], statement: Callable[[Missing], str], make: Callable[[Missing], Awaitable[str]]
) -> Iterator[Diagnosis]:
    """`statement` gives the statement for an index, `make` carries it out."""
    for each in missing:
        columns = ", ".join(each.columns)
        what = f"the table {each.table} has no unique index of ({columns})"
        why = "nothing can be learned, or is learned twice, and each look-up reads the whole table"
        cure = f"{statement(each)};"
        yield problem(what, why, cure, partial(make, each))


def judged_changes(reason: str) -> Iterator[Diagnosis]:
    """Whether the database takes changes; `reason` why not, with a colon before what helps."""
    what, _, cure = reason.partition(": ")
    if reason:
        why = "nothing is learned, and mail gets no signature"
        yield problem(f"the database takes no changes: {what}", why, cure)


def judged_connections(found: Connections, option: str) -> Iterator[Diagnosis]:
    """Whether the server allows as many connections as the workers may open; `option` sets that number."""
    allowed, others, ours = found
    what = f"the daemon may open {ours} connections (workers times {option}), the server allows {allowed}"
    why = "under load the server refuses connections, and mail waits"
    cure = f"raise max_connections of the server, or lower {option} or ServerWorkers"
    if ours > allowed:
        yield problem(what, why, cure)
    elif ours + others > allowed:
        yield advice(f"{what}, of which others use {others} now", why, cure)


def judged_clocks(server: float, ours: float) -> Iterator[Diagnosis]:
    """Both in seconds since 1970."""
    if abs(server - ours) > _CLOCK_S:
        sense = "ahead of" if server > ours else "behind"
        what = f"the clock of the server is {abs(server - ours):.0f} s {sense} ours"
        why = "purges, signatures and corrections go by both clocks"
        yield advice(what, why, "on both hosts: timedatectl set-ntp true")
