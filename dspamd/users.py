"""Who a user is: preferences, groups, filtered or not, whose dictionary, which settings.

`Users.resolve` turns a name into a `User`, whose properties answer every question
that the way of a message asks, with the directives of dspam.conf standing in for
what no preference says (reference/config.md 5, engine.md 7.12).

The record of everybody, once it has any preference, replaces the `Preference`
lines of dspam.conf as a whole.  A user's own preferences count only where
`AllowOverride` names them; the others are listed for the log.

Users are remembered for some seconds, since they are asked for with every message;
so long may a changed preference take to have effect.  Nothing blocks the event
loop, and trouble with the store is a `TempFail`.

Also here: which accounts of the system are trusted.
"""

from __future__ import annotations

import asyncio
import pwd
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from dspamd.config import Config
from dspamd.engine.model import Lesson, Mode, ScoreOptions, TokenOptions
from dspamd.errors import TempFail, UsageError
from dspamd.group_file import GroupFile
from dspamd.groups import ALONE, Groups, Membership
from dspamd.home import Home
from dspamd.lookup import Lookup
from dspamd.mail.classic import SignaturePass
from dspamd.preferences import spelt
from dspamd.recent import Recent
from dspamd.request import Request
from dspamd.storage.contract import Storage
from dspamd.storage.sql import driver_name, uid_in_signature
from dspamd.trouble import explained

_CLASSIC_SUBJECT_BYTES = 15  # as much of spamSubject as DSPAM used
_UID = re.compile("([0-9]{1,10}),")  # in front of a signature
_MODES = {mode.value: mode for mode in Mode}


@dataclass(frozen=True, slots=True)
class User:
    """A user, as the message being processed needs him.

    `name` is the user processed, which may be a whole domain (`@example.org`);
    `disallowed` are stored preferences that AllowOverride does not name.
    Words of preferences count in any case.
    """

    name: str
    preferences: Mapping[str, str]  # in effect, names as in preferences.PREFERENCES
    disallowed: tuple[str, ...]
    filtered: bool  # opted in or out, as Opt demands (protocols.md 12)
    defaults: Defaults = field(repr=False)
    membership: Membership = ALONE
    # Both kinds of options by request: many messages make the same one.
    _token_options: dict[Request, TokenOptions] = field(default_factory=dict, init=False, repr=False)
    _score_options: dict[Request, ScoreOptions] = field(default_factory=dict, init=False, repr=False)

    @property
    def owner(self) -> str:
        """Whose dictionary is used: his own, or that of the group that shares one."""
        return self.membership.shared or self.name

    @property
    def file_name(self) -> str:
        """Whose files are written, but for dictionary and preferences (managed group, localStore)."""
        if self.membership.managed:
            return self.owner
        return self.preferences.get("localStore") or self.name

    @property
    def statistics_name(self) -> str:
        """Whose statistics are written: those of the dictionary, where a group shares one."""
        return self.membership.shared or self.file_name

    @property
    def spam_action(self) -> str:
        """What happens to spam: quarantine, tag or deliver."""
        action = self.preferences.get("spamAction", "").lower()
        return action if action in ("tag", "deliver") else "quarantine"

    @property
    def spam_subject(self) -> bytes:
        """What `tag` puts in front of the subject, one line."""
        text = re.sub(r"[\x00-\x1f\x7f]", "", self.preferences.get("spamSubject", ""))
        tag = (text or "[SPAM]").encode("utf-8", "surrogateescape")
        return tag[:_CLASSIC_SUBJECT_BYTES] if self.defaults.score.strict else tag

    @property
    def signature_in_headers(self) -> bool:
        """Whether signatureLocation is headers, not message."""
        return self.preferences.get("signatureLocation", "").lower() == "headers"

    @property
    def tag_spam(self) -> bool:
        return self._on("tagSpam")

    @property
    def tag_nonspam(self) -> bool:
        return self._on("tagNonspam")

    @property
    def show_factors(self) -> bool:
        return self._on("showFactors")

    @property
    def make_corpus(self) -> bool:
        return self._on("makeCorpus")

    @property
    def store_fragments(self) -> bool:
        return self._on("storeFragments")

    @property
    def skip_virus_scan(self) -> bool:
        return self._on("optOutClamAV")

    @property
    def skip_blacklists(self) -> bool:
        return self._on("ignoreRBLLookups")

    @property
    def ignore_groups(self) -> bool:
        return self._on("ignoreGroups")

    @property
    def alone(self) -> User:
        """This user as if he were in no group."""
        return self if self.membership is ALONE else replace(self, membership=ALONE)

    @property
    def train_pristine(self) -> bool:
        return self._either("trainPristine", self.defaults.train_pristine)

    def signature_pass(self, lesson: Lesson | None) -> SignaturePass:
        """How signatures of earlier passes are kept out of the tokens (engine.md 1.8, quirk Q-M18)."""
        cut = not self.train_pristine and (lesson is None or not self.defaults.score.strict)
        return SignaturePass(headers_only=self.signature_in_headers, cut_tags=cut)

    @property
    def learn_blacklisted(self) -> bool:
        return self._either("RBLInoculate", self.defaults.learn_blacklisted)

    @property
    def notifications(self) -> bool:
        return self._either("notifications", self.defaults.notifications)

    def token_options(self, request: Request) -> TokenOptions:
        """How his mail is cut into tokens; equal for all users with equal settings."""
        options = self._token_options.get(request)
        if options is None:
            options = self._token_options[request] = replace(
                self.defaults.tokens,
                whitelist=self._feature("enableWhitelist", "whitelist", request),
                noise=self._feature("enableBNR", "noise", request),
            )
        return options

    def score_options(self, request: Request) -> ScoreOptions:
        """How tokens become a verdict for him (engine.md 7.12)."""
        options = self._score_options.get(request)
        if options is None:
            options = self._score_options[request] = replace(
                self.defaults.score,
                mode=self._mode(request),
                bias=self._chosen("processorBias", self.defaults.score.bias),
                whitelist=self._feature("enableWhitelist", "whitelist", request),
                noise=self._feature("enableBNR", "noise", request),
                whitelist_threshold=max(1, self._number("whitelistThreshold", 10)),
                sedation=min(10, max(0, self._number("statisticalSedation", self._buffer(request)))),
                classify_only=request.classify,
            )
        return options

    def _mode(self, request: Request) -> Mode:
        if request.mode is not None:
            return request.mode
        preferred = _MODES.get(self.preferences.get("trainingMode", "").lower())
        if preferred is not None:
            return preferred
        return Mode.NOTRAIN if request.classify else self.defaults.score.mode

    def _feature(self, preference: str, word: str, request: Request) -> bool:
        return self._chosen(preference, word in self._features(request))

    def _buffer(self, request: Request) -> int:
        """The training buffer, `tb=N`."""
        sizes = [int(word[3:]) for word in self._features(request) if word.startswith("tb=")]
        return sizes[0] if sizes else 0

    def _features(self, request: Request) -> tuple[str, ...]:
        return self.defaults.features if request.features is None else request.features

    def _on(self, preference: str) -> bool:
        return self.preferences.get(preference, "").lower() == "on"

    def _chosen(self, preference: str, otherwise: bool) -> bool:
        return self._on(preference) if preference in self.preferences else otherwise

    def _either(self, preference: str, directive: bool) -> bool:
        """Directive or preference may switch it on; the preference `off` beats both (config.md 5.1)."""
        word = self.preferences.get(preference, "").lower()
        return (directive or word == "on") and word != "off"

    def _number(self, preference: str, otherwise: int) -> int:
        """The leading digits of a preference, as DSPAM read numbers."""
        digits = re.match(r"\s*([+-]?\d+)", self.preferences.get(preference, ""))
        return int(digits[1]) if digits else otherwise


@dataclass(frozen=True, slots=True)
class Defaults:
    """What dspam.conf says where no preference does; made once, for all users."""

    tokens: TokenOptions
    score: ScoreOptions
    features: tuple[str, ...]
    train_pristine: bool
    learn_blacklisted: bool
    notifications: bool

    @classmethod
    def of(cls, config: Config) -> Defaults:
        tokens = TokenOptions(
            tokenizer=config.text("Tokenizer"),
            url_context=config.flag("ProcessorURLContext"),
            ignore_headers=frozenset(
                name.lower().encode("utf-8", "surrogateescape") for name in config.all("IgnoreHeader")
            ),
            document=config.text("DataSource") == "document",
        )
        score = ScoreOptions(
            algorithms=frozenset(config.all("Algorithm")),
            pvalue=config.text("PValue"),
            mode=Mode(config.text("TrainingMode")),
            bias=config.flag("ProcessorBias"),
            occurrence=config.text("ProcessorWordFrequency") == "occurrence",
            strict=config.flag("StrictCompatibility"),
            control_token=config.flag("StrictCompatibility") and "hash" not in driver_name(config),
        )
        return cls(
            tokens=tokens,
            score=score,
            features=config.all("Feature"),
            train_pristine=config.flag("TrainPristine"),
            learn_blacklisted=config.flag("RBLInoculate"),
            notifications=config.flag("Notifications"),
        )


class Effective(NamedTuple):
    """The preferences in effect for a name, and the user that it stands for."""

    values: dict[str, str]
    disallowed: tuple[str, ...]
    user: str


class Users:
    """Finds out who users are.  One for each configuration; several tasks may ask at once."""

    def __init__(
        self, config: Config, storage: Storage, home: Home, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage, self._home = storage, home
        group_file = config.text("GroupConfig")
        self._group_file = GroupFile(Path(group_file) if group_file else home.path / "group", clock)
        self._groups = Groups()
        self._lookup = Lookup.from_config(config)
        self._uid_in_signature = uid_in_signature(config)
        self._defaults = Defaults.of(config)
        self._allowed = {name.lower() for name in config.all("AllowOverride")}
        self._fallback_domains = config.flag("FallbackDomains")
        self._opt_in = config.text("Opt") == "in"
        self._configured: dict[str, str] = {}
        for name, _, value in (line.partition("=") for line in config.all("Preference")):
            self._configured.setdefault(spelt(name), value)
        self._known: Recent[User] = Recent(clock)
        self._records: Recent[dict[str, str]] = Recent(clock)

    async def verified(self, name: str) -> str:
        """The name under which the mail of somebody goes on, as the external lookup says, if there is one.

        Raises `PermFail` if he is no user, `TempFail` if that cannot be found out now.
        """
        return name if self._lookup is None else await self._lookup.user(name)

    async def signer(self, signature: str, user: User) -> User:
        """For whom a correction is: the owner that its signature names (UIDInSignature), else `user`.

        A user may be an alias, which shares the number of another name: then he stays who he is.
        """
        named = _UID.match(signature) if self._uid_in_signature else None
        if named is None or await self._storage.uid(user.owner, create=False) == int(named[1]):
            return user
        owner = await self._storage.owner_of(int(named[1]))
        return user if owner is None else await self.resolve(owner)

    async def resolve(self, name: str) -> User:
        """Who `name` is.  Raises `PermFail` if it cannot be a user, `TempFail` if the store is in trouble."""
        groups = await self._group_file.groups()
        if groups is not self._groups:
            self._groups = groups
            self._known.clear()
        user = self._known.get(name)
        if user is None:
            effective = await self.preferences(name)
            user = User(effective.user, effective.values, effective.disallowed, True, self._defaults)
            membership = ALONE if user.ignore_groups else groups.membership(user.name)
            user = replace(user, filtered=await self._filtered(user), membership=membership)
            if groups is self._groups:  # else they have changed meanwhile
                self._known.put(name, user)
        return user

    async def preferences(self, name: str) -> Effective:
        """The preferences in effect for a user; the empty name stands for everybody (config.md 5.2)."""
        everybody = self._records.get("")
        if everybody is None:
            everybody = await self._stored("")
            self._records.put("", everybody)
        own, source = await self._own(name) if name else ({}, name)
        values = dict(everybody or self._configured)
        values.update((key, value) for key, value in own.items() if key.lower() in self._allowed)
        disallowed = tuple(key for key in own if key.lower() not in self._allowed)
        shared = source != name and values.get("fallbackDomain", "").lower() == "on"
        return Effective(values, disallowed, source if shared else name)

    async def _own(self, name: str) -> tuple[dict[str, str], str]:
        """Preferences stored for a user, else those of a domain that allows it, and whose they are."""
        own = await self._stored(name)
        local, at, domain = name.rpartition("@")
        if not own and self._fallback_domains and at and local:
            record = await self._stored(at + domain)
            if record.get("fallbackDomain", "").lower() == "on":
                return record, at + domain
        return own, name

    async def _stored(self, owner: str) -> dict[str, str]:
        stored = await self._storage.preferences(owner)
        return {spelt(name): value for name, value in stored.items()}

    async def _filtered(self, user: User) -> bool:
        opt_in, opt_out = self._home.opt_in(user.file_name), self._home.opt_out(user.file_name)
        try:
            files = await asyncio.to_thread(lambda: (opt_in.exists(), opt_out.exists()))
        except OSError as error:
            raise TempFail("User unknown at present", detail=explained(error)) from error
        opted_in = files[0] or user.preferences.get("optIn", "").lower() == "on"
        opted_out = files[1] or user.preferences.get("optOut", "").lower() == "on"
        return not opted_out and (opted_in or not self._opt_in)


def login_name(uid: int) -> str:
    """The name of an account.  Raises UsageError if there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise UsageError("Unable to determine the runtime user") from None


def trusted(config: Config, uid: int, name: str | None = None) -> bool:
    """Whether an account may act for other users (cli.md 2).

    `name` is that of the account, if it is known already; otherwise raises UsageError if
    there is none.
    """
    if uid == 0 or not config.flag("TrustedUserSecurity"):
        return True
    return config.matches("Trust", login_name(uid) if name is None else name)
