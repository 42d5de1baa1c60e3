"""The inputs of a task: required partitions (SEMANTICS §2), and the context of its anomalies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from headrace.checks.anomalies.expectations import country_of
from headrace.checks.anomalies.metric_anomalies import ACCEPTED, IGNORE
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.metrics import HISTORY_PARTITIONS, StoredMetrics
from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeColumn
from headrace.model import Asset, InputMode, InputSpec, PartitionSpec, Severity, Source
from headrace.model.common_fields import anomaly_policies
from headrace.model.intervals import bounds_us, previous_key
from headrace.model.partitions import (
    SEPARATOR,
    WHOLE,
    command_line,
    join,
    order_of,
    required,
    split,
)
from headrace.model.retention import first_kept
from headrace.plan.compiled import expand_view_names, expand_views, is_view
from headrace.plan.impact import ALL_COLUMNS
from headrace.plan.node_graph import NodeGraph
from headrace.plan.schemas import delivering_input, untyped_columns
from headrace.runtime.messages import AnomalyContext, ViewCheck, ViewCheckReads
from headrace.runtime.tasks.deliveries import peers_of
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.runtime.tasks.older_columns import refuse_lacking
from headrace.store import Transaction
from headrace.store.queries import (
    exceptions,
    leader_writes,
    publications,
    quality,
    rebuildable,
    removed_rows,
)

# Required partitions of each input, and optional inputs that are missing.

STEPS_MAX = 400
"""Most intervals without a publication between a partition and the one before it."""


def input_of(
    lookup: TaskLookup,
    tx: Transaction,
    asset: Source | Asset,
    spec: InputSpec,
    keys: Sequence[str],
    snapshot: int,
    now: int | None = None,
) -> InputData:
    """Return one input for the asset code, as of `now` for `retain:` of the input.

    An input that was never published, and needn't be waited for, is a relation without rows.

    Raises Undeliverable if its columns aren't known, if its rows are removed by `retain:`, or if
    they were published without a column that is read.
    """
    if is_view(lookup.project, spec.node):
        return lookup.view(
            spec, lambda spec: input_of(lookup, tx, asset, spec, keys, snapshot, now)
        )
    if (delivered := _delivered(lookup, tx, asset, spec, keys)) is not None:
        return delivered
    input_keys = wanted_of(lookup, tx, asset, spec, keys)
    if now is not None:
        _refuse_removed(lookup, tx, spec.node, input_keys or (), now)
        _refuse_rebuildable(lookup, tx, spec.node, input_keys or ())
        refuse_lacking(lookup, tx, asset, spec.node, input_keys)
    try:
        return lookup.data(tx, spec.node, input_keys, snapshot)
    except Undeliverable:
        if lookup.published_keys(tx, spec.node):
            raise
        return InputData(
            name=spec.node, files=(), columns=_promised_columns(lookup, spec.node), rows=0
        )


def _refuse_removed(
    lookup: TaskLookup, tx: Transaction, name: str, keys: Sequence[str], now: int
) -> None:
    """Raise Undeliverable for partitions that `retain:` has removed: they would count as empty."""
    node = lookup.project.sources.get(name) or lookup.project.assets[name]
    first = first_kept(node, now)
    old = [key for key in keys if first is not None and key < first]
    removed = [key for key in old if removed_rows.is_emptied(tx, name, key)]
    if removed:
        raise Undeliverable(
            f"{name}@{removed[0]} is older than its `retain: {node.retain}`: its rows are removed,"
            " and what was computed from them stays"
        )


def _refuse_rebuildable(
    lookup: TaskLookup, tx: Transaction, name: str, keys: Sequence[str]
) -> None:
    """Raise Undeliverable for partitions whose rows were removed because they can be rebuilt."""
    asset = lookup.project.assets.get(name)
    if asset is None or asset.retain_rebuildable is None:
        return
    removed = next((key for key in keys if rebuildable.is_removed(tx, name, key)), None)
    if removed is not None:
        again = command_line("run", name, "--partition", removed, "--again", "--reason", "TEXT")
        raise Undeliverable(
            f"{name}@{removed} was removed (retain_rebuildable: {asset.retain_rebuildable}), and"
            f" can be rebuilt: {again}"
        )


def _delivered(
    lookup: TaskLookup, tx: Transaction, asset: Source | Asset, spec: InputSpec, keys: Sequence[str]
) -> InputData | None:
    """Return an unpartitioned input as a publication left it; None for other inputs.

    For assets with one partition per publication of such an input.
    """
    if not asset.partition.by_delivery or not isinstance(asset, Asset):
        return None
    followed = delivering_input(lookup.compiled.nodes[asset.name].inputs, lookup.project)
    if (
        followed != spec
        or (
            lookup.project.sources.get(spec.node) or lookup.project.assets[spec.node]
        ).partition.by_delivery
    ):
        return None
    snapshot = lookup.snapshot_of(tx, spec.node, int(keys[0]))
    if snapshot is None:
        raise Undeliverable(f"{spec.node} has no publication {int(keys[0])} any more")
    return lookup.data_at(tx, spec.node, snapshot)


def wanted_of(
    lookup: TaskLookup, tx: Transaction, asset: Source | Asset, spec: InputSpec, keys: Sequence[str]
) -> list[str] | None:
    """Return the required partitions in order of time; None for everything published."""
    source = lookup.project.sources.get(spec.node) or lookup.project.assets[spec.node]
    output, into = asset.partition, source.partition
    if _by_key_alone(output, into, spec):
        data_keys = {split(key, output)[1] for key in keys}
        return [
            key for key in lookup.published_keys(tx, spec.node) if split(key, into)[1] in data_keys
        ]
    results: set[str] = set()
    for key in keys:
        needed = required(
            output,
            asset.timezone,
            key,
            into,
            source.timezone,
            spec,
            partial(_seen, lookup, tx, spec.node, into),
        ).keys
        if needed is None:
            return None
        results.update(needed)
    return sorted(results, key=lambda key: order_of(key, into, source.timezone))


def _by_key_alone(output: PartitionSpec, into: PartitionSpec, spec: InputSpec) -> bool:
    """Whether all intervals of the output's own key are read."""
    return (
        output.grain is None
        and output.key is not None
        and into.grain is not None
        and into.key == output.key
        and spec.mode is not InputMode.ALL
    )


def _seen(
    lookup: TaskLookup, tx: Transaction, node: str, spec: PartitionSpec, interval: str
) -> list[str]:
    return [split(key, spec)[1] for key in lookup.published_keys(tx, node, interval)]


def _promised_columns(lookup: TaskLookup, name: str) -> tuple[LakeColumn, ...]:
    columns = lookup.compiled.nodes[name].columns
    if columns is None:
        raise Undeliverable(
            f"nothing of {name} was ever published, and nobody knows its columns",
            hint="give it a contract with their names and types",
        )
    return _numbered(columns)


def self_of(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: Sequence[str], snapshot: int
) -> InputData:
    """Return the rows of `$self`: the partition before the first of `keys`.

    For an unpartitioned asset, its published rows. Empty for the first partition.

    Raises Undeliverable if that partition lacks a column that is read.
    """
    before = WHOLE if asset.partition.whole else _before(tx, asset, keys[0])
    if before is None or lookup.table(tx, asset.name) is None:
        return InputData(name=asset.name, files=(), columns=_own_columns(lookup, asset), rows=0)
    if not asset.partition.whole:
        refuse_lacking(lookup, tx, asset, asset.name, (before,))
    return lookup.data(tx, asset.name, (before,), snapshot)


def _own_columns(lookup: TaskLookup, asset: Asset) -> tuple[LakeColumn, ...]:
    """Return the columns of the future table; the worker derives those with unknown types."""
    node = lookup.compiled.nodes[asset.name]
    return _numbered(node.columns or untyped_columns(asset, node.column_names))


def _numbered(columns: Iterable[tuple[str, str]]) -> tuple[LakeColumn, ...]:
    return tuple(
        LakeColumn(column, type_, number) for number, (column, type_) in enumerate(columns, 1)
    )


def _before(tx: Transaction, asset: Asset, key: str) -> str | None:
    """Return the newest published partition before one.

    The core has made sure that none in between is missing.
    """
    spec = asset.partition
    if spec.grain is None:
        return (
            max(
                (item for item in leader_writes.published_keys(tx, asset.name) if item < key),
                default=None,
            )
            if spec.by_delivery
            else None
        )
    interval, data = split(key, spec)
    for _ in range(STEPS_MAX):
        interval = previous_key(interval, spec.grain, asset.timezone)
        if leader_writes.published_of(tx, asset.name, join(interval, data)) is not None:
            return join(interval, data)
    return None


# Blocking checks of views belong to the audit of the nodes that the views read: a view has no
# publication of its own that could be held back.


def view_checks(
    lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str], snapshot: int
) -> tuple[ViewCheck, ...]:
    """Return the views with blocking checks that read a node, with their other inputs.

    A view with an unpublished input is left out: it is evaluated when the last input is published.
    """
    return tuple(_checks(lookup, tx, node, keys, snapshot))


def _checks(
    lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str], snapshot: int
) -> Iterator[ViewCheck]:
    for view in _views(lookup, node):
        try:
            data = _view_input(
                lookup, tx, node, InputSpec(node=view.name, place=view.place), keys, snapshot
            )
        except Undeliverable:
            continue
        yield ViewCheck(
            data=data,
            checks=tuple(check for check in view.checks if check.severity is Severity.BLOCKING),
            references=lookup.references(tx, view.name, snapshot),
            timezone=view.timezone,
            macros=lookup.project.macros,
        )


def _views(lookup: TaskLookup, node: Source | Asset) -> list[Asset]:
    return [
        view
        for view in lookup.checked_views
        if node.name in expand_view_names(lookup.compiled, [view.name])
    ]


def other_reads(
    lookup: TaskLookup, tx: Transaction, node: Source | Asset, keys: Sequence[str]
) -> tuple[ViewCheckReads, ...]:
    """Return the other inputs of the node's views, with their newest publications."""
    reads = []
    for view in _views(lookup, node):
        for spec in expand_views(lookup.compiled, [InputSpec(node=view.name, place=view.place)]):
            if spec.node != node.name:
                input_keys = wanted_of(lookup, tx, node, spec, keys)
                partitions = None if input_keys is None else tuple(input_keys)
                reads.append(
                    ViewCheckReads(
                        spec.node, partitions, publications.newest_id(tx, spec.node, partitions)
                    )
                )
    return tuple(reads)


def _view_input(
    lookup: TaskLookup,
    tx: Transaction,
    node: Source | Asset,
    spec: InputSpec,
    keys: Sequence[str],
    snapshot: int,
) -> InputData:
    """Return an input of a view, partitioned like the node; of the node itself, all but `keys`."""
    if is_view(lookup.project, spec.node):
        return lookup.view(spec, lambda spec: _view_input(lookup, tx, node, spec, keys, snapshot))
    input_keys = wanted_of(lookup, tx, node, spec, keys)
    if spec.node != node.name:
        if input_keys is not None and len(input_keys) > len(
            set(input_keys) & set(lookup.published_keys(tx, spec.node))
        ):
            raise Undeliverable(f"{spec.node} isn't published for all of {', '.join(keys)} yet")
        return input_of(lookup, tx, node, spec, keys, snapshot)
    others = set(lookup.published_keys(tx, node.name)) if input_keys is None else set(input_keys)
    known = lookup.table(tx, node.name)
    if known is None or (isinstance(node, Asset) and node.accumulates):
        return InputData(name=node.name, files=(), columns=())
    columns = tuple(column for column in known.columns if column.name != PARTITION_COLUMN)
    left = sorted(others - set(keys))
    return (
        lookup.data(tx, node.name, left, snapshot)
        if left
        else InputData(name=node.name, files=(), columns=columns)
    )


# Metrics of the sound partitions before the audited ones.


def history(tx: Transaction, node: str, keys: tuple[str, ...]) -> tuple[StoredMetrics, ...]:
    """Return metrics before the first of `keys`, oldest first; none for unpartitioned nodes."""
    first = min(keys)
    if first == WHOLE:
        return ()
    return tuple(
        StoredMetrics(*item) for item in quality.metrics_before(tx, node, first, HISTORY_PARTITIONS)
    )


# The context in which anomalies of a partition are evaluated: published versions, peers, and
# declared policies.

EACH_KNOWN = 14
"""Number of earlier partitions whose rows are compared with their input's rows."""


def context_of_asset(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]
) -> AnomalyContext:
    """Return the context of an asset: its policies, and its inputs' anomalous partitions.

    Effects of accepted data aren't held once more.
    """
    every, of_columns = anomaly_policies(asset.on_anomaly)
    # it has no history to compare with, so the queries would be wasted
    if asset.partition.grain is None:
        return AnomalyContext(
            on_anomaly=every, of_columns=of_columns, sources=len(lookup.project.sources)
        )
    # a batch with an anomaly is computed again until each partition is alone
    if every is None and len(keys) == 1 and _based_on_exception(lookup, tx, asset, keys):
        every = ACCEPTED
    above = sorted(_above(lookup, asset.name))
    unusual = quality.unusual_partitions(tx, above, min(keys), max(keys))
    rewritten = lookup.rewritten(tx, asset.name)
    return AnomalyContext(
        on_anomaly=every,
        of_columns=of_columns,
        sources=len(lookup.project.sources),
        unusual=tuple(unusual),
        more_rows=tuple(
            quality.unusual_partitions(tx, above, min(keys), max(keys), quality.ROW_KINDS)
        )
        if unusual and rewritten
        else None,
        rows_each=_rows_each(lookup, tx, asset, keys) if rewritten else None,
        emptied=tuple(_emptied(lookup, tx, asset, above, keys)) if unusual else (),
        calendar=_calendar(lookup, asset),
    )


def aged_from_us(tx: Transaction, node: Source | Asset, key: str, timezone: str) -> int:
    """Return the time, in microseconds, that a published partition's ages were measured from."""
    publication = publications.current(tx, node.name, key)
    published_us = 0 if publication is None else publication.published_at
    grain = node.partition.grain
    if grain is None:
        return published_us
    return min(published_us, bounds_us(key.partition(SEPARATOR)[0], grain, timezone)[1])


def _emptied(
    lookup: TaskLookup, tx: Transaction, asset: Asset, above: Sequence[str], keys: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield (partition, asset's column) for columns derived from emptied input columns."""
    results: dict[str, list[tuple[str, str]]] = {}
    for node, partition, column in quality.emptied(tx, above, min(keys), max(keys)):
        results.setdefault(partition, []).append((node, column))
    for partition, columns in results.items():
        yield from (
            (partition, derived_column)
            for derived_column in lookup.uses.made_of(asset.name, columns)
        )


def _rows_each(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]
) -> float | None:
    """Return the most rows ever per row of the asset's one input; None if too little is known.

    Each partition must be computed from the same interval of that input.
    """
    inputs = lookup.compiled.nodes[asset.name].inputs
    if (
        len(keys) > 1
        or len(inputs) != 1
        or inputs[0].mode is not InputMode.REQUIRED
        or inputs[0].lookback is not None
    ):
        return None
    read = lookup.project.sources.get(inputs[0].node) or lookup.project.assets[inputs[0].node]
    if (
        (read.partition.grain, read.timezone) != (asset.partition.grain, asset.timezone)
        or read.partition.key
        or asset.partition.key
    ):
        return None
    results = publications.rows_each(tx, asset.name, read.name, keys[0], EACH_KNOWN)
    return max(results) if len(results) == EACH_KNOWN else None


def context_of_source(
    lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...]
) -> AnomalyContext:
    """Return the context of a delivery.

    A delivery of several intervals has no peers; one of an unpartitioned source has only its
    declared policy.
    """
    every, of_columns = anomaly_policies(source.on_anomaly)
    if min(keys) == WHOLE or source.on_anomaly == IGNORE:
        return AnomalyContext(
            on_anomaly=every, of_columns=of_columns, sources=len(lookup.project.sources)
        )
    return AnomalyContext(
        on_anomaly=every,
        of_columns=of_columns,
        sources=len(lookup.project.sources),
        versions=()
        if source.expect.unchanged
        else tuple(
            PublishedContent(*version) for version in quality.published_versions(tx, source.name)
        ),
        peers=tuple(peers_of(tx, lookup.project, source, keys[0])) if len(keys) == 1 else (),
        calendar=_calendar(lookup, source),
        used=None if ALL_COLUMNS in (used := lookup.uses.direct(source.name)) else tuple(used),
    )


def _calendar(lookup: TaskLookup, node: Source | Asset) -> str:
    """Return the calendar of public holidays.

    A calendar of the project lists days without data, which aren't evaluated.
    """
    if node.calendar is not None and node.calendar not in lookup.project.calendars:
        return node.calendar
    return country_of(node.timezone)


def _based_on_exception(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...]
) -> bool:
    excepted = exceptions.nodes_with_exceptions(tx, min(keys), max(keys))
    return bool(excepted) and not excepted.isdisjoint(_above(lookup, asset.name))


def _above(lookup: TaskLookup, name: str) -> set[str]:
    """Return all upstream nodes of an asset."""
    return NodeGraph(lookup.compiled, data_only=True).upstream([name]).keys() - {name}
