"""Columns that say which interval their rows are of: one value in all rows, another in each partition. They are no news, but proof.

`month` is 1 for 31 days and then 2: no history shows that this is how it should be, the calendar does. And rows whose `day` is that of
an earlier interval are an earlier delivery, whatever the file is called.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from headrace.model import Grain
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import Metrics

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


def tied(partition: str, today: Metrics, history: MetricHistory, grain: Grain | None) -> Tied:
    """Which columns say the interval, and which say a wrong one."""
    past = history.newest(LOOKED_AT)
    alone = all(metrics.rows == 1 for _, metrics in past)
    columns, wrong = set[str](), dict[str, TiedValueMismatch]()
    for name in today.columns:
        known = _known(past, name)
        if len(known) < 2:
            continue
        told = _told(known, grain)
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


def _known(past: list[tuple[str, Metrics]], name: str) -> list[tuple[str, str]]:
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


def _told(values: list[tuple[str, str]], grain: Grain | None) -> frozenset[str]:
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
