"""dspam.conf: grammar, table, profiles, and reports of mistakes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.config import manual
from dspamd.config.config import Config, contains, default_path
from dspamd.config.directives import classic_words, words
from dspamd.config.option import Days, Factor, Flag, Number, Text, Words
from dspamd.config.option_types import COMMAND, PATH, SOCKET, TEXT, Kind, Tolerated
from dspamd.config.options import OPTIONS, SECTIONS
from dspamd.config.preferences import PREFERENCES
from dspamd.errors import ConfigError, UsageError
from dspamd.maintenance.config_checks import pitfalls

ROOT = Path(__file__).parents[3]


def config(*lines: str) -> Config:
    return Config.from_text("\n".join(("Home /var/spool/dspam", *lines)))


def warnings(*lines: str) -> list[str]:
    return [str(problem) for problem in config(*lines).warnings]


def errors(*lines: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(*lines)
    assert caught.value.exit_status == os.EX_CONFIG
    return [str(problem) for problem in caught.value.problems]


# --- grammar -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("# a comment", []),
        ("  Home\t/var/x  ", ["Home", "/var/x"]),
        ("Trust root dspam mail", ["Trust", "root", "dspam", "mail"]),
        ('ServerParameters "--deliver=innocent -d %u"', ["ServerParameters", "--deliver=innocent -d %u"]),
        ('A "one"two "three', ["A", "one", "two", "three"]),
        ('A mid"quote ""', ["A", 'mid"quote', ""]),
        ('ServerPass.a "se#c;ret" # hidden', ["ServerPass.a", "se#c;ret"]),
        ("A b;c  # note", ["A", "b"]),
        ("A b#c", ["A", "b"]),
        ("A a\\b", ["A", "a\\b"]),
    ],
)
def test_words_of_a_line(line: str, expected: list[str]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('A "se#cret" x', ["A", "se"]),
        ("A b;c  # note", ["A", "b;c"]),
        ('A "b;c" d', ["A", "b"]),
        ("A b # c", ["A", "b"]),
    ],
)
def test_words_as_dspam_cut_them(line: str, expected: list[str]) -> None:
    assert classic_words(line) == expected


@given(
    st.lists(st.text(st.characters(blacklist_characters='"\n\r', blacklist_categories=["Cs"])), max_size=5)
)
def test_what_is_quoted_comes_back(values: list[str]) -> None:
    assert words("Key " + " ".join(f'"{value}"' for value in values)) == ["Key", *values]


@given(st.text(st.characters(blacklist_characters='#;"')))
def test_both_readings_agree_without_comments_and_quotes(line: str) -> None:
    assert words(line) == classic_words(line)


def test_a_line_that_dspam_read_differently_is_warned_of_without_showing_it() -> None:
    found = warnings('ServerPass.relay "se#cret"')
    assert found == ["dspam.conf:2: DSPAM 3.10.2 read this line differently"]


def test_strict_compatibility_cuts_comments_as_dspam_did() -> None:
    strict = config("StrictCompatibility on", 'ServerPass.relay "se#cret"', "Trust a;b # both")
    assert strict.suffixes(Config.ServerPass) == {"relay": "se"}
    assert strict.Trust == ("a;b",)
    assert strict.warnings == ()


def test_line_ends_of_windows_and_bytes_that_are_no_text() -> None:
    text = b"Home /x\r\nTrust caf\xe9\r\n".decode("utf-8", "surrogateescape")
    assert Config.from_text(text).Trust[0].encode("utf-8", "surrogateescape") == b"caf\xe9"


# --- values --------------------------------------------------------------------------------


def test_defaults_of_the_original() -> None:
    plain = config()
    assert plain.ServerPort == 24
    assert plain.ServerIdent == "localhost.localdomain"
    assert plain.ServerMode == "dspam"
    assert plain.DeliveryHost == ""
    assert plain.Algorithm == ("graham", "burton")
    assert (plain.Tokenizer, plain.PValue) == ("chain", "bcr")
    assert plain.QuarantineWarnSize == 2097152
    assert plain.WebStats is False
    assert plain.Trust == ()
    assert plain.OnStorageFailure == "defer"


def test_keys_and_choices_are_matched_in_any_case() -> None:
    odd = config("deliveryproto lmtp", "TRAININGMODE ToE", "Broken LINESTRIPPING", "DELIVERYHOST mx")
    assert odd.DeliveryProto == "LMTP"
    assert odd.TrainingMode == "toe"
    assert contains(odd.Broken, "linestripping")
    assert odd.DeliveryHost == "mx"


def test_lists_add_up_and_scalars_take_the_first() -> None:
    both = config("Trust a b", "Trust c", "ServerIdent one", "ServerIdent two")
    assert both.Trust == ("a", "b", "c")
    assert both.ServerIdent == "one"
    assert [str(w) for w in both.warnings] == [
        "dspam.conf:5: ServerIdent is given several times; the first value counts"
    ]


def test_of_repeated_words_the_one_that_dspam_looked_for_first_counts() -> None:
    both = config("Tokenizer osb", "Tokenizer chained", "WebStats off", "WebStats on")
    assert both.Tokenizer == "chain"
    assert both.WebStats


@pytest.mark.parametrize("word", ["on", "ON", "yes", "true", "1"])
def test_words_for_on(word: str) -> None:
    assert config(f"ProcessorBias {word}").ProcessorBias


@pytest.mark.parametrize("word", ["off", "OFF", "no", "false", "0"])
def test_words_for_off(word: str) -> None:
    assert not config(f"HashAutoExtend {word}").HashAutoExtend


# Invalid values of each kind that DSPAM accepted, and whose meaning is unknown.
JUNK = [
    ("ProcessorBias enabled", "on or off is expected"),
    ('ProcessorBias ""', "on or off is expected"),
    ("ProcessorBias on,", "on or off is expected"),
    ("MySQLCompress compress", "on or off is expected"),
    ("TrainingMargin much", "a number from 0 to 100 is expected"),
    ("TrainingMargin -1", "a number from 0 to 100 is expected"),
    ("TrainingMargin nan", "a number from 0 to 100 is expected"),
    ("TrainingMargin 101", "a number from 0 to 100 is expected"),
    ("MessageView other", "one of classic"),
    ("TrainingMode always", "one of teft, toe, tum, tone, notrain is expected"),
    ("Feature tb=11", "noise, whitelist or tb=0..10 is expected"),
    ("Feature bayes", "noise, whitelist or tb=0..10 is expected"),
    ("ServerPort 24x", "a number from 1 to 65535 is expected"),
    ("ServerPort -0x10", "a number from 1 to 65535 is expected"),
    ("ServerPort " + "9" * 5000, "a number from 1 to 65535 is expected"),
    ("HashRecMax 10k", "is expected"),
    ("MaxMessageSize 4MB", "a number of bytes is expected"),
    ("MaxMessageSize -1", "a number of bytes is expected"),
    ("MaxMessageSize 9999999999999G", "a number of bytes is expected"),
    ("PurgeUnused 90days", "a number of days or off is expected"),
    ("ServerTimeout 5m", "a number from 1 to 86400 is expected"),
    ("SocketMode 0999", "an octal file mode is expected"),
    ("ServerHost 127.0.0.1:10033", "a host name or an IP address, without a port, is expected"),
    ('ServerHost ""', "a host name or an IP address"),
    ("ServerHost mx..example.org", "a host name or an IP address"),
    ("ServerHost " + "x" * 64, "a host name or an IP address"),
    ("ServerHost " + "\u00fc" * 63, "a host name or an IP address"),
    ("PgSQLServer mx..example.org", "or the path of a socket is expected"),
    ("ClientHost ./socket", "or the path of a socket is expected"),
    ("DeliveryHost [127.0.0.1]", "or the path of a socket is expected"),
    ("DNSServer nowhere", "an IP address is expected, with or without a port"),
    ("DNSServer 127.0.0.1:0", "an IP address is expected, with or without a port"),
    ("Lookup rbl..example.org", "the name of a DNS zone is expected"),
    ("MetricsListen 9424", "host:port is expected"),
    ("MetricsListen 127.0.0.1:70000", "host:port is expected"),
    ("ClientIdent secret", "password@name is expected"),
    ('TxtDirectory ""', "a path is expected"),
    ("Home /" + "x" * 256, "the path is too long"),
    ("ServerDomainSocketPath /" + "x" * 107, "the path of a socket has 107 bytes at most"),
    ("ClientHost /" + "x" * 107, "the path of a socket has 107 bytes at most"),
    ("StorageDriver dragon_drv", "the drivers are hash_drv, mysql_drv, pgsql_drv, sqlite3_drv"),
    ("StorageDriver /usr/lib/dspam/libhash_drv.soTrust", "there is no such driver"),
    ('StorageDriver ""', "there is no such driver"),
    ('Preference "spamAction"', '"name=value" is expected'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), JUNK)
def test_a_value_that_is_none_stops_the_start(line: str, expected: str) -> None:
    (error,) = errors(line)
    assert error.startswith(f"dspam.conf:2: {line.split()[0]} ")
    assert expected in error
    assert len(error) < 250


def test_an_empty_host_is_none_whatever_is_named_further_down() -> None:
    assert config('DeliveryHost ""', "DeliveryHost 127.0.0.1", "DeliveryProto SMTP").DeliveryHost == ""


def test_every_kind_of_value_refuses_some_junk() -> None:
    """A kind that takes everything has nothing to fall back from: its values are texts."""
    free = {option.name for option in OPTIONS.values() if _takes(option.kind, "\x7f junk=;:/?")}
    texts = {option.name for option in OPTIONS.values() if option.kind in (TEXT, PATH, SOCKET, COMMAND)}
    told = {"AllowOverride", "IgnoreHeader", "LocalMX", "Preference"}  # with a warning
    assert free - texts - told == {"PlusedCharacter", "LogTarget"}


def _takes(kind: Kind, value: str) -> bool:
    try:
        kind.canonical(value)
    except Tolerated:
        return True
    except ValueError:
        return False
    return True


DRIVERS = ("hash_drv", "libhash_drv.so", "/usr/lib/dspam/libmysql_drv.so.7.0.0", "libpgsql_drv.la",
           "/opt/LIBSQLITE3_DRV.SO", "sqlite_drv", "postgresql", "mariadb")  # fmt: skip


@pytest.mark.parametrize("driver", DRIVERS)
def test_drivers_by_name_and_by_path(driver: str) -> None:
    assert config(f"StorageDriver {driver}").StorageDriver == driver


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Home /var/spool/dspamStorageDriver hash_drv", "dspam.conf:1: StorageDriver"),
        ("Home /var/spool/dspam StorageDriver hash_drv", "dspam.conf:1: StorageDriver"),
        ("Home /x\nTrust root dspam StorageDriver hash_drv", "dspam.conf:2: StorageDriver"),
        (
            'Home /x\nServerParameters "--deliver=innocent"StorageDriver hash_drv',
            "dspam.conf:2: StorageDriver",
        ),
        ("Home /x\nServerIdent mx.example.orgDeliveryHost 127.0.0.1", "dspam.conf:2: DeliveryHost"),
        ("Home /x\nTxtDirectory /etc/dspam/txt Home /y", "dspam.conf:2: Home"),
    ],
)
def test_a_directive_that_is_glued_to_another_line(lines: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_text(lines)
    assert f"{expected} must begin a line of its own" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "AllowOverride trainingMode notifications RBLInoculate",
        "TxtDirectory /etc/dspam/TxtDirectory",
        "IgnoreHeader X-Trust Lookup",
        'Preference "notifications=on"',
    ],
)
def test_values_that_are_called_like_directives(line: str) -> None:
    assert warnings(line) == []


def test_a_value_with_blanks_but_without_quotes() -> None:
    assert warnings("TrustedDeliveryAgent /usr/bin/procmail -d %u") == [
        "dspam.conf:2: TrustedDeliveryAgent takes one value, blanks in it need quotes; the first value counts"
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'Preference "spamAction=quarantin"',
            "one of quarantine, tag, deliver is expected; it is ignored",
        ),
        ('Preference "enableBNR=yes"', "one of on, off is expected"),
        ('Preference "spamActoin=tag"', "there is no such preference, did you mean spamAction?"),
        ('Preference "whitelistThreshold=ten"', "a number from 1"),
        ('Preference "localStore=../x"', "the name of a directory"),
        ("LocalMX mail.example.org", "an IP address is expected"),
        ("IgnoreHeader X-Spam:", "has neither blanks nor a colon"),
        ("HashRecMax.big 20", "HashRecMax.big has no effect: there is no Profile big"),
        ("Preference \u201csignatureLocation=message\u201d", "typographic quotes"),
        ("ServerParameters \u201c--deliver=innocent -d %u\u201d", "typographic quotes"),
        ("Trust \u00abroot\u00bb", "typographic quotes"),
    ],
)
def test_what_dspam_took_is_taken_and_warned_of(line: str, expected: str) -> None:
    assert any(expected in warning and "dspam.conf:2: " in warning for warning in warnings(line))


@pytest.mark.parametrize("line", ['Preference "spamSubject=\u201eSPAM\u201c"', "Trust a # \u201cwe\u201d"])
def test_typographic_quotes_where_they_are_meant(line: str) -> None:
    assert warnings(line) == []


def test_sizes_days_and_modes() -> None:
    sized = config("ServerMaxMessageSize 2M", "PurgeUnused off", "PurgeNeutral 90", "SocketMode 0660")
    assert sized.ServerMaxMessageSize == 2 * 1024 * 1024
    assert sized.PurgeUnused is None
    assert sized.PurgeNeutral == 90
    assert sized.SocketMode == 0o660
    assert config("HashRecMax 0x100").HashRecMax == 256
    assert config("PValue graham").PValue == "bcr"  # its name in older releases


def test_features_by_their_first_letters() -> None:
    assert config("Feature no wh tb=5").Feature == ("noise", "whitelist", "tb=5")
    odd = config("Feature chained whitelist")  # as before 3.8
    assert odd.Feature == ("whitelist",)
    assert [w.line for w in odd.warnings] == [2]


def test_suffixed_values() -> None:
    hosts = config("DeliveryHost a", "DeliveryHost.Example.org b", "DeliveryPort.example.org 2525",
                   "DeliveryProto SMTP", "ServerPass.Relay1 secret")  # fmt: skip
    assert hosts.suffixes(Config.ServerPass) == {"relay1": "secret"}
    assert hosts.suffixes(Config.DeliveryHost) == {"example.org": "b"}
    assert hosts.suffixes(Config.DeliveryPort) == {"example.org": 2525}
    assert (hosts.DeliveryHost, hosts.DeliveryPort, hosts.ServerPass) == ("a", 24, "")
    assert hosts.given(Config.DeliveryPort)
    assert hosts.given(Config.DeliveryPort, "Example.ORG")
    assert not hosts.given(Config.DeliveryPort, "example.net")


def test_every_option_is_an_attribute_with_the_type_of_its_row() -> None:
    types: dict[type, Any] = {
        Text: str,
        Number: int,
        Factor: float,
        Flag: bool,
        Days: (int, type(None)),
        Words: tuple,
    }
    plain = config()
    for option in OPTIONS.values():
        assert getattr(Config, option.name) is option
        value = getattr(plain, option.name)
        assert isinstance(value, types[type(option)]), option.name
        assert value == plain.value(option)
        assert getattr(plain, option.name) is value


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        config().ServerPort = 25


def test_a_name_that_is_not_in_the_table_is_an_error_of_mypy(tmp_path: Path) -> None:
    """And so is a value of the wrong type."""
    file = tmp_path / "asks.py"
    file.write_text(
        "from dspamd.config.config import Config\n"
        "def ask(config: Config) -> int:\n"
        "    config.DeliveryHots\n"
        "    return config.DeliveryHost\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    done = subprocess.run([*mypy, str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 'asks.py:3: error: "Config" has no attribute "DeliveryHots"' in done.stdout
    assert 'asks.py:4: error: Incompatible return value type (got "str", expected "int")' in done.stdout


def test_names_in_texts_are_those_of_the_table() -> None:
    """Problems name their option as a text, and so do the questions of the thin client."""
    texts = re.compile(
        r'(?:problem\(|ettings(?:\(config_path\(\)\))?\.(?:text|flag|number|all|matches)\()\s*"(\w+)"'
    )
    source = "".join(file.read_text() for file in (ROOT / "dspamd").rglob("*.py"))
    named = texts.findall(source)
    assert len(named) > 10
    assert [name for name in named if name.lower() not in OPTIONS or OPTIONS[name.lower()].name != name] == []


def test_passwords_are_not_shown() -> None:
    secrets = config(
        "ServerPass.a secret", "MySQLPass secret", "MySQLPass secret2", 'ClientIdent "secret#@x"'
    )
    assert "secret" not in repr(secrets)


# --- profiles ------------------------------------------------------------------------------

PROFILES = ("Profile big", "Profile Small", "HashRecMax 10", "HashRecMax.big 20", "HashMaxSeek.Small 7")


def test_a_profile_falls_back_to_plain_values_and_to_defaults() -> None:
    plain = config(*PROFILES)
    assert plain.HashRecMax == 10
    big = plain.with_profile("big")
    assert (big.HashRecMax, big.HashMaxSeek) == (20, 100)
    small = plain.with_profile("small")
    assert (small.HashRecMax, small.HashMaxSeek) == (10, 7)
    assert plain.HashRecMax == 10


def test_the_default_profile() -> None:
    assert config(*PROFILES, "DefaultProfile big").HashRecMax == 20
    undeclared = "dspam.conf:7: DefaultProfile huge is not declared with Profile"
    assert errors(*PROFILES, "DefaultProfile huge") == [undeclared]
    assert warnings(*PROFILES, "DefaultProfile huge", "HashRecMax.huge 30") == [undeclared]


def test_an_undeclared_profile_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="No such profile 'huge'"):
        config(*PROFILES).with_profile("huge")


# --- mistakes ------------------------------------------------------------------------------


def test_all_errors_are_told_at_once_with_file_and_line() -> None:
    assert errors("ServerPort 70000", "DeliveryPort abc", "ServerMode lmtp", "PurgeNeutral 12abc") == [
        "dspam.conf:2: ServerPort 70000: a number from 1 to 65535 is expected",
        "dspam.conf:3: DeliveryPort abc: a number from 1 to 65535 is expected",
        "dspam.conf:4: ServerMode lmtp: one of dspam, standard, auto is expected",
        "dspam.conf:5: PurgeNeutral 12abc: a number of days or off is expected",
    ]


def test_home_is_required() -> None:
    with pytest.raises(ConfigError, match="No DSPAM home specified"):
        Config.from_text("Trust root\n")


def test_an_unknown_directive_is_warned_of_with_the_nearest_name() -> None:
    assert warnings("ServrPort 25", "Xyzzy 1") == [
        "dspam.conf:2: unknown directive ServrPort, did you mean ServerPort?",
        "dspam.conf:3: unknown directive Xyzzy",
    ]


def test_words_of_older_releases_are_warned_of_once() -> None:
    assert warnings("SBLQueue /x", "SBLQueue /y", "MySQLSupressQuote on") == [
        "dspam.conf:2: SBLQueue is retired, use RABLQueue",
        "dspam.conf:4: MySQLSupressQuote is retired",
    ]


def test_an_option_without_effect_is_named_once_unless_it_says_what_happens_anyway() -> None:
    flag = OPTIONS["virtualusers"]
    assert warnings(f"{flag.name} {flag.default}") == []
    other = f"{flag.name} {'off' if flag.default == 'on' else 'on'}"
    why = "mail accounts need no accounts of the system"
    assert warnings(other, other)[:1] == [f"dspam.conf:2: {flag.name} has no effect: {why}"]
    assert sum("has no effect" in warning for warning in warnings(other, other)) == 1
    needless = "dspam.conf:2: HashExtentSize has no effect: each extent follows from the one before it"
    assert warnings("HashExtentSize 7") == [needless]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ServerPort.x 25", "nothing can follow ServerPort after a dot"),
        ("ServerPass secret", "ServerPass needs the name of a client after a dot"),
        ("Trust", "Trust has no value and is ignored"),
        ("AllowOverride spamAcion", "there is no such preference"),
    ],
)
def test_lines_that_mean_nothing_are_warned_of(line: str, expected: str) -> None:
    assert expected in warnings(line)[0]


def test_a_delivery_host_without_protocol() -> None:
    guessed = config("DeliveryHost 127.0.0.1", "DeliveryPort 10034")
    assert guessed.DeliveryProto == "SMTP"
    assert "SMTP is assumed" in str(guessed.warnings[0])
    assert errors("DeliveryHost 127.0.0.1") == [
        "dspam.conf:2: DeliveryHost needs DeliveryProto, SMTP or LMTP"
    ]
    assert errors("DeliveryHost.example.org 127.0.0.1", "DeliveryHost.example.net 127.0.0.1")
    strict = config("DeliveryHost h", "DeliveryHost.example.org h", "StrictCompatibility on")
    assert (strict.DeliveryHost, strict.suffixes(Config.DeliveryHost)) == ("", {})
    assert "is ignored" in str(strict.warnings[0])


# --- files ---------------------------------------------------------------------------------


def test_include_of_directory_file_and_pattern(tmp_path: Path) -> None:
    parts = tmp_path / "dspam.d"
    parts.mkdir()
    (parts / "b.conf").write_text("Trust b\n")
    (parts / "a.conf").write_text("Trust a\nInclude more.inc\n")
    (parts / ".hidden.conf").write_text("Trust hidden\n")
    (parts / "more.inc").write_text("Trust more\n")
    main = tmp_path / "dspam.conf"
    main.write_text("Home /x\nTrust first\nInclude dspam.d/\nInclude dspam.d/*.inc\nTrust last\n")
    assert Config.load(main).Trust == ("first", "a", "more", "b", "more", "last")


def test_problems_of_included_files_are_told_with_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "part.conf").write_text("\nServerPort 0\nInclude dspam.conf\n")
    main = tmp_path / "dspam.conf"
    main.write_text("Home /x\nInclude part.conf\nInclude missing\n")
    with pytest.raises(ConfigError) as caught:
        Config.load(main)
    assert sorted(str(problem) for problem in caught.value.problems) == [
        f"{main}:3: Include: there is no {tmp_path / 'missing'}",
        f"{tmp_path / 'part.conf'}:2: ServerPort 0: a number from 1 to 65535 is expected",
        f"{tmp_path / 'part.conf'}:3: Include: {main} cannot be read: it includes itself",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load(tmp_path / "dspam.conf")
    assert str(caught.value) == f"{tmp_path / 'dspam.conf'}: cannot be read: No such file or directory"


def test_dspam_conf_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "mine.conf"
    main.write_text("Home /mine\n")
    monkeypatch.setenv("DSPAM_CONF", str(main))
    assert Config.load().Home == "/mine"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert default_path() == Path("/etc/dspam/dspam.conf")


# --- the table -----------------------------------------------------------------------------


def test_names_are_unique_and_every_default_is_valid() -> None:
    rows = [option for options in SECTIONS.values() for option in options]
    assert len(rows) == len(OPTIONS)
    for option in rows:
        assert option.help.endswith("."), option.name
        assert option.many or len(option.defaults) == 1  # a bad default raises
        assert option.default or option.sample, f"{option.name} has nothing to show in the sample file"


def test_used_marks_what_the_program_asks_for() -> None:
    table = ("options.py", "option_types.py", "manual.py")
    source = "".join(file.read_text() for file in (ROOT / "dspamd").rglob("*.py") if file.name not in table)
    words = re.findall(r'onfig\.([A-Z]\w+)|(?:ettings(?:\(config_path\(\)\))?|draft)\.\w+\("(\w+)"', source)
    asked = {name for pair in words for name in pair} & {option.name for option in OPTIONS.values()}
    used = {option.name for option in OPTIONS.values() if option.used}
    assert not asked - used
    # The reader handles Include; dspamd always does what the others ask for.
    always = {"MySQLReconnect", "MySQLWriteReconnect"}
    assert used - asked == {"Include", "OnFail", "TestConditionalTraining"} | always


def test_every_directive_of_dspam_is_in_the_table() -> None:
    directives = (ROOT / "tests/unit/directives.txt").read_text("ascii").split()
    assert [name for name in directives if name.lower() not in OPTIONS] == []


def test_the_sample_file_is_up_to_date_and_has_nothing_to_complain_of() -> None:
    headers = (ROOT / "etc/ignore-headers.txt").read_text("ascii").split()
    assert (ROOT / "etc/dspam.conf").read_text("ascii") == manual.sample(headers)
    loaded = Config.load(ROOT / "etc/dspam.conf")
    assert loaded.warnings == ()
    assert pitfalls(loaded) == ([], [])
    assert loaded.IgnoreHeader == tuple(headers)
    assert loaded.AllowOverride == PREFERENCES


def test_what_the_sample_file_has_commented_out_can_be_used() -> None:
    """All of it together, except a file to include."""
    text = re.sub(
        r"^#(?!Include)([A-Z]\w+(\.\w+)? .*)", r"\1", (ROOT / "etc/dspam.conf").read_text(), flags=re.M
    )
    warnings = [problem.text for problem in Config.from_text(text).warnings]
    assert [text for text in warnings if not re.match("HashConcurrentUser has no effect", text)] == []


def test_the_manual_page_is_up_to_date_and_names_every_option() -> None:
    page = (ROOT / "docs/dspam.conf.5").read_text("ascii")
    assert page == manual.man()
    assert [option.name for option in OPTIONS.values() if f"\\fB{option.name}\\fP" not in page] == []


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        Config.from_text("Home /x\n" + text)
    except ConfigError as error:
        assert error.problems


def test_what_stops_is_told_together_with_what_would_not() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_text("Home /tmp\nTrainingMod toe\nServerPort abc\nTokenizer foo\n", "x.conf")
    assert str(caught.value).splitlines() == [
        "x.conf:3: ServerPort abc: a number from 1 to 65535 is expected",
        "x.conf:4: Tokenizer foo: one of word, chain, sbph, osb is expected",
        "warning: x.conf:2: unknown directive TrainingMod, did you mean TrainingMode?",
    ]
