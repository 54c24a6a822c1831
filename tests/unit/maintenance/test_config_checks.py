"""Configurations that would stop mail, and the reports about them."""

from __future__ import annotations

import pytest

from dspamd.config.config import Config
from dspamd.maintenance.config_checks import pitfalls

SOUND = """\
Home /var/spool/dspam
ServerMode auto
ServerPass.relay secret
ServerHost 127.0.0.1
ServerPort 10033
DeliveryHost 127.0.0.1
DeliveryPort 10034
DeliveryProto SMTP
ServerParameters "--deliver=innocent,spam"
"""


def of(settings: str) -> tuple[list[str], list[str]]:
    """The texts of errors and warnings; `settings` come first, so they count."""
    found = pitfalls(Config.from_text(settings + SOUND))
    return [each.text for each in found.errors], [each.text for each in found.warnings]


def test_a_sound_configuration() -> None:
    assert of("") == ([], [])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ('ServerParameters "--class=spam"', "No source was specified"),
        ('ServerParameters "--deliver=innocent --mode=always"', "Invalid training mode"),
        ("DeliveryPort 10033", "loop for ever"),
        ("DeliveryHost localhost\nDeliveryPort 10033", "loop for ever"),
        ("ServerDomainSocketPath /run/dspam.sock\nDeliveryHost /run/dspam.sock", "loop for ever"),
    ],
)
def test_errors(settings: str, error: str) -> None:
    errors, _ = of(settings + "\n")
    assert len(errors) == 1
    assert error in errors[0]


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ('ServerParameters "--stdout --deliver=innocent"', "--stdout has no effect"),
        ('ServerParameters "--classify --deliver=innocent"', "--classify has no effect"),
        ('ServerParameters "--deliver=innocent,summary"', "--deliver=summary has no effect"),
        ('ServerParameters "--deliver=spam"', "no --deliver=innocent"),
        ('ServerParameters "--deliver=innocent, spam"', "ends in a comma"),
        ("ServerMaxMemory 1M", "ServerMaxMemory is less"),
        ("Algorithm confidence\nPValue robinson", "PValue robinson has no effect"),
        ("Algorithm confidence\nFeature noise", "Feature noise has no effect"),
        ("Algorithm confidence\nFeature tb=5", "Feature tb=N has no effect"),
        ("Algorithm confidence\nProcessorWordFrequency occurrence", "a token counts once"),
        ('TrainingMode tone\nPreference "trainingMode=TOE"', "TrainingMode tone has no effect"),
        ("Algorithm joint\nStrictCompatibility on", "Algorithm joint takes nothing back with Strict"),
        ("Algorithm joint\nProcessorBias on", "ProcessorBias has no effect with Algorithm joint"),
        ("Algorithm logistic\nMessageView classic", "which sees the modern view"),
        ("Algorithm joint\nTokenizer osb", "Tokenizer has no effect with MessageView modern"),
        ("TrainingMode tone\nStrictCompatibility on", "takes nothing back with StrictCompatibility"),
        ("TrainingMode tone\nTrainPristine on", "takes nothing back with TrainPristine"),
        ("MessageView modern\nFeature noise", "Feature noise has no effect with MessageView modern"),
        ("MessageView modern\nTokenizer osb", "Tokenizer has no effect with MessageView modern"),
        ("MessageView modern\nProcessorURLContext on", "ProcessorURLContext has no effect with MessageView"),
        ("AuthenticationHost mx.example.org", "AuthenticationHost has no effect with MessageView classic"),
        ("TrainingMargin 2", "TrainingMargin has no effect"),
        ("ServerGroup mail", "ServerGroup without ServerUser"),
        ("ClamAVHost 127.0.0.1", "no mail is scanned"),
        ("ClamAVPort 3310", "no mail is scanned"),
        ("ExtLookup on\nExtLookupLDAPScope base", "finds nobody below"),
        ("RABLQueue /var/spool/rabl\nTrackSources virus", "RABLQueue without"),
        ('ServerPass.web ""', "ServerPass.web is empty"),
        ('SQLitePragma "locking_mode = EXCLUSIVE"', "EXCLUSIVE admits one process"),
    ],
)
def test_warnings(settings: str, warning: str) -> None:
    errors, warnings = of(settings + "\n")
    assert not errors
    assert [text for text in warnings if warning in text]


def test_a_preference_that_is_ignored_wins_over_nothing() -> None:
    config = Config.from_text(f'TrainingMode tone\nPreference "trainingMode=foo"\n{SOUND}')
    assert len(config.warnings) == 1
    assert config.warnings[0].text.endswith("it is ignored")
    assert pitfalls(config) == ([], [])


def test_what_is_about_an_option_is_told_with_its_line() -> None:
    found = pitfalls(Config.from_text(f'{SOUND}ServerGroup mail\nServerPass.web ""\n', "dspam.conf"))
    assert [(each.line, each.text.split()[0]) for each in found.warnings] == [
        (11, "ServerPass.web"),
        (10, "ServerGroup"),
    ]


@pytest.mark.parametrize(
    "line", ["DeliveryPort 10034", "DeliveryPort.example.org 25", "DeliveryIdent mx", "DeliveryProto LMTP",
             "DeliveryTLS may", "DeliveryTLSCAFile /etc/ssl/cert.pem"],
)  # fmt: skip
def test_a_next_hop_that_is_described_and_not_named(line: str) -> None:
    text = f'Home /x\nServerMode auto\nTrustedDeliveryAgent "/usr/bin/procmail"\n{line}\n'
    found = [each for each in pitfalls(Config.from_text(text)).warnings if "DeliveryHost" in each.text]
    name = line.split()[0].partition(".")[0]
    assert [each.text for each in found] == [
        f"{name} has no effect without DeliveryHost: TrustedDeliveryAgent takes the mail"
    ]
    assert found[0].line == 4


def test_mail_that_nobody_can_hand_in_or_on() -> None:
    found = pitfalls(Config.from_text("Home /tmp\nServerMode dspam\n"))
    texts = [each.text for each in found.warnings]
    assert len(texts) == 2
    assert "no client can log in" in texts[0]
    assert "waits for ever" in texts[1]
