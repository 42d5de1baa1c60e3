"""Costs: parts add up to the whole, and what was in vain is told from the rest."""

from __future__ import annotations

import pytest

from headrace.model.nodes import CostRates
from headrace_advisor.analysis.costs import (
    Budget,
    CostAmount,
    CostItem,
    by_consumer,
    forecast,
    sums,
    waste,
)

HOUR = 3_600_000_000
ITEMS = [
    CostItem("orders", CostAmount(2 * HOUR, 10**9), run="1"),
    CostItem("revenue", CostAmount(HOUR), run="2", wasted=1.0, waste="retry"),
    CostItem("revenue", CostAmount(HOUR), run="2", incident="INC-1", wasted=0.25, waste="rework"),
    CostItem("copy", CostAmount(HOUR), run="3"),
    CostItem("copy", CostAmount(byte_months=10**9)),
]


def test_consumers_share_what_they_need() -> None:
    """Would catch: an asset of two consumers counted twice, or an unread one given to somebody."""
    lines = by_consumer(ITEMS, {"orders": ["a", "b"], "revenue": ["b"]})
    assert {line.of: line.amount.slot_us / HOUR for line in lines} == {"b": 3, "a": 1, "": 1}
    assert sum(line.amount.slot_us for line in lines) == 5 * HOUR


def test_waste_is_counted_once() -> None:
    """Would catch: a failed attempt at an unread asset counted as two wastes."""
    lines = waste(
        [*ITEMS, CostItem("copy", CostAmount(HOUR), wasted=1.0, waste="retry")], frozenset({"copy"})
    )
    amounts = {line.of: line.amount.slot_us / HOUR for line in lines}
    assert amounts == {"retry": 2, "rework": 0.25, "unread": 1}


def test_rates_make_money_of_work_and_storage() -> None:
    """Would catch: a rate per hour applied to seconds, or storage billed for each day."""
    rates = CostRates(currency="EUR", slot_hour=0.5, gb_month=2, gb_read=3)
    costs = {line.of: line.amount.cost(rates) for line in sums(ITEMS, lambda item: item.node)}
    assert costs == pytest.approx({"orders": 4.0, "revenue": 1.0, "copy": 2.5})
    assert CostAmount(HOUR).cost(None) is None


def test_a_budget_is_at_risk_before_it_is_exceeded() -> None:
    """Would catch: a budget that says nothing until the money is gone."""
    assert Budget("", 100, 60, forecast(60, 5, 10)).state == "at_risk"
    assert Budget("", 100, 60, forecast(60, 5, 8)).state == "kept"
    assert Budget("", 100, 101, forecast(101, 5, 0)).state == "exceeded"
