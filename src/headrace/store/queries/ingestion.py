"""Ingestion of sources: observations, waiting deliveries and pinned schemas.

Only the leader calls the functions that write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.store.queries import changes
from headrace.store.transaction import Transaction, json_list

OBSERVATIONS_KEPT = 50
TURNS_KEPT = 2_000
"""At most this number of older observations is stored, only those with a change of outcome."""
OBSERVATIONS_MAX = OBSERVATIONS_KEPT + TURNS_KEPT
"""At most this number of observations is stored per source; then older ones may be deleted."""
THROTTLED = ("source_throttled", "throttled_too_long")
"""Error codes of observations for which the server requested a pause."""
_LEAVES = (
    "select at, error, code, place from look where source = :source order by at desc limit 2 offset"
    " :kept"
)
"""Query for the newest observation beyond the last ones, and the one before it."""
_ITS_WORKER = "its worker "
_BY_ITSELF = (f"{_ITS_WORKER}was ended by ", f"{_ITS_WORKER}exited with code ")
"""Beginnings of a lost attempt's reason if its worker died by itself."""


class DeliveryRecord(msgspec.Struct, frozen=True, gc=False):
    """A delivery found by an observation."""

    source: str
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    claimed_at: int
    observed_at: int
    arrived_at: int
    version: str = ""
    parts: str | None = None
    bundle: str = ""
    received: str | None = None


def known_files(
    tx: Transaction, source: str, after: int = 0
) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the newest delivery of each path after delivery `after`, and the newest id.

    Deliveries are (size, modification time) by path, since the source has its current partitioning.
    """
    rows = tx.execute(
        "select path, size_bytes, modified_us, id from delivery where source = ? and id > ? and"
        " state <> 'recut' order by id",
        (source, after),
    ).fetchall()
    return {path: (size, modified) for path, size, modified, _ in rows}, (
        rows[-1][3] if rows else after
    )


def record_deliveries(tx: Transaction, rows: Sequence[DeliveryRecord]) -> None:
    """Insert new deliveries as waiting; they supersede waiting deliveries of the same interval."""
    tx.executemany(
        "update delivery set state = 'superseded' where source = ? and partition = ? and state ="
        " 'waiting'",
        [(r.source, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
        " observed_at, arrived_at, version, parts, bundle, received, state) values (?, ?, ?, ?, ?,"
        " ?, ?, ?, ?, ?, ?, ?, 'waiting')",
        [
            (
                r.source,
                r.partition,
                r.path,
                r.size_bytes,
                r.modified_us,
                r.claimed_at,
                r.observed_at,
                r.arrived_at,
                r.version,
                r.parts,
                r.bundle,
                r.received,
            )
            for r in rows
        ],
    )


def known_versions(tx: Transaction, source: str) -> dict[str, tuple[str, str, int]]:
    """Return (path, version, observation time) of the newest delivery by interval; `*`: of all."""
    rows = tx.execute(
        "select partition, path, version, observed_at from delivery where source = ? and state <>"
        " 'recut' order by id",
        (source,),
    ).fetchall()
    results = {partition: (path, version, at) for partition, path, version, at in rows}
    if rows:
        results["*"] = rows[-1][1:]
    return results


def newest_state(tx: Transaction, source: str) -> str | None:
    """Return the state of a source's newest delivery; None if there is none."""
    row = tx.execute(
        "select state from delivery where source = ? and state <> 'recut' order by id desc limit 1",
        (source,),
    ).fetchone()
    return row[0] if row else None


def given_up(tx: Transaction, source: str, *, failed_by: int, rejected_by: int) -> list[str]:
    """Return intervals whose newest delivery failed, or was rejected, and may be read again.

    The delivery was observed by `failed_by` or `rejected_by`. Rejected deliveries count only if
    they have no change detection.
    """
    rows = tx.execute(
        "select d.partition from delivery d where d.source = :source and d.state in ('failed',"
        " 'rejected') and ((d.state = 'failed' and d.observed_at <= :failed) or (d.state ="
        " 'rejected' and d.version = '' and d.observed_at <= :rejected)) and not exists (select 1"
        " from delivery n where n.source = d.source and n.partition = d.partition and n.id > d.id)",
        {"source": source, "failed": failed_by, "rejected": rejected_by},
    ).fetchall()
    return [partition for (partition,) in rows]


def oldest_deliveries(tx: Transaction, sources: Iterable[str]) -> dict[str, str | None]:
    """Return each source's oldest interval with a delivery in the current partitioning, or None."""
    rows = tx.execute(
        "select value, (select min(partition) from delivery where source = value and state <>"
        " 'recut') from json_each(?)",
        (json_list(sources),),
    )
    return dict(rows.fetchall())


def next_delivery_key(tx: Transaction, source: str) -> str:
    """Return the next partition of a source with one partition per delivery."""
    row = tx.execute(
        "select max(partition) from delivery where source = ? and state <> 'recut'", (source,)
    ).fetchone()
    return f"{int(row[0] or 0) + 1:012}"


def record_observation(
    tx: Transaction,
    source: str,
    at: int,
    result: int,
    error: str | None,
    code: str | None = None,
    place: str = "",
) -> None:
    """Record an observation, which began at `at`, and delete older ones.

    Besides the last OBSERVATIONS_KEPT observations, only changes are kept, to explain why an
    interval was late: the source began to fail or to request a pause, recovered, or was observed at
    another `place` (`model.connectors.origin_of`).
    """
    tx.execute(
        "insert into look (source, at, found, error, code, place) values (?, ?, ?, ?, ?, ?)"
        " on conflict (source, at) do update set found = excluded.found, error = excluded.error,"
        " code = excluded.code, place = excluded.place",
        (source, at, result, error, code, place),
    )
    leaves = tx.execute(_LEAVES, {"source": source, "kept": OBSERVATIONS_KEPT}).fetchall()
    if len(leaves) > 1 and _outcome_and_place(*leaves[0][1:]) == _outcome_and_place(*leaves[1][1:]):
        tx.execute("delete from look where source = ? and at = ?", (source, leaves[0][0]))
    tx.execute(
        "delete from look where source = :source and at <= (select at from look where source ="
        " :source order by at desc limit 1 offset :kept)",
        {"source": source, "kept": OBSERVATIONS_MAX},
    )


def observation_outcome(error: str | None, code: str | None) -> str:
    """Return the outcome of an observation: `read`, `throttled` or `failed`."""
    return "read" if error is None else "throttled" if code in THROTTLED else "failed"


def _outcome_and_place(error: str | None, code: str | None, place: str) -> tuple[str, str]:
    return observation_outcome(error, code), place


def last_observation(tx: Transaction, source: str, place: str) -> int | None:
    """Return the time of a source's last observation at a place; unknown places count too."""
    sql = "select max(at) from look where source = ? and place in (?, '')"
    result: int | None = tx.execute(sql, (source, place)).fetchone()[0]
    return result


def last_place(tx: Transaction, source: str) -> str:
    """Return the place of a source's last observation (`model.connectors.origin_of`), if known."""
    row = tx.execute(
        "select place from look where source = ? order by at desc limit 1", (source,)
    ).fetchone()
    return "" if row is None else str(row[0])


def last_place_read(tx: Transaction, source: str) -> str:
    """Return the place of a source's last successful observation; empty if unknown or none."""
    sql = "select place from look where source = ? and error is null order by at desc limit 1"
    row = tx.execute(sql, (source,)).fetchone()
    return "" if row is None else str(row[0])


def waiting_deliveries(tx: Transaction) -> list[tuple[str, str, str]]:
    """Return (source, partition, bundle) of deliveries that wait to be ingested."""
    rows = tx.execute(
        "select source, partition, bundle from delivery where state = 'waiting' order by id"
    ).fetchall()
    return [(source, partition, bundle) for source, partition, bundle in rows]


def waiting_since(tx: Transaction) -> dict[tuple[str, str], int]:
    """Return the first observation times of waiting deliveries, by source and partition."""
    rows = tx.execute(
        "select source, partition, observed_at from delivery where state = 'waiting' order by id"
    ).fetchall()  # by id: grouped, the whole table would be read
    since: dict[tuple[str, str], int] = {}
    for source, partition, observed in rows:
        since[source, partition] = min(observed, since.get((source, partition), observed))
    return since


def bundled(tx: Transaction, source: str, bundle: str, keys: Sequence[str]) -> dict[str, int]:
    """Return the newest deliveries' ids by partition, of partitions delivered in one file."""
    rows = tx.execute(
        "select partition, id from delivery where source = ? and bundle = ? order by id",
        (source, bundle),
    ).fetchall()
    requested = set(keys)
    return {partition: number for partition, number in rows if partition in requested}


def newest_bundles(tx: Transaction, source: str) -> dict[str, str]:
    """Return the shared files of newest deliveries by partition, without those of a single one."""
    rows = tx.execute(
        "select partition, bundle from delivery where source = ? order by id", (source,)
    ).fetchall()
    newest: dict[str, str] = dict(rows)
    return {partition: bundle for partition, bundle in newest.items() if bundle}


def replaced_in(tx: Transaction, source: str, bundle: str) -> list[str]:
    """Return partitions of a shared file that were delivered again in a newer file."""
    newest = (
        "select max(id) from delivery newer where newer.source = d.source and newer.partition ="
        " d.partition"
    )
    rows = tx.execute(
        "select distinct d.partition from delivery d where d.source = :source and d.bundle ="
        f" :bundle and exists (select 1 from delivery n where n.id = ({newest}) and n.bundle <>"
        " d.bundle) order by d.partition",
        {"source": source, "bundle": bundle},
    )
    return [key for (key,) in rows]


class RecordedDelivery(msgspec.Struct, frozen=True, gc=False):
    """A stored delivery. `parts` is JSON if it consists of several files."""

    id: int
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    version: str
    parts: str | None
    bundle: str
    sha256: str | None
    """Content hash, if it was ingested before."""


_DELIVERED = "id, partition, path, size_bytes, modified_us, version, parts, bundle, sha256"


def newest_delivery(tx: Transaction, source: str, partition: str) -> RecordedDelivery | None:
    """Return the newest delivery of an interval, or None."""
    row = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and partition = ? order by id desc"
        " limit 1",
        (source, partition),
    ).fetchone()
    return RecordedDelivery(*row) if row else None


def newest_deliveries(
    tx: Transaction, source: str, partitions: Sequence[str]
) -> dict[str, RecordedDelivery]:
    """Return the newest delivery of each of these intervals that has one."""
    rows = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and partition between ? and ? order by"
        " id",
        (source, min(partitions), max(partitions)),
    ).fetchall()
    requested = set(partitions)
    return {row[1]: RecordedDelivery(*row) for row in rows if row[1] in requested}


def tried_deliveries(tx: Transaction, deliveries: Sequence[int]) -> set[int]:
    """Return those of these deliveries that attempts were begun at, alone or in one file."""
    marks = ", ".join("?" * len(deliveries))
    rows = tx.execute(
        f"select distinct delivery_id from attempt where delivery_id in ({marks})",
        tuple(deliveries),
    ).fetchall()
    return {int(number) for (number,) in rows}


def delivery_of_attempt(
    tx: Transaction, attempt: tuple[int, int], node: str, partition: str
) -> int | None:
    """Return the delivery that an attempt (epoch, n) ingested for a partition, or None.

    That of a batch of deliveries is known if it was published.
    """
    row = tx.execute(
        "select coalesce(a.delivery_id, (select p.delivery_id from publication p where p.node = ?"
        " and p.partition = ? and p.epoch = a.epoch and p.n = a.n)) from attempt a where a.epoch ="
        " ? and a.n = ?",
        (node, partition, *attempt),
    ).fetchone()
    return None if row is None else row[0]


def other_waiting(tx: Transaction, source: str, besides: int, limit: int) -> list[RecordedDelivery]:
    """Return a sample of other waiting deliveries, spread evenly."""
    rows = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and state = 'waiting' and id <> ?"
        " order by id",
        (source, besides),
    ).fetchall()
    step = max(1, len(rows) // limit)
    return [RecordedDelivery(*row) for row in rows[::step][:limit]]


def worker_deaths(tx: Transaction, delivery: int) -> list[str]:
    """Return why workers died at a delivery, oldest first, since its last other outcome.

    Deliberate ends (a time-out, a user, the executor's shutdown) don't count.
    """
    rows = tx.execute(
        "select epoch, n, reason from attempt where delivery_id = ? and state = 'lost' order by"
        " epoch, n",
        (delivery,),
    ).fetchall()
    if not rows:
        return []
    last = tx.execute(
        "select epoch, n from attempt where delivery_id = ? and state not in ('lost', 'queued',"
        " 'running', 'cancelled', 'skipped') order by epoch desc, n desc limit 1",
        (delivery,),
    ).fetchone()
    return [
        reason.removeprefix(_ITS_WORKER)
        for epoch, n, reason in rows
        if reason.startswith(_BY_ITSELF) and (last is None or (epoch, n) > tuple(last))
    ]


class LastEnded(NamedTuple):
    """The newest attempt at a delivery with an outcome."""

    state: str
    reason: str
    error: dict[str, Any]


def last_ended(tx: Transaction, delivery: int) -> LastEnded | None:
    """Return the newest attempt at a delivery with an outcome, or None."""
    return next(iter(_newest_ended(tx, delivery, 1)), None)


def failures_in_a_row(tx: Transaction, delivery: int, code: str) -> int:
    """Return the number of consecutive newest attempts with this error code, at most 10."""
    newest = _newest_ended(tx, delivery, 10)
    failed = (item.state == "failed" and item.error.get("code") == code for item in newest)
    return sum(itertools.takewhile(bool, failed))


def _newest_ended(tx: Transaction, delivery: int, limit: int) -> list[LastEnded]:
    rows = tx.execute(
        "select state, coalesce(reason, ''), error from attempt where delivery_id = ?"
        " and state not in ('queued', 'running', 'cancelled', 'skipped')"
        " order by epoch desc, n desc limit ?",
        (delivery, limit),
    )
    return [
        LastEnded(state, reason, msgspec.json.decode(error) if error else {})
        for state, reason, error in rows
    ]


def sizes_read(tx: Transaction, source: str, besides: int) -> tuple[int, int]:
    """Return the number of other readable deliveries of a source, and the largest one's bytes."""
    sql = (
        "select count(*), coalesce(max(size_bytes), 0) from delivery where source = ? and id <> ?"
        " and state in ('published', 'held') and size_bytes >= 0"
    )
    count, largest = tx.execute(sql, (source, besides)).fetchone()
    return count, largest


def as_large_elsewhere(tx: Transaction, source: str, path: str, size_bytes: int) -> bool:
    """Return whether another waiting or failed file of a source is at least as large."""
    sql = (
        "select 1 from delivery where source = ? and path <> ? and state in ('waiting', 'failed')"
        " and size_bytes >= ? limit 1"
    )
    return tx.execute(sql, (source, path, size_bytes)).fetchone() is not None


Settled = tuple[str, str | None, str | None, str | None, str | None, int, int]


def settle_deliveries(tx: Transaction, rows: Iterable[Settled]) -> None:
    """Record outcomes of deliveries: (state, reason, sha256, version, fingerprint, bytes, id).

    The bytes are used if the observation couldn't determine them.
    """
    tx.executemany(
        "update delivery set state = ?, reason = ?, sha256 = coalesce(?, sha256), version ="
        " coalesce(?, version), fingerprint = coalesce(?, fingerprint), size_bytes = case when"
        " size_bytes < 0 then ? else size_bytes end where id = ?",
        rows,
    )


def pinned_schema(tx: Transaction, source: str) -> str | None:
    """Return a source's pinned schema as JSON, or None."""
    row = tx.execute("select schema from source_schema where source = ?", (source,)).fetchone()
    return row[0] if row else None


def pin_schema(tx: Transaction, source: str, schema: str, now: int) -> None:
    """Pin a source's schema."""
    tx.execute(
        "insert into source_schema (source, schema, pinned_at) values (?, ?, ?) on conflict"
        " (source) do update set schema = excluded.schema, pinned_at = excluded.pinned_at",
        (source, schema, now),
    )


def unpin(tx: Transaction, sources: Iterable[str]) -> None:
    """Delete pinned schemas; they are then taken from the contract or the next delivery."""
    tx.executemany("delete from source_schema where source = ?", [(s,) for s in sources])


# Sources whose newest observation failed.

FAILURES_MAX = OBSERVATIONS_KEPT + 1
"""Number of observations to search for the start of a failure.

It is enough, because of older observations only the first of each outcome is stored.
"""


class Failing(msgspec.Struct, frozen=True, gc=False):
    """A source whose newest observation failed. Times are microseconds.

    `since` is the first of the consecutive failed or throttled observations; `gap` is the time
    between the last two observations.
    """

    source: str
    at: int
    error: str
    code: str | None
    since: int
    times: int
    gap: int | None


def failing_sources(tx: Transaction) -> list[Failing]:
    """Return the sources whose newest observation failed."""
    rows = tx.execute(
        "select source, max(at) from look where error is not null group by source"
    ).fetchall()
    return [result for source, _ in rows if (result := failing_source(tx, source)) is not None]


def failing_source(tx: Transaction, source: str) -> Failing | None:
    """Return a source's failure; None if its newest observation didn't fail."""
    observations = tx.execute(
        "select at, error, code from look where source = :source order by at desc limit :limit",
        {"source": source, "limit": FAILURES_MAX},
    ).fetchall()
    failed = []
    for at, error, code in observations:
        if error is None or observation_outcome(error, code) != observation_outcome(
            *observations[0][1:]
        ):
            break
        failed.append((at, error, code))
    if not failed:
        return None
    gap = observations[0][0] - observations[1][0] if len(observations) > 1 else None
    return Failing(
        source,
        observations[0][0],
        str(observations[0][1]),
        observations[0][2],
        failed[-1][0],
        len(failed),
        gap,
    )


# Sources whose servers requested a pause, and their number of loaded intervals.


def throttled_sources(tx: Transaction, now: int) -> list[tuple[str, int]]:
    """Return (source, since) of sources with partitions that wait for a server's pause to end."""
    rows = tx.execute(
        # By the index of open partitions: `<>` names its condition, which SQLite doesn't infer, and
        # ordered by the node alone, it would read all partitions by the key.
        "select node || '', min(partition), min(since) from partition"
        " where state <> 'published' and state = 'waiting' and failures = 0 and not_before > ?"
        " group by node || '' order by node || ''",
        (now,),
    ).fetchall()
    return [(node, since) for node, key, since in rows if _end_reason(tx, node, key) == "throttled"]


def loaded_intervals(tx: Transaction, source: str) -> tuple[int, int, str | None]:
    """Return the numbers of a source's published and known intervals, and the oldest of them."""
    row = tx.execute(
        "select count(case when publication_id is not null then 1 end), count(*), min(partition)"
        " from partition where node = ?",
        (source,),
    ).fetchone()
    return row[0], row[1], row[2]


def _end_reason(tx: Transaction, node: str, key: str) -> str:
    """Return the error kind of the newest ended attempt at a partition; empty without an error."""
    ended = changes.newest_ended(tx, node, key)
    return (
        ""
        if ended is None or not ended.error
        else str(msgspec.json.decode(ended.error).get("kind", ""))
    )
