"""Sets of partitions in a few bytes: consecutive intervals are one range of numbers.

Most partitions of a project are published and need no work. A node's 10,000 days take two numbers
this way, and a binary search finds whether one of them is in the set.
"""

from __future__ import annotations

import functools
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import date

from headrace.model import Grain, PartitionSpec, UsageError
from headrace.model.intervals import (
    HOUR_US,
    bounds_us,
    key_at_us,
    key_of_date,
    steady_hour_us,
)
from headrace.model.partitions import SEPARATOR, delivery_key

NUMBERS_CACHED = 1 << 16


class IntegerSet:
    """A set of whole numbers, stored as the numbers at which membership changes.

    A number is in the set if an odd count of these edges is less than or equal to it.
    """

    __slots__ = ("edges",)

    def __init__(self, edges: Iterable[int] = ()) -> None:
        self.edges = list(edges)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> IntegerSet:
        """Return the set of these numbers."""
        integer_set = cls()
        edges = integer_set.edges
        for number in sorted(numbers):
            if edges and edges[-1] >= number:
                edges[-1] = number + 1
            else:
                edges += (number, number + 1)
        return integer_set

    def __contains__(self, number: int) -> bool:
        return bisect_right(self.edges, number) % 2 == 1

    def __len__(self) -> int:
        return sum(self.edges[1::2]) - sum(self.edges[::2])

    def __iter__(self) -> Iterator[int]:
        for first, beyond in self.spans():
            yield from range(first, beyond)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Return each range: its first number, and the number after its last."""
        return zip(self.edges[::2], self.edges[1::2], strict=True)

    def add(self, number: int) -> None:
        """Add a number."""
        self._toggle(number, out=False)

    def discard(self, number: int) -> None:
        """Remove a number."""
        self._toggle(number, out=True)

    def _toggle(self, number: int, *, out: bool) -> None:
        """Toggle whether a number is in the set.

        Existing edges on either side go, missing ones come.
        """
        edges = self.edges
        place = bisect_right(edges, number)
        if (place % 2 == 1) != out:
            return
        left = place > 0 and edges[place - 1] == number
        right = place < len(edges) and edges[place] == number + 1
        if left and right:
            del edges[place - 1 : place + 1]
        elif left:
            edges[place - 1] = number + 1
        elif right:
            edges[place] = number
        else:
            edges[place:place] = (number, number + 1)

    def before(self, number: int) -> int | None:
        """Return the largest smaller number of the set; None if there is none."""
        place = bisect_left(self.edges, number)
        if place == 0:
            return None
        return number - 1 if place % 2 else self.edges[place - 1] - 1

    def after(self, number: int) -> int | None:
        """Return the smallest larger number of the set; None if there is none."""
        place = bisect_right(self.edges, number + 1)
        if place % 2:
            return number + 1
        return self.edges[place] if place < len(self.edges) else None

    def __and__(self, other: IntegerSet) -> IntegerSet:
        return _combined(self, other, lambda here, there: here and there)

    def __or__(self, other: IntegerSet) -> IntegerSet:
        return _combined(self, other, lambda here, there: here or there)

    def __sub__(self, other: IntegerSet) -> IntegerSet:
        return _combined(self, other, lambda here, there: here and not there)


_BEYOND = sys.maxsize
"""Greater than every number, so that the end of a set is no special case."""


def _combined(
    left: IntegerSet, right: IntegerSet, belongs: Callable[[bool, bool], bool]
) -> IntegerSet:
    """Return the numbers for which `belongs` holds, given their membership in both sets.

    The cost is proportional to the ranges of both sets.
    """
    edges: list[int] = []
    here = there = inside = False
    left_place = right_place = 0
    left_edges, right_edges = [*left.edges, _BEYOND], [*right.edges, _BEYOND]
    while (at := min(left_edges[left_place], right_edges[right_place])) < _BEYOND:
        if left_edges[left_place] == at:
            here, left_place = not here, left_place + 1
        if right_edges[right_place] == at:
            there, right_place = not there, right_place + 1
        if belongs(here, there) != inside:
            inside = not inside
            edges.append(at)
    return IntegerSet(edges)


class PartitionSet:
    """Partitions of one node, as ranges of the numbers of their intervals or deliveries."""

    __slots__ = ("_by_delivery", "_grain", "_keyed", "_timezone", "named", "runs")

    def __init__(self, spec: PartitionSpec, timezone: str) -> None:
        self._grain, self._by_delivery = spec.grain, spec.by_delivery
        self._timezone = (
            timezone if spec.grain is Grain.HOUR else ""
        )  # days have the same number in all zones
        self._keyed = spec.grain is not None and spec.key is not None
        self.runs: dict[str, IntegerSet] = {}
        """Data key (empty without one) → numbers of its intervals or deliveries."""
        self.named: dict[str, None] = {}
        """Partitions without a number: the unpartitioned whole, keys without time, and keys that no
        calendar has any more."""

    def __contains__(self, key: str) -> bool:
        number, data = self.place(key)
        if number is None:
            return key in self.named
        return data in self.runs and number in self.runs[data]

    def __len__(self) -> int:
        return len(self.named) + sum(map(len, self.runs.values()))

    def __bool__(self) -> bool:
        return bool(self.named or self.runs)

    def __iter__(self) -> Iterator[str]:
        yield from self.named
        for data, runs in self.runs.items():
            for number in runs:
                yield self.key(number, data)

    def firsts(self) -> Iterator[str]:
        """Yield the first partition of each data key, and all partitions without a number."""
        yield from self.named
        yield from (self.key(runs.edges[0], data) for data, runs in self.runs.items())

    def add(self, key: str) -> None:
        """Add a partition."""
        number, data = self.place(key)
        if number is None:
            self.named[key] = None
        else:
            self.runs.setdefault(data, IntegerSet()).add(number)

    def discard(self, key: str) -> None:
        """Remove a partition."""
        number, data = self.place(key)
        if number is None:
            self.named.pop(key, None)
        elif data in self.runs:
            runs = self.runs[data]
            runs.discard(number)
            if not runs.edges:
                del self.runs[data]

    def before(self, key: str) -> str | None:
        """Return the last delivery before this one, for a node partitioned by delivery."""
        number, _ = self.place(key)
        runs = self.runs.get("")
        result = runs.before(number) if runs is not None and number is not None else None
        return None if result is None else delivery_key(result)

    def after(self, key: str) -> str | None:
        """Return the first delivery after this one, for a node partitioned by delivery."""
        number, _ = self.place(key)
        runs = self.runs.get("")
        result = runs.after(number) if runs is not None and number is not None else None
        return None if result is None else delivery_key(result)

    def place(self, key: str) -> tuple[int | None, str]:
        """Return the number of a partition's interval or delivery, and its data key.

        The number is None for a partition without one.
        """
        time_key, data = key, ""
        if self._keyed:
            time_key, separator, data = key.partition(SEPARATOR)
            if not separator:
                return None, ""
        if self._by_delivery:
            return _delivery(time_key), data
        return (
            None if self._grain is None else number_of(time_key, self._grain, self._timezone)
        ), data

    def key(self, number: int, data: str = "") -> str:
        """Return the partition key for a number; the inverse of `place`."""
        if self._grain is None:
            return delivery_key(number)
        time_key = key_of_number(number, self._grain, self._timezone)
        return f"{time_key}{SEPARATOR}{data}" if self._keyed else time_key


def number_of(key: str, grain: Grain, timezone: str) -> int | None:
    """Return the number of an interval; consecutive intervals have consecutive numbers.

    None for a key that isn't in the grain's canonical form, and for the few hours that share their
    number with another one (where a day ends with half an hour).
    """
    if grain is Grain.HOUR and (hour_us := steady_hour_us(key, timezone)) is not None:
        return hour_us // HOUR_US
    return _cached_number(key, grain, timezone)


@functools.lru_cache(maxsize=NUMBERS_CACHED)
def _cached_number(key: str, grain: Grain, timezone: str) -> int | None:
    try:
        number = _number(key, grain, timezone)
        return number if key_of_number(number, grain, timezone) == key else None
    except (ValueError, OverflowError, UsageError):
        return None


@functools.lru_cache(maxsize=NUMBERS_CACHED)
def key_of_number(number: int, grain: Grain, timezone: str) -> str:
    """Return the key of the interval with a number."""
    match grain:
        case Grain.HOUR:
            return key_at_us((number + 1) * HOUR_US - 1, grain, timezone)
        case Grain.DAY:
            return date.fromordinal(number).isoformat()
        case Grain.WEEK:
            return key_of_date(date.fromordinal(number * 7 + 1), grain)
        case Grain.MONTH:
            return f"{number // 12:04}-{number % 12 + 1:02}"
        case Grain.QUARTER:
            return f"{number // 4:04}-Q{number % 4 + 1}"
        case Grain.YEAR:
            return f"{number:04}"


def interval_exists(key: str, grain: Grain, timezone: str) -> bool:
    """Return whether an interval exists in a zone.

    Some skipped days when they crossed the date line.
    """
    try:
        bounds_us(key, grain, timezone)
    except UsageError:
        return False
    return True


def _number(key: str, grain: Grain, timezone: str) -> int:
    match grain:
        case Grain.HOUR:
            return bounds_us(key, grain, timezone)[0] // HOUR_US
        case Grain.DAY:
            return date.fromisoformat(key).toordinal()
        case Grain.WEEK:
            return date.fromisocalendar(int(key[:4]), int(key[6:]), 1).toordinal() // 7
        case Grain.MONTH:
            return int(key[:4]) * 12 + int(key[5:]) - 1
        case Grain.QUARTER:
            return int(key[:4]) * 4 + int(key[6:]) - 1
        case Grain.YEAR:
            return int(key)


def _delivery(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and delivery_key(int(key)) == key else None
