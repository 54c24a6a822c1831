"""The one thing pyproject.toml cannot say: how the kernel is compiled.

`DSPAMD_SANITIZE=1` builds it with AddressSanitizer and UBSan for `make fuzz`.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-fno-math-errno", "-ffp-contract=off"]
links: list[str] = []
if os.environ.get("DSPAMD_SANITIZE"):
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    links = ["-fsanitize=address,undefined"]

kernel = Extension(
    "dspamd.engine._kernel",
    ["dspamd/engine/_kernel.pyx"],
    depends=sorted(map(str, Path("dspamd/engine").glob("*.pxi"))),
    extra_compile_args=flags,
    extra_link_args=links,
)

setup(ext_modules=cythonize([kernel], language_level=3, build_dir="build/cython"))
