"""Texts without the values that they quote, for people who may not read rows."""

from __future__ import annotations

import pytest

from headrace.services.hidden_values import text_without_values, without_values
from headrace.services.responses.history import ColumnFigureRow


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("branch: 'Oslo' is 'Bergen'", "branch: '…' is '…'"),
        ("the column hasn't 'it\\'s \"x\"' in it", "the column hasn't '…' in it"),
        ('name: "O\'Hara" is new', "name: '…' is new"),
        (
            "a: first value that isn't BIGINT: 'x' y', 1 row",
            "a: first value that isn't BIGINT: '…'",
        ),
        ("cut: 'a value without an e", "cut: '…'"),
        ("origin: 3 rows not in EWR, JFK (Oslo (N), Rome)", "origin: 3 rows not in EWR, JFK (…)"),
        ("mail: 2 values twice (a@example.com, b", "mail: 2 values twice (…)"),
        ("No module named 'pandas'", "No module named 'pandas'"),
        ("the file hasn't arrived; 12 rows of 40", "the file hasn't arrived; 12 rows of 40"),
    ],
)
def test_values_are_taken_out(text: str, without: str) -> None:
    """Would catch: a value with quotes, brackets or without an end that stays in a text."""
    assert text_without_values(text) == without


def test_a_share_stays_without_its_value() -> None:
    """Would catch: a category in the figures of a column, or figures that are gone with it."""
    row = ColumnFigureRow(figure="share", category="Oslo", unit="share", points=[])
    assert without_values([row]) == [
        ColumnFigureRow(figure="share", category="…", unit="share", points=[])
    ]
    assert without_values({"reason": "'Oslo'", "rows": 3}) == {"reason": "'…'", "rows": 3}
