"""Values in order, one by one or each with how often it is there, so that a place among all of them is found without writing them out."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, repeat
from operator import mul
from typing import Any, NamedTuple

EXACT_INTEGER_MAX = 2**53
"""Whole numbers up to this are exact as floats."""
TWENTIETHS = range(1, 20)


class CountedValues(NamedTuple):
    """`values` are in order; `counts` says how many there are of each, and `ends` how many up to and with each. Without counts each stands
    for itself, and the same value may come again."""

    values: Sequence[Any]
    ends: Sequence[int]
    counts: Sequence[int] | None = None

    @classmethod
    def of(cls, values: Iterable[Any] | Mapping[Any, int]) -> CountedValues:
        """Of values that can be compared with each other, in any order, or of how many there are of each."""
        ordered = sorted(values)
        if not isinstance(values, Mapping):
            return cls(ordered, range(1, len(ordered) + 1))
        counts = list(map(values.__getitem__, ordered))
        return cls(ordered, list(accumulate(counts)), counts)

    @property
    def total(self) -> int:
        """How many values there are."""
        return self.ends[-1] if self.ends else 0

    def all(self) -> Iterator[Any]:
        """Each value as often as it is there, in order."""
        return iter(self.values) if self.counts is None else chain.from_iterable(map(repeat, self.values, self.counts))

    def at(self, places: Iterable[int]) -> list[Any]:
        """The values at these places, counted from 0."""
        result = places if self.counts is None else map(bisect_right, repeat(self.ends), places)
        return list(map(self.values.__getitem__, result))

    def twentieths(self) -> list[Any]:
        """The values at each twentieth; none where there are none."""
        last = self.total - 1
        return self.at([step * last // 20 for step in TWENTIETHS]) if last >= 0 else []

    def below(self, value: Any) -> int:
        """How many are less than a value."""
        first = bisect_left(self.values, value)
        return self.ends[first - 1] if first else 0

    def upto(self, value: Any) -> int:
        """How many aren't greater than a value."""
        beyond = bisect_right(self.values, value)
        return self.ends[beyond - 1] if beyond else 0

    def summed(self, numbers: Iterable[int]) -> int:
        """The sum of a number a value, each as often as its value is there."""
        return sum(numbers) if self.counts is None else sum(map(mul, numbers, self.counts))

    def mean(self) -> float:
        """Of numbers: their exact sum, rounded once, by how many there are."""
        least, most, total = self.values[0], self.values[-1], self.total
        if isinstance(least, int) and least >= -EXACT_INTEGER_MAX and most <= EXACT_INTEGER_MAX:
            return float(self.summed(self.values)) / total
        try:
            return math.fsum(self.all()) / total
        except OverflowError:
            return math.fsum(value / total for value in self.all())

    def frequent(self, least: int) -> list[tuple[Any, int]]:
        """Values that come at least so often, and how often, in order."""
        if self.counts is not None:
            return [pair for pair in zip(self.values, self.counts, strict=True) if pair[1] >= least]
        return list(self._runs(least))

    def _runs(self, least: int) -> Iterator[tuple[Any, int]]:
        """A run of so many covers one of each `least` places."""
        at = 0
        while at < len(self.values):
            value = self.values[at]
            beyond = bisect_right(self.values, value, at)
            count = beyond - bisect_left(self.values, value, 0, at + 1)
            if count >= least:
                yield value, count
            at = -(-beyond // least) * least
