"""Coverage-guided fuzzing: `python -P -m tests.fuzz SECONDS TARGET ...`, as `make fuzz` calls it.

Every target runs in its own process, under atheris, which is libFuzzer for Python: it keeps inputs
that reach new lines of dspamd.mail, or with the kernel of `make fuzz` new edges of the extensions;
not both, because the sanitizers hide the counters for lines from atheris.

It keeps interesting inputs in build/fuzz for the next run, writes an input that breaks a target
there, too, and prints its name.  Copy that input to tests/fuzz/seeds, where the tests find it.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import atheris

with atheris.instrument_imports(include=["dspamd.mail"]):
    from tests.fuzz.targets import TARGETS

from dspamd.engine import _kernel, _weights
from dspamd.mail import _features, _view
from dspamd.storage.files import _css
from tests.fuzz.seeds import DICTIONARY, seeds

FOLDER = Path("build/fuzz")
LONGEST = 4096  # bytes of an input: larger ones find little and take long


def main(seconds: str, *targets: str) -> int:
    """Run targets one after the other; the number of those that broke."""
    return sum(run(target, seconds) for target in targets)


def run(target: str, seconds: str) -> bool:
    """Whether a target broke within some seconds."""
    corpus = FOLDER / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = FOLDER / "dictionary"
    words.write_text("".join(f'"{quoted(word)}"\n' for word in DICTIONARY))
    print(f"--- {target}", flush=True)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={words}", "-timeout=10"]
    quiet = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={FOLDER}/{target}-"]
    return bool(
        subprocess.run(
            [sys.executable, "-P", "-m", "tests.fuzz", "--one", target, *options, *quiet, corpus]
        ).returncode
    )


def quoted(word: bytes) -> str:
    """A word as the dictionaries of libFuzzer have it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


def fuzz(target: str, options: list[str]) -> None:
    """Fuzz one target in this process; never returns."""
    test = TARGETS[target]
    atheris.Setup([sys.argv[0], *options], test)
    for extension in (_view, _features, _kernel, _weights, _css):
        watch(extension)
    atheris.Fuzz()


def watch(extension: ModuleType) -> None:
    """Give libFuzzer the counters of coverage.c in an extension, if it has them."""
    compiled = ctypes.CDLL(extension.__file__)
    if not hasattr(compiled, "coverage_counters"):
        return
    # By name: the sanitizers have empty functions of the same names.
    (library,) = Path(atheris.__file__).parent.glob("core_with_libfuzzer.*.so")
    fuzzer = ctypes.CDLL(str(library))
    for function, table, size in (
        ("__sanitizer_cov_8bit_counters_init", "coverage_counters", 16384),
        ("__sanitizer_cov_pcs_init", "coverage_places", 16384 * 16),
    ):
        start = ctypes.addressof(ctypes.c_char.in_dll(compiled, table))
        fuzzer[function](ctypes.c_void_p(start), ctypes.c_void_p(start + size))


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main(*sys.argv[1:]))
