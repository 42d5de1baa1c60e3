"""The shares of categories that a history keeps while a batch adds to it."""

from __future__ import annotations

import random

from headrace.checks import metrics
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.metrics import ColumnMetrics, Metrics, StoredMetrics
from headrace.model import Grain

NAMES = ("EWR", "JFK", "LGA", "")


def stored(day: int) -> StoredMetrics:
    """A day with some of the categories; on some days the column is a list, or isn't there."""
    kind = random.choice(("shares", "shares", "names", "absent"))
    some = random.sample(NAMES, random.randint(1, len(NAMES)))
    shares = {name: random.random() for name in some} if kind == "shares" else {}
    column = ColumnMetrics(0.0, shares=shares, names=tuple(some) if kind == "names" else ())
    columns = {} if kind == "absent" else {"origin": column}
    vector = metrics.encoded(Metrics(100, columns))
    return StoredMetrics(f"2024-01-{day:02}", vector)


def test_shares_that_are_added_are_those_of_a_history_that_has_them_from_the_start() -> None:
    """Shares that aren't sorted again, or partitions counted twice, would give wrong bounds."""
    days = [stored(day) for day in range(1, 29)]
    growing = MetricHistory(days[:5], Grain.DAY)
    for at, day in enumerate(days[5:], 5):
        growing.add(day)
        if random.random() < 0.5:
            known = growing.categories("origin")
            fresh = MetricHistory(days[: at + 1], Grain.DAY).categories("origin")
            assert (known.each, known.ordered) == (fresh.each, fresh.ordered)
            for value, shares in known.ordered.items():
                assert shares == sorted(each[value] for each in known.each if value in each)
