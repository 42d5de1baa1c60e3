"""Deliveries: what arrived at a source, and the looks that found it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "id, source, partition, path, size_bytes, modified_us, claimed_at, observed_at, arrived_at, sha256, fingerprint, state, reason"


class Delivery(msgspec.Struct, frozen=True):
    """One arrival. `path` is relative to the project; times are microseconds: `modified_us` the file's own,
    `claimed_at`, `observed_at` and `arrived_at` as SEMANTICS §3 has them."""

    id: int
    source: str
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    claimed_at: int
    observed_at: int
    arrived_at: int
    sha256: str | None
    fingerprint: str | None
    state: str
    reason: str | None


class DeliveryOutcome(msgspec.Struct, frozen=True):
    """One arrival with what it became. `parts` and `received` are JSON; `rows` and `verdict` are its newest publication's; `rows` of
    what was held or rejected are what waits of it."""

    source: str
    partition: str
    path: str
    size_bytes: int
    claimed_at: int
    observed_at: int
    arrived_at: int
    sha256: str | None
    state: str
    reason: str | None
    parts: str | None
    received: str | None
    rows: int | None
    verdict: str | None

    def is_same_bytes(self, later: DeliveryOutcome) -> bool:
        """Whether the next delivery of the interval is the same file with the same content."""
        same = (self.source, self.partition, self.path) == (later.source, later.partition, later.path)
        return same and self.sha256 is not None and self.sha256 == later.sha256


class ObservationTime(msgspec.Struct, frozen=True):
    """One look at a source."""

    source: str
    at: int
    found: int
    error: str | None
    code: str | None = None
    """Of the error."""


def found_since(tx: Transaction, source: str, since_us: int) -> set[tuple[str, str, int, int, str]]:
    """What looks at a source have found since then: partition, path, size in bytes, modification time in microseconds, version."""
    rows = tx.execute(
        "select partition, path, size_bytes, modified_us, version from delivery where source = :source and observed_at >= :since",
        {"source": source, "since": since_us},
    )
    return {(str(partition), str(path), int(size), int(modified), version or "") for partition, path, size, modified, version in rows}


def get(tx: Transaction, delivery_id: int) -> Delivery | None:
    """One delivery, or None."""
    row = tx.execute(f"select {_COLUMNS} from delivery where id = :id", {"id": delivery_id}).fetchone()
    return Delivery(*row) if row else None


def arrivals(tx: Transaction, source: str, *, limit: int) -> list[DeliveryOutcome]:
    """The deliveries of the newest intervals, newest interval first, and within one the newest delivery first, with what each became.
    A file that was touched is the delivery that it was: with the times at which that came.

    A delivery is published after it was observed: an interval that is published every five minutes isn't walked from its beginning.
    """
    rows = tx.execute(
        "select d.source, d.partition, d.path, d.size_bytes, d.claimed_at, d.observed_at, d.arrived_at, d.sha256,"
        " case when d.state in ('held', 'rejected') and exists (select 1 from quarantine q where q.node = d.source"
        " and q.partition = d.partition and q.delivery_id = d.id and q.state = 'dropped') then 'dropped' else d.state end, d.reason,"
        " d.parts, d.received, coalesce(p.rows, case when d.state in ('held', 'rejected') then (select q.rows from quarantine q"
        " where q.node = d.source and q.partition = d.partition and q.delivery_id = d.id order by q.id desc limit 1) end),"
        " p.verdict from (select * from delivery where source = :source"
        " order by partition desc, id desc limit :limit) d left join publication p on p.id = (select max(q.id) from publication q"
        " where q.node = d.source and q.partition = d.partition and q.published_at >= d.observed_at and q.delivery_id = d.id)"
        " order by d.partition desc, d.id desc",
        {"source": source, "limit": limit},
    )
    outcomes: list[DeliveryOutcome] = []
    for row in rows:
        outcome = DeliveryOutcome(*row)
        if outcomes and outcome.is_same_bytes(outcomes[-1]):
            times = {"claimed_at": outcome.claimed_at, "observed_at": outcome.observed_at, "arrived_at": outcome.arrived_at}
            outcomes[-1] = msgspec.structs.replace(outcomes[-1], **times)
        else:
            outcomes.append(outcome)
    return outcomes


class RepeatedDelivery(NamedTuple):
    """A delivery of a partition, and whether that had been delivered before."""

    partition: str
    claimed_at: int
    arrived_at: int
    observed_at: int
    again: bool


def since(tx: Transaction, source: str, partitions: Iterable[str], since_us: int) -> list[RepeatedDelivery]:
    """The deliveries of these intervals that were observed since a time, oldest first."""
    results: list[tuple[int, RepeatedDelivery]] = []
    for key in partitions:
        rows = tx.execute(
            "select d.id, d.partition, d.claimed_at, d.arrived_at, d.observed_at,"
            " exists (select 1 from delivery b where b.source = d.source"
            " and b.partition = d.partition and b.id < d.id) from delivery d where d.source = :source and d.observed_at >= :since"
            " and (d.partition = :key or (d.partition >= :first and d.partition < :beyond))"
            " and not exists (select 1 from delivery t where t.sha256 = d.sha256 and t.path = d.path and t.id = (select max(m.id)"
            " from delivery m where m.source = d.source and m.partition = d.partition and m.id < d.id))",  # touched
            {"source": source, "since": since_us, "key": key, "first": f"{key}/", "beyond": f"{key}0"},
        )
        results += [(int(row[0]), RepeatedDelivery(str(row[1]), int(row[2]), int(row[3]), int(row[4]), bool(row[5]))) for row in rows]
    return [delivery for _, delivery in sorted(results)]


def first_observation(tx: Transaction, source: str) -> tuple[int, int] | None:
    """When a source's first deliveries were observed, in microseconds, and how many intervals were
    found then; None without deliveries."""
    row = tx.execute(
        "select observed_at, count(distinct partition) from delivery where source = :source and"
        " observed_at = (select min(observed_at) from delivery where source = :source)"
        " group by observed_at",
        {"source": source},
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def observations(tx: Transaction, source: str, *, limit: int = 21) -> list[ObservationTime]:
    """The last looks at a source, newest first; 21 of them have 20 gaps."""
    rows = tx.execute(
        "select source, at, found, error, code from look where source = :source order by at desc limit :limit",
        {"source": source, "limit": limit},
    )
    return [ObservationTime(*row) for row in rows]
