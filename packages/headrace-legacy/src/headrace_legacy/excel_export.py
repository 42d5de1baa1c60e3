"""Excel: one sheet per read, written row by row in constant memory.

Text never becomes a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension.formats import (
    ExportFailed,
    ExportKind,
    LakeColumn,
    Portion,
    as_double,
    as_text,
    is_nested,
    quote,
)
from headrace_legacy.workbook_files import COLUMNS_MAX, ROWS_MAX

if TYPE_CHECKING:
    import duckdb

CHARACTERS_MAX = 32_767
"""Maximum number of characters in a cell."""
SHEET_CHARACTERS_MAX = 31
FETCHED = 5_000
_EXACT = 2**53
_DIGITS = 15
"""Number of digits that Excel stores; numbers with more are written as text."""
_FIRST_DAY = date(1900, 3, 1)
"""Excel's calendar is wrong before this day."""
_NATIVE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "DOUBLE",
    "BOOLEAN",
    "DATE",
)
_MADE = datetime(2000, 1, 1, tzinfo=UTC)
"""Creation time in every workbook, so that the same rows give the same bytes."""


class _ExactFloat(float):
    """A number that is written with all of its digits; XlsxWriter formats others with 16."""

    def __format__(self, _: str) -> str:
        return float.__repr__(self)


class ExcelExport(ExportKind):
    """Workbooks, with one sheet per read."""

    name = "excel"
    endings = ("xlsx",)
    several = True

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        portion: Portion,
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write one sheet."""
        self.write_all(connection, (portion,), path, options)

    def write_all(
        self,
        connection: duckdb.DuckDBPyConnection,
        portions: Sequence[Portion],
        path: Path,
        options: Mapping[str, Any],
    ) -> None:
        """Write all portions into one workbook.

        Raises ExportFailed for data that a sheet can't hold.
        """
        import xlsxwriter

        del options
        for portion in portions:
            _fits(portion)
        book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        try:
            book.set_properties({"created": _MADE.replace(tzinfo=None)})
            formats: dict[type, Any] = {
                date: book.add_format({"num_format": "yyyy-mm-dd"}),
                datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}),
            }
            for name, portion in zip(
                sheet_names([p.asset for p in portions]), portions, strict=True
            ):
                _write_sheet(connection, book.add_worksheet(name), portion, formats)
        finally:
            book.close()


def sheet_names(assets: Sequence[str]) -> list[str]:
    """Return a unique name for each sheet: the asset's, shortened, and not reserved by Excel."""
    results: list[str] = []
    for asset in assets:
        name = asset[:SHEET_CHARACTERS_MAX] if asset.lower() != "history" else f"{asset}_"
        n = 1
        while name.lower() in (item.lower() for item in results):
            n += 1
            name = f"{asset[: SHEET_CHARACTERS_MAX - len(str(n)) - 1]}~{n}"
        results.append(name)
    return results


def _fits(portion: Portion) -> None:
    if portion.rows >= ROWS_MAX:
        raise ExportFailed(
            f"{portion.asset} has {portion.rows:,} rows, and a sheet of Excel holds"
            f" {ROWS_MAX - 1:,} and a header",
            hint="export it as csv or parquet, or by a shorter interval (`per:`)",
        )
    if len(portion.columns) > COLUMNS_MAX:
        raise ExportFailed(
            f"{portion.asset} has {len(portion.columns):,} columns, and a sheet of Excel holds"
            f" {COLUMNS_MAX:,}"
        )


def _expression(column: LakeColumn) -> str:
    """Return SQL for a column's value in a type that Excel has, else as text.

    Timestamps with a zone become local times without one.
    """
    if is_nested(column):
        return as_text(column)
    if column.type in _NATIVE or column.type.startswith("DECIMAL"):
        return quote(column.name)
    if column.type == "FLOAT":
        return as_double(column)
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return f"CAST({quote(column.name)} AS TIMESTAMP)"
    return quote(column.name) if column.type == "TIMESTAMP" else as_text(column)


def _write_sheet(
    connection: duckdb.DuckDBPyConnection, sheet: Any, portion: Portion, formats: Mapping[type, Any]
) -> None:
    for place, column in enumerate(portion.columns):
        sheet.write_string(0, place, _text(column.name, column))
    put = [_putter(sheet, column, formats) for column in portion.columns]
    rows = connection.execute(portion.select(_expression))
    number = 0
    while fetched := rows.fetchmany(FETCHED):
        for row in fetched:
            number += 1
            for place, value in enumerate(row):
                if value is not None:
                    put[place](number, place, value)


def _putter(
    sheet: Any, column: LakeColumn, formats: Mapping[type, Any]
) -> Callable[[int, int, Any], None]:
    def put(row: int, place: int, value: Any) -> None:
        match value:
            case bool():
                sheet.write_boolean(row, place, value)
            case int() if abs(value) <= _EXACT:
                sheet.write_number(row, place, value)
            case float() if math.isfinite(value):
                sheet.write_number(row, place, _ExactFloat(value))
            case float():
                sheet.write_string(
                    row,
                    place,
                    "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity",
                )
            case Decimal() if len(value.as_tuple().digits) <= _DIGITS:
                sheet.write_number(row, place, float(value))
            case datetime() if value.date() >= _FIRST_DAY and value.year <= 9999:
                sheet.write_datetime(row, place, value, formats[datetime])
            case date() if not isinstance(value, datetime) and value >= _FIRST_DAY:
                sheet.write_datetime(row, place, value, formats[date])
            case datetime() | date() | time():
                sheet.write_string(row, place, value.isoformat())
            case _:
                sheet.write_string(row, place, _text(str(value), column))

    return put


def _text(text: str, column: LakeColumn) -> str:
    if len(text) > CHARACTERS_MAX:
        raise ExportFailed(
            f"column {column.name} holds a text of {len(text):,} characters, and a cell of Excel"
            f" holds {CHARACTERS_MAX:,}",
            hint="export it as csv or parquet",
        )
    return text
