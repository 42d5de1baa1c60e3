"""Comparisons that fail for some values: which rows reach them depends on the database's plan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from sqlglot import exp

from headrace.advisor.selects import SelectScope
from headrace.advisor.value_types import type_of

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
    conditions = [item.join.args.get("on") for item in scope.items if item.join is not None]
    clauses = [scope.select.args.get(key) for key in ("where", "having", "qualify")]
    parts = [*scope.select.expressions, *filter(None, [*conditions, *clauses])]
    for node in (node for part in parts for node in part.walk()):
        if any(_may_fail(scope, one, other) for one, other in _compared(node)):
            yield f"`{node.sql(comments=False)[:60]}` never fails to convert a value"
    for name in _merged_columns(scope):
        columns = [exp.column(name, item.alias) for item in scope.items if item.has(name)]
        if any(_may_fail(scope, one, other) for one, other in combinations(columns, 2)):
            yield f"merging the columns `{name}` never fails to convert a value"


def _compared(node: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    if isinstance(node, _COMPARISONS):
        yield node.this, node.expression
    elif isinstance(node, exp.Between):
        yield node.this, node.args["low"]
        yield node.this, node.args["high"]
    elif isinstance(node, exp.In):
        yield from ((node.this, value) for value in node.expressions)


def _merged_columns(scope: SelectScope) -> set[str]:
    names: set[str] = set()
    for item in scope.items:
        using = item.join.args.get("using") if item.join is not None else None
        names.update(name.name.lower() for name in using or ())
        names.update((item.relation.columns or ()) if item.is_natural else ())
    return names


def _may_fail(scope: SelectScope, one: exp.Expr, other: exp.Expr) -> bool:
    """Return whether the types of two values are known, and one of them may fail to convert.

    A text that is written in the query converts for all rows or for none.
    """
    if any(isinstance(side, exp.Literal) and side.is_string for side in (one, other)):
        return False
    types = {type_of(side, scope.column_type) for side in (one, other)}
    return len(types) == 2 and "" not in types and not any(types <= each for each in _CONVERT)
