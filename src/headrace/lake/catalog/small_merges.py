"""Merge small files of a table into one: which files, and the change of the catalog.

The merged file takes the history of its sources over, as in DuckLake's own merge: each row carries
the snapshot since which it is visible, so that older snapshots are read from the merged file too,
and the sources leave the catalog at once. They stay on disk until maintenance cleans up, because
attempts and readers may have them open. Unlike DuckLake's merge it is one short transaction of the
store, which its event log records, and the catalog knows the partitions of the merged file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from headrace.lake.catalog.admission import FileMoved, check_staged, write_statistics
from headrace.lake.catalog.change import NewSnapshot
from headrace.lake.catalog.reading import FOREIGN_FILES, TableRow, decoded_keys, table_of, table_row
from headrace.lake.catalog.schema import CatalogTransaction
from headrace.lake.sqltext import ROW_ID, SNAPSHOT
from headrace.lake.tables import LOST, LakeTable, StagedFile, file_name
from headrace.model.errors import LakeError
from headrace.model.partitions import WHOLE

MERGED_AT_LEAST = 8
"""Least number of files per slice: so many files of one size class make one of a higher class."""
MERGED_AT_MOST = 128
"""Maximum number of files per slice: limits its duration and the leader's wait."""
SLICE_BYTES_MAX = 64 * 2**20
"""64 MiB: the maximum that a slice reads."""
SMALL_BYTES_MAX = SLICE_BYTES_MAX // MERGED_AT_LEAST
"""8 MiB: larger files aren't merged here, so that any `MERGED_AT_LEAST` small ones fit a slice."""
SLICE_KEYS_MAX = 32_768
"""Maximum number of partitions per merged file: the catalog lists them."""
SMALL_KEYS_MAX = SLICE_KEYS_MAX // MERGED_AT_LEAST
_CLASS_BITS = MERGED_AT_LEAST.bit_length() - 1
_RESERVED = {"file_row_number", ROW_ID.name, SNAPSHOT.name}
"""Names that a table's columns can't have if its files are to be merged."""


class MergeSource(msgspec.Struct, frozen=True):
    """A current file that may be merged. `path` is relative to the data folder.

    Its rows are visible since the snapshots `begins` to `last`. They are numbered from `first_row`;
    None if the file is a merged one, which carries the numbers and snapshots of its rows.
    """

    id: int
    path: str
    rows: int
    size_bytes: int
    begins: int
    last: int
    first_row: int | None
    keys: int
    """Number of its partitions."""
    footer_bytes: int
    """Length of its Parquet footer; 0 if unknown."""

    @property
    def size_class(self) -> int:
        """The number of rows as a power of `MERGED_AT_LEAST`, rounded down.

        A file merged from that many files of one class is in a higher one, so a row is rewritten
        at most once per class.
        """
        return (self.rows.bit_length() - 1) // _CLASS_BITS


def tables_above(tx: CatalogTransaction, files: int) -> list[str]:
    """Return the names of the tables with more current files than that."""
    rows = tx.execute(
        "SELECT t.table_name FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id ="
        " t.schema_id JOIN ducklake_data_file f ON f.table_id = t.table_id AND f.end_snapshot IS"
        " NULL WHERE s.schema_name = 'main' AND s.end_snapshot IS NULL AND t.end_snapshot IS NULL"
        " GROUP BY t.table_id, t.table_name HAVING count(*) > :files ORDER BY t.table_name",
        {"files": files},
    ).fetchall()
    return [row[0] for row in rows]


def next_file_id(tx: CatalogTransaction) -> int:
    """Return the id of the next new file: it grows by one with each."""
    result: int = tx.execute(
        "SELECT next_file_id FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1"
    ).fetchone()[0]
    return result


def next_slice(
    tx: CatalogTransaction, table: LakeTable, files_wanted: int
) -> tuple[MergeSource, ...]:
    """Return the files to merge next, so that the table comes nearer to this number of files.

    Empty if it has no more files, or too few small ones alike.
    """
    row = table_row(tx, table.name, None)
    if row is None or any(column.name.lower() in _RESERVED for column in table.columns):
        return ()
    surplus = _file_count(tx, row) - files_wanted
    if surplus <= 0:
        return ()
    return chosen(_mergeable(tx, row), surplus)


def chosen(sources: Sequence[MergeSource], surplus: int) -> tuple[MergeSource, ...]:
    """Choose the files of a slice: the oldest of the size class with the most small files.

    At most as many as it takes to have `surplus` files fewer, but at least `MERGED_AT_LEAST`.
    """
    classes: dict[int, list[MergeSource]] = defaultdict(list)
    for source in sources:
        if source.size_bytes < SMALL_BYTES_MAX and source.keys < SMALL_KEYS_MAX and source.rows:
            classes[source.size_class].append(source)
    alike = max(classes.values(), key=len, default=[])
    if len(alike) < MERGED_AT_LEAST:
        return ()
    files_max = max(MERGED_AT_LEAST, min(MERGED_AT_MOST, surplus + 1))
    results: list[MergeSource] = []
    size_bytes = keys = 0
    for source in sorted(alike, key=lambda source: source.id)[:files_max]:
        size_bytes += source.size_bytes
        keys += source.keys
        if size_bytes > SLICE_BYTES_MAX or keys > SLICE_KEYS_MAX:
            break
        results.append(source)
    return tuple(results)


_MERGEABLE = (
    "SELECT f.data_file_id, f.path, f.record_count, f.file_size_bytes, f.begin_snapshot,"
    " f.partial_max, f.row_id_start, s.min_value, s.max_value, s.extra_stats, f.path_is_relative,"
    " f.footer_size"
    " FROM ducklake_data_file f JOIN ducklake_file_column_stats s ON s.data_file_id ="
    " f.data_file_id AND s.column_id = 1 AND s.table_id = f.table_id WHERE f.table_id = :table AND"
    " f.end_snapshot IS NULL AND f.begin_snapshot >= (SELECT max(CASE WHEN end_snapshot IS NULL"
    " THEN begin_snapshot ELSE end_snapshot END) FROM ducklake_column WHERE table_id = :table) AND"
    " f.mapping_id IS NULL AND f.encryption_key IS NULL AND f.partition_id IS NULL AND"
    " f.file_format = 'parquet' AND NOT EXISTS (SELECT 1 FROM ducklake_delete_file d WHERE"
    " d.table_id = :table AND d.data_file_id = f.data_file_id) ORDER BY f.data_file_id"
)
"""Query for the current files with exactly the table's columns, none of whose rows was ever
deleted by position."""


def _mergeable(tx: CatalogTransaction, row: TableRow) -> list[MergeSource]:
    """Return the current files that Headrace wrote and whose partitions are known.

    Files of a table that is merged by key are left out: it bounds their number itself.
    """
    results = []
    for item in tx.execute(_MERGEABLE, {"table": row.id}).fetchall():
        number, path, rows, size, begins, last, first_row, *stated, relative, footer = item
        least, most, extra = stated
        foreign = not relative or path.startswith((FOREIGN_FILES, LOST))
        keys = decoded_keys(extra, least, most)
        if foreign or keys is None or WHOLE in keys or (first_row is None) != (last is not None):
            continue
        results.append(
            MergeSource(
                id=number,
                path=f"{row.folder}{path}",
                rows=rows,
                size_bytes=size,
                begins=begins,
                last=begins if last is None else last,
                first_row=first_row,
                keys=len(keys),
                footer_bytes=footer or 0,
            )
        )
    return results


def _file_count(tx: CatalogTransaction, row: TableRow) -> int:
    sql = "SELECT count(*) FROM ducklake_data_file WHERE table_id = :table AND end_snapshot IS NULL"
    return int(tx.execute(sql, {"table": row.id}).fetchone()[0])


_FILE = (
    "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, path, path_is_relative,"
    " file_format, record_count, file_size_bytes, footer_size, partial_max) VALUES (:file, :table,"
    " :begins, :path, :relative, 'parquet', :rows, :bytes, :footer, :last)"
)
_FORGET = (
    "DELETE FROM ducklake_data_file WHERE data_file_id = :file",
    "DELETE FROM ducklake_file_column_stats WHERE data_file_id = :file",
)
_SCHEDULE = (
    "INSERT INTO ducklake_files_scheduled_for_deletion(data_file_id, path, path_is_relative,"
    " schedule_start) VALUES (:file, :path, :relative, :time)"
)


def replace_by_merged(
    tx: CatalogTransaction,
    at_us: int,
    table_name: str,
    sources: Sequence[MergeSource],
    merged: StagedFile,
) -> int:
    """Put the merged file into the place of its sources, in all snapshots; return the new snapshot.

    The transaction must hold the write lock. Raises FileMoved if a source isn't current any more,
    TableMoved if the table has other columns, and LakeError for a merged file with another number
    of rows than its sources; roll the transaction back then.
    """
    new = NewSnapshot.begin(tx, at_us)
    row = table_row(tx, table_name, None)
    current = () if row is None else _mergeable(tx, row)
    if row is None or not set(sources).issubset(current):
        raise FileMoved(f"files of table `{table_name}` that were merged aren't current any more")
    table = table_of(tx, row, new.id - 1)
    check_staged(table, merged)
    _check_rows(sources, merged)
    tx.execute(
        _FILE,
        {
            "file": new.next_file,
            "table": row.id,
            "begins": min(source.begins for source in sources),
            "path": file_name(merged.path, row.folder),
            "relative": True,
            "rows": merged.rows,
            "bytes": merged.size_bytes,
            "footer": merged.footer_bytes,
            "last": max(source.last for source in sources),
        },
    )
    write_statistics(tx, new.next_file, row.id, table, merged)
    ended = [{"file": source.id} for source in sources]
    for sql in _FORGET:
        tx.executemany(sql, ended)
    tx.executemany(
        _SCHEDULE,
        [
            {"file": source.id, "path": source.path, "relative": True, "time": new.time}
            for source in sources
        ],
    )
    new = msgspec.structs.replace(new, next_file=new.next_file + 1)
    message = f"merge {len(sources)} small files of {table_name}"[:500]
    new.write(tx, [f"merge_adjacent:{row.id}"], "headrace", message)
    return new.id


def _check_rows(sources: Sequence[MergeSource], merged: StagedFile) -> None:
    rows = sum(source.rows for source in sources)
    if merged.rows != rows:
        raise LakeError(
            f"files of {sources[0].path.rpartition('/')[0]} aren't as published: {len(sources)} of"
            f" them have {merged.rows:,} rows and not {rows:,}"
        )
