"""Replace files of a table by copies without some rows, in all snapshots.

The copies take the place of their originals in the snapshots that showed them, so that earlier
snapshots can still be read, and never show the erased rows again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.lake.catalog.admission import FileMoved, write_statistics
from headrace.lake.catalog.change import NewSnapshot
from headrace.lake.catalog.columns import read_columns
from headrace.lake.catalog.reading import table_row
from headrace.lake.catalog.schema import CatalogTransaction
from headrace.lake.erased_files import ErasableDeletes, ErasableFile, ErasedFile
from headrace.lake.tables import LakeTable, file_name, lost_with
from headrace.model.errors import LakeError


class Replaced(NamedTuple):
    """The new snapshot, and the paths of files that nothing names any more."""

    snapshot: int
    paths: tuple[str, ...]


def erasable_files(tx: CatalogTransaction, table_name: str) -> tuple[ErasableFile, ...]:
    """Return all files of a table, of any snapshot, whose rows are in a file.

    Raises LakeError for a file that Headrace can't rewrite.
    """
    row = table_row(tx, table_name, None)
    if row is None:
        return ()
    deletes: dict[int, list[ErasableDeletes]] = defaultdict(list)
    for number, of, path, relative, ended in tx.execute(
        "SELECT delete_file_id, data_file_id, path, path_is_relative, end_snapshot FROM"
        " ducklake_delete_file WHERE table_id = :table ORDER BY delete_file_id",
        {"table": row.id},
    ).fetchall():
        place = f"{row.folder}{path}" if relative else path
        deletes[of].append(ErasableDeletes(number, place, ended is None))
    results = []
    for number, path, relative, begins, ended, first, last, kind, key in tx.execute(
        "SELECT data_file_id, path, path_is_relative, begin_snapshot, end_snapshot, row_id_start,"
        " partial_max, file_format, encryption_key FROM ducklake_data_file WHERE table_id = :table"
        " ORDER BY data_file_id",
        {"table": row.id},
    ).fetchall():
        if lost_with(path.rpartition("/")[2]) is not None:
            continue
        if kind != "parquet" or key is not None or not relative:
            raise LakeError(
                f"the file {path} of table `{table_name}` was registered by another writer, and"
                " can't be rewritten",
                hint="delete the rows there with DuckLake",
            )
        results.append(
            ErasableFile(
                id=number,
                path=f"{row.folder}{path}",
                begins=begins,
                ends=ended,
                first_row=None if last is not None else first,
                columns=read_columns(tx, row.id, max(begins, last or begins)),
                deletes=tuple(deletes.get(number, ())),
            )
        )
    return tuple(results)


def files_before(tx: CatalogTransaction, table_name: str, key: str) -> tuple[ErasableFile, ...]:
    """Return the files of any snapshot that may have rows of partitions before a key.

    Raises LakeError as `erasable_files` does.
    """
    row = table_row(tx, table_name, None)
    if row is None:
        return ()
    rows_before = tx.execute(
        "SELECT data_file_id FROM ducklake_file_column_stats WHERE table_id = :table AND column_id"
        " = 1 AND (min_value IS NULL OR min_value < :key)",
        {"table": row.id, "key": key},
    ).fetchall()
    numbers = {number for (number,) in rows_before}
    if not numbers:
        return ()
    return tuple(file for file in erasable_files(tx, table_name) if file.id in numbers)


_FILE = (
    "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, end_snapshot, path,"
    " path_is_relative, file_format, record_count, file_size_bytes, footer_size, partial_max)"
    " SELECT :file, table_id, begin_snapshot, end_snapshot, :path, path_is_relative, file_format,"
    " :rows, :bytes, :footer, coalesce(partial_max, begin_snapshot) FROM ducklake_data_file WHERE"
    " data_file_id = :was"
)
_DELETES = (
    "INSERT INTO ducklake_delete_file(delete_file_id, table_id, begin_snapshot, end_snapshot,"
    " data_file_id, path, path_is_relative, format, delete_count, file_size_bytes, footer_size,"
    " partial_max) SELECT :id, table_id, begin_snapshot, end_snapshot, :file, :path,"
    " path_is_relative, format, :rows, :bytes, :footer, partial_max FROM ducklake_delete_file WHERE"
    " delete_file_id = :was"
)
_FORGET = (
    "DELETE FROM ducklake_data_file WHERE data_file_id = :file",
    "DELETE FROM ducklake_file_column_stats WHERE data_file_id = :file",
    "DELETE FROM ducklake_delete_file WHERE data_file_id = :file",
)
_BOUNDS = (
    "UPDATE ducklake_table_column_stats SET min_value = NULL, max_value = NULL WHERE table_id ="
    " :table AND column_id <> 1"
)
"""The bounds of all rows that the table ever had may be values of the erased ones."""


def replace_files(
    tx: CatalogTransaction, at_us: int, table: LakeTable, files: Sequence[ErasedFile], seen: int
) -> Replaced:
    """Put the copies into the place of their originals, in all snapshots.

    The transaction must hold the write lock. `seen` is the newest file's id when the files were
    listed. Raises FileMoved if the table's files have changed since, so that the search must be
    repeated; roll the transaction back then.
    """
    new = NewSnapshot.begin(tx, at_us)
    row = table_row(tx, table.name, None)
    if row is None or newest_file(tx, table.name) != seen:
        raise FileMoved(f"files of table `{table.name}` have changed since they were searched")
    present = {file.id: file for file in erasable_files(tx, table.name)}
    if not {file.id for file in files} <= present.keys():
        raise FileMoved(f"files of table `{table.name}` have changed since they were searched")
    next_file, paths = new.next_file, []
    for file in files:
        was = present[file.id]
        paths += [was.path, *(item.path for item in was.deletes)]
        if file.staged is not None:
            next_file = _replace(tx, row.id, row.folder, was, file, next_file)
        for sql in _FORGET:
            tx.execute(sql, {"file": file.id})
    _count_again(tx, row.id)
    message = f"erase rows of {table.name}"[:500]
    NewSnapshot(new.id, new.time, new.schema_version, new.next_catalog, next_file).write(
        tx, [f"merge_adjacent:{row.id}"], "headrace", message
    )
    return Replaced(new.id, tuple(paths))


def newest_file(tx: CatalogTransaction, table_name: str) -> int:
    """Return the greatest id of a table's data and delete files; 0 without any."""
    row = table_row(tx, table_name, None)
    if row is None:
        return 0
    (result,) = tx.execute(
        "SELECT max(id) FROM (SELECT max(data_file_id) AS id FROM ducklake_data_file WHERE table_id"
        " = :table UNION ALL SELECT max(delete_file_id) AS id FROM ducklake_delete_file WHERE"
        " table_id = :table) AS files",
        {"table": row.id},
    ).fetchone()
    return int(result or 0)


def _replace(
    tx: CatalogTransaction,
    table_id: int,
    folder: str,
    was: ErasableFile,
    file: ErasedFile,
    next_file: int,
) -> int:
    staged = file.staged
    assert staged is not None
    if {item.id for item in file.deletes} != {item.id for item in was.deletes}:
        raise FileMoved(f"deletions of the file {was.path} have changed since it was searched")
    tx.execute(
        _FILE,
        {
            "file": next_file,
            "was": was.id,
            "path": file_name(staged.path, folder),
            "rows": staged.rows,
            "bytes": staged.size_bytes,
            "footer": staged.footer_bytes,
        },
    )
    written = LakeTable("", staged.columns, 0, folder)
    write_statistics(tx, next_file, table_id, written, staged)
    for number, item in enumerate(file.deletes, next_file + 1):
        if item.rows:
            values: dict[str, Any] = {
                "id": number,
                "was": item.id,
                "file": next_file,
                "path": file_name(item.path, folder),
                "rows": item.rows,
                "bytes": item.size_bytes,
                "footer": item.footer_bytes,
            }
            tx.execute(_DELETES, values)
    return next_file + 1 + len(file.deletes)


def _count_again(tx: CatalogTransaction, table_id: int) -> None:
    """Set the table's totals from its current files, and forget the bounds of its columns."""
    tx.execute(
        "UPDATE ducklake_table_stats SET record_count = (SELECT coalesce(sum(record_count), 0) FROM"
        " ducklake_data_file WHERE table_id = :table AND end_snapshot IS NULL), file_size_bytes ="
        " (SELECT coalesce(sum(file_size_bytes), 0) FROM ducklake_data_file WHERE table_id = :table"
        " AND end_snapshot IS NULL) WHERE table_id = :table",
        {"table": table_id},
    )
    tx.execute(_BOUNDS, {"table": table_id})
