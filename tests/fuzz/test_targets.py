"""All targets of fuzzing on all seeds, and on seeds cut and mixed in a fixed way.

Inputs that libFuzzer found are in `seeds/`, so that their bugs do not come back.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.seeds import DICTIONARY, seeds
from tests.fuzz.targets import TARGETS

MUTATIONS = 2000  # of each target: a few seconds in all
LONGEST = 4096


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str) -> None:
    chance = random.Random(target)
    found = seeds(target)
    for _ in range(MUTATIONS):
        data = mutated(chance, found)
        try:
            TARGETS[target](data)
        except Exception as error:
            error.add_note(f"by {data!r}")
            raise


def mutated(chance: random.Random, found: list[bytes]) -> bytes:
    """A seed with some bytes changed, left out, repeated, or taken from another seed."""
    data = bytearray(chance.choice(found)[:LONGEST])
    for _ in range(chance.randint(1, 12)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 100)))
        other = chance.choice(found)
        piece = chance.choice(
            (b"", data[start:end] * 2, chance.choice(DICTIONARY), other[: chance.randint(0, 200)])
        )
        data[start:end] = chance.choice((piece, chance.randbytes(chance.randint(1, 4))))
    return bytes(data)
