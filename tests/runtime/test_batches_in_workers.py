"""What a worker does with several partitions at once: prove that it may, and say what
it changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_bench import WorkerBench, unique

from headrace.engine import ErrorKind
from headrace.runtime.messages import FailedOutcome, PublishedRows, RowChangeCounts

KEYS = ("2025-01-01", "2025-01-02", "2025-01-03")
EVENTS = (
    "SELECT DATE '2025-01-01' + CAST(i % 3 AS INTEGER) AS day, i AS id, i % 7 AS kind, i / 7 AS"
    " share FROM range(30) r(i)"
)
MIDDLE = f"SELECT * FROM ({EVENTS}) WHERE day = DATE '2025-01-02'"
BY_KIND = "SELECT day, kind, count(*) AS n, sum(share) AS share FROM events GROUP BY ALL"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WorkerBench]:
    made = WorkerBench(tmp_path)
    yield made
    made.close()


def test_a_first_batch_is_proven_and_makes_the_table(bench: WorkerBench) -> None:
    """Would catch: a proof that always fails, what it computed left in the lake, and a batch that
    needs a table to be there.
    """
    outcome = bench.perform(
        bench.proving(BY_KIND, KEYS, bench.rows("events", EVENTS), bench.rows("events", MIDDLE))
    )
    assert outcome.state == "staged"
    assert outcome.staged is not None and outcome.table is not None
    assert [(part.key, part.content_hash is not None) for part in outcome.staged.partitions] == [
        (key, True) for key in KEYS
    ]
    assert bench.left_behind() == [Path(outcome.staged.path).name]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT day, id, count(*) OVER () AS n FROM events", "as many rows, other values"),
        (
            "SELECT day, id FROM events QUALIFY row_number() OVER (ORDER BY day, id) > 10",
            "0 rows alone, 10 in the batch",
        ),
        (
            "SELECT day, id, lag(id) OVER (ORDER BY day, id) AS before FROM events",
            "as many rows, other values",
        ),
        (
            "SELECT day, id, lead(id) OVER (ORDER BY day, id) AS after FROM events",
            "as many rows, other values",
        ),
        (
            (
                "SELECT day, id, CAST(share AS FLOAT) + CAST((SELECT sum(id) FROM events) AS FLOAT)"
                " AS share FROM events"
            ),
            "as many rows",
        ),
    ],
    ids=["count over all", "other rows", "the row before", "the row after", "not only rounded"],
)
def test_what_depends_on_the_neighbours_isnt_separable(
    bench: WorkerBench, sql: str, said: str
) -> None:
    """Would catch: partitions published that alone would be others, because the batch showed the
    body its neighbours' rows.
    """
    outcome = bench.perform(
        bench.proving(sql, KEYS, bench.rows("events", EVENTS), bench.rows("events", MIDDLE))
    )
    assert isinstance(outcome, FailedOutcome)
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.NOT_SEPARABLE, "not_separable")
    assert "2025-01-02" in outcome.error.message and said in outcome.error.message
    assert outcome.measures.rows_in == 30 and bench.left_behind() == []


def test_sums_that_differ_in_their_last_digit_are_the_same(bench: WorkerBench) -> None:
    """Would catch: a body taken for not separable because numbers with a point were added in
    another order."""
    forth, back = (
        "SELECT DATE '2025-01-02' AS day, 1 / (i + 1) AS share FROM range(999) r(i) ORDER BY i"
        f" {order}"
        for order in ("", "DESC")
    )
    outcome = bench.perform(
        bench.proving(
            "SELECT day, sum(share) AS share FROM events GROUP BY day",
            KEYS,
            bench.rows("events", forth),
            bench.rows("events", back),
        )
    )
    assert outcome.state == "staged", outcome


def test_one_bad_day_leaves_no_file_of_its_batch(bench: WorkerBench) -> None:
    """Would catch: a whole batch in quarantine for one of its days, or its file forgotten in the
    lake.
    """
    sql = "SELECT day, id % 20 AS id FROM events"
    outcome = bench.perform(
        bench.task(sql, KEYS, bench.rows("events", EVENTS), checks=(unique("id"),))
    )
    assert (outcome.state, outcome.quarantined) == ("staged", None), outcome.reason
    outcome = bench.perform(
        bench.task(
            "SELECT day, id % 8 AS id FROM events",
            KEYS,
            bench.rows("events", EVENTS),
            checks=(unique("id"),),
        )
    )
    assert (outcome.state, outcome.quarantined) == ("rejected", None)
    assert len(bench.left_behind()) == 1 and not list(bench.folders.quarantine.glob("*"))


NOW = """SELECT * FROM (VALUES (DATE '2025-01-01', 1, 'a', 1.5), (DATE '2025-01-01', 2, 'b', 2.5), (DATE '2025-01-01', 2, 'b', 2.5),
    (DATE '2025-01-02', 3, 'c', 3.5), (DATE '2025-01-02', 4, 'd', 'nan'::DOUBLE), (DATE '2025-01-03', 5, NULL, 5.5))
    v(day, id, name, share)"""
THEN = """SELECT * FROM (VALUES (DATE '2025-01-01', 1, 'a', 1.5), (DATE '2025-01-01', 2, 'b', 2.5), (DATE '2025-01-02', 3, 'C', 3.5),
    (DATE '2025-01-02', 4, 'd', 'nan'::DOUBLE), (DATE '2025-01-02', 9, 'z', 0), (DATE '2025-01-03', 5, NULL, 5.5))
    v(day, id, name, share)"""


def _changed(bench: WorkerBench, now: str, then: str, **more: object) -> dict[str, RowChangeCounts]:
    previous, hashes = bench.days("daily", then, KEYS)
    outcome = bench.perform(
        bench.task(
            "SELECT * FROM events",
            KEYS,
            bench.rows("events", now),
            previous=PublishedRows(previous, hashes),
            **more,
        )
    )
    assert outcome.state == "staged", outcome.reason
    return outcome.changed


def test_what_changes_is_counted_for_each_partition(bench: WorkerBench) -> None:
    """Would catch: changes of one day counted for another, duplicates overlooked, a day that is the
    same told as changed.
    """
    assert _changed(bench, NOW, THEN) == {
        "2025-01-01": RowChangeCounts(added=1),
        "2025-01-02": RowChangeCounts(added=1, removed=2),
    }
    assert _changed(bench, NOW, f"SELECT * FROM ({THEN}) LIMIT 0") == {
        "2025-01-01": RowChangeCounts(added=3),
        "2025-01-02": RowChangeCounts(added=2),
        "2025-01-03": RowChangeCounts(added=1),
    }
    assert _changed(bench, NOW, NOW) == {}


def test_with_a_key_a_row_that_differs_has_changed(bench: WorkerBench) -> None:
    """Would catch: a changed cell told as a row that went and one that came, and keys believed that
    are there twice."""
    keyed = f"SELECT DISTINCT * FROM ({NOW})"
    checks = (unique("day", "ID"),)
    assert _changed(bench, keyed, THEN, checks=checks) == {
        "2025-01-02": RowChangeCounts(removed=1, changed=1)
    }
    assert _changed(
        bench, keyed, f"{THEN} UNION ALL SELECT DATE '2025-01-01', 1, 'a', 1.5", checks=checks
    ) == {
        "2025-01-01": RowChangeCounts(removed=1),
        "2025-01-02": RowChangeCounts(added=1, removed=2),
    }


def test_columns_that_came_went_or_have_another_type_are_compared_too(bench: WorkerBench) -> None:
    """Would catch: an attempt that fails, or that says that nothing changed, because the code gives
    other columns now."""
    then = "SELECT * REPLACE (CAST(id AS VARCHAR) AS id), NULL::INTEGER AS gone FROM ({})".format(
        f"SELECT DISTINCT * FROM ({NOW})"
    )
    now = f"SELECT DISTINCT * FROM ({NOW})"
    checks = (unique("id"),)
    assert _changed(bench, now, then, checks=checks) == {}
    assert _changed(
        bench, f"SELECT *, CASE WHEN id = 3 THEN 1 END AS new FROM ({now})", then, checks=checks
    ) == {"2025-01-02": RowChangeCounts(changed=1)}


def test_identical_partitions_arent_read_again(bench: WorkerBench) -> None:
    """Would catch: a backfill that changes nothing and still reads all that is published."""
    previous, hashes = bench.days("daily", THEN, KEYS)
    for file in (bench.folders.lake / "main/daily").glob("*"):
        file.unlink()
    same = bench.task(
        "SELECT * FROM events",
        KEYS,
        bench.rows("events", THEN),
        previous=PublishedRows(previous, hashes),
    )
    assert bench.perform(same).state == "staged"
    other = bench.task(
        "SELECT * FROM events",
        KEYS,
        bench.rows("events", NOW),
        previous=PublishedRows(previous, hashes),
    )
    outcome = bench.perform(other)
    assert isinstance(outcome, FailedOutcome) and (outcome.error.kind, outcome.error.code) == (
        ErrorKind.ENVIRONMENT,
        "data_corrupted",
    )
    assert len(bench.left_behind()) == 1
