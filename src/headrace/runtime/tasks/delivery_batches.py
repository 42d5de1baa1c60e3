"""The task that ingests deliveries of several intervals in one attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.engine import InputData
from headrace.model import Source
from headrace.runtime.messages import IngestBatchTask, IngestTask, Unreadable
from headrace.runtime.tasks.deliveries import candidates, peers_of
from headrace.runtime.tasks.kinds import LATELY, detected, ingest_task
from headrace.runtime.tasks.lookup import TaskLookup
from headrace.scheduler import AttemptId
from headrace.store import Transaction
from headrace.store.queries import (
    deliveries,
    exceptions,
    ingestion,
    leader_writes,
    publications,
)
from headrace.store.queries.ingestion import RecordedDelivery

DELIVERY_BYTES_MAX = 256 * 2**10
"""256 KiB: a larger delivery is ingested alone. Its staged file may be too large to be hashed."""
BATCH_BYTES_MAX = 8 * 2**20
"""8 MiB: maximum size of the deliveries of a batch."""


def batch_task(
    lookup: TaskLookup,
    tx: Transaction,
    attempt: AttemptId,
    source: Source,
    keys: tuple[str, ...],
    now: int,
    snapshot: int,
) -> tuple[IngestBatchTask, dict[str, int]] | None:
    """Return the task for the newest deliveries of these intervals, and the deliveries' ids.

    None if one file has delivered all of them. Raises Undeliverable.
    """
    known = ingestion.newest_deliveries(tx, source.name, keys)
    if any(delivery.bundle for delivery in known.values()):
        return None
    first, _ = ingest_task(lookup, tx, attempt, source, keys[:1], now, snapshot)
    plain = tuple(_plain(tx, source, keys, known)) if _is_plain(first) else ()
    joined = first.neighbours.joined if plain else frozenset[str]()
    task = IngestBatchTask(
        attempt=str(attempt),
        first=first,
        found=tuple(detected(source.name, delivery) for delivery in plain),
        keys=keys,
        peers={
            delivery.partition: tuple(peers_of(tx, lookup.project, source, delivery.partition))
            for delivery in plain
        }
        if candidates(lookup.project, source)
        else {},
        lately=tuple(_lately(lookup, tx, source, keys[0], snapshot)) if joined else (),
    )
    return task, {key: delivery.id for key, delivery in known.items()}


def _is_plain(task: IngestTask) -> bool:
    """Whether a source's deliveries may be read together: nothing about it is being changed."""
    return (
        task.pinned is not None
        and task.table is not None
        and not task.evolve
        and not task.check_data.views
        and task.unreadable == Unreadable()
        and not task.erased
    )


def _plain(
    tx: Transaction, source: Source, keys: Sequence[str], known: dict[str, RecordedDelivery]
) -> Iterator[RecordedDelivery]:
    """Yield the deliveries up to the first one whose ingestion depends on earlier ones of it."""
    apart = exceptions.expected_exceptions(tx, source.name)
    apart |= {withdrawn.partition for withdrawn in publications.withdrawn_of(tx, source.name, keys)}
    apart |= leader_writes.published_hashes(tx, source.name, keys).keys()
    tried = ingestion.tried_deliveries(tx, [delivery.id for delivery in known.values()])
    withheld = deliveries.withheld_sizes(tx, source.name)
    size = 0
    for key in keys:
        delivery = known.get(key)
        if delivery is None or key in apart or delivery.id in tried:
            return
        if delivery.parts or delivery.sha256 is not None or delivery.size_bytes in withheld:
            return
        size += delivery.size_bytes
        if not 0 <= delivery.size_bytes <= DELIVERY_BYTES_MAX or size > BATCH_BYTES_MAX:
            return
        yield delivery


def _lately(
    lookup: TaskLookup, tx: Transaction, source: Source, key: str, snapshot: int
) -> Iterator[InputData]:
    """Yield the published rows of each of the last few intervals, newest first."""
    for earlier in leader_writes.last_published_before(tx, source.name, key, LATELY):
        yield lookup.data(tx, source.name, [earlier], snapshot)
