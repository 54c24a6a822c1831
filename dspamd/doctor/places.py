"""The folders of the site, before anything else: one that hangs would hold up every other look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, problem
from dspamd.doctor.examination import apart, within
from dspamd.doctor.site import Site
from dspamd.telemetry import log

PATIENCE_S = 10.0


async def silent_places(config: Config) -> Sequence[Diagnosis]:
    """The folders that do not answer; each may be on a file system of its own, of another host even."""
    home = Path(config.Home)
    folders = [home, home / "data", log.directory(config), Path(config.ServerPID).parent]
    if config.TxtDirectory:
        folders.append(Path(config.TxtDirectory))
    looked = await asyncio.gather(*map(_answers, dict.fromkeys(folders)))
    return [judged_silence(str(folder)) for folder, answers in looked if not answers]


async def site_of(config: Config) -> Site | Diagnosis:
    """The site of a configuration, for which the folders of users are looked at.

    Raises `ConfigError`, `LookupError`.
    """
    try:
        return await within(PATIENCE_S, apart(lambda: Site.of(config)))
    except TimeoutError:
        return judged_silence(f"a folder below {config.Home}")


async def _answers(folder: Path) -> tuple[Path, bool]:
    """Whether a folder can be listed, or cannot for a reason that is told."""
    try:
        await within(PATIENCE_S, apart(lambda: _list(folder)))
    except TimeoutError:
        return folder, False
    return folder, True


def _list(folder: Path) -> None:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError:
        return  # other checks say more


def judged_silence(folder: str) -> Diagnosis:
    what = f"{folder} did not answer within {PATIENCE_S:g} s; nothing else was examined"
    why = "the daemon waits for it as we do: mail waits, and the daemon replaces each worker that hangs"
    cure = (
        "see what is mounted there, and whether its server runs: cat /proc/mounts; mount it again:\n"
        "umount -f -l FOLDER && mount FOLDER && systemctl restart dspamd"
    )
    return problem(what, why, cure)
