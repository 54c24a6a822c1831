"""The database: what `dspamd --check-config` says of it."""

from __future__ import annotations

from collections.abc import Iterator

from dspamd.app import store_obstacles, store_oddities
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.storage.drivers import family


def database(site: Site) -> Iterator[Diagnosis]:
    """Whether the servers answer, and have what the daemon needs."""
    obstacles, oddities = store_obstacles(site.config), store_oddities(site.config)
    for each in obstacles:
        yield problem(str(each), "all mail waits", "as said")
    for each in oddities:
        yield advice(str(each), "as said", "as said")
    if not obstacles and not oddities:
        yield fine(f"the store ({family(site.config)}) answers")
