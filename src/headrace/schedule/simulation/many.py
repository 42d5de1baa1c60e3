"""Many seeds, in as many processes as one likes; those that fail are made smaller and told."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from headrace.schedule.simulation.coverage import Coverage
from headrace.schedule.simulation.happenings import scenario
from headrace.schedule.simulation.playing import SimulationFailure, SimulationResult, play
from headrace.schedule.simulation.scenario import Scenario
from headrace.schedule.simulation.shrinking import shrink
from headrace.schedule.simulation.story import told

TOLD_MAX = 3
"""Failures that are made smaller; of the others the seeds are named."""
_GARBAGE = (200_000, 20, 20)
Play = Callable[[Scenario], SimulationResult]


class Many(msgspec.Struct):
    """What came of many seeds."""

    seeds: int = 0
    events: int = 0
    faults: int = 0
    fewest: tuple[int, int] = (1 << 60, 1 << 60)
    """Of any seed: events, faults."""
    seconds: float = 0.0
    failed: dict[int, SimulationFailure] = {}

    def add(self, seed: int, played: SimulationResult) -> None:
        """One more."""
        self.seeds, self.events, self.faults = self.seeds + 1, self.events + played.events, self.faults + played.faults
        self.fewest = min(self.fewest[0], played.events), min(self.fewest[1], played.faults)
        if played.failure is not None:
            self.failed[seed] = played.failure


def many(seeds: Iterable[int], processes: int = 1, progress: Callable[[Many], None] = lambda _: None) -> tuple[Many, Coverage]:
    """Play seeds; `progress` hears after each what came of all so far."""
    result, coverage, began = Many(), Coverage(), time.perf_counter()
    for seed, played in _played(seeds, processes):
        result.add(seed, played)
        coverage.add(played.coverage)
        result.seconds = time.perf_counter() - began
        progress(result)
    return result, coverage


def _played(seeds: Iterable[int], processes: int) -> Iterator[tuple[int, SimulationResult]]:
    if processes == 1:
        yield from map(_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, _collect_seldom) as pool:
        yield from pool.imap_unordered(_one, seeds, chunksize=20)


def _collect_seldom() -> None:
    """A world is some megabytes and soon gone: looking for what of it can't be reached any more is most of the collector's work."""
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _one(seed: int) -> tuple[int, SimulationResult]:
    return seed, play(scenario(seed))


def smaller(seed: int, failure: SimulationFailure, how: Play = play) -> Iterator[str]:
    """A failing seed, made smaller and told."""

    def fails(item: Scenario) -> bool:
        again = how(item).failure
        return again is not None and again.invariant == failure.invariant

    small = shrink(scenario(seed), fails)
    yield from told(small, how(small).failure or failure)


def said(many: Many, coverage: Coverage) -> Iterator[str]:
    """All of it, in lines."""
    played = f"{many.seeds} seeds, {many.events} events, {many.faults} faults"
    yield f"{played} in {many.seconds:.0f} s: {many.seeds / many.seconds:.1f} seeds/s"
    yield f"the least that a seed had: {many.fewest[0]} events, {many.fewest[1]} faults"
    yield from coverage.said()
    for place, (seed, failure) in enumerate(sorted(many.failed.items())):
        yield ""
        yield from smaller(seed, failure) if place < TOLD_MAX else [f"seed {seed}: {failure.found}"]
    yield f"{len(many.failed)} of {many.seeds} seeds failed" if many.failed else "no seed failed"
