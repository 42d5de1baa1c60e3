"""What only the leader writes: runs, attempts, claims, partitions, publications, deliveries, quarantine.

Each function runs inside the leader's transaction, whose epoch has been checked. Times are integer microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries import exceptions
from headrace.store.queries.standings import drop_checkpoint, next_revision

# Runs and attempts ----------------------------------------------------------------------------------------------------


def start_run(tx: Transaction, *, kind: str, request: str, actor: str, now: int, plan: int | None = None) -> int:
    """A new run, running; its id. `plan` is the backfill that it works at."""
    cursor = tx.execute(
        "insert into run (kind, request, actor, state, started_at, plan_id) values (?, ?, ?, 'running', ?, ?)",
        (kind, request, actor, now, plan),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def finish_run(tx: Transaction, run_id: int, state: str, now: int) -> None:
    """A run has ended."""
    tx.execute("update run set state = ?, finished_at = ? where id = ?", (state, now, run_id))


def cancel_run(tx: Transaction, run_id: int, state: str, now: int, actor: str, reason: str) -> None:
    """A person took a run back; what had come of it by then is its state."""
    tx.execute(
        "update run set state = ?, finished_at = ?, cancelled_at = ?, cancelled_by = ?, reason = ? where id = ?",
        (state, now, now, actor, reason or None, run_id),
    )


def lose_open_work(tx: Transaction, epoch: int, now: int) -> int:
    """What earlier leaders left open is lost; how many attempts that were."""
    tx.execute("update run set state = 'lost', finished_at = :now where state = 'running'", {"now": now})
    rows = tx.execute("select epoch, n from attempt where state in ('queued', 'running') and epoch < :epoch", {"epoch": epoch}).fetchall()
    tx.executemany(
        "update attempt set state = 'lost', finished_at = ?, reason = 'the leader ended while it ran' where epoch = ? and n = ?",
        [(now, e, n) for e, n in rows],
    )
    return len(rows)


class AttemptStart(msgspec.Struct, frozen=True, gc=False):
    """An attempt that is about to be sent to a worker."""

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
    """Write attempts before they are sent."""
    tx.executemany(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version, snapshot_read, delivery_id, queued_at,"
        " started_at, dispatched_at) values (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)",
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


class AttemptEnd(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended."""

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
    """Write how attempts ended. One that was given out ahead began when its worker came to it: as long before its end as
    it took."""
    tx.executemany(
        "update attempt set state = ?, started_at = max(started_at, ? - ?), finished_at = ?, published_at = ?, verdict = ?,"
        " reason = ?, measures = ?, error = ?"
        " where epoch = ? and n = ?",
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


# Partitions and publications ------------------------------------------------------------------------------------------


class PartitionRow(msgspec.Struct, frozen=True, gc=False):
    """Where a partition stands, and what readers see of it."""

    node: str
    partition: str
    state: str
    stale: bool
    failures: int
    not_before: int | None
    reason: str
    since: int
    proposed: bool = False


def mark_partitions(tx: Transaction, rows: Sequence[PartitionRow]) -> None:
    """Partitions stand elsewhere now; what readers see stays as it is."""
    if not rows:
        return
    revision = next_revision(tx)
    tx.executemany(
        "insert into partition (node, partition, state, stale, failures, not_before, reason, since, proposed, revision)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (node, partition) do update set"
        " since = case when partition.state = excluded.state then partition.since else excluded.since end,"
        " state = excluded.state, stale = excluded.stale, failures = excluded.failures, not_before = excluded.not_before,"
        " reason = excluded.reason, proposed = excluded.proposed, revision = excluded.revision",
        [
            (r.node, r.partition, r.state, int(r.stale), r.failures, r.not_before, r.reason or None, r.since, int(r.proposed), revision)
            for r in rows
        ],
    )


class PublicationRow(msgspec.Struct, frozen=True, gc=False):
    """A partition that becomes visible."""

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


def last_publication_id(tx: Transaction) -> int:
    """The newest publication's id, 0 if there is none."""
    return int(tx.execute("select coalesce(max(id), 0) from publication").fetchone()[0])


def publish(tx: Transaction, rows: Sequence[PublicationRow]) -> None:
    """End what these replace, and make them what readers see."""
    if not rows:
        return
    revision = next_revision(tx)
    tx.executemany(
        "update publication set ended_snapshot = ?, ended_at = ? where node = ? and partition = ? and ended_snapshot is null",
        [(r.snapshot, r.published_at, r.node, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows, bytes, verdict, content_hash, identical,"
        " version, delivery_id, manifest) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (r.id, r.node, r.partition, r.epoch, r.n, r.snapshot, r.published_at, r.rows, r.size_bytes, r.verdict, r.content_hash,
             int(r.identical), r.version, r.delivery_id, r.manifest)
            for r in rows
        ],
    )  # fmt: skip
    tx.executemany(
        "insert into partition (node, partition, state, publication_id, since, revision) values (?, ?, 'published', ?, ?, ?)"
        " on conflict (node, partition) do update set"
        " since = case when partition.state = 'published' then partition.since else excluded.since end,"
        " state = 'published', stale = 0, proposed = 0, failures = 0, not_before = null, reason = null,"
        " publication_id = excluded.publication_id, revision = excluded.revision",
        [(r.node, r.partition, r.id, r.published_at, revision) for r in rows],
    )
    if tx.execute("select 1 from quarantine where state in ('held', 'rejected') limit 1").fetchone() is not None:
        tx.executemany(
            "update quarantine set state = 'superseded' where node = ? and partition = ? and state in ('held', 'rejected')",
            [(r.node, r.partition) for r in rows],
        )
    exceptions.published(tx, [(r.node, r.partition, r.id) for r in rows])


def published_of(tx: Transaction, node: str, partition: str) -> tuple[int, str | None, str | None] | None:
    """What readers see of a partition: (snapshot, content hash, manifest); None if nothing."""
    row = tx.execute(
        "select snapshot, content_hash, manifest from publication where node = ? and partition = ? and ended_snapshot is null",
        (node, partition),
    ).fetchone()
    return (row[0], row[1], row[2]) if row else None


def published_rows(tx: Transaction, node: str, partitions: Sequence[str] | None) -> int:
    """How many rows readers see of some partitions, of all where `partitions` is None."""
    if partitions is None:
        sql = "select coalesce(sum(rows), 0) from publication where node = ? and ended_snapshot is null"
        return int(tx.execute(sql, (node,)).fetchone()[0])
    sql = "select rows from publication where node = ? and partition = ? and ended_snapshot is null"
    found = (tx.execute(sql, (node, key)).fetchone() for key in partitions)
    return sum(row[0] for row in found if row)


def published_before(tx: Transaction, node: str, key: str) -> str | None:
    """The nearest partition before one that readers see rows of (of a whole, itself); None where there is none."""
    row = tx.execute(
        "select partition from publication where node = ? and partition <= ? and ended_snapshot is null and rows > 0"
        " order by partition desc limit 1",
        (node, key),
    ).fetchone()
    return None if row is None else str(row[0])


def published_keys(tx: Transaction, node: str, moment: str = "") -> list[str]:
    """What readers see of a node; of one that is cut by time and key, what they see of an interval if `moment` names one."""
    if not moment:
        rows = tx.execute("select partition from publication where node = ? and ended_snapshot is null", (node,)).fetchall()
    else:
        rows = tx.execute(
            "select partition from publication where node = ? and partition >= ? and partition < ? and ended_snapshot is null",
            (node, f"{moment}/", f"{moment}0"),
        ).fetchall()
    return sorted(key for (key,) in rows)


def has_rows(tx: Transaction, node: str) -> bool:
    """Whether anything that was ever published of a node had rows."""
    return tx.execute("select 1 from publication where node = ? and rows > 0 limit 1", (node,)).fetchone() is not None


# Audits ---------------------------------------------------------------------------------------------------------------


def write_checks(tx: Transaction, rows: Iterable[Sequence[Any]]) -> None:
    """(epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at) for each check."""
    tx.executemany(
        "insert into check_result (epoch, n, node, partition, name, kind, severity, outcome, rows, failing, detail, at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def write_profiles(tx: Transaction, rows: Iterable[Sequence[Any]]) -> None:
    """(epoch, n, node, partition, columns as JSON) for each audited partition."""
    tx.executemany("insert into profile (epoch, n, node, partition, columns) values (?, ?, ?, ?, ?)", rows)


class QuarantineRow(msgspec.Struct, frozen=True, gc=False):
    """Data that was held or rejected, and where it waits."""

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


def quarantine(tx: Transaction, rows: Sequence[QuarantineRow]) -> None:
    """Put data in quarantine; what waited there for the same partition is superseded."""
    tx.executemany(
        "update quarantine set state = 'superseded' where node = ? and partition = ? and state in ('held', 'rejected')",
        [(r.node, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into quarantine (node, partition, epoch, n, state, reason, path, rows, sample, delivery_id, at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(r.node, r.partition, r.epoch, r.n, r.state, r.reason, r.path, r.rows, r.sample, r.delivery_id, r.at) for r in rows],
    )


# Sources --------------------------------------------------------------------------------------------------------------

LOOKS_KEPT = 50


class DeliveryRow(msgspec.Struct, frozen=True, gc=False):
    """A delivery that a look found."""

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


def known_files(tx: Transaction, source: str, after: int = 0) -> tuple[dict[str, tuple[int, int]], int]:
    """Path -> (size, modification time) of the newest delivery under each path, since the source is cut as it is, of those that
    came after one; and which the newest is."""
    rows = tx.execute(
        "select path, size_bytes, modified_us, id from delivery where source = ? and id > ? and state <> 'recut' order by id",
        (source, after),
    ).fetchall()
    return {path: (size, modified) for path, size, modified, _ in rows}, rows[-1][3] if rows else after


def record_deliveries(tx: Transaction, rows: Sequence[DeliveryRow]) -> None:
    """New deliveries wait to be taken in; those of the same interval that still waited are superseded."""
    tx.executemany(
        "update delivery set state = 'superseded' where source = ? and partition = ? and state = 'waiting'",
        [(r.source, r.partition) for r in rows],
    )
    tx.executemany(
        "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at, observed_at, arrived_at, version, parts,"
        " bundle, received, state) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
        [
            (r.source, r.partition, r.path, r.size_bytes, r.modified_us, r.claimed_at, r.observed_at, r.arrived_at, r.version, r.parts,
             r.bundle, r.received)
            for r in rows
        ],
    )  # fmt: skip


def known_versions(tx: Transaction, source: str) -> dict[str, tuple[str, str, int]]:
    """Interval -> path, version and time of observation of its newest delivery; `*` is the newest of all."""
    rows = tx.execute(
        "select partition, path, version, observed_at from delivery where source = ? and state <> 'recut' order by id", (source,)
    ).fetchall()
    found = {partition: (path, version, at) for partition, path, version, at in rows}
    if rows:
        found["*"] = rows[-1][1:]
    return found


def given_up(tx: Transaction, source: str, *, failed_by: int, rejected_by: int) -> list[str]:
    """Intervals whose newest delivery failed, or was rejected and can't say whether it has changed, and was seen by then."""
    rows = tx.execute(
        "select d.partition from delivery d where d.source = :source and d.state in ('failed', 'rejected')"
        " and ((d.state = 'failed' and d.observed_at <= :failed)"
        " or (d.state = 'rejected' and d.version = '' and d.observed_at <= :rejected))"
        " and not exists (select 1 from delivery n where n.source = d.source and n.partition = d.partition and n.id > d.id)",
        {"source": source, "failed": failed_by, "rejected": rejected_by},
    ).fetchall()
    return [partition for (partition,) in rows]


def oldest_delivery(tx: Transaction, source: str) -> str | None:
    """The oldest interval that was ever delivered."""
    oldest: str | None = tx.execute("select min(partition) from delivery where source = ? and state <> 'recut'", (source,)).fetchone()[0]
    return oldest


def next_delivery_key(tx: Transaction, source: str) -> str:
    """The partition of a source's next delivery, where each delivery is one."""
    row = tx.execute("select max(partition) from delivery where source = ? and state <> 'recut'", (source,)).fetchone()
    return f"{int(row[0] or 0) + 1:012}"


def record_look(tx: Transaction, source: str, at: int, found: int, error: str | None, code: str | None = None) -> None:
    """Somebody looked; only the last LOOKS_KEPT looks are kept."""
    tx.execute(
        "insert into look (source, at, found, error, code) values (?, ?, ?, ?, ?) on conflict (source, at) do update"
        " set found = excluded.found, error = excluded.error, code = excluded.code",
        (source, at, found, error, code),
    )
    tx.execute(
        "delete from look where source = :source"
        " and at <= (select at from look where source = :source order by at desc limit 1 offset :kept)",
        {"source": source, "kept": LOOKS_KEPT},
    )


def last_look(tx: Transaction, source: str) -> int | None:
    """When the last look at a source was."""
    return tx.execute("select max(at) from look where source = ?", (source,)).fetchone()[0]  # type: ignore[no-any-return]


def waiting_deliveries(tx: Transaction) -> list[tuple[str, str, str]]:
    """(source, partition, bundle) of what arrived and wasn't taken in."""
    rows = tx.execute("select source, partition, bundle from delivery where state = 'waiting' order by id").fetchall()
    return [(source, partition, bundle) for source, partition, bundle in rows]


def bundled(tx: Transaction, source: str, bundle: str, keys: Sequence[str]) -> dict[str, int]:
    """Partition → id of its delivery, of those that came in one file and wait to be taken in together."""
    rows = tx.execute(
        "select partition, id from delivery where source = ? and bundle = ? and state = 'waiting' order by id", (source, bundle)
    ).fetchall()
    wanted = set(keys)
    return {partition: number for partition, number in rows if partition in wanted}


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A delivery as it was recorded. `parts` is JSON, where it consists of several files."""

    id: int
    partition: str
    path: str
    size_bytes: int
    modified_us: int
    version: str
    parts: str | None
    bundle: str
    sha256: str | None
    """Of one that was taken in before."""


_DELIVERED = "id, partition, path, size_bytes, modified_us, version, parts, bundle, sha256"


def newest_delivery(tx: Transaction, source: str, partition: str) -> Delivered | None:
    """The newest delivery of an interval."""
    row = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and partition = ? order by id desc limit 1", (source, partition)
    ).fetchone()
    return Delivered(*row) if row else None


def other_waiting(tx: Transaction, source: str, besides: int, limit: int) -> list[Delivered]:
    """Other deliveries that wait, spread over all that do."""
    rows = tx.execute(
        f"select {_DELIVERED} from delivery where source = ? and state = 'waiting' and id <> ? order by id", (source, besides)
    ).fetchall()
    step = max(1, len(rows) // limit)
    return [Delivered(*row) for row in rows[::step][:limit]]


def settle_deliveries(tx: Transaction, rows: Iterable[tuple[str, str | None, str | None, str | None, int, int]]) -> None:
    """What became of deliveries: (state, reason, sha256, fingerprint, bytes, id); the bytes count where the look couldn't tell them."""
    tx.executemany(
        "update delivery set state = ?, reason = ?, sha256 = coalesce(?, sha256), fingerprint = coalesce(?, fingerprint),"
        " size_bytes = case when size_bytes < 0 then ? else size_bytes end where id = ?",
        rows,
    )


def pinned_schema(tx: Transaction, source: str) -> str | None:
    """The schema that a source is held to, as JSON."""
    row = tx.execute("select schema from source_schema where source = ?", (source,)).fetchone()
    return row[0] if row else None


def pin_schema(tx: Transaction, source: str, schema: str, now: int) -> None:
    """Hold a source to a schema from now on."""
    tx.execute(
        "insert into source_schema (source, schema, pinned_at) values (?, ?, ?)"
        " on conflict (source) do update set schema = excluded.schema, pinned_at = excluded.pinned_at",
        (source, schema, now),
    )


def unpin(tx: Transaction, sources: Iterable[str]) -> None:
    """What these sources are held to is read anew from the contract, or learnt from the next delivery."""
    tx.executemany("delete from source_schema where source = ?", [(s,) for s in sources])


# What was applied -----------------------------------------------------------------------------------------------------


def add_version(tx: Transaction, *, digest: str, manifest: str, compiled: bytes, actor: str, now: int) -> int:
    """A newly applied version; its id."""
    cursor = tx.execute(
        "insert into version (hash, manifest, compiled, applied_at, actor) values (?, ?, ?, ?, ?)", (digest, manifest, compiled, now, actor)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def keep_content(tx: Transaction, rows: Iterable[tuple[str, bytes]]) -> None:
    """Keep files by content: (hash, bytes)."""
    tx.executemany("insert into content (hash, bytes) values (?, ?) on conflict (hash) do nothing", rows)


def contents(tx: Transaction, manifest: dict[str, str]) -> dict[str, bytes]:
    """Path -> bytes of a manifest's files."""
    return {path: tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()[0] for path, digest in manifest.items()}


def may_reshape(tx: Transaction, nodes: Iterable[str]) -> None:
    """The next publication of these nodes may change their tables' columns."""
    tx.executemany("insert into reshaping (node) values (?) on conflict (node) do nothing", [(n,) for n in nodes])


def reshaping(tx: Transaction) -> set[str]:
    """The nodes whose code changed since their tables' columns were last set."""
    return {node for (node,) in tx.execute("select node from reshaping").fetchall()}


def reshaped(tx: Transaction, nodes: Iterable[str]) -> None:
    """These nodes' tables have the columns of the code in force."""
    tx.executemany("delete from reshaping where node = ?", [(n,) for n in nodes])


def stale_node(tx: Transaction, node: str, now: int, *, ask: bool = False) -> int:
    """Everything of a node is to be computed again, because its code changed; how many partitions that are. With `ask` what readers see is
    replaced only when a person asks for it; what nobody sees yet is made as always."""
    states = "('published', 'failed', 'rejected', 'held', 'waiting')"
    cursor = tx.execute(f"select count(*) from partition where node = ? and state in {states}", (node,)).fetchone()
    tx.execute(
        "update partition set state = case when :ask = 1 and publication_id is not null then 'published' else 'waiting' end,"
        " stale = case when publication_id is null then 0 else 1 end,"
        " proposed = case when publication_id is null then 0 else :ask end, failures = 0,"
        " not_before = null, reason = null,"
        f" since = :now, revision = :revision where node = :node and state in {states}",
        {"node": node, "now": now, "revision": next_revision(tx), "ask": int(ask)},
    )
    return int(cursor[0])


def delivered_keys(tx: Transaction, source: str) -> list[str]:
    """The partitions of a source that something was delivered for and that have been decided: published, held, rejected or failed."""
    states = "('published', 'held', 'rejected', 'failed')"
    sql = f"select partition from partition where node = ? and state in {states} order by partition"
    return [key for (key,) in tx.execute(sql, (source,)).fetchall()]


def read_again(tx: Transaction, source: str, keys: Sequence[str], now: int) -> None:
    """The newest deliveries of these partitions are to be read once more, because they mean something else now."""
    revision = next_revision(tx)
    tx.executemany(
        "update partition set state = 'waiting', stale = case when publication_id is null then 0 else 1 end, proposed = 0, failures = 0,"
        " not_before = null, reason = null, since = ?, revision = ? where node = ? and partition = ?",
        [(now, revision, source, key) for key in keys],
    )
    tx.executemany(
        "update delivery set state = 'waiting' where id = (select max(id) from delivery where source = ? and partition = ?"
        " and state <> 'recut')",
        [(source, key) for key in keys],
    )


def take_back(tx: Transaction, node: str, snapshot: int, now: int) -> list[str]:
    """Nothing of a node is published any more, and nothing was ever heard of its partitions; which were published."""
    keys = [k for (k,) in tx.execute("select partition from publication where node = ? and ended_snapshot is null", (node,)).fetchall()]
    tx.execute("update publication set ended_snapshot = ?, ended_at = ? where node = ? and ended_snapshot is null", (snapshot, now, node))
    tx.execute("delete from partition where node = ?", (node,))
    drop_checkpoint(tx)
    tx.execute("update delivery set state = 'recut' where source = ?", (node,))
    return keys


def upkeep_at(tx: Transaction) -> int | None:
    """When the lake was last looked after."""
    row = tx.execute("select value from meta where key = 'upkeep_at'").fetchone()
    return int(row[0]) if row else None


def upkeep_done(tx: Transaction, now: int) -> None:
    """The lake was looked after."""
    tx.execute("insert into meta (key, value) values ('upkeep_at', ?) on conflict (key) do update set value = excluded.value", (str(now),))


def reclaimed_at(tx: Transaction) -> int | None:
    """When space was last freed because there was none."""
    row = tx.execute("select value from meta where key = 'reclaimed_at'").fetchone()
    return int(row[0]) if row else None


def reclaimed(tx: Transaction, now: int) -> None:
    """Space is being freed because there is none."""
    tx.execute(
        "insert into meta (key, value) values ('reclaimed_at', ?) on conflict (key) do update set value = excluded.value", (str(now),)
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
