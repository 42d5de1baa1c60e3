"""Anomalies of one column: new or missing names, unknown keys, other contents, new nulls."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics

# New names, and names that are gone, before a join looks for them. A text column names lasting
# things if most of a day's values occurred the day before as well. The share of new names, and
# the share of the day before's that is gone, hardly differ from day to day. This only warns,
# because customers come and go; what is made from the column says whether its keys are found.

NAMES_LEAST = 0.05
"""From so much more than ever on it is worth a word, …"""
NAMES_SIGMAS = 6.0
"""… if it is so far from what it is in the middle."""
NAMES_KNOWN_MIN = 6
NAMES_LASTING = 0.3
"""What is never more than that part the same as the day before is no name of anything."""


class Unfamiliar(NamedTuple):
    """A column, the share of its values that are new (or that are gone), the greatest that ever was, and how far that is off."""

    column: str
    new: bool
    share: float
    most: float
    sigmas: float


def unfamiliar_names(today: Metrics, history: MetricHistory) -> list[Unfamiliar]:
    """The columns with more new names than ever, or more that are gone; of each the one that is further off."""
    if not any(column.kept is not None for column in today.columns.values()):
        return []
    past = history.all()
    results = (_unfamiliar_in(name, column, past) for name, column in today.columns.items() if column.kept is not None)
    return [unfamiliar for unfamiliar in results if unfamiliar is not None]


def _unfamiliar_in(name: str, today: ColumnMetrics, past: Sequence[Metrics]) -> Unfamiliar | None:
    metrics = [result.columns[name] for result in past if name in result.columns]
    pairs = [(before, column_metrics) for before, column_metrics in itertools.pairwise(metrics) if column_metrics.kept is not None]
    if len(pairs) < NAMES_KNOWN_MIN or min(metrics.kept or 0.0 for _, metrics in pairs) < NAMES_LASTING:
        return None
    told = (
        _further(name, True, _new(metrics[-1], today), [_new(*pair) for pair in pairs], today),
        _further(name, False, 1 - (today.kept or 0.0), [1 - (column_metrics.kept or 0.0) for _, column_metrics in pairs], metrics[-1]),
    )
    return max((unfamiliar for unfamiliar in told if unfamiliar is not None), key=lambda item: item.sigmas, default=None)


def _new(before: ColumnMetrics, now: ColumnMetrics) -> float:
    """Which part of a day's values the day before hadn't."""
    return max(1 - (now.kept or 0.0) * math.exp((before.distinct or 0.0) - (now.distinct or 0.0)), 0.0)


def _further(name: str, new: bool, share: float, past: Sequence[float], of: ColumnMetrics) -> Unfamiliar | None:
    usual, most = statistics.median(past), max(past)
    chance = math.sqrt(usual * (1 - usual) / math.exp(of.distinct or 0.0)) + 0.5 / math.exp(of.distinct or 0.0)
    sigmas = (share - usual) / max(statistics.pstdev(past), chance)
    return Unfamiliar(name, new, share, most, sigmas) if share - most >= NAMES_LEAST and sigmas >= NAMES_SIGMAS else None


# Keys that no recent interval had, in a column that something downstream is joined by: the join
# finds nothing for them. With few rows the keys differ each day, but hardly one is missing in the
# last few intervals, so a small delivery shows the fault as well as a large one. In a list with
# each key once, new keys break nothing unless others are gone for them.

KEYS_KNOWN_MIN = 14
"""So often it must have been measured."""
KEYS_LEAST = 0.2
"""From this share of the rows on it is held, …"""
TIMES_MOST = 5.0
"""… if that is so many times the greatest share that ever was, accepted ones included, …"""
KEYS_SIGMAS = 6.0
"""… and further from that than so few rows get by chance."""


class UnknownKeys(NamedTuple):
    """A column, the share of its rows whose keys no row of the last intervals had, and the greatest that ever was."""

    column: str
    share: float
    most: float


def unknown_keys(today: Metrics, history: MetricHistory) -> Iterator[UnknownKeys]:
    """The columns with far more unknown keys than ever."""
    for name, column in today.columns.items():
        if column.unknown is None or column.unknown < KEYS_LEAST:
            continue
        past = history.unknown(name)
        most = max(past, default=1.0)
        chance = math.sqrt(most * (1 - most) / today.rows) + 0.5 / today.rows
        if len(past) < KEYS_KNOWN_MIN or column.unknown < TIMES_MOST * most or column.unknown - most < KEYS_SIGMAS * chance:
            continue
        if not _only_added(today.rows, column, history):
            yield UnknownKeys(name, column.unknown, most)


def _only_added(rows: int, column: ColumnMetrics, history: MetricHistory) -> bool:
    """Whether a column is a list that has nearly as many of the known keys as the interval before had rows."""
    filled = round(rows * (1 - column.nulls))
    if column.unknown is None or column.distinct is None or round(math.exp(column.distinct)) < filled:
        return False
    known, before = filled * (1 - column.unknown), math.exp(history.series(MetricId("rows")).values[-1]) - 1
    return known > (1 - KEYS_LEAST) * before


# Rows of something else under the same header: most values of the day before are gone, and others
# came. A truncated file loses names and brings none; a growing dimension brings names and loses
# none.

GRAIN_LASTING = 0.6
"""A column names things that last where so much of each day's values always came again the next day."""
GONE = 0.5
"""Less than that part of what always came again is another set of things."""
NEW_MIN = 0.2
"""So much of what is named must be new."""
GRAIN_KNOWN_MIN = 14
"""So often it must have been measured, …"""
NONE_KEPT_MIN = 7
"""… and so often where not a single value came again."""


SAME_NUMBER = math.log(1.25)
"""Values whose number differs by no more than that are as many as before."""
SCARCE = 0.01


class Regrained(NamedTuple):
    """A column, what share of the day before's values came again, the least that ever did, what share
    of today's is new, and how many times as many values there are as before, as a logarithm."""

    column: str
    kept: float
    least: float
    new: float
    more: float

    def as_many(self, lost: float) -> bool:
        """Whether there are as many values as before, where that share of the rows is missing and may
        have had values of its own."""
        return math.log(max(1 - lost, SCARCE)) - SAME_NUMBER <= self.more <= SAME_NUMBER


def regrained_column(today: Metrics, history: MetricHistory) -> Regrained | None:
    """The column that lost most of its values, if one did."""
    results = [item for name in today.columns if (item := _regrained_in(name, today, history)) is not None]
    return min(results, key=lambda item: item.kept / item.least, default=None)


def _regrained_in(name: str, today: Metrics, history: MetricHistory) -> Regrained | None:
    column = today.columns[name]
    newest = history.metrics(len(history) - 1) if len(history) else None
    if column.kept is None or column.distinct is None or newest is None or name not in newest.columns:
        return None
    past = [kept for metrics in history.all() if name in metrics.columns and (kept := metrics.columns[name].kept) is not None]
    least, before = min(past, default=0.0), newest.columns[name].distinct
    if (
        len(past) < (GRAIN_KNOWN_MIN if column.kept else NONE_KEPT_MIN)
        or least < GRAIN_LASTING
        or column.kept >= GONE * least
        or before is None
    ):
        return None
    new = max(1 - column.kept * math.exp(before - column.distinct), 0.0)
    return Regrained(name, column.kept, least, new, column.distinct - before) if new >= NEW_MIN else None


# A column that became null on its own although it was always null together with another one.
# Delays and air times are null for cancelled flights, in fair weather and in storms: their number
# differs greatly from day to day, the difference between the two columns doesn't. Rows with one
# and without the other are a fault, however few.

LESS_MIN = 0.02
"""From this share of the rows on a difference is worth a word."""
HELD = 0.05
TIMES_EVER = 4.0
"""… if it is so many times the largest that ever was, …"""
TWINS = 0.1
"""… which was at most this part of the nulls on the worst day: else the columns have never been null together."""
OFTEN = 3
"""In one of so many partitions there were nulls."""
ALONE_KNOWN_MIN = 14


class UnsharedNulls(NamedTuple):
    """A column with more nulls than the one that it shares them with; by how much, and by how much at most before."""

    column: str
    other: str
    nulls: float
    expected: float
    most: float


def emptied_alone(today: Metrics, history: MetricHistory) -> list[UnsharedNulls]:
    """The columns that are null where the column nearest to them isn't, each once."""
    worse = [name for name, column in today.columns.items() if column.nulls >= LESS_MIN]
    if not worse:
        return []
    past = history.all()
    results = (_unshared_nulls(name, today, past) for name in worse)
    return [nulls for nulls in results if nulls is not None]


def _unshared_nulls(name: str, today: Metrics, past: Sequence[Metrics]) -> UnsharedNulls | None:
    own = _nulls(name, past)
    if len(own) < ALONE_KNOWN_MIN or sum(share > 0 for share in own) * OFTEN < len(own):
        return None
    others = ((_apart(own, _nulls(other, past)), other) for other in today.columns if other != name)
    most, twin = min(others, default=(1.0, ""))
    if most > TWINS * max(own):
        return None
    nulls, expected = today.columns[name].nulls, today.columns[twin].nulls
    return UnsharedNulls(name, twin, nulls, expected, most) if nulls - expected >= max(LESS_MIN, TIMES_EVER * most) else None


def _nulls(name: str, past: Sequence[Metrics]) -> list[float]:
    return [metrics.columns[name].nulls for metrics in past if name in metrics.columns]


def _apart(item: Sequence[float], other: Sequence[float]) -> float:
    """The most by which two columns' nulls ever differed; 1 where they weren't always there together."""
    return max((abs(a - b) for a, b in zip(item, other, strict=True)), default=1.0) if len(item) == len(other) else 1.0
