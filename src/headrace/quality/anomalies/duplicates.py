"""Rows that are there twice, against how many always are."""

from __future__ import annotations

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.facts import FactSeverity
from headrace.quality.metrics import Metrics

HELD = 0.02
WARNED = 0.005
KNOWN_MIN = 3
"""After so many partitions it is known whether a source repeats rows."""


def repeated(today: Metrics, history: MetricHistory) -> tuple[FactSeverity, float] | None:
    """How bad it is that rows are identical to others, and the greatest share that ever was; None where it is as ever."""
    if not today.repeated or not today.rows:
        return None
    share = today.repeated / today.rows
    shares = [metrics.repeated / metrics.rows for metrics in history.all() if metrics.rows and metrics.repeated is not None]
    most = max(shares, default=0.0)
    if share <= max(2 * most, most + WARNED) or today.repeated < 2:
        return None
    held = share >= HELD + 2 * most and len(shares) >= KNOWN_MIN
    return FactSeverity.HOLD if held else FactSeverity.WARN, most
