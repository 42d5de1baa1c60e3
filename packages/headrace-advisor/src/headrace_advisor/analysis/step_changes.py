"""When a series of durations changed lastingly, and by how much. Pure.

Each split of the series gets a rank-sum test (Mann-Whitney), which compares ranks: single
outliers don't matter, whatever their size. The surest split counts, with its p-value multiplied by
the number of splits (Bonferroni), since the surest of many is sure by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

SIDE_LEAST = 5
"""A change needs at least this number of values before and after it."""
CHANGES_MAX = 3
P_MAX = 0.01
RATIO_LEAST = 1.25
"""A change below this ratio isn't reported, however sure it is."""
SECONDS_LEAST = 0.05
"""Nor is a change below this difference, which nobody waits for."""


class StepChange(NamedTuple):
    """A lasting rise: the position of the first value after it, and the medians around it.

    The medians are of the values from `start` until `position`, and from there until `end`.
    """

    start: int
    position: int
    end: int
    before: float
    after: float


def lasting_rises(values: Sequence[float]) -> list[StepChange]:
    """Return where a series rose and stayed up, oldest first, at most `CHANGES_MAX`.

    A rise that went back before the end of the series isn't lasting.
    """
    positions = sorted(_positions(values, 0, len(values), CHANGES_MAX))
    if not positions:
        return []
    edges = [0, *positions, len(values)]
    levels = [median(values[start:end]) for start, end in pairwise(edges)]
    rises = []
    for n, position in enumerate(positions):
        before, after, later = levels[n], levels[n + 1], min(levels[n + 1 :])
        if _is_higher(later, before):
            rises.append(StepChange(edges[n], position, edges[n + 2], before, after))
    return rises


def _is_higher(value: float, than: float) -> bool:
    return value - than >= SECONDS_LEAST and value >= RATIO_LEAST * than


def _positions(values: Sequence[float], start: int, end: int, most: int) -> list[int]:
    """Return where the values from `start` to `end` change, the surest change first."""
    change = _surest(values[start:end])
    if change is None or most < 1:
        return []
    at = start + change
    before = _positions(values, start, at, most - 1)
    after = _positions(values, at, end, most - 1 - len(before))
    return [at, *before, *after]


def _surest(values: Sequence[float]) -> int | None:
    """Return the position of the surest change of level; None if none is sure."""
    n, splits = len(values), len(values) - 2 * SIDE_LEAST + 1
    if splits < 1:
        return None
    best, position, rank_sum = 0.0, 0, 0.0
    for place, rank in enumerate(_ranks(values), 1):
        rank_sum += rank
        if SIDE_LEAST <= place <= n - SIDE_LEAST:
            spread = math.sqrt(place * (n - place) * (n + 1) / 12)
            deviation = abs(rank_sum - place * (n + 1) / 2) / spread
            if deviation > best:
                best, position = deviation, place
    p = math.erfc(best / math.sqrt(2)) * splits
    return _dated(values, position) if p <= P_MAX else None


def _dated(values: Sequence[float], position: int) -> int:
    """Return the position near a sure one at which the medians of both sides fit best.

    Ranks prefer the middle: they move a change by one if the value before it is the largest there.
    """
    near = range(
        max(SIDE_LEAST, position - SIDE_LEAST),
        min(len(values) - SIDE_LEAST, position + SIDE_LEAST) + 1,
    )
    logarithms = [math.log(max(value, SECONDS_LEAST)) for value in values]
    return min(near, key=lambda at: _deviations(logarithms[:at]) + _deviations(logarithms[at:]))


def _deviations(values: Sequence[float]) -> float:
    middle = median(values)
    return sum(abs(value - middle) for value in values)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1; equal values share their mean rank."""
    order = sorted(range(len(values)), key=lambda n: values[n])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for n in order[start:end]:
            ranks[n] = (start + 1 + end) / 2
        start = end
    return ranks
