"""`python -m release.minimum`: the lowest version of each library that pyproject.toml allows, for pip.

`make minimum` runs the unit tests with them: a bound that is too low fails there, not at somebody's site.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

_DEVELOPMENT = ("dev", "docs", "release")


def lowest(pyproject: str) -> Iterator[str]:
    """A line for each library that the program itself may need.

    Raises `ValueError` for one without a lowest version.
    """
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    wanted = (extras[name] for name in extras if name not in _DEVELOPMENT)
    for text in [*project["dependencies"], *(text for texts in wanted for text in texts)]:
        requirement = Requirement(text)
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"pyproject.toml names no lowest version of {requirement.name}")
        yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    print(*lowest(Path("pyproject.toml").read_text()), sep="\n")
