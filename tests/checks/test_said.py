"""What a check that failed says where nothing else of it is shown."""

from __future__ import annotations

import pytest

from headrace.checks.results import CheckResult, CheckState
from headrace.model import Severity


@pytest.mark.parametrize(
    ("name", "kind", "detail", "said"),
    [
        ("parts_add_up", "sql", "2 rows returned", "parts_add_up: 2 rows returned"),
        ("sql", "sql", "2 rows returned", "2 rows returned"),
        ("not_null_carrier", "not_null", "carrier: 3 rows empty", "carrier: 3 rows empty"),
        ("row_count", "row_count", "", "row_count"),
    ],
)
def test_what_a_query_looks_for_is_named(name: str, kind: str, detail: str, said: str) -> None:
    """Would catch: a day rejected because `1 row returned`, of which nobody knows what it was asked
    for.
    """
    result = CheckResult(
        name, kind, Severity.BLOCKING, CheckState.FAILED, rows=10, failing=2, detail=detail
    )
    assert result.summary == said
