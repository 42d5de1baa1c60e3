"""Estimates of a column's number of distinct values, for files of which only a sample is profiled.

The scan marks values in a bitmap by their hash, and only those whose hash is in the lowest
sixteenth of its range. Marked bits give the number of distinct values with a standard error of at
most an eighth (linear counting), whatever the distribution of the values. Columns with too few
distinct values for that are estimated from the sample, which has nearly all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from headrace.lake.sqltext import quote

HASHED_SHARE = 16
"""One value in this number is marked; hashing all of them takes a third of DuckDB's estimate."""
MARKED_MIN = 64
"""The number of marked bits from which on they give the estimate: its error is then 1 / 8."""
SINGLE_MAX = 0.5
"""The share of distinct values that a sample may have only once, to show how many there are."""
_HASH_BITS = 64
_BITS_MIN, _BITS_MAX = 2**10, 2**26
"""A bitmap has a bit for each row that may be marked; 8 MiB are enough for 10⁹ rows."""


def bitmap_bits(rows: int) -> int:
    """Return the size of the bitmap for a column with at most that number of rows, a power of 2."""
    needed = max(rows // HASHED_SHARE, 1)
    return min(max(1 << (needed - 1).bit_length(), _BITS_MIN), _BITS_MAX)


def marked_sql(column: str, bits: int) -> str:
    """Return the aggregate for the number of marked bits; null if there are none.

    Nulls have one hash and mark at most one bit.
    """
    hashed = f"hash({quote(column)})"
    below = 2**_HASH_BITS // HASHED_SHARE
    shift = (below // bits).bit_length() - 1
    # a CASE costs less than a FILTER, for which DuckDB copies the references of all columns
    return (
        f"bit_count(bitstring_agg(CASE WHEN {hashed} < {below}"
        f" THEN CAST({hashed} >> {shift} AS INTEGER) END, 0, {bits - 1}))"
    )


def from_bitmap(marked: int, bits: int) -> float | None:
    """Return the estimate from the number of marked bits; None if they are too few."""
    if marked < MARKED_MIN:
        return None
    free = max(bits - marked, 0.5)
    return HASHED_SHARE * bits * math.log(bits / free)


def from_sample(values: Iterable[Any], rows: int) -> float | None:
    """Return the estimate from a sample of `rows` values (Chao 1984, corrected for bias).

    Values that the sample has once or twice show how many it lacks; None if that are too many.
    """
    often = Counter(Counter(values).values())
    if often[1] > SINGLE_MAX * often.total():
        return None
    unseen = often[1] * (often[1] - 1) / (2 * (often[2] + 1))
    return min(often.total() + unseen, rows)
