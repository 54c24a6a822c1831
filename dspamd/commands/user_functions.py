"""The functions of dspam_admin that are about one user with everything of theirs, by their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands import moving, renaming
from dspamd.commands.moving import Options

if TYPE_CHECKING:
    from dspamd.app import Parts

EXPORT = """\
syntax: dspam_admin export USER [FILE] [--verify] [--json] [--profile=PROFILE]

Write everything of a user into FILE (or to standard output), in the form of dspam-export(5).

	--verify  read the file again, and compare it with the store
	--json    print an object instead of text
"""
IMPORT = """\
syntax: dspam_admin import [USER] FILE [--replace | --merge | --verify] [--json] [--profile=PROFILE]

Bring a user in from FILE, under the name in it or as USER. What was interrupted goes on.

	--replace  remove what is here of a known user first
	--merge    add to what is here of a known user
	--verify   compare only, and change nothing
	--json     print an object instead of text
"""
DELETE = """\
syntax: dspam_admin delete user USER [--yes] [--json] [--profile=PROFILE]

Show what there is of a user, in the store, in files and logs.

	--yes   delete all of it
	--json  print an object instead of text
"""
RENAME = """\
syntax: dspam_admin rename user USER NEW [--profile=PROFILE]

Give a user another name, of which nothing may be known. What was interrupted is finished.
"""
MERGE = """\
syntax: dspam_admin merge user USER INTO [--profile=PROFILE]

Join a user to another one: counters, signatures, weights, preferences, logs, quarantine. What was interrupted
is finished, and nothing is added twice.
"""


class Function(NamedTuple):
    """How the words after a function are understood, and carried out."""

    usage: str
    parse: Callable[[Sequence[str]], Options]
    run: Callable[[Parts, Options], Awaitable[int]]


FUNCTIONS: Mapping[tuple[str, ...], Function] = {
    ("export",): Function(EXPORT, moving.parse_export, moving.export_user),
    ("import",): Function(IMPORT, moving.parse_import, moving.import_user),
    ("delete", "user"): Function(DELETE, moving.parse_delete, moving.delete_user),
    ("rename", "user"): Function(RENAME, renaming.parse_rename, renaming.rename_user),
    ("merge", "user"): Function(MERGE, renaming.parse_merge, renaming.merge_user),
}


def users_function(words: Sequence[str]) -> tuple[Function, Sequence[str]] | None:
    """The function that the first words name, and the words after it; None: it is none of these."""
    for name, function in FUNCTIONS.items():
        if tuple(words[: len(name)]) == name:
            return function, words[len(name) :]
    return None


def asked_usage(words: Sequence[str]) -> str:
    """The text about a function whose words ask for it; empty if they do not."""
    found = users_function(words)
    return found[0].usage if found is not None and found[1][:1] in (["--help"], ["-h"]) else ""
