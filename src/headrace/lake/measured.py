"""Field ids for a file to be written, and its columns' statistics as DuckDB returned them, completed where it gives none.

DuckDB has no bounds for long text that isn't ASCII and no counts for intervals; readers of the catalog would skip rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.lake.bounds import BOUND_CHARACTERS_MAX, is_text, lower_bound, upper_bound
from headrace.lake.catalog.columns import ids_of, leaves_of
from headrace.lake.relation import relation_sql
from headrace.lake.session import DuckDBSession, literal, quote
from headrace.lake.tables import PARTITION_COLUMN, ColumnLookup, ColumnStatistics, FileRef, LakeColumn
from headrace.lake.types import Type, parse

Found = Mapping[str, Mapping[str, str]]
"""What COPY's RETURN_STATS gives: statistics by the column's quoted path."""


def field_ids(columns: Sequence[LakeColumn]) -> str:
    """The columns' ids, and those of the fields inside them, as COPY's FIELD_IDS."""
    return "{" + ", ".join(f"{literal(column.name)}: {_nested_ids(column)}" for column in columns) + "}"


def _nested_ids(column: LakeColumn) -> str:
    ids = iter(ids_of(column))

    def walk(kind: Type) -> str:
        own = next(ids)
        if not kind.fields:
            return str(own)
        inner = ", ".join(f"{literal(name)}: {walk(child)}" for name, child in kind.fields)
        return f"{{__duckdb_field_id: {own}, {inner}}}"

    return walk(parse(column.type))


def measure(
    session: DuckDBSession, path: str, rows: int, results: Found, columns: Sequence[LakeColumn]
) -> tuple[dict[str, ColumnStatistics], dict[int, ColumnStatistics]]:
    """Statistics of the plain columns by name, and of the fields inside nested ones by id."""
    plain: dict[str, ColumnStatistics] = {}
    nested: dict[int, ColumnStatistics] = {}
    unsure: list[LakeColumn] = []
    for column in columns:
        for leaf, parts, kind in leaves_of(column):
            of = _statistics(kind.name, results[".".join(quote(part) for part in parts)])
            if len(parts) > 1:
                nested[leaf] = of
                continue
            plain[column.name] = of
            if column.name == PARTITION_COLUMN:
                continue
            if of.values + of.nulls != rows or (is_text(kind.name) and of.values and (of.minimum is None or of.maximum is None)):
                unsure.append(column)
    plain.update(_measured(session, path, rows, plain, unsure))
    return plain, nested


def _statistics(type_name: str, of: Mapping[str, str]) -> ColumnStatistics:
    nulls, minimum, maximum = int(of["null_count"]), of.get("min"), of.get("max")
    if is_text(type_name):
        minimum = None if minimum is None else lower_bound(minimum)
        maximum = None if maximum is None else upper_bound(maximum)
    nan = of.get("has_nan")
    return ColumnStatistics(
        int(of["column_size_bytes"]), int(of["num_values"]) - nulls, nulls, minimum, maximum, None if nan is None else nan == "true"
    )


def _measured(
    session: DuckDBSession, path: str, rows: int, known: Mapping[str, ColumnStatistics], columns: Sequence[LakeColumn]
) -> dict[str, ColumnStatistics]:
    """What DuckDB left out, from one scan of the columns in question."""
    if not columns:
        return {}
    wanted = []
    for column in columns:
        name = quote(column.name)
        bounded = is_text(column.type)
        wanted += [f"count({name})"] + [
            f"left(CAST({of}({name}) AS VARCHAR), {BOUND_CHARACTERS_MAX + 1})" if bounded else "NULL" for of in ("min", "max")
        ]
    row = session.connection.execute(
        f"SELECT {', '.join(wanted)} FROM ({relation_sql([FileRef(path, lookup=ColumnLookup.SAME)], columns)}) AS file"
    ).fetchone()
    assert row is not None
    measured = {}
    for number, column in enumerate(columns):
        values, minimum, maximum = row[3 * number : 3 * number + 3]
        measured[column.name] = msgspec.structs.replace(
            known[column.name],
            values=values,
            nulls=rows - values,
            minimum=None if minimum is None else lower_bound(minimum),
            maximum=None if maximum is None else upper_bound(maximum),
        )
    return measured
