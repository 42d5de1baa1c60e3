"""The words of `what-if`: deadlines, the next bottleneck, and what is left out of the past."""

from __future__ import annotations

import pytest

from headrace.model import Grain
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis import history
from headrace_advisor.analysis.backtest import Backtest, Coverage
from headrace_advisor.analysis.delivered import Waited
from headrace_advisor.analysis.simulation import Simulated
from headrace_advisor.responses.what_if import DeliveredRow
from headrace_advisor.services.what_if_rows import (
    LEFT_OUT,
    bottleneck_row,
    consumer_text,
    due_text,
    left_out_words,
)


@pytest.mark.parametrize(
    ("per", "due", "max_age", "expected"),
    [
        (Grain.DAY, "07:30", None, "07:30"),
        (Grain.DAY, "+2d 06:00", None, "+2d 06:00"),
        (Grain.DAY, "+3bd 09:00", None, "+3bd 09:00"),
        (Grain.DAY, "+30h", None, "+2d 06:00"),
        (Grain.DAY, None, "30h", "06:00"),
        (Grain.DAY, None, "2d", "+2d 00:00"),
        (Grain.DAY, None, "12h", "at most 12h old"),
        (Grain.HOUR, "+20m", None, "20 min after its interval"),
        (Grain.HOUR, "05:00", None, "05:00"),
        (Grain.HOUR, None, "90m", "30 min after its interval"),
        (Grain.MONTH, None, "40d", "at most 40d old"),
    ],
)
def test_deadlines(per: Grain, due: str | None, max_age: str | None, expected: str) -> None:
    """Would catch: `30h` beside times of day, and an age counted from the interval's end."""
    assert due_text(Terms("c", "core", (), per, "UTC", due, max_age)) == expected


def test_work_of_a_source_is_not_named_an_asset() -> None:
    """Would catch: a source that is named an asset, and sent to where there is none."""
    waits = {"c": {Waited("asset", "orders"): 30.0, Waited("asset", "revenue"): 10.0}}
    simulated = Simulated({}, waits, 40.0, 1)
    row = bottleneck_row({"orders"}, simulated)
    assert row is not None
    assert (row.kind, row.name) == ("source", "orders")
    assert row.text == "ingesting orders: 75.0 % of the time from arrival to delivery"
    row = bottleneck_row((), simulated)
    assert row is not None
    assert (row.kind, row.text.split(":")[0]) == ("asset", "orders itself")


def test_what_is_left_out_says_what_it_is() -> None:
    """Would catch: a number of nothing, and a reason without words."""
    reasons = {history.BACKFILL, history.HELD, history.CATCHING_UP, history.INITIAL}
    assert LEFT_OUT.keys() == reasons
    assert left_out_words(history.BACKFILL, 1) == "1 computation by a backfill"
    assert left_out_words(history.INITIAL, 1_500) == (
        "1,500 deliveries that were there when their source was observed for the first time"
    )


@pytest.mark.parametrize(
    ("share", "deliveries", "predictable"),
    [
        (0.019, 54, False),
        (0.41, 27, False),
        (0.7, 27, True),
        (0.7, 270, False),
        (0.8, 270, True),
        (0.8, 1_030, True),
        (0.77, 1_030, False),
        (0.798, 100_000, True),
        (0.797, 100_000, False),
        (0.0, 100_000, False),
        (1.0, 100_000, True),
    ],
)
def test_forecasts_that_failed_are_no_forecasts(
    share: float, deliveries: int, predictable: bool
) -> None:
    """Would catch: "in time 100.0 %" by forecasts of which 41 % came true instead of 80 %, and a
    test that more than a thousand deliveries overflow."""
    coverage = Coverage(round(share * deliveries), deliveries)
    assert Backtest(0.1, None, coverage, 20).predicts("c") == predictable
    terms = Terms("c", "core", (), Grain.DAY, "UTC", "07:30", None)
    row = DeliveredRow(p50=60.0, p95=90.0, kept="100.0", p50_at="05:01", p95_at="05:02")
    text = consumer_text(terms, None, row, known=True, predictable=predictable)
    assert ("100.0 %" in text, "not predictable" in text) == (predictable, not predictable)
