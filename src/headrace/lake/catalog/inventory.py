"""The files in the catalog: all of them, the current ones, and those with lost rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headrace.lake.catalog.columns import leaves_of, lower_bound, upper_bound
from headrace.lake.catalog.reading import FileRow, View, decoded_keys, table_row
from headrace.lake.catalog.schema import CatalogTransaction, microseconds
from headrace.lake.tables import (
    LOST,
    PARTITION_COLUMN,
    ColumnStatistics,
    LakeTable,
    StagedFile,
    StagedPartition,
    lost_path,
    lost_with,
)
from headrace.model.errors import LakeError
from headrace.model.partitions import WHOLE

# The data files that readers see now, for checks whether they exist.

_CURRENT = (
    "SELECT f.{id}, t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative,"
    " f.file_size_bytes, f.footer_size, f.begin_snapshot, f.data_file_id FROM {kind} f JOIN"
    " ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL JOIN ducklake_schema s"
    " ON s.schema_id = t.schema_id WHERE f.end_snapshot IS NULL AND f.path NOT LIKE '%://%'"
)
"""Query for the files of the newest snapshot.

Files that another writer registered by a URL are left out: they can't be checked here.
"""
_KINDS = (("ducklake_data_file", "data_file_id"), ("ducklake_delete_file", "delete_file_id"))
"""Each kind of file with its id column; both share one sequence of ids."""

AT_ONCE = 500
"""Maximum number of files per query."""


class CurrentFile(NamedTuple):
    """A data file or a positional delete file of the newest snapshot.

    `path` is relative to the data folder, or absolute if a foreign writer registered it so.
    `begins` is the first snapshot with the file, `of` the data file whose rows it holds or deletes.
    """

    id: int
    table: str
    path: str
    size_bytes: int
    footer_bytes: int
    begins: int = 0
    of: int = -1


def current_after(tx: CatalogTransaction, after: int, limit: int) -> list[CurrentFile]:
    """Return at most `limit` current files with ids above `after`, in order."""
    files: list[CurrentFile] = []
    for kind, number in _KINDS:
        sql = (
            f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} > :after ORDER BY f.{number}"
            " LIMIT :limit"
        )
        files += _files(tx.execute(sql, {"after": after, "limit": limit}).fetchall())
    return sorted(files, key=lambda file: file.id)[:limit]


def current(tx: CatalogTransaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Return those of the files that the newest snapshot has, ordered by id."""
    files: list[CurrentFile] = []
    left = sorted(ids)
    while left:
        chunk, left = left[:AT_ONCE], left[AT_ONCE:]
        parameters = {f"id{n}": item for n, item in enumerate(chunk)}
        among = ", ".join(f":{name}" for name in parameters)
        for kind, number in _KINDS:
            sql = f"{_CURRENT.format(kind=kind, id=number)} AND f.{number} IN ({among})"
            files += _files(tx.execute(sql, parameters).fetchall())
    return sorted(files, key=lambda file: file.id)


def current_deletes(tx: CatalogTransaction) -> list[CurrentFile]:
    """Return the positional delete files of the newest snapshot."""
    kind, number = _KINDS[1]
    return _files(
        tx.execute(f"{_CURRENT.format(kind=kind, id=number)} ORDER BY f.{number}").fetchall()
    )


def count_current(tx: CatalogTransaction) -> int:
    """Return the number of data files in the newest snapshot."""
    return int(
        tx.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL").fetchone()[
            0
        ]
    )


def count_elsewhere(tx: CatalogTransaction) -> int:
    """Return the number of current data files that another writer registered by a URL."""
    return int(
        tx.execute(
            "SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL AND path LIKE"
            " '%://%'"
        ).fetchone()[0]
    )


def ids_holding(tx: CatalogTransaction, name: str, keys: Sequence[str]) -> list[int]:
    """Return the ids of a table's current files that hold or may hold some partitions.

    Their delete files are included, and all files of a merged table. Empty for an unknown table.
    """
    row = table_row(tx, name, None)
    if row is None:
        return []
    holding = [file.id for file in View(tx, row, None).holding([*keys, WHOLE])]
    sql = (
        "SELECT data_file_id, delete_file_id FROM ducklake_delete_file WHERE table_id = :table AND"
        " end_snapshot IS NULL"
    )
    deletes = dict(tx.execute(sql, {"table": row.id}).fetchall())
    return [*holding, *(deletes[item] for item in holding if item in deletes)]


def files_of(tx: CatalogTransaction, name: str) -> list[FileRow]:
    """Return a table's current files with their partitions, if known.

    Empty for an unknown table.
    """
    row = table_row(tx, name, None)
    return [] if row is None else View(tx, row, None).all()


def _files(rows: Sequence[Sequence[Any]]) -> list[CurrentFile]:
    files = []
    for number, name, schema, folder, in_schema, path, in_folder, size, footer, begins, of in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        files.append(CurrentFile(number, name, whole, size, footer or 0, begins, of))
    return files


# Everything that the catalog lists, for comparison with the disk.


class Registered(NamedTuple):
    """A data file of any snapshot.

    `path` is relative to the data folder; `keys` are its partitions, None if they aren't known.
    """

    table: str
    path: str
    size_bytes: int
    footer_bytes: int
    rows: int
    ended: bool
    keys: frozenset[str] | None

    @property
    def key(self) -> str | None:
        """The only partition, None if it holds several."""
        return next(iter(self.keys)) if self.keys is not None and len(self.keys) == 1 else None


def registered(tx: CatalogTransaction) -> list[Registered]:
    """Return all data files of existing tables, ended ones included, by table and path."""
    rows = tx.execute(
        "SELECT t.table_name, s.path, t.path, t.path_is_relative, f.path, f.path_is_relative,"
        " f.file_size_bytes, f.footer_size, f.record_count, f.end_snapshot, c.min_value,"
        " c.max_value, c.extra_stats FROM ducklake_data_file f JOIN ducklake_table t ON"
        " t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id LEFT JOIN"
        " ducklake_file_column_stats c ON c.data_file_id = f.data_file_id AND"
        " c.table_id = f.table_id AND c.column_id = 1 WHERE t.end_snapshot IS NULL ORDER BY 1, 5"
    ).fetchall()
    results = []
    for (
        name,
        schema,
        folder,
        in_schema,
        path,
        in_folder,
        size,
        footer,
        count,
        ended,
        least,
        most,
        extra,
    ) in rows:
        whole = f"{schema if in_schema else ''}{folder}{path}" if in_folder else path
        results.append(
            Registered(
                name,
                whole,
                size,
                footer or 0,
                count,
                ended is not None,
                decoded_keys(extra, least, most),
            )
        )
    return results


def held_keys(tx: CatalogTransaction, name: str) -> frozenset[str] | None:
    """Return the partitions that have files in a table now.

    None if the catalog alone can't tell; empty for an unknown table.
    """
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
    """Return ended data files: the path, and the first snapshot without the file."""
    rows = tx.execute(
        "SELECT s.path, t.path, f.path, f.end_snapshot FROM ducklake_data_file f JOIN"
        " ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id ="
        " t.schema_id WHERE f.end_snapshot IS NOT NULL"
    ).fetchall()
    return [(f"{schema}{folder}{path}", int(end)) for schema, folder, path, end in rows]


def snapshot_time_of(tx: CatalogTransaction, snapshot: int) -> datetime:
    """Return when a snapshot was made; for an expired one, the time of the next."""
    row = tx.execute(
        "SELECT snapshot_time FROM ducklake_snapshot WHERE snapshot_id >= :id ORDER BY snapshot_id"
        " LIMIT 1",
        {"id": snapshot},
    ).fetchone()
    return datetime.fromtimestamp(microseconds(row[0]) / 1e6, UTC)


# Rows that were lost with a damaged file that several partitions share.
#
# Replacing one partition needs a copy of the file without it, which can't be made of a damaged
# file. Once the file is given up (`CatalogChange.give_up`), its rows are registered under a path
# where no file ever exists. Readers are still refused, but each partition can be replaced on its
# own; the rest is registered again until nothing is left.

_SIZES = "SELECT file_size_bytes, footer_size FROM ducklake_data_file WHERE data_file_id = :file"
_STATISTICS = (
    "SELECT column_id, column_size_bytes, null_count, min_value, max_value, contains_nan"
    " FROM ducklake_file_column_stats WHERE table_id = :table AND data_file_id = :file"
)


def entry(
    tx: CatalogTransaction, table_id: int, table: LakeTable, file: FileRow, rows: Mapping[str, int]
) -> StagedFile:
    """Return the entry that registers some partitions of a file as lost, with rows per partition.

    Sizes and column bounds are those of the whole file: too wide, so never wrong. The number of
    nulls among the lost values is unknown; the file's count is used, limited to the number of rows.
    """
    total = sum(rows.values())
    size_bytes, footer_bytes = tx.execute(_SIZES, {"file": file.id}).fetchone()
    results = tx.execute(_STATISTICS, {"table": table_id, "file": file.id}).fetchall()
    known = {number: _fewer(total, *rest) for number, *rest in results}
    unknown = ColumnStatistics(0, 0, total)  # a column that was added after the file
    statistics: dict[str, ColumnStatistics] = {}
    nested: dict[int, ColumnStatistics] = {}
    for column in table.columns:
        for leaf, names, _ in leaves_of(column):
            if len(names) == 1:
                statistics[column.name] = known.get(leaf, unknown)
            else:
                nested[leaf] = known.get(leaf, unknown)
    keys = sorted(rows)
    statistics[PARTITION_COLUMN] = ColumnStatistics(
        0, total, 0, lower_bound(keys[0]), upper_bound(keys[-1])
    )
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
    null_count = min(nulls or 0, rows)
    contains_nan = None if nan is None else bool(nan)
    return ColumnStatistics(
        size_bytes, rows - null_count, null_count, minimum, maximum, contains_nan
    )


def any_lost(tx: CatalogTransaction) -> bool:
    """Whether the newest snapshot has rows that are registered as lost."""
    row = tx.execute(
        """SELECT 1 FROM ducklake_data_file
        WHERE end_snapshot IS NULL AND substr(path, 1, :length) = :prefix LIMIT 1""",
        {"length": len(LOST), "prefix": LOST},
    ).fetchone()
    return row is not None


def left_of(tx: CatalogTransaction, ids: Iterable[int]) -> list[CurrentFile]:
    """Return the entries under which rows of these ended files are still registered as lost."""
    files: dict[int, CurrentFile] = {}
    for item in ids:
        row = tx.execute(
            "SELECT table_id, path FROM ducklake_data_file WHERE data_file_id = :file AND"
            " end_snapshot IS NOT NULL",
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
