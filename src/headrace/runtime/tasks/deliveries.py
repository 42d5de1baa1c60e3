"""Deliveries in tasks: accepted exceptions, deliveries that are too large, peers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TypeVar

import msgspec

from headrace.checks import metrics
from headrace.checks.anomalies.explanations import BEFORE_MIN, PEERS_MIN, Peer
from headrace.checks.anomalies.metric_anomalies import ACCEPTED
from headrace.connect.deliveries import DELIVERY_BYTES_MAX
from headrace.model import Grain, Project, Source
from headrace.runtime.accepted_rules import as_accepted
from headrace.runtime.messages import OUTSIZED_TIMES, ComputeTask, IngestTask, TooMuch
from headrace.scheduler import AttemptState
from headrace.scheduler.attempts import RESOURCES_TRIES_MAX, TIMED_OUT
from headrace.store import Transaction
from headrace.store.queries import attempts, exceptions, ingestion, quarantine
from headrace.store.queries import quality as stored
from headrace.store.queries.ingestion import RecordedDelivery

# Peers of a delivery: sources of other owners with the same grain and no key, and their rows for
# the same interval, published or held.

PEERS_MAX = 6
WEEK = 7


def candidates(project: Project, source: Source) -> list[Source]:
    """Return the sources that may be its peers; none if there are fewer than PEERS_MIN."""
    others = [
        other
        for other in project.sources.values()
        if other.owner != source.owner
        and other.partition.grain is source.partition.grain
        and other.partition.key is None
    ]
    return others[:PEERS_MAX] if len(others) >= PEERS_MIN else []


def peers_of(tx: Transaction, project: Project, source: Source, key: str) -> Iterator[Peer]:
    """Yield the peers with a delivery for an interval."""
    for other in candidates(project, source):
        peer = as_peer(tx, other, key)
        if peer is not None:
            yield peer


def as_peer(tx: Transaction, source: Source, key: str) -> Peer | None:
    """Return a source's row count of an interval, with those of similar intervals.

    None if unknown.
    """
    known = stored.rows_until(tx, source.name, key, metrics.HISTORY_PARTITIONS + 1)
    if known and known[-1][0] == key:
        return Peer(source.name, known[-1][1], _like(key, known[:-1], source.partition.grain))
    return _held(tx, source, key, known)


def held_beside(tx: Transaction, source: Source, key: str) -> Peer | None:
    """Return a source's held delivery of an interval as a peer; None if none is held.

    Also if an earlier delivery of the interval is published.
    """
    known = stored.rows_until(tx, source.name, key, metrics.HISTORY_PARTITIONS + 1)
    return _held(tx, source, key, [item for item in known if item[0] != key])


def _held(tx: Transaction, source: Source, key: str, before: list[tuple[str, int]]) -> Peer | None:
    vector = quarantine.measured_of_held(tx, source.name, key)
    return (
        None
        if vector is None
        else Peer(
            source.name, metrics.decoded(vector).rows, _like(key, before, source.partition.grain)
        )
    )


def _like(key: str, before: list[tuple[str, int]], grain: Grain | None) -> tuple[int, ...]:
    """Return the row counts to compare with; of days, the same weekdays if enough are known.

    All sources shrink on Sundays, which explains nothing.
    """
    if grain is Grain.DAY:
        at = date.fromisoformat(key).toordinal()
        same = tuple(
            rows
            for other, rows in before
            if (at - date.fromisoformat(other).toordinal()) % WEEK == 0
        )
        if len(same) >= BEFORE_MIN:
            return same
    return tuple(rows for _, rows in before)


# Deliveries that exceed an attempt's memory or time: whether the file is too large, or the machine
# is short of resources.

OUT_OF_MEMORY = "out_of_memory"
TOO_LARGE = "poison_delivery"
"""Error code of an attempt after which its delivery is kept and rejected without being read."""


def is_to_blame(tx: Transaction, source: str, partition: str, since: int) -> bool:
    """Whether the newest delivery of a partition is to blame for running out of memory.

    It is if nothing else ran out of memory since then, and it is far larger than earlier deliveries
    of the source. Without any to compare with, it is after RESOURCES_TRIES_MAX failures.
    """
    delivery = ingestion.newest_delivery(tx, source, partition)
    if delivery is None or attempts.others_short(tx, source, since, besides=TOO_LARGE):
        return False
    given_up = (
        1 + ingestion.failures_in_a_row(tx, delivery.id, OUT_OF_MEMORY) >= RESOURCES_TRIES_MAX
    )
    if delivery.size_bytes < 0:  # unknown size: the raw copy tells it
        return given_up
    _, largest = ingestion.sizes_read(tx, source, delivery.id)
    if largest:
        return TooMuch("", largest_bytes=largest).is_of(delivery.size_bytes)
    return given_up and not ingestion.as_large_elsewhere(
        tx, source, delivery.path, delivery.size_bytes // OUTSIZED_TIMES
    )


def too_much(tx: Transaction, source: str, delivery: RecordedDelivery) -> TooMuch | None:
    """Return why a delivery is only kept and not read; None for all others.

    A delivery that timed out is read once more, unless it is far larger than earlier ones of the
    source.
    """
    last = ingestion.last_ended(tx, delivery.id)
    if last is None:
        return None
    read, largest = ingestion.sizes_read(tx, source, delivery.id)
    if last.state == AttemptState.FAILED and last.error.get("code") == TOO_LARGE:
        return TooMuch(str(last.error["message"]), read, largest)
    why = TooMuch(last.reason, read, largest, timed_out=True)
    return (
        why
        if last.state == AttemptState.LOST
        and TIMED_OUT in last.reason
        and largest
        and why.is_of(delivery.size_bytes)
        else None
    )


FETCHED_TIMES, FETCHED_BYTES = 10, 1 << 30
"""A fetched delivery has at most 10 times the bytes of the source's largest, and at least 1 GiB."""
FIRST_FETCHED_BYTES = 10 << 30
"""The most bytes of a delivery that is fetched while none of its source has been read."""


def fetched_bytes_max(tx: Transaction, source: Source, delivery: int) -> int:
    """Return how many bytes of a delivery a package's source may fetch.

    DELIVERY_BYTES_MAX for files, whose sizes are known before they are read.
    """
    if source.files is not None:
        return DELIVERY_BYTES_MAX
    count, largest = ingestion.sizes_read(tx, source.name, delivery)
    if not count:
        return FIRST_FETCHED_BYTES
    return min(DELIVERY_BYTES_MAX, max(FETCHED_BYTES, FETCHED_TIMES * largest))


# Looser rules for a task whose result was accepted beforehand: accepted failures only warn.

T = TypeVar("T", IngestTask, ComputeTask)

WITHOUT_ROWS = ("none", "files")
"""Materialisations whose partitions are never held or rejected."""


def with_accepted_rules(tx: Transaction, node: str, keys: tuple[str, ...], task: T) -> T:
    """Return the task, with looser rules if a user has accepted its result beforehand."""
    if getattr(task, "materialize", "") in WITHOUT_ROWS:
        return task  # its results aren't evaluated
    if exceptions.expected_exceptions(tx, node).isdisjoint(keys):
        return task
    waived = exceptions.waived_checks(tx, node, keys)
    if isinstance(task, IngestTask):
        emptied = exceptions.emptied_columns(tx, node, keys)
        read = exceptions.rows_were_read(tx, node, keys)
        return msgspec.structs.replace(as_accepted(task, read=read, emptied=emptied), waived=waived)
    around = msgspec.structs.replace(task.around, on_anomaly=ACCEPTED, of_columns={})
    return msgspec.structs.replace(task, waived=waived, around=around)
