"""The folders of the site, before anything else: one that hangs would hold up every other look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, problem
from dspamd.doctor.examination import apart
from dspamd.telemetry import log

PATIENCE_S = 10.0


async def silent_places(config: Config) -> Sequence[Diagnosis]:
    """The folders that do not answer; each may be on a file system of its own, of another host even."""
    home = Path(config.Home)
    folders = [home, home / "data", log.directory(config), Path(config.ServerPID).parent]
    if config.TxtDirectory:
        folders.append(Path(config.TxtDirectory))
    looked = await asyncio.gather(*map(_answers, dict.fromkeys(folders)))
    return [judged_silence(folder) for folder, answers in looked if not answers]


async def _answers(folder: Path) -> tuple[Path, bool]:
    """Whether a folder can be listed, or cannot for a reason that is told."""
    looking = asyncio.ensure_future(apart(lambda: _list(folder)))
    done, _ = await asyncio.wait({looking}, timeout=PATIENCE_S)
    return folder, bool(done)


def _list(folder: Path) -> None:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError:
        return  # other checks say more


def judged_silence(folder: Path) -> Diagnosis:
    what = f"{folder} did not answer within {PATIENCE_S:g} s; nothing else was examined"
    why = "the daemon waits for it as we do: mail waits, and the daemon replaces each worker that hangs"
    cure = (
        "see what is mounted there, and whether its server runs: cat /proc/mounts; mount it again:\n"
        "umount -f -l FOLDER && mount FOLDER && systemctl restart dspamd"
    )
    return problem(what, why, cure)
