"""A history that is read at once: ids that count on, constants that happen to be the number of the
month, and histories whose newest days aren't known yet."""

from __future__ import annotations

import random
from datetime import date, timedelta
from math import log

import pytest

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.anomalies.expectations import goes_on
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded
from headrace.model import Grain

FIRST = date(2023, 1, 1)
SEED = 14


def key(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def of_ids(number: int, rows: int) -> ColumnMetrics:
    """Ids that count on by `rows` a day."""
    first, last = rows * number + 1, rows * (number + 1)
    low, high = first + (last - first) / 4, last - (last - first) / 4
    return ColumnMetrics(
        nulls=0.0,
        negative=0.0,
        zero=0.0,
        location=log((first + last) / 2),
        spread=log(log(high / low)),
        distinct=log(rows),
    )


def facts(today: Metrics, at: int, past: dict[int, Metrics]) -> list[Fact]:
    history = MetricHistory(
        [StoredMetrics(key(number), encoded(item)) for number, item in past.items()], Grain.DAY
    )
    return list(evaluate_partition(EvaluatedPartition(key=key(at), metrics=today), history))


@pytest.mark.parametrize("behind", [1, 5, 30])
def test_ids_that_count_on_are_no_news_however_far_the_history_lies_back(behind: int) -> None:
    """Would catch: days of clean history held because an id that grows is 1.2 times what it was in
    the newest interval that is known."""
    dice = random.Random(SEED)

    def day(number: int) -> Metrics:
        return Metrics(100 + dice.randrange(-5, 5), {"id": of_ids(number, 100)}, repeated=0)

    days = {number: day(number) for number in range(400)}
    for at in range(3 + behind, 400, 7):
        past = {n: days[n] for n in range(max(at - behind - 56, 0), at - behind + 1)}
        assert facts(days[at], at, past) == [], (SEED, at)


def test_a_rise_is_only_one_that_goes_on() -> None:
    """Would catch: a column in another unit taken for one that counts on; one that fell; noise."""
    rising = [10.0, 12.0, 13.0, 15.0]
    places = [0.0, 1.0, 2.0, 3.0]
    assert goes_on(places, rising, 4.0, 17.0)
    assert goes_on(places, rising, 13.0, 40.0), "ten intervals later"
    assert not goes_on(places, rising, 4.0, 1500.0), "another unit"
    assert not goes_on(places, rising, 4.0, 14.0), "it fell"
    assert not goes_on(places, [10.0, 12.0, 11.0, 15.0], 4.0, 16.0), "noise"
    assert not goes_on(places[:2], rising[:2], 2.0, 14.0), "two aren't a rise"
    assert not goes_on(places, rising, 3.0, 16.0), "the same interval"
    assert not goes_on(places, [5.0] * 4, 4.0, 5.0), "a constant doesn't rise"


def one_value(value: int) -> ColumnMetrics:
    return ColumnMetrics(
        nulls=0.0,
        negative=0.0,
        zero=0.0,
        location=log(value),
        distinct=0.0,
        shares={str(value): 1.0},
    )


def test_a_constant_is_no_interval_though_it_is_the_number_of_the_month_or_weekday() -> None:
    """Would catch: store 3, all of March, and the delivery of 1 April held as rows of another
    interval; the same of `n = 4` after a Thursday."""

    def day(number: int, store: int) -> Metrics:
        return Metrics(100, {"store": one_value(store)}, repeated=0)

    march, april = (date(2023, 3, 1) - FIRST).days, (date(2023, 4, 1) - FIRST).days
    past = {number: day(number, 3) for number in range(march, april)}
    assert facts(day(april, 3), april, past) == []
    thursday = (date(2023, 3, 2) - FIRST).days
    weeks = {number: day(number, 4) for number in (thursday, thursday + 7)}
    assert facts(day(thursday + 8, 4), thursday + 8, weeks) == []


@pytest.mark.parametrize(("months", "severity"), [(1, None), (2, "warn"), (3, "hold")])
def test_a_column_names_its_month_once_it_varied_with_it(months: int, severity: str | None) -> None:
    """Would catch: a month's number that holds the first of the next month, where one month, or one
    step, is all that is known; one that is never believed."""

    def day(at: date, month: int) -> Metrics:
        return Metrics(100, {"month": one_value(month)}, repeated=0)

    every = [date(2023, month, item) for month in range(5 - months, 5) for item in range(1, 19)]
    may = date(2023, 5, 1)
    past = {(at - FIRST).days: day(at, at.month) for at in every}
    assert facts(day(may, 5), (may - FIRST).days, past) == []
    result = facts(day(may, 4), (may - FIRST).days, past)
    told = {item.severity.value for item in result if item.detail == "rows of another interval"}
    assert told == ({severity} if severity else set())


@pytest.mark.parametrize(
    ("counts", "first"),
    [
        ([1, 2, 3, 4, 5, 1], date(2025, 1, 1)),
        ([6, 7, 1, 5], date(2025, 1, 4)),
        (list(range(1, 33)), date(2025, 3, 1)),
    ],
)
def test_a_count_of_a_row_a_day_is_no_part_of_the_date(counts: list[int], first: date) -> None:
    """Would catch: orders counted 1 to 5 on the first five days of January, and the one of the 6th
    warned of as rows of another interval; 6, 7 and 1 of a weekend and a Monday; all runs so far."""
    at = (first - FIRST).days
    past = {
        at + n: Metrics(1, {"n": one_value(count)}, repeated=0)
        for n, count in enumerate(counts[:-1])
    }
    today = at + len(past)
    result = facts(Metrics(1, {"n": one_value(counts[-1])}, repeated=0), today, past)
    assert [item.detail for item in result if item.kind == "stale_data"] == []


def test_a_number_of_deliveries_goes_on_when_a_month_ends() -> None:
    """Would catch: the 32nd delivery of a project that began on the 1st of March, held on the 1st
    of April because the 31 before were numbered as the days are."""
    march = (date(2025, 3, 1) - FIRST).days
    past = {march + n: Metrics(100, {"n": one_value(n + 1)}, repeated=0) for n in range(31)}
    assert facts(Metrics(100, {"n": one_value(32)}, repeated=0), march + 31, past) == []
    (again,) = facts(Metrics(100, {"n": one_value(31)}, repeated=0), march + 31, past)
    assert (again.kind, again.column) == ("stale_data", "n")


@pytest.mark.parametrize("written", ["%-d", "%u", "%A", "%Y-%m-%d"])
def test_a_row_a_day_that_names_its_day(written: str) -> None:
    """Would catch: the sum of an earlier day under today's name, of which nothing is said because a
    table of sums has one row a day."""

    def day(of: date) -> Metrics:
        text = of.strftime(written)
        column = (
            one_value(int(text))
            if text.isdecimal()
            else ColumnMetrics(nulls=0.0, shares={text: 1.0})
        )
        return Metrics(1, {"on": column}, repeated=0)

    first, today = date(2025, 1, 20), date(2025, 2, 12)
    days = [first + timedelta(n) for n in range((today - first).days)]
    past = {(item - FIRST).days: day(item) for item in days}
    assert facts(day(today), (today - FIRST).days, past) == []
    result = facts(day(today - timedelta(3)), (today - FIRST).days, past)
    assert [(item.kind, item.column, item.severity) for item in result] == [
        ("stale_data", "on", FactSeverity.WARN)
    ]


def test_rows_that_always_repeat_are_rows() -> None:
    """It was "5 rows, expected 200 rows" of 200 rows that are as few different ones each day."""

    def day(rows: int) -> Metrics:
        return Metrics(rows, {"n": one_value(1)}, repeated=rows - 5)

    past = {number: day(200) for number in range(10)}
    assert facts(day(200), 10, past) == []
    [more] = facts(day(3_000), 10, past)
    assert (more.kind, more.observed) == ("volume_anomaly", "3,000 rows")
