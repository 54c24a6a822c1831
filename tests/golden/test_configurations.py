"""Every configuration that the original was recorded with can be used, and is complained of in nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dspamd.config.config import Config
from dspamd.config.options import OPTIONS
from tests.golden.data import rows

# The active lines of the sample file that DSPAM brought along, as its packages fill them in (config.md 4).
SAMPLE = """\
Home /var/spool/dspam
StorageDriver /usr/lib/x86_64-linux-gnu/dspam/libhash_drv.so
TrustedDeliveryAgent "/usr/bin/procmail"
OnFail error
Trust root
Trust dspam
Trust apache
Trust mail
Trust mailnull
Trust smmsp
Trust daemon
TrainingMode toe
TestConditionalTraining on
Feature noise
Feature whitelist
Algorithm graham burton
Tokenizer osb
PValue bcr
WebStats on
Preference "trainingMode=TOE"		# { TOE | TUM | TEFT | NOTRAIN }
Preference "spamAction=quarantine"
Preference "spamSubject=[SPAM]"
Preference "statisticalSedation=0"	# { 0 - 10 }
Preference "enableBNR=on"		# { on | off }
Preference "signatureLocation=message"	# { message | headers }
Preference "localStore="		# { on | off }
AllowOverride enableBNR
AllowOverride RBLInoculate
IgnoreHeader X-Virus-Scanner-Result
Notifications off
PurgeSignatures 14	# Stale signatures
PurgeNeutral 90
PurgeUnused 90
PurgeHapaxes 30
PurgeHits1S 15
PurgeHits1I 15
LocalMX 127.0.0.1
SystemLog on
UserLog on
Opt out
HashRecMax 98317
HashAutoExtend on
HashMaxExtents 0
HashPctIncrease 10
HashMaxSeek 10
HashConnectionCache 10
ProcessorURLContext on
ProcessorBias on
StripRcptDomain off
GroupConfig /var/spool/dspam/group
"""


def test_the_sample_of_the_original() -> None:
    assert Config.from_text(SAMPLE).warnings == ()


AGENTS: list[list[str]] = [
    row["dspam_conf"] for row in rows("classify/agent.jsonl") if isinstance(row.get("dspam_conf"), list)
]


@pytest.mark.parametrize("lines", AGENTS)
def test_whole_files(lines: list[str]) -> None:
    assert Config.from_text("\n".join(lines)).warnings == ()


def recorded() -> Iterator[str]:
    for name in ("css_files", "misc", "net_delivery", "net_dspamc", "net_lmtp", "storage"):
        for row in rows(f"{name}.jsonl"):
            settings = row.get("config")
            for key, values in settings.items() if isinstance(settings, dict) else ():
                if key.partition(".")[0].lower() in OPTIONS:
                    for value in values if isinstance(values, list) else [values]:
                        yield f"{key} {value}"


def test_single_directives() -> None:
    lines = sorted(line for line in set(recorded()) if not line.endswith(" None"))
    assert len(lines) > 40
    hosts = "DeliveryProto SMTP"
    for line in lines:
        Config.from_text(f"Home /x\n{hosts}\n{line}")
