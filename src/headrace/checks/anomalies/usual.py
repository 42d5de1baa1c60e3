"""Metrics in natural units: as people know them, rather than as they are stored."""

from __future__ import annotations

import math

from headrace.checks.anomalies import expectations

_PLUS_ONE = frozenset({"rows", "length"})
_LOGARITHMS = frozenset({"location", "spread", "distinct"})
_HOURS = frozenset({"hour_mean", "hour_q95"})


def unit_of(family: str) -> str:
    """Return the unit of a family in natural units: share (0 to 1), hours or number."""
    if family in expectations.SHARES:
        return "share"
    return "hours" if family in _HOURS else "number"


def in_natural_units(family: str, value: float) -> float:
    """Return a stored value as people know it: rows and sizes are stored as logarithms."""
    if family in _PLUS_ONE:
        return max(math.exp(value) - 1, 0.0)
    return math.exp(value) if family in _LOGARITHMS else value
