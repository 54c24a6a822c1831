"""What dspamd does otherwise than DSPAM 3.10.2 with the settings and the groups of a site.

docs/compatibility.md lists all differences; here are those that this site can notice.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.storage.drivers import driver_name, server_prefix


class Difference(NamedTuple):
    """A difference, by its number in docs/compatibility.md if it has one."""

    quirk: str
    what: str


def differences(config: Config, groups: str) -> list[Difference]:
    """Those that a site can notice, from its configuration and the text of its file of groups."""
    kinds = {kind.strip().lower() for line in groups.splitlines() for kind in line.split(":")[1:2]}
    return [Difference(*each) for each in (*_numbers(config, kinds), *_defaults(config))]


def _numbers(config: Config, kinds: set[str]) -> Iterator[tuple[str, str]]:
    files = not server_prefix(config)
    yield "Q-T2", "the same correction made twice counts once, and the opposite one restores the counters"
    yield "Q-M17", "X-DSPAM headers of arriving mail are removed, so that nobody can forge a verdict"
    if not config.given(Config.Algorithm):
        used = " ".join(config.Algorithm)
        yield "Q-P7", f"there is no Algorithm: DSPAM calls all mail innocent then, dspamd uses {used}"
    if "naive" in config.Algorithm:
        yield (
            "Q-N1",
            "Algorithm naive multiplies the probabilities of all tokens, not that of one with itself",
        )
    if "hash" in driver_name(config):
        yield "Q-T8", "hash files hold all hits of a token, not only as many as messages were learned"
    if not files and ("inoculation" in kinds or config.ProcessorWordFrequency == "occurrence"):
        yield "Q-T9", "each token of an inoculation or of ProcessorWordFrequency occurrence has its own step"
    if config.Tokenizer == "sbph":
        yield "Q-S1", "signatures of Tokenizer sbph are read as the texts that they are"
    if config.TrainingMode == "toe":
        yield "Q-T4", "--classify writes nothing, in mode toe too"
    if config.TrainingMode == "notrain":
        yield "Q-T6", "a lesson in mode notrain changes nothing, not the totals either"
    if "merged" in kinds:
        yield "Q-G4", "with merged groups a new token gets the hits of the lesson, not one of each class"
        if files:
            yield "", "merged groups, which failed with files, work: verdicts of their members change"
    if "inoculation" in kinds:
        yield "Q-T11", "an inoculation is answered and logged, and its reporter learns it once"


def _defaults(config: Config) -> Iterator[tuple[str, str]]:
    """Defaults that differ, where the file says nothing."""
    if config.ServerDomainSocketPath and not config.given(Config.SocketMode):
        yield (
            "",
            f"SocketMode is 0{config.SocketMode:o}: the unix socket is for its owner and group, not for all",
        )
    if config.ParseToHeaders and not config.given(Config.RetrainFrom):
        yield "", "corrections by mail from strangers are refused (RetrainFrom); DSPAM believed everybody"
    if "hash" in driver_name(config) and not config.given(Config.HashConnectionCache):
        yield (
            "",
            f"HashConnectionCache is {config.HashConnectionCache}: set it to the mailboxes that are busy",
        )
    if config.ServerDomainSocketPath and config.suffixes(Config.ServerPass):
        yield "", "dspamc needs no ClientIdent on the unix socket: the kernel names the calling account"
