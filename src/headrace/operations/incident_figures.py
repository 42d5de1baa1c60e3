"""The figures that an incident's evidence is of: what they were before, what was expected of the odd partition, what it came to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from headrace.model import Project
from headrace.operations.incident_responses import IncidentFigureRow, MeasuredRow
from headrace.operations.incidents import found_in, number_of
from headrace.operations.session import ProjectSession
from headrace.quality.anomalies.facts import kind_of
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.odd import MetricAnomaly, odd
from headrace.quality.metrics import HISTORY_PARTITIONS, MetricId, Metrics, StoredMetrics, decoded
from headrace.store import Transaction
from headrace.store.queries import drift
from headrace.store.queries import metrics as measured
from headrace.store.queries.drift import FactRow
from headrace.store.queries.incidents import Incident

FIGURES_MAX = 4
"""So many figures are drawn, of the partition that is off first."""
MARKED_MAX = 30
"""So many odd partitions of one figure are drawn."""
_FACT = "fact:"
_LOGARITHMS = frozenset({"location", "spread", "distinct"})
_PLUS_ONE = frozenset({"rows", "length"})
_SHARES = frozenset({"nulls", "empty", "negative", "zero", "share"})
_HOURS = frozenset({"hour_mean", "hour_q95"})


def incident_figures(session: ProjectSession, target: str) -> list[IncidentFigureRow]:
    """Of each column that is odd by its own history, the figure that is farthest off; none where the cause isn't one of figures, or what
    was measured is kept no longer. UsageError for an incident that there isn't."""
    number = number_of(target)
    project = session.project()
    if session.store is None:
        return []
    with session.store.read() as tx:
        return _figures(tx, project, found_in(tx, number))


def _figures(tx: Transaction, project: Project, incident: Incident) -> list[IncidentFigureRow]:
    ids = [int(evidence.id.removeprefix(_FACT)) for evidence in incident.evidence if evidence.id.startswith(_FACT)]
    facts = sorted(drift.facts(tx, ids), key=lambda fact: (fact.partition, -float(fact.strength)))
    node = project.source_or_asset(incident.node)
    rows = [fact for fact in facts if fact.node == incident.node]
    if node is None or not rows:
        return []
    first = rows[0].partition
    past = [StoredMetrics(*row) for row in measured.before(tx, incident.node, first, HISTORY_PARTITIONS)]
    history = MetricHistory(past, node.partition.grain)
    off = _off(tx, rows, first, history, len(project.sources))
    return [_row(tx, figure, rows, past) for figure in off]


def _off(tx: Transaction, facts: Sequence[FactRow], first: str, history: MetricHistory, sources: int) -> list[MetricAnomaly]:
    """The figures that the facts of the first partition are of, as they were judged."""
    metrics = _measured(tx, facts[0])
    if metrics is None:
        return []
    every = sorted(odd(first, metrics.values(), metrics.rows, history, sources), key=lambda anomaly: -anomaly.strength)
    meant = {(fact.kind, fact.column) for fact in facts if fact.partition == first}
    best: dict[str, MetricAnomaly] = {}
    for anomaly in every:
        if (kind_of(anomaly.metric.family), anomaly.metric.column) in meant:
            best.setdefault(anomaly.metric.column, anomaly)
    return list(best.values())[:FIGURES_MAX]


def _measured(tx: Transaction, fact: FactRow) -> Metrics | None:
    vector = measured.of_attempt(tx, fact.epoch, fact.n, fact.partition)
    return None if vector is None else decoded(vector)


def _row(tx: Transaction, figure: MetricAnomaly, facts: Sequence[FactRow], past: Sequence[StoredMetrics]) -> IncidentFigureRow:
    metric = figure.metric
    return IncidentFigureRow(
        node=facts[0].node,
        column=metric.column or None,
        figure=metric.family,
        category=metric.value or None,
        unit="share" if metric.family in _SHARES else "hours" if metric.family in _HOURS else "number",
        partition=facts[0].partition,
        expected=_plain(metric.family, figure.expected),
        observed=_plain(metric.family, figure.observed),
        points=[*_before(metric, past), *_since(tx, metric, facts)],
    )


def _before(metric: MetricId, past: Sequence[StoredMetrics]) -> Iterator[MeasuredRow]:
    for metrics in past:
        yield MeasuredRow(partition=metrics.partition, value=_value(metric, decoded(metrics.vector)), odd=False)


def _since(tx: Transaction, metric: MetricId, facts: Sequence[FactRow]) -> Iterator[MeasuredRow]:
    """The partitions that the incident is about, each as it was measured last."""
    newest = {fact.partition: fact for fact in sorted(facts, key=lambda fact: (fact.partition, fact.epoch, fact.n))}
    for fact in list(newest.values())[:MARKED_MAX]:
        metrics = _measured(tx, fact)
        if metrics is not None:
            yield MeasuredRow(partition=fact.partition, value=_value(metric, metrics), odd=True)


def _value(metric: MetricId, metrics: Metrics) -> float | None:
    """A category that isn't there has no share."""
    absent = 0.0 if metric.family == "share" else None
    value = metrics.values().get(metric, absent)
    return None if value is None else _plain(metric.family, value)


def _plain(family: str, value: float) -> float:
    """As people count: rows and sizes are kept as logarithms."""
    if family in _PLUS_ONE:
        return max(math.exp(value) - 1, 0.0)
    return math.exp(value) if family in _LOGARITHMS else value
