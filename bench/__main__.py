"""`make bench [ONLY=part]`: run the measurements, print a table, write build/bench.json.

The exit status is 1 if a budget is exceeded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench import commands, default, engine, loads, memory, path, purge, storage, workers
from bench.figures import Figure, report

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "engine": engine.measure,
    "path": lambda: [*path.measure(), *workers.measure()],
    "default": default.measure,
    "storage": storage.measure,
    "purge": purge.measure,
    "daemon": lambda: [*memory.measure(), *loads.measure()],
    "commands": commands.measure,
}


def main() -> int:
    only = sys.argv[1:] or list(PARTS)
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        print(f"There is no part {unknown[0]}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    figures = [figure for name in only for figure in PARTS[name]()]
    report(figures)
    return 0 if all(figure.ok for figure in figures) else 1


sys.exit(main())
