"""The rehearsal: reads a live site of DSPAM 3.10.2, and puts together what an administrator should know.

It opens nothing for writing, makes no file and no table, and takes no lock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from dspamd.adoption import counting, scoring, steps
from dspamd.adoption.counting import SiteCount, Told
from dspamd.adoption.differences import Difference, differences
from dspamd.adoption.scoring import Comparison
from dspamd.adoption.steps import Step
from dspamd.app import home_of, workers_of
from dspamd.config.config import Config
from dspamd.errors import ConfigError, Failure, Problem, UsageError
from dspamd.home.home import Home
from dspamd.maintenance.config_checks import pitfalls
from dspamd.storage.drivers import advice, family, open_readable
from dspamd.storage.reading import Readable


@dataclass(frozen=True, slots=True)
class Mail:
    """The mail to score: of a user (empty: the only one), in a maildir, its newest messages."""

    maildir: Path
    user: str = ""
    most: int = 200


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was found.  `errors` keep the daemon from starting, or the site from being read."""

    file: str
    driver: str
    layout: str
    home: str
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    count: SiteCount | None
    comparison: Comparison | None
    differences: tuple[Difference, ...]
    forward: tuple[Step, ...]
    back: tuple[Step, ...]


async def rehearse(config: Config, mail: Mail | None, told: Told) -> Rehearsal:
    """Look at the site of a configuration.  Raises `ConfigError`, UsageError, `UnusableCorpus`, OSError."""
    home, faults = await asyncio.to_thread(home_of, config), pitfalls(config)
    errors, warnings = list(faults.errors), [*config.warnings, *faults.warnings]
    count = comparison = None
    store = open_readable(config, home)
    try:
        await store.open()
        count = await counting.count(store, home, lambda share: told(share / (2 if mail else 1)))
        if mail is not None:
            user = mail.user or await _only_user(store)
            comparison = await scoring.compare(
                config, store, home, user, mail.maildir, mail.most, lambda share: told((1 + share) / 2)
            )
        warnings += await advice(config, home, workers_of(config))
    except Failure as failure:
        errors.append(config.problem("StorageDriver", f"the store cannot be read: {failure}"))
    finally:
        await store.close()
    return Rehearsal(
        config.file,
        family(config),
        home.layout.value,
        str(home.path),
        tuple(errors),
        tuple(warnings),
        count,
        comparison,
        tuple(differences(config, await asyncio.to_thread(_groups, config, home))),
        tuple(steps.forward(config, usable=not errors)),
        tuple(steps.back(config)),
    )


def unusable(file: Path, error: ConfigError) -> Rehearsal:
    """What can be said of a site whose configuration cannot be used."""
    mend = Step("Mend the errors of the configuration that are named above", ())
    return Rehearsal(str(file), "", "", "", tuple(error.problems), (), None, None, (), (mend,), ())


async def _only_user(store: Readable) -> str:
    owners = await store.owners()
    if len(owners) != 1:
        raise UsageError("adopt: --maildir needs --user, because the site has several")
    return owners[0]


def _groups(config: Config, home: Home) -> str:
    try:
        return Path(config.GroupConfig or home.path / "group").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
