"""A series of a few partitions: what is a factor away from each of them is held or said."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import anomaly_lab as lab
import pytest

from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, encoded, measured
from headrace.checks.results import ColumnProfile
from headrace.model import Grain
from headrace.model.texts import plain

MONDAY = date(2024, 1, 8)
SEEDS = (21, 22)
DAYS = 28


def key(number: int) -> str:
    return (MONDAY + timedelta(number)).isoformat()


def day(
    number: int, rows: float = 1000, size: float = 20.0, nulls: float = 0.0, negative: float = 0.0
) -> Metrics:
    wobble = 1 + 0.02 * (number * 7 % 5 - 2)
    amount = ColumnMetrics(
        nulls=nulls, negative=negative, zero=0.0, location=math.log(size * wobble),
        spread=-0.2, distinct=math.log(900),
    )  # fmt: skip
    return Metrics(int(rows * wobble), {"amount": amount}, repeated=0)


def told(today: Metrics, past: int, at: int | None = None) -> list[tuple[str, str, str]]:
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(day(n))) for n in range(past)], Grain.DAY
    )
    facts = evaluate_partition(
        EvaluatedPartition(key=key(past if at is None else at), metrics=today), history
    )
    return [(fact.kind, fact.column, fact.severity.value) for fact in facts]


@pytest.mark.parametrize(
    ("past", "severity"),
    [(2, None), (3, "warn"), (6, "warn"), (7, "hold"), (14, "hold"), (27, "hold")],
)
@pytest.mark.parametrize("times", [2.0, 0.3])
def test_rows_a_factor_beyond_every_neighbour(
    past: int, severity: str | None, times: float
) -> None:
    """Would catch: twice the rows under keys of their own, published because there aren't four
    weeks of history; a judgement by two partitions."""
    wanted = [("volume_anomaly", "", severity)] if severity else []
    at = past if (MONDAY + timedelta(past)).weekday() < 5 else past + 2
    assert told(day(at, rows=1000 * times), past, at) == wanted
    assert told(day(past), past) == []


@pytest.mark.parametrize(("usual", "now"), [(55, 4), (55, 15), (200, 90), (20, 2)])
@pytest.mark.parametrize("past", [28, 56])
def test_few_rows_after_four_weeks(usual: int, now: int, past: int) -> None:
    """Would catch: 4 rows of 55 published with a warning, since chance moves so few rows by so much
    more.
    """
    chance = random.Random(f"{usual}/{past}")
    history = MetricHistory(
        [
            StoredMetrics(key(n), encoded(Metrics(_drawn(chance, usual), {}, repeated=0)))
            for n in range(past)
        ],
        Grain.DAY,
    )
    facts = evaluate_partition(
        EvaluatedPartition(key=key(past), metrics=Metrics(now, {}, repeated=0)), history
    )
    assert [(fact.kind, fact.severity.value) for fact in facts] == [("volume_anomaly", "hold")]


@pytest.mark.parametrize("usual", [6, 12, 30, 55, 200])
def test_chance_alone_holds_no_small_table(usual: int) -> None:
    """Would catch: a table of a few rows a day that is held for a quiet day."""
    chance = random.Random(usual)
    drawn = [_drawn(chance, usual) for _ in range(1_500)]
    held = 0
    for n in range(56, len(drawn), 1):
        history = MetricHistory(
            [
                StoredMetrics(key(at), encoded(Metrics(drawn[at], {}, repeated=0)))
                for at in range(n - 56, n)
            ],
            Grain.DAY,
        )
        facts = evaluate_partition(
            EvaluatedPartition(key=key(n), metrics=Metrics(drawn[n], {}, repeated=0)), history
        )
        held += any(fact.severity is FactSeverity.HOLD for fact in facts)
    assert held == 0


def _drawn(chance: random.Random, mean: int) -> int:
    """A count that is left to chance (Poisson)."""
    return sum(chance.random() < mean / 1_000 for _ in range(1_000))


@pytest.mark.parametrize(
    ("usual", "now", "severity"),
    [(60, 9, "hold"), (60, 1, "hold"), (26, 5, "hold"), (22, 15, None), (15, 9, "warn")],
)
def test_few_rows_where_there_were_many(usual: int, now: int, severity: str | None) -> None:
    """Would catch: 9 rows instead of 60, published without a word because they are few; and a small
    table held for a handful of rows."""
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(day(n, rows=usual))) for n in range(10)], Grain.DAY
    )
    facts = evaluate_partition(
        EvaluatedPartition(key=key(10), metrics=day(10, rows=now + 0.5)), history
    )
    assert [(fact.kind, fact.severity.value) for fact in facts] == (
        [("volume_anomaly", severity)] if severity else []
    )


@pytest.mark.parametrize(("past", "severity"), [(2, None), (3, "hold"), (10, "hold")])
@pytest.mark.parametrize("times", [100.0, 0.01, 1000.0, 60.0])
def test_another_unit_is_asked_about_from_three_partitions_on(
    past: int, severity: str | None, times: float
) -> None:
    """Would catch: cents published as euros in the first weeks."""
    wanted = [("distribution_shift", "amount", severity)] if severity else []
    assert told(day(past, size=20 * times), past) == wanted


@pytest.mark.parametrize(("past", "severity"), [(3, "warn"), (7, "hold")])
def test_nulls_and_signs_that_never_were(past: int, severity: str) -> None:
    """Would catch: a column that is emptied, or turned round, in the second week."""
    assert told(day(past, nulls=0.6), past) == [("null_spike", "amount", severity)]
    assert told(day(past, negative=1.0), past) == [("distribution_shift", "amount", severity)]


def with_codes(number: int, rows: int, codes: dict[str, float], *, later: int = 0) -> Metrics:
    """A day with a column of codes and one of times, which peak at noon and end at 18:00."""
    wobble = 1 + 0.02 * (number * 7 % 5 - 2)
    hours = tuple(round(rows / 11 * wobble) if 8 <= hour - later <= 18 else 0 for hour in range(24))
    code = ColumnMetrics(
        nulls=0.0, empty=0.0, distinct=math.log(len(codes)), length=1.0, shares=codes
    )
    at = ColumnMetrics(nulls=0.0, distinct=math.log(rows), hours=hours)
    return Metrics(sum(hours), {"code": code, "at": at}, repeated=0)


def held_of(today: Metrics, past: int, rows: int = 600) -> list[tuple[str, str, str]]:
    codes = [{"a": 0.5 + 0.01 * (n % 3), "b": 0.3 - 0.01 * (n % 3), "c": 0.2} for n in range(past)]
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(with_codes(n, rows, codes[n]))) for n in range(past)],
        Grain.DAY,
    )
    facts = evaluate_partition(EvaluatedPartition(key=key(past), metrics=today), history)
    return [
        (fact.kind, fact.column, plain(fact.detail))
        for fact in facts
        if fact.severity is FactSeverity.HOLD
    ]


@pytest.mark.parametrize(
    ("past", "held"), [(6, False), (7, True), (10, True), (14, True), (27, True)]
)
def test_groups_that_were_always_there(past: int, held: bool) -> None:
    """Would catch: a whole group that is missing, renamed or never was, published in the first four
    weeks.
    """
    lost = with_codes(past, 480, {"a": 0.64, "b": 0.36})
    assert held_of(lost, past) == (
        [("volume_anomaly", "code", "group missing: 'c'")] if held else []
    )
    renamed = with_codes(past, 600, {"a": 0.5, "c": 0.5})
    assert held_of(renamed, past) == (
        [("distribution_shift", "code", "category mix: 'b' is 'c'")] if held else []
    )
    new = with_codes(past, 600, {"a": 0.4, "b": 0.2, "c": 0.2, "d": 0.2})
    assert held_of(new, past) == (
        [("distribution_shift", "code", "category mix: 'd' is new")] if held else []
    )
    moved = with_codes(past, 600, {"a": 0.3, "b": 0.3, "c": 0.4})
    assert [item[:2] for item in held_of(moved, past)] == (
        [("distribution_shift", "code")] if held else []
    )


@pytest.mark.parametrize(("rows", "held"), [(115, True), (60, False)])
def test_a_group_of_a_small_delivery(rows: int, held: bool) -> None:
    """Would catch: a fifth of 115 rows that is gone, published because the rows that are left are
    so few; a group that is missing by chance."""
    codes = {"a": 0.5, "b": 0.28, "c": 0.22}
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(with_codes(n, rows, codes))) for n in range(10)], Grain.DAY
    )
    facts = evaluate_partition(
        EvaluatedPartition(
            key=key(10), metrics=with_codes(10, round(rows * 0.78), {"a": 0.64, "b": 0.36})
        ),
        history,
    )
    assert [plain(fact.detail) for fact in facts if fact.severity is FactSeverity.HOLD] == (
        ["group missing: 'c'"] if held else []
    )


@pytest.mark.parametrize(("past", "held"), [(6, False), (7, True), (14, True), (27, True)])
def test_times_and_ends_of_days_that_are_off(past: int, held: bool) -> None:
    """Would catch: clocks that are hours off, and a file without its afternoon, published in the
    first four weeks."""
    codes = {"a": 0.5, "b": 0.3, "c": 0.2}
    late = [("distribution_shift", "at", "hours of the day: 5 hours late")]
    assert held_of(with_codes(past, 600, codes, later=5), past) == (late if held else [])
    early = [("distribution_shift", "at", "hours of the day: 7 hours early")]
    assert held_of(with_codes(past, 600, codes, later=-7), past) == (early if held else [])
    assert held_of(with_codes(past, 600, codes, later=1), past) == []
    whole = with_codes(past, 600, codes)
    hours = tuple(count if hour < 14 else 0 for hour, count in enumerate(whole.columns["at"].hours))
    at = ColumnMetrics(nulls=0.0, distinct=math.log(300), hours=hours)
    cut = Metrics(sum(hours), {"code": whole.columns["code"], "at": at}, repeated=0)
    result = held_of(cut, past)
    assert [item[:2] for item in result] == ([("volume_anomaly", "at")] if held else [])


def test_rows_whose_date_is_that_of_another_interval() -> None:
    """Would catch: the file of a day before the first known one, published as today's because only
    its dates say so.
    """

    def dated(number: int, of: int) -> Metrics:
        rows = day(number)
        profile = ColumnProfile(rows.rows, 0, 1, minimum=key(of), maximum=key(of))
        return Metrics(
            rows.rows, {**rows.columns, **measured({"on": profile}, rows.rows).columns}, repeated=0
        )

    history = MetricHistory(
        [StoredMetrics(key(n), encoded(dated(n, n))) for n in range(3)], Grain.DAY
    )
    assert evaluate_partition(EvaluatedPartition(key=key(3), metrics=dated(3, 3)), history) == ()
    (fact,) = evaluate_partition(EvaluatedPartition(key=key(3), metrics=dated(3, -20)), history)
    assert (fact.kind, fact.column, fact.severity) == ("stale_data", "on", FactSeverity.HOLD)


@pytest.mark.parametrize(("past", "severity"), [(3, "warn"), (7, "hold"), (27, "hold")])
@pytest.mark.parametrize("times", [2.54, 0.3048, 10.0])
def test_another_unit_of_a_smaller_factor(past: int, severity: str, times: float) -> None:
    """Would catch: inches published as centimetres in the first four weeks."""
    assert told(day(past, size=20 * times), past) == [("distribution_shift", "amount", severity)]


@pytest.mark.parametrize(("factor", "severity"), [(1000.0, "hold"), (-1.0, "warn"), (1.8, "")])
def test_a_table_of_sums_has_a_row_a_day(factor: float, severity: str) -> None:
    """Would catch: a changed body that multiplies a sum by a thousand, or turns its sign, of which
    nothing is said for four weeks."""

    def one(number: int, times: float = 1.0) -> Metrics:
        total = ColumnMetrics(
            nulls=0.0,
            negative=float(times < 0),
            zero=0.0,
            location=math.log(500 * abs(times)) + 0.1 * (number % 3),
        )
        return Metrics(1, {"total": total}, repeated=0)

    history = MetricHistory([StoredMetrics(key(n), encoded(one(n))) for n in range(12)], Grain.DAY)
    facts = evaluate_partition(EvaluatedPartition(key=key(12), metrics=one(12, factor)), history)
    assert [fact.severity.value for fact in facts] == list(filter(None, [severity]))


@pytest.mark.parametrize(("past", "severity"), [(10, "hold"), (40, "hold")])
def test_a_row_a_day_whose_values_differ(past: int, severity: str) -> None:
    """Would catch: sums taken for columns that say their interval, since one row has one value, and
    another one each day: nothing was said of a rate a hundred times as large."""

    def sums(number: int, factor: float = 1.0) -> Metrics:
        rate = 225 * factor * (1 + 0.02 * (number * 7 % 5 - 2))
        column = ColumnMetrics(
            nulls=0.0,
            negative=0.0,
            zero=0.0,
            location=math.log(rate),
            distinct=0.0,
            only=f"{rate:.4f}",
        )
        return Metrics(1, {"rate": column}, repeated=0)

    history = MetricHistory(
        [StoredMetrics(key(n), encoded(sums(n))) for n in range(past)], Grain.DAY
    )
    result = evaluate_partition(EvaluatedPartition(key=key(past), metrics=sums(past, 100)), history)
    assert [(item.kind, item.column, item.severity.value) for item in result] == [
        ("distribution_shift", "rate", severity)
    ]
    assert evaluate_partition(EvaluatedPartition(key=key(past), metrics=sums(past)), history) == ()


@pytest.mark.parametrize(("rows", "severity"), [(7, "hold"), (17, None), (24, None)])
def test_a_working_day_with_fewer_rows_than_weekends_have(rows: int, severity: str | None) -> None:
    """Would catch: 7 rows instead of 37 published because weekends have 17; a bank holiday that is
    as quiet as a weekend held."""

    def of(number: int) -> Metrics:
        weekend = (MONDAY + timedelta(number)).weekday() >= 5
        return Metrics((17 if weekend else 37) + number % 2, {}, repeated=0)

    history = MetricHistory([StoredMetrics(key(n), encoded(of(n))) for n in range(10)], Grain.DAY)
    facts = evaluate_partition(
        EvaluatedPartition(key=key(10), metrics=Metrics(rows, {}, repeated=0)), history
    )
    wanted = [("volume_anomaly", severity)] if severity else []
    assert [(fact.kind, fact.severity.value) for fact in facts] == wanted


@pytest.mark.parametrize(("rows", "severity"), [(2544, "hold"), (2100, None)])
def test_a_working_day_with_more_rows_than_any_so_far(rows: int, severity: str | None) -> None:
    """Would catch: 60 % more rows than usual under keys of their own, published after two weeks of
    working days that lie within 15 %, because weekends have half."""
    counts = [811, 693, 1607, 1648, 1560, 1665, 1652, 757, 721, 1852, 1505, 1589, 1557]
    first = date(2025, 4, 26)  # a Saturday
    days = [(first + timedelta(n)).isoformat() for n in range(len(counts) + 1)]
    past = [
        StoredMetrics(at, encoded(Metrics(n, {}, repeated=0)))
        for at, n in zip(days, counts, strict=False)
    ]
    facts = evaluate_partition(
        EvaluatedPartition(key=days[-1], metrics=Metrics(rows, {}, repeated=0)),
        MetricHistory(past, Grain.DAY),
    )
    held = [
        (fact.kind, fact.severity.value) for fact in facts if fact.severity is FactSeverity.HOLD
    ]
    assert held == ([("volume_anomaly", severity)] if severity else [])


@pytest.mark.parametrize(("rows", "severity"), [(10, "hold"), (15, "hold"), (6, None), (12, None)])
def test_a_table_that_always_had_as_many_rows(rows: int, severity: str | None) -> None:
    """Would catch: each of five rows twice, after ten days of five rows each; a sixth row held."""
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(Metrics(5, {}))) for n in range(10)], Grain.DAY
    )
    facts = evaluate_partition(EvaluatedPartition(key=key(10), metrics=Metrics(rows, {})), history)
    wanted = [("volume_anomaly", severity)] if severity else []
    assert [(fact.kind, fact.severity.value) for fact in facts] == wanted


@pytest.mark.parametrize(("past", "severity"), [(6, None), (7, "hold"), (20, "hold"), (40, "hold")])
def test_most_rows_of_a_table_that_always_had_as_many_are_gone(
    past: int, severity: str | None
) -> None:
    """Would catch: one of four groups left because the code that makes them was changed, published
    without a word."""
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(Metrics(4, {}))) for n in range(past)], Grain.DAY
    )
    facts = evaluate_partition(EvaluatedPartition(key=key(past), metrics=Metrics(1, {})), history)
    assert [(fact.kind, fact.severity.value) for fact in facts] == (
        [("volume_anomaly", severity)] if severity else []
    )
    assert not severity or (facts[0].expected, facts[0].observed) == ("4 rows", "1 row")


@pytest.mark.parametrize(
    ("past", "fed", "held"), [(10, True, True), (10, False, False), (6, True, False)]
)
@pytest.mark.parametrize("usual", [4, 2])
def test_nothing_is_left_of_a_table_that_always_had_as_many_rows(
    usual: int, past: int, *, fed: bool, held: bool
) -> None:
    """Would catch: all of four groups gone, published without a word though there are rows to make
    them of; a day without any, held for having none."""
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(Metrics(usual, {}))) for n in range(past)], Grain.DAY
    )
    facts = evaluate_partition(
        EvaluatedPartition(key=key(past), metrics=Metrics(0, {}), fed=fed), history
    )
    wanted = [("volume_anomaly", "hold", f"{usual} rows", "0 rows")] if held else []
    assert [
        (fact.kind, fact.severity.value, fact.expected, fact.observed) for fact in facts
    ] == wanted


@pytest.mark.parametrize(
    ("counts", "rows", "severity"),
    [
        ([12], 9, "warn"),
        ([12], 11, None),
        ([300], 260, "warn"),
        ([300], 299, None),
        ([300], 150, "hold"),
        ([4, 5], 1, "hold"),
        ([4, 5], 2, None),
        ([5, 9], 2, None),
        ([2], 1, "warn"),
        ([70, 72], 50, None),
    ],
)
def test_fewer_rows_of_a_table_that_hardly_differs(
    counts: list[int], rows: int, severity: str | None
) -> None:
    """Would catch: a quarter of a constant list that is gone, published without a word; a small
    table held for one group more or less, as chance has it."""
    history = MetricHistory(
        [StoredMetrics(key(n), encoded(Metrics(counts[n % len(counts)], {}))) for n in range(10)],
        Grain.DAY,
    )
    facts = evaluate_partition(EvaluatedPartition(key=key(10), metrics=Metrics(rows, {})), history)
    assert [(fact.kind, fact.severity.value) for fact in facts] == (
        [("volume_anomaly", severity)] if severity else []
    )


def test_the_first_weekend_and_an_end_of_a_month_may_be_other_days() -> None:
    """Would catch: the first Saturday, at a third of the rows, called a fault."""
    assert told(day(5, rows=330), 5) == []
    first = (date(2024, 2, 1) - MONDAY).days
    assert [severity for *_, severity in told(day(first, rows=2200), 10, first)] == ["warn"]


@pytest.mark.long
def test_sound_days_of_young_projects_are_hardly_ever_held() -> None:
    """Would catch: a limit that holds more than one sound partition in a thousand before there are
    four weeks of history. 2 simulated projects of 20 sources; the seeds are the lab's."""
    judged, held = 0, list[tuple[int, str, Fact]]()
    for seed in SEEDS:
        project = lab.Project(seed)
        past: list[list[StoredMetrics]] = [[] for _ in project.sources]
        for number in range(DAYS):
            at = (lab.FIRST + timedelta(number)).isoformat()
            made = [
                source.day(number, holiday=number in project.holidays) for source in project.sources
            ]
            for own, metrics in zip(past, made, strict=True):
                facts = evaluate_partition(
                    EvaluatedPartition(key=at, metrics=metrics), MetricHistory(own, Grain.DAY)
                )
                result = [(seed, at, fact) for fact in facts if fact.severity is FactSeverity.HOLD]
                judged, held = judged + 1, held + result
                if not result:
                    own.append(StoredMetrics(at, encoded(metrics)))
    assert len(held) <= judged / 1000, held


@pytest.mark.parametrize(
    ("past", "severity"), [(6, "warn"), (13, "warn"), (14, "hold"), (16, "hold"), (27, "hold")]
)
def test_half_of_a_file_that_hardly_differs_is_gone(past: int, severity: str) -> None:
    """Would catch: a file cut in half after sixteen days of about 1,000 rows, published with a
    warning.
    """
    assert told(day(past, rows=500), past) == [("volume_anomaly", "", severity)]
    assert told(day(past, rows=600), past) == [("volume_anomaly", "", "warn")], (
        "a holiday may take so much"
    )


def test_half_of_the_rows_where_days_differ_or_weekends_are_quiet_is_no_fault() -> None:
    """Would catch: half of a lively source's rows held; a holiday of a source that rests on
    weekends, or that delivers on working days alone."""
    chance = random.Random(SEEDS[0])
    for weekend, noise in ((1.0, 0.15), (0.5, 0.03), (0.7, 0.1), (None, 0.02)):
        for _ in range(20):
            days = [
                n for n in range(17) if weekend is not None or (MONDAY + timedelta(n)).weekday() < 5
            ]
            levels = [
                weekend if weekend and (MONDAY + timedelta(n)).weekday() >= 5 else 1.0 for n in days
            ]
            counts = [round(2000 * level * math.exp(chance.gauss(0, noise))) for level in levels]
            past = [
                StoredMetrics(key(n), encoded(Metrics(count, {}, repeated=0)))
                for n, count in zip(days[:-1], counts, strict=False)
            ]
            today = Metrics(round(2000 * levels[-1] * 0.55), {}, repeated=0)
            facts = evaluate_partition(
                EvaluatedPartition(key=key(days[-1]), metrics=today), MetricHistory(past, Grain.DAY)
            )
            assert [fact for fact in facts if fact.severity is FactSeverity.HOLD] == [], (
                weekend,
                noise,
                counts,
            )


@pytest.mark.parametrize(
    ("rows", "orders", "size", "unit"),
    [
        (2.2, 1.0, 2.2, ""),
        (1.0, 2.2, 2.2, ""),
        (1.0, 1.0, 2.2, "pounds?"),
        (1.0, 1.0, 100.0, "cents?"),
        (2.2, 1.0, 100.0, "cents?"),
    ],
)
def test_what_rows_explain_is_no_other_unit(
    rows: float, orders: float, size: float, unit: str
) -> None:
    """Would catch: totals of twice the rows, said to be in pounds."""

    def of(number: int, rows: float = 1.0, orders: float = 1.0, size: float = 1.0) -> Metrics:
        wobble = 1 + 0.002 * (number * 7 % 5 - 2)
        columns = {
            name: ColumnMetrics(
                nulls=0.0, negative=0.0, zero=0.0, location=math.log(usual * wobble * times)
            )
            for name, usual, times in (("total", 500, size), ("orders", 40, orders))
        }
        return Metrics(round(1000 * rows), columns, repeated=0)

    history = MetricHistory([StoredMetrics(key(n), encoded(of(n))) for n in range(28)], Grain.DAY)
    facts = evaluate_partition(
        EvaluatedPartition(key=key(28), metrics=of(28, rows, orders, size)), history
    )
    shown = {fact.column: fact.detail for fact in facts}["total"]
    assert shown.startswith("location: × ") and unit in shown and ("?" in shown) == bool(unit)
