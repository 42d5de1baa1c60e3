"""Applied versions: declarations, SQL and Python modules by content, and what a code change invalidates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from headrace.store.queries.partition_states import drop_checkpoint, next_revision
from headrace.store.transaction import Transaction


class Version(msgspec.Struct, frozen=True):
    """One applied version. `manifest` maps each file to its content's hash, `compiled` is msgpack of plan.Compiled."""

    id: int
    hash: str
    manifest: dict[str, str]
    compiled: bytes
    applied_at: int
    actor: str
    plan_id: str | None
    """Of the plan that it was applied by; None for versions of before there were any."""


class Heading(msgspec.Struct, frozen=True):
    """A version without what it means. `applied_at` is in microseconds."""

    id: int
    manifest: dict[str, str]
    applied_at: int
    actor: str
    plan_id: str | None


def headings(tx: Transaction, version_id: int | None = None) -> list[Heading]:
    """All versions, newest first; with an id that one, or none."""
    sql = "select id, manifest, applied_at, actor, plan_id from version where cast(:id as bigint) is null or id = :id order by id desc"
    rows = tx.execute(sql, {"id": version_id}).fetchall()
    return [Heading(id_, msgspec.json.decode(manifest), at, actor, plan_id) for id_, manifest, at, actor, plan_id in rows]


def newest(tx: Transaction) -> Version | None:
    """What is applied now; None before the first `apply`."""
    return _version(tx.execute(f"{_SELECT} order by id desc limit 1").fetchone())


def first(tx: Transaction) -> Version | None:
    """What was applied first, in this state; None before the first `apply`."""
    return _version(tx.execute(f"{_SELECT} order by id limit 1").fetchone())


def newest_id(tx: Transaction) -> int:
    """The number of what is applied now; 0 before the first `apply`."""
    return int(tx.execute("select coalesce(max(id), 0) from version").fetchone()[0])


def get(tx: Transaction, version_id: int) -> Version | None:
    """One version, or None."""
    return _version(tx.execute(f"{_SELECT} where id = :id", {"id": version_id}).fetchone())


_SELECT = "select id, hash, manifest, compiled, applied_at, actor, plan_id from version"


def _version(row: tuple[int, str, str, bytes, int, str, str | None] | None) -> Version | None:
    if row is None:
        return None
    version_id, digest, manifest, compiled, applied_at, actor, plan_id = row
    return Version(version_id, digest, msgspec.json.decode(manifest, type=dict[str, str]), compiled, applied_at, actor, plan_id)


# The history of one file: the versions that it was applied in, and its text.


class FileVersion(NamedTuple):
    """A version, with the hash of the file's content in it; None where it had no such file."""

    version: int
    applied_at: int
    actor: str
    hash: str | None


def file_versions(tx: Transaction, path: str, limit: int) -> list[FileVersion]:
    """The newest versions, newest first."""
    rows = tx.execute("select id, applied_at, actor, manifest from version order by id desc limit ?", (limit,))
    return [
        FileVersion(number, at, actor, msgspec.json.decode(manifest, type=dict[str, str]).get(path)) for number, at, actor, manifest in rows
    ]


def file_text(tx: Transaction, digest: str) -> str | None:
    """A content that is kept, as text; None where it isn't there or is none."""
    row = tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    try:
        return None if row is None else bytes(row[0]).decode()
    except UnicodeDecodeError:
        return None


# Applying a version: its files by content, and the partitions that a code change invalidates.
# Only the leader writes these.


def add_version(tx: Transaction, *, digest: str, manifest: str, compiled: bytes, plan_id: str, steps: str, actor: str, now: int) -> int:
    """A newly applied version, with the plan that it was applied by; its id."""
    cursor = tx.execute(
        "insert into version (hash, manifest, compiled, plan_id, steps, applied_at, actor) values (?, ?, ?, ?, ?, ?, ?)",
        (digest, manifest, compiled, plan_id, steps, now, actor),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def keep_content(tx: Transaction, rows: Iterable[tuple[str, bytes]]) -> None:
    """Keep files by content: (hash, bytes)."""
    tx.executemany("insert into content (hash, bytes) values (?, ?) on conflict (hash) do nothing", rows)


def contents(tx: Transaction, manifest: dict[str, str]) -> dict[str, bytes]:
    """Path -> bytes of a manifest's files."""
    return {path: tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()[0] for path, digest in manifest.items()}


def published_versions(tx: Transaction, node: str) -> list[int]:
    """The versions whose code published what readers see of a node."""
    sql = "select distinct version from publication where node = ? and ended_snapshot is null order by version"
    return [version for (version,) in tx.execute(sql, (node,))]


def published_keys(tx: Transaction, node: str, versions: Iterable[int]) -> list[str]:
    """The partitions of a node that readers see as one of these versions published them."""
    sql = "select partition from publication where node = ? and ended_snapshot is null and version = ? order by partition"
    return [key for version in versions for (key,) in tx.execute(sql, (node, version))]


def published_range(tx: Transaction, node: str, *, besides: Collection[str] = ()) -> tuple[str, str, int] | None:
    """The first and the last, by text, of the partitions of a node that readers see, and how many they are, `besides` some; None if
    there are none."""
    if besides:
        sql = "select partition from publication where node = ? and ended_snapshot is null"
        keys = {key for (key,) in tx.execute(sql, (node,))} - {*besides}
        return (min(keys), max(keys), len(keys)) if keys else None
    sql = "select min(partition), max(partition), count(*) from publication where node = ? and ended_snapshot is null"
    first, last, count = tx.execute(sql, (node,)).fetchone()
    return (first, last, count) if count else None


def withdrawn_keys(tx: Transaction, node: str) -> list[str]:
    """The partitions of a node that somebody took back, and that nothing was published of since."""
    sql = (
        "select distinct w.partition from withdrawal w where w.node = ? and not exists ("
        "select 1 from publication p where p.node = w.node and p.partition = w.partition "
        "and p.ended_snapshot is null) order by w.partition"
    )
    return [key for (key,) in tx.execute(sql, (node,))]


def has_partitions(tx: Transaction, node: str) -> bool:
    """Whether there are partitions of a node, published or not."""
    return tx.execute("select 1 from partition where node = ? limit 1", (node,)).fetchone() is not None


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


def mark_fresh(tx: Transaction, node: str, keys: Iterable[str], now: int) -> None:
    """What readers see of these partitions is what the code in force gives."""
    revision = next_revision(tx)
    tx.executemany(
        "update partition set state = 'published', stale = 0, proposed = 0, failures = 0, not_before = null, reason = null,"
        " since = ?, revision = ? where node = ? and partition = ? and publication_id is not null",
        [(now, revision, node, key) for key in keys],
    )


def try_unpublished(tx: Transaction, node: str, now: int) -> None:
    """What nobody sees of a node is tried again by its new code; what is published stays as it is."""
    tx.execute(
        "update partition set state = 'waiting', failures = 0, not_before = null, reason = null, since = :now, revision = :revision"
        " where node = :node and publication_id is null and state in ('failed', 'rejected', 'held', 'waiting')",
        {"node": node, "now": now, "revision": next_revision(tx)},
    )


def delivered_keys(tx: Transaction, source: str) -> list[str]:
    """The partitions of a source that something was delivered for and that have been decided: published, held, rejected or failed."""
    states = "('published', 'held', 'rejected', 'failed')"
    sql = f"select partition from partition where node = ? and state in {states} order by partition"
    return [key for (key,) in tx.execute(sql, (source,)).fetchall()]


def withheld_keys(tx: Transaction, source: str) -> list[str]:
    """The partitions of a source whose newest delivery waits in quarantine, or couldn't be ingested. What
    somebody dropped isn't among them."""
    sql = (
        "select p.partition from partition p where p.node = :source and (p.state = 'failed' or (p.state in ('held', 'rejected') and exists"
        " (select 1 from quarantine q where q.node = p.node and q.partition = p.partition and q.state in ('held', 'rejected'))))"
        " order by p.partition"
    )
    return [key for (key,) in tx.execute(sql, {"source": source}).fetchall()]


def reingest_partitions(tx: Transaction, source: str, keys: Sequence[str], now: int) -> None:
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


def unpublish_node(tx: Transaction, node: str, snapshot: int, now: int) -> list[str]:
    """Nothing of a node is published any more, and nothing was ever heard of its partitions; which were published."""
    keys = [k for (k,) in tx.execute("select partition from publication where node = ? and ended_snapshot is null", (node,)).fetchall()]
    tx.execute("update publication set ended_snapshot = ?, ended_at = ? where node = ? and ended_snapshot is null", (snapshot, now, node))
    tx.execute("delete from partition where node = ?", (node,))
    drop_checkpoint(tx)
    tx.execute("update delivery set state = 'recut' where source = ?", (node,))
    return keys
