"""The screens of `test`, `try` and `doctor`, at four widths."""

from __future__ import annotations

from pathlib import Path

import pytest
from screen_lab import ERROR, HOSTILE, WIDTHS, printed, require_fit, require_next, require_same

from headrace import responses as d
from headrace_testing import responses as i
from headrace_testing.cli.doctor import render_examination
from headrace_testing.cli.tests import render_tests
from headrace_testing.cli.try_asset import render_try
from headrace_testing.responses import installation

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
TRY = i.TryResponse(
    asset="carrier_delays",
    partition="2013-02-10",
    state="rejected",
    rows_total=615,
    columns=[
        d.ColumnRow(name="carrier", type="VARCHAR"),
        d.ColumnRow(name="flights", type="BIGINT"),
        d.ColumnRow(name="mean_delay", type="DECIMAL(18,2)"),
    ],
    rows=[
        {"carrier": "UA", "flights": 165, "mean_delay": "12.50"},
        {"carrier": HOSTILE, "flights": None, "mean_delay": "-1.00"},
    ],
    seconds=0.031,
    checks=[
        d.CheckRow(
            name="unique_id",
            kind="unique",
            severity="blocking",
            outcome="failed",
            rows=929,
            failing=2,
            detail="id: 2 rows more than once",
        ),
        d.CheckRow(
            name="some_rows",
            kind="row_count",
            severity="blocking",
            outcome="passed",
            rows=615,
            failing=0,
        ),
    ],
)
DOCTOR = [
    installation.ExaminationRow(area="project", name="declarations", state="ok", detail="valid"),
    installation.ExaminationRow(
        area="project",
        name="[connections.bank]",
        state="fail",
        detail="the environment variable DB_PASSWORD isn't set",
        todo="set DB_PASSWORD where headrace runs",
    ),
    installation.ExaminationRow(
        area="state",
        name="disk",
        state="warn",
        detail="1.2 GiB free at /srv/flights/.headrace",
        todo="make room, or shorten [retention]",
    ),
    installation.ExaminationRow(
        area="outside",
        name="source rates",
        state="skipped",
        detail="is looked at by a worker; headrace connections test tries its connection",
    ),
]
SCREENS = {
    "test": (TESTS, render_tests),
    "test_none": ([], render_tests),
    "try": (TRY, render_try),
    "doctor": (DOCTOR, render_examination),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_should(name: str, width: int) -> None:
    """Would catch: a table that is cut, or text of data that steers the terminal."""
    text = printed(*SCREENS[name], width)
    require_same(text, SCREENS_FOLDER / f"{name}.{width}.txt")
    require_fit(text, width)
    require_next(text)


def test_a_try_says_the_replay_clock_and_the_zone_once() -> None:
    text = printed(TRY, render_try, 200)
    assert text.count("replay clock") == 1
    assert text.count("America/New_York") == 1
