"""What CSV and JSON lines have in common: their values are text, read as `c1 … cn`, then cast strictly column by column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.connect.casts import checked, strict, wrong
from headrace.connect.deliveries import BadColumn, Format, SourceSchema, TypeDrift
from headrace.connect.formats.registry import FileHeader
from headrace.connect.shown import shown
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote

if TYPE_CHECKING:
    import duckdb

COLUMNS_PER_PASS = 64
BAD_VALUES_MAX = 1_000
ROWS_SEARCHED_MAX = 5_000_000


def column_types(names: Sequence[str], types: Sequence[str]) -> str:
    """`columns=` of a reader: a struct of names and types."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in zip(names, types, strict=True)) + "}"


def selected(rows_sql: str, form: Format, header: FileHeader, columns: Sequence[LakeColumn]) -> str:
    """`columns` by name out of the text columns `c1 … cn`; a column that the file doesn't have is NULL."""
    at = {name: position for position, name in enumerate(header.names, 1)}
    values = [f"{value_sql(at.get(column.name), column, form)} AS {quote(column.name)}" for column in columns]
    return f"SELECT {', '.join(values)} FROM {rows_sql}"


def value_sql(position: int | None, column: LakeColumn, form: Format) -> str:
    """The text column at `position` in its type; an error where it isn't a value of that."""
    if position is None:
        return f"CAST(NULL AS {column.type})"
    if column.type == "JSON":
        return f"c{position}"
    if column.name in form.lenient:
        kept = strict(f"c{position}", column.type, form, trying=True).value
        return f"CASE WHEN {wrong(f'c{position}', column.type, form)} THEN NULL ELSE {kept} END"
    return checked(strict(f"c{position}", column.type, form), f"column {position}: a value isn't {column.type}")


class Bad(NamedTuple):
    """A column with values that don't parse: where it stands in the file (from 0), and (some of) these values as text."""

    position: int
    name: str
    type: str
    rows: int
    values: frozenset[str]


def bad_columns(connection: duckdb.DuckDBPyConnection, rows_sql: str, header: FileHeader, schema: SourceSchema) -> list[Bad]:
    """Each column with values that don't parse in its type; found by a pass that never raises for a value."""
    types = {column.name: column.type for column in schema.columns}
    candidates = [
        (position, name, condition)
        for position, name in enumerate(header.names, 1)
        if name in types and types[name] != "JSON" and (condition := wrong(f"c{position}", types[name], schema.format)) != "false"
    ]
    bads = []
    for start in range(0, len(candidates), COLUMNS_PER_PASS):
        some = candidates[start : start + COLUMNS_PER_PASS]
        flags = ", ".join(f"c{position}, {condition} AS b{position}" for position, _, condition in some)
        facts = ", ".join(f"count(*) FILTER (b{p}), arg_min(c{p}, c{p}, {BAD_VALUES_MAX}) FILTER (b{p})" for p, _, _ in some)
        row = connection.execute(f"SELECT {facts} FROM (SELECT {flags} FROM {rows_sql})").fetchone()
        assert row is not None
        for index, (position, name, _) in enumerate(some):
            if row[2 * index]:
                bads.append(Bad(position - 1, name, types[name], row[2 * index], frozenset(row[2 * index + 1])))
    return bads


def located(bad: Sequence[Bad], rows: Iterator[tuple[int, Sequence[str | None]]]) -> list[BadColumn]:
    """`bad` with the line of each first bad value, out of `rows`: line and cells. Rows are read no further than needed, and no
    further than ROWS_SEARCHED_MAX; where the search ends without a find, a value is named without its line."""
    open_: dict[str, Bad] = {item.name: item for item in bad}
    at: dict[str, tuple[int, str]] = {}
    for line, cells in itertools.islice(rows, ROWS_SEARCHED_MAX):
        for name, item in list(open_.items()):
            cell = cells[item.position] if item.position < len(cells) else None
            if cell is not None and cell in item.values:
                at[name] = line, cell
                del open_[name]
        if not open_:
            break
    return [
        BadColumn(item.name, item.type, item.rows, shown(at.get(item.name, (0, min(item.values)))[1]), at.get(item.name, (None,))[0])
        for item in bad
    ]


def drift_of(columns: Sequence[BadColumn], *, unit: str = "line") -> TypeDrift:
    """The drift of these columns, said in one sentence. `unit` is what `BadColumn.line` counts: only lines are lines of the file."""
    text = "; ".join(_said(column, unit) for column in columns[:3]) + (f"; and {len(columns) - 3} more columns" if len(columns) > 3 else "")
    return TypeDrift(tuple(column if unit == "line" else msgspec.structs.replace(column, line=None) for column in columns), text)


def _said(bad: BadColumn, unit: str) -> str:
    where = f" at {unit} {bad.line}" if bad.line else ""
    rows = "1 row" if bad.rows == 1 else f"{bad.rows:,} rows"
    return f"column {shown(bad.column)}: first value that isn't {bad.type_written}: '{bad.value}'{where}, {rows}"
