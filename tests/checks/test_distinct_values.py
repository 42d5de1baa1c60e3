"""Estimated numbers of distinct values, against counted ones."""

from __future__ import annotations

import random

import pytest

from headrace.checks.distinct_values import (
    HASHED_SHARE,
    MARKED_MIN,
    bitmap_bits,
    from_bitmap,
    from_sample,
    marked_sql,
)
from headrace.lake.sqltext import quote
from tests.checks.quality_bench import Bench, check

ROWS = 200_000
SEED = 20261124
COLUMNS = {
    "each once": "i",
    "each twice": "i // 2",
    "far apart": "i * 1_000_003 % 100_000",
    "names": "'name ' || (i * 7919 % 40_000)",
    "sorted": "i // 20",
    "most alike": "CASE WHEN i % 50 = 0 THEN i ELSE -1 END",
    "skewed": "floor(exp(ln(30_000) * ((i * 7919) % 100_003) / 100_003.0))::INTEGER",
    "decimals": "((i * 7919 % 50_000) / 100)::DECIMAL(9, 2)",
    "times": "TIMESTAMP '2024-03-01' + INTERVAL 1 SECOND * (i % 80_000)::INTEGER",
    "with nulls": "CASE WHEN i % 3 = 0 THEN i END",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_bitmap_gives_the_number_of_values_whatever_their_distribution(
    bench: Bench, column: str
) -> None:
    """Would catch: an estimate that depends on how often values occur, or on their order; nulls
    taken for values; hashes shifted out of the bitmap.
    """
    rows = f"SELECT {COLUMNS[column]} AS {quote(column)} FROM range({ROWS}) r(i)"
    bits = bitmap_bits(ROWS)
    marked, counted = bench.session.connection.execute(
        f"SELECT {marked_sql(column, bits)}, count(DISTINCT {quote(column)}) FROM ({rows})"
    ).fetchall()[0]
    estimate = from_bitmap(marked, bits)
    assert estimate is not None
    standard_error = (HASHED_SHARE / counted) ** 0.5
    assert estimate == pytest.approx(counted, rel=4 * standard_error)


def test_a_bitmap_with_few_bits_or_without_rows_says_nothing(bench: Bench) -> None:
    """Would catch: an estimate from a handful of values, and an error for a column of nulls."""
    bits = bitmap_bits(ROWS)
    (marked,) = bench.session.connection.execute(
        f"SELECT {marked_sql('c', bits)} FROM (SELECT NULL::VARCHAR AS c FROM range(10) r(i))"
    ).fetchall()[0]
    assert not marked and from_bitmap(marked or 0, bits) is None
    assert from_bitmap(MARKED_MIN - 1, bits) is None and from_bitmap(MARKED_MIN, bits)
    assert from_bitmap(bits, bits), "a full bitmap has no logarithm of zero"


@pytest.mark.parametrize("distinct", [3, 60, 500, 1_000])
def test_a_sample_shows_how_many_values_it_lacks(distinct: int) -> None:
    """Would catch: the distinct values of a sample taken for those of all rows."""
    chosen = random.Random(SEED + distinct)
    names = range(distinct)
    even = [chosen.choice(names) for _ in range(4_000)]
    skewed = chosen.choices(names, [1 / (1 + name) for name in names], k=4_000)
    assert from_sample(even, ROWS) == pytest.approx(distinct, rel=0.05), SEED
    assert from_sample(skewed, ROWS) == pytest.approx(distinct, rel=0.2), SEED


def test_a_sample_of_values_that_hardly_repeat_says_nothing() -> None:
    """Would catch: a guess where the sample can't tell a million values from a thousand."""
    assert from_sample(range(4_000), ROWS) is None
    assert from_sample([*range(4_000), *range(100)], ROWS) is None
    assert from_sample([], ROWS) == 0


def test_a_checked_key_has_as_many_values_as_rows_and_other_columns_are_estimated(
    bench: Bench,
) -> None:
    """Would catch: the number of a key that a failed check refutes; nulls counted as values."""
    staged = bench.stage(
        "SELECT i AS id, CASE WHEN i % 4 > 0 THEN i END AS part, i // 2 AS twice, i % 700 AS few"
        " FROM range(200_000) r(i)",
        hashed=False,
    )
    keys = [check("unique", name=column, columns=[column]) for column in ("id", "part", "twice")]
    profile = bench.audit(staged, *keys).profile
    assert (profile["id"].distinct, profile["part"].distinct) == (200_000, 150_000)
    assert profile["twice"].distinct is None, "the sample can't tell, and the check failed"
    assert profile["few"].distinct == pytest.approx(700, rel=0.02)
    assert bench.audit(staged).profile["twice"].distinct == pytest.approx(100_000, rel=0.05)
