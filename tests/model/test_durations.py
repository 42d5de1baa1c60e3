"""Lengths of time in words. ui/src/parts/durations.test.ts holds the browser to the same table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.model.times import duration

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "tests/durations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("seconds", "text"), TABLE)
def test_a_length_of_time_in_words(seconds: float, text: str) -> None:
    """Would catch: one wait that is 50 h 40 min in one place and 51 h in another."""
    assert duration(round(seconds * 1_000_000)) == text


def test_a_column_has_one_unit() -> None:
    """Would catch: 57 h 00 min beside 6 days 14 h."""
    hours = (3.75, 23.999, 24, 57, 158, -33)
    column = [duration(round(each * 3_600_000_000), 158 * 3_600_000_000) for each in hours]
    assert column == ["3 h 45 min", "1 day", "1 day", "2 days 9 h", "6 days 14 h", "−1 day 9 h"]
    assert duration(57 * 3_600_000_000, 95 * 3_600_000_000) == "57 h 00 min"
