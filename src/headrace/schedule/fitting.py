"""What is the same for attempts at any number of partitions, and what each partition adds, from what single attempts took. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

FIXED_SECONDS = 0.05
"""Of an attempt at one partition so much at most is taken to be the same for several, until one at several was seen."""
FOLLOWING_SHARE = 0.06
"""And of what is that short, so much to be of the partition: of small data most is the same for thirty."""


class AttemptGroup(NamedTuple):
    """What attempts at about so many partitions took, in seconds, and how many attempts those were."""

    size: float
    seconds: float
    weight: float = 1


class Fit(NamedTuple):
    """Seconds an attempt, and seconds for each of its partitions."""

    attempt: float
    each: float


def fitted(groups: Sequence[AttemptGroup]) -> Fit:
    """Of at least one group. Where only one size was seen, most of what is long is taken to be of the partitions."""
    if len(groups) == 1:
        size, seconds, _ = groups[0]
        each = max(seconds - FIXED_SECONDS, FOLLOWING_SHARE * seconds) / size
    else:
        each = max(0.0, _slope(groups))
    return Fit(max(0.0, median((group.seconds - each * group.size, group.weight) for group in groups)), each)


def _slope(groups: Sequence[AttemptGroup]) -> float:
    """Seconds that one more partition costs: the median over all pairs of sizes, those that lie far apart and were seen often weighing
    most."""
    pairs = (sorted(pair) for pair in combinations(groups, 2))
    return median(
        ((many - few) / (size - other), (size - other) * math.sqrt(n * m)) for (other, few, n), (size, many, m) in pairs if size > other
    )


def median(weighted: Iterable[tuple[float, float]]) -> float:
    """The value below and above which lies half of all weight."""
    ordered = sorted(weighted)
    half, passed = sum(weight for _, weight in ordered) / 2, 0.0
    for place, (value, weight) in enumerate(ordered):
        passed += weight
        if passed == half and place + 1 < len(ordered):
            return (value + ordered[place + 1][0]) / 2
        if passed > half:
            return value
    return ordered[-1][0]
