"""The configuration: what `dspamd --check-config` says of it, but for the databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dspamd.app import obstacles, oddities
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.errors import ConfigError

_EDIT = "change that line, then: dspamd --check-config && systemctl reload dspamd"


def configuration(site: Site) -> Iterator[Diagnosis]:
    """The errors and the warnings."""
    errors, warnings = obstacles(site.config), list(map(str, oddities(site.config)))
    yield from _judged(errors, warnings)
    if not errors and not warnings:
        yield fine(f"{site.config.file} has no errors, and nothing in it is odd")


def unusable(error: ConfigError | LookupError) -> list[Diagnosis]:
    """The diagnoses where there is no configuration that could be examined further."""
    return list(_judged(str(error).splitlines(), ()))


def _judged(errors: Iterable[str], warnings: Iterable[str]) -> Iterator[Diagnosis]:
    for error in errors:
        why = "the daemon does not start with it; one that runs keeps its old configuration at a reload"
        yield problem(error, why, _EDIT)
    for warning in warnings:
        why = "something does not work as this line, or its default, asks for"
        yield advice(warning, why, f"look into it; {_EDIT}")
