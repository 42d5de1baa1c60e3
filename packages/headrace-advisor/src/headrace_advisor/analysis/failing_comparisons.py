"""Comparisons that fail for some values: which rows reach them depends on the database's plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from sqlglot import exp

from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.value_types import type_of

_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
)  # fmt: skip
_CONVERT = (
    frozenset(("number", "float", "boolean")),
    frozenset(("date", "timestamp", "timestamptz")),
)
"""Families of types of which each value becomes one of the others."""


def failing_comparisons(scope: SelectScope) -> Iterator[str]:
    """Yield, in words, that comparisons of values of different types don't fail.

    `'x' = 1` is an error in most databases. A query that succeeds now may fail without a join, an
    order or a DISTINCT, as other rows are compared.
    """
    for node in _nodes(scope):
        if _any_fails(scope, _compared(node)):
            yield f"`{node.sql(comments=False)[:60]}` never fails to convert a value"
    for name in sorted(set(_merged_columns(scope))):
        columns = [exp.column(name, item.alias) for item in scope.items if item.has(name)]
        if _any_fails(scope, combinations(columns, 2)):
            yield f"merging the columns `{name}` never fails to convert a value"


def _nodes(scope: SelectScope) -> Iterator[exp.Expr]:
    conditions = [item.join.args.get("on") for item in scope.items if item.join is not None]
    clauses = [scope.select.args.get(key) for key in ("where", "having", "qualify")]
    for part in [*scope.select.expressions, *filter(None, [*conditions, *clauses])]:
        yield from part.walk()


def _compared(node: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    if isinstance(node, _COMPARISONS):
        yield node.this, node.expression
    elif isinstance(node, exp.Between):
        yield node.this, node.args["low"]
        yield node.this, node.args["high"]
    elif isinstance(node, exp.In):
        yield from ((node.this, value) for value in node.expressions)


def _merged_columns(scope: SelectScope) -> Iterator[str]:
    for item in scope.items:
        using = item.join.args.get("using") if item.join is not None else None
        yield from (name.name.lower() for name in using or ())
        yield from (item.relation.columns or ()) if item.is_natural else ()


def _any_fails(scope: SelectScope, pairs: Iterable[tuple[exp.Expr, exp.Expr]]) -> bool:
    return any(_may_fail(scope, left, right) for left, right in pairs)


def _may_fail(scope: SelectScope, left: exp.Expr, right: exp.Expr) -> bool:
    """Return whether the types of two values are known, and one of them may fail to convert.

    A text that is written in the query converts for all rows or for none.
    """
    if any(isinstance(side, exp.Literal) and side.is_string for side in (left, right)):
        return False
    types = {type_of(side, scope.column_type) for side in (left, right)}
    return len(types) == 2 and "" not in types and not any(types <= each for each in _CONVERT)
