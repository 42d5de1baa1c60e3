"""The level of a node's durations and when it changed, from their logarithms. Pure.

A change of level is a split that single durations, which vary by chance, hardly ever look like
(binary segmentation with a threshold in standard errors). Until a change can be told from chance,
the newest durations may be the first of a new level, or chance.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

SEGMENT_MIN = 4
"""Smallest number of durations that are a level."""
CHANCE = 4.0
"""Smallest change of level that counts, in standard errors of the difference."""
ODD = 2.5
"""Smallest distance from the level, in standard deviations, that may be a new level."""
CLIPPED = 2.5
"""Standard deviations from their neighbours beyond which single durations count no more."""
NEIGHBOURS = 4
SIGMA = 1.4826
"""The standard deviation of a normal distribution in median absolute deviations."""
OF_MEDIAN = 1.2533
"""The standard error of a median in standard errors of a mean."""


class Levels(NamedTuple):
    """The level at each point, and what isn't sure about the newest one.

    `doubt` is the standard error of the newest level. The newest `odd` values are off it by `off`
    in the mean; zero if they aren't.
    """

    values: Sequence[float]
    doubt: float
    odd: int
    off: float


def levels_of(logarithms: Sequence[float]) -> Levels:
    """Return the levels of at least one value, oldest first."""
    deviation = _deviation(logarithms)
    segments = _segments(_clipped(logarithms, deviation), deviation)
    results: list[float] = []
    for first, end in segments:
        results += [statistics.median(logarithms[first:end])] * (end - first)
    first, end = segments[-1]
    odd, off = _odd([value - results[-1] for value in logarithms[first:end]], deviation)
    return Levels(results, OF_MEDIAN * deviation / math.sqrt(end - first), odd, off)


def _deviation(logarithms: Sequence[float]) -> float:
    """Return the standard deviation by which neighbouring values differ by chance."""
    if len(logarithms) < 2:
        return 0.0
    steps = [abs(value - before) for before, value in itertools.pairwise(logarithms)]
    return SIGMA * statistics.median(steps) / math.sqrt(2)


def _clipped(logarithms: Sequence[float], deviation: float) -> list[float]:
    """Return the values, single ones no farther from their neighbours than chance goes."""
    most, results = CLIPPED * deviation, []
    for place, value in enumerate(logarithms):
        near = sorted(logarithms[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1])
        middle = near[len(near) // 2]
        results.append(min(middle + most, max(middle - most, value)))
    return results


def _segments(values: Sequence[float], deviation: float) -> list[tuple[int, int]]:
    """Return the stretches of one level, as first place and end, in order."""
    pending, results = [(0, len(values))], []
    while pending:
        first, end = pending.pop()
        split = _split(values[first:end], CHANCE * deviation)
        if split is None:
            results.append((first, end))
        else:
            pending += [(first + split, end), (first, first + split)]
    return results


def _split(values: Sequence[float], least: float) -> int | None:
    """Return where the level changes most; None if no change is larger than chance."""
    count, total, before = len(values), sum(values), 0.0
    best, place = max(least, 1e-9), None
    for number in range(1, count - SEGMENT_MIN + 1):
        before += values[number - 1]
        rest = count - number
        if number >= SEGMENT_MIN:
            change = abs(before / number - (total - before) / rest)
            errors = change * math.sqrt(number * rest / count)
            if errors > best:
                best, place = errors, number
    return place


def _odd(distances: Sequence[float], deviation: float) -> tuple[int, float]:
    """Return how many of the newest values are off the level on one side, and by how much."""
    count, least = 0, ODD * deviation
    for distance in reversed(distances[-SEGMENT_MIN:]):
        if abs(distance) <= least or distance * distances[-1] < 0:
            break
        count += 1
    if not count or count == len(distances):
        return 0, 0.0
    return count, statistics.fmean(distances[-count:])
