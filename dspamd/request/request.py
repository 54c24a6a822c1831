"""The request of a client for one message: the options of `dspam` as a value.

The words of the request come from a command line, from `ServerParameters` or from `DSPAMPROCESSMODE`
(`command_line`).  `parse` checks them and makes a Request, with the error texts of the original
(reference/cli.md 3.1, 3.2, 4).

Options of a program rather than of a message (`--client`, `--daemon`, `--help`,
...) are accepted and leave no trace here: `dspam --client` passes them on.  Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dspamd.engine.model import Label, Lesson, Mode, Source
from dspamd.errors import UsageError
from dspamd.request.command_line import OPTIONS, divide, refusal, untrusted
from dspamd.request.retrain_address import RetrainAddress

_LONGEST_USER = 254  # the stores of existing sites have room for no more
_DASHES = ("\N{EN DASH}", "\N{EM DASH}", "\N{MINUS SIGN}", "\N{FIGURE DASH}")
_LABELS = {"spam": Label.SPAM, "innocent": Label.INNOCENT, "nonspam": Label.INNOCENT}
_DELIVERIES = ("spam", "innocent", "nonspam", "summary", "stdout")


class Misconfigured(UsageError):
    """Options that are valid alone but not together."""


@dataclass(frozen=True, slots=True)
class Request:
    """The options of one run, checked."""

    users: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    sender: bytes = b""
    lesson: Lesson | None = None
    classify: bool = False
    mode: Mode | None = None  # None: as configured
    features: tuple[str, ...] | None = None  # noise, whitelist, tb=N; None: as configured
    deliver_innocent: bool = False
    deliver_spam: bool = False
    summary: bool = False
    stdout: bool = False
    signature: str | None = None
    profile: str | None = None
    agent_arguments: tuple[str, ...] = ()
    filed: bool = False  # the lesson is a message that the user moved to a folder
    report: RetrainAddress | None = None  # the retraining address that asks for the lesson, if one does
    trusted: bool = True  # the caller may act for other users
    warnings: tuple[str, ...] = ()  # for the administrator; logged


def parse(
    words: Sequence[str],
    *,
    trusted: bool = True,
    login: str = "",
    uid: int = 0,
    class_aliases: Mapping[str, Label] = MappingProxyType({}),
    lower_case: bool = False,
) -> Request:
    """The request that these words make.

    An untrusted caller, `login` with `uid`, may act for themselves only and passes no
    arguments to the delivery agent.  `class_aliases` are further values of
    `--class`; `lower_case` is `Broken case`.

    The caller of this function checks that there is a user; the envelope may name one.
    Raises UsageError, and Misconfigured for options that do not go together; both
    carry the text of the original.
    """
    items = divide(list(words))
    if not trusted:
        if problem := untrusted(items, login, uid):
            raise UsageError(problem)
        own = [item for item in items if item[0] not in ("user", "rcpt-to", "")]
        items = [("user", login), *own]
    draft = _Draft(class_aliases, lower_case, trusted)
    for option, value in items:
        draft.take(option, value)
    return draft.request()


class _Draft:
    """A request while `parse` reads its words, left to right, up to the first error."""

    def __init__(self, class_aliases: Mapping[str, Label], lower_case: bool, trusted: bool) -> None:
        self._aliases = class_aliases
        self._lower_case = lower_case
        self._trusted = trusted
        self._users: list[str] = []
        self._recipients: list[str] = []
        self._values: dict[str, str] = {}
        self._label: Label | None = None
        self._source: Source | None = None
        self._filed = False
        self._features: list[str] | None = None
        self._deliver: set[str] = set()
        self._arguments: list[str] = []
        self._warnings: list[str] = []

    def take(self, option: str, value: str) -> None:
        if problem := refusal(option, value):
            raise UsageError(problem)
        match option:
            case "user":
                self._take_user(value)
            case "rcpt-to":
                self._take_recipient(value)
            case "class":
                self._label = _LABELS.get(value) or self._aliases.get(value)
                if self._label is None:
                    raise UsageError(f"No such class '{value}'")
            case "source":
                self._take_source(value)
            case "mode" if value not in [mode.value for mode in Mode] + ["unlearn"]:
                raise UsageError(f"Invalid training mode '{value}' specified")
            case "feature":
                self._take_features(value)
            case "deliver":
                self._take_deliveries(value)
            case "":
                self._take_argument(value)
            case _:
                self._values[option] = value

    def request(self) -> Request:
        classify = "classify" in self._values
        stdout = "stdout" in self._deliver
        if classify and self._label:
            raise Misconfigured("Classify mode may not specify a class")
        if self._filed and "signature" in self._values:
            raise Misconfigured("--source=folder needs the message, not --signature")
        return Request(
            users=tuple(self._users),
            recipients=tuple(self._recipients),
            sender=self._sender(),
            lesson=self._lesson(),
            classify=classify,
            mode=self._mode(),
            features=None if self._features is None else tuple(self._features),
            deliver_innocent=stdout or bool(self._deliver & {"innocent", "nonspam"}),
            deliver_spam=stdout or "spam" in self._deliver,
            summary="summary" in self._deliver,
            stdout=stdout or "stdout" in self._values,
            signature=self._values.get("signature") or None,
            profile=self._values.get("profile"),
            filed=self._filed,
            agent_arguments=tuple(self._arguments),
            trusted=self._trusted,
            warnings=tuple(self._warnings),
        )

    def _take_source(self, value: str) -> None:
        self._filed = value == "folder"
        try:
            self._source = Source.ERROR if self._filed else Source(value)
        except ValueError:
            raise UsageError(f"No such source '{value}'") from None

    def _take_user(self, name: str) -> None:
        if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_USER:
            self._warnings.append(f"user name too long, left out: {name[:40]}...")
        else:
            self._users.append(name.lower() if self._lower_case else name)

    def _take_recipient(self, address: str) -> None:
        self._recipients.append(address.lower() if self._lower_case else address)

    def _take_features(self, text: str) -> None:
        self._features = self._features or []
        for name in filter(None, text.split(",")):
            if name.startswith("no"):
                self._features.append("noise")
            elif name.startswith("wh"):
                self._features.append("whitelist")
            elif name.startswith("tb="):
                self._take_buffer(name[3:])
            else:
                self._warnings.append(f"No such feature '{name}'")

    def _take_buffer(self, text: str) -> None:
        leading = re.match(r"\s*([+-]?\d+)", text)
        level = int(leading[1]) if leading else 0
        if self._features is not None and 0 <= level <= 10:
            self._features.append(f"tb={level}")
        else:
            self._warnings.append("Training buffer level must be 0-10")

    def _take_deliveries(self, text: str) -> None:
        for name in filter(None, text.split(",")):
            if name not in _DELIVERIES:
                raise UsageError(f"No such delivery option '{name}'")
            self._deliver.add(name)
        if text.endswith(","):
            self._warnings.append(
                f"--deliver={text} ends in a comma: what follows the blank is not in the list"
            )

    def _take_argument(self, word: str) -> None:
        self._arguments.append(word)
        if word.startswith(_DASHES):
            self._warnings.append(f"'{word}' starts with a typographic dash, not with '-'")
        elif word.startswith("--") and (meant := _meant(word)):
            self._warnings.append(f"'{word}' goes to the delivery agent; was {meant} meant?")

    def _sender(self) -> bytes:
        sender = self._values.get("mail-from", "").encode("utf-8", "surrogateescape")
        if re.search(rb"[\x00-\x1f\x7f]", sender):
            raise UsageError("Invalid email address: control character in --mail-from")
        return sender

    def _lesson(self) -> Lesson | None:
        unlearn = self._values.get("mode") == "unlearn"
        if self._label is None:
            if self._source:
                raise Misconfigured("No class was specified for this source")
            return None
        if self._source is None and not unlearn:
            raise Misconfigured("No source was specified for this class")
        return Lesson(self._label, self._source or Source.ERROR, unlearn)

    def _mode(self) -> Mode | None:
        mode = self._values.get("mode")
        if mode != "unlearn":
            return Mode(mode) if mode else None
        if self._label:
            return Mode.TEFT
        # 3.10.2 takes the message away from the class that it scores it as.
        self._warnings.append("--mode=unlearn without --class: nothing is learned or unlearned")
        return Mode.NOTRAIN


def _meant(word: str) -> str:
    """The option that a word probably stands for; empty if it resembles none."""
    name = word[2:].partition("=")[0]
    close = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.75)
    return f"--{close[0]}" if close else ""
