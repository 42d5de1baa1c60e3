"""Anomalies of times: shifted hours, earlier intervals, columns that name another interval."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.young_series import HOLD_MIN, WARN_MIN
from headrace.checks.metrics import ColumnMetrics, Metrics
from headrace.model import Grain
from headrace.model.intervals import EPOCH
from headrace.model.partitions import SEPARATOR

# Times that are all shifted by the same number of hours. Another time zone, or a wrong clock,
# shifts the whole day; a storm, a holiday or a truncated file removes hours and leaves the others
# where they were.

HOURS_OF_DAY = 24
ROWS_MIN = 40
"""Of fewer rows it is chance in which hours they are."""
LEAST = 2
"""An hour is what summer time is about."""
KNOWN_MIN = 3
APART = 2.0
"""So many times as far from the usual hours as any day was: …"""
APART_MIN = 0.25
"""… and at least this share of the rows is in other hours."""
BACK = 1.5
"""Turned back, today is about as near to them as the furthest day was."""


class Turned(NamedTuple):
    """A column of instants, by how many hours it is late (early, where that is less than 0), and which share of the rows is in other
    hours for it."""

    column: str
    hours: int
    share: float


def shifted_times(today: Metrics, history: MetricHistory) -> list[Turned]:
    """The columns whose times are off as a whole."""
    past = history.all()
    results = (
        _shifted_hours(name, column.hours, [metrics.columns[name].hours for metrics in past if name in metrics.columns])
        for name, column in today.columns.items()
        if len(column.hours) == HOURS_OF_DAY and sum(column.hours) >= ROWS_MIN
    )
    return [item for item in results if item is not None]


def _shifted_hours(name: str, counts: Sequence[int], past: Sequence[Sequence[int]]) -> Turned | None:
    days = [_shares(item) for item in past if len(item) == HOURS_OF_DAY and any(item)]
    if len(days) < KNOWN_MIN:
        return None
    usual = [statistics.fmean(hour) for hour in zip(*days, strict=True)]
    furthest = max(_distance(day, usual) for day in days)
    now = _shares(counts)
    apart = _distance(now, usual)
    if apart < max(APART_MIN, APART * furthest):
        return None
    back = {hours: _distance([*now[hours:], *now[:hours]], usual) for hours in range(HOURS_OF_DAY)}
    best = min(back, key=lambda hours: back[hours])
    off = best if best <= HOURS_OF_DAY / 2 else best - HOURS_OF_DAY
    return Turned(name, off, apart) if abs(off) >= LEAST and back[best] <= BACK * furthest else None


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts]


def _distance(item: Sequence[float], other: Sequence[float]) -> float:
    """Which share of the rows is in other hours."""
    return sum(abs(a - b) for a, b in zip(item, other, strict=True)) / 2


# Times of an earlier interval, whatever the file is called. The range that holds eight of ten
# rows is compared, because a few late rows of the day before don't make another day. Later times
# prove nothing: a column may say when rows were written, and a delivery may be late.

_MINUTES = {Grain.DAY: 24 * 60, Grain.HOUR: 60}
CLOCKS_DIFFER = 60
"""Minutes: a clock without zone may be set forward or back by so much."""
NEIGHBOURS = 1
"""Times that lie in more than an interval and its neighbour aren't those of the interval."""


class UnexpectedTimeRange(NamedTuple):
    """A column of times, from when on they were expected, and between which nearly all lie. `sure`: at least a week is known, with a
    day like this one."""

    column: str
    expected: str
    first: str
    last: str
    sure: bool


def earlier_times(partition: str, columns: dict[str, ColumnMetrics], history: MetricHistory) -> Iterator[UnexpectedTimeRange]:
    """The columns whose times all lie before their interval, and before those of all partitions so far."""
    minutes, begins = _MINUTES.get(history.grain) if history.grain else None, _begins(partition)
    if minutes is None or begins is None:
        return
    for name, column in columns.items():
        if column.between is None or column.between[1] >= begins:
            continue
        known = _known_ranges(name, history)
        lowest, highest = min((first for first, _ in known), default=0), max((last for _, last in known), default=0)
        if len(known) < WARN_MIN or highest // minutes - lowest // minutes > NEIGHBOURS:
            continue
        last = column.between[1] - begins
        if last < lowest - CLOCKS_DIFFER and last // minutes < lowest // minutes:
            sure = len(known) >= HOLD_MIN and bool(history.like(partition))
            yield UnexpectedTimeRange(
                name, _minute_text(begins + lowest), _minute_text(column.between[0]), _minute_text(column.between[1]), sure
            )


def _known_ranges(column: str, history: MetricHistory) -> list[tuple[int, int]]:
    """Between which minutes of each partition so far the times of a column lay, counted from where it begins."""
    results = []
    for key, metrics in history.newest(len(history)):
        begins, column_metrics = _begins(key), metrics.columns.get(column)
        if begins is not None and column_metrics is not None and column_metrics.between is not None:
            results.append((column_metrics.between[0] - begins, column_metrics.between[1] - begins))
    return results


def _begins(partition: str) -> int | None:
    """When a partition begins, local time, in minutes since 1970."""
    try:
        local = datetime.fromisoformat(partition.partition(SEPARATOR)[0]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (local - EPOCH) // timedelta(minutes=1)


def _minute_text(minutes: int) -> str:
    return f"{EPOCH + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"


# Columns that name their interval: one value in all rows, another in each partition. They are
# proof, not news. `month` is 1 for 31 days and then 2: no history shows that this is right, the
# calendar does. Rows whose `day` is that of an earlier interval are an earlier delivery, whatever
# the file is called.

LOOKED_AT = 14
SEVERAL = 3
"""A column names a part of its interval once it was equal to so many different ones: a constant is
equal to one by chance (store 3, all of March), and a step may fall on the first of a month."""
SURE_PART = "date"
"""A whole date is equal to no constant."""
NO_COUNTS = frozenset({SURE_PART, "year", "name", "short name", "month's name"})
"""Parts of a date that no small count is equal to by chance."""
SUMS_MIN = 7
"""In a table of one row a partition, a small number names a part of the date only after at least
this many partitions: sums and counts are small numbers, too."""
CHANGING = 0.5
"""A value that changes with so many of the partitions is one of the partition."""
_DIGITS = re.compile(r"\d+")


class TiedValueMismatch(NamedTuple):
    """What a column should have said, and what it says. `sure`: it named several intervals before."""

    expected: str
    observed: str
    sure: bool


class Tied(NamedTuple):
    """The columns that are tied to the interval, and those that now say another one."""

    columns: frozenset[str]
    wrong: Mapping[str, TiedValueMismatch]


def tied_columns(partition: str, today: Metrics, history: MetricHistory, grain: Grain | None) -> Tied:
    """Which columns say the interval, and which say a wrong one."""
    past = history.newest(LOOKED_AT)
    alone = all(metrics.rows == 1 for _, metrics in past)
    columns, wrong = set[str](), dict[str, TiedValueMismatch]()
    for name in today.columns:
        known = _only_values(past, name)
        if len(known) < 2:
            continue
        told = _parts_equal_to(known, grain)
        if not told:
            # A table of sums has one row a day: that all its rows hold one value says nothing.
            columns |= {name} if not alone and _changing(known) else set()
            continue
        value = _only(today, name)
        expected = {item for part in told if (item := _parts(partition, grain).get(part)) is not None}
        if value is not None and _plain(value) in expected:
            columns.add(name)
            continue
        named = _named(name, told, history, grain)
        if not told & NO_COUNTS and (_goes_on(named, value) or (alone and _may_be_counts(named))):
            continue
        varied = len(set(named))
        if varied > 1:
            columns.add(name)
        if varied > 1 and value is not None:
            sure = varied >= SEVERAL or SURE_PART in told
            wrong[name] = TiedValueMismatch(min(expected, default=partition), value, sure)
    return Tied(frozenset(columns), wrong)


def _only_values(past: list[tuple[str, Metrics]], name: str) -> list[tuple[str, str]]:
    """What all rows of each partition hold in a column; nothing where one of them holds several values."""
    if not past or _only(past[-1][1], name) is None:
        return []
    values = [(key, _only(metrics, name)) for key, metrics in past]
    known = [(key, value) for key, value in values if value is not None]
    return known if len(known) == len(past) else []


def _named(name: str, told: frozenset[str], history: MetricHistory, grain: Grain | None) -> list[str]:
    """What a column named each interval by, newest first, back to where it last didn't."""
    values = list[str]()
    for key, metrics in reversed(history.newest(len(history))):
        value = _only(metrics, name)
        if value is None or not any(_parts(key, grain).get(part) == _plain(value) for part in told):
            break
        values.append(_plain(value))
    return values


def _goes_on(named: list[str], value: str | None) -> bool:
    """Whether numbers that never fell rise further: a count that began on the first of a month, and
    goes on when the next month begins."""
    if value is None or not _plain(value).isdecimal():
        return False
    numbers = [int(_plain(value)), *map(int, named)]
    return numbers[0] > numbers[1] and all(later >= earlier for later, earlier in itertools.pairwise(numbers))


def _may_be_counts(named: list[str]) -> bool:
    """Whether numbers may be equal to a part of the date by chance: they are few, or each is greater
    than the one before, as a running count is."""
    numbers = [int(item) for item in named]
    rising = all(later > earlier for later, earlier in itertools.pairwise(numbers))
    return len(numbers) < SUMS_MIN or rising


def _only(result: Metrics, column: str) -> str | None:
    """The value of all rows, where there is one."""
    metrics = result.columns.get(column)
    if metrics is None:
        return None
    return next(iter(metrics.shares)) if len(metrics.shares) == 1 else metrics.only


def _parts_equal_to(values: list[tuple[str, str]], grain: Grain | None) -> frozenset[str]:
    """The parts of its partition's date that a column has always been equal to."""
    results: frozenset[str] | None = None
    for key, value in values:
        plain = _plain(value)
        own = frozenset(part for part, text in _parts(key, grain).items() if text == plain)
        results = own if results is None else results & own
    return results or frozenset()


def _changing(values: list[tuple[str, str]]) -> bool:
    changes = sum(item[1] != other[1] for item, other in itertools.pairwise(values))
    return changes >= CHANGING * (len(values) - 1)


@lru_cache(256)
def _plain(value: str) -> str:
    """A value without what is written differently: leading zeros, separators, a midnight."""
    text = value.removesuffix(" 00:00:00").removesuffix("T00:00:00")
    if text.isdecimal() and len(text) < 8:
        return str(int(text))
    digits = "".join(_DIGITS.findall(text))
    return digits if len(digits) >= 8 else text


@lru_cache(256)
def _parts(partition: str, grain: Grain | None) -> dict[str, str]:
    """What of a partition's date a column may say, as `_plain` writes it."""
    if grain not in (Grain.DAY, Grain.HOUR, Grain.MONTH, Grain.YEAR):
        return {}
    digits = _DIGITS.findall(partition)
    parts = dict(zip(("year", "month", "day", "hour"), (str(int(digit)) for digit in digits), strict=False))
    if len(digits) >= 3:
        parts["date"] = "".join(digits[:3])
        parts |= _of_date(date(int(digits[0]), int(digits[1]), int(digits[2])))
    return parts


def _of_date(day: date) -> dict[str, str]:
    return {
        "quarter": str((day.month + 2) // 3), "week": str(day.isocalendar().week), "weekday": str(day.isoweekday()),
        "weekday from 0": str(day.weekday()), "weekday from Sunday": str(day.isoweekday() % 7), "name": day.strftime("%A"),
        "short name": day.strftime("%a"), "day of year": str(day.timetuple().tm_yday), "month's name": day.strftime("%B"),
    }  # fmt: skip
