"""The task that takes deliveries in."""

from __future__ import annotations

import msgspec

from headrace.connect import DeliveryPart, DetectedDelivery, SourceSchema
from headrace.engine import InputData
from headrace.lake.catalog import exact_as_double, shared_files
from headrace.model import Source
from headrace.model.intervals import previous_key
from headrace.quality.restating import PreviousPublication
from headrace.run.messages import IngestTask
from headrace.run.tasks.around import aged_from_us, of_source
from headrace.run.tasks.history import history
from headrace.run.tasks.lookup import TaskLookup, Undeliverable
from headrace.run.tasks.too_large import too_much
from headrace.run.tasks.view_checks import beside, view_checks
from headrace.schedule import AttemptId
from headrace.schedule.retry import POISON_LOSSES_MAX
from headrace.store import Transaction
from headrace.store.queries import arriving, leading, restating, withdrawals

SAMPLES_MAX = 7
"""Further deliveries that types are learnt from: a column that holds 0 on the first day may hold 0.5 on the tenth."""
KEY_TYPES = ("VARCHAR", "BIGINT", "INTEGER")
"""Types of columns that name things."""
LATELY = 7
"""How many earlier intervals show which keys are known: with days, one of each weekday."""

DEATHS_BESIDE_SAMPLES_MAX = 2
"""After so many lost workers a delivery is read by itself, before one more makes it poison."""


def task(
    lookup: TaskLookup, tx: Transaction, attempt: AttemptId, source: Source, keys: tuple[str, ...], now: int, snapshot: int
) -> tuple[IngestTask, int]:
    """The newest delivery of an interval (of all intervals of a bundle), and its id. Raises Undeliverable."""
    delivery = arriving.newest_delivery(tx, source.name, keys[0])
    if delivery is None:
        raise Undeliverable(f"nothing was delivered for {source.name}@{keys[0]}")
    pinned = arriving.pinned_schema(tx, source.name)
    contract = lookup.project.contracts.get(source.contract or source.name)
    schema = msgspec.json.decode(pinned, type=SourceSchema) if pinned else None
    deaths = arriving.deaths(tx, delivery.id)
    before = {key: PreviousPublication(*seen) for key, seen in restating.sound(tx, source.name, keys).items()}
    if len(keys) == 1 and before and not restating.redelivered_since(tx, source.name, keys[0]):
        before = {key: msgspec.structs.replace(publication, settled=True) for key, publication in before.items()}
    joined = _joined(lookup, tx, source, keys) if pinned else frozenset[str]()
    nearest = leading.published_before(tx, source.name, keys[0]) if pinned else None
    ingest_task = IngestTask(
        attempt=str(attempt),
        source=source,
        found=_found(source.name, delivery),
        keys=keys,
        replaced=_replaced(tx, source.name, delivery.bundle, keys),
        pinned=schema,
        promised=contract.columns if contract and contract.columns else None,
        table=lookup.table(tx, source.name),
        evolve=lookup.reshaping(tx, source.name),
        history_has_rows=leading.has_rows(tx, source.name),
        used=lookup.uses.direct(source.name) if pinned or contract else {},
        history=history(tx, source.name, keys),
        around=of_source(lookup, tx, source, keys),
        sha256=delivery.sha256,
        earlier=_earlier(lookup, tx, source.name, nearest, snapshot),
        earlier_failed=leading.failed_as_published(tx, source.name, nearest) if nearest is not None else (),
        earlier_as_of_us=aged_from_us(tx, source, nearest, source.timezone) if nearest is not None else 0,
        day_before=_day_before(lookup, tx, source, keys, snapshot) if pinned else None,
        lately=_lately(lookup, tx, source, keys[0], snapshot) if joined else None,
        joined=joined,
        before=before,
        withheld=tuple(restating.withheld(tx, source.name, keys[0], delivery.size_bytes)) if len(keys) == 1 else (),
        previous=lookup.data(tx, source.name, tuple(before), snapshot) if before and lookup.table(tx, source.name) is not None else None,
        # What workers died over may have been a sample: then this one is read by itself. One death
        # may be chance, and which types are learnt mustn't depend on that.
        samples=() if pinned or len(deaths) >= DEATHS_BESIDE_SAMPLES_MAX else _samples(tx, source.name, delivery.id),
        shared=tuple(shared_files(tx, source.name, keys)),
        references=lookup.references(tx, source.name, snapshot),
        connection=lookup.project.settings.connections.get(source.connector.get("connection", ""), {}),
        now_us=now,
        deaths=_poisonous(deaths),
        too_much=too_much(tx, source.name, delivery),
        withdrawn=_withdrawn(tx, source.name, keys),
        exact=exact_as_double(tx, source.name) if schema is not None else (),
        views=view_checks(lookup, tx, source, keys, snapshot),
        beside=beside(lookup, tx, source, keys),
        macros=lookup.project.macros if any(check.kind == "sql" for check in source.checks) else {},
    )
    return ingest_task, delivery.id


def _replaced(tx: Transaction, source: str, bundle: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Of the file that these partitions came in, those that another one has brought since."""
    if not bundle:
        return ()
    return tuple(key for key in arriving.replaced_in(tx, source, bundle) if key not in keys)


def _withdrawn(tx: Transaction, source: str, keys: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (withdrawn.partition, withdrawn.content_hash, withdrawn.reason or "")
        for withdrawn in withdrawals.withdrawn_of(tx, source, keys)
        if withdrawn.content_hash is not None
    )


def _poisonous(deaths: list[str]) -> str:
    """Why a delivery isn't read any more; empty while it is."""
    if len(deaths) < POISON_LOSSES_MAX:
        return ""
    return f"{len(deaths)} workers ended while they read it; the last one {deaths[-1]}"


def _earlier(lookup: TaskLookup, tx: Transaction, source: str, nearest: str | None, snapshot: int) -> InputData | None:
    """What readers see of the nearest interval before this one that has rows; None where there is none."""
    return lookup.data(tx, source, [nearest], snapshot) if nearest is not None and lookup.table(tx, source) is not None else None


def _day_before(lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...], snapshot: int) -> InputData | None:
    """What readers see of the interval right before this one; None where that is nothing, or where a delivery is of several."""
    grain = source.partition.grain
    if len(keys) > 1 or grain is None or source.partition.key is not None or lookup.table(tx, source.name) is None:
        return None
    key = previous_key(keys[0], grain, source.timezone)
    return lookup.data(tx, source.name, [key], snapshot) if leading.published_rows(tx, source.name, [key]) else None


def _joined(lookup: TaskLookup, tx: Transaction, source: Source, keys: tuple[str, ...]) -> frozenset[str]:
    """The columns of a source whose deliveries are of one interval that something further down is joined by."""
    table = lookup.table(tx, source.name)
    if len(keys) > 1 or source.partition.grain is None or source.partition.key is not None or table is None:
        return frozenset()
    return lookup.uses.joined(source.name, [column.name for column in table.columns if column.type in KEY_TYPES])


def _lately(lookup: TaskLookup, tx: Transaction, source: Source, key: str, snapshot: int) -> InputData | None:
    """What readers see of the last few intervals before one; None while there are fewer."""
    nearest = leading.last_published_before(tx, source.name, key, LATELY)
    return lookup.data(tx, source.name, nearest, snapshot) if len(nearest) == LATELY else None


def _samples(tx: Transaction, source: str, besides: int) -> tuple[DetectedDelivery, ...]:
    return tuple(_found(source, delivery) for delivery in arriving.other_waiting(tx, source, besides, SAMPLES_MAX))


def _found(source: str, delivered: arriving.RecordedDelivery) -> DetectedDelivery:
    parts = msgspec.json.decode(delivered.parts, type=tuple[DeliveryPart, ...]) if delivered.parts else ()
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
