"""Keys that nobody named lately, in a column that something further down is joined by: they find nothing there.

Few rows a day name other keys each day, but hardly one that wasn't named in the last few intervals. So a
small delivery shows it as well as a large one. In a list, where each key is there once, new keys break nothing
unless others are gone for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.metrics import ColumnMetrics, MetricId, Metrics

KNOWN_MIN = 14
"""So often it must have been measured."""
LEAST = 0.2
"""From this share of the rows on it is held, …"""
TIMES_MOST = 5.0
"""… if that is so many times the greatest share that ever was, accepted ones included, …"""
SIGMAS = 6.0
"""… and further from that than so few rows get by chance."""


class UnknownKeys(NamedTuple):
    """A column, the share of its rows whose keys no row of the last intervals had, and the greatest that ever was."""

    column: str
    share: float
    most: float


def unknown_keys(today: Metrics, history: MetricHistory) -> Iterator[UnknownKeys]:
    """The columns with far more unknown keys than ever."""
    for name, column in today.columns.items():
        if column.unknown is None or column.unknown < LEAST:
            continue
        past = history.unknown(name)
        most = max(past, default=1.0)
        chance = math.sqrt(most * (1 - most) / today.rows) + 0.5 / today.rows
        if len(past) < KNOWN_MIN or column.unknown < TIMES_MOST * most or column.unknown - most < SIGMAS * chance:
            continue
        if not _only_added(today.rows, column, history):
            yield UnknownKeys(name, column.unknown, most)


def _only_added(rows: int, column: ColumnMetrics, history: MetricHistory) -> bool:
    """Whether a column is a list that has nearly as many of the known keys as the interval before had rows."""
    filled = round(rows * (1 - column.nulls))
    if column.unknown is None or column.distinct is None or round(math.exp(column.distinct)) < filled:
        return False
    known, before = filled * (1 - column.unknown), math.exp(history.series(MetricId("rows")).values[-1]) - 1
    return known > (1 - LEAST) * before
