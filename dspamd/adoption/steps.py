"""The way from DSPAM 3.10.2 to dspamd, and back, as commands for one site, in their order.  Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.storage.drivers import server_prefix

_LMTP = ("standard", "auto")


class Step(NamedTuple):
    """What to do, why, and the commands; lines that begin with # are not for a shell."""

    what: str
    commands: tuple[str, ...] = ()


def forward(config: Config, *, usable: bool) -> list[Step]:
    """The switch."""
    file = shlex.quote(config.file)
    return [
        *([] if usable else [Step("Mend the errors of the configuration that are named above")]),
        Step(
            "Look at what dspamd makes of the configuration; the warnings can wait",
            (f"dspamd --check-config --config {file}",),
        ),
        Step(
            "Stop mail and DSPAM: senders try again, nothing is lost",
            ("postfix stop", "systemctl stop dspam"),
        ),
        Step("Save what DSPAM has, for the way back", tuple(_saving(config))),
        Step(
            "Put the programs dspam, dspamc and dspamd in the place of those of DSPAM; keep its package",
            ("apt install ./dspamd_*.deb",),
        ),
        *_postfix(config),
        Step("Start dspamd, and look whether all is well", ("systemctl start dspamd", "dspam_admin doctor")),
        Step("Let mail in again, and watch it", ("postfix start", "journalctl -fu dspamd")),
        Step(
            "After some days: let the new algorithm learn beside yours, and compare (dspamd-metrics(7))",
            (f"# {config.file}: ShadowAlgorithm joint", "systemctl reload dspamd"),
        ),
    ]


def back(config: Config) -> list[Step]:
    """The way back: DSPAM finds its data, with all that was learned meanwhile."""
    steps = [
        Step(
            "Stop mail and dspamd, start DSPAM",
            (
                "postfix stop",
                "systemctl stop dspamd",
                "# the programs of DSPAM again",
                "systemctl start dspam",
            ),
        ),
        Step("Put back the lines of Postfix if you changed them, and let mail in", ("postfix start",)),
    ]
    if "hash" in config.StorageDriver.lower():
        steps.append(
            Step("Hash files of a 32-bit or big-endian machine were converted: put the saved ones back")
        )
    return steps


def _saving(config: Config) -> Iterator[str]:
    home = shlex.quote(config.Home.rstrip("/"))
    yield f"cp -a {shlex.quote(config.file)} {shlex.quote(config.file + '.before-dspamd')}"
    prefix = server_prefix(config)
    if prefix == "MySQL":
        yield f"mysqldump --single-transaction {shlex.quote(config.MySQLDb or 'dspam')} >dspam.sql"
    elif prefix == "PgSQL":
        yield f"pg_dump {shlex.quote(config.PgSQLDb or 'dspam')} >dspam.sql"
    else:
        yield f"cp -a {home} {home}.before-dspamd"


def _postfix(config: Config) -> Iterator[Step]:
    place = config.ServerDomainSocketPath or f"{config.ServerHost or '127.0.0.1'}:{config.ServerPort}"
    if config.ServerMode in _LMTP:
        yield Step(f"Leave Postfix as it is: dspamd answers at {place} as DSPAM did")
        return
    yield Step(
        "Leave Postfix as it is if it calls dspam or dspamc. Better, let it speak LMTP to the daemon",
        (
            f"# {config.file}: ServerMode auto",
            "# /etc/postfix/master.cf: the lines of etc/postfix/master.cf in the documentation of dspamd",
            f"# ... -o content_filter=dspam:[127.0.0.1]:{config.ServerPort}",
        ),
    )
