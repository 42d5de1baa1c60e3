"""Which interval's rows a statement deletes and inserts, and by which column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from sqlglot import exp

from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.statements_sql import NotCarried, Statements, token_of
from headrace_import.importers.airflow.templates import NO_DASHES, Instant, Setting

_DAY = dt.timedelta(days=1)


def _conjuncts(where: exp.Expr | None) -> Iterator[exp.Expr]:
    if where is None:
        return
    where = where.unnest()
    if isinstance(where, exp.And):
        yield from _conjuncts(where.this)
        yield from _conjuncts(where.expression)
    else:
        yield where


_COMPARED = (exp.EQ, exp.GTE, exp.LT)
ColumnKey = tuple[str, str]
"""A column's table, as the query names it (empty where it doesn't), and its name."""


def _constrained(
    where: exp.Expr | None, values: Sequence[Instant | Setting], schedule: Schedule
) -> set[ColumnKey]:
    """Columns whose values a predicate limits to exactly the interval."""
    lower: set[ColumnKey] = set()
    upper: set[ColumnKey] = set()
    exact: set[ColumnKey] = set()
    for part in _conjuncts(where):
        if not isinstance(part, _COMPARED):
            continue
        column, edge = _compared(part, values, schedule)
        if column is None:
            continue
        if isinstance(part, exp.EQ) and edge == "start":
            exact.add(column)
        elif isinstance(part, exp.GTE) and edge == "start":
            lower.add(column)
        elif isinstance(part, exp.LT) and edge == "end":
            upper.add(column)
    return exact | (lower & upper)


def _compared(
    part: exp.Expr, values: Sequence[Instant | Setting], schedule: Schedule
) -> tuple[ColumnKey | None, str]:
    column = _bare(part.this, schedule)
    if not isinstance(column, exp.Column):
        return None, ""
    return _key(column), _edge(part.expression, values, schedule)


def _key(column: exp.Column) -> ColumnKey:
    return column.table.lower(), column.name.lower()


_DATE_OF = (exp.Cast, exp.TryCast, exp.Date, exp.TsOrDsToDate, exp.Paren)
_TRUNCATED = (exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc)


def _bare(node: exp.Expr, schedule: Schedule) -> exp.Expr:
    """A column below casts to a date, or below the start of its interval; a literal below casts."""
    while (isinstance(node, _TRUNCATED) and node.text("unit").lower() == schedule.grain) or (
        isinstance(node, _DATE_OF) and not node.args.get("expression")
    ):
        node = node.this
    return node


def _edge(node: exp.Expr, values: Sequence[Instant | Setting], schedule: Schedule) -> str:
    """`start` or `end` of the interval, if an expression is that time; else empty."""
    number = token_of(_bare(node, schedule))
    value = values[number] if number is not None else None
    if not isinstance(value, Instant) or value.pattern == NO_DASHES:
        return ""
    value = normal(value, schedule)
    if value.offset or value.intervals:
        return ""
    return "end" if value.end else "start"


def normal(value: Instant, schedule: Schedule) -> Instant:
    """A day after the start of a day is its end."""
    if schedule.grain == "day" and value.intervals:
        value = Instant(value.end, value.offset + value.intervals * _DAY, 0, value.pattern)
    if schedule.grain == "day" and not value.end and value.offset == _DAY:
        return Instant(True, dt.timedelta(0), 0, value.pattern)
    return value


def partition_column(
    query: exp.Query,
    deleted: exp.Expr | bool | None,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
) -> str:
    """The output column that says to which interval a row belongs. Raises `NotCarried`."""
    if isinstance(deleted, exp.Expr):
        column = _deleted_column(deleted, values, schedule)
        if not column:
            raise NotCarried("its DELETE doesn't delete exactly the rows of one interval")
        names = {part.alias_or_name.lower() for part in query.selects}
        if column not in names and not any(part.is_star for part in query.selects):
            raise NotCarried(f"its query has no column `{column}`, by which it deletes")
        check_rows(query, column, values, schedule)
        return column
    select = query if isinstance(query, exp.Select) else None
    candidates = _candidates(select, values, schedule) if select is not None else []
    if not candidates:
        raise NotCarried(
            f"no column of its rows says to which {schedule.grain} they belong",
            f"add the {schedule.grain} as a column of the query",
        )
    return candidates[0]


def check_rows(
    query: exp.Query, column: str, values: Sequence[Instant | Setting], schedule: Schedule
) -> None:
    """Raise `NotCarried` if a query may have rows of other intervals, by one of its columns."""
    if not _is_limited(query, column.lower(), values, schedule):
        raise NotCarried(
            f"it deletes one {schedule.grain}, but no condition limits the column `{column}` of the"
            f" rows that it inserts to that {schedule.grain}",
            f"limit the query to one {schedule.grain} in its WHERE",
        )


def _is_limited(
    query: exp.Expr, column: str, values: Sequence[Instant | Setting], schedule: Schedule
) -> bool:
    """Whether each row of a query has a time of the interval in a column."""
    query = query.unnest()
    if isinstance(query, exp.SetOperation):
        return _are_both_limited(query, column, values, schedule)
    if not isinstance(query, exp.Select):
        return False
    for part in query.expressions:
        if part.alias_or_name.lower() == column:
            inner = part.unalias()
            return _edge(inner, values, schedule) == "start" or _is_limited_column(
                query, _bare(inner, schedule), values, schedule
            )
    is_star = any(part.is_star for part in query.expressions)
    return is_star and _is_limited_column(query, exp.column(column), values, schedule)


def _are_both_limited(
    query: exp.SetOperation, column: str, values: Sequence[Instant | Setting], schedule: Schedule
) -> bool:
    """Whether both sides of a UNION are limited, in the columns at the same position."""
    names = [part.alias_or_name.lower() for part in query.this.selects]
    others = [part.alias_or_name.lower() for part in query.expression.selects]
    if column not in names or len(names) != len(others):
        return False
    other = others[names.index(column)]
    return _is_limited(query.this, column, values, schedule) and _is_limited(
        query.expression, other, values, schedule
    )


def _is_limited_column(
    select: exp.Select,
    column: exp.Expr,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
) -> bool:
    if not isinstance(column, exp.Column):
        return False
    if _key(column) in _limits(select, values, schedule):
        return True
    source = _source_of(select, column.table.lower())
    return source is not None and _is_limited(source, column.name.lower(), values, schedule)


def _limits(
    select: exp.Select, values: Sequence[Instant | Setting], schedule: Schedule
) -> set[ColumnKey]:
    """Columns that the conditions of a query limit, also by the name of its only table."""
    keys: set[ColumnKey] = set()
    for condition in _conditions(select):
        keys |= _constrained(condition, values, schedule)
    tables = {table.alias_or_name.lower() for table in _tables(select)}
    if len(tables) == 1:
        (only,) = tables
        names = {name for _, name in keys}
        return {(table, name) for name in names for table in ("", only)}
    return keys


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    """WHERE, and ON of joins that keep no row without it."""
    where = select.args.get("where")
    if where is not None:
        yield where.this
    for join in select.args.get("joins") or []:
        condition = join.args.get("on")
        if condition is not None and not join.side and join.kind in ("", "INNER"):
            yield condition


def _tables(select: exp.Select) -> list[exp.Expr]:
    source = select.args.get("from_")
    joins = select.args.get("joins") or []
    return ([source.this] if source is not None else []) + [join.this for join in joins]


def _source_of(select: exp.Select, table: str) -> exp.Expr | None:
    """The query that a name means in FROM; None for a table of the database."""
    sources = [source for source in _tables(select) if table in ("", source.alias_or_name.lower())]
    if len(sources) != 1:
        return None
    source = sources[0]
    if isinstance(source, exp.Table):
        return None if source.db else _common_table(select, source.name.lower())
    return source if isinstance(source, exp.Subquery) else None


def _common_table(node: exp.Expr | None, name: str) -> exp.Expr | None:
    """The query of a WITH clause around a node; None within that query itself (RECURSIVE)."""
    inside: set[int] = set()
    while node is not None:
        inside.add(id(node))
        for cte in getattr(node, "ctes", []):
            if cte.alias.lower() == name:
                body: exp.Expr = cte.this
                return None if id(body) in inside else body
        node = node.parent
    return None


def _candidates(
    select: exp.Select, values: Sequence[Instant | Setting], schedule: Schedule
) -> list[str]:
    limits = _limits(select, values, schedule)
    literal, derived = [], []
    for part in select.expressions:
        inner = part.unalias()
        if _edge(inner, values, schedule) == "start":
            literal.append(part.alias_or_name)
        bare = _bare(inner, schedule)
        if isinstance(bare, exp.Column) and _key(bare) in limits:
            derived.append(part.alias_or_name)
    return literal or derived


def check_delete(
    deleted: exp.Expr | bool | None,
    column: str,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
) -> None:
    """Raise `NotCarried` if a DELETE removes other rows than those of one interval."""
    deleted_column = (
        _deleted_column(deleted, values, schedule) if isinstance(deleted, exp.Expr) else column
    )
    if deleted_column.lower() != column.lower():
        raise NotCarried("its DELETE doesn't delete exactly the rows of one interval")


def _deleted_column(
    where: exp.Expr, values: Sequence[Instant | Setting], schedule: Schedule
) -> str:
    """The only column of a predicate, if that limits it to exactly the interval; else empty."""
    compared = [
        _compared(part, values, schedule)[0] if isinstance(part, _COMPARED) else None
        for part in _conjuncts(where)
    ]
    exact = _constrained(where, values, schedule)
    only = compared[0] if compared and set(compared) == exact and len(exact) == 1 else None
    return only[1] if only is not None else ""


def deletes_interval(
    statements: Statements, values: Sequence[Instant | Setting], schedule: Schedule
) -> bool:
    """Whether each DELETE removes exactly the rows of one interval."""
    return all(
        where is not None and _deleted_column(where, values, schedule)
        for where in statements.deletes.values()
    )
