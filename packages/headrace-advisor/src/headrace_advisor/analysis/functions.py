"""What functions do to rows: aggregates, and functions that give several rows."""

from __future__ import annotations

from sqlglot import exp

from headrace.sql.types import AGGREGATES

_SEVERAL_ROWS = (
    exp.Explode, exp.Inline, exp.Stack, exp.UDTF, exp.ExplodingGenerateSeries, exp.SplitToTable,
)  # fmt: skip
_SEVERAL_ROWS_NAMES = frozenset(("json_tuple", "regexp_matches", "regexp_split_to_table"))
"""Functions that sqlglot doesn't know and that give several rows, at least in some databases."""


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is an aggregate function; sqlglot doesn't know all of DuckDB's."""
    if isinstance(node, exp.AggFunc | exp.AnonymousAggFunc):
        return True
    return isinstance(node, exp.Anonymous) and str(node.name).lower() in AGGREGATES


def gives_several(node: exp.Expr) -> bool:
    """Whether `max` or `min` gives the n largest values, not one."""
    return bool(node.args.get("count") or node.args.get("expressions"))


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an expression holds an aggregate of its query (not of a window or subquery)."""
    stack = [node]
    while stack:
        part = stack.pop()
        if is_aggregate(part):
            return True
        if isinstance(part, exp.Window):  # the function itself counts rows, not groups
            stack += [inner for inner in part.iter_expressions() if inner is not part.this]
            stack += window_function(part).iter_expressions()
        elif not isinstance(part, exp.Query):
            stack += part.iter_expressions()
    return False


def window_function(window: exp.Window) -> exp.Expr:
    """Return the function of a window, without IGNORE NULLS or FILTER around it."""
    function: exp.Expr = window.this
    while isinstance(function, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        function = function.this
    return function


def multiplies_rows(node: exp.Expr) -> bool:
    """Whether an expression of a SELECT list gives several rows, or none, for one."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, _SEVERAL_ROWS):
            return True
        if isinstance(part, exp.Anonymous) and str(part.name).lower() in _SEVERAL_ROWS_NAMES:
            return True
        if not isinstance(part, exp.Query):
            stack += part.iter_expressions()
    return False
