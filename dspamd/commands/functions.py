"""The functions of dspam_admin that have a module of their own, by their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dspamd.commands import adopt, doctor, knowledge, learning_maildirs, migration, moving, renaming, tool

if TYPE_CHECKING:
    from dspamd.app import Parts

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Function(Generic[Options]):
    """How the words after a function are understood and carried out.

    `run` takes the options and a profile, and returns the exit status.
    """

    parse: Callable[[Sequence[str]], Options]
    run: Callable[[Options, str], int]
    usage: str

    def asked_usage(self, words: Sequence[str]) -> bool:
        """Whether the words after the function ask for its usage; -h may be a name elsewhere."""
        return "--help" in words or words[:1] == ["-h"]


def _on_stores(work: Callable[[Parts, Options], Awaitable[int]]) -> Callable[[Options, str], int]:
    """Work that needs the parts of the filter."""
    return lambda options, profile: tool.run(lambda parts: work(parts, options), profile)


FUNCTIONS: Mapping[tuple[str, ...], Function[Any]] = {
    ("export",): Function(moving.parse_export, _on_stores(moving.export_user), moving.EXPORT),
    ("import",): Function(moving.parse_import, _on_stores(moving.import_user), moving.IMPORT),
    ("delete", "user"): Function(moving.parse_delete, _on_stores(moving.delete_user), moving.DELETE),
    ("rename", "user"): Function(renaming.parse_rename, _on_stores(renaming.rename_user), renaming.RENAME),
    ("merge", "user"): Function(renaming.parse_merge, _on_stores(renaming.merge_user), renaming.MERGE),
    ("adopt",): Function(adopt.parse, adopt.run, adopt.USAGE),
    ("doctor",): Function(doctor.parse, doctor.run, doctor.USAGE),
    ("copy",): Function(migration.parse, _on_stores(migration.copy), migration.USAGE),
    ("learn-maildirs",): Function(
        learning_maildirs.parse, _on_stores(learning_maildirs.learn), learning_maildirs.USAGE
    ),
    ("retrain-model",): Function(knowledge.parse_retrain, _on_stores(knowledge.retrain), knowledge.RETRAIN),
    ("seed",): Function(knowledge.parse_seed, _on_stores(knowledge.seed), knowledge.SEED),
}


def function_of(words: Sequence[str]) -> tuple[Function[Any], Sequence[str]] | None:
    """The function that the first words name, and the words after it; None: it is none of these."""
    for name, function in FUNCTIONS.items():
        if tuple(words[: len(name)]) == name:
            return function, words[len(name) :]
    return None
