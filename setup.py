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
sources = ["dspamd/engine/_kernel.pyx"]
if os.environ.get("DSPAMD_SANITIZE"):
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
    flags += ["-fsanitize=address,undefined"]
    traced = ["-fsanitize-coverage=trace-pc"]
    links = ["-fsanitize=address,undefined"]
    sources.append("tests/fuzz/coverage.c")

kernel = Extension(
    "dspamd.engine._kernel",
    sources,
    depends=sorted(map(str, Path("dspamd/engine").glob("*.pxi"))),
    extra_compile_args=flags + traced,
    extra_link_args=links,
)

files = Extension(
    "dspamd.storage.files._files",
    ["dspamd/storage/_files.pyx"],
    extra_compile_args=flags,
    extra_link_args=links,
)

setup(ext_modules=cythonize([kernel, files], language_level=3, build_dir="build/cython"))
