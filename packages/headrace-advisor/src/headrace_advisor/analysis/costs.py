"""What work and storage cost: sums by node, consumer, owner, and by what was in vain. Pure.

Amounts are microseconds of worker slots and bytes. Rates make money of them, where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from headrace.model.nodes import CostRates

MONTH_DAYS = 30
NOBODY = ""
"""Stands for no consumer, no domain, no incident and no backfill."""


class CostAmount(NamedTuple):
    """Work, reading and storage. `byte_months` is bytes stored × months of 30 days."""

    slot_us: float = 0.0
    bytes_read: float = 0.0
    byte_months: float = 0.0

    def plus(self, other: CostAmount) -> CostAmount:
        """Return the sum."""
        return CostAmount(
            self.slot_us + other.slot_us,
            self.bytes_read + other.bytes_read,
            self.byte_months + other.byte_months,
        )

    def times(self, share: float) -> CostAmount:
        """Return a share of it."""
        return CostAmount(self.slot_us * share, self.bytes_read * share, self.byte_months * share)

    def cost(self, rates: CostRates | None) -> float | None:
        """Return what it costs; None without rates."""
        return None if rates is None else rates.of(*self)


class CostItem(NamedTuple):
    """One attempt, or what a node has stored: its amount, and what it belongs to.

    `wasted` is the share of it that was in vain, with the reason.
    """

    node: str
    amount: CostAmount
    run: str = NOBODY
    backfill: str = NOBODY
    incident: str = NOBODY
    wasted: float = 0.0
    waste: str = NOBODY


class CostLine(NamedTuple):
    """The sum of one name."""

    of: str
    amount: CostAmount


def sums(items: Iterable[CostItem], name_of: Callable[[CostItem], str]) -> list[CostLine]:
    """Return the sum of each name, the most work first."""
    return _sorted((name_of(item), item.amount) for item in items)


def by_consumer(
    items: Iterable[CostItem], consumers: Mapping[str, Sequence[str]]
) -> list[CostLine]:
    """Return each consumer's part: a node's cost is divided equally among those that need it.

    So the parts add up to the whole. `consumers` maps a node to the consumers that need it.
    """
    parts = []
    for item in items:
        needing = consumers.get(item.node) or (NOBODY,)
        part = item.amount.times(1 / len(needing))
        parts += [(name, part) for name in needing]
    return _sorted(parts)


def waste(items: Iterable[CostItem], unread: frozenset[str]) -> list[CostLine]:
    """Return what was in vain, by reason: attempts', and all else of nodes that nobody reads."""
    parts = []
    for item in items:
        if item.wasted:
            parts.append((item.waste, item.amount.times(item.wasted)))
        if item.node in unread and item.wasted < 1:
            parts.append(("unread", item.amount.times(1 - item.wasted)))
    return _sorted(parts)


def _sorted(parts: Iterable[tuple[str, CostAmount]]) -> list[CostLine]:
    results: dict[str, CostAmount] = {}
    for name, amount in parts:
        results[name] = results.get(name, CostAmount()).plus(amount)
    lines = [CostLine(name, amount) for name, amount in results.items()]
    return sorted(lines, key=lambda line: (-line.amount.slot_us, -line.amount.byte_months, line.of))


# Budgets: what a calendar month has cost so far, and will at the pace of the window.


class Budget(NamedTuple):
    """A budget of the whole project (`of` empty) or of a domain, in a calendar month.

    `state` is `kept`, `at_risk` (the forecast exceeds it) or `exceeded`.
    """

    of: str
    amount: float
    spent: float
    forecast: float

    @property
    def state(self) -> str:
        """Its state now."""
        if self.spent > self.amount:
            return "exceeded"
        return "at_risk" if self.forecast > self.amount else "kept"


def forecast(spent: float, per_day: float, days_left: float) -> float:
    """Return what a month will have cost, if the days that are left cost `per_day` each."""
    return spent + per_day * max(0.0, days_left)
