"""What past attempts say of how long the next ones take: so much an attempt, and so much for each of its partitions. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace.schedule.estimating import Pace
from headrace.schedule.fitting import AttemptGroup, fitted, median

_NORMAL = 1.4826
"""A standard deviation by the median of deviations."""

Sample = tuple[int, float]
"""How many partitions an attempt computed, and its seconds."""


def batched(samples: Sequence[Sample]) -> Pace | None:
    """Of a node whose partitions may be computed several at once; None if no attempt is known. Single attempts that differ from all
    others count for nothing: medians decide."""
    if not samples:
        return None
    return _with_spread(*fitted(_middles(samples)), samples)


def alone(samples: Sequence[Sample]) -> Pace | None:
    """Of a node whose partitions are attempts of their own; what came in one file was ingested at once, and counts by the partition."""
    if not samples:
        return None
    return _with_spread(0.0, median((seconds / size, size) for size, seconds in samples), samples)


def _with_spread(attempt: float, each: float, samples: Sequence[Sample]) -> Pace:
    pace = Pace(attempt, each, 0.0, len(samples))
    away = (abs(math.log(max(seconds, 1e-6) / max(pace.of(size), 1e-6))) for size, seconds in samples)
    return Pace(attempt, each, _NORMAL * median((item, 1) for item in away), len(samples))


def _middles(samples: Sequence[Sample]) -> list[AttemptGroup]:
    """Of each size: the median, and how many there are."""
    sizes: dict[int, list[float]] = {}
    for size, seconds in samples:
        sizes.setdefault(size, []).append(seconds)
    return [AttemptGroup(size, median((item, 1) for item in results), len(results)) for size, results in sorted(sizes.items())]
