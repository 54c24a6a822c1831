"""Libraries that only some configurations need: a driver, a directory, blacklists.

The program imports them when a directive needs them.  It reports a missing library like a
mistake in the configuration: with the place of the directive, and the command that installs it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from dspamd.config.config import Config
from dspamd.config.option import Option
from dspamd.errors import ConfigError


@contextlib.contextmanager
def needed_by(config: Config, option: Option[Any], package: str, remedy: str = "") -> Iterator[None]:
    """Import in the body the library that an option needs, from a package of PyPI or by another `remedy`.

    Raises `ConfigError` that names the package and what installs it.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "dspamd":
            raise  # a bug of ours, which no package fixes
        remedy = remedy or f"to install it: {sys.executable or 'python3'} -m pip install {package}"
        needs = f"needs the Python package {package} ({error}); {remedy}"
        text = f"{option.name} {config.words(option)[0]} {needs}"
        raise ConfigError([config.problem(option.name, text)]) from error
