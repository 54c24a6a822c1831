"""The log of the daemon: one line per recipient, and all trouble.

Events are constant snake_case nouns with keyword fields, one line each, as logfmt
(`key=value`) or JSON.  Mail cannot forge a line: the log quotes or escapes blanks, quotes and
control characters in values.  It leaves out fields that are None.

`log_target` has the places for lines.  Trouble with the log never stops mail: a target drops
a line that it cannot write at once.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from dspamd.config.config import Config
from dspamd.telemetry.log_target import File, Stderr, Syslog, Target

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_plain = re.compile(r'[^\s="\\\x00-\x1f\x7f-\x9f]+').fullmatch
_NUMBERS = (int, float, bool)
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES |= {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}

_logger: Any = structlog.get_logger()
_target: Target = Stderr()


def configure(level: str = "info", form: str = "logfmt", target: Target | None = None) -> None:
    """Set up logging for this process; `level` is a key of LEVELS, `form` logfmt or json."""
    global _logger, _target
    _target.close()
    _target = target or Stderr()
    _logger = logger(level, form, _target)


@contextmanager
def diverted(target: Target, level: str = "info", form: str = "logfmt") -> Iterator[None]:
    """Let lines go to another target; after the body they go where they went before, which stays open."""
    global _logger, _target
    before = _logger, _target
    _logger, _target = logger(level, form, target), target
    try:
        yield
    finally:
        _logger, _target = before


def get() -> Any:
    """The logger: `log.get().info("message", user=..., result=...)`."""
    return _logger


def logger(level: str, form: str, target: Target) -> Any:
    """A logger with a target of its own."""
    return structlog.wrap_logger(
        _Lines(target),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if form == "json" else _logfmt,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    ).bind()


def directory(config: Config) -> Path:
    """The directory of log files without a path of their own."""
    return Path(config.LogDirectory or Path(config.Home, "log"))


def target(config: Config) -> Target:
    """The target that `LogTarget` names: stderr, syslog, or a file."""
    match config.LogTarget:
        case "stderr":
            return Stderr()
        case "syslog":
            return Syslog("dspamd")
        case name:
            return File(directory(config) / name)


class _Lines:
    """The logger behind structlog: a method for each level.

    Threads that write files and databases log, too; targets take one line at a time.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._turn = target, threading.Lock()
        for level in (*LEVELS, "critical"):
            setattr(self, level, partial(self._write, level))

    def _write(self, level: str, line: str) -> None:
        with self._turn:
            self._target.write(level, line)


def _logfmt(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """A line of `key=value`, in a third of the time of structlog's more general renderer."""
    words = [f"timestamp={event.pop('timestamp')} level={event.pop('level')} event={event.pop('event')}"]
    for key, value in event.items():
        if value is None:
            continue
        if type(value) is str:
            value = _quoted(value)
        elif type(value) not in _NUMBERS:
            value = _quoted(str(value))
        words.append(f"{key}={value}")
    return " ".join(words)


def _quoted(text: str) -> str:
    """A text, in quotes if its end would be unclear otherwise."""
    return text if _plain(text) else f'"{text.translate(_ESCAPES)}"'
