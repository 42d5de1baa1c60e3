"""Explanations of anomalies: what peers, events in the world and moved rows account for."""

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

# What other sources did in the same interval: a holiday reduces all of them, a fault one.

PEERS_MIN = 2
BEFORE_MIN = 4
"""Of so many intervals it has to be known how many rows a peer had."""
EXPLAINED = 0.5
"""Peers explain a move where theirs is at least this part of it."""


class Peer(msgspec.Struct, frozen=True, array_like=True):
    """Another owner's source: how many rows it has in this interval, and had in those before that are like it, oldest first."""

    name: str
    rows: int
    before: tuple[int, ...]


def shared_move(anomaly: MetricAnomaly, peers: Sequence[Peer]) -> str:
    """In words, that peers moved as rows did; empty where they didn't, or too few are known."""
    return alike(anomaly.off, peers) if anomaly.metric.family == "rows" else ""


def alike(off: float, peers: Sequence[Peer]) -> str:
    """In words, that peers moved as rows did that are off by so much, as a logarithm; empty where they didn't, or too few are known."""
    moves = sorted(result for peer in peers if (result := move(peer)) is not None)
    if len(moves) < PEERS_MIN:
        return ""
    middle = moves[len(moves) // 2] if len(moves) % 2 else (moves[len(moves) // 2 - 1] + moves[len(moves) // 2]) / 2
    if middle * off <= 0 or abs(middle) < EXPLAINED * abs(off):
        return ""
    return f"{len(moves)} sources of other owners moved alike"


def move(peer: Peer) -> float | None:
    """How far a source's rows lie from what they usually are, as a logarithm; None where too little is known."""
    if len(peer.before) < BEFORE_MIN:
        return None
    usual = sorted(peer.before)[len(peer.before) // 2]
    return math.log(peer.rows + 1) - math.log(usual + 1)


# Whether an anomalous number has the shape of a fault. The world changes gradually and in many
# ways at once; a unit changes alone. Only a fault's shape holds a partition by itself: days of
# snow, rain or a sale are unusual in a hundred ways, and true.

SAME_SPREAD = 0.3
"""Values that are all multiplied by one number are as far apart as before, as logarithms."""
SAME_SIZE = math.log(1.35)
MANY_DISTINCT = math.log(30)
"""A column of fewer distinct values may have one, for a day."""
ORDERS = math.log(8)
"""Sizes without a spread are of another unit from here on."""
ODDS = 4.5
"""What is null often is null more often on some days; from here on it isn't that."""
WORST = 1.5
"""… and from so many times the odds of the worst day in the history on: what is null in bursts has another burst."""
FEW_LEFT = math.log(4)
"""A column of which a quarter of the distinct values is left is filled with something else; half as many have fog, and quiet days."""
SAME_SIGNS = 0.1
"""Another unit leaves as many values negative, and as many zero, as there were."""
ALL_ZERO = 0.5
"""A column that is mostly zero may be zero."""


def has_faulty_shape(anomaly: MetricAnomaly, column: ColumnMetrics | None, usual: Mapping[MetricId, float], highest: float) -> bool:
    """Whether something odd is the kind of thing that only a fault does. `usual` is what each number is in the middle of the history,
    `highest` the greatest that the odd one was."""
    match anomaly.metric.family:
        case "rows" | "hour_mean" | "hour_q95" | "length":
            return True
        case "nulls" | "empty":
            return _odds(anomaly.observed) >= max(ODDS * _odds(anomaly.expected), WORST * _odds(highest))
        case "location":
            return _scaled(anomaly, column, usual)
        case "negative":
            return anomaly.off > 0 and _near(
                column.location if column else None, usual.get(MetricId("location", anomaly.metric.column)), SAME_SIZE
            )
        case "zero":
            return anomaly.off > 0 and anomaly.expected < ALL_ZERO
        case "share":
            return column is not None and column.negative is None
        case "distinct":
            return anomaly.off <= -FEW_LEFT and anomaly.expected >= MANY_DISTINCT
        case _:
            return False


def _scaled(anomaly: MetricAnomaly, column: ColumnMetrics | None, usual: Mapping[MetricId, float]) -> bool:
    """Whether all values were multiplied by one number."""
    if column is not None and any(
        abs((getattr(column, family) or 0.0) - usual.get(MetricId(family, anomaly.metric.column), 0.0)) > SAME_SIGNS
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


# Nulls that come together. An event in the world empties every column that depends on it, a fault
# empties one. Cancelled flights have no departure, delay or air time: these are null together on
# any day, and on the day of a storm for half of the rows. A column that is emptied alone, that
# never was null, or that has nothing left is a fault.

ALL = 0.9
"""An event leaves some rows: from this share of nulls on nothing is left."""
IN_PROPORTION = 2.5
"""Columns are null together where the one's share is to the other's as it always was, give or take this factor."""
SOMETIMES = 3
"""… in at least one of so many partitions."""
OTHERS_MIN = 2
"""Where so many other columns are odd in what they hold, it is the world that has moved."""


def emptied_together(odd: Sequence[MetricAnomaly], today: Metrics, history: MetricHistory) -> frozenset[str]:
    """The columns that an event has emptied: more nulls than ever, in columns that were null before, together with others."""
    shares = {
        anomaly.metric.column: anomaly.observed
        for anomaly in odd
        if anomaly.metric.family == "nulls" and anomaly.off > 0 and anomaly.observed < ALL
    }
    if not shares:
        return frozenset()
    past = history.all()
    moved = {anomaly.metric.column for anomaly in odd if anomaly.metric.family not in ("nulls", "rows")} - set(shares)
    return frozenset(
        name
        for name in shares
        if _sometimes_null(name, past)
        and (len(moved) >= OTHERS_MIN or any(_in_proportion(name, other, today, past) for other in shares if other != name))
    )


def _sometimes_null(name: str, past: Sequence[Metrics]) -> bool:
    shares = [metrics.columns[name].nulls for metrics in past if name in metrics.columns]
    return sum(share > 0 for share in shares) * SOMETIMES >= len(shares) > 0


def _in_proportion(item: str, other: str, today: Metrics, past: Sequence[Metrics]) -> bool:
    """Whether two columns' nulls are to each other as they were."""
    ratios = sorted(
        metrics.columns[item].nulls / metrics.columns[other].nulls
        for metrics in past
        if item in metrics.columns and other in metrics.columns and metrics.columns[item].nulls and metrics.columns[other].nulls
    )
    if len(ratios) * SOMETIMES < len(past):
        return False
    change = today.columns[item].nulls / today.columns[other].nulls / ratios[len(ratios) // 2]
    return 1 / IN_PROPORTION <= change <= IN_PROPORTION


# Anomalous values together with missing or surplus rows: what remains once those rows are
# accounted for. Repeated or missing rows move shares by themselves, and the largest possible
# effect can be computed: all surplus rows, or all missing ones, could have had the value.
# Anything beyond that has a cause of its own.

TWICE = math.log(2)
"""Sizes that all moved so far moved by no choice of rows."""
_OF_ROWS = ("duplicate_rows", "volume_anomaly")
_ALL = 0.99
ONE_EACH = 0.95
"""A column with so many different values a row, as far as they are counted, numbers its rows."""
MOSTLY = 0.9
"""Of the repeated rows so many have an empty value."""


def emptied(today: Metrics, history: MetricHistory) -> bool:
    """Whether rows are alike because what told them apart is empty: as many values of a column are
    gone as rows are repeated, there are no more rows than there were before, and no other column had
    a value of its own in each row."""
    if not today.repeated or today.rows > max((metrics.rows for metrics in history.all()), default=0):
        return False
    before = {
        name: max((metrics.columns[name].nulls for metrics in history.all() if name in metrics.columns), default=1.0)
        for name in today.columns
    }
    gone = {name: column.nulls - before[name] for name, column in today.columns.items()}
    if any(gone[name] <= 0 and _numbers_rows(name, history) for name in today.columns):
        return False
    return max(gone.values(), default=0.0) * today.rows >= MOSTLY * today.repeated


def _numbers_rows(name: str, history: MetricHistory) -> bool:
    """Whether a column has had as many different values as rows, as far as they are counted."""
    past = [(metrics.rows, metrics.columns.get(name)) for metrics in history.all()]
    return all(metrics is not None and math.exp(metrics.distinct or 0.0) >= ONE_EACH * rows for rows, metrics in past)


class MovedRows(NamedTuple):
    """Which share of a partition's rows is too many, which share of the usual rows is missing, and how many rows there would be."""

    more: float
    fewer: float
    rows: float

    def least(self, share: float) -> float:
        """The least that a share of the rows would be without that."""
        return max((share - self.more) / (1 - self.more), 0.0) * (1 - self.fewer)

    def most(self, share: float) -> float:
        """The most that it would be."""
        return min(share / (1 - self.more), 1.0) * (1 - self.fewer) + self.fewer


def moved(rows: int, repeated: int, anomalies: Sequence[MetricAnomaly], missing: float) -> MovedRows:
    """By how much rows differ: repeated ones, what forecasts say of their number, and what a cut or missing groups leave out."""
    off = next((anomaly.off for anomaly in anomalies if anomaly.metric.family == "rows"), 0.0)
    more = max(repeated / rows, 1 - math.exp(-off) if off > 0 else 0.0)
    fewer = max(missing, 1 - math.exp(off) if off < 0 else 0.0)
    more, fewer = min(more, _ALL), min(fewer, _ALL)
    return MovedRows(more, fewer, rows * (1 - more) / (1 - fewer))


def remains(anomaly: MetricAnomaly, by: MovedRows, history: MetricHistory) -> bool:
    """Whether a number is odd whatever the surplus or missing rows were."""
    if anomaly.metric.family == "location":
        return abs(anomaly.off) >= TWICE
    if anomaly.metric.family not in SHARES:
        return False
    past = history.series(anomaly.metric).values
    beyond = max(by.least(anomaly.observed) - max(past), min(past) - by.most(anomaly.observed))
    return beyond >= limits(anomaly.metric.family).quiet and beyond * by.rows >= QUIET_ROWS


def weighed(of_rows: Sequence[Fact], values: Sequence[tuple[Fact, bool]]) -> list[Fact]:
    """The facts about values, beside those about rows: what remains without these weighs more than they do, all else no more."""
    top = max((row.strength for row in of_rows if row.severity is FactSeverity.HOLD and row.kind in _OF_ROWS), default=None)
    return [fact if top is None or fact.kind in _OF_ROWS else _weighing(fact, top, beyond=beyond) for fact, beyond in values]


def _weighing(fact: Fact, top: float, *, beyond: bool) -> Fact:
    strength = max(fact.strength, top + 1) if beyond else min(fact.strength, top)
    return msgspec.structs.replace(fact, strength=strength)
