"""A node's newest partitions over time: rows, duration, and the figures of a column."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.checks.anomalies.history import readable
from headrace.checks.anomalies.metric_anomalies import kind_of
from headrace.checks.anomalies.usual import in_natural_units, unit_of
from headrace.checks.metrics import HISTORY_PARTITIONS, MetricId, Metrics, decoded, rows_alone
from headrace.extension import SEE, Asset, ProjectSession, Source, UsageError, command, did_you_mean
from headrace.model import Grain
from headrace.model.intervals import bounds_us
from headrace.model.nodes import CostRates
from headrace.model.partitions import SEPARATOR
from headrace.privacy.masking import column_limits
from headrace.project import targets
from headrace.store import Transaction
from headrace.store.queries import applied_versions, costs, quality
from headrace.store.queries.incidents import display_id
from headrace_ui.queries import history as stored
from headrace_ui.queries.history import PublishedPoint
from headrace_ui.responses.history import (
    ColumnFigureRow,
    ColumnPointRow,
    HistoryMarkRow,
    HistoryResponse,
    PublishedPointRow,
)
from headrace_ui.views.row_history import row_points
from headrace_ui.views.usual_values import MeasuredPartition, UsualValues, natural_range

FAMILIES = ("nulls", "empty", "distinct", "location", "negative", "zero", "length", "hour_mean")
"""The figures of a column, in the order of a page; those that its type lacks are left out."""
CATEGORIES_SHOWN = 6
"""The maximum number of categories whose share is shown, by share in the newest partition."""
LAST = "\U0010ffff"
"""Sorts after all keys, as those of partitions that are held and not published."""
KEYS_SEARCHED = 400
"""The number of newest partitions in which the second parts of keys are searched."""


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The column whose figures are returned, and the second part of the partitions' keys."""

    column: str | None = None
    key: str | None = None
    limit: Annotated[int, Meta(ge=2, le=400)] = 60


@command("history", SEE, of="name", http="GET /assets/{name}/history node_history")
def node_history(session: ProjectSession, name: str, query: HistoryQuery) -> HistoryResponse:
    """Return the newest published partitions, oldest first; empty for views.

    Raise UsageError for an unknown node, column or key.
    """
    node_name, _ = targets.target(name, session.project())
    node = session.project().source_or_asset(node_name)
    assert node is not None
    column = None if query.column is None else query.column.lower()
    stored_history = _Stored()
    if session.store is not None:
        with session.store.read() as tx:
            stored_history = _read(
                tx, node, query.key, query.limit, with_figures=column is not None
            )
    response = _response(session, node, stored_history)
    if column is None:
        return response
    name = chosen(
        column,
        response.columns,
        f"{node.name} has no column {column[:60]!r} with recorded figures",
    )
    figures = _figures(stored_history, name, node.partition.grain, len(session.project().sources))
    return msgspec.structs.replace(response, column=name, figures=figures)


class _Stored(msgspec.Struct, frozen=True):
    """What is stored of the newest partitions, oldest first."""

    key: str | None = None
    keys: list[str] = []
    points: list[PublishedPoint] = []
    marks: list[HistoryMarkRow] = []
    measured: dict[str, Metrics] = {}
    """Partition → its newest metrics from the first point on, also of what is held."""
    visible: list[MeasuredPartition] = []
    """Those of the points and of the partitions before them; only with rows without a column."""
    reported: set[tuple[str, str, str]] = set()
    """(partition, column in lower case, kind) of anomalies."""


def _read(
    tx: Transaction, node: Source | Asset, key: str | None, limit: int, *, with_figures: bool
) -> _Stored:
    key, keys = chosen_key(tx, node.name, key)
    ending = "" if key is None else f"{SEPARATOR}{key}"
    points = stored.newest_points(tx, node.name, ending, limit)
    if not points:
        return _Stored(key=key, keys=keys)
    first, last = points[0].partition, f"{LAST}{ending}"
    visible = visible_before(
        tx,
        node.name,
        last,
        HISTORY_PARTITIONS + len(points),
        values_of=_all_values if with_figures else rows_alone,
    )
    return _Stored(
        key=key,
        keys=keys,
        points=points,
        marks=_marks(tx, node, points, ending),
        measured=measured_from(tx, node.name, first, ending),
        visible=visible,
        reported=reported_since(tx, node.name, first, visible),
    )


def chosen_key(tx: Transaction, node: str, asked: str | None) -> tuple[str | None, list[str]]:
    """Return the asked second part of keys, else the first one, and all of the newest partitions.

    Raise UsageError for an unknown one.
    """
    newest = stored.newest_partitions(tx, node, KEYS_SEARCHED)
    keys = sorted({second for partition in newest if (second := _second_part(partition))})
    if asked is not None:
        refusal = f"{node} has no partition with the key {asked[:60]!r}"
        return chosen(asked.lower(), keys, refusal), keys
    return (keys[0] if keys else None), keys


def _second_part(partition: str) -> str:
    return partition.partition(SEPARATOR)[2]


def chosen(asked: str, known: Sequence[str], refusal: str) -> str:
    """Return the known name that equals `asked`, which is in lower case.

    Raise UsageError with the text `refusal` if there is none.
    """
    by_lower = {name.lower(): name for name in known}
    if asked not in by_lower:
        raise UsageError(
            refusal,
            hint=did_you_mean(asked, known) or f"known: {', '.join(known[:9]) or 'none yet'}",
        )
    return by_lower[asked]


def _response(session: ProjectSession, node: Source | Asset, history: _Stored) -> HistoryResponse:
    timezone = node.timezone or session.project().settings.timezone
    measured = history.measured.values()
    names = list(dict.fromkeys(name for metrics in measured for name in metrics.columns))
    limits = column_limits(session, node.name, past=True)
    hidden = {*limits.names, *limits.left_out_of(names)}
    rates = _rates_of_work(session)
    return HistoryResponse(
        now=session.now(),
        node=node.name,
        timezone=timezone,
        key=history.key,
        keys=history.keys,
        currency=None if rates is None else rates.currency,
        points=[_point(session, node, timezone, rates, point) for point in history.points],
        rows=row_points(
            {point.partition: point.rows for point in history.points},
            history.measured,
            history.visible,
            history.reported,
            node.partition.grain,
            len(session.project().sources),
        ),
        marks=history.marks,
        columns=[name for name in names if name.lower() not in hidden],
        column=None,
        figures=[],
    )


def _point(
    session: ProjectSession,
    node: Source | Asset,
    timezone: str,
    rates: CostRates | None,
    point: PublishedPoint,
) -> PublishedPointRow:
    grain = node.partition.grain
    after = None
    if grain is not None:
        interval = point.partition.partition(SEPARATOR)[0]
        after = (point.published_at - bounds_us(interval, grain, timezone)[1]) / 1e6
    seconds = None
    if point.started_at is not None and point.finished_at is not None:
        seconds = (point.finished_at - point.started_at) / 1e6
    shared = 1 if point.partitions is None else len(json.loads(point.partitions))
    return PublishedPointRow(
        partition=point.partition,
        rows=point.rows,
        bytes=point.bytes,
        seconds=seconds,
        shared=shared,
        cost=_cost(point, rates, shared),
        published_at=session.instant(point.published_at),
        after_seconds=after,
        version=point.version,
        verdict=point.verdict,
    )


def _rates_of_work(session: ProjectSession) -> CostRates | None:
    """Return the rates; None if neither work nor reading has one."""
    rates = session.settings.costs
    return rates if rates is not None and (rates.slot_hour or rates.gb_read) else None


def _cost(point: PublishedPoint, rates: CostRates | None, shared: int) -> float | None:
    """Return a partition's part of what its attempt cost; None if that isn't known."""
    if point.measures is None or rates is None:
        return None
    work = costs.work_of(point.measures)
    return rates.of(work.slot_us / shared, work.bytes_read / shared, 0)


# What happened at a partition: other code made it, or an incident's cause was seen there.


def _marks(
    tx: Transaction, node: Source | Asset, points: Sequence[PublishedPoint], ending: str
) -> list[HistoryMarkRow]:
    if not points:
        return []
    fingerprint = cache(lambda version: applied_versions.fingerprints(tx, version).get(node.name))
    marks = [
        HistoryMarkRow(partition=later.partition, kind="code", text=f"version {later.version}")
        for earlier, later in pairwise(points)
        if earlier.version != later.version
        and fingerprint(earlier.version) != fingerprint(later.version)
    ]
    seen = stored.incidents_at(tx, node.name, points[0].partition, LAST)
    return marks + [
        HistoryMarkRow(partition=partition, kind="incident", text=display_id(number))
        for partition, number in seen
        if partition.endswith(ending)
    ]


# Figures of a column: what each partition measured, beside what was usual until then.


def _all_values(vector: bytes) -> Mapping[MetricId, float]:
    return decoded(vector).values()


def visible_before(
    tx: Transaction,
    node: str,
    partition: str,
    limit: int,
    *,
    values_of: Callable[[bytes], Mapping[MetricId, float]] = _all_values,
) -> list[MeasuredPartition]:
    """Return the newest visible partitions before one, of its key, with metrics of each."""
    results = []
    for earlier, vector, excepted, doubtful in quality.metrics_before(tx, node, partition, limit):
        with suppress(msgspec.DecodeError):  # of a later version
            values = values_of(vector)
            usual = {metric: values[metric] for metric in values if metric.column not in doubtful}
            results.append(MeasuredPartition(earlier, usual if doubtful else values, excepted))
    return results


def reported_since(
    tx: Transaction, node: str, first: str, visible: Sequence[MeasuredPartition]
) -> set[tuple[str, str, str]]:
    """Return the anomalies of partitions from the first one on, or from the first visible one."""
    begin = min([first, *(item.partition for item in visible[:1])])
    return stored.reported_anomalies(tx, node, begin, LAST)


def measured_from(tx: Transaction, node: str, first: str, ending: str) -> dict[str, Metrics]:
    """Return partition → its newest metrics, from the first on, of keys that end so."""
    newest = stored.newest_measurements(tx, node, first, ending)
    known = {partition: readable(vector) for partition, vector in newest.items()}
    return {partition: metrics for partition, metrics in known.items() if metrics is not None}


def _figures(
    history: _Stored, column: str, grain: Grain | None, sources: int
) -> list[ColumnFigureRow]:
    rows = (
        ColumnFigureRow(
            figure=metric.family,
            category=metric.value or None,
            unit=unit_of(metric.family),
            points=_column_points(history, metric, grain, sources),
        )
        for metric in _shown_metrics(history.measured, column)
    )
    return [row for row in rows if any(point.value is not None for point in row.points)]


def _shown_metrics(measured: Mapping[str, Metrics], column: str) -> list[MetricId]:
    """Return the metrics of a column in the order of a page, the largest categories last."""
    shares: dict[str, float] = {}
    for metrics in measured.values():
        if column in metrics.columns:
            shares = {**shares, **metrics.columns[column].shares}
    largest = sorted(shares, key=lambda category: (-shares[category], category))
    return [
        *(MetricId(family, column) for family in FAMILIES),
        *(MetricId("share", column, category) for category in largest[:CATEGORIES_SHOWN]),
    ]


def _column_points(
    history: _Stored, metric: MetricId, grain: Grain | None, sources: int
) -> list[ColumnPointRow]:
    usual = UsualValues(metric, history.visible, grain, history.reported)
    family, column = metric.family, metric.column.lower()
    rows = []
    for partition, metrics in history.measured.items():
        values = metrics.values()
        value = values.get(metric, _absent(metrics, metric))
        if value is None:
            rows.append(
                ColumnPointRow(partition=partition, value=None, low=None, high=None, odd=False)
            )
            continue
        between = usual.range(partition, value, (sources, len(values)))
        low, high = (None, None) if between is None else natural_range(family, between)
        outside = between is not None and not between.low <= value <= between.high
        rows.append(
            ColumnPointRow(
                partition=partition,
                value=in_natural_units(family, value),
                low=low,
                high=high,
                odd=outside and (partition, column, kind_of(family)) in history.reported,
            )
        )
    return rows


def _absent(metrics: Metrics, metric: MetricId) -> float | None:
    """Return the share of a category that a partition lacks; None if it has no shares at all."""
    known = metrics.columns.get(metric.column)
    return 0.0 if metric.family == "share" and known is not None and known.shares else None
