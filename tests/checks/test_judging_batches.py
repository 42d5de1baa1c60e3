"""A history that grows by a batch's partitions judges each as one that was read anew, and sound
values are told from others by the definitions that the shortcuts stand for."""

from __future__ import annotations

import random
from datetime import date, timedelta

import anomaly_lab as lab
import msgspec
import pytest
from quality_bench import Bench, check

from headrace.checks import CheckState
from headrace.checks.anomalies import EvaluatedPartition, MetricHistory, evaluate_partition
from headrace.checks.anomalies.categories import (
    _are_as_usual,
    _Categories,
    _compared,
    _renamed,
)
from headrace.checks.anomalies.history import CategoryShares
from headrace.checks.metrics import MetricId, Metrics, StoredMetrics, encoded
from headrace.model import Grain

FIRST = date(2024, 1, 1)
DAYS = 70


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def changed(today: Metrics, chance: random.Random) -> Metrics:
    """The metrics of a day, some of which have a fault, or no rows."""
    if chance.random() < 0.8:
        return today
    column = chance.choice([name for name in today.columns if name.startswith("n")])
    was = today.columns[column]
    fault = chance.randrange(5)
    if fault == 0:
        return msgspec.structs.replace(today, rows=0)
    if fault == 1:
        return msgspec.structs.replace(today, rows=max(today.rows // 3, 1))
    if fault == 2:
        now = msgspec.structs.replace(was, nulls=0.4)
    elif fault == 3:
        now = msgspec.structs.replace(was, location=(was.location or 0.0) + 4.6)
    else:
        column = chance.choice([name for name in today.columns if name.startswith("c")])
        shares = {f"{name}2": share for name, share in today.columns[column].shares.items()}
        now = msgspec.structs.replace(today.columns[column], shares=shares)
    return msgspec.structs.replace(today, columns={**today.columns, column: now})


@pytest.mark.parametrize("grain", [Grain.DAY, Grain.MONTH])
def test_a_growing_history_judges_like_one_that_is_read_anew(grain: Grain) -> None:
    """Would catch: a series, forecast, range or share kept from before a partition was added, or
    with accepted partitions and missing days."""
    chance = seeded()
    source = lab.Source(str(chance.random()))
    grown, past = MetricHistory([], grain), list[StoredMetrics]()
    facts = 0
    for number in range(DAYS):
        today = changed(source.day(number, holiday=chance.random() < 0.05), chance)
        if chance.random() < 0.1:  # a day that never came
            continue
        key = (
            (FIRST + timedelta(number)).isoformat()
            if grain is Grain.DAY
            else f"{2000 + number // 12}-{number % 12 + 1:02}"
        )
        evaluated = EvaluatedPartition(key=key, metrics=today)
        fresh = MetricHistory(list(past), grain)
        anew = evaluate_partition(evaluated, fresh)
        assert evaluate_partition(evaluated, grown) == anew, key
        facts += len(anew)
        if today.rows and chance.random() < 0.95:
            stored = StoredMetrics(key, encoded(today), excepted=chance.random() < 0.05)
            past.append(stored)
            grown = MetricHistory(list(past), grain) if stored.excepted else grown
            if not stored.excepted:
                grown.add(stored)
    assert facts


def test_the_range_of_a_series_is_that_of_its_values() -> None:
    """Would catch: a range without the newest partitions, or of another metric."""
    chance = seeded()
    source, history = lab.Source(str(chance.random())), MetricHistory([], Grain.DAY)
    for number in range(40):
        today = source.day(number, holiday=False)
        history.add(StoredMetrics((FIRST + timedelta(number)).isoformat(), encoded(today)))
        for metric in today.values():
            values = history.series(metric).values
            assert history.least_and_most(metric) == (min(values), max(values))
    assert history.least_and_most(MetricId("share", "nothing", "x")) == (
        float("inf"),
        -float("inf"),
    )


def test_categories_that_are_as_usual_are_never_renamed() -> None:
    """Would catch: a renamed or missing category that the comparison of shares lets pass."""
    chance = seeded()
    usual = 0
    for _ in range(3000):
        names = "abcdefgh"[: chance.randint(2, 8)]
        known = CategoryShares()
        for _ in range(chance.randint(3, 20)):
            shares = {name: chance.uniform(0.9, 1.1) for name in names if chance.random() < 0.97}
            total = sum(shares.values()) or 1.0
            known.each.append({name: share / total for name, share in shares.items()})
            for name, share in known.each[-1].items():
                known.ordered.setdefault(name, []).append(share)
        for shares in known.ordered.values():
            shares.sort()
        today = dict(chance.choice(known.each))
        if today and chance.random() < 0.5:
            name = chance.choice(list(today))
            share = today.pop(name)
            today[chance.choice([*names, "z"])] = share
        rows = chance.choice([30, 300, 30_000])
        if _are_as_usual(known, today, rows):
            usual += 1
            categories: _Categories = _compared(known, today, rows, rows)
            for fixed in (False, True):
                assert _renamed(categories, fixed=fixed) == ((), ())
    assert usual


KEYS = ["2013-02-11", "2013-02-12", "2013-02-13"]
OUTSIDE = {
    "DATE '2013-02-12'": 0,
    "NULL": 1,
    "DATE '2013-02-13'": 1,
    "DATE '2013-02-10'": 1,
    "'infinity'::DATE": 1,
    "'-infinity'::DATE": 1,
}


@pytest.mark.parametrize(("value", "failing"), OUTSIDE.items())
def test_rows_of_a_batch_outside_their_partition_are_counted(
    bench: Bench, value: str, failing: int
) -> None:
    """Would catch: a row that bounds of the batch, nulls or infinities hide from the check."""
    rows = " UNION ALL ".join(
        [
            "SELECT DATE '2013-02-11' AS routed, DATE '2013-02-11' AS day",
            f"SELECT DATE '2013-02-12', {value}",
            "SELECT DATE '2013-02-12', DATE '2013-02-12'",
            "SELECT DATE '2013-02-13', DATE '2013-02-13'",
        ]
    )
    found = bench.audit(
        bench.batch(rows, "routed", "DATE", KEYS),
        partition_check=("day", Grain.DAY, "UTC"),
        partitions=KEYS,
    )
    failed = [result for result in found.results if result.outcome is CheckState.FAILED]
    assert [(result.kind, result.failing) for result in failed] == (
        [("row_outside_partition", failing)] if failing else []
    )
    assert [len(found.of(key).results) for key in KEYS] == [0, int(bool(failing)), 0]


@pytest.mark.parametrize("described", [True, False])
def test_a_profile_counts_a_key_as_the_scan_does(bench: Bench, described: bool) -> None:
    """Would catch: nulls, other spellings of a text or a partition without rows counted as keys."""
    rows = (
        "SELECT DATE '2013-02-11' + CAST(i % 2 AS INTEGER) AS day, i // 2 AS id,"
        " CASE i % 11 WHEN 0 THEN NULL WHEN 4 THEN 'é' WHEN 6 THEN 'e' || chr(769)"
        " WHEN 8 THEN 'a' || chr(0) ELSE 'a' || (i // 4) END AS text FROM range(60) r(i)"
    )
    found = bench.audit(
        bench.batch(rows, "day", "DATE", KEYS),
        check("unique", name="id", columns=["id"]),
        check("unique", "warning", name="text", columns=["text"]),
        partition_check=("day", Grain.DAY, "UTC"),
        partitions=KEYS,
        described=described,
    )
    keys, texts = found.results
    assert (keys.rows, keys.failing) == (60, 0)
    connection = bench.session.connection
    expected = {
        str(day): (known, known - distinct)
        for day, known, distinct in connection.execute(
            f"SELECT day, count(text), count(DISTINCT text) FROM ({rows}) GROUP BY day"
        ).fetchall()
    }
    for day, counts in expected.items():
        result = found.of(day).results[1]
        assert (result.rows, result.failing) == counts
    assert texts.failing == sum(repeated for _, repeated in expected.values())
    assert found.of(KEYS[2]).results[0].outcome is CheckState.UNCHECKED
