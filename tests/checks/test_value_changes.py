"""What else is other about a renamed column: asked about where it is a unit or a sign, not where
the vendor delivers other rows as well."""

from __future__ import annotations

import math

import pytest

from headrace.checks.column_similarity import traits
from headrace.checks.facts import conversion, differences
from headrace.checks.metrics import ColumnMetrics


def past(share: float, size: float = 20.0) -> list[ColumnMetrics]:
    return [
        ColumnMetrics(nulls=0.0, negative=share, location=math.log(size * (1 + n / 50)))
        for n in range(4)
    ]


@pytest.mark.parametrize(
    ("before", "now", "asked"),
    [(0.44, 0.94, False), (0.0, 1.0, True), (0.9, 0.1, True), (0.0, 0.3, False)],
)
def test_a_sign_is_turned_round_where_the_share_is_mirrored(
    before: float, now: float, asked: bool
) -> None:
    """Would catch: longitudes of another country taken for another sign; a sign that nobody asks
    about.
    """
    cells = [str((-1 if n < now * 100 else 1) * (20 + n % 7 / 10)) for n in range(100)]
    result = differences(past(before), traits("x", "DOUBLE", 0.0, cells), "DOUBLE", None)
    assert [item.kind.value for item in result] == (["sign"] if asked else [])
    assert conversion("x", result) == ("-x" if asked else None)


@pytest.mark.parametrize(
    ("times", "text"), [(100, "x / 100"), (88, "x / 100"), (0.001, "x * 1000"), (1.1, None)]
)
def test_a_unit_is_named_though_a_day_is_off_by_itself(times: float, text: str | None) -> None:
    """Would catch: a conversion by 88, because that day's amounts were small; a tenth more asked
    about."""
    cells = [str(times * (20 + n % 7 / 10)) for n in range(100)]
    result = differences(past(0.0), traits("x", "DOUBLE", 0.0, cells), "DOUBLE", None)
    assert conversion("x", result) == text
