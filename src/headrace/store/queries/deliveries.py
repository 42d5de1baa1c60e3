"""Deliveries of sources: arrivals, and their differences from published data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries.ingestion import OBSERVATIONS_KEPT
from headrace.store.transaction import Transaction, json_list

_COLUMNS = (
    "id, source, partition, path, size_bytes, modified_us, claimed_at, observed_at, arrived_at,"
    " sha256, fingerprint, state, reason"
)


class Delivery(msgspec.Struct, frozen=True):
    """One delivery. `path` is relative to the project; times are microseconds.

    `modified_us` is the file's modification time; SEMANTICS §3 defines `claimed_at`, `observed_at`
    and `arrived_at`.
    """

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
    """One delivery with its outcome. `parts` and `received` are JSON.

    `rows` and `verdict` are those of its newest publication; for a held or rejected delivery,
    `rows` are its rows in quarantine.
    """

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
        """Return whether the interval's next delivery is the same file with the same content."""
        same = (self.source, self.partition, self.path) == (
            later.source,
            later.partition,
            later.path,
        )
        return same and self.sha256 is not None and self.sha256 == later.sha256


class ObservationTime(msgspec.Struct, frozen=True):
    """One observation of a source."""

    source: str
    at: int
    delivery_count: int
    error: str | None
    code: str | None = None
    """Code of the error."""


def found_since(tx: Transaction, source: str, since_us: int) -> set[tuple[str, str, int, int, str]]:
    """Return the files that observations have found since a time.

    Each is (partition, path, size in bytes, modification time in microseconds, version).
    """
    rows = tx.execute(
        "select partition, path, size_bytes, modified_us, version from delivery where source ="
        " :source and observed_at >= :since",
        {"source": source, "since": since_us},
    )
    return {
        (str(partition), str(path), int(size), int(modified), version or "")
        for partition, path, size, modified, version in rows
    }


def get(tx: Transaction, delivery_id: int) -> Delivery | None:
    """Return one delivery, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from delivery where id = :id", {"id": delivery_id}
    ).fetchone()
    return Delivery(*row) if row else None


def paths(tx: Transaction, numbers: Iterable[int]) -> dict[int, str]:
    """Return the paths of deliveries, by number."""
    rows = tx.execute(
        "select id, path from delivery where id in (select cast(value as bigint) from"
        " json_each(?))",
        (json_list(numbers),),
    )
    return dict(rows.fetchall())


def arrivals(tx: Transaction, source: str, *, limit: int) -> list[DeliveryOutcome]:
    """Return the deliveries of the newest intervals with their outcomes, newest first.

    They are sorted by interval, then by delivery. A file that was only touched is the same
    delivery, with its original times.

    Only publications after the observation are searched, because an interval may be published every
    five minutes.
    """
    rows = tx.execute(
        "select d.source, d.partition, d.path, d.size_bytes, d.claimed_at, d.observed_at,"
        " d.arrived_at, d.sha256, case when d.state in ('held', 'rejected') and exists (select 1"
        " from quarantine q where q.node = d.source and q.partition = d.partition and q.delivery_id"
        " = d.id and q.state = 'dropped') then 'dropped' else d.state end, d.reason, d.parts,"
        " d.received, coalesce(p.rows, case when d.state in ('held', 'rejected') then (select"
        " q.rows from quarantine q where q.node = d.source and q.partition = d.partition and"
        " q.delivery_id = d.id order by q.id desc limit 1) end), p.verdict from (select * from"
        " delivery where source = :source order by partition desc, id desc limit :limit) d left"
        " join publication p on p.id = (select max(q.id) from publication q where q.node = d.source"
        " and q.partition = d.partition and q.published_at >= d.observed_at and q.delivery_id ="
        " d.id) order by d.partition desc, d.id desc",
        {"source": source, "limit": limit},
    )
    outcomes: list[DeliveryOutcome] = []
    for row in rows:
        outcome = DeliveryOutcome(*row)
        if outcomes and outcome.is_same_bytes(outcomes[-1]):
            times = {
                "claimed_at": outcome.claimed_at,
                "observed_at": outcome.observed_at,
                "arrived_at": outcome.arrived_at,
            }
            outcomes[-1] = msgspec.structs.replace(outcomes[-1], **times)
        else:
            outcomes.append(outcome)
    return outcomes


class RepeatedDelivery(NamedTuple):
    """A delivery of a partition, and whether the partition had an earlier delivery."""

    partition: str
    claimed_at: int
    arrived_at: int
    observed_at: int
    again: bool


def since(
    tx: Transaction, source: str, partitions: Iterable[str], since_us: int
) -> list[RepeatedDelivery]:
    """Return the deliveries of these intervals that were observed since a time, oldest first."""
    results: list[tuple[int, RepeatedDelivery]] = []
    for key in partitions:
        rows = tx.execute(
            "select d.id, d.partition, d.claimed_at, d.arrived_at, d.observed_at, exists (select 1"
            " from delivery b where b.source = d.source and b.partition = d.partition and b.id <"
            " d.id) from delivery d where d.source = :source and d.observed_at >= :since and"
            " (d.partition = :key or (d.partition >= :first and d.partition < :beyond)) and not"
            " exists (select 1 from delivery t where t.sha256 = d.sha256 and t.path = d.path and"
            " t.id = (select max(m.id)"
            # touched
            " from delivery m where m.source = d.source and m.partition = d.partition and m.id <"
            " d.id))",
            {
                "source": source,
                "since": since_us,
                "key": key,
                "first": f"{key}/",
                "beyond": f"{key}0",
            },
        )
        results += [
            (
                int(row[0]),
                RepeatedDelivery(str(row[1]), int(row[2]), int(row[3]), int(row[4]), bool(row[5])),
            )
            for row in rows
        ]
    return [delivery for _, delivery in sorted(results)]


def first_observation(tx: Transaction, source: str) -> tuple[int, int] | None:
    """Return the time of the first observed deliveries, and their number of intervals.

    The time is in microseconds. Returns None without deliveries.
    """
    row = tx.execute(
        "select observed_at, count(distinct partition) from delivery where source = :source and"
        " observed_at = (select min(observed_at) from delivery where source = :source)"
        " group by observed_at",
        {"source": source},
    ).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


def observations(
    tx: Transaction, source: str, *, limit: int = OBSERVATIONS_KEPT
) -> list[ObservationTime]:
    """Return the last observations of a source, newest first."""
    rows = tx.execute(
        "select source, at, found, error, code from look where source = :source order by at desc"
        " limit :limit",
        {"source": source, "limit": limit},
    )
    return [ObservationTime(*row) for row in rows]


def observed_times(tx: Transaction, sources: Sequence[str], *, limit: int) -> dict[str, list[int]]:
    """Return the times of each source's last observations, newest first."""
    times: dict[str, list[int]] = {source: [] for source in sources}
    for source, at in tx.execute(
        "select source, at from json_each(:sources) join look on source = value where at >="
        " coalesce((select at from look as newest where newest.source = value order by at desc"
        " limit 1 offset :others), 0) order by at desc",
        {"sources": json_list(sources), "others": limit - 1},
    ):
        times[source].append(at)
    return times


# Arrival times of deliveries.


def has_arrived(tx: Transaction, source: str, interval: str) -> bool:
    """Return whether an interval has a delivery, for any of its data keys."""
    row = tx.execute(
        "select 1 from delivery where source = :source and partition = :interval union all select 1"
        " from delivery where source = :source and partition >= :first and partition < :beyond"
        " limit 1",
        {"source": source, "interval": interval, "first": f"{interval}/", "beyond": f"{interval}0"},
    ).fetchone()
    return row is not None


def first_applied(tx: Transaction) -> int | None:
    """Return the time of the first `apply` in microseconds, or None."""
    row = tx.execute("select min(applied_at) from version").fetchone()
    return None if row[0] is None else int(row[0])


def declared_since(tx: Transaction, source: str) -> int | None:
    """Return the earliest time at which a source was known to be declared, in microseconds.

    It is the time of the first stored observation or delivery; None without either. The first
    observations of a source without deliveries are deleted over time.
    """
    row = tx.execute(
        "select min(at) from (select min(at) as at from look where source = :source"
        " union all select min(observed_at) from delivery where source = :source) as known",
        {"source": source},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def first_arrivals(tx: Transaction, source: str, limit: int) -> list[tuple[str, int, int]]:
    """Return (partition, arrival, observation) of the first deliveries of the newest partitions."""
    rows = tx.execute(
        "select partition, min(arrived_at), min(observed_at) from delivery where source = :source"
        " group by partition order by partition desc limit :limit",
        {"source": source, "limit": limit},
    )
    return [(str(row[0]), int(row[1]), int(row[2])) for row in rows]


def observed_between(tx: Transaction, source: str, after_us: int, until_us: int) -> bool | None:
    """Return whether a source was observed after `after_us` and at or before `until_us`.

    Returns None if observations of that time aren't stored any more.
    """
    row = tx.execute(
        "select min(at), max(case when at > :after then at end) from look where source = :source"
        " and at <= :until",
        {"source": source, "after": after_us, "until": until_us},
    ).fetchone()
    first, last = (None, None) if row is None else row
    return True if last is not None else None if first is None else False


def observation_gap_ends(tx: Transaction, source: str) -> set[int]:
    """Return the ends of gaps in a source's observations, in microseconds.

    Deliveries that were first observed then may have arrived at any time within the gap.
    """
    rows = tx.execute("select until_at from look_gap where source = :source", {"source": source})
    return {int(at) for (at,) in rows}


# Deliveries that were ingested despite another format or other column names, because a policy
# allows the change.

MAPPED_MAX = 5_000


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """One change that a policy allowed. `why` is a clause for display; times are microseconds."""

    id: int
    source: str
    partition: str
    attempt: str
    kind: str
    column: str
    to: str | None
    why: str
    at: int
    arrived_at: int | None


def mapped_changes(tx: Transaction, after: int) -> tuple[list[Mapped], int]:
    """Return first-time mapped changes after a number, and the number of the newest change."""
    rows = tx.execute(
        "select d.id, d.source, d.partition, d.epoch, d.n, d.kind, d.column_name, d.to_name,"
        " d.evidence, d.at, v.arrived_at, d.score from drift d left join delivery v on v.id ="
        " d.delivery_id where d.id > ? and d.policy = 'map' and d.kind in ('format', 'renamed')"
        " order by d.id limit ?",
        (after, MAPPED_MAX),
    ).fetchall()
    newest = int(tx.execute("select coalesce(max(id), 0) from drift").fetchone()[0])
    upto = rows[-1][0] if len(rows) == MAPPED_MAX else newest
    return [_mapped_change(row) for row in rows if _is_new(tx, row)], max(upto, after)


def _is_new(tx: Transaction, row: tuple[Any, ...]) -> bool:
    """Return whether a change is new and wasn't accepted by a user.

    It isn't new if the previous delivery had it. It was accepted if its names are certain, or if
    the same delivery was held for it before.
    """
    if row[5] == "renamed" and row[11] is not None and float(row[11]) >= 1:
        return False
    if _held_before(tx, row[0]):
        return False
    before = tx.execute(
        "select max(id) from drift where source = ? and id < ? and (epoch, n) <> (?, ?) and kind ="
        " ? and column_name = ? and coalesce(to_name, '') = coalesce(?, '') and policy in ('map',"
        " 'allow')",
        (row[1], row[0], row[3], row[4], row[5], row[6], row[7]),
    ).fetchone()[0]
    if before is None:
        return True
    since = tx.execute(
        "select count(distinct partition) from delivery where source = ? and id > (select"
        " coalesce(max(delivery_id), 0) from drift where id = ?)",
        (row[1], before),
    ).fetchone()[0]
    return int(since) > 1


def _held_before(tx: Transaction, drift: int) -> bool:
    """Return whether the same delivery was held before for the same column's values or format."""
    row = tx.execute(
        "select 1 from drift d join drift b on b.source = d.source and b.partition = d.partition"
        " and b.delivery_id = d.delivery_id and b.column_name = d.column_name and b.id < d.id"
        " where d.id = ? and b.policy = 'block' and b.kind in ('type', 'format', 'nested') limit 1",
        (drift,),
    ).fetchone()
    return row is not None


def _mapped_change(row: tuple[Any, ...]) -> Mapped:
    why = "; ".join(msgspec.json.decode(row[8], type=tuple[str, ...]))
    return Mapped(
        row[0], row[1], row[2], f"{row[3]}.{row[4]}", row[5], row[6], row[7], why, row[9], row[10]
    )


# Published data of a source, for comparison with a new delivery.

NEWEST_INTERVALS = 100
"""Number of intervals to search, because the wrong day's file is mostly that of a close day."""


def visible_contents(
    tx: Transaction, source: str, keys: Sequence[str]
) -> dict[str, tuple[int, str | None, str | None, str]]:
    """Return (rows, content hash, SHA-256 of the delivery, attempt) of visible publications.

    The result is by partition, without publications that were accepted as exceptions.
    """
    rows = tx.execute(
        "select p.partition, p.rows, p.content_hash, d.sha256, p.epoch, p.n from publication p join"
        " delivery d on d.id = p.delivery_id where p.node = ? and p.ended_snapshot is null and"
        " p.partition between ? and ? and not exists (select 1 from accepted a where"
        " a.publication_id = p.id and a.ended_at is null)",
        (source, min(keys), max(keys)),
    ).fetchall()
    requested = set(keys)
    return {row[0]: (*row[1:4], f"{row[4]}.{row[5]}") for row in rows if row[0] in requested}


def redelivered_since(tx: Transaction, source: str, key: str) -> bool:
    """Return whether an earlier interval was redelivered after this one's publication."""
    row = tx.execute(
        "select 1 from publication p join publication q on q.node = p.node and q.partition <"
        " p.partition and q.id > p.id where p.node = :node and p.partition = :key and"
        " p.ended_snapshot is null and q.ended_snapshot is null and exists (select 1 from"
        " publication o where o.node = q.node and o.partition = q.partition and o.id < q.id)"
        " limit 1",
        {"node": source, "key": key},
    ).fetchone()
    return row is not None


def withheld_sizes(tx: Transaction, source: str) -> set[int]:
    """Return the sizes in bytes of the deliveries that `withheld_of_size` searches."""
    rows = tx.execute(
        "select size_bytes from (select sha256, size_bytes, state from delivery where source = ?"
        " order by partition desc, id desc limit ?) as newest where sha256 is not null and state in"
        " ('held', 'rejected')",
        (source, NEWEST_INTERVALS),
    ).fetchall()
    return {int(size) for (size,) in rows}


def withheld_of_size(
    tx: Transaction, source: str, key: str, size_bytes: int
) -> list[tuple[str, str]]:
    """Return (interval, SHA-256) of held or rejected deliveries of that size, of other intervals.

    Only the newest intervals are searched.
    """
    rows = tx.execute(
        "select partition, sha256 from (select partition, sha256, size_bytes, state from delivery"
        " where source = ? order by partition desc, id desc limit ?) as newest where partition <> ?"
        " and size_bytes = ? and sha256 is not null and state in ('held', 'rejected')",
        (source, NEWEST_INTERVALS, key, size_bytes),
    ).fetchall()
    return [(row[0], row[1]) for row in rows]
