"""All that the catalog names, for who checks it against what is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from headrace.lake.catalog.reading import View, table_row
from headrace.lake.catalog.times import microseconds
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.model.errors import LakeError


class Registered(NamedTuple):
    """A data file, of whatever snapshot. `path` is relative to the data folder; `key` is its partition where it holds one."""

    table: str
    path: str
    size_bytes: int
    footer_bytes: int
    rows: int
    ended: bool
    key: str | None


def registered(tx: CatalogTransaction) -> list[Registered]:
    """All data files of our own schema, by table and path."""
    rows = tx.execute(
        "SELECT t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes, f.footer_size, "
        "f.record_count, f.end_snapshot, c.min_value, c.max_value FROM ducklake_data_file f "
        "JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id "
        "LEFT JOIN ducklake_file_column_stats c ON c.data_file_id = f.data_file_id AND c.table_id = f.table_id AND c.column_id = 1 "
        "WHERE t.end_snapshot IS NULL ORDER BY 1, 5"
    ).fetchall()
    results = []
    for name, schema, folder, in_schema, path, in_folder, size, footer, count, ended, least, most in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        results.append(Registered(name, whole, size, footer or 0, count, ended is not None, least if least == most else None))
    return results


def held_keys(tx: CatalogTransaction, name: str) -> frozenset[str] | None:
    """The partitions of which a table has files now; None where that can't be told by the catalog alone. Empty without the table."""
    row = table_row(tx, name, None)
    if row is None:
        return frozenset()
    try:
        files = View(tx, row, None).all()
    except LakeError:
        return None
    if any(file.keys is None for file in files):
        return None
    return frozenset(key for file in files for key in file.keys or ())


def ended_files(tx: CatalogTransaction) -> list[tuple[str, int]]:
    """Data files that readers of the newest snapshot don't see: the path, and the first snapshot that doesn't name it."""
    rows = tx.execute(
        "SELECT s.path, t.path, f.path, f.end_snapshot FROM ducklake_data_file f "
        "JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id "
        "WHERE f.end_snapshot IS NOT NULL"
    ).fetchall()
    return [(f"{schema}{folder}{path}", int(end)) for schema, folder, path, end in rows]


def snapshot_time_of(tx: CatalogTransaction, snapshot: int) -> datetime:
    """When a snapshot was made; that of the next one where it has expired."""
    row = tx.execute(
        "SELECT snapshot_time FROM ducklake_snapshot WHERE snapshot_id >= :id ORDER BY snapshot_id LIMIT 1", {"id": snapshot}
    ).fetchone()
    return datetime.fromtimestamp(microseconds(row[0]) / 1e6, UTC)
