"""What the daemon says of itself: one line per recipient, and whatever went wrong.

Events are constant snake_case nouns with keyword fields, written to stderr as
logfmt (`key=value`) or JSON.  Under systemd that is the journal; daemontools and
runit take stderr too.  Trouble with the log never stops mail: a line that cannot
be written is dropped.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Protocol

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_PLAIN = re.compile(r'[^\s="\\]*')


class Sink(Protocol):
    """Where lines go: stderr, or whatever a command writes its log to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class _Stream:
    """A text stream that swallows the errors of the one behind it (pipe closed, disk full)."""

    def __init__(self, stream: Sink) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def configure(level: str = "info", form: str = "logfmt", stream: Sink | None = None) -> None:
    """Set up logging for this process; `level` is a key of LEVELS, `form` logfmt or json."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if form == "json" else _logfmt,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=_Stream(stream or sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def _logfmt(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """A line of `key=value`; a third of the time that structlog's renderer, made for more, takes."""
    head = f"timestamp={event.pop('timestamp')} level={event.pop('level')} event={event.pop('event')}"
    return head + "".join([f" {key}={_quoted(value)}" for key, value in event.items()])


def _quoted(value: object) -> str:
    """A value, in quotes where its end could not be seen otherwise."""
    if value is None:
        return ""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escaped)
    return f'"{text}"'


def get() -> Any:
    """A logger: `log.get().info("message", user=..., result=...)`."""
    return structlog.get_logger()
