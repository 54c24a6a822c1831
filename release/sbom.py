"""`python -m release.sbom FILE`: what is inside the package, as a CycloneDX list (specification 1.5).

It lists dspamd and the libraries that it requires, with all extras, as they are installed where this runs:
name, version, license, and for the tools that look for known vulnerabilities the name in the registry.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from release.moment import moment

_PROGRAM = "dspamd"
_EXTRAS = ("blacklists", "ldap")


def bill(when: int) -> dict[str, Any]:
    """The list; `when` is its time, in seconds since 1970."""
    parts = {one.name.lower(): one for one in _required(_PROGRAM)}
    program = parts.pop(_PROGRAM)
    name = f"{_PROGRAM}-{program.version}-{when}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(when, UTC).isoformat(),
            "component": _component(program, "application"),
        },
        "components": [_component(parts[key], "library") for key in sorted(parts)],
        "dependencies": [
            {"ref": _reference(one), "dependsOn": sorted(_reference(other) for other in _direct(one))}
            for one in (program, *(parts[key] for key in sorted(parts)))
        ],
    }


def _required(name: str) -> Iterator[Distribution]:
    """A distribution, and all that it needs, each once."""
    found: dict[str, Distribution] = {}
    waiting = [distribution(name)]
    while waiting:
        if (one := waiting.pop()).name not in found:
            found[one.name] = one
            waiting += _direct(one)
    yield from found.values()


def _direct(one: Distribution) -> Iterator[Distribution]:
    """What a distribution needs itself; ours with the extras that the Debian package has."""
    extras = _EXTRAS if one.name == _PROGRAM else ("",)
    for requirement in map(Requirement, one.requires or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield distribution(requirement.name)


def _component(one: Distribution, kind: str) -> dict[str, Any]:
    told = one.metadata.json
    license = str(told.get("license_expression") or told.get("license") or "").partition("\n")[0]
    licenses = {"licenses": [{"license": {"name": license}}]} if license else {}
    return {
        "type": kind,
        "bom-ref": _reference(one),
        "name": one.name,
        "version": one.version,
        "purl": _reference(one),
        **licenses,
    }


def _reference(one: Distribution) -> str:
    """The package URL of a distribution."""
    return f"pkg:pypi/{re.sub('[-_.]+', '-', one.name).lower()}@{one.version}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill(moment(Path.cwd())), indent=2) + "\n")
