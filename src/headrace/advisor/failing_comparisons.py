"""Comparisons that fail for some values: which rows reach them depends on the database's plan."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace.advisor.selects import SelectScope

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def failing_comparisons(scope: SelectScope) -> Iterator[str]:
    """Yield, in words, that comparisons of a text with another type don't fail.

    `'x' = 1` is an error in most databases. A query that succeeds now may fail without a join, an
    order or a DISTINCT, as other rows are compared.
    """
    conditions = [condition for item in scope.items for condition in item.conditions]
    clauses = [scope.select.args.get(key) for key in ("where", "having", "qualify")]
    parts = [*scope.select.expressions, *conditions, *filter(None, clauses)]
    for node in (node for part in parts for node in part.walk()):
        if isinstance(node, _COMPARISONS) and _compares_text(scope, node):
            yield f"`{node.sql(comments=False)[:60]}` never fails to convert a text"


def _compares_text(scope: SelectScope, node: exp.Expr) -> bool:
    sides = [node.this, node.expression]
    if not all(isinstance(side, exp.Column) for side in sides):
        return False
    types = {scope.column_type(side) for side in sides}
    return len(types) == 2 and "text" in types and "" not in types
