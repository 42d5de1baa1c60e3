"""A series of a few partitions: what is a factor away from each of them is held or said."""

from __future__ import annotations

import math
from datetime import date, timedelta

import anomaly_lab as lab
import pytest

from headrace.model import Grain
from headrace.quality.anomalies import History, Partition, judge
from headrace.quality.facts import Fact, Severity
from headrace.quality.metrics import ColumnMetrics, Metrics, Past, encoded

MONDAY = date(2024, 1, 8)
SEEDS = (21, 22)
DAYS = 28


def key(number: int) -> str:
    return (MONDAY + timedelta(number)).isoformat()


def day(number: int, rows: float = 1000, size: float = 20.0, nulls: float = 0.0, negative: float = 0.0) -> Metrics:
    wobble = 1 + 0.02 * (number * 7 % 5 - 2)
    amount = ColumnMetrics(
        nulls=nulls, negative=negative, zero=0.0, location=math.log(size * wobble),
        spread=-0.2, distinct=math.log(900),
    )  # fmt: skip
    return Metrics(int(rows * wobble), {"amount": amount}, repeated=0)


def told(today: Metrics, past: int, at: int | None = None) -> list[tuple[str, str, str]]:
    history = History([Past(key(n), encoded(day(n))) for n in range(past)], Grain.DAY)
    facts = judge(Partition(key=key(past if at is None else at), metrics=today), history)
    return [(fact.kind, fact.column, fact.severity.value) for fact in facts]


@pytest.mark.parametrize(("past", "severity"), [(2, None), (3, "warn"), (6, "warn"), (7, "hold"), (14, "hold"), (27, "hold")])
@pytest.mark.parametrize("times", [2.0, 0.3])
def test_rows_a_factor_beyond_every_neighbour(past: int, severity: str | None, times: float) -> None:
    """Would catch: twice the rows under keys of their own, published because there aren't four weeks
    of history; a judgement by two partitions."""
    wanted = [("volume_anomaly", "", severity)] if severity else []
    at = past if (MONDAY + timedelta(past)).weekday() < 5 else past + 2
    assert told(day(at, rows=1000 * times), past, at) == wanted
    assert told(day(past), past) == []


@pytest.mark.parametrize(("past", "severity"), [(2, None), (3, "hold"), (10, "hold")])
@pytest.mark.parametrize("times", [100.0, 0.01, 1000.0, 60.0])
def test_another_unit_is_asked_about_from_three_partitions_on(past: int, severity: str | None, times: float) -> None:
    """Would catch: cents published as euros in the first weeks."""
    wanted = [("distribution_shift", "amount", severity)] if severity else []
    assert told(day(past, size=20 * times), past) == wanted


@pytest.mark.parametrize(("past", "severity"), [(3, "warn"), (7, "hold")])
def test_nulls_and_signs_that_never_were(past: int, severity: str) -> None:
    """Would catch: a column that is emptied, or turned round, in the second week."""
    assert told(day(past, nulls=0.6), past) == [("null_spike", "amount", severity)]
    assert told(day(past, negative=1.0), past) == [("distribution_shift", "amount", severity)]


def test_the_first_weekend_and_an_end_of_a_month_may_be_other_days() -> None:
    """Would catch: the first Saturday, at a third of the rows, called a fault."""
    assert told(day(5, rows=330), 5) == []
    first = (date(2024, 2, 1) - MONDAY).days
    assert [severity for *_, severity in told(day(first, rows=2200), 10, first)] == ["warn"]


def test_sound_days_of_young_projects_are_hardly_ever_held() -> None:
    """Would catch: a limit that holds more than one sound partition in a thousand before there are
    four weeks of history. 2 simulated projects of 20 sources; the seeds are the lab's."""
    judged, held = 0, list[tuple[int, str, Fact]]()
    for seed in SEEDS:
        project = lab.Project(seed)
        past: list[list[Past]] = [[] for _ in project.sources]
        for number in range(DAYS):
            at = (lab.FIRST + timedelta(number)).isoformat()
            made = [one.day(number, holiday=number in project.holidays) for one in project.sources]
            for own, metrics in zip(past, made, strict=True):
                facts = judge(Partition(key=at, metrics=metrics), History(own, Grain.DAY))
                found = [(seed, at, fact) for fact in facts if fact.severity is Severity.HOLD]
                judged, held = judged + 1, held + found
                if not found:
                    own.append(Past(at, encoded(metrics)))
    assert len(held) <= judged / 1000, held
