"""Correction of an estimate by plans that have ended on this machine. Pure.

A simulation knows the durations of attempts but no other costs: starting processes, commits, a slow disk. Ended plans show the overhead of
each plan, the factor between simulated and real seconds, and how much both vary. The first few change an estimate only a little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from headrace.scheduler.estimates import FOUR_OF_FIVE, Estimate

DOUBT = 1.0
"""So many plans say as much of the machine as the simulation does."""
DOUBT_OF_SPREAD = 2.0
"""So many say as much of how far an estimate may be off."""
UNUSUAL = 1.5
"""A plan that is off by more in its logarithm counts as one that is off by this: it may have been paused."""
OVERHEADS_S = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Seconds that a plan may cost besides, whatever it is; from `FITTED_MIN` plans on the one that fits best is taken."""
FITTED_MIN = 4
FITTED = 2
"""Figures that are fitted: the overhead and the factor."""
NEAR = 30.0
"""Plans that are so many times as long or short say nothing of this one."""


class PlanTiming(NamedTuple):
    """A plan that has ended: the seconds that were simulated, and those that it took."""

    simulated: float
    took: float


def calibrated(estimate: Estimate, ended: Sequence[PlanTiming]) -> Estimate:
    """The estimate as it is by what has ended; as it was, where nothing like it has."""
    if estimate.seconds <= 0 or estimate.low <= 0:
        return estimate
    known = [timing for timing in ended if timing.took > 0 and 1 / NEAR <= timing.simulated / estimate.seconds <= NEAR]
    if not known:
        return estimate
    overhead = min(OVERHEADS_S if len(known) >= FITTED_MIN else OVERHEADS_S[:1], key=lambda item: _loss(known, item))
    off = _log_errors(known, overhead)
    factor = median(off) * len(known) / (len(known) + DOUBT)
    seconds = (estimate.seconds + overhead) * math.exp(factor)
    ends = f"{len(known)} that {'have' if len(known) > 1 else 'has'} ended here"
    wide = math.exp(FOUR_OF_FIVE * _deviation(estimate, [item - factor for item in off]))
    return Estimate(
        seconds=seconds,
        low=seconds / wide,
        high=seconds * wide,
        basis=f"{estimate.basis}; times {seconds / estimate.seconds:.2f}, by {ends}",
        simulated=estimate.seconds,
    )


def _log_errors(known: Sequence[PlanTiming], overhead: float) -> list[float]:
    """By how much each took longer than was simulated with that overhead, as logarithms."""
    return [math.log(timing.took / (timing.simulated + overhead)) for timing in known]


def _loss(known: Sequence[PlanTiming], overhead: float) -> float:
    off = _log_errors(known, overhead)
    middle = median(off)
    return sum(abs(item - middle) for item in off)


def _deviation(estimate: Estimate, off: Sequence[float]) -> float:
    """How far the next one may be off, by what was said before and by how far those were that have ended."""
    before = math.log(estimate.high / estimate.low) / (2 * FOUR_OF_FIVE)
    seen = sum(min(abs(item), UNUSUAL) ** 2 for item in off)
    free = max(0, len(off) - FITTED)
    return math.sqrt((DOUBT_OF_SPREAD * before**2 + seen) / (DOUBT_OF_SPREAD + free) * (1 + FITTED / len(off)))
