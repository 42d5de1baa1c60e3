"""The rows that make files part of a table: the file itself, its columns' statistics, the table's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headrace.lake.catalog.columns import leaves_of
from headrace.lake.catalog.dialects import sayable
from headrace.lake.catalog.reading import keys_text, lost_text
from headrace.lake.catalog.statistics import TableStatistics
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.folders import lost_with
from headrace.lake.tables import ColumnStatistics, LakeTable, StagedFile

_FILE = (
    "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, path, path_is_relative, file_format, record_count, "
    "file_size_bytes, footer_size, row_id_start) "
    "VALUES (:file, :table, :snapshot, :path, :relative, 'parquet', :rows, :bytes, :footer, :first)"
)
_STATISTICS = (
    "INSERT INTO ducklake_file_column_stats(data_file_id, table_id, column_id, column_size_bytes, value_count, null_count, "
    "min_value, max_value, contains_nan, extra_stats) VALUES (:file, :table, :column, :bytes, :values, :nulls, :min, :max, :nan, :extra)"
)


def write_files(
    tx: CatalogTransaction, snapshot: int, table_id: int, table: LakeTable, files: Mapping[str, tuple[int, StagedFile]]
) -> None:
    """Register staged files (by their name in the table's folder, with their new ids) in a few batches."""
    totals = TableStatistics(tx, table_id)
    leaves = [(leaf, path[0], len(path) == 1, wanted.name) for column in table.columns for leaf, path, wanted in leaves_of(column)]
    file_rows: list[dict[str, Any]] = []
    column_rows: list[dict[str, Any]] = []
    for name, (file_id, staged) in files.items():
        results = [
            (leaf, kind, _sayable(tx, staged.statistics[column] if plain else staged.nested[leaf])) for leaf, column, plain, kind in leaves
        ]
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
        column_rows.extend(_statistics(file_id, table_id, results, _extra(staged, results[0][2].minimum)))
    tx.executemany(_FILE, file_rows)
    tx.executemany(_STATISTICS, column_rows)
    totals.write(tx)


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
    """Without bounds that this catalog can't hold: unknown ones are never wrong."""
    if sayable(tx, of.minimum) and sayable(tx, of.maximum):
        return of
    return msgspec.structs.replace(of, minimum=None, maximum=None)


def _extra(staged: StagedFile, minimum: str | None) -> str | None:
    """The keys, where minimum and maximum of `_partition` don't say it all; of lost rows always, with how many each had."""
    if lost_with(staged.path.rpartition("/")[2]) is not None:
        return lost_text({part.key: part.rows for part in staged.partitions})
    held = [part.key for part in staged.partitions if part.rows]
    return None if len(held) == 1 and minimum == held[0] else keys_text(held)
