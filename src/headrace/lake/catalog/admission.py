"""Checks before a change enters the catalog, and the rows that it writes.

DuckLake checks nothing about files that it didn't write itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.lake.catalog.columns import TableStatistics, ids_of, leaves_of
from headrace.lake.catalog.reading import (
    FileRow,
    TableRow,
    View,
    keys_text,
    lost_text,
    snapshot_exists,
    table_row,
)
from headrace.lake.catalog.schema import CatalogTransaction, sayable
from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnStatistics,
    FileRef,
    LakeColumn,
    LakeTable,
    Replacement,
    StagedDeletes,
    StagedFile,
    StateFile,
    as_other_columns,
    file_name,
    lost_with,
)
from headrace.lake.types import parse, storable
from headrace.model.errors import LakeError

# Reasons to refuse a change of the lake. A refusal leaves the change as it was; its other
# publications go on.


class TableMoved(LakeError):
    """The table's columns changed since the work was computed, which must run again."""


class FileMoved(LakeError):
    """A file to be replaced isn't current any more; only its rewrite must run again."""


class NeedsRewrite(LakeError):
    """Partitions to be replaced share files with others.

    `files` must first be rewritten without them (`staging.stage_rewrite`).
    """

    def __init__(self, table_name: str, files: Sequence[FileRef]) -> None:
        super().__init__(
            f"{len(files)} files of table `{table_name}` hold other partitions too and must be"
            " rewritten first"
        )
        self.files = tuple(files)


# Conditions for columns and files that enter the catalog.


def check_columns(table: LakeTable) -> None:
    """Check the table's columns; raise LakeError if they break a rule.

    `_partition` is first, with id 1; there is at least one more column; names differ by more than
    case; ids ascend; the lake can store all types.
    """
    columns = table.columns
    if len(columns) < 2 or columns[0] != LakeColumn(PARTITION_COLUMN, "VARCHAR", 1):
        raise LakeError(
            f"table `{table.name}` must begin with `{PARTITION_COLUMN}` VARCHAR, id 1, and have"
            " columns of its own"
        )
    names = [column.name.lower() for column in columns]
    if len(set(names)) < len(names) or "" in names:
        raise LakeError(
            f"table `{table.name}` has column names that are empty or differ only in case"
        )
    ids = [column_id for column in columns for column_id in ids_of(column)]
    if len(set(ids)) < len(ids) or [column.id for column in columns] != sorted(
        column.id for column in columns
    ):
        raise LakeError(
            f"the column ids of table `{table.name}` don't ascend, or one is used twice"
        )
    for column in columns:
        if storable(parse(column.type), column.name) != parse(column.type):
            raise LakeError(
                f"column `{column.name}` of table `{table.name}` is {column.type}, which the lake"
                " can't hold"
            )


def next_id(columns: Iterable[LakeColumn]) -> int:
    """Return the first id after all that the columns and their fields use."""
    return max(max(ids_of(column)) for column in columns) + 1


def difference(  # complexipy: ignore (a case per kind of change of a column)
    now: LakeTable, table: LakeTable
) -> tuple[list[LakeColumn], list[LakeColumn]]:
    """Return the columns that end and those that are added, to turn `now` into `table`.

    A column with another type, or whose name changes its case, is in both with its id. Raises
    TableMoved if `now` isn't what `table` was derived from.
    """
    if (table.next_id and table.next_id != now.next_id) or (
        table.changed_from and table.changed_from != now.columns
    ):
        raise TableMoved(f"table `{now.name}` has got other columns meanwhile")
    known = {column.id: column for column in now.columns}
    remaining_ids = {column.id for column in table.columns}
    ended = [column for column in now.columns if column.id not in remaining_ids]
    new = []
    for column in table.columns:
        old = known.get(column.id)
        if old is None:
            if column.id < now.next_id:
                raise TableMoved(
                    f"column id {column.id} of table `{now.name}` has been used already"
                )
            new.append(column)
        elif old != column:
            if old.name.lower() != column.name.lower():
                raise TableMoved(f"column id {column.id} of table `{now.name}` is `{old.name}` now")
            ended.append(old)
            new.append(column)
    return ended, new


def check_staged(table: LakeTable, staged: StagedFile) -> None:
    """Check that the file fits the table's columns and that its statistics and counts are complete.

    DuckLake enforces neither NOT NULL nor row counts.
    """
    if staged.columns and staged.columns != table.columns:
        raise TableMoved(
            f"table `{table.name}` has other columns now than when {staged.path} was written"
        )
    if (
        staged.rows != sum(part.rows for part in staged.partitions)
        or staged.rows < 0
        or any(part.rows < 0 for part in staged.partitions)
    ):
        raise LakeError(
            f"the rows of the partitions in {staged.path} don't add up to its {staged.rows} rows"
        )
    if len({part.key for part in staged.partitions}) < len(staged.partitions):
        raise LakeError(f"{staged.path} names a partition twice")
    _check_statistics(table, staged)


def _is_measured(column: LakeColumn, staged: StagedFile) -> bool:
    if parse(column.type).fields:
        return all(leaf in staged.nested for leaf, _, _ in leaves_of(column))
    statistics = staged.statistics.get(column.name)
    return statistics is not None and statistics.values + statistics.nulls == staged.rows


def _check_statistics(table: LakeTable, staged: StagedFile) -> None:
    for column in table.columns:
        if not _is_measured(column, staged):
            raise LakeError(
                f"the statistics of {staged.path} lack or miscount column `{column.name}`"
            )
    if staged.statistics[PARTITION_COLUMN].nulls:
        raise LakeError(f"{staged.path} has rows without a partition")


def check_keys(table: LakeTable, keys: frozenset[str], staged: Sequence[StagedFile]) -> None:
    """Check that staged rows belong only to the partitions to be published."""
    others = {part.key for file in staged for part in file.partitions} - keys
    if others:
        raise LakeError(
            f"staged files of `{table.name}` have rows of {len(others)} partitions that aren't to"
            f" be published, such as {min(others)!r}"
        )


# Rows that make files part of a table: the file itself, its columns' statistics, the table's
# statistics.

_FILE = (
    "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, path, path_is_relative,"
    " file_format, record_count, file_size_bytes, footer_size, row_id_start) VALUES (:file, :table,"
    " :snapshot, :path, :relative, 'parquet', :rows, :bytes, :footer, :first)"
)
_STATISTICS = (
    "INSERT INTO ducklake_file_column_stats(data_file_id, table_id, column_id, column_size_bytes,"
    " value_count, null_count, min_value, max_value, contains_nan, extra_stats) VALUES (:file,"
    " :table, :column, :bytes, :values, :nulls, :min, :max, :nan, :extra)"
)


def write_files(
    tx: CatalogTransaction,
    snapshot: int,
    table_id: int,
    table: LakeTable,
    files: Mapping[str, tuple[int, StagedFile]],
) -> None:
    """Register staged files in a few batches.

    `files` maps a name in the table's folder to id and file.
    """
    totals = TableStatistics(tx, table_id)
    leaves = _leaves(table)
    file_rows: list[dict[str, Any]] = []
    column_rows: list[dict[str, Any]] = []
    for name, (file_id, staged) in files.items():
        results = _results(tx, leaves, staged)
        first = totals.add(staged.rows, staged.size_bytes, results)
        file_rows.append(
            {
                "file": file_id,
                "table": table_id,
                "snapshot": snapshot,
                "path": name,
                "relative": True,
                "rows": staged.rows,
                "bytes": staged.size_bytes,
                "footer": staged.footer_bytes,
                "first": first,
            }
        )
        column_rows.extend(
            _statistics(file_id, table_id, results, _extra(staged, results[0][2].minimum))
        )
    tx.executemany(_FILE, file_rows)
    tx.executemany(_STATISTICS, column_rows)
    totals.write(tx)


Leaf = tuple[int, str, bool, str]
"""A column without fields, or a field: id, name of the column, whether it has no fields, type."""


def _leaves(table: LakeTable) -> list[Leaf]:
    return [
        (leaf, path[0], len(path) == 1, leaf_type.name)
        for column in table.columns
        for leaf, path, leaf_type in leaves_of(column)
    ]


def _results(
    tx: CatalogTransaction, leaves: Sequence[Leaf], staged: StagedFile
) -> list[tuple[int, str, ColumnStatistics]]:
    return [
        (leaf, kind, _sayable(tx, staged.statistics[column] if plain else staged.nested[leaf]))
        for leaf, column, plain, kind in leaves
    ]


def write_statistics(
    tx: CatalogTransaction, file_id: int, table_id: int, table: LakeTable, staged: StagedFile
) -> None:
    """Insert the columns' statistics of a file whose rows the table's statistics count already."""
    results = _results(tx, _leaves(table), staged)
    extra = _extra(staged, results[0][2].minimum)
    tx.executemany(_STATISTICS, list(_statistics(file_id, table_id, results, extra)))


def _statistics(
    file_id: int, table_id: int, results: list[tuple[int, str, ColumnStatistics]], extra: str | None
) -> Iterator[dict[str, Any]]:
    for column_id, _, of in results:
        yield {
            "file": file_id,
            "table": table_id,
            "column": column_id,
            "bytes": of.size_bytes,
            "values": of.values,
            "nulls": of.nulls,
            "min": of.minimum,
            "max": of.maximum,
            "nan": of.contains_nan,
            "extra": extra if column_id == 1 else None,
        }


def _sayable(tx: CatalogTransaction, of: ColumnStatistics) -> ColumnStatistics:
    """Drop bounds that this catalog can't store: unknown bounds are never wrong."""
    if sayable(tx, of.minimum) and sayable(tx, of.maximum):
        return of
    return msgspec.structs.replace(of, minimum=None, maximum=None)


def _extra(staged: StagedFile, minimum: str | None) -> str | None:
    """Return the keys, unless the bounds of `_partition` already give them.

    Lost rows always get them, with the number of rows per key.
    """
    if lost_with(staged.path.rpartition("/")[2]) is not None:
        return lost_text({part.key: part.rows for part in staged.partitions})
    held = [part.key for part in staged.partitions if part.rows]
    return None if len(held) == 1 and minimum == held[0] else keys_text(held)


# Tables whose rows aren't of one partition (`merge`, `snapshot`): the state that a merge starts
# from, and the catalog rows that it writes.
#
# Replaced rows stay in their files, and positional delete files list them, as in DuckLake's own
# MERGE. A data file has one delete file at a time with all of its deletions; a new one ends the
# previous one.

_NEW_DELETES = (
    "INSERT INTO ducklake_delete_file(delete_file_id, table_id, begin_snapshot, data_file_id, path,"
    " path_is_relative, format, delete_count, file_size_bytes, footer_size) VALUES (:id, :table,"
    " :snapshot, :file, :path, :relative, 'parquet', :rows, :bytes, :footer)"
)
_END_DELETES = (
    "UPDATE ducklake_delete_file SET end_snapshot = :snapshot WHERE table_id = :table AND"
    " data_file_id = :file AND end_snapshot IS NULL"
)


def state(tx: CatalogTransaction, name: str, snapshot: int | None) -> list[StateFile]:
    """Return the table's files as of a snapshot, for a merge to start from.

    None means now; 0 means before the first publication, which gives no files. Raises LakeError for
    an expired snapshot, and the errors of `files`.
    """
    row = table_row(tx, name, None)
    if row is None or snapshot == 0:
        return []
    if snapshot is not None and not snapshot_exists(tx, snapshot):
        raise LakeError(f"the lake's snapshot {snapshot} isn't kept any more")
    now = {file.ref.path: file for file in View(tx, row, None).all()}
    then = list(now.values()) if snapshot is None else View(tx, row, snapshot).all()
    deleted = _deleted(tx, row, snapshot)
    return [
        StateFile(_kept_lookup(file, now), file.rows, deleted.get(file.id, 0), _stays(file, now))
        for file in then
    ]


def seen(tx: CatalogTransaction, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the current files with their delete files, for `Replacement.seen`."""
    row = table_row(tx, name, None)
    return () if row is None else names_of(View(tx, row, None).all())


def names_of(files: list[FileRow]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return data files and their delete files, sorted by path."""
    return tuple(
        sorted(
            (file.ref.path, tuple(sorted(delete.path for delete in file.ref.deletes)))
            for file in files
        )
    )


def _stays(file: FileRow, now: dict[str, FileRow]) -> bool:
    """Whether the file can stay as it is.

    A part of a file, or of its deletions, that DuckLake merged from several snapshots can't.
    """
    partial = file.ref.snapshot_max is not None or any(
        delete.snapshot_max is not None for delete in file.ref.deletes
    )
    return file.ref.path in now and not partial


def _kept_lookup(file: FileRow, now: dict[str, FileRow]) -> FileRef:
    """Return the file with its current lookup: columns may have changed since the snapshot."""
    ref, current = file.ref, now.get(file.ref.path)
    if current is None:
        return as_other_columns(ref)
    return msgspec.structs.replace(ref, lookup=current.ref.lookup)


def _deleted(tx: CatalogTransaction, row: TableRow, snapshot: int | None) -> dict[int, int]:
    """Return the number of deleted rows by data file."""
    visible = (
        "end_snapshot IS NULL"
        if snapshot is None
        else "begin_snapshot <= :snapshot AND (end_snapshot IS NULL OR end_snapshot > :snapshot)"
    )
    rows = tx.execute(
        "SELECT data_file_id, sum(delete_count) FROM ducklake_delete_file WHERE table_id = :table"
        f" AND {visible} GROUP BY data_file_id",
        {"table": row.id, "snapshot": snapshot},
    ).fetchall()
    return {file_id: int(count) for file_id, count in rows}


class Deletions:
    """The deletions that one change writes for one table.

    `restored` are data files without any from now on.
    """

    def __init__(self, table: TableRow, restored: set[int]) -> None:
        self._table, self._ended = table, set(restored)
        self._new: list[dict[str, Any]] = []

    def add(self, file_id: int, delete_id: int, staged: StagedDeletes) -> None:
        """Add all deleted rows of a data file, replacing earlier deletions.

        Raises LakeError for a delete file outside the table's folder.
        """
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
        """End the old deletions and insert the new ones."""
        tx.executemany(
            _END_DELETES,
            [
                {"snapshot": snapshot, "table": self._table.id, "file": file_id}
                for file_id in sorted(self._ended)
            ],
        )
        tx.executemany(_NEW_DELETES, [{"snapshot": snapshot, **row} for row in self._new])


def check_replacement(current: dict[str, FileRow], replacement: Replacement) -> None:
    """Check that files that end or lose rows are current. Raises LakeError."""
    named = {
        *replacement.ended,
        *replacement.restored,
        *(delete.of for delete in replacement.deletes),
    }
    unknown = named - current.keys()
    if unknown:
        raise LakeError(
            f"a merge names files that aren't current: {', '.join(sorted(unknown)[:3])}"
        )
    for delete in replacement.deletes:
        if delete.of in replacement.ended or not 0 < delete.rows <= current[delete.of].rows:
            raise LakeError(f"the deletions {delete.path} don't fit their file {delete.of}")
