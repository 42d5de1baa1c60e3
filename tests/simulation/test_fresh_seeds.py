"""500 seeds that nobody has seen before, and those that failed once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from headrace.schedule.simulation.happenings import scenario
from headrace.schedule.simulation.many import smaller
from headrace.schedule.simulation.playing import play

SEEDS, PARTS = 500, 20
KNOWN = Path(__file__).with_name("seeds.txt")


def known_seeds() -> list[int]:
    """The seeds in the file, without its comments."""
    lines = (line.partition("#")[0].strip() for line in KNOWN.read_text().splitlines())
    return [int(line) for line in lines if line]


def hold(seeds: range | list[int]) -> None:
    """Fails with the first seed that breaks an invariant, as small as it can be made."""
    for seed in seeds:
        failure = play(scenario(seed)).failure
        if failure is not None:
            pytest.fail("\n".join(smaller(seed, failure)))


@pytest.mark.parametrize("part", range(PARTS))
def test_fresh_seeds_hold(part: int) -> None:
    """Catches what nobody thought of. The seeds are of the hour, or from HEADRACE_SEED on; a failure names its own."""
    base = int(os.environ.get("HEADRACE_SEED", time.time() // 60 * SEEDS))
    hold(range(base + part, base + SEEDS, PARTS))


def test_seeds_that_failed_once_hold() -> None:
    """Catches what was mended once."""
    hold(known_seeds())
