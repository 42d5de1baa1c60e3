"""Correction of an estimate by plans that have ended on this machine.

Pure.
A simulation knows the durations of attempts but no other costs: starting processes, commits, a slow
disk. Ended plans show the overhead of each plan, the factor between simulated and real seconds, and
how much both vary. The first few plans change an estimate only a little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from headrace.scheduler.estimates import FOUR_OF_FIVE, Estimate

DOUBT = 1.0
"""Weight of the simulation against the factor of ended plans, as a number of plans."""
DOUBT_OF_SPREAD = 2.0
"""Weight of the estimate's own spread against that of ended plans, as a number of plans."""
UNUSUAL = 1.5
"""Cap on the logarithmic error of one plan: a plan that is off by more may have been paused."""
OVERHEADS_S = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Candidates for the fixed overhead of a plan in seconds; with at least `FITTED_MIN` plans the best
fit is used."""
FITTED_MIN = 4
FITTED = 2
"""Number of fitted parameters: the overhead and the factor."""
NEAR = 30.0
"""Plans that are more than this many times as long or as short as the estimate are ignored."""


class PlanTiming(NamedTuple):
    """The simulated and the real duration of a plan that has ended, in seconds."""

    simulated: float
    took: float


def calibrated(estimate: Estimate, ended: Sequence[PlanTiming]) -> Estimate:
    """Return the estimate, corrected by similar plans that have ended; unchanged without any."""
    if estimate.seconds <= 0 or estimate.low <= 0:
        return estimate
    known = [
        timing
        for timing in ended
        if timing.took > 0 and 1 / NEAR <= timing.simulated / estimate.seconds <= NEAR
    ]
    if not known:
        return estimate
    overhead = min(
        OVERHEADS_S if len(known) >= FITTED_MIN else OVERHEADS_S[:1],
        key=lambda item: round(_loss(known, item), 9),  # of equals the smallest, not by rounding
    )
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
    """Return the log of real over simulated seconds for each plan, with that overhead added."""
    return [math.log(timing.took / (timing.simulated + overhead)) for timing in known]


def _loss(known: Sequence[PlanTiming], overhead: float) -> float:
    off = _log_errors(known, overhead)
    middle = median(off)
    return sum(abs(item - middle) for item in off)


def _deviation(estimate: Estimate, off: Sequence[float]) -> float:
    """Return the standard deviation of the next plan's logarithmic error.

    It combines the estimate's own spread with the errors of ended plans.
    """
    before = math.log(estimate.high / estimate.low) / (2 * FOUR_OF_FIVE)
    seen = sum(min(abs(item), UNUSUAL) ** 2 for item in off)
    free = max(0, len(off) - FITTED)
    return math.sqrt(
        (DOUBT_OF_SPREAD * before**2 + seen) / (DOUBT_OF_SPREAD + free) * (1 + FITTED / len(off))
    )
