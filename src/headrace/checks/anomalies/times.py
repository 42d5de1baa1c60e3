"""Anomalies of times: shifted hours, earlier intervals, columns that name another interval."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from headrace.checks.anomalies.history import KEPT, MetricHistory
from headrace.checks.anomalies.young_series import HOLD_MIN, WARN_MIN
from headrace.checks.metrics import ColumnMetrics, Metrics
from headrace.model import Grain
from headrace.model.intervals import EPOCH
from headrace.model.partitions import SEPARATOR

# Times that are all shifted by the same number of hours. Another time zone or a wrong clock shifts
# the whole day; a storm, a holiday or a truncated file removes hours and leaves the others.

HOURS_OF_DAY = 24
ROWS_MIN = 40
"""The minimum number of rows; the hours of fewer rows vary by chance."""
LEAST = 2
"""The minimum shift in hours; one hour may be summer time."""
KNOWN_MIN = 3
APART = 2.0
"""The minimum multiple of the largest deviation from the usual hours so far, …"""
APART_MIN = 0.25
"""… and the minimum share of rows in other hours."""
BACK = 1.5
"""Shifted back, a day may deviate this multiple of the largest deviation so far."""


class Turned(NamedTuple):
    """A column of instants with shifted hours.

    `hours` is positive if it is late, negative if early; `share` is the share of rows in other
    hours.
    """

    column: str
    hours: int
    share: float


def shifted_times(today: Metrics, history: MetricHistory) -> list[Turned]:
    """Return the columns whose times are all shifted."""
    past = history.all()
    results = (
        _shifted_hours(
            name,
            column.hours,
            [metrics.columns[name].hours for metrics in past if name in metrics.columns],
        )
        for name, column in today.columns.items()
        if len(column.hours) == HOURS_OF_DAY and sum(column.hours) >= ROWS_MIN
    )
    return [item for item in results if item is not None]


def _shifted_hours(
    name: str, counts: tuple[int, ...], past: Sequence[tuple[int, ...]]
) -> Turned | None:
    days = [_shares(item) for item in past if len(item) == HOURS_OF_DAY and any(item)]
    if len(days) < KNOWN_MIN:
        return None
    usual = [sum(hour) / len(days) for hour in zip(*days, strict=True)]
    now = _shares(counts)
    apart = _distance(now, usual)
    if apart < APART_MIN:  # the usual case; the distance of each other day costs more
        return None
    furthest = max(_distance(day, usual) for day in days)
    if apart < APART * furthest:
        return None
    back = {hours: _distance([*now[hours:], *now[:hours]], usual) for hours in range(HOURS_OF_DAY)}
    best = min(back, key=lambda hours: back[hours])
    off = best if best <= HOURS_OF_DAY / 2 else best - HOURS_OF_DAY
    return Turned(name, off, apart) if abs(off) >= LEAST and back[best] <= BACK * furthest else None


@lru_cache(KEPT)
def _shares(counts: tuple[int, ...]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(count / total for count in counts)


def _distance(item: Sequence[float], other: Sequence[float]) -> float:
    """Return the share of the rows in other hours."""
    return float(sum(map(abs, map(operator.sub, item, other)))) / 2


# Times of an earlier interval, whatever the file's name. The range with 80 % of the rows is
# compared, because a few late rows of the previous day don't make another day. Later times prove
# nothing: a column may have times of writing, and a delivery may be late.

_MINUTES = {Grain.DAY: 24 * 60, Grain.HOUR: 60}
CLOCKS_DIFFER = 60
"""The maximum error of a clock without zone, in minutes."""
NEIGHBOURS = 1
"""Times that span more than an interval and its neighbour aren't those of the interval."""


class UnexpectedTimeRange(NamedTuple):
    """A column of times with the expected start and the range of nearly all times.

    `sure`: at least a week is known, with a similar day.
    """

    column: str
    expected: str
    first: str
    last: str
    sure: bool


def earlier_times(
    partition: str, columns: dict[str, ColumnMetrics], history: MetricHistory
) -> Iterator[UnexpectedTimeRange]:
    """Return columns whose times lie before their interval, earlier than in all partitions."""
    minutes, begins = _MINUTES.get(history.grain) if history.grain else None, _begins(partition)
    if minutes is None or begins is None:
        return
    for name, column in columns.items():
        if column.between is None or column.between[1] >= begins:
            continue
        first, last = column.between
        known = _known_ranges(name, history)
        if len(known) < WARN_MIN or not _is_earlier(last - begins, known, minutes):
            continue
        lowest = min(start for start, _ in known)
        yield UnexpectedTimeRange(
            name,
            _minute_text(begins + lowest),
            _minute_text(first),
            _minute_text(last),
            sure=len(known) >= HOLD_MIN and bool(history.like(partition)),
        )


def _is_earlier(last: int, known: Sequence[tuple[int, int]], minutes: int) -> bool:
    """Return whether the last time lies in an earlier interval than all `known` ranges.

    All are in minutes from the start of their interval, which has `minutes`.
    """
    lowest, highest = min(start for start, _ in known), max(end for _, end in known)
    if highest // minutes - lowest // minutes > NEIGHBOURS:
        return False
    return last < lowest - CLOCKS_DIFFER and last // minutes < lowest // minutes


def _known_ranges(column: str, history: MetricHistory) -> list[tuple[int, int]]:
    """Return the range of a column's times in each partition, in minutes from its start."""
    results = []
    for key, metrics in history.newest(len(history)):
        begins, column_metrics = _begins(key), metrics.columns.get(column)
        if begins is not None and column_metrics is not None and column_metrics.between is not None:
            results.append((column_metrics.between[0] - begins, column_metrics.between[1] - begins))
    return results


def _begins(partition: str) -> int | None:
    """Return the local start of a partition in minutes since 1970, or None."""
    try:
        local = datetime.fromisoformat(partition.partition(SEPARATOR)[0]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (local - EPOCH) // timedelta(minutes=1)


def _minute_text(minutes: int) -> str:
    return f"{EPOCH + timedelta(minutes=minutes):%Y-%m-%d %H:%M}"


# Columns that name their interval: one value in all rows, another in each partition. The calendar,
# not the history, proves them: `month` is 1 for 31 days and then 2, which no history predicts. Rows
# whose `day` is that of an earlier interval are an earlier delivery, whatever the file's name.

LOOKED_AT = 14
PARTS_KEPT = 1024
"""The number of partitions and values whose parts of dates are cached: more than two years."""
SEVERAL = 3
"""The minimum number of distinct values for a column to name a part of its interval.

A constant may equal a part by chance (store 3, all of March), and a step may fall on the first of a
month.
"""
SURE_PART = "date"
"""A whole date never equals a constant by chance."""
NO_COUNTS = frozenset({SURE_PART, "year", "name", "short name", "month's name"})
"""Parts of a date that no small count equals by chance."""
SUMS_MIN = 7
"""The minimum number of one-row partitions for a small number to name a part of the date.

Sums and counts are small numbers, too.
"""
CHANGING = 0.5
"""The minimum share of partitions with a new value in a column that belongs to the partition."""
_DIGITS = re.compile(r"\d+")


class TiedValueMismatch(NamedTuple):
    """The expected and the actual value of a column; `sure`: it named several intervals before."""

    expected: str
    observed: str
    sure: bool


class Tied(NamedTuple):
    """The columns that are tied to the interval, and those with the value of another interval."""

    columns: frozenset[str]
    wrong: Mapping[str, TiedValueMismatch]


def tied_columns(partition: str, today: Metrics, history: MetricHistory) -> Tied:
    """Return the columns that name the interval, and those that name a wrong one."""
    past = history.newest(LOOKED_AT)
    alone = all(metrics.rows == 1 for _, metrics in past)
    columns, wrong = set[str](), dict[str, TiedValueMismatch]()
    for name in today.columns:
        known = _only_values(past, name)
        if len(known) < 2:
            continue
        parts = _parts_equal_to(known, history.grain)
        if parts:
            tied, mismatch = _tied_to_date(name, parts, partition, today, history, alone=alone)
        else:
            # A table of sums has one row per day, so a single value in all rows has no meaning.
            tied, mismatch = not alone and _changing(known), None
        if tied:
            columns.add(name)
        if mismatch is not None:
            wrong[name] = mismatch
    return Tied(frozenset(columns), wrong)


def _tied_to_date(
    name: str,
    parts: frozenset[str],
    partition: str,
    today: Metrics,
    history: MetricHistory,
    *,
    alone: bool,
) -> tuple[bool, TiedValueMismatch | None]:
    """Return whether a column names its interval, and its mismatch if it names another one.

    So far it always equalled these `parts` of the date. `alone`: all partitions have one row.
    """
    date_parts = _parts(partition, history.grain)
    expected = {date_parts[part] for part in parts if part in date_parts}
    value = _only(today, name)
    if value is not None and _plain(value) in expected:
        return True, None
    named = _named(name, parts, history)
    varied = len(set(named))
    if varied < 2 or _is_by_chance(parts, named, value, alone=alone):
        return False, None
    if value is None:
        return True, None
    sure = varied >= SEVERAL or SURE_PART in parts
    return True, TiedValueMismatch(min(expected, default=partition), value, sure)


def _is_by_chance(
    parts: frozenset[str], named: list[str], value: str | None, *, alone: bool
) -> bool:
    """Return whether a count or a sum may have equalled these parts of the date by chance."""
    if parts & NO_COUNTS:
        return False
    return _goes_on(named, value) or (alone and _may_be_counts(named))


def _only_values(past: list[tuple[str, Metrics]], name: str) -> list[tuple[str, str]]:
    """Return the single value of a column in each partition; nothing if one has several values."""
    if not past or _only(past[-1][1], name) is None:
        return []
    values = [(key, _only(metrics, name)) for key, metrics in past]
    known = [(key, value) for key, value in values if value is not None]
    return known if len(known) == len(past) else []


def _named(name: str, parts: frozenset[str], history: MetricHistory) -> list[str]:
    """Return the values by which a column named its intervals, newest first, without gaps."""
    values = list[str]()
    for key, metrics in reversed(history.newest(len(history))):
        value = _only(metrics, name)
        date_parts = _parts(key, history.grain)
        if value is None or not any(date_parts.get(part) == _plain(value) for part in parts):
            break
        values.append(_plain(value))
    return values


def _goes_on(named: list[str], value: str | None) -> bool:
    """Return whether numbers that never fell rise further.

    A count that began on the first of a month continues when the next month begins.
    """
    if value is None or not _plain(value).isdecimal():
        return False
    numbers = [int(_plain(value)), *map(int, named)]
    return numbers[0] > numbers[1] and all(
        later >= earlier for later, earlier in itertools.pairwise(numbers)
    )


def _may_be_counts(named: list[str]) -> bool:
    """Return whether numbers may equal a part of the date by chance.

    They may if they are few, or if each is greater than the previous one, as in a running count.
    """
    numbers = [int(item) for item in named]
    rising = all(later > earlier for later, earlier in itertools.pairwise(numbers))
    return len(numbers) < SUMS_MIN or rising


def _only(result: Metrics, column: str) -> str | None:
    """Return the value that all rows have in common, or None."""
    metrics = result.columns.get(column)
    if metrics is None:
        return None
    return next(iter(metrics.shares)) if len(metrics.shares) == 1 else metrics.only


def _parts_equal_to(values: list[tuple[str, str]], grain: Grain | None) -> frozenset[str]:
    """Return the parts of the partition's date that a column has always equalled."""
    results: frozenset[str] | None = None
    for key, value in values:
        equal_parts = _equal_parts(key, value, grain)
        results = equal_parts if results is None else results & equal_parts
    return results or frozenset()


@lru_cache(PARTS_KEPT)
def _equal_parts(partition: str, value: str, grain: Grain | None) -> frozenset[str]:
    """Return the parts of a partition's date that equal a value."""
    plain = _plain(value)
    return frozenset(part for part, text in _parts(partition, grain).items() if text == plain)


def _changing(values: list[tuple[str, str]]) -> bool:
    changes = sum(item[1] != other[1] for item, other in itertools.pairwise(values))
    return changes >= CHANGING * (len(values) - 1)


@lru_cache(256)
def _plain(value: str) -> str:
    """Return a value in one notation: without leading zeros, separators, or midnight."""
    text = value.removesuffix(" 00:00:00").removesuffix("T00:00:00")
    if text.isdecimal() and len(text) < 8:
        return str(int(text))
    digits = "".join(_DIGITS.findall(text))
    return digits if len(digits) >= 8 else text


@lru_cache(PARTS_KEPT)
def _parts(partition: str, grain: Grain | None) -> dict[str, str]:
    """Return the parts of a partition's date in the notation of `_plain`."""
    if grain not in (Grain.DAY, Grain.HOUR, Grain.MONTH, Grain.YEAR):
        return {}
    digits = _DIGITS.findall(partition)
    parts = dict(
        zip(("year", "month", "day", "hour"), (str(int(digit)) for digit in digits), strict=False)
    )
    if len(digits) >= 3:
        parts["date"] = "".join(digits[:3])
        parts |= _of_date(date(int(digits[0]), int(digits[1]), int(digits[2])))
    return parts


def _of_date(day: date) -> dict[str, str]:
    return {
        "quarter": str((day.month + 2) // 3),
        "week": str(day.isocalendar().week),
        "weekday": str(day.isoweekday()),
        "weekday from 0": str(day.weekday()),
        "weekday from Sunday": str(day.isoweekday() % 7),
        "name": day.strftime("%A"),
        "short name": day.strftime("%a"),
        "day of year": str(day.timetuple().tm_yday),
        "month's name": day.strftime("%B"),
    }
