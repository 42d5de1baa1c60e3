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
