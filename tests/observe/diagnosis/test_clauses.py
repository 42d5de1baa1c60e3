"""What is said of a cause in one clause: readable, and without values of cells."""

from __future__ import annotations

import pytest

from headrace.model import Grain, PartitionSpec
from headrace.observe.diagnosis.attribution import diagnose
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.diagnosis.graph import CauseGraph, CauseNode
from headrace.observe.diagnosis.wording import without_quotes


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("a.csv can't be written: exports isn't there", "a.csv can't be written: exports isn't there"),
        ("'O'Brien' can't be cast", "… can't be cast"),
        ("column 'age' holds \"forty\"", "column … holds …"),
    ],
)
def test_only_what_is_quoted_is_left_out(said: str, told: str) -> None:
    """Would catch: apostrophes taken for quotes, so that half of a sentence is missing; a cell's value that goes out in a message."""
    assert without_quotes(said) == told


@pytest.mark.parametrize(
    ("column", "observed", "why", "told"),
    [
        ("at", "%m/%d/%y %H:%M", "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2", "at written otherwise: %m/%d/%y %H:%M"),
        ("at", "format", "first value that isn't TIMESTAMP: '1/23/20 17:00' at line 2", "at written otherwise"),
        ("", "", "the encoding is UTF-16-LE instead of UTF-8 (line 1: a nul byte)", "the encoding is UTF-16-LE instead of UTF-8"),
    ],
)
def test_another_format_says_which(column: str, observed: str, why: str, told: str) -> None:
    """Would catch: an incident that is summed up as `format`, and says neither of what nor how; a cell's value that goes out with it."""
    one = Evidence(
        id="drift:1", node="daily", partition="2020-01-23", family=Family.FORMAT, kind="format_change", column=column, observed=observed,
        strength=12.0, held=False, at_us=0, detail=f"format; {why}",
    )  # fmt: skip
    node = CauseNode("daily", (), True, PartitionSpec(grain=Grain.DAY), "UTC", "")
    (cause,) = diagnose([one], CauseGraph([node], {}.get), 0)
    assert cause.summary == told
