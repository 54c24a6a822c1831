"""A user with their preferences, and the settings that these and dspam.conf give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dspamd.config.config import Config
from dspamd.engine.model import Lesson, Mode, ScoreOptions, TokenOptions
from dspamd.engine.scorers import view_of
from dspamd.mail.rewrite import TWINS
from dspamd.mail.view import SignaturePass
from dspamd.request.request import Request
from dspamd.storage.drivers import driver_name
from dspamd.users.groups import ALONE, Membership

_CLASSIC_SUBJECT_BYTES = 15  # DSPAM used no more of spamSubject


_MODES = {mode.value: mode for mode in Mode}


@dataclass(frozen=True, slots=True)
class User:
    """A user, with all that their mail needs.

    `name` is the user, which may be a whole domain (`@example.org`);
    `disallowed` are stored preferences that AllowOverride does not name.
    Words of preferences count in any case.
    """

    name: str
    preferences: Mapping[str, str]  # in effect, names as in preferences.PREFERENCES
    disallowed: tuple[str, ...]
    filtered: bool  # opted in or out, as Opt demands (protocols.md 12)
    defaults: Defaults = field(repr=False)
    membership: Membership = ALONE
    # Both kinds of options by request; many messages have the same one.
    _token_options: dict[Request, TokenOptions] = field(default_factory=dict, init=False, repr=False)
    _score_options: dict[Request, ScoreOptions] = field(default_factory=dict, init=False, repr=False)

    @property
    def owner(self) -> str:
        """The owner of the dictionary: the user, or the group that shares one."""
        return self.membership.shared or self.name

    @property
    def file_name(self) -> str:
        """The owner of all files except dictionary and preferences (managed group, localStore)."""
        if self.membership.managed:
            return self.owner
        return self.preferences.get("localStore") or self.name

    @property
    def statistics_name(self) -> str:
        """The owner of the statistics: that of the dictionary, where a group shares one."""
        return self.membership.shared or self.file_name

    @property
    def spam_action(self) -> str:
        """The action for spam: quarantine, tag or deliver."""
        action = self.preferences.get("spamAction", "").lower()
        return action if action in ("tag", "deliver") else "quarantine"

    @property
    def spam_subject(self) -> bytes:
        """The text that `tag` puts in front of the subject, one line."""
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
        """This user as if they were in no group."""
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
        """How the tokenizer cuts the mail of the user; equal for all users with equal settings."""
        options = self._token_options.get(request)
        if options is None:
            options = self._token_options[request] = replace(
                self.defaults.tokens,
                whitelist=self._feature("enableWhitelist", "whitelist", request),
                noise=self._feature("enableBNR", "noise", request),
            )
        return options

    def score_options(self, request: Request) -> ScoreOptions:
        """How tokens become a result for the user (engine.md 7.12)."""
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
        """Directive or preference can switch it on; the preference `off` beats both (config.md 5.1)."""
        word = self.preferences.get(preference, "").lower()
        return (directive or word == "on") and word != "off"

    def _number(self, preference: str, otherwise: int) -> int:
        """The leading digits of a preference, as DSPAM read numbers."""
        digits = re.match(r"\s*([+-]?\d+)", self.preferences.get(preference, ""))
        return int(digits[1]) if digits else otherwise


@dataclass(frozen=True, slots=True)
class Defaults:
    """The settings of dspam.conf, which apply without a preference; made once, for all users."""

    tokens: TokenOptions
    score: ScoreOptions
    features: tuple[str, ...]
    train_pristine: bool
    learn_blacklisted: bool
    notifications: bool

    @classmethod
    def of(cls, config: Config) -> Defaults:
        unread = {name.lower().encode("utf-8", "surrogateescape") for name in config.IgnoreHeader}
        if config.SpamHeaders:  # a corrected message has our own verdict in them
            unread.update(TWINS)
        tokens = TokenOptions(
            tokenizer=config.Tokenizer,
            view=view_of(config.Algorithm) or config.MessageView,
            url_context=config.ProcessorURLContext,
            ignore_headers=frozenset(unread),
            document=config.DataSource == "document",
            our_hosts=frozenset(
                name.lower().encode("utf-8", "surrogateescape") for name in config.AuthenticationHost
            ),
        )
        score = ScoreOptions(
            algorithms=frozenset(config.Algorithm),
            pvalue=config.PValue,
            mode=Mode(config.TrainingMode),
            margin=config.TrainingMargin,
            bias=config.ProcessorBias,
            occurrence=config.ProcessorWordFrequency == "occurrence",
            strict=config.StrictCompatibility,
            control_token=config.StrictCompatibility and "hash" not in driver_name(config),
        )
        return cls(
            tokens=tokens,
            score=score,
            features=config.Feature,
            train_pristine=config.TrainPristine,
            learn_blacklisted=config.RBLInoculate,
            notifications=config.Notifications,
        )
