"""Rows that were lost with a damaged file that several partitions share.

Replacing one partition takes a copy of the file without it, which a damaged file doesn't give. Once it is given up
(`Change.give_up`), its rows are registered under a name where no file ever is. Readers are refused as before, but each
partition can be replaced by itself; what is left is registered anew until nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.lake.bounds import lower_bound, upper_bound
from headrace.lake.catalog.columns import leaves_of
from headrace.lake.catalog.reading import FileRow
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.catalog.watching import CurrentFile, current
from headrace.lake.folders import LOST, lost_path, lost_with
from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnStatistics,
    LakeTable,
    StagedFile,
    StagedPartition,
)

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
