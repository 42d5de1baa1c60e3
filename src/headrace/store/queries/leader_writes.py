"""Writes of the leader as attempts begin and end.

They cover runs, attempts, partitions, publications, audits and quarantine. Each function runs
inside the leader's transaction, whose epoch has been checked. Times are integer microseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.store.queries import exceptions
from headrace.store.queries.partition_states import drop_checkpoint, next_revision
from headrace.store.transaction import Transaction

# Runs and attempts.


def start_run(
    tx: Transaction, *, kind: str, request: str, actor: str, now: int, plan: int | None = None
) -> int:
    """Insert a running run and return its id. `plan` is the backfill that it executes."""
    return tx.insert(
        "insert into run (kind, request, actor, state, started_at, plan_id) values (?, ?, ?,"
        " 'running', ?, ?)",
        (kind, request, actor, now, plan),
    )


def finish_run(tx: Transaction, run_id: int, state: str, now: int) -> None:
    """Set a run's final state."""
    tx.execute("update run set state = ?, finished_at = ? where id = ?", (state, now, run_id))


def cancel_run(tx: Transaction, run_id: int, state: str, now: int, actor: str, reason: str) -> None:
    """Record that a user cancelled a run. `state` is the result of its work until then."""
    tx.execute(
        "update run set state = ?, finished_at = ?, cancelled_at = ?, cancelled_by = ?, reason = ?"
        " where id = ?",
        (state, now, now, actor, reason or None, run_id),
    )


def lose_open_work(tx: Transaction, epoch: int, now: int) -> int:
    """Mark the open work of earlier leaders as lost; return the number of attempts."""
    tx.execute(
        "update run set state = 'lost', finished_at = :now where state = 'running'", {"now": now}
    )
    rows = tx.execute(
        "select epoch, n from attempt where state in ('queued', 'running') and epoch < :epoch",
        {"epoch": epoch},
    ).fetchall()
    tx.executemany(
        "update attempt set state = 'lost', finished_at = ?, reason = 'the leader ended while it"
        " ran' where epoch = ? and n = ?",
        [(now, e, n) for e, n in rows],
    )
    return len(rows)


class AttemptStart(msgspec.Struct, frozen=True, gc=False):
    """An attempt to insert before it is sent to a worker."""

    epoch: int
    n: int
    run_id: int
    node: str
    kind: str
    keys: tuple[str, ...]
    version: int
    snapshot: int
    delivery_id: int | None
    queued_at: int
    started_at: int


def start_attempts(tx: Transaction, starts: Sequence[AttemptStart]) -> None:
    """Insert attempts before they are sent to workers."""
    tx.executemany(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version,"
        " snapshot_read, delivery_id, queued_at, started_at, dispatched_at) values (?, ?, ?, ?, ?,"
        " ?, 'running', ?, ?, ?, ?, ?, ?)",
        [
            (
                s.epoch,
                s.n,
                s.run_id,
                s.node,
                s.kind,
                _json(s.keys),
                s.version,
                s.snapshot,
                s.delivery_id,
                s.queued_at,
                s.started_at,
                s.started_at,
            )
            for s in starts
        ],
    )


def narrow_attempts(tx: Transaction, rows: Sequence[tuple[str, int, int]]) -> None:
    """Set the partitions (JSON) of attempts, by epoch and n, that gave back some of theirs."""
    if rows:
        tx.executemany("update attempt set partitions = ? where epoch = ? and n = ?", rows)


class AttemptEnd(msgspec.Struct, frozen=True, gc=False):
    """The result of an attempt."""

    epoch: int
    n: int
    state: str
    finished_at: int
    seconds: float = 0.0
    published_at: int | None = None
    verdict: str | None = None
    reason: str | None = None
    measures: str | None = None
    error: str | None = None


def end_attempts(tx: Transaction, ends: Sequence[AttemptEnd]) -> None:
    """Record the results of attempts.

    An attempt that was sent ahead starts when its worker takes it up, so its start is computed from
    its end and its duration.
    """
    tx.executemany(
        "update attempt set state = ?, started_at = max(started_at, ? - ?), finished_at = ?,"
        " published_at = ?, verdict = ?, reason = ?, measures = ?, error = ? where epoch = ? and"
        " n = ?",
        [
            (
                e.state,
                e.finished_at,
                int(e.seconds * 1_000_000),
                e.finished_at,
                e.published_at,
                e.verdict,
                e.reason,
                e.measures,
                e.error,
                e.epoch,
                e.n,
            )
            for e in ends
        ],
    )


# Partitions and publications.


class PartitionRecord(msgspec.Struct, frozen=True, gc=False):
    """The state of a partition, and its visible publication."""

    node: str
    partition: str
    state: str
    stale: bool
    failures: int
    not_before: int | None
    reason: str
    since: int
    proposed: bool = False


def mark_partitions(tx: Transaction, rows: Sequence[PartitionRecord]) -> None:
    """Set the states of partitions, without changing what readers see."""
    if not rows:
        return
    revision = next_revision(tx)
    tx.executemany(
        "insert into partition (node, partition, state, stale, failures, not_before, reason, since,"
        " proposed, revision) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (node, partition)"
        " do update set since = case when partition.state = excluded.state then partition.since"
        " else excluded.since end, state = excluded.state, stale = excluded.stale, failures ="
        " excluded.failures, not_before = excluded.not_before, reason = excluded.reason, proposed ="
        " excluded.proposed, revision = excluded.revision",
        [
            (
                r.node,
                r.partition,
                r.state,
                int(r.stale),
                r.failures,
                r.not_before,
                r.reason or None,
                r.since,
                int(r.proposed),
                revision,
            )
            for r in rows
        ],
    )


class PublicationRecord(msgspec.Struct, frozen=True, gc=False):
    """A partition to publish."""

    id: int
    node: str
    partition: str
    epoch: int
    n: int
    snapshot: int
    published_at: int
    rows: int
    size_bytes: int
    verdict: str
    content_hash: str | None
    identical: bool
    version: int
    delivery_id: int | None
    manifest: str | None


def publish(tx: Transaction, rows: Sequence[PublicationRecord]) -> None:
    """Publish these partitions, and end the publications that they replace.

    The new ids are ascending and contiguous.
    """
    if not rows:
        return
    tx.executemany(
        "update publication set ended_snapshot = ?, ended_at = ? where node = ? and partition = ?"
        " and ended_snapshot is null",
        [(r.snapshot, r.published_at, r.node, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows,"
        " bytes, verdict, content_hash, identical, version, delivery_id, manifest) values (?, ?, ?,"
        " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                r.id,
                r.node,
                r.partition,
                r.epoch,
                r.n,
                r.snapshot,
                r.published_at,
                r.rows,
                r.size_bytes,
                r.verdict,
                r.content_hash,
                int(r.identical),
                r.version,
                r.delivery_id,
                r.manifest,
            )
            for r in rows
        ],
    )
    show(tx, [(r.node, r.partition, r.id) for r in rows])


_BEFORE_SHOWING = (
    "select (select coalesce(max(revision), 0) + 1 from partition), exists (select 1 from"
    " quarantine where state in ('held', 'rejected')), exists (select 1 from accepted where"
    " publication_id is null and ended_at is null)"
)
"""The revision of changed partitions, whether data is in quarantine, and whether an exception waits
for a publication: one statement, because each costs PostgreSQL a round trip."""


def show(tx: Transaction, rows: Sequence[tuple[str, str, int]]) -> None:
    """Set the states of partitions to new publications (node, partition, id), in order of the ids.

    Earlier quarantined data of the partitions is superseded.
    """
    revision, quarantined, expected = tx.execute(_BEFORE_SHOWING).fetchone()
    tx.execute(
        "insert into partition (node, partition, state, publication_id, since, revision) select"
        " node, partition, 'published', id, published_at, ? from publication where id between ? and"
        " ? on conflict (node, partition) do update set since = case when partition.state ="
        " 'published' then partition.since else excluded.since end, state = 'published', stale = 0,"
        " proposed = 0, failures = 0, not_before = null, reason = null, publication_id ="
        " excluded.publication_id, revision = excluded.revision",
        (revision, rows[0][2], rows[-1][2]),
    )
    if quarantined:
        tx.executemany(
            "update quarantine set state = 'superseded' where node = ? and partition = ? and state"
            " in ('held', 'rejected')",
            [row[:2] for row in rows],
        )
    if expected:
        exceptions.attach_publications(tx, rows)


PublishedContent = tuple[int, str | None, str | None]
"""Snapshot, content hash and manifest of a publication."""


def published_of(tx: Transaction, node: str, partition: str) -> PublishedContent | None:
    """Return a partition's visible publication, or None."""
    row = tx.execute(
        "select snapshot, content_hash, manifest from publication where node = ? and partition = ?"
        " and ended_snapshot is null",
        (node, partition),
    ).fetchone()
    return (row[0], row[1], row[2]) if row else None


def published_each(
    tx: Transaction, node: str, partitions: Collection[str]
) -> dict[str, PublishedContent]:
    """Return the visible publications of adjacent partitions, by one statement.

    One whose rows were removed because they can be rebuilt has the hash that they had.
    """
    requested = frozenset(partitions)
    if not requested:
        return {}
    rows = tx.execute(
        "select p.partition, p.snapshot, coalesce(p.content_hash, r.content_hash), p.manifest from"
        " publication p left join rebuildable_partition r on r.node = p.node and r.partition ="
        " p.partition and r.publication_id = p.id where p.node = ? and p.partition between ? and ?"
        " and p.ended_snapshot is null",
        (node, min(requested), max(requested)),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows if row[0] in requested}


def published_hashes(
    tx: Transaction, node: str, partitions: Collection[str]
) -> dict[str, str | None]:
    """Return the content hashes of visible publications by partition."""
    return dict(_published_values(tx, node, partitions, "content_hash"))


def published_rows(tx: Transaction, node: str, partitions: Collection[str] | None) -> int:
    """Return the number of visible rows of some partitions, or of all if None."""
    if partitions is None:
        sql = (
            "select coalesce(sum(rows), 0) from publication where node = ? and ended_snapshot is"
            " null"
        )
        return int(tx.execute(sql, (node,)).fetchone()[0])
    return sum(rows for _, rows in _published_values(tx, node, partitions, "rows"))


def _published_values(
    tx: Transaction, node: str, partitions: Collection[str], column: str
) -> Iterator[tuple[str, Any]]:
    """Yield (partition, `column`) of these partitions' visible publications, by one statement.

    Partitions of one call are usually adjacent.
    """
    requested = frozenset(partitions)
    if requested:
        rows = tx.execute(
            f"select partition, {column} from publication where node = ? and partition between ?"
            " and ? and ended_snapshot is null",
            (node, min(requested), max(requested)),
        )
        yield from ((partition, value) for partition, value in rows if partition in requested)


def published_before(tx: Transaction, node: str, key: str) -> str | None:
    """Return the nearest partition at or before `key` with visible rows, or None."""
    row = tx.execute(
        "select partition from publication where node = ? and partition <= ? and ended_snapshot is"
        " null and rows > 0 order by partition desc limit 1",
        (node, key),
    ).fetchone()
    return None if row is None else str(row[0])


def last_published_before(tx: Transaction, node: str, key: str, limit: int) -> list[str]:
    """Return the nearest earlier partitions with visible rows, newest first."""
    rows = tx.execute(
        "select partition from publication where node = ? and partition < ? and ended_snapshot is"
        " null and rows > 0 order by partition desc limit ?",
        (node, key, limit),
    ).fetchall()
    return [str(name) for (name,) in rows]


def failed_as_published(tx: Transaction, node: str, key: str) -> tuple[str, ...]:
    """Return the failed checks of a partition's visible publication.

    It was accepted as an exception, or published with a warning.
    """
    rows = tx.execute(
        "select distinct c.name from publication p join check_result c on c.epoch = p.epoch and c.n"
        " = p.n and c.node = p.node where p.node = ? and p.partition = ? and p.ended_snapshot is"
        " null and c.outcome = 'failed' order by c.name",
        (node, key),
    ).fetchall()
    return tuple(str(name) for (name,) in rows)


def published_keys(tx: Transaction, node: str, interval: str = "") -> list[str]:
    """Return a node's published partitions.

    For a node partitioned by time and key, `interval` restricts them to one interval.
    """
    if not interval:
        rows = tx.execute(
            "select partition from publication where node = ? and ended_snapshot is null", (node,)
        ).fetchall()
    else:
        rows = tx.execute(
            "select partition from publication where node = ? and partition >= ? and partition < ?"
            " and ended_snapshot is null",
            (node, f"{interval}/", f"{interval}0"),
        ).fetchall()
    return sorted(key for (key,) in rows)


def has_rows(tx: Transaction, node: str) -> bool:
    """Return whether any publication of a node, visible or not, had rows."""
    return (
        tx.execute(
            "select 1 from publication where node = ? and rows > 0 limit 1", (node,)
        ).fetchone()
        is not None
    )


# Audits.


def write_checks(tx: Transaction, rows: Iterable[Sequence[Any]]) -> None:
    """Insert check results.

    Columns: (epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at).
    """
    tx.executemany(
        "insert into check_result (epoch, n, node, partition, name, kind, severity, outcome, rows,"
        " failing, detail, at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def write_profiles(tx: Transaction, rows: Iterable[Sequence[Any]]) -> None:
    """Insert (epoch, n, node, partition, columns as JSON) for each audited partition."""
    tx.executemany(
        "insert into profile (epoch, n, node, partition, columns) values (?, ?, ?, ?, ?)", rows
    )


class QuarantineRecord(msgspec.Struct, frozen=True, gc=False):
    """Held or rejected data, and its location."""

    node: str
    partition: str
    epoch: int
    n: int
    state: str
    reason: str
    path: str | None
    rows: int | None
    sample: str | None
    delivery_id: int | None
    at: int
    acceptable: bool = True


def quarantine(tx: Transaction, rows: Sequence[QuarantineRecord]) -> None:
    """Put data in quarantine; it supersedes the partition's earlier data there."""
    tx.executemany(
        "update quarantine set state = 'superseded' where node = ? and partition = ? and state in"
        " ('held', 'rejected')",
        [(r.node, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into quarantine (node, partition, epoch, n, state, reason, path, rows, sample,"
        " delivery_id, at, acceptable) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*msgspec.structs.astuple(row)[:-1], int(row.acceptable)) for row in rows],
    )


def rehash(tx: Transaction, node: str, hashes: Mapping[str, str | None]) -> None:
    """Set the content hashes of visible partitions whose values are stored in other types now."""
    tx.executemany(
        "update publication set content_hash = ? where node = ? and partition = ? and"
        " ended_snapshot is null and content_hash is not null",
        [(content, node, key) for key, content in hashes.items()],
    )


def superseded(tx: Transaction, rows: Iterable[tuple[str, str, int]]) -> None:
    """Supersede earlier quarantined deliveries; rows are (source, partition, delivery)."""
    tx.executemany(
        "update quarantine set state = 'superseded' where node = ? and partition = ? and"
        " delivery_id < ? and state in ('held', 'rejected')",
        rows,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Renaming a node moves what the state holds about it to the new name. Incidents with their evidence
# and promises are moved by `incidents.renamed_nodes` and `obligations.rename_read`.

_TABLES = (
    "attempt",
    "attempt_day",
    "partition",
    "publication",
    "check_result",
    "profile",
    "metric",
    "fact",
    "quarantine",
    "accepted",
    "reshaping",
    "overlay",
    "overlay_attempt",
    "batching",
    "pause",
    "pause_past",
    "firing",
    "withdrawal",
    "usage",
    "weakened",
)
"""Tables with a column `node`. Audit entries, versions and frozen ledgers keep the old name."""
_OF_INCIDENTS = ("incident", "evidence", "incident_partition", "symptom")
_OF_APPLY = ("reshaping", "weakened")
"""Tables to which the apply that renames a node has written its new name already."""


def is_known_node(tx: Transaction, node: str) -> bool:
    """Return whether the state holds anything about a node of that name."""
    return any(
        tx.execute(f"select 1 from {name} where node = ? limit 1", (node,)).fetchone()
        for name in (*_TABLES, *_OF_INCIDENTS)
        if name not in _OF_APPLY
    )


def rename_node(tx: Transaction, node: str, new_name: str) -> None:
    """Rename a node in these tables; the new name must be unused."""
    tx.execute(
        "delete from reshaping where node = ? and exists (select 1 from reshaping where node = ?)",
        (node, new_name),
    )
    for name in _TABLES:
        tx.execute(f"update {name} set node = ? where node = ?", (new_name, node))
    drop_checkpoint(tx)
