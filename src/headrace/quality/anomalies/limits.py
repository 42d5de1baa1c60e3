"""From where on a number is odd: how far it has to be off, and how improbable that has to be, given how many numbers are looked at.

Distances are in the metric's own unit: logarithms for rows, size, spread and distinct values, shares from 0 to 1, hours of the day.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

DEGREES = 12
"""Of Student's t, which stands for the errors of a forecast: their tails are heavier than a normal distribution's."""
HOLDS_A_MONTH = 0.5
"""How many false holds a project may have in 30 days."""
WARNINGS_A_MONTH = 10.0
DAYS = 30
HISTORY_HOLD_MIN = 28
"""From so many sound partitions on something is held for being odd."""
HISTORY_WARN_MIN = 14
"""From so many on something is called unusual."""
RECORD_FACTOR = 1.5
"""What is held is off by that much more than a forecast ever was in the history."""
QUIET_FACTOR = 3.0
"""… and by so much more where it is off by less than what is held anyway, …"""
QUIET_LEAST = 1.4
"""… but by so many times what is worth a word."""
QUIET_ROWS = 20
"""… and in so many rows."""
COUNTS = frozenset({"rows", "distinct"})
SHARES = frozenset({"nulls", "empty", "negative", "zero", "share"})


class AnomalyLimits(NamedTuple):
    """Of one family of metrics: from which distance on it is held or warned of, and how far forecasts are off before anything is known."""

    hold: float
    warn: float
    prior: float

    @property
    def quiet(self) -> float:
        """From which distance on it is held where the series never moved nearly that far."""
        return QUIET_LEAST * self.warn


_LIMITS = {
    "rows": AnomalyLimits(math.log(1.4), math.log(1.15), 0.06),
    "nulls": AnomalyLimits(0.10, 0.02, 0.01),
    "empty": AnomalyLimits(0.10, 0.02, 0.01),
    "location": AnomalyLimits(math.log(1.35), math.log(1.1), 0.03),
    "spread": AnomalyLimits(math.log(2), math.log(1.4), 0.08),
    "distinct": AnomalyLimits(math.log(2), math.log(1.4), 0.06),
    "length": AnomalyLimits(math.log(1.35), math.log(1.15), 0.03),
    "share": AnomalyLimits(0.12, 0.05, 0.01),
    "negative": AnomalyLimits(0.10, 0.03, 0.01),
    "zero": AnomalyLimits(0.10, 0.03, 0.01),
    "hour_mean": AnomalyLimits(2.0, 1.0, 0.2),
    "hour_q95": AnomalyLimits(2.0, 1.0, 0.4),
}
FAMILIES = frozenset(_LIMITS)


def limits(family: str) -> AnomalyLimits:
    """What is held or warned of in one family. KeyError for a family that isn't judged."""
    return _LIMITS[family]


def noise(family: str, expected: float, rows: int, usual: int) -> float:
    """What chance alone makes of a metric of so many rows. Of what is averaged over them, only what comes on top for their being fewer
    than `usual`: how far forecasts were off has the rest in it."""
    if rows <= 0:
        return 1.0
    if family in SHARES:
        share = min(max(expected, 0.0), 1.0)
        return math.sqrt(share * (1 - share) / rows) + 0.5 / rows
    match family:
        case "rows" if rows < math.expm1(expected):
            return _fewer(math.expm1(expected), rows)
        case "location" | "spread" | "length":
            return math.sqrt(max(1 / rows - 1 / max(usual, 1), 0.0))
        case "rows" | "distinct":
            return 1 / math.sqrt(rows)
        case _:
            return 6 / math.sqrt(rows)


def _fewer(mean: float, rows: int) -> float:
    """What chance makes of a count that is less than its mean, in logarithms: these are far apart for
    small counts, of which square roots scatter alike (Anscombe, Biometrika 35, 1948)."""
    errors = 2 * (math.sqrt(mean + 3 / 8) - math.sqrt(rows + 3 / 8))
    return math.log((mean + 1) / (rows + 1)) / errors


@cache
def threshold(alarms_a_month: float, sources: int, metrics: int) -> float:
    """How many standard errors off a number must be, so that a project of so many sources, each with so many metrics a day, has no more
    false alarms than that in a month."""
    return _quantile(alarms_a_month / (2 * DAYS * max(sources, 1) * max(metrics, 1)))


def nats(z: float) -> float:
    """What it costs to explain a distance of `z` standard errors by chance."""
    return -math.log(max(2 * _tail(abs(z)), 1e-300))


def _quantile(tail: float) -> float:
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle) > tail else (low, middle)
    return (low + high) / 2


def _tail(t: float) -> float:
    """P(T > t) of Student's t with `DEGREES` (even) degrees of freedom, exactly where it isn't tiny, by its leading term where it is."""
    cos2 = DEGREES / (DEGREES + t * t)
    if cos2 < 0.02:  # the closed form would subtract two numbers that are nearly 1
        return _leading(cos2)
    term = total = 1.0
    for k in range(1, DEGREES // 2):
        term *= cos2 * (2 * k - 1) / (2 * k)
        total += term
    return max((1 - math.sqrt(1 - cos2) * total) / 2, _leading(cos2))


def _leading(cos2: float) -> float:
    half = DEGREES / 2
    log_beta = math.lgamma(half) + math.lgamma(0.5) - math.lgamma(half + 0.5)
    return 0.5 * math.exp(half * math.log(cos2) - log_beta) / half
