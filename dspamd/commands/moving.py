"""dspam_admin export, import, delete user: a user who moves out, in, or away (`maintenance.moving`).

Results go to standard output, the progress to a terminal, the rest to standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from dspamd.commands.progress import Bar
from dspamd.commands.tool import files_in_trouble
from dspamd.errors import UsageError
from dspamd.files import replacement
from dspamd.maintenance.moving.archive import Archive, Contents
from dspamd.maintenance.moving.comparing import compare
from dspamd.maintenance.moving.exporting import export
from dspamd.maintenance.moving.importing import Import, Mode, forget_position
from dspamd.maintenance.moving.leaving import remove
from dspamd.maintenance.moving.possessions import Site, known, tally

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

_STANDARD_OUTPUT = "-"
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_CHECKED = 0.2  # of the bar, for the look at the archive before


class Options(NamedTuple):
    """The words after a function: names and files, and flags without their dashes."""

    words: tuple[str, ...]
    flags: frozenset[str]

    @property
    def json(self) -> bool:
        return "json" in self.flags


def parse(function: str, words: Sequence[str], counts: range, *flags: str) -> Options:
    """The options after a function.  Raises UsageError."""
    given = {word.removeprefix("--") for word in words if word.startswith("--")}
    plain = tuple(word for word in words if not word.startswith("--"))
    if unknown := given.difference(flags):
        raise UsageError(f"{function}: unknown option --{min(unknown)}")
    if len(plain) not in counts:
        raise UsageError(f"{function}: {'too few' if len(plain) < counts.start else 'too many'} arguments")
    return Options(plain, frozenset(given))


def parse_export(words: Sequence[str]) -> Options:
    options = parse("export", words, range(1, 3), "verify", "json")
    if _to_standard_output(options) and options.flags:
        raise UsageError("export: --verify and --json need a file")
    return options


def parse_import(words: Sequence[str]) -> Options:
    options = parse("import", words, range(1, 3), "replace", "merge", "verify", "json")
    if len(options.flags & {"replace", "merge", "verify"}) > 1:
        raise UsageError("import: only one of --replace, --merge and --verify")
    return options


def parse_delete(words: Sequence[str]) -> Options:
    return parse("delete user", words, range(1, 2), "yes", "json")


def site_of(parts: Parts) -> Site:
    return Site(parts.config, parts.storage, parts.home)


async def export_user(parts: Parts, options: Options) -> int:
    """Write the archive of a user; 0, or 1 for a user of whom nothing is known, or a file in trouble."""
    site, name = site_of(parts), options.words[0]
    await tell_of_others(parts, name)
    if not await known(site, name):
        return _failed(f"{name}: there is nothing to export")
    if _to_standard_output(options):
        if sys.stdout.isatty():
            return _failed("an archive is no text for a terminal: name a file")
        exported = await export(site, name, sys.stdout.buffer, lambda _: None)
        return os.EX_OK
    file = Path(options.words[1])
    with files_in_trouble(1, file), _private(file) as out, Bar() as bar:
        exported = await export(site, name, out, bar.show)
    if exported.learned_meanwhile:
        sys.stderr.write(
            f"{name}: {exported.learned_meanwhile} messages were learned meanwhile: "
            "export again for counters of one moment\n"
        )
    archive, different = Archive(file), list[str]()
    if "verify" in options.flags:
        with Bar() as bar:
            contents = await checked(archive, bar, 1.0)
        different = await compare(site, name, archive, contents, exact=True)
    return _told(options, name, f"{file}: ", exported.counts, different)


async def import_user(parts: Parts, options: Options) -> int:
    """Bring a user in from an archive, or only compare; 0, or 1 if something differs in the end."""
    site, archive = site_of(parts), Archive(Path(options.words[-1]))
    mode = (
        Mode.MERGE if "merge" in options.flags else Mode.REPLACE if "replace" in options.flags else Mode.NEW
    )
    with files_in_trouble(1, archive.path), Bar() as bar:
        contents = await checked(archive, bar, _CHECKED)
        name = options.words[0] if len(options.words) > 1 else contents.header["user"]
        if "verify" in options.flags:
            different = await compare(site, name, archive, contents, exact=True)
            return _told(options, name, "", contents.counts, different)
        different = await bring(Import(site, name, archive, contents, mode), bar)
        different += await compare(site, name, archive, contents, exact=mode is not Mode.MERGE)
        await forget_position(site.storage, name, contents)
    return _told(options, name, "", contents.counts, different)


async def bring(arriving: Import, bar: Bar) -> list[str]:
    """Import, and say how far it came if it is interrupted; what was left out, in words."""
    try:
        done = await arriving.run(lambda share: bar.show(_CHECKED + (1 - _CHECKED) * share))
    except asyncio.CancelledError:
        bar.end()
        sys.stderr.write(
            f"{arriving.name}: {arriving.tokens} of {arriving.count} tokens are in: "
            "the same command goes on from there\n"
        )
        raise
    return [f"{len(done.left_out)} signatures or blocks have no place here"] * bool(done.left_out)


async def delete_user(parts: Parts, options: Options) -> int:
    """Show what there is of a user, and with --yes remove it; 0, or 1 if nothing is known of them."""
    site, name = site_of(parts), options.words[0]
    await tell_of_others(parts, name)
    found = await tally(site, name)
    done = "yes" in options.flags
    if done:
        try:
            await remove(site, name)
        except asyncio.CancelledError:
            sys.stderr.write(
                f"{name}: {await tally(site, name)} are left: the same command removes the rest\n"
            )
            raise
    if options.json:
        sys.stdout.write(json.dumps({"user": name, "deleted": done, **found._asdict()}) + "\n")
    else:
        ending = "" if not any(found) else " deleted" if done else "; --yes deletes that"
        sys.stdout.write(f"{name}: {found}{ending}\n")
    if done:
        tell_of_groups(parts, name)
        if (folder := parts.home.directory(name)).exists():
            sys.stderr.write(f"{folder} stays: files in it do not begin with {folder.name}.\n")
    return os.EX_OK if any(found) else 1


async def tell_of_others(parts: Parts, name: str) -> None:
    """Say whose dictionary and files a user has, if these are not under their own name."""
    user = await parts.users.resolve(name)
    if user.owner != name:
        sys.stderr.write(f"{name} has the dictionary of {user.owner}, which is not meant here\n")
    if user.file_name not in (name, user.owner):
        sys.stderr.write(f"{name} has the files of {user.file_name}, which are not meant here\n")


def tell_of_groups(parts: Parts, name: str) -> None:
    """Say which lines of the file of groups name a user who is no more."""
    file = Path(parts.config.GroupConfig or parts.home.path / "group")
    try:
        lines = file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    found = [str(n) for n, line in enumerate(lines, 1) if name in line.replace(":", ",").split(",")]
    if found:
        sys.stderr.write(f"{file} names {name} in line {', '.join(found)}: change it there\n")


async def checked(archive: Archive, bar: Bar, part: float) -> Contents:
    """What a sound archive says of itself; the look takes a part of the bar.  Raises `BadArchive`."""
    steps = archive.check()
    while True:
        step = await asyncio.to_thread(next, steps)
        if isinstance(step, Contents):
            return step
        bar.show(part * step)


@contextmanager
def _private(file: Path) -> Iterator[IO[bytes]]:
    """The file to write, for its owner alone, because there is mail in it; named when it is whole."""
    with replacement(file) as fresh, os.fdopen(os.open(fresh, _FRESH, 0o600), "wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def _to_standard_output(options: Options) -> bool:
    return options.words[1:] in ((), (_STANDARD_OUTPUT,))


def _told(options: Options, name: str, where: str, counts: dict[str, int], different: Sequence[str]) -> int:
    """Print what was moved, and what differs; the exit status."""
    if options.json:
        sys.stdout.write(json.dumps({"user": name, "records": counts, "different": list(different)}) + "\n")
    else:
        described = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        sys.stdout.write(f"{where}{name}: {described or 'nothing'}\n")
        for text in different:
            sys.stderr.write(f"{name}: {text}\n")
    return 1 if different else os.EX_OK


def _failed(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1
