"""All cases, and a check that runs them against the store of a site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

from dspamd.maintenance.conformance import blocks, counters, owners, signatures
from dspamd.maintenance.conformance.steps import Case
from dspamd.storage.contract import Storage, Unreachable

CASES: tuple[Case, ...] = (
    owners.owners_are_made_on_demand,
    owners.owners_are_found_by_their_uid,
    counters.new_owners_know_nothing,
    counters.counters_add_up_and_stop_at_zero,
    counters.each_token_has_its_own_change,
    counters.nothing_is_kept_of_nothing,
    counters.tokens_are_unsigned,
    counters.hits_of_many_days_are_loaded,
    counters.large_messages_are_read_whole,
    counters.tokens_are_removed_while_they_are_listed,
    counters.what_is_stale_is_purged,
    counters.concurrent_learning_loses_nothing,
    owners.owners_are_kept_apart,
    owners.names_may_be_odd,
    signatures.signatures_come_back_as_stored,
    signatures.hostile_signatures_find_nothing,
    signatures.corrections_count_once,
    signatures.corrections_are_taken_back_exactly,
    signatures.corrections_need_their_signature,
    signatures.one_of_many_equal_corrections_wins,
    signatures.provisional_corrections_come_with_their_signature,
    signatures.provisional_corrections_have_an_effect_too,
    signatures.corrections_can_be_copied,
    blocks.blocks_grow_by_changes,
    blocks.blocks_are_folded,
    blocks.blocks_change_with_the_rest_or_not_at_all,
    blocks.concurrent_changes_of_blocks_are_all_kept,
    blocks.blocks_are_replaced_if_nothing_came_between,
    blocks.replacements_of_blocks_lose_no_change,
    blocks.blocks_may_be_large,
    blocks.blocks_are_never_purged,
    blocks.blocks_of_deleted_owners_are_gone,
    owners.preferences_are_kept,
    owners.owners_get_another_name,
    owners.deleted_owners_leave_nothing,
)


async def check(storage: Storage, owner: str) -> AsyncIterator[tuple[str, Exception | None]]:
    """Run all cases; yields the name of each case, with its fault or None.

    The names of the owners that it makes begin with `owner`; it removes them.  It ends when it
    cannot reach the store.
    """
    for number, case in enumerate(CASES):
        name = f"{owner}-{number}"
        trouble = await _trouble(case(storage, name))
        left = await _trouble(_remove(storage, name))
        yield case.__name__.replace("_", " "), trouble or left
        if isinstance(left, Unreachable):
            return


async def _trouble(work: Awaitable[None]) -> Exception | None:
    """The fault that a case finds; a store in trouble must not end the report."""
    try:
        await work
    except Exception as error:
        return error
    return None


async def _remove(storage: Storage, name: str) -> None:
    """Remove the owners of a case.  A user with preferences only is no owner in stores of files."""
    for left in (name, *await storage.owners()):
        if left.startswith(name):
            await storage.delete_owner(left)
