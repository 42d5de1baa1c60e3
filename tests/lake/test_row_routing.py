"""The partition of a row by its routing column: DuckDB's answer is compared with the calendar's."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from headrace.lake.row_routing import (
    DAYS_IN_A_ROW_MIN,
    NOWHERE,
    UnroutableColumn,
    bounds_of,
    key_expression,
    outside,
)
from headrace.model.intervals import interval_of, key_at, key_of_date, local_us, to_us
from headrace.model.nodes import Grain

ZONE = "Europe/Berlin"
"""Clocks go back on 2024-10-27 at 03:00 and forward on 2024-03-31 at 02:00."""
INSTANT = "TIMESTAMP WITH TIME ZONE"


def keys_of(values: list[str], kind: str, keys: list[str], grain: Grain) -> list[str]:
    """What DuckDB says of each value; `outside` must say the same of every partition."""
    bounds = [bounds_of(key, grain, ZONE, kind) for key in keys]
    columns = [key_expression("x", bounds), *(outside("x", item) for item in bounds)]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM (SELECT CAST(unnest(?::VARCHAR[]) AS {kind}) AS x)",
        [values],
    ).fetchall()
    for key, *away in rows:
        assert away == [item.key != key for item in bounds]
    return [row[0] for row in rows]


def key_of(value: str, kind: str, keys: list[str], grain: Grain) -> str:
    return keys_of([value], kind, keys, grain)[0]


DAYS = ["2024-10-26", "2024-10-27", "2024-10-28"]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("2024-10-25", "DATE", NOWHERE),
        ("2024-10-26", "DATE", "2024-10-26"),
        ("2024-10-28", "DATE", "2024-10-28"),
        ("2024-10-29", "DATE", NOWHERE),
        ("2024-10-26 23:59:59.999999", "TIMESTAMP", "2024-10-26"),
        ("2024-10-27 00:00:00", "TIMESTAMP", "2024-10-27"),
        ("2024-10-28 23:59:59", "TIMESTAMP_MS", "2024-10-28"),
        ("2024-10-29 00:00:00", "TIMESTAMP", NOWHERE),
        ("2024-10-26 21:59:59+00", INSTANT, "2024-10-26"),
        ("2024-10-26 22:00:00+00", INSTANT, "2024-10-27"),
        ("2024-10-27 22:59:59+00", INSTANT, "2024-10-27"),
        ("2024-10-27 23:00:00+00", INSTANT, "2024-10-28"),
        ("2024-10-28 23:00:00+00", INSTANT, NOWHERE),
    ],
)
def test_a_row_belongs_to_its_local_day(value: str, kind: str, expected: str) -> None:
    """Catches rows around midnight in the neighbour's partition, and a day of 25 hours cut short."""
    assert key_of(value, kind, DAYS, Grain.DAY) == expected
    assert key_of(value, kind, DAYS[::-1], Grain.DAY) == expected


def test_a_row_without_a_time_belongs_nowhere() -> None:
    bounds = [bounds_of(key, Grain.DAY, ZONE, "DATE") for key in DAYS]
    sql = f"SELECT {key_expression('x', bounds)}, {outside('x', bounds[0])} FROM (SELECT NULL::DATE AS x)"
    assert duckdb.sql(sql).fetchone() == (NOWHERE, True)


def test_rows_between_chosen_partitions_belong_nowhere() -> None:
    """Catches rows of a day in between that are published with the day before it."""
    chosen = ["2024-01-01", "2024-01-03", "2024-01-08"]
    for day, expected in (("01", chosen[0]), ("02", NOWHERE), ("03", chosen[1]), ("07", NOWHERE)):
        assert key_of(f"2024-01-{day}", "DATE", chosen, Grain.DAY) == expected


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMP_NS", INSTANT])
@pytest.mark.parametrize("begin", [date(1700, 2, 20), date(1969, 12, 20), date(2024, 3, 20)])
def test_many_consecutive_days_hold_what_each_of_them_holds(kind: str, begin: date) -> None:
    """Catches a date's text that isn't the key (times before 1970, the other side of
    midnight, infinity), and instants whose day depends on the session's time zone.
    """
    days = [begin + timedelta(n) for n in range(DAYS_IN_A_ROW_MIN + 12)]
    keys = [day.isoformat() for day in days]
    times = ["00:00:00", "23:59:59.999999"]
    local = [f"{key} {at}" for key in keys for at in times if kind != "DATE"]
    values = [*keys, *local, f"{days[-1] + timedelta(1)}", "infinity", "-infinity"]
    together = keys_of(values, kind, keys, Grain.DAY)
    each = [keys_of(values, kind, [key], Grain.DAY) for key in keys]
    assert together == [next(filter(None, found), NOWHERE) for found in zip(*each, strict=True)]
    assert set(keys) <= set(together)
    assert together[-2:] == [NOWHERE, NOWHERE]


def test_a_gap_among_many_days_holds_no_row() -> None:
    """Catches days that count as consecutive because the first and the last one would fit."""
    days = [(date(2024, 1, 1) + timedelta(n)).isoformat() for n in range(2 * DAYS_IN_A_ROW_MIN)]
    chosen = [day for day in days if day != "2024-01-05"]
    assert keys_of(days, "DATE", chosen, Grain.DAY) == [
        NOWHERE if day == "2024-01-05" else day for day in days
    ]


@pytest.mark.parametrize("grain", [Grain.WEEK, Grain.MONTH, Grain.QUARTER, Grain.YEAR])
def test_longer_intervals_hold_all_their_days(grain: Grain) -> None:
    """Catches an edge on the wrong side, over three years of days in random order."""
    chance = random.Random(7)
    days = [date(2023, 1, 1) + timedelta(n) for n in range(1_096)]
    keys = sorted({key_of_date(day, grain) for day in days})
    chance.shuffle(keys)
    bounds = [bounds_of(key, grain, ZONE, "DATE") for key in keys]
    rows = duckdb.connect().execute(
        f"SELECT x, {key_expression('x', bounds)} FROM (SELECT unnest(?::DATE[]) AS x)", [days]
    )
    assert rows.fetchall() == [(day, key_of_date(day, grain)) for day in days]


@pytest.mark.parametrize("day", [date(2024, 3, 31), date(2024, 10, 27), date(2024, 6, 1)])
def test_hours_are_those_of_the_clock(day: date) -> None:
    """Catches the repeated hour counted twice or left out, and the hour that there isn't."""
    begins = datetime.combine(day, time(), ZoneInfo(ZONE)).astimezone(UTC)
    ends = datetime.combine(day + timedelta(1), time(), ZoneInfo(ZONE)).astimezone(UTC)
    instants = [
        begins + timedelta(minutes=n)
        for n in range(0, int((ends - begins).seconds / 60) or 1_440, 20)
    ]
    instants += [begins + timedelta(hours=24)] if ends - begins > timedelta(hours=24) else []
    keys = sorted({key_at(item, Grain.HOUR, ZONE) for item in instants})
    expected = [key_at(item, Grain.HOUR, ZONE) for item in instants]
    shown = [item.isoformat() for item in instants]
    assert keys_of(shown, INSTANT, keys, Grain.HOUR) == expected
    # A wall clock that shows an hour twice means the first.
    local = [
        (item.astimezone(ZoneInfo(ZONE)), key) for item, key in zip(instants, expected, strict=True)
    ]
    first = [
        (item.replace(tzinfo=None).isoformat(sep=" "), key) for item, key in local if not item.fold
    ]
    walls, keys_of_walls = [wall for wall, _ in first], [key for _, key in first]
    assert keys_of(walls, "TIMESTAMP", keys, Grain.HOUR) == keys_of_walls


def test_a_wall_clock_in_the_gap_means_the_first_instant_after_it() -> None:
    keys = [f"2024-03-31T{hour}" for hour in ("01:00+01:00", "03:00+02:00")]
    assert key_of("2024-03-31 02:30:00", "TIMESTAMP", keys, Grain.HOUR) == keys[1]
    assert key_of("2024-03-31 01:59:59", "TIMESTAMP", keys, Grain.HOUR) == keys[0]


@pytest.mark.parametrize("kind", ["VARCHAR", "INTEGER", "TIME"])
def test_a_column_without_a_time_routes_nothing(kind: str) -> None:
    with pytest.raises(UnroutableColumn, match=kind):
        bounds_of("2024-01-01", Grain.DAY, ZONE, kind)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
def test_an_hour_begins_at_the_first_local_time_that_means_it(zone: str) -> None:
    """Would catch: hours near a change of the clock that are bounded as on any other day."""
    for month in range(1, 13):
        for hours in range(0, 31 * 24, 5):
            at = datetime(2011, month, 1, tzinfo=UTC) + timedelta(hours=hours)
            key = key_at(at, Grain.HOUR, zone)
            interval = interval_of(key, Grain.HOUR, zone)
            bounds = bounds_of(key, Grain.HOUR, zone, "TIMESTAMP")
            for wall, instant in ((bounds.first, interval.start), (bounds.beyond, interval.end)):
                before = wall - timedelta(seconds=1)
                assert local_us(wall.date(), wall.time(), zone) >= to_us(instant), key
                assert local_us(before.date(), before.time(), zone) < to_us(instant), key
