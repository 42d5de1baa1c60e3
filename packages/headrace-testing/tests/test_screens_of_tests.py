"""The screens of `test`, at four widths."""

from __future__ import annotations

from pathlib import Path

import pytest
from screen_lab import ERROR, HOSTILE, WIDTHS, printed, require_fit, require_next, require_same

from headrace import responses as d
from headrace_testing import responses as i
from headrace_testing.cli.tests import render_tests

SCREENS_FOLDER = Path(__file__).parent / "screens"
CHECKED = d.CheckRow(
    name="unique_carrier",
    kind="unique",
    severity="blocking",
    outcome="failed",
    rows=3,
    failing=1,
    detail="carrier: 1 row repeating a key (UA)",
)
TESTS = [
    i.TestRow(
        test="a_storm_cancels",
        asset="carrier_delays",
        partition="2013-02-08",
        state="passed",
        file="tests/storm.yaml",
        line=1,
        seconds=0.02,
        rows=1,
        rows_expected=1,
    ),
    i.TestRow(
        test="delays_are_averaged_over_flights_that_left",
        asset="carrier_delays",
        partition="2013-02-08",
        state="failed",
        file="tests/storm.yaml",
        line=9,
        seconds=0.02,
        missing=[{"carrier": "AA", "mean_delay": "7.00"}],
        unexpected=[{"carrier": HOSTILE, "mean_delay": None}],
        differences=3,
        checks=[CHECKED],
        changed=[
            i.RowDifferenceRow(
                row={"carrier": "UA", "mean_delay": "12.50"},
                cells=[i.CellRow(column="mean_delay", expected="12.00", got="12.50")],
            )
        ],
        reason="the check unique_carrier was expected to pass, and didn't",
        log=["a line that the body printed"],
    ),
    i.TestRow(
        test="it_fails",
        asset="airport_ranking",
        partition=None,
        state="error",
        file="tests/x.yaml",
        line=2,
        error=ERROR,
    ),
]
SCREENS = {"test": TESTS, "test_none": []}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_should(name: str, width: int) -> None:
    """Would catch: a table that is cut, or text of data that steers the terminal."""
    text = printed(SCREENS[name], render_tests, width)
    require_same(text, SCREENS_FOLDER / f"{name}.{width}.txt")
    require_fit(text, width)
    require_next(text)
