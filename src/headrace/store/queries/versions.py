"""What was applied: declarations, SQL and Python modules, kept by content."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction


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
