"""Explanations of anomalies by peers, by real events, and by missing or surplus rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from headrace.checks.anomalies.expectations import QUIET_ROWS, SHARES, limits
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import MetricAnomaly
from headrace.checks.facts import Fact, FactSeverity
from headrace.checks.metrics import ColumnMetrics, MetricId, Metrics

# Other sources in the same interval: a holiday reduces all of them, a fault reduces one.

PEERS_MIN = 2
BEFORE_MIN = 4
"""The minimum number of intervals for which a peer's number of rows must be known."""
EXPLAINED = 0.5
"""The minimum part of a move that peers must share to explain it."""


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """Another owner's source.

    `rows` is its number of rows in this interval, `before` those in similar earlier ones, oldest
    first.
    """

    name: str
    rows: int
    before: tuple[int, ...]


def shared_move(anomaly: MetricAnomaly, peers: Sequence[Peer]) -> str:
    """Return a text that peers moved as rows did; empty if not, or if too few are known."""
    return alike(anomaly.off, peers) if anomaly.metric.family == "rows" else ""


def alike(off: float, peers: Sequence[Peer]) -> str:
    """Return a text that peers moved like `off` (ln); empty if not, or if too few are known."""
    moves = sorted(result for peer in peers if (result := move(peer)) is not None)
    if len(moves) < PEERS_MIN:
        return ""
    middle = (
        moves[len(moves) // 2]
        if len(moves) % 2
        else (moves[len(moves) // 2 - 1] + moves[len(moves) // 2]) / 2
    )
    if middle * off <= 0 or abs(middle) < EXPLAINED * abs(off):
        return ""
    return f"{len(moves)} sources of other owners moved alike"


def move(peer: Peer) -> float | None:
    """Return the deviation of a source's rows from the median (ln); None if too little is known."""
    if len(peer.before) < BEFORE_MIN:
        return None
    usual = sorted(peer.before)[len(peer.before) // 2]
    return math.log(peer.rows + 1) - math.log(usual + 1)


# Whether an anomaly has the shape of a fault. The world changes gradually and in many ways at once;
# a unit changes alone. Only the shape of a fault holds a partition by itself: days of snow, rain or
# a sale are unusual in a hundred ways, and true.

SAME_SPREAD = 0.3
"""The tolerance (ln) of a spread if all values were multiplied by one factor."""
SAME_SIZE = math.log(1.35)
MANY_DISTINCT = math.log(30)
"""The minimum number of distinct values (ln); a column with fewer may have one for a day."""
ORDERS = math.log(8)
"""The minimum factor (ln) of another unit if the spread is unknown."""
ODDS = 4.5
"""The minimum odds ratio of nulls; columns with many nulls have more on some days."""
WORST = 1.5
"""… and the minimum ratio to the odds of the worst day so far, since nulls come in bursts."""
FEW_LEFT = math.log(4)
"""The minimum loss of distinct values (ln): a quarter remains after a default value.

Fog and quiet days leave half of them.
"""
SAME_SIGNS = 0.1
"""The tolerance of the shares of negative values and zeros after a change of unit."""
ALL_ZERO = 0.5
"""A column with more zeros than this may have only zeros."""


def has_faulty_shape(
    anomaly: MetricAnomaly,
    column: ColumnMetrics | None,
    usual: Mapping[MetricId, float],
    highest: float,
) -> bool:
    """Return whether only a fault causes such an anomaly.

    `usual` has the medians of the history, `highest` the largest value of this metric so far.
    """
    match anomaly.metric.family:
        case "rows" | "hour_mean" | "hour_q95" | "length":
            return True
        case "nulls" | "empty":
            return _odds(anomaly.observed) >= max(
                ODDS * _odds(anomaly.expected), WORST * _odds(highest)
            )
        case "location":
            return _scaled(anomaly, column, usual)
        case "negative":
            return anomaly.off > 0 and _near(
                column.location if column else None,
                usual.get(MetricId("location", anomaly.metric.column)),
                SAME_SIZE,
            )
        case "zero":
            return anomaly.off > 0 and anomaly.expected < ALL_ZERO
        case "share":
            return column is not None and column.negative is None
        case "distinct":
            return anomaly.off <= -FEW_LEFT and anomaly.expected >= MANY_DISTINCT
        case _:
            return False


def _scaled(
    anomaly: MetricAnomaly, column: ColumnMetrics | None, usual: Mapping[MetricId, float]
) -> bool:
    """Return whether all values were multiplied by one factor."""
    if column is not None and any(
        abs(
            (getattr(column, family) or 0.0)
            - usual.get(MetricId(family, anomaly.metric.column), 0.0)
        )
        > SAME_SIGNS
        for family in ("negative", "zero")
    ):
        return False
    before = usual.get(MetricId("spread", anomaly.metric.column))
    if column is None or column.spread is None or before is None:
        return abs(anomaly.off) >= ORDERS
    return _near(column.spread, before, SAME_SPREAD)


def _odds(share: float) -> float:
    held = min(max(share, 0.001), 0.999)
    return held / (1 - held)


def _near(item: float | None, other: float | None, within: float) -> bool:
    return item is not None and other is not None and abs(item - other) <= within


# Nulls that come together. An event in the world empties every column that depends on it; a fault
# empties one. Cancelled flights have no departure, delay or air time: these are null together on
# any day, and for half of the rows on the day of a storm. A column that is emptied alone, never was
# null, or has no values left shows a fault.

ALL = 0.9
"""The share of nulls from which on a column has no values left; an event leaves some."""
IN_PROPORTION = 2.5
"""The tolerance (factor) of the usual ratio of two columns' nulls."""
SOMETIMES = 3
"""Nulls must occur in at least one of this number of partitions."""
OTHERS_MIN = 2
"""The number of other columns with anomalous values that indicates a real event."""


def emptied_together(
    anomalies: Sequence[MetricAnomaly], today: Metrics, history: MetricHistory
) -> frozenset[str]:
    """Return the columns that an event has emptied.

    They have more nulls than ever, had nulls before, and were emptied together with others.
    """
    shares = {
        anomaly.metric.column: anomaly.observed
        for anomaly in anomalies
        if anomaly.metric.family == "nulls" and anomaly.off > 0 and anomaly.observed < ALL
    }
    if not shares:
        return frozenset()
    past = history.all()
    moved = {
        anomaly.metric.column
        for anomaly in anomalies
        if anomaly.metric.family not in ("nulls", "rows")
    } - set(shares)
    return frozenset(
        name
        for name in shares
        if _sometimes_null(name, past)
        and (
            len(moved) >= OTHERS_MIN
            or any(_in_proportion(name, other, today, past) for other in shares if other != name)
        )
    )


def _sometimes_null(name: str, past: Sequence[Metrics]) -> bool:
    shares = [metrics.columns[name].nulls for metrics in past if name in metrics.columns]
    return sum(share > 0 for share in shares) * SOMETIMES >= len(shares) > 0


def _in_proportion(item: str, other: str, today: Metrics, past: Sequence[Metrics]) -> bool:
    """Return whether the nulls of two columns have their usual ratio."""
    ratios = sorted(
        metrics.columns[item].nulls / metrics.columns[other].nulls
        for metrics in past
        if item in metrics.columns
        and other in metrics.columns
        and metrics.columns[item].nulls
        and metrics.columns[other].nulls
    )
    if len(ratios) * SOMETIMES < len(past):
        return False
    change = today.columns[item].nulls / today.columns[other].nulls / ratios[len(ratios) // 2]
    return 1 / IN_PROPORTION <= change <= IN_PROPORTION


# Anomalous values together with missing or surplus rows: what remains after accounting for those
# rows. Repeated or missing rows move shares by themselves, and the largest possible effect can be
# computed: all surplus or missing rows could have had the value. Anything beyond that has a cause
# of its own.

TWICE = math.log(2)
"""The minimum move of sizes (ln) that no choice of rows explains."""
_OF_ROWS = ("duplicate_rows", "volume_anomaly")
_ALL = 0.99
ONE_EACH = 0.95
"""The minimum distinct values per row in a column that numbers its rows (an estimate)."""
MOSTLY = 0.9
"""The minimum share of the repeated rows with an empty value."""


def emptied(today: Metrics, history: MetricHistory) -> bool:
    """Return whether rows are equal only because the column that distinguished them is empty.

    As many values of a column are gone as rows are repeated, there are no more rows than before,
    and no other column had a distinct value in each row.
    """
    if not today.repeated or today.rows > max(
        (metrics.rows for metrics in history.all()), default=0
    ):
        return False
    before = {
        name: max(
            (metrics.columns[name].nulls for metrics in history.all() if name in metrics.columns),
            default=1.0,
        )
        for name in today.columns
    }
    null_increases = {name: column.nulls - before[name] for name, column in today.columns.items()}
    if any(null_increases[name] <= 0 and _numbers_rows(name, history) for name in today.columns):
        return False
    return max(null_increases.values(), default=0.0) * today.rows >= MOSTLY * today.repeated


def _numbers_rows(name: str, history: MetricHistory) -> bool:
    """Return whether a column always had about as many distinct values as rows."""
    past = [(metrics.rows, metrics.columns.get(name)) for metrics in history.all()]
    return all(
        metrics is not None and math.exp(metrics.distinct or 0.0) >= ONE_EACH * rows
        for rows, metrics in past
    )


class MovedRows(NamedTuple):
    """The share of surplus rows, the share of missing usual rows, and the corrected row count."""

    more: float
    fewer: float
    rows: float

    def least(self, share: float) -> float:
        """Return the minimum of a share of the rows after the correction."""
        return max((share - self.more) / (1 - self.more), 0.0) * (1 - self.fewer)

    def most(self, share: float) -> float:
        """Return the maximum of a share of the rows after the correction."""
        return min(share / (1 - self.more), 1.0) * (1 - self.fewer) + self.fewer


def moved(
    rows: int, repeated: int, anomalies: Sequence[MetricAnomaly], missing: float
) -> MovedRows:
    """Return the moved rows, from repeated rows, forecasts, cuts and missing groups."""
    off = next((anomaly.off for anomaly in anomalies if anomaly.metric.family == "rows"), 0.0)
    more = max(repeated / rows, 1 - math.exp(-off) if off > 0 else 0.0)
    fewer = max(missing, 1 - math.exp(off) if off < 0 else 0.0)
    more, fewer = min(more, _ALL), min(fewer, _ALL)
    return MovedRows(more, fewer, rows * (1 - more) / (1 - fewer))


def remains(anomaly: MetricAnomaly, by: MovedRows, history: MetricHistory) -> bool:
    """Return whether a metric is anomalous whatever the surplus or missing rows were."""
    if anomaly.metric.family == "location":
        return abs(anomaly.off) >= TWICE
    if anomaly.metric.family not in SHARES:
        return False
    past = history.series(anomaly.metric).values
    beyond = max(by.least(anomaly.observed) - max(past), min(past) - by.most(anomaly.observed))
    return beyond >= limits(anomaly.metric.family).quiet and beyond * by.rows >= QUIET_ROWS


def weighed(of_rows: Sequence[Fact], values: Sequence[tuple[Fact, bool]]) -> list[Fact]:
    """Return the facts about values, weighed against those about rows.

    Facts that remain without the moved rows weigh more than those about rows; others weigh no more.
    """
    top = max(
        (
            row.strength
            for row in of_rows
            if row.severity is FactSeverity.HOLD and row.kind in _OF_ROWS
        ),
        default=None,
    )
    return [
        fact if top is None or fact.kind in _OF_ROWS else _weighing(fact, top, beyond=beyond)
        for fact, beyond in values
    ]


def _weighing(fact: Fact, top: float, *, beyond: bool) -> Fact:
    strength = max(fact.strength, top + 1) if beyond else min(fact.strength, top)
    return msgspec.structs.replace(fact, strength=strength)
