"""Applied versions: files of the project by content, and invalidation after code changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import msgspec

from headrace.store.queries.partition_states import drop_checkpoint, next_revision
from headrace.store.transaction import Transaction


class Version(msgspec.Struct, frozen=True):
    """An applied version. `manifest` maps files to hashes, `compiled` is msgpack plan.Compiled."""

    id: int
    hash: str
    manifest: dict[str, str]
    compiled: bytes
    applied_at: int
    actor: str
    plan_id: str | None
    """Id of the applied plan; None for versions from before plans had ids."""


class Heading(msgspec.Struct, frozen=True):
    """A version without its content. `applied_at` is in microseconds."""

    id: int
    manifest: dict[str, str]
    applied_at: int
    actor: str
    plan_id: str | None


def headings(tx: Transaction, version_id: int | None = None) -> list[Heading]:
    """Return all versions, newest first, or only the version with an id."""
    sql = (
        "select id, manifest, applied_at, actor, plan_id from version where cast(:id as bigint) is"
        " null or id = :id order by id desc"
    )
    rows = tx.execute(sql, {"id": version_id}).fetchall()
    return [
        Heading(id_, msgspec.json.decode(manifest), at, actor, plan_id)
        for id_, manifest, at, actor, plan_id in rows
    ]


def newest(tx: Transaction) -> Version | None:
    """Return the applied version; None before the first `apply`."""
    return _version(tx.execute(f"{_SELECT} order by id desc limit 1").fetchone())


def is_newest(tx: Transaction, version: Version) -> bool:
    """Whether a version that was read before is still the applied one, of this same state."""
    row = tx.execute("select id, hash, applied_at from version order by id desc limit 1").fetchone()
    return row is not None and tuple(row) == (version.id, version.hash, version.applied_at)


def first(tx: Transaction) -> Version | None:
    """Return the first applied version of this state; None before the first `apply`."""
    return _version(tx.execute(f"{_SELECT} order by id limit 1").fetchone())


def newest_id(tx: Transaction) -> int:
    """Return the number of the applied version; 0 before the first `apply`."""
    return int(tx.execute("select coalesce(max(id), 0) from version").fetchone()[0])


def get(tx: Transaction, version_id: int) -> Version | None:
    """Return one version, or None."""
    return _version(tx.execute(f"{_SELECT} where id = :id", {"id": version_id}).fetchone())


_SELECT = "select id, hash, manifest, compiled, applied_at, actor, plan_id from version"


def _version(row: tuple[int, str, str, bytes, int, str, str | None] | None) -> Version | None:
    if row is None:
        return None
    version_id, digest, manifest, compiled, applied_at, actor, plan_id = row
    return Version(
        version_id,
        digest,
        msgspec.json.decode(manifest, type=dict[str, str]),
        compiled,
        applied_at,
        actor,
        plan_id,
    )


class _Code(msgspec.Struct):
    fingerprint: str = ""


class _Codes(msgspec.Struct):
    """The needed part of a `Compiled`: decoding 10,000 nodes takes 12 ms instead of 55 ms."""

    nodes: dict[str, _Code]


def ever_classified(tx: Transaction) -> bool:
    """Return whether any version classifies a column, or may: a version without a record does."""
    row = tx.execute("select ever_classified from version order by id desc limit 1").fetchone()
    return row is not None and row[0] != 0


def compiled(tx: Transaction, version_id: int) -> bytes:
    """Return the encoded project of a version; empty if the version isn't stored."""
    row = tx.execute("select compiled from version where id = :id", {"id": version_id}).fetchone()
    return b"" if row is None else bytes(row[0])


def fingerprints(tx: Transaction, version_id: int) -> dict[str, str]:
    """Return node → fingerprint of its code in a version; empty if the version isn't stored."""
    content = compiled(tx, version_id)
    nodes = msgspec.msgpack.decode(content, type=_Codes).nodes if content else {}
    return {name: node.fingerprint for name, node in nodes.items()}


CodeOfVersion: TypeAlias = Callable[[int], dict[str, str]]
"""Version → node → fingerprint of its code."""


def fingerprints_once(tx: Transaction) -> CodeOfVersion:
    """Return a function like `fingerprints` that reads each version once in this transaction."""
    return cache(partial(fingerprints, tx))


# The history of one file: its versions and texts.


class FileVersion(NamedTuple):
    """A version with the hash of a file in it; None if the file wasn't in it."""

    version: int
    applied_at: int
    actor: str
    hash: str | None
    plan_id: str | None


def file_versions(tx: Transaction, path: str, limit: int) -> list[FileVersion]:
    """Return the newest versions with a file's hash, newest first."""
    rows = tx.execute(
        "select id, applied_at, actor, manifest, plan_id from version order by id desc limit ?",
        (limit,),
    )
    return [
        FileVersion(
            number,
            at,
            actor,
            msgspec.json.decode(manifest, type=dict[str, str]).get(path),
            plan_id,
        )
        for number, at, actor, manifest, plan_id in rows
    ]


def file_changes(tx: Transaction, path: str, limit: int) -> list[FileVersion]:
    """Return those of the newest versions in which a file was added or changed, newest first."""
    return [
        version
        for version, older in pairwise([*file_versions(tx, path, limit), None])
        if version is not None
        and version.hash is not None
        and (older is None or version.hash != older.hash)
    ]


def file_text(tx: Transaction, digest: str) -> str | None:
    """Return a stored content as text; None if it isn't stored or isn't text."""
    row = tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()
    try:
        return None if row is None else bytes(row[0]).decode()
    except UnicodeDecodeError:
        return None


# Applying a version: its files by content, and the partitions that a code change invalidates.
# Only the leader writes these.


def add_version(  # noqa: PLR0913 - one parameter for each column
    tx: Transaction,
    *,
    digest: str,
    manifest: str,
    compiled: bytes,
    classifies: bool,
    plan_id: str,
    steps: str,
    actor: str,
    now: int,
) -> int:
    """Insert an applied version with its plan, and return its id.

    `classifies`: whether it classifies a column.
    """
    ever = int(classifies or ever_classified(tx))
    return tx.insert(
        "insert into version (hash, manifest, compiled, ever_classified, plan_id, steps,"
        " applied_at, actor) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (digest, manifest, compiled, ever, plan_id, steps, now, actor),
    )


def keep_content(tx: Transaction, rows: Iterable[tuple[str, bytes]]) -> None:
    """Store files by content: (hash, bytes)."""
    tx.executemany(
        "insert into content (hash, bytes) values (?, ?) on conflict (hash) do nothing", rows
    )


def contents(tx: Transaction, manifest: dict[str, str]) -> dict[str, bytes]:
    """Return the bytes of a manifest's files by path."""
    return {
        path: tx.execute("select bytes from content where hash = ?", (digest,)).fetchone()[0]
        for path, digest in manifest.items()
    }


def published_versions(tx: Transaction, node: str, *, past: bool = False) -> list[int]:
    """Return the versions of a node's visible publications, oldest first.

    With `past`, also those of publications that others have replaced.
    """
    sql = "select distinct version from publication where node = :node order by version"
    if not past:
        # one step in the index for each version, however many partitions there are
        sql = (
            "with recursive step(version) as (select min(version) from publication where node ="
            " :node and ended_snapshot is null union all select (select min(p.version) from"
            " publication p where p.node = :node and p.ended_snapshot is null and p.version >"
            " step.version) from step where step.version is not null) select version from step"
            " where version is not null"
        )
    return [version for (version,) in tx.execute(sql, {"node": node})]


def published_keys(tx: Transaction, node: str, versions: Iterable[int]) -> list[str]:
    """Return the node's partitions whose visible publication is of one of these versions."""
    sql = (
        "select partition from publication where node = ? and ended_snapshot is null and version ="
        " ? order by partition"
    )
    return [key for version in versions for (key,) in tx.execute(sql, (node, version))]


def published_range(
    tx: Transaction, node: str, *, besides: Collection[str] = ()
) -> tuple[str, str, int] | None:
    """Return first and last (by text) and number of a node's published partitions, or None.

    Those in `besides` are excluded.
    """
    if besides:
        sql = "select partition from publication where node = ? and ended_snapshot is null"
        keys = {key for (key,) in tx.execute(sql, (node,))} - {*besides}
        return (min(keys), max(keys), len(keys)) if keys else None
    sql = (
        "select min(partition), max(partition), count(*) from publication where node = ? and"
        " ended_snapshot is null"
    )
    first, last, count = tx.execute(sql, (node,)).fetchone()
    return (first, last, count) if count else None


def withdrawn_keys(tx: Transaction, node: str) -> list[str]:
    """Return a node's withdrawn partitions that weren't published again."""
    sql = (
        "select distinct w.partition from withdrawal w where w.node = ? and not exists ("
        "select 1 from publication p where p.node = w.node and p.partition = w.partition "
        "and p.ended_snapshot is null) order by w.partition"
    )
    return [key for (key,) in tx.execute(sql, (node,))]


def has_partitions(tx: Transaction, node: str) -> bool:
    """Return whether a node has partitions, published or not."""
    return (
        tx.execute("select 1 from partition where node = ? limit 1", (node,)).fetchone() is not None
    )


def may_reshape(tx: Transaction, nodes: Iterable[str]) -> None:
    """Allow the next publication of these nodes to change their tables' columns."""
    tx.executemany(
        "insert into reshaping (node) values (?) on conflict (node) do nothing",
        [(n,) for n in nodes],
    )


def reshaping(tx: Transaction) -> set[str]:
    """Return the nodes whose code changed since their tables' columns were last set."""
    return {node for (node,) in tx.execute("select node from reshaping").fetchall()}


def reshaped(tx: Transaction, nodes: Iterable[str]) -> None:
    """Record that these nodes' tables have the columns of the applied code."""
    tx.executemany("delete from reshaping where node = ?", [(n,) for n in nodes])


def stale_node(tx: Transaction, node: str, now: int, *, ask: bool = False) -> int:
    """Invalidate all partitions of a node after a code change, and return their number.

    With `ask`, published partitions are only recomputed on request; unpublished ones are computed
    as usual.
    """
    states = "('published', 'failed', 'rejected', 'held', 'waiting')"
    cursor = tx.execute(
        f"select count(*) from partition where node = ? and state in {states}", (node,)
    ).fetchone()
    tx.execute(
        "update partition set state = case when :ask = 1 and publication_id is not null then"
        " 'published' else 'waiting' end, stale = case when publication_id is null then 0 else 1"
        " end, proposed = case when publication_id is null then 0 else :ask end, failures = 0,"
        " not_before = null, reason = null, since = :now, revision = :revision where node = :node"
        f" and state in {states}",
        {"node": node, "now": now, "revision": next_revision(tx), "ask": int(ask)},
    )
    return int(cursor[0])


def mark_fresh(tx: Transaction, node: str, keys: Iterable[str], now: int) -> None:
    """Mark published partitions as up to date with the applied code."""
    revision = next_revision(tx)
    tx.executemany(
        "update partition set state = 'published', stale = 0, proposed = 0, failures = 0,"
        " not_before = null, reason = null, since = ?, revision = ? where node = ? and partition ="
        " ? and publication_id is not null",
        [(now, revision, node, key) for key in keys],
    )


def try_unpublished(tx: Transaction, node: str, now: int) -> None:
    """Retry a node's unpublished partitions with its new code; published ones stay unchanged."""
    tx.execute(
        "update partition set state = 'waiting', failures = 0, not_before = null, reason = null,"
        " since = :now, revision = :revision where node = :node and publication_id is null and"
        " state in ('failed', 'rejected', 'held', 'waiting')",
        {"node": node, "now": now, "revision": next_revision(tx)},
    )


def delivered_keys(tx: Transaction, source: str) -> list[str]:
    """Return a source's partitions with a published, held, rejected or failed delivery."""
    states = "('published', 'held', 'rejected', 'failed')"
    sql = f"select partition from partition where node = ? and state in {states} order by partition"
    return [key for (key,) in tx.execute(sql, (source,)).fetchall()]


def withheld_keys(tx: Transaction, source: str) -> list[str]:
    """Return a node's partitions that failed, or of which all or some rows are in quarantine.

    Dropped data is excluded.
    """
    sql = (
        "select p.partition from partition p where p.node = :source and (p.state = 'failed' or"
        " (p.state in ('held', 'rejected', 'published') and exists (select 1 from quarantine q"
        " where q.node = p.node and q.partition = p.partition and (q.state = 'rejected' or"
        " (q.state = 'held' and p.state <> 'published'))))) order by p.partition"
    )
    return [key for (key,) in tx.execute(sql, {"source": source}).fetchall()]


def reingest_partitions(tx: Transaction, source: str, keys: Sequence[str], now: int) -> None:
    """Mark the newest deliveries of these partitions for re-ingestion, as their meaning changed."""
    revision = next_revision(tx)
    tx.executemany(
        "update partition set state = 'waiting', stale = case when publication_id is null then 0"
        " else 1 end, proposed = 0, failures = 0, not_before = null, reason = null, since = ?,"
        " revision = ? where node = ? and partition = ?",
        [(now, revision, source, key) for key in keys],
    )
    tx.executemany(
        "update delivery set state = 'waiting' where id = (select max(id) from delivery where"
        " source = ? and partition = ? and state <> 'recut')",
        [(source, key) for key in keys],
    )


def unpublish_node(tx: Transaction, node: str, snapshot: int, now: int) -> list[str]:
    """Unpublish a node, delete its partitions, and return those that were published.

    A source's deliveries are marked as of an earlier partitioning (`recut`).
    """
    keys = [
        k
        for (k,) in tx.execute(
            "select partition from publication where node = ? and ended_snapshot is null", (node,)
        ).fetchall()
    ]
    tx.execute(
        "update publication set ended_snapshot = ?, ended_at = ? where node = ? and ended_snapshot"
        " is null",
        (snapshot, now, node),
    )
    tx.execute("delete from partition where node = ?", (node,))
    drop_checkpoint(tx)
    tx.execute("update delivery set state = 'recut' where source = ?", (node,))
    return keys
