"""Which partitions are called odd, on simulated projects and on small histories made by hand."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import anomaly_lab as lab
import pytest

from headrace.checks.anomalies import (
    EvaluatedPartition,
    MetricHistory,
    PublishedContent,
    evaluate_partition,
)
from headrace.checks.anomalies.expectations import country_of, nats, noise, threshold
from headrace.checks.anomalies.history import IN_FILE_MAX
from headrace.checks.anomalies.metric_anomalies import MetricAnomaly, anomaly_text
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics, StoredMetrics, encoded
from headrace.model import Grain

SEED = 401
DAYS = 12
EVERY = 10
HELD_MIN = {
    "null 50 %": 0.9,
    "× 100": 0.9,
    "sign": 0.9,
    "categories swapped": 0.9,
    "cut by 45 %": 0.95,
    "cut by 20 %": 0.85,
    "70 % lost": 0.6,
    "doubled": 1.0,
}
"""What is found of each fault at least, of some twenty days; `benchmarks/anomalies.py` tells the
shares."""


@pytest.mark.long
def test_sound_days_of_twenty_sources_are_hardly_ever_held_and_faults_are() -> None:
    """Catches: a limit, a forecaster or a scale that makes sound days odd, or faults sound. The
    seed is the lab's.
    """
    held = warned = 0
    result, tried = Counter[str](), Counter[str]()
    for number, (key, metrics, facts, history) in enumerate(lab.Project(SEED, days=DAYS).sound()):
        is_held = any(fact.severity is FactSeverity.HOLD for fact in facts)
        held, warned = held + is_held, warned + (bool(facts) and not is_held)
        for name, fault in lab.FAULTS.items() if number % EVERY == 7 and not is_held else ():
            tried[name] += 1
            result[name] += any(
                fact.severity is FactSeverity.HOLD
                for fact in lab.found_of(fault, key, metrics, history)
            )
    assert held <= 1, held
    assert warned <= 15, warned
    assert {
        name: share for name, share in HELD_MIN.items() if result[name] < share * tried[name]
    } == {}, (result, tried)


def test_the_limits_are_those_that_were_worked_out() -> None:
    """Catches: a tail of Student's t that is wrong where nobody looks."""
    assert round(threshold(0.5, 20, 75), 1) == 7.2
    assert round(threshold(10, 20, 75), 1) == 5.2
    assert 0 <= nats(0.1) < nats(5) < nats(7) < nats(30) < 100


FIRST = date(2024, 1, 1)


def key(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def day(number: int, rows: int = 1000, **columns: ColumnMetrics) -> Metrics:
    wobble = 1 + 0.01 * (number * 7 % 5 - 2)
    return Metrics(int(rows * wobble), columns, repeated=0)


def history(made: dict[int, Metrics]) -> MetricHistory:
    return MetricHistory(
        [StoredMetrics(key(number), encoded(metrics)) for number, metrics in made.items()],
        Grain.DAY,
    )


def kinds(facts: tuple[Fact, ...]) -> list[tuple[str, str, str]]:
    return [(fact.kind, fact.column, fact.severity.value) for fact in facts]


def test_an_event_empties_together_what_it_empties_a_fault_one_column() -> None:
    """Catches: a storm's cancelled flights that are held; a column emptied alone that isn't; one
    with nothing left in it that is taken for an event."""

    def flights(
        number: int, departed: float, delay: float, tail: float, carrier: float = 0.0
    ) -> Metrics:
        shares = {"departed": departed, "delay": delay, "tail": tail, "carrier": carrier}
        return day(number, **{name: ColumnMetrics(nulls=share) for name, share in shares.items()})

    past = history(
        {
            n: flights(n, 0.02 + n % 4 * 0.005, 0.022 + n % 4 * 0.005, 0.005 + n % 4 * 0.001)
            for n in range(40)
        }
    )
    storm = evaluate_partition(
        EvaluatedPartition(key=key(40), metrics=flights(40, 0.51, 0.51, 0.17)), past
    )
    assert kinds(storm) and {severity for *_, severity in kinds(storm)} == {"warn"}
    assert "an event: together with delay" in next(
        fact.detail for fact in storm if fact.column == "departed"
    )
    alone = evaluate_partition(
        EvaluatedPartition(key=key(40), metrics=flights(40, 0.02, 0.51, 0.006)), past
    )
    assert kinds(alone) == [("null_spike", "delay", "hold")]
    never = evaluate_partition(
        EvaluatedPartition(key=key(40), metrics=flights(40, 0.51, 0.51, 0.17, 0.3)), past
    )
    assert ("null_spike", "carrier", "hold") in kinds(never)
    nothing_left = evaluate_partition(
        EvaluatedPartition(key=key(40), metrics=flights(40, 1.0, 1.0, 0.3)), past
    )
    assert ("null_spike", "delay", "hold") in kinds(nothing_left)


def test_a_column_that_says_its_interval_is_no_news_and_proves_an_old_one() -> None:
    """Catches: a false hold on the first of each month; yesterday's rows under today's name; a
    version of long ago; a table that never changes and is held for it."""

    def dated(number: int, of: int) -> Metrics:
        told = FIRST + timedelta(of)
        of_month = ColumnMetrics(
            nulls=0.0, negative=0.0, location=0.1, shares={str(told.month): 1.0}
        )
        return day(
            number, month=of_month, on=ColumnMetrics(nulls=0.0, shares={told.isoformat(): 1.0})
        )

    past = history({n: dated(n, n) for n in range(31)})
    assert evaluate_partition(EvaluatedPartition(key=key(31), metrics=dated(31, 31)), past) == ()
    stale = evaluate_partition(EvaluatedPartition(key=key(31), metrics=dated(31, 30)), past)
    assert [(fact.kind, fact.severity.value) for fact in stale] == [("stale_data", "hold")]

    versions = [PublishedContent(key(number), f"h{number}") for number in range(30, -1, -1)]
    again = EvaluatedPartition(key=key(31), metrics=day(31), content_hash="h3", versions=versions)
    assert [(fact.kind, fact.detail) for fact in evaluate_partition(again, history({}))] == [
        ("stale_data", f"equals {key(3)}")
    ]
    constant = [PublishedContent(key(number), "same") for number in range(30, -1, -1)]
    assert (
        evaluate_partition(
            EvaluatedPartition(
                key=key(31), metrics=day(31), content_hash="same", versions=constant
            ),
            history({}),
        )
        == ()
    )


def test_too_little_history_says_nothing_and_broken_history_is_none() -> None:
    """Catches: a hold in the first days; a vector of another version that stops a delivery."""
    few = history({n: day(n) for n in range(2)})
    assert evaluate_partition(EvaluatedPartition(key=key(2), metrics=day(2, rows=100)), few) == ()
    some = history({n: day(n) for n in range(20)})
    assert kinds(
        evaluate_partition(EvaluatedPartition(key=key(20), metrics=day(20, rows=600)), some)
    ) == [("volume_anomaly", "", "warn")]
    broken = MetricHistory(
        [StoredMetrics(key(n), b"\xc1not a vector") for n in range(40)], Grain.DAY
    )
    assert evaluate_partition(EvaluatedPartition(key=key(40), metrics=day(40)), broken) == ()
    assert evaluate_partition(EvaluatedPartition(key="", metrics=day(40)), broken) == ()


def test_a_public_holiday_and_the_end_of_a_month_thin_the_rows_and_hold_nothing() -> None:
    """Catches: Thanksgiving held as a fault; a holiday that excuses a loss of nearly everything;
    each end of a month held anew; a calendar that nobody has."""
    thanksgiving = (date(2024, 11, 28) - FIRST).days
    past = history({n: day(n) for n in range(thanksgiving - 56, thanksgiving)})

    def told(number: int, rows: int, calendar: str, before: MetricHistory) -> list[str]:
        result = evaluate_partition(
            EvaluatedPartition(key=key(number), metrics=day(number, rows), calendar=calendar),
            before,
        )
        return [fact.severity.value for fact in result]

    assert told(thanksgiving, 640, "", past) == told(thanksgiving, 640, "nowhere", past) == ["hold"]
    assert (
        told(thanksgiving, 640, "US", past) == told(thanksgiving + 1, 640, "US", past) == ["warn"]
    )
    assert told(thanksgiving, 640, "FR", past) == told(thanksgiving, 100, "US", past) == ["hold"]

    april = {n: day(n, 2000 if key(n) == "2024-03-31" else 1000) for n in range(64, 120)}
    assert told(120, 2000, "", history(april)) == []
    assert told(119, 2000, "", history(dict(list(april.items())[:-1]))) == ["hold"]


def test_a_time_of_day_that_is_written_as_a_number_moves_on_holidays_too() -> None:
    """Would catch: Thanksgiving held because flights leave at 1,082 on average instead of at 1,260,
    which never moved; a factor of 100 that a holiday excuses."""

    def leaving(number: int, at: float) -> Metrics:
        return day(
            number,
            leaves=ColumnMetrics(
                nulls=0.0, negative=0.0, zero=0.0, location=math.log(at), spread=-1.0, distinct=5.0
            ),
        )

    number = (date(2024, 11, 28) - FIRST).days
    past = history({n: leaving(n, 1260 + n % 3) for n in range(number - 56, number)})
    for at, calendar, severity in (
        (1082, "US", "warn"),
        (1082, "", "hold"),
        (126_000, "US", "hold"),
    ):
        result = evaluate_partition(
            EvaluatedPartition(key=key(number), metrics=leaving(number, at), calendar=calendar),
            past,
        )
        assert [(fact.column, fact.severity.value) for fact in result] == [("leaves", severity)]


def test_what_is_worse_than_the_worst_day_by_little_or_is_of_another_sign_warns_only() -> None:
    """Catches: a burst of nulls held although there were such bursts; frost held as another unit;
    fog held for few distinct values.
    """

    def weather(
        number: int, nulls: float, location: float, negative: float, distinct: float
    ) -> Metrics:
        column = ColumnMetrics(
            nulls=nulls,
            negative=negative,
            zero=0.0,
            location=location,
            spread=-1.0,
            distinct=distinct,
        )
        return day(number, dew=column)

    past = history({n: weather(n, 0.36 if n % 19 == 0 else 0.0, 3.0, 0.0, 5.0) for n in range(56)})
    for odd, severity in (
        (weather(56, 0.45, 3.0, 0.0, 5.0), "warn"),
        (weather(56, 0.80, 3.0, 0.0, 5.0), "hold"),
        (weather(56, 0.0, 3.0 - 2.3, 0.2, 5.0), "warn"),
        (weather(56, 0.0, 3.0 - 2.3, 0.0, 5.0), "hold"),
        (weather(56, 0.0, 3.0, 0.0, 5.0 - 0.8), "warn"),
        (weather(56, 0.0, 3.0, 0.0, 5.0 - 1.6), "hold"),
    ):
        result = evaluate_partition(EvaluatedPartition(key=key(56), metrics=odd), past)
        assert result and result[0].severity.value == severity, (odd, result)


def test_an_expected_count_of_rows_has_an_error_whatever_its_logarithm_is_rounded_to() -> None:
    """Would catch: a division by zero where every partition has the same number of rows."""
    for rows in range(1, 5_000):
        error = noise("rows", math.log(rows + 1), rows, rows)
        assert 0.4 / math.sqrt(rows) < error < 1.1 / math.sqrt(rows), rows


def test_the_country_of_a_time_zone() -> None:
    """Catches: holidays of another country, or of one for data in UTC."""
    assert [
        country_of(zone) for zone in ("America/New_York", "Europe/Berlin", "UTC", "No/Where")
    ] == ["US", "DE", "", ""]


def test_a_factor_of_rows_is_what_came_by_what_was_expected() -> None:
    """Would catch: "2 rows, expected 3 rows (× 0.75)"."""
    item = MetricAnomaly(MetricId("rows"), FactSeverity.WARN, math.log(4), math.log(3), 3.0, 0.0)
    assert anomaly_text(item) == ("volume_anomaly", "3 rows", "2 rows", "× 0.667")


@pytest.mark.parametrize(("numbered", "kind"), [(True, "duplicate_rows"), (False, "null_spike")])
def test_rows_that_are_twice_beside_a_column_that_is_gone(numbered: bool, kind: str) -> None:
    """Would catch: a tenth of the rows twice in a file without a column, put down to that column,
    though each row has had a number of its own."""

    def of(repeated: int = 0, nulls: float = 0.0) -> Metrics:
        distinct = math.log(1000 - repeated if numbered else 300)
        columns = {
            "number": ColumnMetrics(nulls=0.0, distinct=distinct),
            "price": ColumnMetrics(nulls=nulls, distinct=math.log(400)),
        }
        return Metrics(1000, columns, repeated=repeated)

    days = [f"2025-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 29)]
    history = MetricHistory([StoredMetrics(key, encoded(of())) for key in days[:40]], Grain.DAY)
    result = evaluate_partition(EvaluatedPartition(key=days[40], metrics=of(100, 1.0)), history)
    assert {item.kind for item in result if item.severity is FactSeverity.HOLD} == {
        "null_spike",
        kind,
    }


def test_a_file_of_very_many_partitions_is_compared_with_the_last_ones() -> None:
    """Would catch: each of 20,000 hours of a file compared with all before it; a history that
    mixes up which value is whose when it drops the oldest."""
    history = MetricHistory([], Grain.HOUR)
    rows = MetricId("rows")
    first = datetime(2024, 1, 1, tzinfo=UTC)
    for n in range(3_000):
        key = f"{first + timedelta(hours=n):%Y-%m-%dT%H:00+00:00}"
        history.add(StoredMetrics(key, encoded(Metrics(n, {}))))
        series = history.series(rows)
        assert len(series.values) == len(series.seasons) <= 2 * IN_FILE_MAX
        lately = [round(math.exp(value)) - 1 for value in series.values[-2:]]
        assert lately == [n - 1, n][-n - 1 :]
    assert IN_FILE_MAX <= len(history) < 2 * IN_FILE_MAX
    assert history.all()[-1].rows == history.newest(1)[0][1].rows == 2_999
    assert len(history.all()) == len(history)
