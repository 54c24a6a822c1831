"""The words after a command, or after a function of dspam_admin, as argparse reads them."""

from __future__ import annotations

import argparse
from typing import NoReturn

from dspamd.errors import UsageError


class Arguments(argparse.ArgumentParser):
    """A parser in our frame: it raises UsageError, takes no abbreviation, and leaves --help to the frame.

    Its errors begin with `name`, unless that is empty.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(prog=name, add_help=False, allow_abbrev=False)
        self._beginning = f"{name}: " if name else ""

    def flags(self, *names: str) -> None:
        """Add options without a value."""
        for name in names:
            self.add_argument(f"--{name}", action="store_true")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self._beginning}{message}")
