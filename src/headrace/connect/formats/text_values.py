"""Values that are text, as in CSV and JSON lines: cast strictly, column by column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.connect.deliveries import (
    IN_CONTRACT,
    AlmostTyped,
    BadColumn,
    Format,
    SourceSchema,
    TypeDrift,
    printable,
)
from headrace.connect.formats.registry import FileHeader
from headrace.lake import LakeColumn
from headrace.lake.sqltext import literal, quote
from headrace.lake.strict_casts import (
    bad_value_condition,
    checked_cast,
    strict_cast,
    type_to_declare,
)
from headrace.lake.type_inference import SHAPES, InferredTypes, is_of
from headrace.model.texts import marked

if TYPE_CHECKING:
    import duckdb


# Text columns are read as `c1 … cn`, then cast.

COLUMNS_PER_PASS = 64
VALUES_MIN = 20
"""Minimum number of values at which a few that aren't of the others' type are reported."""
ALMOST_ALL = 0.95
_ALMOST_PER_PASS = 32
BAD_VALUES_MAX = 1_000
ROWS_SEARCHED_MAX = 5_000_000


def column_types(names: Sequence[str], types: Sequence[str]) -> str:
    """Return `columns=` of a DuckDB reader: a struct of names and types."""
    return (
        "{"
        + ", ".join(
            f"{literal(name)}: {literal(kind)}" for name, kind in zip(names, types, strict=True)
        )
        + "}"
    )


def selected(
    rows_sql: str,
    form: Format,
    header: FileHeader,
    columns: Sequence[LakeColumn],
    *,
    more: str = "",
) -> str:
    """Select `columns` by name from the text columns `c1 … cn`, and then `more`, if given.

    NULL for columns that the file lacks.
    """
    at = {name: position for position, name in enumerate(header.names, 1)}
    values = [
        f"{value_sql(at.get(column.name), column, form)} AS {quote(column.name)}"
        for column in columns
    ]
    values += [more] if more else []
    return f"SELECT {', '.join(values)} FROM {rows_sql}"


def value_sql(position: int | None, column: LakeColumn, form: Format) -> str:
    """Return SQL for the text column at `position` in its type; invalid values raise an error."""
    if position is None:
        return f"CAST(NULL AS {column.type})"
    if column.type == "JSON":
        return f"c{position}"
    if column.name in form.lenient:
        cast_sql = strict_cast(f"c{position}", column.type, form, trying=True).value
        return (
            f"CASE WHEN {bad_value_condition(f'c{position}', column.type, form, column.name)} THEN"
            f" NULL ELSE {cast_sql} END"
        )
    return checked_cast(
        strict_cast(f"c{position}", column.type, form, column=column.name),
        f"column {position}: a value isn't {column.type}",
    )


class Bad(NamedTuple):
    """A column with values that don't parse.

    `position` is its place in the file (from 0), `values` holds at most BAD_VALUES_MAX of them as
    text.
    """

    position: int
    name: str
    type: str
    rows: int
    values: frozenset[str]


def bad_columns(
    connection: duckdb.DuckDBPyConnection, rows_sql: str, header: FileHeader, schema: SourceSchema
) -> list[Bad]:
    """Return each column with values that don't parse as its type; no value raises an error."""
    types = {column.name: column.type for column in schema.columns}
    candidates = [
        (position, name, bad_value_condition(f"c{position}", types[name], schema.format, name))
        for position, name in enumerate(header.names, 1)
        if types.get(name, "JSON") not in ("JSON", "VARCHAR")
    ]
    bads: list[Bad] = []
    for start in range(0, len(candidates), COLUMNS_PER_PASS):
        some = candidates[start : start + COLUMNS_PER_PASS]
        flags = ", ".join(
            f"c{position}, {condition} AS b{position}" for position, _, condition in some
        )
        facts = ", ".join(
            f"count(*) FILTER (b{p}), arg_min(c{p}, c{p}, {BAD_VALUES_MAX}) FILTER (b{p})"
            for p, _, _ in some
        )
        row = connection.execute(f"SELECT {facts} FROM (SELECT {flags} FROM {rows_sql})").fetchone()
        assert row is not None
        counted = zip(some, row[::2], row[1::2], strict=True)
        bads += [
            Bad(position - 1, name, types[name], rows, frozenset(values))
            for (position, name, _), rows, values in counted
            if rows
        ]
    return bads


def _declaration(bad: Bad, value: str) -> str:
    kind = type_to_declare(value, bad.type)
    return f"declare {printable(bad.name)} as {kind} or VARCHAR{IN_CONTRACT}" * bool(kind)


def located(
    bad: Sequence[Bad], rows: Iterator[tuple[int, Sequence[str | None]]]
) -> list[BadColumn]:
    """Find the line of each column's first bad value in `rows` (line and cells).

    At most ROWS_SEARCHED_MAX rows are read. A value that isn't found is reported without its line.
    """
    open_: dict[str, Bad] = {item.name: item for item in bad}
    at: dict[str, tuple[int, str]] = {}
    for line, cells in itertools.islice(rows, ROWS_SEARCHED_MAX):
        for name, item in list(open_.items()):
            cell = next(iter(cells[item.position : item.position + 1]), None)
            if cell in item.values:
                at[name] = line, cell
                del open_[name]
        if not open_:
            break
    return [
        BadColumn(
            item.name, item.type, item.rows, printable(value), line, hint=_declaration(item, value)
        )
        for item in bad
        for line, value in (at.get(item.name, (None, min(item.values))),)
    ]


def drift_of(columns: Sequence[BadColumn], *, unit: str = "line") -> TypeDrift:
    """Return the drift of these columns, described in one sentence.

    `unit` is the unit of `BadColumn.line`; other units than lines are dropped from the columns.
    """
    text = "; ".join(_described(column, unit) for column in columns[:3]) + (
        f"; and {len(columns) - 3} more columns" if len(columns) > 3 else ""
    )
    return TypeDrift(
        tuple(
            column if unit == "line" else msgspec.structs.replace(column, line=None)
            for column in columns
        ),
        text,
    )


def _described(bad: BadColumn, unit: str) -> str:
    where = f" at {unit} {bad.line}" if bad.line else ""
    rows = "1 row" if bad.rows == 1 else f"{bad.rows:,} rows"
    return (
        f"column {printable(bad.column)}: first value that isn't {bad.type_written}:"
        f" '{marked(bad.value)}'{where}, {rows}{f'; {bad.hint}' if bad.hint else ''}"
    )


def almost_typed(
    connection: duckdb.DuckDBPyConnection,
    rows_sql: str,
    names: Sequence[str],
    learnt: InferredTypes,
    form: Format,
) -> tuple[AlmostTyped, ...]:
    """Return the text columns of which at least ALMOST_ALL values are of one type.

    The columns are `c1 …`, called `names`; each has at least VALUES_MIN values. A column whose
    other values parse as that type too (`007` among numbers) holds codes and isn't returned.
    """
    results = []
    for start in range(0, len(learnt.mixed), _ALMOST_PER_PASS):
        some = learnt.mixed[start : start + _ALMOST_PER_PASS]
        facts = ", ".join(_almost(f"c{position}", form) for position in some)
        row = connection.execute(f"SELECT {facts} FROM {rows_sql}").fetchone()
        assert row is not None
        width = 1 + 2 * len(SHAPES)
        for index, position in enumerate(some):
            values, *counts = row[index * width : (index + 1) * width]
            fitting, unreadable = counts[::2], counts[1::2]
            best = max(range(len(SHAPES)), key=fitting.__getitem__)
            few = 0 < values - fitting[best] <= (1 - ALMOST_ALL) * values
            if few and values >= VALUES_MIN and unreadable[best] == values - fitting[best]:
                results.append(
                    AlmostTyped(names[position - 1], [*SHAPES][best], fitting[best], values)
                )
    return tuple(results)


def _almost(value: str, form: Format) -> str:
    """Return SQL that counts a column's values, and per type the matching and unparsable ones."""
    there = f"{value} IS NOT NULL AND {value} NOT IN ({', '.join(map(literal, form.null))})"
    conditions = (
        condition
        for name in SHAPES
        for condition in (is_of(value, name), bad_value_condition(value, name, form))
    )
    counts = (f"count(*) FILTER ({there} AND {condition})" for condition in conditions)
    return ", ".join((f"count(*) FILTER ({there})", *counts))
