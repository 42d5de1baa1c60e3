"""What `db check` asks of the state."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.store.database import Transaction
from headrace.store.transaction import Dialect

DAMAGE_SHOWN_MAX = 20


def damage(tx: Transaction) -> Iterator[str]:
    """What the database itself finds wrong. PostgreSQL checks its pages when they are read: every table is."""
    if tx.dialect is Dialect.SQLITE:
        for (said,) in tx.execute(f"pragma integrity_check({DAMAGE_SHOWN_MAX})").fetchall():
            if said != "ok":
                yield str(said)
        for table, rowid, parent, _ in tx.execute("pragma foreign_key_check").fetchall()[:DAMAGE_SHOWN_MAX]:
            yield f"row {rowid} of {table} refers to nothing in {parent}"
        return
    rows = tx.execute(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables where schemaname = any(current_schemas(false))"
    ).fetchall()
    for (table,) in rows:
        tx.execute(f"select count(*) from (select t.*, row_number() over () from {table} t) as everything").fetchone()


def page_checksums(tx: Transaction) -> bool | None:
    """Whether PostgreSQL finds damaged pages by their checksums; None for SQLite, which has none."""
    if tx.dialect is Dialect.SQLITE:
        return None
    return bool(tx.execute("show data_checksums").fetchone()[0] == "on")


def published(tx: Transaction) -> dict[str, list[tuple[str, int, int]]]:
    """Node → (partition, rows, snapshot) of what readers see in the lake: publications of files and exports have a manifest."""
    rows = tx.execute(
        "select node, partition, rows, snapshot from publication where ended_snapshot is null and manifest is null order by node, partition"
    ).fetchall()
    results: dict[str, list[tuple[str, int, int]]] = {}
    for node, partition, count, snapshot in rows:
        results.setdefault(node, []).append((partition, count, snapshot))
    return results


def partitions_of(tx: Transaction, node: str, key: str | None) -> str | None:
    """The partition that readers see under this key of a node, or None."""
    row = tx.execute(
        "select partition from publication where node = ? and partition = ? and ended_snapshot is null", (node, key or "")
    ).fetchone()
    return None if row is None else str(row[0])
