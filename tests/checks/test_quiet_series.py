"""What is odd by the noise of its own series: names that are new or moved, columns emptied alone,
small steps where nothing ever moves.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import log
from random import Random

import msgspec
import pytest

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.anomalies.categories import missing_groups
from headrace.checks.anomalies.metric_anomalies import milder_for_computed
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded
from headrace.model import Grain
from headrace.model.texts import plain

DAYS = 40


def key(number: int) -> str:
    return (date(2024, 1, 1) + timedelta(number)).isoformat()


def wobble(number: int, size: float = 0.01) -> float:
    """A small noise that is the same each time."""
    return size * (number * 7 % 5 - 2)


def facts(today: Metrics, past: list[Metrics]) -> list[Fact]:
    history = MetricHistory(
        [StoredMetrics(key(number), encoded(item)) for number, item in enumerate(past)], Grain.DAY
    )
    return list(evaluate_partition(EvaluatedPartition(key=key(len(past)), metrics=today), history))


def told(today: Metrics, past: list[Metrics]) -> list[tuple[str, str, str]]:
    return [(fact.kind, fact.column, fact.severity.value) for fact in facts(today, past)]


def sold(number: int, rows: int = 1000, **shares: float) -> Metrics:
    """Rows of three kinds."""
    given = shares or {"a": 0.5, "b": 0.3 + wobble(number), "c": 0.2 - wobble(number)}
    return Metrics(
        int(rows * (1 + wobble(number))),
        {"kind": ColumnMetrics(nulls=0.0, shares=given)},
        repeated=0,
    )


SOLD = [sold(number) for number in range(DAYS)]


@pytest.mark.parametrize("named", ["b", "z"])
def test_a_group_under_another_name_is_no_group_that_is_missing(named: str) -> None:
    """Would catch: a code that was renamed, or mixed up with another, told as rows that
    were lost.
    """
    moved = {"a": 0.5, "b": 0.3, "c": 0.2}
    moved[named] = moved.get(named, 0.0) + moved.pop("a")
    (result,) = facts(sold(DAYS, **moved), SOLD)
    assert (result.kind, result.column, result.severity.value) == (
        "distribution_shift",
        "kind",
        "hold",
    )
    assert plain(result.detail) == f"category mix: 'a' is '{named}'"


def test_a_group_whose_rows_are_gone_is_missing() -> None:
    """Would catch: rows that were lost told as another mix of codes."""
    lost = sold(DAYS, rows=500, b=0.6, c=0.4)
    assert ("volume_anomaly", "kind", "hold") in told(lost, SOLD)


def hours(number: int, until: int = 24, rows: int = 800) -> Metrics:
    """Flights by hour of the schedule, a little other each day."""
    shares = {
        str(hour): 1 + 0.5 * ((hour * 5) % 3) + wobble(number + hour, 0.05)
        for hour in range(5, until)
    }
    total = sum(shares.values())
    given = {hour: share / total for hour, share in shares.items()}
    return Metrics(rows, {"hour": ColumnMetrics(nulls=0.0, shares=given)}, repeated=0)


@pytest.mark.parametrize("until", [22, 18, 14, 10])
def test_many_groups_whose_rows_are_gone_are_missing(until: int) -> None:
    """Would catch: half a file, whose hours all end early, told as hours under other names: each
    was compared as if the others were still there.
    """
    past = [hours(number) for number in range(12)]
    rows = int(800 * (until - 5) / 19)
    results = facts(hours(12, until, rows), past)
    assert "volume_anomaly" in {fact.kind for fact in results}
    assert [plain(fact.detail) for fact in results if "' is '" in plain(fact.detail)] == []


def test_of_two_groups_the_one_that_is_left_is_told_by_rows() -> None:
    """Would catch: the shares of what is left, which are all of it in either case, taken to say
    which it was.
    """
    past = [sold(number, a=0.6 + wobble(number), b=0.4 - wobble(number)) for number in range(DAYS)]
    assert told(sold(DAYS, b=1.0), past) == [("distribution_shift", "kind", "hold")]
    assert ("volume_anomaly", "kind", "hold") in told(sold(DAYS, rows=400, b=1.0), past)


@pytest.mark.parametrize(
    ("share", "said"), [(0.1, [("distribution_shift", "kind", "hold")]), (0.03, [])]
)
def test_a_code_that_never_was(share: float, said: list[tuple[str, str, str]]) -> None:
    """Would catch: a tenth of the rows under a code that nobody knows, let through; a first few of
    something new, held.
    """
    mix = {"a": 0.5 * (1 - share), "b": 0.3 * (1 - share), "c": 0.2 * (1 - share), "x": share}
    assert told(sold(DAYS, **mix), SOLD) == said


def trips(number: int, cancelled: float, delay: float | None = None, rows: int = 1000) -> Metrics:
    """Trips of which some were cancelled: they have neither a delay nor a duration."""
    delay = cancelled if delay is None else delay
    columns = {
        "delay": ColumnMetrics(nulls=delay),
        "duration": ColumnMetrics(nulls=cancelled),
        "id": ColumnMetrics(nulls=0.0),
    }
    return Metrics(int(rows * (1 + wobble(number))), columns, repeated=0)


TRIPS = [
    trips(number, 0.5 if number % 13 == 0 else 0.02 + wobble(number, 0.004))
    for number in range(DAYS)
]


@pytest.mark.parametrize(("share", "severity"), [(0.08, "hold"), (0.5, "hold"), (1.0, "hold")])
def test_a_column_that_is_emptied_without_its_twin(share: float, severity: str) -> None:
    """Would catch: a lost column taken for a storm because there were storms: in those its twin was
    null as well."""
    result = told(trips(DAYS, 0.02, delay=0.02 + share * 0.98), TRIPS)
    assert result == [("null_spike", "delay", severity)]


def test_a_storm_empties_both() -> None:
    """Would catch: what always comes together held for coming."""
    assert {severity for *_, severity in told(trips(DAYS, 0.55), TRIPS)} <= {"warn"}


def test_columns_that_were_never_null_together_are_no_twins() -> None:
    """Would catch: any two columns whose nulls happened to be near each other compared for ever."""
    past = [
        trips(number, 0.02 + wobble(number, 0.004), delay=0.02 - wobble(number, 0.004))
        for number in range(DAYS)
    ]
    assert [fact.detail for fact in facts(trips(DAYS, 0.02, delay=0.05), past)] == [""]


def sized(number: int, times: float = 0.0, noise: float = 0.005) -> Metrics:
    column = ColumnMetrics(
        nulls=0.0,
        negative=0.0,
        zero=0.0,
        location=6.0 + wobble(number, noise) + times,
        spread=0.7,
        distinct=5.0,
    )
    return Metrics(int(1000 * (1 + wobble(number))), {"distance": column}, repeated=0)


def test_a_fifth_more_is_held_where_nothing_ever_moves_and_isnt_where_days_differ_by_as_much() -> (
    None
):
    """Would catch: one floor for all series: small factors let through where they can't be chance,
    or held where they are.
    """
    quiet = [sized(number) for number in range(DAYS)]
    assert told(sized(DAYS, 0.182), quiet) == [("distribution_shift", "distance", "hold")]
    loud = [sized(number, noise=0.06) for number in range(DAYS)]
    assert "hold" not in [severity for *_, severity in told(sized(DAYS, 0.182), loud)]


def test_a_fifth_of_the_rows_lost_is_held_where_rows_hardly_differ() -> None:
    """Would catch: rows that are lost all day long, in a source that always has as many."""
    past = [
        Metrics(int(1000 * (1 + wobble(number, 0.005))), {}, repeated=0) for number in range(DAYS)
    ]
    assert told(Metrics(790, {}, repeated=0), past) == [("volume_anomaly", "", "hold")]


def test_what_never_was_null_is_held_in_what_is_computed_though_something_above_it_is_unusual() -> (
    None
):
    """Would catch: keys that nobody knows, published as rows without what they refer to, because
    there are more keys than usual; a storm's nulls held in each table that counts them."""
    past = [trips(number, 0.02 + wobble(number, 0.004), delay=0.0) for number in range(DAYS)]
    result = facts(trips(DAYS, 0.4, delay=0.4), past)
    made = {item.column: item.severity.value for item in milder_for_computed(result, [key(DAYS)])}
    assert made == {"delay": "hold", "duration": "warn"}
    assert {item.severity.value for item in milder_for_computed(result, [])} == {"hold"}
    follows = {
        item.column: item.severity.value
        for item in milder_for_computed(result, [key(DAYS)], [(key(DAYS), "delay")])
    }
    assert follows == {"delay": "warn", "duration": "warn"}, "it is made of what is null above"
    elsewhere = {
        item.column: item.severity.value
        for item in milder_for_computed(
            result, [key(DAYS)], [(key(DAYS - 1), "delay"), (key(DAYS), "other")]
        )
    }
    assert elsewhere["delay"] == "hold", "another day's nulls, or another column's, explain nothing"


def test_more_rows_of_other_code_follow_only_from_more_rows() -> None:
    """Would catch: rows that a new body doubles, published because something else about its input
    is unusual.
    """
    rows = Fact(
        kind="volume_anomaly",
        severity=FactSeverity.HOLD,
        expected="80 rows",
        observed="160 rows",
        strength=20.0,
        partition=key(DAYS),
    )
    doubled = [
        msgspec.structs.replace(rows, detail="× 2"),
        msgspec.structs.replace(rows, kind="duplicate_rows", detail="80 rows"),
    ]
    for more_rows, severity in ((None, "warn"), ((), "hold"), ((key(DAYS),), "warn")):
        assert [
            item.severity.value for item in milder_for_computed(doubled, [key(DAYS)], (), more_rows)
        ] == [severity] * 2
    fewer = msgspec.structs.replace(rows, detail="× 0.5")
    assert [item.severity.value for item in milder_for_computed([fewer], [key(DAYS)], (), ())] == [
        "warn"
    ]


def customers(number: int, kept: float, distinct: int = 100) -> Metrics:
    own = ColumnMetrics(nulls=0.0, kept=kept, distinct=log(distinct))
    return Metrics(int(1000 * (1 + wobble(number))), {"customer": own}, repeated=0)


CUSTOMERS = [customers(number, 0.8 + wobble(number)) for number in range(DAYS)]


@pytest.mark.parametrize(
    ("kept", "distinct", "said"),
    [
        (0.8, 145, ["that the interval before hadn't"]),
        (0.4, 50, ["of the interval before are gone"]),
        (0.78, 104, []),
    ],
)
def test_names_that_nobody_knew_and_names_that_are_gone_are_told(
    kept: float, distinct: int, said: list[str]
) -> None:
    """Would catch: keys that find nothing, of which the first sign is a join that has lost its
    partners; days of other customers told."""
    result = [
        fact
        for fact in facts(customers(DAYS, kept, distinct), CUSTOMERS)
        if fact.detail == "other names"
    ]
    assert [item.expected.partition("names ")[2] for item in result] == said
    assert {item.severity.value for item in result} <= {"warn"}


def of_kinds(number: int, shares: dict[str, float], rows: int, **customer: float) -> Metrics:
    own = customers(number, customer.get("kept", 0.9), round(customer.get("distinct", 100)))
    return Metrics(
        rows, {**own.columns, "kind": ColumnMetrics(nulls=0.0, shares=shares)}, repeated=0
    )


@pytest.mark.parametrize(
    ("kept", "distinct", "said"),
    [
        (0.9, 180, "other names: many that the interval before hadn't"),
        (0.0, 70, "other names: most of what was named is gone, and as much else is there"),
        (0.6, 67, ""),
    ],
)
def test_names_that_nobody_knew_beside_a_group_that_is_gone(
    kept: float, distinct: int, said: str
) -> None:
    """Would catch: keys that nobody knows told of only after the missing group was sent, since what
    is held is never joined by them; names of the missing group told as names that are gone."""
    past = [
        of_kinds(number, {"a": 0.4 + wobble(number), "b": 0.3, "c": 0.3 - wobble(number)}, 1000)
        for number in range(DAYS)
    ]
    result = facts(of_kinds(DAYS, {"b": 0.5, "c": 0.5}, 600, kept=kept, distinct=distinct), past)
    held = {
        (item.column, plain(item.detail))
        for item in result
        if item.severity.value == "hold" and item.column
    }
    assert held == {("kind", "group missing: 'a'"), *([("customer", said)] if said else [])}
    if said:
        assert result[0].column == "customer", (
            "as sure as the group, so that it is a cause of its own"
        )


def test_names_that_never_last_are_no_names() -> None:
    """Would catch: numbers of orders, each of them new each day, compared with the day before's."""
    assert facts(customers(DAYS, 0.0), [customers(number, 0.05) for number in range(DAYS)]) == []


def hourly(number: int, hours: tuple[int, ...]) -> Metrics:
    counts = tuple(round(count * (1 + wobble(number))) for count in hours)
    return Metrics(
        sum(counts), {"at": ColumnMetrics(nulls=0.0, distinct=log(500), hours=counts)}, repeated=0
    )


OFFICE = (*(0,) * 8, *(100,) * 10, *(0,) * 6)


def test_a_clock_that_is_off_is_no_end_that_is_missing() -> None:
    """Would catch: times six hours early, all rows there, told as a file that was cut."""
    past = [hourly(number, OFFICE) for number in range(DAYS)]
    early = hourly(DAYS, OFFICE[6:] + OFFICE[:6])
    assert {(kind, severity) for kind, _, severity in told(early, past)} == {
        ("distribution_shift", "hold")
    }
    cut = hourly(DAYS, (*OFFICE[:12], *(0,) * 12))
    assert [(fact.kind, fact.detail) for fact in facts(cut, past)] == [
        ("volume_anomaly", "truncated: about 60 % of the rows are missing")
    ]


LATE = (
    (5, 10),
    (5, 5),
    (3, 3),
    (4, 7),
    (7, 6),
    (3, 5),
    (5, 5),
    (2, 5),
    (3, 6),
    (4, 8),
    (2, 5),
    (6, 4),
    (3, 8),
    (4, 7),
)
"""Rows of the last two hours of each day, from a Monday on."""
BY_DAY = (*(0,) * 8, 1, 2, 3, 4, 6, 8, 10, 14, 15, 16, 14, 13, 9, 7)


def evening(late: tuple[int, int], *, until: int = 24) -> Metrics:
    """A day of few rows, of which some are in its last two hours."""
    hours = tuple(count if hour < until else 0 for hour, count in enumerate((*BY_DAY, *late)))
    return Metrics(
        sum(hours), {"at": ColumnMetrics(nulls=0.0, distinct=log(500), hours=hours)}, repeated=0
    )


def test_a_quiet_evening_after_two_busy_ones_is_no_end_that_is_missing() -> None:
    """Would catch: ten of 130 rows that chance moved to earlier hours, held as cut off because the
    only two Mondays so far had many late rows; and a fifth of the rows cut off let through for it.
    """
    mondays = {0: (3, 11), 7: (5, 5)}
    past = [evening(mondays.get(number, late)) for number, late in enumerate(LATE)]
    quiet = Metrics(
        132,
        {"at": ColumnMetrics(nulls=0.0, distinct=log(500), hours=(*BY_DAY[:21], 16, 1, 0))},
        repeated=0,
    )
    assert facts(quiet, past) == []
    (cut,) = facts(evening((0, 0), until=20), past)
    assert (cut.kind, cut.severity.value) == ("volume_anomaly", "hold")
    assert cut.detail == "truncated: about 21 % of the rows are missing"


def test_a_table_with_a_row_for_each_of_six_regions_has_as_many_each_day() -> None:
    """Would catch: each row twice, let through because six rows may well be twelve where rows come
    by chance; a region that is missing, held."""
    past = [Metrics(6, {}, repeated=0) for _ in range(DAYS)]
    assert told(Metrics(12, {}, repeated=0), past) == [("volume_anomaly", "", "hold")]
    assert "hold" not in [severity for *_, severity in told(Metrics(5, {}, repeated=0), past)]
    by_chance = [Metrics(6 + number * 5 % 4, {}, repeated=0) for number in range(DAYS)]
    assert told(Metrics(12, {}, repeated=0), by_chance) == []


def stormy(number: int, times: float = 0.0, delays: float = 0.0) -> Metrics:
    """Distances that are always the same, and delays that now and then are much longer."""
    item = sized(number, times)
    location = 2.0 + wobble(number, 0.05) + (1.0 if number == DAYS // 2 else 0.0) + delays
    delay = ColumnMetrics(
        nulls=0.0, negative=0.0, zero=0.0, location=location, spread=0.7, distinct=5.0
    )
    return Metrics(item.rows, {**item.columns, "delay": delay}, repeated=0)


def test_another_unit_in_a_storm_is_another_unit() -> None:
    """Would catch: distances in kilometres published because on the same day all was late: from
    then on that is the level, and what comes after it is published without a word."""
    past = [stormy(number) for number in range(DAYS)]
    assert ("distribution_shift", "distance", "hold") in told(stormy(DAYS, log(1.609), 2.0), past)
    assert ("distribution_shift", "delay", "hold") not in told(stormy(DAYS, log(1.609), 2.0), past)


def test_another_unit_on_a_holiday_is_another_unit() -> None:
    """Would catch: distances in kilometres published because it was a holiday, on which sizes may
    be others."""
    holiday = (date(2024, 2, 19) - date(2024, 1, 1)).days
    history = MetricHistory(
        [StoredMetrics(key(number), encoded(sized(number))) for number in range(holiday)], Grain.DAY
    )
    result = evaluate_partition(
        EvaluatedPartition(key=key(holiday), metrics=sized(holiday, log(1.609)), calendar="US"),
        history,
    )
    assert [(item.column, item.severity.value) for item in result] == [("distance", "hold")]


def numbered(number: int, rows: int, *, size: float, distinct: float = 1.0) -> Metrics:
    """Rows with a column of numbers, around a size."""
    ids = ColumnMetrics(
        nulls=0.0, location=log(size) + wobble(number), distinct=log(rows * distinct), negative=0.0
    )
    return Metrics(int(rows * (1 + wobble(number))), {"id": ids}, repeated=0)


@pytest.mark.parametrize(
    ("size", "distinct", "odd"),
    [(150, 1.0, False), (500, 1.0, False), (5, 1.0, True), (150, 0.1, True)],
)
def test_numbers_that_begin_anew_are_as_small_as_the_rows_are_few(
    size: float, distinct: float, *, odd: bool
) -> None:
    """Would catch: a thin day held for the size of its row numbers; sizes that are off for
    themselves let through because of it.
    """
    past = [numbered(number, 1000, size=500, distinct=distinct) for number in range(DAYS)]
    result = told(numbered(DAYS, 300, size=size, distinct=distinct), past)
    assert ("volume_anomaly", "") in [item[:2] for item in result], result
    assert ("distribution_shift" in [kind for kind, *_ in result]) is odd, result


REGIONS = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ({"a": "z"}, "b"),
        ({"b": "z"}, "a"),
        ({"c": "z"}, "d"),
        ({"d": "z"}, "c"),
        ({"c": "z"}, "b"),
        ({"a": "y", "b": "z"}, ""),
        ({"a": "y", "b": "z"}, "c"),
        ({"a": "c"}, "b"),
        ({"a": "z", "b": "z"}, ""),
        ({}, "b"),
    ],
)
def test_a_new_name_is_that_of_the_group_that_it_fits_best(
    names: dict[str, str], gone: str
) -> None:
    """Would catch: two groups that are both said to have the one new name, where one of them is
    gone; groups told as gone that have one name now."""
    chance = Random(5)
    past = [
        sold(
            number, **{name: share * chance.uniform(0.95, 1.05) for name, share in REGIONS.items()}
        )
        for number in range(DAYS)
    ]
    left = dict[str, float]()
    for name, share in REGIONS.items():
        if name != gone:
            left[names.get(name, name)] = left.get(names.get(name, name), 0.0) + share
    rows = round(1000 * sum(left.values()))
    today = sold(DAYS, rows, **{name: share / sum(left.values()) for name, share in left.items()})
    known = MetricHistory(
        [StoredMetrics(key(number), encoded(item)) for number, item in enumerate(past)], Grain.DAY
    )
    assert {item.value: item.now for item in missing_groups(today, known)} == names | (
        {gone: ""} if gone else {}
    )
