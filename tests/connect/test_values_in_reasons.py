"""Why a delivery is held or rejected, for somebody who may not read rows: without its values."""

from __future__ import annotations

import pytest

from headrace.connect.deliveries import AlmostTyped, BadColumn, Disagreement, error_text
from headrace.connect.formats.text_values import drift_of
from headrace.connect.row_partitions import _in_no_interval
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.model.texts import hidden, plain

SOURCE = Source(
    name="people",
    owner="x",
    place=Place(file=""),
    partition=PartitionSpec(grain=Grain.DAY, column="born"),
)


@pytest.mark.parametrize(
    "reason",
    [
        drift_of([BadColumn("age", "BIGINT", 3, "secret; it's", 7)]).reason,
        Disagreement("a.csv", "age", "BIGINT", "secret", 7).text,
        AlmostTyped("age", "BIGINT", 9, 10, "a.csv", "secret", 7).text,
        AlmostTyped("age", "DOUBLE", 9, 10, "a.csv", "secret", 7, comma=True).text,
        f"can't be read: {error_text(ValueError('Conversion Error: secret'), '/a.csv')}",
        str(_in_no_interval("secret", SOURCE)),
    ],
)
def test_a_reason_is_readable_without_its_value(reason: str) -> None:
    """Would catch: a value in a reason that isn't marked, so that it is shown to everybody."""
    assert "secret" in plain(reason)
    assert "secret" not in hidden(reason) and "…" in hidden(reason)


def test_values_of_classified_columns_are_in_nobodys_reason() -> None:
    drift = drift_of([BadColumn("age", "BIGINT", 3, "secret", 7), BadColumn("b", "DATE", 1, "x")])
    left = drift.without_values({"age"})
    assert plain(left.reason) == (
        "column age: first value that isn't BIGINT at line 7, 3 rows;"
        " column b: first value that isn't DATE: 'x', 1 row"
    )
