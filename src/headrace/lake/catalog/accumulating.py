"""Tables whose rows aren't of one partition (merge, snapshot): what a merge starts from, and what it leaves in the catalog.

Rows that are replaced stay in their files and are named by positional delete files, as DuckLake's own MERGE does it. A
data file has one delete file at a time, which holds all of its deletions; the one before it is ended.
"""

from __future__ import annotations

from typing import Any

from headrace.lake.catalog.reading import FileRow, TableRow, View, snapshot_exists, table_row
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.folders import file_name
from headrace.lake.tables import ColumnLookup, FileRef, Replacement, StagedDeletes, StateFile
from headrace.model.errors import LakeError

_NEW_DELETES = (
    "INSERT INTO ducklake_delete_file(delete_file_id, table_id, begin_snapshot, data_file_id, path, path_is_relative, format, "
    "delete_count, file_size_bytes, footer_size) "
    "VALUES (:id, :table, :snapshot, :file, :path, :relative, 'parquet', :rows, :bytes, :footer)"
)
_END_DELETES = (
    "UPDATE ducklake_delete_file SET end_snapshot = :snapshot WHERE table_id = :table AND data_file_id = :file AND end_snapshot IS NULL"
)


def state(tx: CatalogTransaction, name: str, snapshot: int | None) -> list[StateFile]:
    """The table's files as of a snapshot (None: now; 0: before its first publication, so none), for a merge to start from.

    Raises `LakeError` for a snapshot that has expired, and as `files`."""
    row = table_row(tx, name, None)
    if row is None or snapshot == 0:
        return []
    if snapshot is not None and not snapshot_exists(tx, snapshot):
        raise LakeError(f"the lake's snapshot {snapshot} isn't kept any more")
    now = {file.ref.path: file for file in View(tx, row, None).all()}
    then = list(now.values()) if snapshot is None else View(tx, row, snapshot).all()
    deleted = _deleted(tx, row, snapshot)
    return [StateFile(_kept_lookup(file, now), file.rows, deleted.get(file.id, 0), _stays(file, now)) for file in then]


def seen(tx: CatalogTransaction, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The current files with their delete files, for `Replacement.seen`."""
    row = table_row(tx, name, None)
    return () if row is None else names_of(View(tx, row, None).all())


def names_of(files: list[FileRow]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Data files and their delete files, by path."""
    return tuple(sorted((file.ref.path, tuple(sorted(delete.path for delete in file.ref.deletes))) for file in files))


def _stays(file: FileRow, now: dict[str, FileRow]) -> bool:
    """Part of a file that DuckLake has merged from several snapshots can't stay as that part, nor can part of its deletions."""
    partial = file.ref.snapshot_max is not None or any(delete.snapshot_max is not None for delete in file.ref.deletes)
    return file.ref.path in now and not partial


def _kept_lookup(file: FileRow, now: dict[str, FileRow]) -> FileRef:
    """How the columns of now are found in it: the table may have changed since the snapshot."""
    ref, current = file.ref, now.get(file.ref.path)
    lookup = current.ref.lookup if current is not None else _safest(ref)
    return FileRef(ref.path, ref.partitions, ref.deletes, ref.snapshot_max, lookup)


def _safest(ref: FileRef) -> ColumnLookup:
    return ColumnLookup.NAME if ref.lookup is ColumnLookup.NAME else ColumnLookup.ID


def _deleted(tx: CatalogTransaction, row: TableRow, snapshot: int | None) -> dict[int, int]:
    """Rows that don't count, by data file."""
    visible = (
        "end_snapshot IS NULL" if snapshot is None else "begin_snapshot <= :snapshot AND (end_snapshot IS NULL OR end_snapshot > :snapshot)"
    )
    rows = tx.execute(
        f"SELECT data_file_id, sum(delete_count) FROM ducklake_delete_file WHERE table_id = :table AND {visible} GROUP BY data_file_id",
        {"table": row.id, "snapshot": snapshot},
    ).fetchall()
    return {file_id: int(count) for file_id, count in rows}


class Deletions:
    """The deletions that one change writes for one table. `restored` are data files that lose theirs."""

    def __init__(self, table: TableRow, restored: set[int]) -> None:
        self._table, self._ended = table, set(restored)
        self._new: list[dict[str, Any]] = []

    def add(self, file_id: int, delete_id: int, staged: StagedDeletes) -> None:
        """All rows of a data file that don't count, in place of what was. Raises `LakeError` for a file that lies elsewhere."""
        self._ended.add(file_id)
        self._new.append(
            {
                "id": delete_id,
                "table": self._table.id,
                "file": file_id,
                "path": file_name(staged.path, self._table.folder),
                "relative": True,
                "rows": staged.rows,
                "bytes": staged.size_bytes,
                "footer": staged.footer_bytes,
            }
        )

    def write(self, tx: CatalogTransaction, snapshot: int) -> None:
        """End what was, and insert what is."""
        tx.executemany(_END_DELETES, [{"snapshot": snapshot, "table": self._table.id, "file": file_id} for file_id in sorted(self._ended)])
        tx.executemany(_NEW_DELETES, [{"snapshot": snapshot, **row} for row in self._new])


def check_replacement(current: dict[str, FileRow], replacement: Replacement) -> None:
    """What is ended or loses rows is a current file. Raises `LakeError`."""
    named = {*replacement.ended, *replacement.restored, *(delete.of for delete in replacement.deletes)}
    unknown = named - current.keys()
    if unknown:
        raise LakeError(f"a merge speaks of files that aren't current: {', '.join(sorted(unknown)[:3])}")
    for delete in replacement.deletes:
        if delete.of in replacement.ended or not 0 < delete.rows <= current[delete.of].rows:
            raise LakeError(f"the deletions {delete.path} don't fit their file {delete.of}")
