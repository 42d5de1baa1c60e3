"""Anomalies of one column: new or missing names, unknown keys, other contents, new nulls."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics

# New and missing names, before a join looks for them. A text column names lasting things if most of
# a day's values occurred the day before as well. The share of new names, and the share of the
# previous day's names that are gone, hardly vary. This only warns, because customers come and go;
# the assets computed from the column show whether its keys match.

NAMES_LEAST = 0.05
"""The minimum excess over the largest share so far, …"""
NAMES_SIGMAS = 6.0
"""… and the minimum deviation from the median, in standard deviations."""
NAMES_KNOWN_MIN = 6
NAMES_LASTING = 0.3
"""The minimum share of recurring values in a column that names things."""


class Unfamiliar(NamedTuple):
    """A column with an unusual share of new (or missing) values.

    `most` is the largest share so far, `sigmas` the deviation in standard deviations.
    """

    column: str
    new: bool
    share: float
    most: float
    sigmas: float


def unfamiliar_names(today: Metrics, history: MetricHistory) -> list[Unfamiliar]:
    """Return columns with more new or missing names than ever; of both the larger deviation."""
    if not any(column.kept is not None for column in today.columns.values()):
        return []
    past = history.all()
    results = (
        _unfamiliar_in(name, column, past)
        for name, column in today.columns.items()
        if column.kept is not None
    )
    return [unfamiliar for unfamiliar in results if unfamiliar is not None]


def _unfamiliar_in(name: str, today: ColumnMetrics, past: Sequence[Metrics]) -> Unfamiliar | None:
    metrics = [result.columns[name] for result in past if name in result.columns]
    pairs = [
        (before, column_metrics)
        for before, column_metrics in itertools.pairwise(metrics)
        if column_metrics.kept is not None
    ]
    if (
        len(pairs) < NAMES_KNOWN_MIN
        or min(metrics.kept or 0.0 for _, metrics in pairs) < NAMES_LASTING
    ):
        return None
    candidates = (
        _further(name, True, _new(metrics[-1], today), [_new(*pair) for pair in pairs], today),
        _further(
            name,
            False,
            1 - (today.kept or 0.0),
            [1 - (column_metrics.kept or 0.0) for _, column_metrics in pairs],
            metrics[-1],
        ),
    )
    return max(
        (unfamiliar for unfamiliar in candidates if unfamiliar is not None),
        key=lambda item: item.sigmas,
        default=None,
    )


def _new(before: ColumnMetrics, now: ColumnMetrics) -> float:
    """Return the share of a day's values that the previous day lacked."""
    return max(
        1 - (now.kept or 0.0) * math.exp((before.distinct or 0.0) - (now.distinct or 0.0)), 0.0
    )


def _further(
    name: str, new: bool, share: float, past: Sequence[float], of: ColumnMetrics
) -> Unfamiliar | None:
    usual, most = statistics.median(past), max(past)
    chance = math.sqrt(usual * (1 - usual) / math.exp(of.distinct or 0.0)) + 0.5 / math.exp(
        of.distinct or 0.0
    )
    sigmas = (share - usual) / max(statistics.pstdev(past), chance)
    return (
        Unfamiliar(name, new, share, most, sigmas)
        if share - most >= NAMES_LEAST and sigmas >= NAMES_SIGMAS
        else None
    )


# Keys that no recent interval had, in a column that something downstream uses in a join: the join
# finds nothing for them. With few rows the keys differ each day, but hardly any is missing in the
# last few intervals, so a small delivery shows the fault as well as a large one. In a list with
# each key once, new keys break nothing unless they replace others.

KEYS_KNOWN_MIN = 14
"""The minimum number of earlier measurements."""
KEYS_LEAST = 0.2
"""The minimum share of the rows for a hold, …"""
TIMES_MOST = 5.0
"""… which must be this multiple of the largest share so far, including accepted ones, …"""
KEYS_SIGMAS = 6.0
"""… and exceed it by this number of standard errors."""


class UnknownKeys(NamedTuple):
    """A column with its share of rows with unknown keys, and the largest share so far."""

    column: str
    share: float
    most: float


def unknown_keys(today: Metrics, history: MetricHistory) -> Iterator[UnknownKeys]:
    """Return the columns with far more unknown keys than ever."""
    for name, column in today.columns.items():
        if column.unknown is None or column.unknown < KEYS_LEAST:
            continue
        past = history.unknown(name)
        most = max(past, default=1.0)
        chance = math.sqrt(most * (1 - most) / today.rows) + 0.5 / today.rows
        if (
            len(past) < KEYS_KNOWN_MIN
            or column.unknown < TIMES_MOST * most
            or column.unknown - most < KEYS_SIGMAS * chance
        ):
            continue
        if not _only_added(today.rows, column, history):
            yield UnknownKeys(name, column.unknown, most)


def _only_added(rows: int, column: ColumnMetrics, history: MetricHistory) -> bool:
    """Return whether a column is a list that still has nearly all known keys."""
    filled = round(rows * (1 - column.nulls))
    if (
        column.unknown is None
        or column.distinct is None
        or round(math.exp(column.distinct)) < filled
    ):
        return False
    known, before = (
        filled * (1 - column.unknown),
        math.exp(history.series(MetricId("rows")).values[-1]) - 1,
    )
    return known > (1 - KEYS_LEAST) * before


# Rows of something else under the same header: most values of the previous day are gone, and others
# came. A truncated file loses names and adds none; a growing dimension adds names and loses none.

GRAIN_LASTING = 0.6
"""The minimum share of recurring values in a column that names lasting things."""
GONE = 0.5
"""The part of the smallest recurring share so far below which the column names other things."""
NEW_MIN = 0.2
"""The minimum share of new values."""
GRAIN_KNOWN_MIN = 14
"""The minimum number of earlier measurements, …"""
NONE_KEPT_MIN = 7
"""… and the same if no value recurs."""


SAME_NUMBER = math.log(1.25)
"""The maximum difference (ln) of numbers of values that count as equal."""
SCARCE = 0.01


class Regrained(NamedTuple):
    """A column that names other things.

    `kept` is the share of the previous day's values that recur, `least` the smallest such share so
    far, `new` the share of new values, `more` the ratio of the numbers of values (ln).
    """

    column: str
    recurring_share: float
    least: float
    new: float
    more: float

    def as_many(self, lost: float) -> bool:
        """Return whether there are as many values as before.

        The share `lost` of the rows is missing and may have had values of its own.
        """
        return math.log(max(1 - lost, SCARCE)) - SAME_NUMBER <= self.more <= SAME_NUMBER


def regrained_column(today: Metrics, history: MetricHistory) -> Regrained | None:
    """Return the column that lost most of its values, or None."""
    results = [
        item for name in today.columns if (item := _regrained_in(name, today, history)) is not None
    ]
    return min(results, key=lambda item: item.recurring_share / item.least, default=None)


def _regrained_in(name: str, today: Metrics, history: MetricHistory) -> Regrained | None:
    column = today.columns[name]
    newest = history.metrics(len(history) - 1) if len(history) else None
    if (
        column.kept is None
        or column.distinct is None
        or newest is None
        or name not in newest.columns
    ):
        return None
    past = [
        share
        for metrics in history.all()
        if name in metrics.columns and (share := metrics.columns[name].kept) is not None
    ]
    least, before = min(past, default=0.0), newest.columns[name].distinct
    if (
        len(past) < (GRAIN_KNOWN_MIN if column.kept else NONE_KEPT_MIN)
        or least < GRAIN_LASTING
        or column.kept >= GONE * least
        or before is None
    ):
        return None
    new = max(1 - column.kept * math.exp(before - column.distinct), 0.0)
    return (
        Regrained(name, column.kept, least, new, column.distinct - before)
        if new >= NEW_MIN
        else None
    )


# A column with nulls of its own although it was always null together with another column. Delays
# and air times are null for cancelled flights, in fair weather and in storms: their number varies
# greatly, but the difference between the two columns doesn't. Rows with one value but not the other
# are a fault, however few.

LESS_MIN = 0.02
"""The minimum share of the rows for a warning, …"""
HELD = 0.05
TIMES_EVER = 4.0
"""… if it is this multiple of the largest difference so far, …"""
TWINS = 0.1
"""… which is at most this part of the nulls on the worst day: else the columns aren't linked."""
OFTEN = 3
"""Nulls must occur in at least one of this number of partitions."""
ALONE_KNOWN_MIN = 14


class UnsharedNulls(NamedTuple):
    """A column with more nulls than the one that it shares them with.

    `expected` is the other column's share, `most` the largest difference so far.
    """

    column: str
    other: str
    nulls: float
    expected: float
    most: float


def emptied_alone(today: Metrics, history: MetricHistory) -> list[UnsharedNulls]:
    """Return the columns that are null where the most similar column isn't, each once."""
    worse = [name for name, column in today.columns.items() if column.nulls >= LESS_MIN]
    if not worse:
        return []
    past = history.all()
    results = (_unshared_nulls(name, today, past) for name in worse)
    return [nulls for nulls in results if nulls is not None]


def _unshared_nulls(name: str, today: Metrics, past: Sequence[Metrics]) -> UnsharedNulls | None:
    null_shares = _nulls(name, past)
    if len(null_shares) < ALONE_KNOWN_MIN or sum(share > 0 for share in null_shares) * OFTEN < len(
        null_shares
    ):
        return None
    others = (
        (_apart(null_shares, _nulls(other, past)), other)
        for other in today.columns
        if other != name
    )
    most, nearest = min(others, default=(1.0, ""))
    if most > TWINS * max(null_shares):
        return None
    nulls, expected = today.columns[name].nulls, today.columns[nearest].nulls
    return (
        UnsharedNulls(name, nearest, nulls, expected, most)
        if nulls - expected >= max(LESS_MIN, TIMES_EVER * most)
        else None
    )


def _nulls(name: str, past: Sequence[Metrics]) -> list[float]:
    return [metrics.columns[name].nulls for metrics in past if name in metrics.columns]


def _apart(item: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest difference of two columns' nulls so far; 1 if one was ever absent."""
    if len(item) != len(other):
        return 1.0
    return max(map(abs, map(operator.sub, item, other)), default=1.0)
