"""What is told of columns' values: exact on small files, the same each time on large ones, nothing
of classified columns.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from quality_bench import NEW_YORK, Bench, check

from headrace.checks import metrics
from headrace.checks.metrics import CATEGORIES_MAX, MetricId, decoded
from headrace.checks.profiles import PATTERNS_MAX, TOP_MAX, describe
from headrace.checks.results import ColumnProfile
from headrace.checks.values import ProfiledColumn, ValueKind, Values, aggregate, columns_of, kind_of

SECRET = "Rosalind"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "lake")
    yield made
    made.close()


def numbers(values: list[float | None]) -> ColumnProfile:
    return describe(Values.listed(list(values)), ValueKind.NUMBER, "UTC")


def texts(values: Sequence[str | None]) -> ColumnProfile:
    return describe(Values.listed(list(values)), ValueKind.TEXT, "UTC")


def column(bench: Bench, expression: str, rows: int = 3, **more: Any) -> ColumnProfile:
    """Of the expression over `i` for so many rows, as an audit tells it."""
    return bench.audit(
        bench.stage(f"SELECT {expression} AS c FROM range({rows}) r(i)"), **more
    ).profile["c"]


def test_random_numbers_are_described_as_counting_them_says() -> None:
    """Would catch: nulls counted as values, quantiles of the wrong place, a frequent value missed
    or told twice, signs swapped.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        choices = [rng.uniform(-9, 9) for _ in range(rng.choice((1, 3, 40, 400)))] + [0.0, None]
        values = [rng.choice(choices) for _ in range(rng.randrange(1, 900))]
        known = sorted(value for value in values if value is not None)
        result = numbers(values)
        assert (result.rows, result.nulls) == (len(values), len(values) - len(known))
        if not known:
            continue
        counts = Counter(known)
        assert result.distinct == len(counts)
        assert result.negative == sum(value < 0 for value in known) and result.zero == counts[0.0]
        assert result.mean == pytest.approx(sum(known) / len(known), abs=1e-9)
        assert result.quantiles is not None
        assert result.quantiles[2] == known[(len(known) - 1) // 2]
        assert all(counts[float(value)] == count for value, count in result.top)
        assert len({value for value, _ in result.top}) == len(result.top)
        expected = sorted(
            -count
            for count in counts.values()
            if result.categorical or count >= max(2, math.ceil(len(known) / 50))
        )
        assert [-count for _, count in result.top] == expected[
            : None if result.categorical else TOP_MAX
        ]


def test_special_numbers_break_nothing(bench: Bench) -> None:
    """Would catch: a mean of NaN, the logarithm of zero or of the least integer's absolute value,
    numbers that JSON can't hold.
    """
    assert column(bench, "(['nan', 'inf', '-inf'])[i + 1]::DOUBLE").mean is None
    assert column(bench, "(['nan', '1', '3'])[i + 1]::FLOAT").mean == 2.0
    assert column(bench, "0.1::FLOAT").top == (("0.10000000149011612", 3),)
    assert numbers([0.0, 0.0]).location is None
    assert column(bench, "NULL::DOUBLE").distinct is None
    assert numbers([1e308, 1e308, 1e308]).mean == pytest.approx(1e308)
    assert (
        column(bench, "([-9223372036854775808, 9223372036854775807])[i + 1]::BIGINT", 2).negative
        == 1
    )
    assert column(bench, "(18446744073709551615 - i)::UBIGINT").distinct == 3
    assert column(bench, "([1, 2, 4])[i + 1]::DECIMAL(38, 2)").mean == pytest.approx(7 / 3)
    assert column(bench, "CASE WHEN i = 0 THEN [1] END", 2) == ColumnProfile(2, 1)


def test_texts_are_told_by_lengths_and_shapes(bench: Bench) -> None:
    """Would catch: bytes counted for characters, blanks taken for values, a shape that shows the
    value, a text that ends the JSON that it comes in."""
    result = texts(["EWR", "JFK", "Zürich-8", "", "  ", None])
    assert result.empty == 2 and result.lengths == (0, 16 / 5, 8) and result.distinct == 5
    assert result.patterns[0] == ("AAA", 2) and len(result.patterns) <= PATTERNS_MAX
    assert ("Aaaaaa-9", 1) in texts(["Zürich-8"]).patterns
    hostile = ['"]}', "\\", "null", "\x00", "\u2028", "'", '"c1":[']
    told = column(bench, f"([{', '.join(quoted(text) for text in hostile)}])[i % 7 + 1]", 70)
    assert dict(told.top) == dict.fromkeys(hostile, 10)


def quoted(text: str) -> str:
    return " || ".join(f"chr({ord(item)})" for item in text)


def test_hours_are_those_of_the_node_s_clock(bench: Bench) -> None:
    """Would catch: hours of UTC, which jump when summer time begins and look like a vendor's clock
    that went wrong.
    """
    instants = [1_360_569_600_000_000, 1_360_573_200_000_000]  # 2013-02-11 08:00 and 09:00 UTC
    hours = describe(Values.listed(instants), ValueKind.INSTANT, NEW_YORK).hours
    assert hours[3] == hours[4] == 1 and sum(hours) == 2
    zoned = "TIMESTAMPTZ '2013-07-11 08:00:00+00' + to_hours(i::INTEGER)"
    assert column(bench, zoned, 2, timezone=NEW_YORK).hours[4:6] == (1, 1)
    assert column(bench, f"({zoned}) AT TIME ZONE 'UTC'", 2, timezone=NEW_YORK).hours[8:10] == (
        1,
        1,
    )
    assert (
        column(
            bench,
            "CASE WHEN i < 2 THEN TIMESTAMP 'infinity' ELSE TIMESTAMP '290000-01-01' END",
            timezone=NEW_YORK,
        ).hours
        == ()
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("BIGINT", "(i * 7919) % 13 - 6"),
        ("UBIGINT", "18446744073709551615 - i % 3"),
        ("HUGEINT", "i % 3"),
        ("DOUBLE", "([0.1, -0.0, 0.0, 1e300, 'nan', NULL])[i % 6 + 1]"),
        ("FLOAT", "i % 5 / 3"),
        ("DECIMAL(9,2)", "i % 7 / 4"),
        ("VARCHAR", "([NULL, '', ' ', '\"x', 'é'])[i % 5 + 1]"),
        ("BOOLEAN", "([true, false, NULL])[i % 3 + 1]"),
        ("DATE", "DATE '2013-02-11' + (i % 3)::INTEGER"),
        ("TIMESTAMP", "TIMESTAMP '2013-02-11' + to_hours((i % 30)::INTEGER)"),
        ("TIME", "TIME '10:00' + to_minutes((i % 3)::INTEGER)"),
        (
            "TIMESTAMP WITH TIME ZONE",
            "TIMESTAMPTZ '1913-03-10 00:07:00+00' + to_hours((i % 30)::INTEGER)",
        ),
    ],
)
def test_values_that_are_counted_are_described_as_those_that_are_listed(
    bench: Bench, kind: str, value: str
) -> None:
    """Would catch: keys of another type than the values, nulls that are lost, a column that is
    described by the size of its file."""
    counts, rows = kind_of(kind), 900
    assert counts is not None
    wanted = [ProfiledColumn("c", kind, counts), ProfiledColumn("c", kind, counts, counted=True)]
    source = f"SELECT ({value})::{kind} AS c FROM range({rows}) r(i)"
    row = bench.session.connection.execute(
        f"SELECT {', '.join(aggregate([item]) for item in wanted)} FROM ({source})"
    ).fetchone()
    assert row is not None
    each, counted = (
        describe(next(columns_of(text, [item], rows)), counts, NEW_YORK)
        for text, item in zip(row, wanted, strict=True)
    )
    assert each == counted and each.distinct


def test_days_and_times_are_counted_however_far_off(bench: Bench) -> None:
    """Would catch: a date that can't be told in microseconds ends the audit."""
    assert (
        column(
            bench, "CASE WHEN i = 0 THEN DATE '5881580-07-10' WHEN i = 1 THEN DATE '-infinity' END"
        ).distinct
        == 2
    )
    assert column(bench, "TIMETZ '10:00:00+00' + INTERVAL (i) HOUR").distinct == 3


def test_shares_are_told_of_few_values_that_come_often() -> None:
    """Would catch: a key taken for categories, whose shares are new each day."""
    few = texts(["a"] * 30 + ["b"] * 10)
    values = metrics.measured({"c": few}, 40).values()
    assert values[MetricId("share", "c", "a")] == 0.75 and values[MetricId("rows")] == math.log(41)
    key = texts([str(n) for n in range(CATEGORIES_MAX)])
    assert not [
        item for item in metrics.measured({"c": key}, 50).values() if item.family == "share"
    ]
    vector = metrics.of({"c": few}, 40)
    assert decoded(vector).values() == values and len(vector) < 80


def test_a_large_file_gives_the_same_profile_twice_from_a_sample(bench: Bench) -> None:
    """Would catch: estimates that depend on which thread came first; a sample that is told as if it
    was everything.
    """
    staged = bench.stage(
        "SELECT i AS id, i % 4 AS kind, CASE WHEN i % 10 = 0 THEN NULL ELSE i - 150_000 END AS n,"
        " 'x' || (i % 7) AS name FROM range(300_000) r(i)",
        hashed=False,
    )
    first, second = bench.audit(staged, check("row_count", min=1)), bench.audit(staged)
    assert first.profile == second.profile and first.metrics == second.metrics != b""
    result = first.profile
    assert result["id"].sampled is not None and 3_700 < result["id"].sampled < 4_300
    assert (result["n"].nulls, result["n"].negative, result["n"].zero, result["kind"].zero) == (
        30_000,
        135_000,
        0,
        75_000,
    )
    assert result["kind"].distinct == 4 and result["id"].distinct == pytest.approx(
        300_000, rel=0.15
    )
    assert result["id"].quantiles is not None and result["id"].quantiles[2] == pytest.approx(
        150_000, rel=0.05
    )
    shares = decoded(first.metrics).columns["kind"].shares
    assert (
        all(share == pytest.approx(0.25, abs=0.03) for share in shares.values())
        and len(shares) == 4
    )


def test_partitions_of_a_batch_are_described_as_if_each_had_come_alone(bench: Bench) -> None:
    """Would catch: values of a partition counted to its neighbour."""
    days = ["2013-02-11", "2013-02-12", "2013-02-13"]
    rows = (
        "SELECT DATE '2013-02-11' + (i % 2)::INTEGER AS day, i AS id, 'n' || (i % 5) AS name, i / 7"
        " AS share FROM range(1_000) r(i)"
    )
    batch = bench.audit(
        bench.batch(f"SELECT * FROM ({rows}) ORDER BY id", "day", "DATE", days),
        check("row_count", min=0),
    )
    for day in days[:2]:
        alone = bench.audit(
            bench.stage(f"SELECT * FROM ({rows}) WHERE day = DATE '{day}' ORDER BY id", key=day)
        )
        assert batch.of(day).profile == alone.profile and batch.of(day).metrics == alone.metrics
    assert decoded(batch.of(days[2]).metrics).rows == 0


@pytest.mark.parametrize("rows", [200, 120_000])
def test_nothing_of_a_classified_column_s_values_is_kept(bench: Bench, rows: int) -> None:
    """Would catch: names of people in the store, by the file's bounds, as a frequent value or in
    the metrics."""
    staged = bench.stage(
        f"SELECT i AS id, '{SECRET}' AS Name, 31337 AS salary FROM range({rows}) r(i)", hashed=False
    )
    result = bench.audit(staged, classified=["name", "salary"])
    kept = repr(result.profile) + repr(decoded(result.metrics))
    assert SECRET not in kept and "31337" not in kept
    assert result.profile["Name"].distinct is not None and result.profile["salary"].nulls == 0
    assert result.profile["id"].maximum == str(rows - 1)


def test_a_range_that_the_footer_proves_is_not_counted_and_one_that_is_broken_is_found(
    bench: Bench,
) -> None:
    """Would catch: a proof from bounds of another type, of text, or of floats with NaN."""
    staged = bench.stage(
        "SELECT i AS n, (i / 4)::DECIMAL(6,2) AS d, CASE WHEN i = 9 THEN 'nan'::DOUBLE ELSE i END"
        " AS f FROM range(10) r(i)"
    )
    checks = [
        check("range", column="n", min=0, max=9),
        check("range", column="d", min=0, max=2.25),
        check("range", column="n", min=1),
    ]
    result = bench.audit(
        staged,
        *checks,
        check("range", column="d", max=2.24),
        check("range", column="f", min=0, max=9),
    ).results
    assert [(item.rows, item.failing) for item in result] == [
        (10, 0),
        (10, 0),
        (10, 1),
        (10, 1),
        (10, 1),
    ]
