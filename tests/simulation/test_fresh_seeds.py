"""500 seeds that this code was never played with before, and those that failed once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from headrace import model, scheduler
from simulation.play import play, shrunk_failure
from simulation.random_scenarios import scenario

pytestmark = pytest.mark.long

SEEDS, PARTS = 500, 50
"""A part is over within seconds, also on a machine that is busy with ten other things."""
KNOWN = Path(__file__).with_name("seeds.txt")
EXECUTED = (Path(model.__file__).parent, Path(scheduler.__file__).parent, Path(__file__).parent)
"""The code that the simulation executes: the core, the simulator, the calendar that both read, and
these tests."""


def seeds_of(folders: Iterable[Path]) -> range:
    """The seeds that code is played with: the same code always plays the same ones, so that a
    failure comes again and a second try says nothing else; changed code plays others, so that they
    stay unseen. Of the content alone, in the order of the files' names."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(
            folder.rglob("*.py"), key=lambda item: item.relative_to(folder).as_posix()
        ):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    first = int.from_bytes(digest.digest()[:4]) * SEEDS
    return range(first, first + SEEDS)


def known_seeds() -> list[int]:
    """The seeds in the file, without its comments."""
    lines = (line.partition("#")[0].strip() for line in KNOWN.read_text().splitlines())
    return [int(line) for line in lines if line]


def hold(seeds: range | list[int]) -> None:
    """Fails with the first seed that breaks an invariant, as small as it can be made."""
    for seed in seeds:
        failure = play(scenario(seed)).failure
        if failure is not None:
            pytest.fail("\n".join(shrunk_failure(seed, failure)))


@pytest.mark.parametrize("part", range(PARTS))
def test_fresh_seeds_hold(part: int) -> None:
    """Catches what nobody thought of. The seeds follow from the code, or begin at HEADRACE_SEED; a
    failure names its own.
    """
    first = int(os.environ.get("HEADRACE_SEED", seeds_of(EXECUTED).start))
    hold(range(first + part, first + SEEDS, PARTS))


@pytest.mark.parametrize("seed", known_seeds())
def test_seeds_that_failed_once_hold(seed: int) -> None:
    """Catches what was mended once."""
    hold([seed])


def test_seeds_follow_from_the_code_alone(tmp_path: Path) -> None:
    """Would catch: a change that fails in CI and passes on a second try, since the hour, the folder
    or a compiled file chose the seeds; or code that is changed and plays the seeds that it was
    mended with."""
    for name in ("here", "there"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "core.py").write_text("slots = 2\n")
        (tmp_path / name / "world.py").write_text("leaders = 1\n")
    same = seeds_of([tmp_path / "here"])
    (tmp_path / "there" / "world.pyc").write_bytes(b"compiled")
    assert seeds_of([tmp_path / "there"]) == same
    (tmp_path / "there" / "inner" / "core.py").write_text("slots = 3\n")
    changed = seeds_of([tmp_path / "there"])
    assert len(changed) == len(same) == SEEDS
    assert not set(changed) & set(same)
