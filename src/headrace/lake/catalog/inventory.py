"""The files that the catalog names: all of them, the current ones, and those with lost rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headrace.lake.catalog.columns import leaves_of, lower_bound, upper_bound
from headrace.lake.catalog.reading import FileRow, View, table_row
from headrace.lake.catalog.schema import CatalogTransaction, microseconds
from headrace.lake.tables import LOST, PARTITION_COLUMN, ColumnStatistics, LakeTable, StagedFile, StagedPartition, lost_path, lost_with
from headrace.model.errors import LakeError
from headrace.model.partitions import WHOLE

# The data files that readers see now, for checks of whether they are there.

_CURRENT = (
    "SELECT f.{id}, t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes, f.footer_size, "
    "f.begin_snapshot, f.data_file_id "
    "FROM {kind} f JOIN ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL "
    "JOIN ducklake_schema s ON s.schema_id = t.schema_id WHERE f.end_snapshot IS NULL AND f.path NOT LIKE '%://%'"
)
"""Without what another writer registered by a URL: nobody can look at that here."""
_KINDS = (("ducklake_data_file", "data_file_id"), ("ducklake_delete_file", "delete_file_id"))
"""Each kind of file with its id. Both take their ids from one sequence."""

AT_ONCE = 500
"""So many files are asked for by one query."""


class CurrentFile(NamedTuple):
    """A data file or a positional delete file of the newest snapshot. `path` is relative to the data folder, or absolute where a foreign
    writer registered it so. `begins` is the first snapshot that has it, `of` the data file whose rows it has or deletes."""

    id: int
    table: str
    path: str
    size_bytes: int
    footer_bytes: int
    begins: int = 0
    of: int = -1


def current_after(tx: CatalogTransaction, after: int, limit: int) -> list[CurrentFile]:
    """The files whose ids follow one, in order."""
    files: list[CurrentFile] = []
    for kind, number in _KINDS:
        sql = f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} > :after ORDER BY f.{number} LIMIT :limit"
        files += _files(tx.execute(sql, {"after": after, "limit": limit}).fetchall())
    return sorted(files, key=lambda file: file.id)[:limit]


def current(tx: CatalogTransaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Those of some files that are of the newest snapshot, in the order of their ids."""
    files: list[CurrentFile] = []
    left = sorted(ids)
    while left:
        chunk, left = left[:AT_ONCE], left[AT_ONCE:]
        wanted = {f"id{n}": item for n, item in enumerate(chunk)}
        among = ", ".join(f":{name}" for name in wanted)
        for kind, number in _KINDS:
            sql = f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} IN ({among})"
            files += _files(tx.execute(sql, wanted).fetchall())
    return sorted(files, key=lambda file: file.id)


def current_deletes(tx: CatalogTransaction) -> list[CurrentFile]:
    """The positional delete files of the newest snapshot."""
    kind, number = _KINDS[1]
    return _files(tx.execute(f"{_CURRENT.format(kind=kind, id=number)} ORDER BY f.{number}").fetchall())


def count_current(tx: CatalogTransaction) -> int:
    """How many data files the newest snapshot has."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL").fetchone()[0])


def count_elsewhere(tx: CatalogTransaction) -> int:
    """How many of them another writer registered by a URL."""
    return int(tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL AND path LIKE '%://%'").fetchone()[0])


def ids_holding(tx: CatalogTransaction, name: str, keys: Sequence[str]) -> list[int]:
    """The current files of a table that hold, or may hold, some partitions, with their delete files; all of a merged one; none of a
    table that there isn't."""
    row = table_row(tx, name, None)
    if row is None:
        return []
    holding = [file.id for file in View(tx, row, None).holding([*keys, WHOLE])]
    sql = "SELECT data_file_id, delete_file_id FROM ducklake_delete_file WHERE table_id = :table AND end_snapshot IS NULL"
    deletes = dict(tx.execute(sql, {"table": row.id}).fetchall())
    return [*holding, *(deletes[item] for item in holding if item in deletes)]


def files_of(tx: CatalogTransaction, name: str) -> list[FileRow]:
    """The current files of a table with what is known of their partitions; none of a table that there isn't."""
    row = table_row(tx, name, None)
    return [] if row is None else View(tx, row, None).all()


def _files(rows: Sequence[Sequence[Any]]) -> list[CurrentFile]:
    files = []
    for number, name, schema, folder, in_schema, path, in_folder, size, footer, begins, of in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        files.append(CurrentFile(number, name, whole, size, footer or 0, begins, of))
    return files


# Everything that the catalog names, for comparison with what is on the disk.


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


# Rows that were lost with a damaged file that several partitions share.
#
# Replacing one partition takes a copy of the file without it, which a damaged file can't give.
# Once the file is given up (`CatalogChange.give_up`), its rows are registered under a name where
# no file ever is. Readers are refused as before, but each partition can be replaced by itself;
# the rest is registered anew until nothing is left.

_SIZES = "SELECT file_size_bytes, footer_size FROM ducklake_data_file WHERE data_file_id = :file"
_STATISTICS = (
    "SELECT column_id, column_size_bytes, null_count, min_value, max_value, contains_nan"
    " FROM ducklake_file_column_stats WHERE table_id = :table AND data_file_id = :file"
)


def entry(tx: CatalogTransaction, table_id: int, table: LakeTable, file: FileRow, rows: Mapping[str, int]) -> StagedFile:
    """What registers some partitions of a file as lost, with the number of rows of each.

    Sizes and bounds of columns are those of the whole file: too wide, so never wrong. How many of
    the lost values were null isn't known, the file's count is taken as far as there are rows."""
    total = sum(rows.values())
    size_bytes, footer_bytes = tx.execute(_SIZES, {"file": file.id}).fetchone()
    results = tx.execute(_STATISTICS, {"table": table_id, "file": file.id}).fetchall()
    known = {number: _fewer(total, *rest) for number, *rest in results}
    unknown = ColumnStatistics(0, 0, total)  # a column that is younger than the file
    statistics: dict[str, ColumnStatistics] = {}
    nested: dict[int, ColumnStatistics] = {}
    for column in table.columns:
        for leaf, names, _ in leaves_of(column):
            if len(names) == 1:
                statistics[column.name] = known.get(leaf, unknown)
            else:
                nested[leaf] = known.get(leaf, unknown)
    keys = sorted(rows)
    statistics[PARTITION_COLUMN] = ColumnStatistics(0, total, 0, lower_bound(keys[0]), upper_bound(keys[-1]))
    partitions = tuple(StagedPartition(key, rows[key]) for key in keys)
    path = lost_path(file.ref.path)
    return StagedFile(path, total, size_bytes, footer_bytes or 0, statistics, partitions, nested)


def _fewer(
    rows: int,
    size_bytes: int,
    nulls: int | None,
    minimum: str | None,
    maximum: str | None,
    nan: int | None,
) -> ColumnStatistics:
    kept = min(nulls or 0, rows)
    contains_nan = None if nan is None else bool(nan)
    return ColumnStatistics(size_bytes, rows - kept, kept, minimum, maximum, contains_nan)


def any_lost(tx: CatalogTransaction) -> bool:
    """Whether the newest snapshot has rows that are registered as lost."""
    row = tx.execute(
        """SELECT 1 FROM ducklake_data_file
        WHERE end_snapshot IS NULL AND substr(path, 1, :length) = :prefix LIMIT 1""",
        {"length": len(LOST), "prefix": LOST},
    ).fetchone()
    return row is not None


def left_of(tx: CatalogTransaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Under which names rows are still registered as lost that some files, which aren't current, had."""
    files: dict[int, CurrentFile] = {}
    for item in ids:
        row = tx.execute(
            "SELECT table_id, path FROM ducklake_data_file WHERE data_file_id = :file AND end_snapshot IS NOT NULL",
            {"file": item},
        ).fetchone()
        if row is None:
            continue
        name = row[1].rpartition("/")[2]
        prefix = f"{LOST}{lost_with(name) or name.removesuffix('.parquet')}-"
        rows = tx.execute(
            "SELECT data_file_id FROM ducklake_data_file WHERE table_id = :table"
            " AND end_snapshot IS NULL AND substr(path, 1, :length) = :prefix",
            {"table": row[0], "length": len(prefix), "prefix": prefix},
        ).fetchall()
        files |= {file.id: file for file in current(tx, [number for (number,) in rows])}
    return list(files.values())
