"""The types of a table's columns, which values take when a statement inserts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from headrace_import.importers.airflow.statements_sql import NotCarried, Statements, TableName

_WIDE = (
    exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.NVARCHAR, exp.DType.UUID, exp.DType.BOOLEAN,
    exp.DType.DOUBLE,
)  # fmt: skip
"""Types that keep each value, or refuse it."""
_CAST = (
    exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL, exp.DType.DATE,
    exp.DType.TIMESTAMP,
)  # fmt: skip


def in_its_types(
    query: exp.Query, statements: Statements, table: TableName, dialect: str
) -> exp.Query:
    """Return a query whose columns have the types of its table, as far as they change values.

    Raise `NotCarried` for a column that the statements don't fill, and for types that the import
    doesn't follow.
    """
    definition = statements.defined.get(table, [])
    if not definition:
        return query
    _require_all_filled(definition, statements.columns)
    types = {column.name.lower(): column.args["kind"] for column in definition}
    query = query.copy()
    for position, name in enumerate(statements.columns or [part.name for part in definition]):
        kind = types.get(name.lower())
        if kind is None or _keeps_values(kind, dialect):
            continue
        if kind.this not in _CAST:
            raise NotCarried(
                f"its table keeps `{name}` as {kind.sql()}, which isn't known to keep each value"
            )
        for select in _selects(query):
            _cast(select.selects[position : position + 1], kind)
    return query


def _require_all_filled(definition: Sequence[exp.ColumnDef], named: Sequence[str]) -> None:
    filled = {name.lower() for name in named}
    for column in definition:
        if filled and column.name.lower() not in filled:
            raise NotCarried(f"its table fills the column `{column.name}` by itself")


def _keeps_values(kind: exp.DataType, dialect: str) -> bool:
    is_any_number = kind.this is exp.DType.DECIMAL and not kind.expressions
    return kind.this in _WIDE or (dialect == "postgres" and is_any_number)


def _selects(query: exp.Expr) -> Iterator[exp.Select]:
    query = query.unnest()
    if isinstance(query, exp.SetOperation):
        yield from _selects(query.this)
        yield from _selects(query.expression)
    elif isinstance(query, exp.Select):
        yield query


def _cast(parts: Sequence[exp.Expr], kind: exp.DataType) -> None:
    for part in parts:
        inner = part.unalias()
        if part.is_star or (isinstance(inner, exp.Cast) and inner.to == kind):
            continue
        written = exp.cast(inner.copy(), kind.copy())
        named = exp.alias_(written, part.output_name) if part.output_name else written
        part.replace(named)
