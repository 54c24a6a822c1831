"""Settings that are valid alone but together would stop mail.

A setting that would make the daemon bounce or never deliver mail is an error: the daemon does
not start with it, and a reload keeps the old configuration.  A setting that does something
else than the administrator asked for, or keeps mail waiting, is a warning.

These checks read the configuration alone; `surroundings` checks the files and programs that it
names.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from dspamd.config.config import Config, contains
from dspamd.config.option import Option
from dspamd.config.preferences import doubt
from dspamd.engine.model import Mode
from dspamd.engine.modes import takes_back
from dspamd.engine.scorers import CLASSIC, scorer
from dspamd.errors import Problem, UsageError
from dspamd.request.command_line import split
from dspamd.request.recipients import requested

_EXCLUSIVE = re.compile(r"\blocking_mode\b\W*exclusive\b", re.IGNORECASE)
_LOCAL = {"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}


class Pitfalls(NamedTuple):
    errors: list[Problem]
    warnings: list[Problem]


def pitfalls(config: Config) -> Pitfalls:
    """The faults of a whole configuration."""

    def problems(texts: Iterator[str]) -> list[Problem]:
        # A text about one option begins with its name.
        return [config.problem(text.split()[0].rstrip(":"), text) for text in texts]

    return Pitfalls(problems(_errors(config)), problems(_warnings(config)))


def _errors(config: Config) -> Iterator[str]:
    try:
        requested(config, split(config.ServerParameters))
    except UsageError as error:
        yield f"ServerParameters: {error}: all mail that comes by LMTP would be returned to its sender"
    if _own_port(config):
        yield "DeliveryHost and DeliveryPort are those of this daemon: mail would loop for ever"


def _warnings(config: Config) -> Iterator[str]:
    if config.ServerMode != "dspam":
        yield from _parameters(config)
    local = config.ServerDomainSocketPath
    if config.ServerMode == "dspam" and not config.suffixes(Config.ServerPass) and not local:
        yield "ServerMode dspam without ServerPass: no client can log in; mail servers need standard or auto"
    for ident, password in config.suffixes(Config.ServerPass).items():
        if not password:
            yield f"ServerPass.{ident} is empty: everybody who can connect may act for every user"
    if not (_hosts(config) or config.TrustedDeliveryAgent):
        yield "neither DeliveryHost nor TrustedDeliveryAgent: mail waits for ever"
    if not _hosts(config):
        yield from _needless(config)
    if 0 < config.ServerMaxMemory < config.ServerMaxMessageSize:
        yield "ServerMaxMemory is less than ServerMaxMessageSize: the larger value counts"
    yield from _scanners(config)
    yield from _statistics(config)
    base = config.ExtLookupLDAPScope == "base" and not config.StrictCompatibility
    if config.ExtLookup and base:
        yield "ExtLookupLDAPScope base finds nobody below ExtLookupDB; for DSPAM it meant sub"
    if config.ServerGroup and not config.ServerUser:
        yield "ServerGroup without ServerUser has no effect"
    if any(map(_EXCLUSIVE.search, config.SQLitePragma)):
        yield "SQLitePragma locking_mode = EXCLUSIVE admits one process: mail of the others waits"


def _needless(config: Config) -> Iterator[str]:
    """Directives about a next hop in a configuration without one."""
    taker = "TrustedDeliveryAgent takes the mail" if config.TrustedDeliveryAgent else "nobody takes the mail"
    about: tuple[Option[Any], ...] = (
        Config.DeliveryPort,
        Config.DeliveryIdent,
        Config.DeliveryProto,
        Config.DeliveryTLS,
        Config.DeliveryTLSCAFile,
    )
    for option in filter(config.given, about):
        yield f"{option.name} has no effect without DeliveryHost: {taker}"


def _statistics(config: Config) -> Iterator[str]:
    """Settings of the statistics that do not go together."""
    noise, algorithm = "noise" in config.Feature, " ".join(config.Algorithm)
    chosen = scorer(config.Algorithm)
    if chosen is not CLASSIC:
        if config.PValue != "bcr":
            yield f"PValue {config.PValue} has no effect with Algorithm {algorithm}"
        if noise:
            yield f"Feature noise has no effect with Algorithm {algorithm}"
        if any(word.startswith("tb=") for word in config.Feature):
            yield f"Feature tb=N has no effect with Algorithm {algorithm}"
        if config.ProcessorWordFrequency != "once":
            yield f"ProcessorWordFrequency has no effect with Algorithm {algorithm}: a token counts once"
    if chosen.block is not None:
        if config.StrictCompatibility:
            yield f"Algorithm {algorithm} takes nothing back with StrictCompatibility"
        if config.ProcessorBias:
            yield f"ProcessorBias has no effect with Algorithm {algorithm}"
    if chosen.view is not None and config.given(Config.MessageView) and config.MessageView != chosen.view:
        yield f"MessageView has no effect with Algorithm {algorithm}, which sees the {chosen.view} view"
    view = chosen.view or config.MessageView
    if view != "classic":
        if noise and chosen is CLASSIC:
            yield f"Feature noise has no effect with MessageView {view}"
        for option in (Config.Tokenizer, Config.ProcessorURLContext):
            if config.given(option):
                yield f"{option.name} has no effect with MessageView {view}"
    elif config.AuthenticationHost:
        yield "AuthenticationHost has no effect with MessageView classic"
    modes = [line.partition("=")[2] for line in config.Preference if line.startswith("trainingMode=")]
    preferred = modes[-1] if modes and not doubt("trainingMode", modes[-1]) else ""
    if preferred and config.given(Config.TrainingMode) and preferred.lower() != config.TrainingMode:
        yield f"TrainingMode {config.TrainingMode} has no effect: Preference trainingMode={preferred} wins"
    if takes_back(Mode(config.TrainingMode)):
        if config.StrictCompatibility:
            yield "TrainingMode tone takes nothing back with StrictCompatibility"
        elif config.TrainPristine:
            yield "TrainingMode tone takes nothing back with TrainPristine: it needs signatures"
    elif config.given(Config.TrainingMargin) and not contains(config.AllowOverride, "trainingMode"):
        yield "TrainingMargin has no effect without TrainingMode tone"


def _scanners(config: Config) -> Iterator[str]:
    """Settings that keep configured scanners from mail."""
    host, port = config.ClamAVHost, config.ClamAVPort
    if bool(host) != bool(port) and not host.startswith("/"):
        yield "ClamAVHost and ClamAVPort must both be set: no mail is scanned for viruses"
    if config.RABLQueue and not contains(config.TrackSources, "spam"):
        yield "RABLQueue without TrackSources spam stays empty"


def _parameters(config: Config) -> Iterator[str]:
    """ServerParameters that make no sense for mail by LMTP."""
    try:
        request = requested(config, split(config.ServerParameters))
    except UsageError:
        return  # an error already
    if request.stdout:
        yield "ServerParameters: --stdout has no effect, nobody would get the mail"
    if request.classify:
        yield "ServerParameters: --classify has no effect, nobody would get the mail"
    if request.summary:
        yield "ServerParameters: --deliver=summary has no effect, nobody would get the mail"
    if not request.deliver_innocent:
        yield "ServerParameters: no --deliver=innocent; innocent mail is delivered all the same"
    for warning in request.warnings:
        yield f"ServerParameters: {warning}"


def _hosts(config: Config) -> set[str]:
    return {config.DeliveryHost, *config.suffixes(Config.DeliveryHost).values()} - {""}


def _own_port(config: Config) -> bool:
    """Whether the next hop is our own port."""
    host, path = config.ServerHost, config.ServerDomainSocketPath
    next_host = config.DeliveryHost
    if path and path == next_host:
        return True
    listening = bool(host) or not path
    same = next_host == host or (next_host in _LOCAL and host in _LOCAL)
    return bool(next_host) and listening and same and config.DeliveryPort == config.ServerPort
