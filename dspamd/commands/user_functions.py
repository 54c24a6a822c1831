"""The functions of dspam_admin that are about one user with everything of theirs, by their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands import moving, renaming
from dspamd.commands.moving import Options

if TYPE_CHECKING:
    from dspamd.app import Parts


class Function(NamedTuple):
    """How the words after a function are understood, and carried out."""

    parse: Callable[[Sequence[str]], Options]
    run: Callable[[Parts, Options], Awaitable[int]]


FUNCTIONS: Mapping[tuple[str, ...], Function] = {
    ("export",): Function(moving.parse_export, moving.export_user),
    ("import",): Function(moving.parse_import, moving.import_user),
    ("delete", "user"): Function(moving.parse_delete, moving.delete_user),
    ("rename", "user"): Function(renaming.parse_rename, renaming.rename_user),
    ("merge", "user"): Function(renaming.parse_merge, renaming.merge_user),
}


def users_function(words: Sequence[str]) -> tuple[Function, Sequence[str]] | None:
    """The function that the first words name, and the words after it; None: it is none of these."""
    for name, function in FUNCTIONS.items():
        if tuple(words[: len(name)]) == name:
            return function, words[len(name) :]
    return None
