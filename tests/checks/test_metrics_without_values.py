"""Metrics of a column that was classified after they were recorded."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.checks.metrics import of, without_values
from headrace.checks.profiles import describe
from headrace.checks.values import ValueKind, Values


@pytest.mark.parametrize("distinct", [1, 29, 30, 31])
@pytest.mark.parametrize(
    ("kind", "value"),
    [(ValueKind.TEXT, "v{}".format), (ValueKind.NUMBER, int), (ValueKind.INSTANT, int)],
)
def test_they_are_as_if_it_had_been_classified_from_the_start(
    kind: ValueKind, value: Any, distinct: int
) -> None:
    """Catches: a value that stays in what is kept of earlier partitions, and a metric that is lost
    by it at the least number of distinct values."""
    values = Values.listed([value(number) for number in range(1, distinct + 1)] * 2)

    def metrics(*, classified: bool) -> bytes:
        profile = describe(values, kind, "UTC", classified=classified)
        return of({"A": profile, "b": describe(values, kind, "UTC")}, values.rows)

    assert without_values(metrics(classified=False), {"a"}) == metrics(classified=True)
