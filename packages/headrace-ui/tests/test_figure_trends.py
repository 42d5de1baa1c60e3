"""Figures by day: equal to what `status --explain` says of the same days."""

from __future__ import annotations

from typing import Any

import pytest
from serve_lab import response
from test_consumer_history import LATE, NOW, Door, door

from headrace_ui.services.figure_trends import TRENDS

__all__ = ["door"]
"""A fixture: five days, of which one is late and one is missing."""


def trend(door: Door, figure: str, query: str = "") -> dict[str, dict[str, float | None]]:
    answer = door.opened.get(f"/api/v1/figures/{figure}/trend{query}")
    assert answer.status == 200, answer.body
    document = answer.json
    assert len(document["days"]) == len(set(document["days"])) == 30 or "days=" in query
    return {
        row["of"]: dict(zip(document["days"], row["values"], strict=True))
        for row in document["rows"]
    }


def test_kept_promises_of_a_day_are_those_that_fell_due_on_it(door: Door) -> None:
    """Would catch: a promise on the wrong side of midnight, or a day without data that is 0 %."""
    rows: list[dict[str, Any]] = response(door.root, "status", "--explain", "promises")["rows"]
    by_day: dict[str, list[bool]] = {}
    for row in rows:
        if row["consumer"] == "report":
            by_day.setdefault(row["due_at"][:10], []).append(row["kept"])
    expected = {day: 100.0 * sum(kept) / len(kept) for day, kept in by_day.items()}
    values = trend(door, "promises", "?by=each")["report"]
    assert {day: value for day, value in values.items() if value is not None} == expected
    assert set(expected.values()) == {0.0, 100.0}


def test_an_owner_has_the_worst_of_its_consumers(door: Door) -> None:
    """Would catch: a mean that hides the consumer that waited."""
    each, owners = trend(door, "availability", "?by=each"), trend(door, "availability")
    assert set(each) == {"report", "elsewhere"} and set(owners) == {"core"}
    for day, value in owners["core"].items():
        known = [values[day] for values in each.values() if values[day] is not None]
        assert value == min(known, default=None)
    late = [value for day, value in each["report"].items() if day > LATE and value is not None]
    assert min(late) < 100.0


def test_compute_time_of_days_adds_up_to_that_of_all_attempts(door: Door) -> None:
    """Would catch: attempts that are counted on two days, or on none."""
    days = trend(door, "compute", "?by=each&days=9")
    assert set(days) == {"orders", "revenue"}
    rows = response(door.root, "status", "--explain", "throughput", "--window", "9d")["rows"]
    seconds = {row["of"]: row["work_seconds"] for row in rows}
    for name, values in days.items():
        total = sum(value for value in values.values() if value is not None)
        assert total == pytest.approx(seconds[name], abs=0.01)
    assert set(trend(door, "goodput", "?by=each")["revenue"].values()) == {None, 100.0}


def test_limits_are_as_elsewhere(door: Door) -> None:
    """Would catch: figures of consumers that a role hides, a year that is computed day by day, a
    figure without days that answers with nothing."""
    assert door.as_limited("/api/v1/figures/promises/trend").status == 403
    assert door.opened.get("/api/v1/figures/promises/trend?days=91").status == 400
    answer = door.opened.get("/api/v1/figures/weakened/trend")
    assert answer.status == 404 and ", ".join(TRENDS) in answer.json["hint"]
    assert NOW[:10] in trend(door, "promises")["core"]
