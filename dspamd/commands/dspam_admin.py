"""dspam_admin: manages preferences, explains verdicts, checks and copies stores.

The preference functions are those of DSPAM 3.10.2 (reference/cli.md 6): set, delete, list the
stored ones, list those in effect.  The user `default`, or an empty one, means everybody; unlike
the original, a beginning of that word does not, so a user may be called `d`.  A preference that
does not do what its writer wants is stored all the same, with a warning on standard error.

`storage-check` runs the contract of all stores against the configured one, with owners of its own
that it removes.  `explain` shows the counters and probabilities of some tokens in a user's dictionary,
or what the verdict on the message on standard input rests on.  The other functions have modules of
their own (`functions`).
"""

from __future__ import annotations

import json
import os
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.commands.functions import function_of
from dspamd.config import preferences
from dspamd.config.config import Config, contains
from dspamd.engine.model import Explained, ScoreOptions
from dspamd.engine.scorers import scorer
from dspamd.engine.token_probabilities import probabilities
from dspamd.engine.tokenizer import crc64
from dspamd.errors import Failure, UsageError
from dspamd.filter.dictionary import Dictionaries, Dictionary
from dspamd.filter.explanation import explanation_data, explanation_lines, result_line
from dspamd.filter.transaction import InboundMessage
from dspamd.mail.view import SignaturePass
from dspamd.maintenance.conformance import suite
from dspamd.request.envelope import Envelope
from dspamd.request.request import Request
from dspamd.telemetry import log
from dspamd.users.preferences import User

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
syntax: dspam_admin [function] [arguments] [--profile=PROFILE]
	add preference [user] [attrib] [value]
	change preference [user] [attrib] [value]
	delete preference [user] [attrib] [value]
	list preference [user] [attrib] [value]
	aggregate preference [user]
	export [user] [file] [--verify] [--json]
	import [user] [file] [--replace | --merge | --verify] [--json]
	delete user [user] [--yes] [--json]
	rename user [user] [new name]
	merge user [user] [into user]
	copy [other dspam.conf] [user ...] [--replace] [--verbose]
	adopt [dspam.conf of DSPAM] [--maildir path [--user user] [--messages n]] [--json]
	doctor [--fix] [--json]
	learn-maildirs [pattern] [--user name ...] [--kept days] [--junk folder ...] [--silent folder ...]
		[--limit n] [--dry-run] [--verbose] [--json]
	explain [user] [token ...] [--json]
	retrain-model [user ...] [--ham path ... --spam path ...]
	seed [file] --ham path ... --spam path ...
	storage-check
"""
EVERYBODY = "default"
REASONS = 40  # of a message that a table shows
NOT_THERE = -1  # the original's word for a preference that is not stored


class InvalidSyntax(UsageError):
    """A function whose arguments are missing."""

    def __init__(self) -> None:
        super().__init__("invalid command syntax.")


COMMAND = tool.Command("dspam_admin", USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage or check failed, 255 not stored."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    if (found := function_of(words)) is not None:
        function, arguments = found
        if function.asked_usage(arguments):
            sys.stdout.write(function.usage)
            return os.EX_OK
        return function.run(function.parse(arguments), profile)
    check(words)
    return tool.run(lambda parts: administer(parts, words), profile)


def check(words: Sequence[str]) -> None:
    """Raise UsageError for an unknown function, or one without its arguments."""
    if (found := function_of(words)) is not None:
        found[0].parse(found[1])
        return
    match words:
        case ["storage-check"]:
            return
        case ["explain", *rest]:
            rest, _ = _json_of(rest)
            needed = 1
        case [function, what, *rest] if what.startswith("pref"):
            needed = _needed(function)
        case _:
            raise UsageError
    if len(rest) < needed:
        raise InvalidSyntax


def _needed(function: str) -> int:
    """How many arguments a preference function needs; its first letters name the function."""
    for letters, needed in (("ad", 3), ("ch", 3), ("d", 2), ("l", 1), ("ag", 1)):
        if function.startswith(letters):
            return needed
    raise UsageError


async def administer(parts: Parts, words: Sequence[str]) -> int:
    """Carry out a checked command line of one of the functions that this module has."""
    match words:
        case ["storage-check"]:
            return await check_storage(parts)
        case ["explain", *rest]:
            (user, *tokens), as_json = _json_of(rest)
            return await explain(parts, user, [os.fsencode(token) for token in tokens], as_json=as_json)
    (function, _, user, *rest), as_json = _json_of(words)
    owner = "" if user == EVERYBODY else user
    match function[:2]:
        case "ad" | "ch":
            return await set_preference(parts, owner, rest[0], rest[1])
        case "ag":
            return await show_effective(parts, owner, as_json=as_json)
    if function.startswith("d"):
        return await set_preference(parts, owner, rest[0], None)
    show(await parts.storage.preferences(owner), as_json=as_json)
    return os.EX_OK


async def set_preference(parts: Parts, owner: str, name: str, value: str | None) -> int:
    """Store a preference, or remove it; print the result."""
    if value is None and name not in await parts.storage.preferences(owner):
        sys.stdout.write(f"operation failed with error {NOT_THERE}.\n")
        return NOT_THERE & 255
    found = [] if value is None else await doubts(parts, owner, name, value)
    try:
        await parts.storage.set_preference(owner, name, value)
    except Failure as failure:
        sys.stdout.write(f"operation failed with error {failure.exit_status}.\n")
        raise
    for doubt in found:
        sys.stderr.write(f"warning: {doubt}\n")
    sys.stdout.write("operation successful.\n")
    return os.EX_OK


async def doubts(parts: Parts, owner: str, name: str, value: str) -> list[str]:
    """The reasons why a new preference does not do what its writer probably wants."""
    config = parts.config
    found = [f"{name}={value}: {doubt}"] if (doubt := preferences.doubt(name, value)) else []
    if not found and owner and not contains(config.AllowOverride, name):
        found.append(f"{name} of a user does not count: AllowOverride does not name it")
    if not owner and config.given(Config.Preference) and not await parts.storage.preferences(owner):
        lines = len(config.Preference)
        found.append(
            f"stored preferences of everybody replace all {lines} preferences that {config.file} has: "
            "store those that you want to keep, too"
        )
    return found


async def show_effective(parts: Parts, owner: str, *, as_json: bool) -> int:
    effective = await parts.users.preferences(owner)
    for name in effective.disallowed:
        log.get().warning("preference_disallowed", user=owner, preference=name)
    show(effective.values, as_json=as_json)
    return os.EX_OK


def show(found: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(dict(found)) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name}={value}\n")


async def check_storage(parts: Parts) -> int:
    """Check the store against its contract, case by case; 0 if it conforms."""
    failed = 0
    async for case, trouble in suite.check(parts.storage, f"dspamd-check-{os.getpid()}"):
        failed += trouble is not None
        sys.stdout.write(f"ok    {case}\n" if trouble is None else f"FAIL  {case}: {trouble!r}\n")
        sys.stdout.flush()
    return 1 if failed else os.EX_OK


async def explain(parts: Parts, user: str, names: Sequence[bytes], *, as_json: bool = False) -> int:
    """Print what the named tokens, or those of a message, say in the dictionary of a user."""
    resolved = await parts.users.resolve(user)
    dictionary = await Dictionaries.of_site(parts.config, parts.storage).of(resolved, create=False)
    options = resolved.score_options(Request())
    if dictionary.uid is None:
        sys.stderr.write(
            f"{user} is unknown: there is no dictionary of {resolved.owner}; a new user would get this\n"
        )
    result, balance = None, None
    if names:
        explained = await _named(names, dictionary, options)
    else:
        mail = InboundMessage(Envelope(b"", (), sys.stdin.buffer.read()))
        tokens = await mail.tokens(resolved.token_options(Request()), _inbound(resolved))
        run = (await dictionary.score(tokens, options)).run
        balance = run.balance
        explained = run.reasons(None if as_json or balance is None else REASONS)
        result = run.result
    if as_json:
        lines = [json.dumps(explanation_data(explained, balance, result), indent=1).encode()]
    else:
        lines = explanation_lines(explained, balance)
        if balance is not None and result is not None:
            lines.insert(0, result_line(result).encode())
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
    sys.stdout.buffer.flush()
    return os.EX_OK


def _json_of(words: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without --json, and whether it was there."""
    return [word for word in words if word != "--json"], "--json" in words


def _inbound(user: User) -> SignaturePass:
    return SignaturePass(headers_only=user.signature_in_headers, cut_tags=not user.train_pristine)


async def _named(names: Sequence[bytes], dictionary: Dictionary, options: ScoreOptions) -> list[Explained]:
    """Tokens by name.  Raises UsageError if the algorithm knows none."""
    if scorer(options.algorithms).block is not None:
        raise UsageError(
            f"Algorithm {' '.join(options.algorithms)} knows features, not words: "
            "give the message on standard input."
        )
    snapshot = await dictionary.read(array("Q", map(crc64, names)))
    known = {token: (spam, innocent) for token, spam, innocent in zip(*snapshot.hits, strict=True)}
    hits = [known.get(crc64(name), (0, 0)) for name in names]
    probability = probabilities(hits, snapshot.totals, options)
    return [Explained(name, *pair, probability[pair]) for name, pair in zip(names, hits, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
