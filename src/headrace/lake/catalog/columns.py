"""Columns in the catalog, and the statistics by which DuckLake skips files."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import astuple

from headrace.lake.catalog.schema import CatalogTransaction
from headrace.lake.tables import ColumnStatistics, LakeColumn
from headrace.lake.types import Type, field_count, from_ducklake, parse, to_ducklake

# The catalog has one row for each column and for each field inside a nested one.


def ids_of(column: LakeColumn) -> tuple[int, ...]:
    """Return the ids of the column and of the fields inside it, depth first."""
    if column.field_ids:
        return (column.id, *column.field_ids)
    return tuple(range(column.id, column.id + field_count(parse(column.type))))


def leaves_of(column: LakeColumn) -> Iterator[tuple[int, tuple[str, ...], Type]]:
    """Yield each scalar of the column: its id, its path from the column's name, its type."""
    ids = iter(ids_of(column))

    def walk(kind: Type, path: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...], Type]]:
        column_id = next(ids)
        if not kind.fields:
            yield column_id, path, kind
        for name, child in kind.fields:
            yield from walk(child, (*path, name))

    return walk(parse(column.type), (column.name,))


def rows_of(column: LakeColumn, *, nullable: bool) -> Iterator[dict[str, Any]]:
    """Yield the column's rows for `ducklake_column`, without the table and the snapshot."""
    ids = iter(ids_of(column))

    def walk(name: str, kind: Type, parent: int | None) -> Iterator[dict[str, Any]]:
        column_id = next(ids)
        yield {
            "id": column_id,
            "name": name,
            "type": to_ducklake(kind),
            "nullable": nullable or parent is not None,
            "parent": parent,
            "initial": column.default if parent is None else None,
            "default_type": "" if kind.fields else "literal",
        }
        for child_name, child in kind.fields:
            yield from walk(child_name, child, column_id)

    return walk(column.name, parse(column.type), None)


def read_columns(tx: CatalogTransaction, table_id: int, snapshot: int) -> tuple[LakeColumn, ...]:
    """Return the table's columns at the snapshot, in order."""
    rows = tx.execute(
        "SELECT column_id, column_name, column_type, parent_column, initial_default FROM"
        " ducklake_column WHERE table_id = :table AND begin_snapshot <= :snapshot AND (end_snapshot"
        " IS NULL OR end_snapshot > :snapshot) ORDER BY column_order",
        {"table": table_id, "snapshot": snapshot},
    ).fetchall()
    return _columns(rows)


def read_columns_now(
    tx: CatalogTransaction, names: Iterable[str]
) -> dict[str, tuple[LakeColumn, ...]]:
    """Return the current columns of each of these tables of the schema `main` that exists.

    Names are compared without case, as in DuckDB.
    """
    rows = tx.execute(
        "SELECT n.value, c.column_id, c.column_name, c.column_type, c.parent_column,"
        " c.initial_default FROM json_each(:names) n JOIN ducklake_table t ON lower(t.table_name) ="
        " lower(n.value) AND t.end_snapshot IS NULL JOIN ducklake_schema s ON s.schema_id ="
        " t.schema_id AND s.schema_name = 'main' AND s.end_snapshot IS NULL JOIN ducklake_column c"
        " ON c.table_id = t.table_id AND c.end_snapshot IS NULL ORDER BY c.column_order",
        {"names": json.dumps(list(names))},
    ).fetchall()
    tables: dict[str, list[Any]] = defaultdict(list)
    for name, *column in rows:
        tables[name].append(column)
    return {name: _columns(columns) for name, columns in tables.items()}


def _columns(rows: Iterable[Sequence[Any]]) -> tuple[LakeColumn, ...]:
    """Return columns by their rows and those of the fields inside them."""
    children: dict[int | None, list[Any]] = defaultdict(list)
    for row in rows:
        children[row[3]].append(row)
    return tuple(_column(row, children) for row in children[None])


def _column(row: Sequence[Any], children: dict[int | None, list[Any]]) -> LakeColumn:
    ids: list[int] = []

    def build(part: Sequence[Any]) -> Type:
        ids.append(part[0])
        return from_ducklake(
            part[2], tuple((child[1], build(child)) for child in children[part[0]])
        )

    column_type = build(row)
    plain = ids == list(range(ids[0], ids[0] + len(ids)))
    return LakeColumn(row[1], column_type.text, row[0], () if plain else tuple(ids[1:]), row[4])


# Minimum and maximum as text: shortened if they are long, compared and merged in their type's
# order.
#
# A bound may be wider than the data, never narrower: readers skip files by bounds, and even answer
# queries from them alone.

BOUND_CHARACTERS_MAX = 512
_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
_DATED = re.compile(r"(\d+)-(\d\d-\d\d)( \(BC\))?(.*)")


def lower_bound(text: str) -> str:
    """Return `text` up to a NUL (which not every catalog can store) or `BOUND_CHARACTERS_MAX`."""
    return text[:BOUND_CHARACTERS_MAX].split("\0", 1)[0]


def upper_bound(text: str) -> str | None:
    """Return `text`, or a shorter bound above it if it is long or has a NUL.

    None if there is none.
    """
    prefix = lower_bound(text)
    return text if prefix == text else _after(prefix)


def _after(prefix: str) -> str | None:
    """Return the first text after all texts that begin with `prefix`."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1]) + 1
        if point == 0xD800:
            point = 0xE000
        if point <= 0x10FFFF:
            return prefix[: end - 1] + chr(point)
    return None


def is_text(type_name: str) -> bool:
    """Whether values of the type are ordered as text."""
    return type_name in ("VARCHAR", "JSON")


@cache
def ordering(type_name: str) -> Callable[[str], Any]:
    """Return the sort key for values of the type given as text."""
    if type_name in _INTEGERS:
        return int
    if type_name.startswith("DECIMAL"):
        return Decimal
    if type_name in ("FLOAT", "DOUBLE"):
        return float
    if type_name.startswith(("DATE", "TIMESTAMP")):
        return _instant
    return str


def _instant(text: str) -> tuple[float, str, str]:
    """Return the sort key of a date or a timestamp as text.

    Years sort as numbers (BC and more than four digits included), the rest as text, infinities at
    the ends.
    """
    match = _DATED.fullmatch(text)
    if match is None:
        return (-math.inf if text.startswith("-") else math.inf, "", "")
    year = int(match[1])
    return (1 - year if match[3] else year, match[2], match[4].removesuffix("+00"))


# Table-wide statistics as DuckLake stores them: rows ever written, and bounds that cover all files
# that were ever in the table.
#
# DuckLake answers and prunes with them, so they must never be narrower than the data. When DuckLake
# merges a file with unknown bounds, it forgets that they are unknown, and the next file's bounds
# then count for all (seen in 1.0). Text columns with unknown bounds are therefore stored with an
# empty minimum and no maximum, which DuckLake's own merging leaves alone.


class TableTotals(msgspec.Struct):
    """`ducklake_table_stats`: rows, next row id and bytes of all files ever added."""

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
        """Widen the bounds by one more file's statistics."""
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
        """Widen both bounds; one that is unknown on either side becomes unknown."""
        if self.minimum is None or new.minimum is None:
            self.minimum = None
        elif new.minimum != self.minimum and order(new.minimum) < order(self.minimum):
            self.minimum = new.minimum
        if self.maximum is None or new.maximum is None:
            self.maximum = None
        elif new.maximum != self.maximum and order(new.maximum) > order(self.maximum):
            self.maximum = new.maximum


class TableStatistics:
    """One table's statistics while a change is collected; read once, written once."""

    def __init__(self, tx: CatalogTransaction, table_id: int) -> None:
        self.table_id = table_id
        row = tx.execute(
            "SELECT record_count, next_row_id, file_size_bytes FROM ducklake_table_stats WHERE"
            " table_id = :table",
            {"table": table_id},
        ).fetchone()
        self.is_new = row is None
        self.totals = TableTotals() if row is None else TableTotals(*row)
        rows = tx.execute(
            "SELECT column_id, contains_null, contains_nan, min_value, max_value FROM"
            " ducklake_table_column_stats WHERE table_id = :table",
            {"table": table_id},
        ).fetchall()
        self.extents = {
            row[0]: ColumnBounds(_boolean(row[1]), _boolean(row[2]), row[3], row[4]) for row in rows
        }
        self._touched: set[int] = set()

    def add(
        self, rows: int, size_bytes: int, columns: Iterable[tuple[int, str, ColumnStatistics]]
    ) -> int:
        """Count one more file, and return the id of its first row."""
        first = self.totals.next_row
        self.totals = TableTotals(
            self.totals.rows + rows, first + rows, self.totals.size_bytes + size_bytes
        )
        for column_id, type_name, statistics in columns:
            # a column added later has none, as in DuckLake: files from before it have no statistics
            # of it either
            extent = (
                self.extents.setdefault(column_id, ColumnBounds())
                if self.is_new
                else self.extents.get(column_id)
            )
            if extent is not None:
                before = astuple(extent)
                extent.cover(type_name, statistics)
                if self.is_new or astuple(extent) != before:
                    self._touched.add(column_id)
        return first

    def write(self, tx: CatalogTransaction) -> None:
        """Insert or update the rows."""
        totals = {
            "table": self.table_id,
            "rows": self.totals.rows,
            "next": self.totals.next_row,
            "bytes": self.totals.size_bytes,
        }
        columns = [self._row(column_id) for column_id in sorted(self._touched)]
        if self.is_new:
            tx.execute(
                "INSERT INTO ducklake_table_stats(table_id, record_count, next_row_id,"
                " file_size_bytes) VALUES (:table, :rows, :next, :bytes)",
                totals,
            )
            tx.executemany(
                "INSERT INTO ducklake_table_column_stats(table_id, column_id, contains_null,"
                " contains_nan, min_value, max_value) VALUES (:table, :column, :null, :nan, :min,"
                " :max)",
                columns,
            )
            return
        tx.execute(
            "UPDATE ducklake_table_stats SET record_count = :rows, next_row_id = :next,"
            " file_size_bytes = :bytes WHERE table_id = :table",
            totals,
        )
        tx.executemany(
            "UPDATE ducklake_table_column_stats SET contains_null = :null, contains_nan = :nan,"
            " min_value = :min, max_value = :max WHERE table_id = :table AND column_id = :column",
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
