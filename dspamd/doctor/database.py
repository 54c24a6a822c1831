"""The store: what its driver finds, and whether it has a place for what the Algorithm knows."""

from __future__ import annotations

from collections.abc import Sequence

from dspamd.app import refused_places
from dspamd.diagnosis import Diagnosis, fine, problem
from dspamd.doctor.site import Site
from dspamd.storage.drivers import diagnoses, family


async def database(site: Site) -> Sequence[Diagnosis]:
    """Whether the servers answer, and have what the daemon needs."""
    found = await diagnoses(site.config, site.home, site.workers)
    for each in await refused_places(site.config):
        found.append(problem(str(each), "all mail waits", "give the right, or load the file, that it names"))
    return found or [fine(f"the store is made of files ({family(site.config)})")]
