"""Filters, order, pages and column profiles of a relation, as SQL for a `DuckDBSession`.

The relation is a SELECT whose columns are masked already, so that a filter, an order and a profile
see no more than its reader.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from headrace.lake.reading import DataFormat, converted, selected_values, write_query
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote
from headrace.lake.tables import LakeColumn
from headrace.lake.types import parse
from headrace.model.errors import UsageError, did_you_mean

COMPARISONS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OPERATORS = (*COMPARISONS, "contains", "null", "not_null")
RANGES = 12
"""Number of ranges of equal width in a profile."""
FREQUENT_MAX = 6
FREQUENT_OF_MAX = 1_000
"""The most frequent values are counted for columns with at most this number of distinct ones."""
EXACT_ROWS_MAX = 1_000_000
"""Distinct values are counted exactly in at most this number of rows."""
TEXT_MAX = 200
"""Characters of a value in a profile."""
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


class RowsFilter(msgspec.Struct, frozen=True, array_like=True):
    """A condition on one column: `operator` is one of OPERATORS, `value` is text as typed."""

    column: str
    operator: str
    value: str = ""


class RowsView(msgspec.Struct, frozen=True):
    """Which rows of a relation are read, and in which order.

    `sort` has columns, with `-` in front for descending. `stable`: without `sort`, the relation's
    own order is the same in each read.
    """

    filters: tuple[RowsFilter, ...] = ()
    search: str = ""
    sort: tuple[str, ...] = ()
    stable: bool = True


class ColumnFigures(msgspec.Struct, frozen=True):
    """The figures of one column, with bounds and values as text."""

    column: LakeColumn
    nulls: int
    distinct: int | None
    least: str | None
    greatest: str | None
    ranges: tuple[tuple[str, str, int], ...] = ()
    frequent: tuple[tuple[str, int], ...] = ()


class RowPages:
    """The rows of a relation that a view shows, read in `session`; `columns` are the relation's.

    Every method raises UsageError for a filter that doesn't fit its column or an unknown column.
    """

    def __init__(
        self,
        session: DuckDBSession,
        relation: str,
        columns: Sequence[LakeColumn],
        view: RowsView,
    ) -> None:
        self._session, self._relation = session, relation
        self._columns, self._view = columns, view

    def count(self) -> tuple[int, int]:
        """Return the number of all rows, and of those that fit."""
        fitting = self._condition()
        counted = f"count(*) FILTER (WHERE {fitting})" if fitting else "count(*)"
        row = self._session.row(f"SELECT count(*), {counted} FROM ({self._relation}\n) AS rows")
        return int(row[0]), int(row[1])

    def page(
        self, chosen: Sequence[LakeColumn], *, limit: int, offset: int
    ) -> tuple[dict[str, Any], ...]:
        """Return at most `limit` rows as JSON values, after `offset` others."""
        query = (
            f"SELECT {selected_values(chosen)} FROM ({self._rows()}"
            f" LIMIT {int(limit)} OFFSET {int(offset)}) AS page"
        )
        return converted(chosen, self._session.connection.execute(query).fetchall())

    def write(
        self, chosen: Sequence[LakeColumn], out: Any, data_format: DataFormat, *, about: str
    ) -> None:
        """Write all rows that fit to a binary stream, in their order."""
        names = ", ".join(quote(column.name) for column in chosen)
        query = f"SELECT {names} FROM ({self._rows()}) AS rows"
        write_query(self._session, query, out, data_format, about=about)

    def profile(self, chosen: Sequence[LakeColumn]) -> tuple[int, bool, tuple[ColumnFigures, ...]]:
        """Return the number of rows that fit, whether distinct values are estimated, and the
        figures of the columns."""
        _, total = self.count()
        fitting, session = self._condition(), self._session
        source = f"SELECT * FROM ({self._relation}\n) AS rows"
        source += f" WHERE {fitting}" if fitting else ""
        exact = total <= EXACT_ROWS_MAX
        if not chosen or not total:
            return total, False, tuple(ColumnFigures(item, 0, 0, None, None) for item in chosen)
        selected = ", ".join(part for item in chosen for part in _aggregates(item, exact=exact))
        row = session.row(f"SELECT {selected} FROM ({source}) AS rows")
        facts = [row[index * 6 : index * 6 + 6] for index in range(len(chosen))]
        ranges = _ranges(session, source, chosen, facts)
        return (
            total,
            not exact,
            tuple(
                ColumnFigures(
                    column=item,
                    nulls=total - int(counted),
                    distinct=None if distinct is None else int(distinct),
                    least=least,
                    greatest=greatest,
                    ranges=ranges.get(item.name, ()),
                    frequent=_frequent(session, source, item, distinct),
                )
                for item, (counted, distinct, least, greatest, _, _) in zip(
                    chosen, facts, strict=True
                )
            ),
        )

    def _rows(self) -> str:
        fitting = self._condition()
        order = _order(self._columns, self._view)
        return (
            f"SELECT * FROM ({self._relation}\n) AS rows"
            + (f" WHERE {fitting}" if fitting else "")
            + (f" ORDER BY {order}" if order else "")
        )

    def _condition(self) -> str:
        columns = self._columns
        parts = [_comparison(self._session, columns, item) for item in self._view.filters]
        if self._view.search:
            text = literal(self._view.search.lower())
            contained = (
                f"contains(lower(CAST({quote(item.name)} AS VARCHAR)), {text})" for item in columns
            )
            parts.append(f"({' OR '.join(contained)})")
        return " AND ".join(parts)


def is_nested(type_name: str) -> bool:
    """Return whether a type is a list, a struct or a map, whose values have no order here."""
    return bool(parse(type_name).fields)


def column_of(columns: Sequence[LakeColumn], name: str) -> LakeColumn:
    """Return a column by its name, in whatever case. Raise UsageError if there is none."""
    for column in columns:
        if column.name.lower() == name.lower():
            return column
    hint = did_you_mean(name, [column.name for column in columns])
    raise UsageError(f"there is no column {name[:60]!r}", hint=hint or "choose another column")


def _order(columns: Sequence[LakeColumn], view: RowsView) -> str:
    """Return an order in which rows that differ always have the same sequence."""
    if not view.sort and view.stable:
        return ""
    known = {column.name.lower() for column in columns}
    parts: list[str] = []
    sorted_by: set[str] = set()
    for text in view.sort:
        descending = text.startswith("-") and text.lower() not in known
        column = column_of(columns, text[1:] if descending else text)
        sorted_by.add(column.name)
        parts.append(f"{quote(column.name)} {'DESC' if descending else 'ASC'} NULLS LAST")
    return ", ".join(
        [*parts, *(quote(item.name) for item in columns if item.name not in sorted_by)]
    )


def _comparison(session: DuckDBSession, columns: Sequence[LakeColumn], item: RowsFilter) -> str:
    column = column_of(columns, item.column)
    name = quote(column.name)
    if item.operator == "null":
        return f"{name} IS NULL"
    if item.operator == "not_null":
        return f"{name} IS NOT NULL"
    if item.operator == "contains":
        return f"contains(lower(CAST({name} AS VARCHAR)), {literal(item.value.lower())})"
    comparison = COMPARISONS.get(item.operator)
    if comparison is None:
        hint = f"one of {', '.join(OPERATORS)}"
        raise UsageError(f"{item.operator[:60]!r} is no operator of a filter", hint=hint)
    if is_nested(column.type):
        raise UsageError(
            f"{column.name} is a {parse(column.type).name}: it has no order",
            hint="filter it by `contains`",
        )
    value = f"TRY_CAST({literal(item.value)} AS {column.type})"
    row = session.connection.execute(f"SELECT {value} IS NULL").fetchone()
    if row is None or row[0]:
        raise UsageError(
            f"{item.value[:60]!r} is no {column.type[:60]}, the type of {column.name}",
            hint="dates are written 2026-01-31, times 2026-01-31 07:30",
        )
    return f"{name} {comparison} {value}"


# Profiles: six aggregates for each column in one pass, then the ranges of all columns in another.


def _aggregates(column: LakeColumn, *, exact: bool) -> tuple[str, ...]:
    name = quote(column.name)
    nothing = "NULL"
    if is_nested(column.type) or column.type == "BLOB":
        return (f"count({name})", *(nothing,) * 5)
    distinct = f"count(DISTINCT {name})" if exact else f"approx_count_distinct({name})"
    ends = [f"left(CAST({end}({name}) AS VARCHAR), {TEXT_MAX})" for end in ("min", "max")]
    number = _number(column)
    bounds = (
        [f"{end}({number}) FILTER (WHERE isfinite({number}))" for end in ("min", "max")]
        if number
        else [nothing, nothing]
    )
    return (f"count({name})", distinct, *ends, *bounds)


def _number(column: LakeColumn) -> str:
    """Return the column as a number whose ranges can be counted; empty for other types."""
    name = quote(column.name)
    if column.type.removeprefix("U").startswith(_NUMBERS):
        return f"CAST({name} AS DOUBLE)"
    if column.type.startswith(("DATE", "TIMESTAMP")):
        return f"CASE WHEN isfinite({name}) THEN epoch({name}) END"
    return ""


def _ranges(
    session: DuckDBSession,
    source: str,
    chosen: Sequence[LakeColumn],
    facts: Sequence[Sequence[Any]],
) -> dict[str, tuple[tuple[str, str, int], ...]]:
    """Return the ranges by column: none for a column with a single value, or without numbers."""
    bounds = {
        item.name: _bounds(float(fact[4]), float(fact[5]))
        for item, fact in zip(chosen, facts, strict=True)
        if fact[4] is not None and fact[5] is not None and float(fact[4]) < float(fact[5])
    }
    counted = [item for item in chosen if item.name in bounds]
    if not counted:
        return {}
    selected = ", ".join(
        f"histogram({_number(item)}, {list(bounds[item.name][1:])!r}::DOUBLE[])"
        f" FILTER (WHERE isfinite({_number(item)}))"
        for item in counted
    )
    row = session.row(f"SELECT {selected} FROM ({source}) AS rows")
    results = {}
    for item, counts in zip(counted, row, strict=True):
        ends = bounds[item.name]
        texts = pairwise(_bound_texts(session, item, ends))
        results[item.name] = tuple(
            (low, high, int(counts.get(end, 0)))
            for (low, high), end in zip(texts, ends[1:], strict=True)
        )
    return results


def _bounds(least: float, greatest: float) -> list[float]:
    """Return the ends of RANGES ranges of equal width. The last one is exactly the greatest."""
    step = greatest / RANGES - least / RANGES
    inner = [least + step * number for number in range(1, RANGES)]
    return list(dict.fromkeys([least, *inner, greatest]))


def _bound_texts(session: DuckDBSession, column: LakeColumn, ends: Sequence[float]) -> list[str]:
    """Return ends of ranges as text: times to the minute, those with a zone in the session's.

    DuckDB writes them, whose dates go beyond those of Python: years before 1 are numbers as in
    ISO 8601 (-3019 is 3020 BC).
    """
    if not column.type.startswith(("DATE", "TIMESTAMP")):
        return [f"{value:.6g}" for value in ends]
    zoned = column.type in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
    at = "to_timestamp(item)" if zoned else "make_timestamp(CAST(item * 1000000 AS BIGINT))"
    form = "%Y-%m-%d" if column.type == "DATE" else "%Y-%m-%d %H:%M"
    row = session.row(
        f"SELECT list_transform({list(ends)!r}::DOUBLE[], lambda item: strftime({at}, '{form}'))"
    )
    return list(map(str, row[0]))


def _frequent(
    session: DuckDBSession, source: str, column: LakeColumn, distinct: int | None
) -> tuple[tuple[str, int], ...]:
    if _number(column) or not distinct or distinct > FREQUENT_OF_MAX:
        return ()
    name = quote(column.name)
    rows = session.connection.execute(
        f"SELECT left(CAST({name} AS VARCHAR), {TEXT_MAX}), count(*) FROM ({source}) AS rows"
        f" WHERE {name} IS NOT NULL GROUP BY {name} ORDER BY 2 DESC, 1 LIMIT {FREQUENT_MAX}"
    ).fetchall()
    return tuple((str(text), int(number)) for text, number in rows)


def filters_of(texts: Sequence[str]) -> tuple[RowsFilter, ...]:
    """Return the filters in an address, each a JSON array of column, operator and value.

    Raise UsageError for other text.
    """
    try:
        return tuple(msgspec.json.decode(text, type=RowsFilter) for text in texts)
    except (msgspec.DecodeError, RecursionError):
        example = json.dumps(["amount", "ge", "10"])
        raise UsageError("a filter can't be read", hint=f"for example where={example}") from None
