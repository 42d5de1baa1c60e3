"""Rows whose every time is of an earlier interval, under this one's name; and times that lie
elsewhere for reasons of their own.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.facts import Fact
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded, measured
from headrace.checks.profiles import describe
from headrace.checks.values import ValueKind, Values
from headrace.model import Grain
from headrace.model.intervals import EPOCH, to_us
from headrace.model.texts import plain

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
SEED = 20250106


def key(number: int, grain: Grain = Grain.DAY) -> str:
    if grain is Grain.HOUR:
        return f"{MONDAY + timedelta(hours=number):%Y-%m-%dT%H:%M}+00:00"
    return f"{MONDAY + timedelta(number):%Y-%m-%d}"


def between(first: datetime, hours: float) -> ColumnMetrics:
    """Times from then on, for so many hours."""
    minutes = (first - EPOCH) // timedelta(minutes=1)
    return ColumnMetrics(nulls=0.0, between=(minutes, minutes + round(hours * 60)))


def day(
    number: int, at: float = 9.0, hours: float = 8.0, rows: int = 100, grain: Grain = Grain.DAY
) -> Metrics:
    """A partition whose times begin `at` hours after it."""
    begins = MONDAY + (timedelta(hours=number) if grain is Grain.HOUR else timedelta(number))
    return Metrics(rows, {"at": between(begins + timedelta(hours=at), hours)}, repeated=0)


def facts(
    today: Metrics, past: list[Metrics], grain: Grain = Grain.DAY, calendar: str = ""
) -> list[tuple[str, str, str]]:
    known = MetricHistory(
        [StoredMetrics(key(number, grain), encoded(item)) for number, item in enumerate(past)],
        grain,
    )
    return told(
        evaluate_partition(
            EvaluatedPartition(key=key(len(past), grain), metrics=today, calendar=calendar), known
        )
    )


def told(result: tuple[Fact, ...]) -> list[tuple[str, str, str]]:
    return [(item.kind, item.column, item.severity.value) for item in result]


@pytest.mark.parametrize(
    ("past", "severity"), [(2, None), (3, "warn"), (6, "warn"), (7, "hold"), (40, "hold")]
)
@pytest.mark.parametrize("days", [1, 9])
def test_times_of_another_day(past: int, severity: str | None, days: int) -> None:
    """Would catch: the file of another day under today's name, published without a word because
    each of its rows has a time of its own; one held by two days."""
    wanted = [("stale_data", "at", severity)] if severity else []
    assert facts(day(past, 9 - 24 * days), [day(number) for number in range(past)]) == wanted


def test_what_is_said_of_it() -> None:
    history = MetricHistory(
        [StoredMetrics(key(number), encoded(day(number))) for number in range(10)], Grain.DAY
    )
    (result,) = evaluate_partition(EvaluatedPartition(key=key(10), metrics=day(10, -15)), history)
    assert (result.expected, plain(result.observed)) == (
        "times from 2025-01-16 09:00 on",
        "2025-01-15 09:00 to 2025-01-15 17:00",
    )
    assert (result.detail, result.partition) == ("rows of another interval", "2025-01-16")


def test_round_the_clock_the_day_before_is_told_from_late_rows() -> None:
    """Would catch: a day whose times reach to its ends, taken for the next one; a tenth of the rows
    of the day before taken for a wrong day."""
    past = [day(number, 2.4, 19.2) for number in range(10)]
    assert facts(day(10, -21.6, 19.2), past) == [("stale_data", "at", "hold")]
    assert facts(day(10, -1, 22), past) == []


@pytest.mark.parametrize(
    ("at", "today", "hours"),
    [
        ([9], 33, 8),  # a file that comes a day late says when it was written
        ([9, 9, 9, -15, -39], -63, 8),  # prices of the last day on which there was trade
        ([0.2], -0.5, 0.2),  # just after midnight, and a clock that was set back
        ([-26], -27, 1),  # UTC beside local time, and summer time ends
        ([-2], -9, 8),  # a night shift that began earlier
        ([-24 * 30, 9], -24 * 40, 8),  # when each customer came
    ],
)
def test_times_that_are_no_wrong_day(at: list[float], today: float, hours: float) -> None:
    """Would catch: a sound day held for times that never were those of its interval, or are by a
    clock's change."""
    past = [day(number, at[number % len(at)], hours) for number in range(10)]
    assert facts(day(10, today, hours), past) == []


def test_few_rows_and_days_like_none_before_warn() -> None:
    """Would catch: nine rows of the day before, and the first Saturday's prices of Friday, held."""
    assert facts(day(10, -15, rows=9), [day(number, rows=9) for number in range(10)]) == [
        ("stale_data", "at", "warn")
    ]
    trade = [number for number in range(11) if (MONDAY + timedelta(number)).weekday() < 5]
    known = MetricHistory(
        [StoredMetrics(key(number), encoded(day(number))) for number in trade], Grain.DAY
    )
    saturday = EvaluatedPartition(key=key(12), metrics=day(12, -15))
    assert told(evaluate_partition(saturday, known)) == [("stale_data", "at", "warn")]


def test_a_holiday_may_repeat_the_day_before() -> None:
    """Would catch: prices of the last day of trade, held on Martin Luther King's day."""
    past = [day(number) for number in range(14)]
    assert facts(day(14, -15), past, calendar="US") == [("stale_data", "at", "warn")]


@pytest.mark.parametrize(("hours", "wanted"), [(1, []), (2, [("stale_data", "at", "hold")])])
def test_hours(hours: int, wanted: list[tuple[str, str, str]]) -> None:
    """Would catch: an hour held because a clock without zone was set forward; one of the day before
    published."""
    past = [day(number, 0.1, 0.8, grain=Grain.HOUR) for number in range(60)]
    assert facts(day(60, 0.1 - hours, 0.8, grain=Grain.HOUR), past, Grain.HOUR) == wanted


def test_lively_sound_days_are_never_called_another_day_s() -> None:
    """Would catch: a rule that holds noise. 20 sources with shifts of their own, late rows and few
    rows; the seed is the file's."""
    chance = random.Random(SEED)
    for _ in range(20):
        start, length, rows = (
            chance.uniform(-6, 12),
            chance.uniform(0.5, 18),
            chance.randrange(3, 40),
        )
        past = list[Metrics]()
        for number in range(60):
            begins = MONDAY + timedelta(number, hours=start)
            times = [begins + timedelta(hours=chance.uniform(0, length)) for _ in range(rows)]
            times = [
                time - timedelta(hours=chance.expovariate(0.2)) if chance.random() < 0.1 else time
                for time in times
            ]
            values = Values.listed([to_us(time) for time in times])
            today = measured({"at": describe(values, ValueKind.INSTANT, "America/New_York")}, rows)
            assert [fact for fact in facts(today, past) if fact[0] == "stale_data"] == []
            past.append(today)


@pytest.mark.parametrize(("timezone", "hour"), [("UTC", 12), ("America/New_York", 7)])
def test_between_which_times_rows_lie(timezone: str, hour: int) -> None:
    """Would catch: times of UTC compared with days of another clock; infinite ones that stop an
    audit.
    """
    noon = MONDAY + timedelta(hours=12)
    values = Values.listed([to_us(noon + timedelta(minutes=6 * minute)) for minute in range(11)])
    begins = (MONDAY - EPOCH) // timedelta(minutes=1) + 60 * hour
    assert describe(values, ValueKind.INSTANT, timezone).between == (begins, begins + 45)
    assert describe(Values.listed([-(2**63) + 1] * 3), ValueKind.INSTANT, timezone).between is None
    assert describe(values, ValueKind.INSTANT, timezone, classified=True).between is None
