"""The users of a site: preferences in effect, opt-in and opt-out, fallback domains, settings, trust."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from dspamd.config.config import Config
from dspamd.config.preferences import PREFERENCES
from dspamd.engine.model import Mode, ScoreOptions, TokenOptions
from dspamd.errors import PermFail, TempFail, UsageError
from dspamd.home.home import Home
from dspamd.mail.views import VIEWS
from dspamd.request.request import Request
from dspamd.storage.contract import Storage
from dspamd.users import cache
from dspamd.users.group_file import INTERVAL_S
from dspamd.users.groups import ALONE
from dspamd.users.preferences import Defaults, User
from dspamd.users.trust import login_name, trusted
from dspamd.users.users import Users
from tests.golden.data import rows

ALLOW_ALL = f"AllowOverride {' '.join(PREFERENCES)}"


class Records:
    """A store of preferences alone, which counts the questions."""

    def __init__(self, **records: dict[str, str]) -> None:
        self.records: dict[str, dict[str, str]] = records
        self.asked: list[str] = []
        self.down = False

    async def preferences(self, owner: str) -> dict[str, str]:
        if self.down:
            raise TempFail("Storage unavailable")
        self.asked.append(owner)
        return self.records.get(owner, {})


def users(home: Path, *lines: str, records: Records | None = None, clock: Any = lambda: 0.0) -> Users:
    config = Config.from_text("\n".join(("Home /x", *lines)))
    return Users(config, cast(Storage, records or Records()), Home(home), clock)


async def bob(home: Path, *lines: str, **preferences: str) -> User:
    records = Records(bob=preferences)
    return await users(home, ALLOW_ALL, *lines, records=records).resolve("bob")


# --- preferences in effect -----------------------------------------------------------------


async def test_preferences_of_the_configuration_hold_for_everybody(tmp_path: Path) -> None:
    found = users(
        tmp_path, 'Preference "spamAction=tag" "spamSubject=[A=B]"', 'Preference "SPAMACTION=deliver"'
    )
    user = await found.resolve("bob")
    assert user.preferences == {"spamAction": "tag", "spamSubject": "[A=B]"}
    assert (user.name, user.owner, user.file_name, user.filtered) == ("bob", "bob", "bob", True)


async def test_own_preferences_count_where_they_are_allowed(tmp_path: Path) -> None:
    records = Records(bob={"spamaction": "deliver", "tagSpam": "on", "bogus": "1"})
    found = users(tmp_path, 'Preference "spamAction=tag"', "AllowOverride SpamAction", records=records)
    user = await found.resolve("bob")
    assert user.preferences == {"spamAction": "deliver"}
    assert user.disallowed == ("tagSpam", "bogus")


async def test_the_record_of_everybody_replaces_the_configuration_as_a_whole(tmp_path: Path) -> None:
    records = Records(bob={"spamSubject": "[JUNK MAIL]", "bogusAttr": "1"})
    records.records[""] = {"tagSpam": "on"}
    found = users(tmp_path, 'Preference "spamAction=tag"', "AllowOverride spamSubject", records=records)
    assert (await found.preferences("bob")).values == {"tagSpam": "on", "spamSubject": "[JUNK MAIL]"}
    assert (await found.preferences("nobody")).values == {"tagSpam": "on"}
    everybody = await found.preferences("")
    assert everybody.values == {"tagSpam": "on"}
    assert everybody.disallowed == ()


# --- fallback domains ----------------------------------------------------------------------

DOMAIN = {"fallbackDomain": "on", "spamAction": "deliver"}


async def test_a_user_without_preferences_shares_those_of_the_domain(tmp_path: Path) -> None:
    golden = {row["id"]: row for row in rows("misc.jsonl") if "id" in row}
    expected = dict(
        line.split("=", 1) for line in golden["fallbackdomain-agg"]["stdout"].splitlines()
    )  # records override the configuration of that run
    configured = [f'Preference "{name}={value}"' for name, value in expected.items() if name not in DOMAIN]
    records = Records()
    records.records["@example.net"] = {"fallbackDomain": "on"}
    found = users(
        tmp_path,
        *configured,
        'Preference "spamAction=deliver"',
        "FallbackDomains on",
        ALLOW_ALL,
        records=records,
    )
    user = await found.resolve("bob@example.net")
    assert user.preferences == expected
    assert golden["fallbackdomain"]["stdout"].startswith(f"X-DSPAM-Result: {user.name};")


@pytest.mark.parametrize(
    ("lines", "own", "domain", "name", "action"),
    [
        (("FallbackDomains off", ALLOW_ALL), {}, DOMAIN, "bob@example.org", "quarantine"),
        (("FallbackDomains on", ALLOW_ALL), {"tagSpam": "on"}, DOMAIN, "bob@example.org", "quarantine"),
        (("FallbackDomains on", ALLOW_ALL), {}, {"spamAction": "tag"}, "bob@example.org", "quarantine"),
        (("FallbackDomains on", "AllowOverride spamAction"), {}, DOMAIN, "bob@example.org", "deliver"),
        (("FallbackDomains on", ALLOW_ALL), {}, DOMAIN, "@example.org", "deliver"),
    ],
    ids=["switched off", "own preferences", "domain does not offer it", "not allowed", "shared"],
)
async def test_when_a_domain_is_shared(
    tmp_path: Path,
    lines: tuple[str, ...],
    own: dict[str, str],
    domain: dict[str, str],
    name: str,
    action: str,
) -> None:
    records = Records()
    records.records |= {"bob@example.org": own, "@example.org": domain}
    user = await users(tmp_path, *lines, records=records).resolve("bob@example.org")
    assert (user.name, user.spam_action) == (name, action)


# --- opt-in and opt-out --------------------------------------------------------------------

OPT = [row for row in rows("misc.jsonl") if row.get("id") == "opt"]


@pytest.mark.parametrize("row", OPT, ids=lambda row: "-".join(map(str, row["config"].values())))
async def test_who_is_filtered(row: dict[str, Any], tmp_path: Path) -> None:
    config = row["config"]
    if config["file"]:
        file = tmp_path / config["file"]
        file.parent.mkdir()
        file.touch()
    user = await bob(tmp_path, f"Opt {config['Opt']}", **(config["prefs"] or {}))
    assert user.filtered is row["processed"]


async def test_opt_files_follow_local_store(tmp_path: Path) -> None:
    (tmp_path / "opt-out").mkdir()
    (tmp_path / "opt-out/shared.nodspam").touch()
    user = await bob(tmp_path, localStore="shared")
    assert (user.file_name, user.owner, user.filtered) == ("shared", "bob", False)


# --- groups --------------------------------------------------------------------------------


async def test_a_shared_group_owns_the_dictionary(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:shared:bob\n")
    user = await bob(tmp_path, localStore="elsewhere")
    assert (user.name, user.owner, user.file_name) == ("bob", "team", "elsewhere")
    assert user.statistics_name == "team"
    assert (user.alone.owner, user.alone.statistics_name) == ("bob", "elsewhere")


async def test_a_managed_group_owns_quarantine_and_log_too(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:shared,managed:bob\n")
    (tmp_path / "opt-out").mkdir()
    (tmp_path / "opt-out/team.nodspam").touch()  # for a user of that name; each member opts out separately
    user = await bob(tmp_path, localStore="elsewhere")
    assert (user.name, user.owner, user.file_name, user.filtered) == ("bob", "team", "team", True)


async def test_a_user_may_ignore_groups(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:shared:bob\n")
    user = await bob(tmp_path, ignoreGroups="on")
    assert user.membership is ALONE


async def test_the_file_of_groups_may_be_elsewhere_and_change(tmp_path: Path) -> None:
    file, now = tmp_path / "elsewhere", [0.0]
    file.write_text("team:shared:*\n")
    found = users(tmp_path, f"GroupConfig {file}", clock=lambda: now[0])
    assert (await found.resolve("bob")).owner == "team"
    file.write_text("others:shared:*\n")
    now[0] += INTERVAL_S  # less than user records are cached
    assert (await found.resolve("bob")).owner == "others"


async def test_names_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PermFail):
        await users(tmp_path).resolve("../bob")
    with pytest.raises(PermFail):
        await bob(tmp_path, localStore="../alice")


async def test_opt_files_that_cannot_be_looked_for_are_a_temporary_failure(tmp_path: Path) -> None:
    loop = tmp_path / "opt-in"
    loop.mkdir()
    (loop / "bob.dspam").symlink_to(loop / ("x" * 300))
    with pytest.raises(TempFail):
        await bob(tmp_path)


# --- memory --------------------------------------------------------------------------------


async def test_users_are_remembered_for_a_while(tmp_path: Path) -> None:
    now = [0.0]
    records = Records(bob={"spamAction": "tag"})
    found = users(tmp_path, ALLOW_ALL, records=records, clock=lambda: now[0])
    assert await found.resolve("bob") is await found.resolve("bob")
    await found.resolve("alice")
    assert sorted(records.asked) == ["", "alice", "bob"]
    records.records["bob"] = {"spamAction": "deliver"}
    now[0] = cache.SECONDS - 0.01
    assert (await found.resolve("bob")).spam_action == "tag"
    now[0] = cache.SECONDS
    assert (await found.resolve("bob")).spam_action == "deliver"


async def test_not_more_users_are_remembered_than_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.ENTRIES > 1000
    monkeypatch.setattr("dspamd.users.cache.ENTRIES", 2)
    records = Records()
    found = users(tmp_path, records=records)
    for name in ("a", "b", "c", "b", "a"):
        await found.resolve(name)
    assert [name for name in records.asked if name] == ["a", "b", "c", "a"]


async def test_trouble_with_the_store_is_not_remembered(tmp_path: Path) -> None:
    records = Records()
    records.down = True
    found = users(tmp_path, records=records)
    with pytest.raises(TempFail):
        await found.resolve("bob")
    records.down = False
    assert (await found.resolve("bob")).filtered


# --- what preferences mean -----------------------------------------------------------------


async def test_what_holds_when_nothing_is_said(tmp_path: Path) -> None:
    user = await bob(tmp_path)
    assert (user.spam_action, user.spam_subject, user.signature_in_headers) == (
        "quarantine",
        b"[SPAM]",
        False,
    )
    answers = (user.tag_spam, user.tag_nonspam, user.show_factors, user.make_corpus, user.store_fragments,
               user.skip_virus_scan, user.skip_blacklists, user.ignore_groups, user.train_pristine,
               user.learn_blacklisted, user.notifications)  # fmt: skip
    assert not any(answers)
    assert user.token_options(Request()) == TokenOptions()
    assert user.score_options(Request()) == ScoreOptions()


async def test_what_is_said_holds(tmp_path: Path) -> None:
    user = await bob(
        tmp_path, spamAction="Tag", spamSubject="", signatureLocation="headers", tagSpam="on",
        tagNonspam="on", showFactors="on", makeCorpus="on", storeFragments="on", optOutClamAV="on",
        ignoreRBLLookups="On", ignoreGroups="on", trainPristine="on", RBLInoculate="ON", notifications="on",
    )  # fmt: skip
    assert (user.spam_action, user.spam_subject, user.signature_in_headers) == ("tag", b"[SPAM]", True)
    answers = (user.tag_spam, user.tag_nonspam, user.show_factors, user.make_corpus, user.store_fragments,
               user.skip_virus_scan, user.skip_blacklists, user.ignore_groups, user.train_pristine,
               user.learn_blacklisted, user.notifications)  # fmt: skip
    assert all(answers)


@pytest.mark.parametrize(
    ("directive", "preference", "answer"),
    [("off", "", False), ("off", "on", True), ("on", "", True), ("on", "off", False), ("on", "x", True)],
)
async def test_a_preference_off_beats_the_directive(
    tmp_path: Path, directive: str, preference: str, answer: bool
) -> None:
    said = {"trainPristine": preference, "notifications": preference, "RBLInoculate": preference}
    lines = [f"{name} {directive}" for name in ("TrainPristine", "Notifications", "RBLInoculate")]
    user = await bob(tmp_path, *lines, **said)
    assert (user.train_pristine, user.notifications, user.learn_blacklisted) == (answer,) * 3


@pytest.mark.parametrize(
    ("subject", "tag"),
    [
        ("[JUNK MAIL]", b"[JUNK MAIL]"),
        ("\n", b"[SPAM]"),
        ("[X]\r\nBcc: all@example.org", b"[X]Bcc: all@example.org"),
        ("[v\u00edrus]", "[v\u00edrus]".encode()),
        ("a" * 64, b"a" * 64),
    ],
)
async def test_the_subject_tag_is_one_line(tmp_path: Path, subject: str, tag: bytes) -> None:
    assert (await bob(tmp_path, spamSubject=subject)).spam_subject == tag


async def test_the_subject_tag_was_cut_by_dspam(tmp_path: Path) -> None:
    user = await bob(tmp_path, "StrictCompatibility on", spamSubject="[0123456789abcdef]")
    assert user.spam_subject == b"[0123456789abcd"


# --- settings of the engine ----------------------------------------------------------------


async def test_directives_reach_the_engine(tmp_path: Path) -> None:
    user = await bob(
        tmp_path, "Tokenizer osb", "ProcessorURLContext on", "IgnoreHeader X-Foo Received",
        "Feature noise tb=4", "Algorithm chi-square", "PValue robinson", "TrainingMode tum",
        "ProcessorBias on", "ProcessorWordFrequency occurrence", "StrictCompatibility on",
    )  # fmt: skip
    ignored = frozenset({b"x-foo", b"received"})
    assert user.token_options(Request()) == TokenOptions(
        tokenizer="osb", url_context=True, noise=True, ignore_headers=ignored
    )
    assert user.score_options(Request()) == ScoreOptions(
        algorithms=frozenset({"chi-square"}), pvalue="robinson", mode=Mode.TUM, bias=True, noise=True,
        sedation=4, occurrence=True, strict=True, control_token=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "even"), [("hash", False), ("sqlite3", True), ("mysql", True), ("pgsql", True)]
)
def test_what_a_message_teaches_strictly_depends_on_the_driver(driver: str, even: bool) -> None:
    """Q-T9, engine.md 7.6."""
    lines = f"Home /x\nStorageDriver lib{driver}_drv.so\nStrictCompatibility "
    for strict in ("on", "off"):
        score = Defaults.of(Config.from_text(lines + strict)).score
        assert score.control_token is (even and strict == "on")


async def test_preferences_beat_directives_and_features_of_the_request(tmp_path: Path) -> None:
    user = await bob(
        tmp_path, "Feature noise", "ProcessorBias on", enableBNR="off", enableWhitelist="on",
        processorBias="no", statisticalSedation="3", whitelistThreshold="25", trainingMode="Toe",
    )  # fmt: skip
    request = Request(features=("noise", "tb=9"))
    options = user.score_options(request)
    assert (options.noise, options.whitelist, options.bias) == (False, True, False)
    assert (options.sedation, options.whitelist_threshold, options.mode) == (3, 25, Mode.TOE)
    tokens = user.token_options(request)
    assert (tokens.noise, tokens.whitelist) == (False, True)


async def test_features_of_the_request_replace_the_configured_ones(tmp_path: Path) -> None:
    user = await bob(tmp_path, "Feature noise tb=2")
    options = user.score_options(Request(features=("whitelist",)))
    assert (options.noise, options.whitelist, options.sedation) == (False, True, 0)
    assert user.score_options(Request()).sedation == 2
    assert not user.score_options(Request(features=())).noise


@pytest.mark.parametrize(
    ("value", "threshold", "sedation"),
    [("7x", 7, 7), ("-5", 1, 0), ("99", 99, 10), ("many", 10, 0), ("0", 1, 0)],
)
async def test_numbers_of_preferences_stay_in_range(
    tmp_path: Path, value: str, threshold: int, sedation: int
) -> None:
    user = await bob(tmp_path, whitelistThreshold=value, statisticalSedation=value)
    options = user.score_options(Request())
    assert (options.whitelist_threshold, options.sedation) == (threshold, sedation)


@pytest.mark.parametrize(
    ("preferred", "request_", "mode"),
    [
        ("", Request(), Mode.TOE),
        ("nonsense", Request(), Mode.TOE),
        ("TUM", Request(), Mode.TUM),
        ("tum", Request(mode=Mode.NOTRAIN), Mode.NOTRAIN),
        ("", Request(classify=True), Mode.NOTRAIN),
        ("TUM", Request(classify=True), Mode.TUM),
        ("TONE", Request(), Mode.TONE),
        ("", Request(mode=Mode.TONE), Mode.TONE),
    ],
)
async def test_the_training_mode(tmp_path: Path, preferred: str, request_: Request, mode: Mode) -> None:
    user = await bob(tmp_path, "TrainingMode toe", trainingMode=preferred)
    options = user.score_options(request_)
    assert (options.mode, options.classify_only) == (mode, request_.classify)


@pytest.mark.parametrize(
    ("line", "margin"), [("", 1.0), ("TrainingMargin 0", 0.0), ("TrainingMargin 2.5", 2.5)]
)
async def test_the_margin_of_training(tmp_path: Path, line: str, margin: float) -> None:
    assert (await bob(tmp_path, line)).score_options(Request()).margin == margin


async def test_the_view_of_a_message(tmp_path: Path) -> None:
    for view in VIEWS:
        assert (await bob(tmp_path, f"MessageView {view}")).token_options(Request()).view == view
    assert (await bob(tmp_path)).token_options(Request()).view == "classic"


async def test_users_with_equal_settings_share_their_tokens(tmp_path: Path) -> None:
    found = users(tmp_path, "IgnoreHeader X-Foo")
    first, second = await found.resolve("a"), await found.resolve("b")
    assert first.token_options(Request()) == second.token_options(Request())


# --- owners named by signatures ------------------------------------------------------------


class Numbers(Records):
    """A store that knows users by number; the second one has two names."""

    numbers: ClassVar[dict[str, int]] = {"ann": 1, "bob": 2, "robert": 2}

    async def uid(self, owner: str, *, create: bool) -> int | None:
        assert not create
        return self.numbers.get(owner)

    async def owner_of(self, uid: int) -> str | None:
        return min((name for name, number in self.numbers.items() if number == uid), default=None)


@pytest.mark.parametrize(
    ("signature", "user", "signer"),
    [
        ("2,4c873d4a27473", "ann", "bob"),
        ("2,4c873d4a27473", "spam-alias", "bob"),
        ("2,4c873d4a27473", "robert", "robert"),
        ("1,4c873d4a27473", "ann", "ann"),
        ("4c873d4a27473", "ann", "ann"),
        ("3,4c873d4a27473", "ann", "ann"),
        (",4c873d4a27473", "ann", "ann"),
        ("99999999999,4c873d4a27473", "ann", "ann"),
        ("\N{ARABIC-INDIC DIGIT TWO},4c873d4a27473", "ann", "ann"),
    ],
)
async def test_a_signature_may_name_its_owner_by_number(
    tmp_path: Path, signature: str, user: str, signer: str
) -> None:
    lines = ("StorageDriver libmysql_drv.so", "MySQLUIDInSignature on")
    found = users(tmp_path, *lines, records=Numbers())
    assert (await found.signer(signature, await found.resolve(user))).name == signer


@pytest.mark.parametrize("lines", [("StorageDriver libmysql_drv.so",), ("MySQLUIDInSignature on",)])
async def test_numbers_mean_nothing_unless_configured(tmp_path: Path, lines: tuple[str, ...]) -> None:
    found = users(tmp_path, *lines, records=Numbers())
    assert (await found.signer("2,4c873d4a27473", await found.resolve("ann"))).name == "ann"


# --- trust ---------------------------------------------------------------------------------


def test_who_is_trusted() -> None:
    daemon = pwd.getpwnam("daemon").pw_uid
    assert trusted(Config.from_text("Home /x"), 0)
    assert not trusted(Config.from_text("Home /x\nTrust root mail"), daemon)
    assert trusted(Config.from_text("Home /x\nTrust root\nTrust Daemon"), daemon)
    assert trusted(Config.from_text("Home /x\nTrustedUserSecurity off"), daemon)


def test_an_account_without_name() -> None:
    assert login_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    taken = {account.pw_uid for account in pwd.getpwall()}
    nobody = next(uid for uid in range(50_000, 60_000) if uid not in taken)
    with pytest.raises(UsageError, match="Unable to determine the runtime user"):
        trusted(Config.from_text("Home /x"), nobody)
