"""The one thing pyproject.toml cannot say: how the kernel, and the few system calls, are compiled.

`DSPAMD_SANITIZE=1` builds it with AddressSanitizer and UBSan for `make fuzz`, and lets it tell
which edges it took.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-fno-math-errno", "-ffp-contract=off"]
traced: list[str] = []
links: list[str] = []
coverage: list[str] = []
if os.environ.get("DSPAMD_SANITIZE"):
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
    flags += ["-fsanitize=address,undefined"]
    traced = ["-fsanitize-coverage=trace-pc"]
    links = ["-fsanitize=address,undefined"]
    coverage = ["tests/fuzz/coverage.c"]


def extension(name: str, *, fuzzed: bool = True) -> Extension:
    """The extension `name`, compiled again when one of its parts or what the extensions share has changed."""
    path = Path(name.replace(".", "/"))
    shared = Path("dspamd/mail").glob("_*.pxd")
    return Extension(
        name,
        [f"{path}.pyx", *(coverage if fuzzed else [])],
        depends=sorted(map(str, [*path.parent.rglob("*.pxi"), *shared])),
        extra_compile_args=flags + (traced if fuzzed else []),
        extra_link_args=links,
    )


setup(
    ext_modules=cythonize(
        [
            extension("dspamd.mail._view"),
            extension("dspamd.mail._features"),
            extension("dspamd.engine._kernel"),
            extension("dspamd.engine._weights"),
            extension("dspamd.storage.files._css"),
            extension("dspamd.storage.files._files", fuzzed=False),
        ],
        language_level=3,
        build_dir="build/cython",
        cache="CYTHON_CACHE_DIR" in os.environ,  # what it made of the same source, in whatever tree
    )
)
