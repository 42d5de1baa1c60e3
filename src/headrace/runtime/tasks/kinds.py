"""Tasks by kind: ingest deliveries, compute partitions, write an export."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.checks.restatement import PreviousPublication
from headrace.connect import DeliveryPart, DetectedDelivery, SourceSchema
from headrace.engine import AttemptScope, InputData
from headrace.engine.attempts import CodePackages, CodeSandbox
from headrace.lake.catalog import exact_as_double, shared_files
from headrace.lake.tables import MergeState
from headrace.model import Asset, CommandBody, Consumer, Project, PythonBody, Source
from headrace.model.export_problems import reads_of
from headrace.model.exports import export_of, export_partition
from headrace.model.fields import memory_in_bytes
from headrace.model.intervals import interval_of, previous_key
from headrace.model.nodes import Sandbox, SandboxMode
from headrace.model.partitions import WHOLE, split
from headrace.plan.compiled import expand_view_names
from headrace.plan.requirements import lock_path
from headrace.runtime.exports import export_inputs
from headrace.runtime.messages import (
    BatchPartition,
    CheckData,
    CodeEnvironment,
    ComputeTask,
    EarlierPublication,
    ExportTask,
    IngestTask,
    KnownDeliveries,
    NeighbouringIntervals,
    Unreadable,
)
from headrace.runtime.tasks.deliveries import fetched_bytes_max, too_much
from headrace.runtime.tasks.inputs import (
    aged_from_us,
    context_of_asset,
    context_of_source,
    history,
    input_of,
    other_reads,
    self_of,
    view_checks,
)
from headrace.runtime.tasks.lookup import (
    StateGone,
    TaskLookup,
    Undeliverable,
    rule_of,
    state_before,
)
from headrace.scheduler import AttemptId, Dispatch
from headrace.scheduler.attempts import POISON_LOSSES_MAX
from headrace.security import state
from headrace.store import Transaction
from headrace.store.queries import (
    applied_versions,
    attempts,
    deliveries,
    ingestion,
    leader_writes,
    obligations,
    publications,
    removed_rows,
)

# The task that ingests deliveries.

SAMPLES_MAX = 7
"""Further deliveries to infer types from: a column with 0 on the first day may hold 0.5 later."""
KEY_TYPES = ("VARCHAR", "BIGINT", "INTEGER")
"""Types of columns that name things."""
LATELY = 7
"""Number of earlier intervals that show the known keys; with days, one of each weekday."""

DEATHS_BESIDE_SAMPLES_MAX = 2
"""After this many lost workers a delivery is read without samples; one more makes it poison."""


def ingest_task(
    lookup: TaskLookup,
    tx: Transaction,
    attempt: AttemptId,
    source: Source,
    keys: tuple[str, ...],
    now: int,
    snapshot: int,
) -> tuple[IngestTask, int]:
    """Return the task for the newest delivery of an interval or bundle, and the delivery's id.

    Raises Undeliverable.
    """
    delivery = ingestion.newest_delivery(tx, source.name, keys[0])
    if delivery is None:
        raise Undeliverable(f"nothing was delivered for {source.name}@{keys[0]}")
    pinned = ingestion.pinned_schema(tx, source.name)
    contract = lookup.project.contracts.get(source.contract or source.name)
    schema = msgspec.json.decode(pinned, type=SourceSchema) if pinned else None
    deaths = ingestion.worker_deaths(tx, delivery.id)
    before = {
        key: PreviousPublication(*seen)
        for key, seen in deliveries.visible_contents(tx, source.name, keys).items()
    }
    if len(keys) == 1 and before and not deliveries.redelivered_since(tx, source.name, keys[0]):
        before = {
            key: msgspec.structs.replace(publication, settled=True)
            for key, publication in before.items()
        }
    joined = _joined(lookup, tx, source, keys) if pinned else frozenset[str]()
    nearest = leader_writes.published_before(tx, source.name, keys[0]) if pinned else None
    ingest_task = IngestTask(
        attempt=str(attempt),
        source=source,
        found=detected(source.name, delivery),
        keys=keys,
        replaced=_replaced(tx, source.name, delivery.bundle, keys),
        pinned=schema,
        promised=contract.columns if contract and contract.columns else None,
        table=lookup.table(tx, source.name),
        evolve=lookup.reshaping(tx, source.name),
        history_has_rows=leader_writes.has_rows(tx, source.name),
        used=lookup.uses.direct(source.name) if pinned or contract else {},
        history=history(tx, source.name, keys),
        around=context_of_source(lookup, tx, source, keys),
        sha256=delivery.sha256,
        earlier=_earlier_delivery(lookup, tx, source, nearest, snapshot),
        neighbours=NeighbouringIntervals(
            day_before=_day_before(lookup, tx, source, keys, snapshot) if pinned else None,
            lately=_lately(lookup, tx, source, keys[0], snapshot) if joined else None,
            joined=joined,
        ),
        known=KnownDeliveries(
            before=before,
            previous=lookup.data(tx, source.name, tuple(before), snapshot)
            if before and lookup.table(tx, source.name) is not None
            else None,
            withheld=tuple(
                deliveries.withheld_of_size(tx, source.name, keys[0], delivery.size_bytes)
            )
            if len(keys) == 1
            else (),
            withdrawn=_withdrawn(tx, source.name, keys),
        ),
        # A sample may have caused the workers' deaths: then this delivery is read alone. One death
        # may be chance, and inferred types mustn't depend on it.
        samples=()
        if pinned or len(deaths) >= DEATHS_BESIDE_SAMPLES_MAX
        else _samples(tx, source.name, delivery.id),
        shared=tuple(shared_files(tx, source.name, keys)),
        connection=lookup.project.settings.connections.get(
            source.connector.get("connection", ""), {}
        ),
        private_addresses=lookup.project.settings.private_addresses,
        bytes_max=fetched_bytes_max(tx, source, delivery.id),
        now_us=now,
        unreadable=Unreadable(_poisonous(deaths), too_much(tx, source.name, delivery)),
        erased=removed_rows.keys_of(tx, source.name),
        exact=exact_as_double(tx, source.name) if schema is not None else (),
        check_data=CheckData(
            references=lookup.references(tx, source.name, snapshot),
            views=view_checks(lookup, tx, source, keys, snapshot),
            beside=other_reads(lookup, tx, source, keys),
        ),
        macros=lookup.project.macros,
    )
    return ingest_task, delivery.id


def _replaced(tx: Transaction, source: str, bundle: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the partitions of the bundle that another file has delivered since."""
    if not bundle:
        return ()
    return tuple(key for key in ingestion.replaced_in(tx, source, bundle) if key not in keys)


def _withdrawn(
    tx: Transaction, source: str, keys: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (withdrawn.partition, withdrawn.content_hash, withdrawn.reason or "")
        for withdrawn in publications.withdrawn_of(tx, source, keys)
        if withdrawn.content_hash is not None
    )


def _poisonous(deaths: list[str]) -> str:
    """Return why a delivery isn't read any more; empty while it is."""
    if len(deaths) < POISON_LOSSES_MAX:
        return ""
    return f"{len(deaths)} workers ended while they read it; the last one {deaths[-1]}"


def _earlier_delivery(
    lookup: TaskLookup, tx: Transaction, source: Source, nearest: str | None, snapshot: int
) -> EarlierPublication | None:
    """Return the rows of the nearest published interval before; None if there is none."""
    if nearest is None or lookup.table(tx, source.name) is None:
        return None
    return EarlierPublication(
        lookup.data(tx, source.name, [nearest], snapshot),
        leader_writes.failed_as_published(tx, source.name, nearest),
        aged_from_us(tx, source, nearest, source.timezone),
    )


def _day_before(
    lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...], snapshot: int
) -> InputData | None:
    """Return the published rows of the interval right before; None without any or for a bundle."""
    grain = source.partition.grain
    if (
        len(keys) > 1
        or grain is None
        or source.partition.key is not None
        or lookup.table(tx, source.name) is None
    ):
        return None
    key = previous_key(keys[0], grain, source.timezone)
    return (
        lookup.data(tx, source.name, [key], snapshot)
        if leader_writes.published_rows(tx, source.name, [key])
        else None
    )


def _joined(
    lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...]
) -> frozenset[str]:
    """Return the source's columns that are joined downstream; none for a bundle."""
    table = lookup.table(tx, source.name)
    if (
        len(keys) > 1
        or source.partition.grain is None
        or source.partition.key is not None
        or table is None
    ):
        return frozenset()
    return lookup.uses.joined(
        source.name, [column.name for column in table.columns if column.type in KEY_TYPES]
    )


def _lately(
    lookup: TaskLookup, tx: Transaction, source: Source, key: str, snapshot: int
) -> InputData | None:
    """Return the published rows of the last few intervals; None while there are fewer."""
    nearest = leader_writes.last_published_before(tx, source.name, key, LATELY)
    return lookup.data(tx, source.name, nearest, snapshot) if len(nearest) == LATELY else None


def _samples(tx: Transaction, source: str, besides: int) -> tuple[DetectedDelivery, ...]:
    return tuple(
        detected(source, delivery)
        for delivery in ingestion.other_waiting(tx, source, besides, SAMPLES_MAX)
    )


def detected(source: str, delivered: ingestion.RecordedDelivery) -> DetectedDelivery:
    """Return a stored delivery as its observation found it."""
    parts = (
        msgspec.json.decode(delivered.parts, type=tuple[DeliveryPart, ...])
        if delivered.parts
        else ()
    )
    return DetectedDelivery(
        source=source,
        partition=delivered.partition,
        path=delivered.path,
        size_bytes=delivered.size_bytes,
        modified_us=delivered.modified_us,
        version=delivered.version,
        parts=parts,
        bundle=delivered.bundle,
    )


# The task that computes partitions of an asset.

CODE = (PythonBody, CommandBody)
"""Bodies that run applied files, with variables of the environment."""
NO_CHECK_DATA = CheckData()
TABLES = ("table", "append", "merge", "snapshot")
"""Materialisations whose rows are in a table of the lake."""


def compute_task(
    lookup: TaskLookup, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int
) -> ComputeTask:
    """Return the task for an asset's partitions, with exactly their required inputs.

    Raises Undeliverable.
    """
    attempt, asset, keys = dispatch.attempt, lookup.project.assets[dispatch.node], dispatch.keys
    node, is_code = lookup.compiled.nodes[asset.name], isinstance(asset.body, CODE)
    known = lookup.table(tx, asset.name) if asset.materialize in TABLES else None
    scope = scope_of(lookup.project, asset, keys, attempt)
    several, called = len(keys) > 1, isinstance(asset.body, PythonBody)
    prove = (
        several and not called and not attempts.is_batching_proven(tx, asset.name, node.fingerprint)
    )
    earlier = _earlier_partition(tx, asset, keys) if known is not None else None
    return ComputeTask(
        scope=scope,
        body=asset.body,
        sql=node.sql,
        code=lookup.code if is_code else None,
        inputs=(
            *(input_of(lookup, tx, asset, spec, keys, snapshot, now) for spec in node.inputs),
            *((self_of(lookup, tx, asset, keys, snapshot),) if node.uses_self else ()),
        ),
        written=tuple((asset.columns or {}).get("writes", {}).items()),
        materialize=asset.materialize,
        partition_column=node.partition_column,
        table=known,
        evolve=known is not None and lookup.reshaping(tx, asset.name),
        checks=asset.checks,
        on_fail=asset.on_fail,
        history=history(tx, asset.name, keys),
        around=context_of_asset(lookup, tx, asset, keys),
        classified=tuple(sorted(lookup.classified[asset.name])),
        classified_inputs=tuple(spec.node for spec in node.inputs if lookup.classified[spec.node]),
        packages=CodePackages(
            imported=lookup.packages(asset.name) if is_code else (),
            named=asset.code_packages,
        ),
        macros=lookup.project.macros,
        shared=tuple(shared_files(tx, asset.name, keys))
        if known is not None and not asset.accumulates
        else (),
        now_us=now,
        key_column=asset.partition.key,
        without=tuple(f"{name}@{key}" if key != WHOLE else name for name, key in dispatch.without),
        check_data=CheckData(
            references=lookup.references(tx, asset.name, snapshot),
            views=view_checks(lookup, tx, asset, keys, snapshot),
            beside=other_reads(lookup, tx, asset, keys),
        )
        if node.check_references or lookup.checked_views
        else NO_CHECK_DATA,
        merge=rule_of(asset, scope, now) if asset.accumulates else None,
        state=_state(tx, asset, keys, attempt) if asset.accumulates else None,
        memory_max_bytes=memory_in_bytes(asset.memory_max) if asset.memory_max else None,
        alone=_alone(lookup, tx, attempt, asset, keys, snapshot) if prove else None,
        call_inputs=_call_inputs(lookup, tx, asset, keys, snapshot) if several and called else (),
        environment=CodeEnvironment(
            variables=asset.environment,
            passed=lookup.project.settings.pass_environment,
            secrets=asset.secrets,
            hidden=lookup.secrets if is_code else (),
        ),
        sandbox=_sandbox(lookup, asset) if is_code else CodeSandbox(),
        lock=lock_path(asset.name) if asset.requirements else None,
        earlier=None
        if earlier is None
        else EarlierPublication(
            lookup.data(tx, asset.name, [earlier], snapshot),
            leader_writes.failed_as_published(tx, asset.name, earlier),
            aged_from_us(tx, asset, earlier, scope.timezone),
        ),
    )


def _sandbox(lookup: TaskLookup, asset: Asset) -> CodeSandbox:
    declared, wanted = asset.sandbox or Sandbox(), lookup.project.settings.sandbox
    if wanted == SandboxMode.OFF or declared.off:
        return CodeSandbox()
    is_process = isinstance(asset.body, CommandBody) or bool(asset.requirements)
    return CodeSandbox(
        on=is_process or wanted == SandboxMode.ON,
        python=not is_process and wanted == SandboxMode.ON,
        read=declared.read,
        write=declared.write,
        ports=declared.ports,
        hosts=declared.hosts,
        private_addresses=lookup.project.settings.private_addresses,
    )


def _earlier_partition(tx: Transaction, asset: Asset, keys: tuple[str, ...]) -> str | None:
    """Return the nearest published partition before, if it was published by another version.

    Its checks may have been different.
    """
    if len(keys) != 1 or asset.accumulates or not asset.checks:
        return None
    nearest = leader_writes.published_before(tx, asset.name, keys[0])
    published = None if nearest is None else publications.computed(tx, asset.name, nearest)
    return (
        nearest
        if published is not None and published.version != applied_versions.newest_id(tx)
        else None
    )


def _alone(
    lookup: TaskLookup,
    tx: Transaction,
    attempt: AttemptId,
    asset: Asset,
    keys: tuple[str, ...],
    snapshot: int,
) -> BatchPartition:
    """Return the middle partition, which shows the effects of rows on either side of it."""
    chosen = (keys[len(keys) // 2],)
    inputs = (
        input_of(lookup, tx, asset, spec, chosen, snapshot)
        for spec in lookup.compiled.nodes[asset.name].inputs
    )
    return BatchPartition(scope_of(lookup.project, asset, chosen, attempt), tuple(inputs))


def _call_inputs(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: tuple[str, ...], snapshot: int
) -> tuple[tuple[InputData, ...], ...]:
    """Return the inputs of each partition as if it was computed alone."""
    inputs = lookup.compiled.nodes[asset.name].inputs
    return tuple(
        tuple(input_of(lookup, tx, asset, spec, (key,), snapshot) for spec in inputs)
        for key in keys
    )


def _state(tx: Transaction, asset: Asset, keys: tuple[str, ...], attempt: AttemptId) -> MergeState:
    try:
        return state_before(tx, asset, keys[0], str(attempt))
    except StateGone as error:
        raise Undeliverable(str(error)) from error


def scope_of(
    project: Project, asset: Asset, keys: tuple[str, ...], attempt: AttemptId
) -> AttemptScope:
    """Return the scope of an attempt at these partitions."""
    start, end = _span(asset, keys)
    grain = asset.partition.grain
    return AttemptScope(
        asset=asset.name,
        partitions=keys,
        grain=grain.value if grain else None,
        start=start.isoformat() if start else None,
        end=end.isoformat() if end else None,
        timezone=asset.timezone,
        attempt=str(attempt),
        data_key=split(keys[0], asset.partition)[1] if asset.partition.key is not None else None,
        parameters={**project.settings.parameters, **asset.parameters},
    )


def _span(asset: Asset, keys: tuple[str, ...]) -> tuple[datetime | None, datetime | None]:
    if asset.partition.grain is None:
        return None, None
    intervals = [
        interval_of(split(key, asset.partition)[0], asset.partition.grain, asset.timezone)
        for key in keys
    ]
    return min(i.start for i in intervals), max(i.end for i in intervals)


# The task that writes an export: a consumer's data of one interval.


def export_task(
    lookup: TaskLookup,
    tx: Transaction,
    attempt: AttemptId,
    consumer: Consumer,
    keys: tuple[str, ...],
    now: int,
    snapshot: int,
) -> ExportTask:
    """Return the task for one interval of a consumer, with exactly its required inputs.

    Raises Undeliverable.
    """
    (interval,) = keys
    spec = export_partition(consumer, reads_of(lookup.project, consumer))
    span = interval_of(interval, spec.grain, consumer.timezone) if spec.grain is not None else None
    reader = Source(
        name=consumer.name,
        owner=consumer.owner,
        partition=spec,
        timezone=consumer.timezone,
        place=consumer.place,
    )
    assert consumer.export is not None
    export = export_of(consumer)
    assert export is not None
    limits = {name: lookup.limits(tx, name).without(export.clear) for name in consumer.reads}
    read = {*consumer.reads, *expand_view_names(lookup.compiled, consumer.reads)}
    return ExportTask(
        attempt=str(attempt),
        consumer=consumer.name,
        interval=interval,
        start=span.start.isoformat() if span else None,
        end=span.end.isoformat() if span else None,
        timezone=consumer.timezone,
        target=consumer.export,
        connection=lookup.project.settings.connections.get(_connection(consumer), {}),
        reads=tuple(
            input_of(lookup, tx, reader, spec, keys, snapshot, now)
            for spec in export_inputs(consumer)
        ),
        now_us=now,
        project=state.state_identity(tx) or "",
        take_over=obligations.newest_take_over(tx, consumer.name),
        macros=lookup.project.macros,
        limits={name: limit for name, limit in limits.items() if limit.limited},
        classified_inputs=tuple(name for name in sorted(read) if lookup.classified[name]),
        keys=lookup.project.settings.keys if any(each.masks for each in limits.values()) else {},
    )


def _connection(consumer: Consumer) -> str:
    export = consumer.export or {}
    to = export.get("to")
    return str(to["connection"] if isinstance(to, dict) else export.get("connection", ""))
