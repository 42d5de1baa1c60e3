"""Rules about conditions: NOT IN over NULLs, and functions that keep files from being skipped."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace_advisor.analysis.advice import Finding, Premise
from headrace_advisor.analysis.conditions import Attribute, conjuncts, unparenthesised
from headrace_advisor.analysis.edits import position
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.selects import SelectScope


def not_in_null(  # complexipy: ignore (one finding per outcome)
    queries: Queries,
) -> Iterator[Finding]:
    """NOT IN of a subquery: one NULL in it, and the condition is true for no row."""
    for node in queries.statement.tree.find_all(exp.In):
        query = node.args.get("query")
        if query is None or not _is_negated(node):
            continue
        relation = queries.relations.get(id(query.unnest()))
        columns = () if relation is None else relation.columns or ()
        column = columns[0] if len(columns) == 1 else ""
        premises = relation.not_null(column) if relation is not None and column else None
        where = position(queries.statement, node)
        if premises is None:
            text = f"{column or 'the column'} of the subquery is never NULL"
            reasons = frozenset((Premise(text, None),))
            message = (
                "NOT IN is true for no row at all if the subquery gives one NULL:"
                " use NOT EXISTS, or leave NULLs out"
            )
        else:
            by_query = Premise(f"{column} is never NULL", "conditions of the query")
            reasons = premises or frozenset((by_query,))
            message = f"NOT IN meets no NULL: {column} of the subquery is never NULL"
        refuted = all(premise.guard is not None for premise in reasons)
        yield Finding(
            "not_in_null", "not_in_null", where, message, reasons, refuted=refuted, provable=False
        )


def _is_negated(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return isinstance(parent, exp.Not)


_PARTS_OF_TIME = (
    exp.Year, exp.Month, exp.Day, exp.Extract, exp.TimestampTrunc, exp.DateTrunc, exp.TimeToStr,
    exp.TsOrDsToDate, exp.Date, exp.Week, exp.Quarter, exp.DayOfWeek, exp.DayOfYear, exp.ToChar,
)  # fmt: skip
_PREFIXES = (exp.Substring, exp.Left)
_PRUNES_DATES = frozenset(("bigquery",))
"""Dialects whose database skips partitions by DATE(column), too."""
_COMPARISONS = (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)


def non_sargable(queries: Queries) -> Iterator[Finding]:
    """A function around a column in a condition: statistics of the column don't help."""
    for select, scope in queries.selects():
        where = select.args.get("where")
        conditions = list(conjuncts(where.this if where is not None else None))
        for item in scope.items:
            conditions += item.conditions
        for condition in conditions:
            if isinstance(condition, _COMPARISONS):
                yield from _of_condition(queries, scope, condition)


def _of_condition(queries: Queries, scope: SelectScope, condition: exp.Expr) -> Iterator[Finding]:
    sides = [condition.this, condition.args.get("expression")]
    for number, side in enumerate(sides):
        if side is None or not _is_wrapped(unparenthesised(side), queries.statement.dialect):
            continue
        other = sides[1 - number]
        value = unparenthesised(side)
        columns = {scope.resolve(column) for column in value.find_all(exp.Column)}
        if not columns or value.find(exp.Query) is not None:
            continue
        if other is not None and _needs_row(scope, condition, other, columns):
            continue
        yield Finding(
            "non_sargable",
            "push_filter",
            position(queries.statement, condition),
            f"`{value.sql(queries.statement.dialect)[:60]}` hides a column from statistics and"
            " indexes: compare the column itself with a range",
            provable=False,
        )
        return


def _needs_row(
    scope: SelectScope, condition: exp.Expr, other: exp.Expr, columns: set[Attribute | None]
) -> bool:
    """Whether the other side isn't a value that a range could be made of.

    It has the same columns, or it is a column and the condition an equality: a join on a range
    would be slower than that.
    """
    others = [scope.resolve(column) for column in other.find_all(exp.Column)]
    return not columns.isdisjoint(others) or (bool(others) and isinstance(condition, exp.EQ))


def _is_wrapped(  # complexipy: ignore (a case per kind of function)
    value: exp.Expr, dialect: str
) -> bool:
    if isinstance(value, exp.Cast) and dialect in _PRUNES_DATES:
        return False
    if isinstance(value, exp.Cast):
        to_date = value.is_type(exp.DataType.Type.DATE)
        return to_date and isinstance(unparenthesised(value.this), exp.Column)
    if isinstance(value, _PARTS_OF_TIME):
        is_date = isinstance(value, exp.Date | exp.TsOrDsToDate)
        return not (is_date and dialect in _PRUNES_DATES)
    if isinstance(value, _PREFIXES):
        return isinstance(unparenthesised(value.this), exp.Column)
    if isinstance(value, exp.Add | exp.Sub | exp.Mul):
        parts = [unparenthesised(part) for part in (value.this, value.expression)]
        return any(_is_wrapped(part, dialect) for part in parts)
    return False
