"""Table-wide statistics as DuckLake keeps them: rows ever written, and bounds that cover all files that were ever in the table.

DuckLake answers and prunes from them, so they must never be narrower than the data. Where DuckLake merges a file whose bounds
are unknown it forgets that they are unknown, and the next file's bounds then stand for all (seen in 1.0). Text columns of
unknown extent are therefore kept as `min = ''`, `max` unknown, which its own merging leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import astuple

from headrace.lake.bounds import is_text, ordering
from headrace.lake.catalog.transaction import CatalogTransaction
from headrace.lake.tables import ColumnStatistics


class TableTotals(msgspec.Struct):
    """`ducklake_table_stats`: rows, next row id and bytes of all files that were ever added."""

    rows: int = 0
    next_row: int = 0
    size_bytes: int = 0


class ColumnBounds(msgspec.Struct):
    """`ducklake_table_column_stats` of one column."""

    contains_null: bool | None = False
    contains_nan: bool | None = None
    minimum: str | None = None
    maximum: str | None = None

    def cover(self, type_name: str, new: ColumnStatistics) -> None:
        """Widen by one more file's statistics."""
        self.contains_null = bool(self.contains_null) or new.nulls > 0
        if new.contains_nan is not None:
            self.contains_nan = bool(self.contains_nan) or new.contains_nan
        if new.values == 0:
            return
        if new.minimum is None and new.maximum is None:
            self.minimum, self.maximum = ("", None) if is_text(type_name) else (None, None)
        elif self.minimum is None and self.maximum is None:
            self.minimum, self.maximum = new.minimum, new.maximum
        else:
            self._widen(ordering(type_name), new)

    def _widen(self, order: Callable[[str], Any], new: ColumnStatistics) -> None:
        """A bound that isn't known on either side isn't known any more."""
        if self.minimum is None or new.minimum is None:
            self.minimum = None
        elif new.minimum != self.minimum and order(new.minimum) < order(self.minimum):
            self.minimum = new.minimum
        if self.maximum is None or new.maximum is None:
            self.maximum = None
        elif new.maximum != self.maximum and order(new.maximum) > order(self.maximum):
            self.maximum = new.maximum


class TableStatistics:
    """The statistics of one table while a change is collected; read once, written once."""

    def __init__(self, tx: CatalogTransaction, table_id: int) -> None:
        self.table_id = table_id
        row = tx.execute(
            "SELECT record_count, next_row_id, file_size_bytes FROM ducklake_table_stats WHERE table_id = :table", {"table": table_id}
        ).fetchone()
        self.is_new = row is None
        self.totals = TableTotals() if row is None else TableTotals(*row)
        rows = tx.execute(
            "SELECT column_id, contains_null, contains_nan, min_value, max_value FROM ducklake_table_column_stats WHERE table_id = :table",
            {"table": table_id},
        ).fetchall()
        self.extents = {row[0]: ColumnBounds(_boolean(row[1]), _boolean(row[2]), row[3], row[4]) for row in rows}
        self._touched: set[int] = set()

    def add(self, rows: int, size_bytes: int, columns: Iterable[tuple[int, str, ColumnStatistics]]) -> int:
        """Count one more file; returns the id of its first row."""
        first = self.totals.next_row
        self.totals = TableTotals(self.totals.rows + rows, first + rows, self.totals.size_bytes + size_bytes)
        for column_id, type_name, statistics in columns:
            # a column that was added later has none, as in DuckLake: files from before it have no statistics of it either
            extent = self.extents.setdefault(column_id, ColumnBounds()) if self.is_new else self.extents.get(column_id)
            if extent is not None:
                before = astuple(extent)
                extent.cover(type_name, statistics)
                if self.is_new or astuple(extent) != before:
                    self._touched.add(column_id)
        return first

    def write(self, tx: CatalogTransaction) -> None:
        """Insert or update the rows."""
        totals = {"table": self.table_id, "rows": self.totals.rows, "next": self.totals.next_row, "bytes": self.totals.size_bytes}
        columns = [self._row(column_id) for column_id in sorted(self._touched)]
        if self.is_new:
            tx.execute(
                "INSERT INTO ducklake_table_stats(table_id, record_count, next_row_id, file_size_bytes) "
                "VALUES (:table, :rows, :next, :bytes)",
                totals,
            )
            tx.executemany(
                "INSERT INTO ducklake_table_column_stats(table_id, column_id, contains_null, contains_nan, min_value, max_value) "
                "VALUES (:table, :column, :null, :nan, :min, :max)",
                columns,
            )
            return
        tx.execute(
            "UPDATE ducklake_table_stats SET record_count = :rows, next_row_id = :next, file_size_bytes = :bytes WHERE table_id = :table",
            totals,
        )
        tx.executemany(
            "UPDATE ducklake_table_column_stats SET contains_null = :null, contains_nan = :nan, min_value = :min, max_value = :max "
            "WHERE table_id = :table AND column_id = :column",
            columns,
        )

    def _row(self, column_id: int) -> dict[str, Any]:
        extent = self.extents[column_id]
        return {
            "table": self.table_id,
            "column": column_id,
            "null": extent.contains_null,
            "nan": extent.contains_nan,
            "min": extent.minimum,
            "max": extent.maximum,
        }


def _boolean(value: Any) -> bool | None:
    return None if value is None else bool(value)
