"""The numbered steps that create the tables of a driver: `schema/DRIVER/NNNN.sql`.

Steps only go forward.  Step 1 creates the tables of DSPAM 3.10.2 if there are none;
later steps create our own.  Each driver notes in the database how many steps it has taken,
and takes no step twice.

This module only reads the files; the drivers execute the steps.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

BLOCKS = 3
"""The step that creates the tables of blocks; they need no other step."""


@cache
def steps(driver: str) -> tuple[str, ...]:
    """The scripts of a driver, in order."""
    return tuple(file.read_text(encoding="utf-8") for file in sorted(_folder(driver).glob("*.sql")))


def file(driver: str, step: int) -> Path:
    """The script of a step, which an administrator can load."""
    return _folder(driver) / f"{step:04}.sql"


def _folder(driver: str) -> Path:
    return Path(__file__).with_name("schema") / driver
