"""Large partitions are evaluated from a small sample first, and from a larger one where the first
could be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.checks import Audit
from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.sampling import near_limit
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics, decoded, encoded
from headrace.checks.profile_plan import FIRST_SAMPLE_ROWS, SAMPLE_ROWS
from headrace.model import Grain
from headrace.runtime.messages import AnomalyContext
from headrace.runtime.steps.anomalies import EvaluatedAudit, LargerSample, evaluated_audit
from tests.checks.quality_bench import Bench, check

ROWS = 100_000
TODAY = date(2024, 3, 1)
DAYS = 30
QUERY = """SELECT i AS id, CASE WHEN hash(i) % 1000 < {open} THEN 'open' ELSE 'done' END AS state,
 exp(3 + (hash(i * 3) % 1000) / 500.0) * {times} AS amount FROM range({rows}) r(i)"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A lake in a session of its own."""
    result = Bench(tmp_path / "lake")
    yield result
    result.close()


class Statements:
    """A connection that counts the statements that it runs."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.count = connection, 0

    def execute(self, query: str, *parameters: Any) -> Any:
        """Count and run a statement."""
        self.count += 1
        return self.connection.execute(query, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def staged(bench: Bench, open_share: int = 500, times: float = 1.0) -> Any:
    query = QUERY.format(open=open_share, times=times, rows=ROWS)
    return bench.stage(query, key=TODAY.isoformat(), hashed=False)


def history(vector: bytes) -> list[StoredMetrics]:
    days = (TODAY - timedelta(DAYS - number) for number in range(DAYS))
    return [StoredMetrics(day.isoformat(), vector) for day in days]


def evaluated(
    bench: Bench, file: Any, past: Sequence[StoredMetrics], *specs: Any
) -> tuple[Audit, EvaluatedAudit, int]:
    """The audit, its evaluation, and the number of statements that the evaluation ran."""
    audit = bench.audit(file, *specs)
    counted = Statements(bench.session.connection)
    bench.session.connection = counted  # type: ignore[assignment]
    try:
        larger = LargerSample(bench.session, *file, bench.timezone, ())
        known = MetricHistory(past, Grain.DAY)
        result = evaluated_audit(
            audit, file[0], [TODAY.isoformat()], AnomalyContext(), known, larger
        )
    finally:
        bench.session.connection = counted.connection
    return audit, result, counted.count


def test_a_sound_partition_is_evaluated_without_another_statement(bench: Bench) -> None:
    """Would catch: a second scan of each large partition."""
    file = staged(bench)
    past = history(bench.audit(file).metrics)
    audit, result, statements = evaluated(bench, file, past, check("unique", columns=["id"]))
    assert statements == 0 and result.audit is audit and not result.facts
    sampled = audit.profile["state"].sampled
    assert sampled is not None and sampled < 2 * FIRST_SAMPLE_ROWS


@pytest.mark.parametrize(
    ("open_share", "times", "facts"),
    [(500, 1.08, 0), (530, 1.0, 0), (700, 1.0, 1), (500, 10.0, 1)],
)
def test_a_metric_near_its_limit_is_decided_by_a_larger_sample_read_once(
    bench: Bench, open_share: int, times: float, facts: int
) -> None:
    """Would catch: a verdict that rests on the error of the small sample; checks measured twice."""
    past = history(bench.audit(staged(bench)).metrics)
    file = staged(bench, open_share, times)
    audit, result, statements = evaluated(bench, file, past, check("unique", columns=["id"]))
    assert statements == 1 and len(result.facts) == facts
    sampled = result.audit.profile["state"].sampled
    assert sampled is not None and sampled > 0.9 * SAMPLE_ROWS
    assert result.audit.results == audit.results
    shares = decoded(result.audit.metrics).columns["state"].shares
    assert shares["open"] == pytest.approx(open_share / 1000, abs=0.01)


def test_a_sample_that_cannot_tell_the_number_of_values_is_followed_by_a_larger_one(
    bench: Bench,
) -> None:
    """Would catch: a metric that is missing because the check of a key failed."""
    query = f"SELECT i // 2 AS pair FROM range({ROWS}) r(i)"
    file = bench.stage(query, key=TODAY.isoformat(), hashed=False)
    audit, result, statements = evaluated(bench, file, (), check("unique", columns=["pair"]))
    assert audit.profile["pair"].distinct is None and statements == 1
    assert result.audit.profile["pair"].distinct == pytest.approx(ROWS / 2, rel=0.05)


def test_only_the_partitions_of_a_batch_that_need_it_get_the_larger_sample(bench: Bench) -> None:
    """Would catch: a batch whose one odd day replaces the metrics of all, or none."""
    days = [(TODAY + timedelta(number)).isoformat() for number in range(3)]
    rows = " UNION ALL ".join(
        f"SELECT DATE '{day}' AS day, * FROM ({QUERY.format(open=share, times=1, rows=ROWS)})"
        for day, share in zip(days, (500, 700, 500), strict=True)
    )
    file = bench.batch(rows, "day", "DATE", days, hashed=False)
    past = history(bench.audit(staged(bench)).metrics)
    audit = bench.audit(file)
    columns = decoded(past[0].vector).columns | {
        "day": decoded(audit.of(days[0]).metrics).columns["day"]
    }
    vector = encoded(msgspec.structs.replace(decoded(past[0].vector), columns=columns))
    larger = LargerSample(bench.session, *file, bench.timezone, ())
    past = MetricHistory(history(vector), Grain.DAY)
    result = evaluated_audit(audit, file[0], days, AnomalyContext(), past, larger)
    assert {fact.partition for fact in result.facts} == {days[1]}
    for day in days:
        same = result.audit.of(day).metrics == audit.of(day).metrics
        assert same is (day != days[1])
    first, again = (
        each.of(days[1]).profile["state"].sampled or 0 for each in (audit, result.audit)
    )
    assert again > 3 * first


def test_metrics_that_come_from_elsewhere_stay_with_the_larger_sample(bench: Bench) -> None:
    """Would catch: repeated rows and unknown keys that are forgotten, so that a fault is missed."""
    file = staged(bench)
    audit = bench.audit(file)
    known = decoded(audit.metrics)
    state = msgspec.structs.replace(known.columns["state"], kept=0.25, unknown=0.5)
    vector = encoded(
        msgspec.structs.replace(
            known, repeated=7, open_end=True, columns={**known.columns, "state": state}
        )
    )
    larger = LargerSample(bench.session, *file, bench.timezone, ())
    result = decoded(larger.audit(msgspec.structs.replace(audit, metrics=vector)).metrics)
    assert (result.repeated, result.open_end) == (7, True)
    assert (result.columns["state"].kept, result.columns["state"].unknown) == (0.25, 0.5)
    assert result.columns["state"].shares != known.columns["state"].shares


USUAL = ColumnMetrics(
    nulls=0.0,
    empty=0.05,
    location=3.0,
    spread=0.1,
    distinct=math.log(5_000),
    length=2.5,
    hours=(0,) * 8 + (100,) * 8 + (0,) * 8,
    shares={"a": 0.5, "b": 0.3, "c": 0.2},
)


@pytest.mark.parametrize(
    ("field", "near", "far"),
    [
        ("location", 3.0 + math.log(1.1) - 0.02, 3.02),
        ("spread", 0.1 + math.log(1.4) - 0.04, 0.15),
        ("length", 2.5 + math.log(1.15) - 0.02, 2.53),
        ("empty", 0.065, 0.055),
        ("distinct", math.log(5_000) + math.log(1.4) - 0.1, math.log(5_200)),
        ("shares", {"a": 0.545, "b": 0.255, "c": 0.2}, {"a": 0.51, "b": 0.29, "c": 0.2}),
    ],
)
def test_each_metric_of_a_sample_has_an_error_that_may_decide(
    field: str, near: Any, far: Any
) -> None:
    """Would catch: a family that is never looked at again; a partition that always is."""
    usual = Metrics(ROWS, {"c": USUAL})
    past = MetricHistory(history(encoded(usual)), Grain.DAY)

    def partition(value: Any) -> EvaluatedPartition:
        column = msgspec.structs.replace(USUAL, **{field: value})
        return EvaluatedPartition(key=TODAY.isoformat(), metrics=Metrics(ROWS, {"c": column}))

    assert not evaluate_partition(partition(near), past), "not anomalous as it is"
    assert near_limit(partition(near), FIRST_SAMPLE_ROWS, past)
    assert not near_limit(partition(far), FIRST_SAMPLE_ROWS, past)
    many = near_limit(partition(near), 10**8, past)
    assert many is (field == "distinct"), "more rows leave no error, but of an estimate"
