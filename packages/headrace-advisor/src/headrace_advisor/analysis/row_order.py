"""Parts of a query whose result depends on the order of rows that nothing fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sqlglot import exp

from headrace_advisor.analysis.functions import window_function
from headrace_advisor.analysis.relations import NO_REASONS
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.value_types import type_of

FLOAT_ORDER = "doesn't depend on the order in which it adds"
ScopeOf = Callable[[exp.Expr], SelectScope | None]

_ANY_OF_SEVERAL = (
    exp.AnyValue, exp.First, exp.Last, exp.ArgMax, exp.ArgMin, exp.ArrayAgg, exp.GroupConcat,
    exp.ArrayUniqueAgg, exp.ArrayConcatAgg, exp.ApproxQuantile, exp.ApproxTopK, exp.Mode,
    exp.JSONArrayAgg, exp.JSONObjectAgg, exp.ObjectAgg,
)  # fmt: skip
_ANY_OF_SEVERAL_NAMES = frozenset(
    ("arbitrary", "arg_max_null", "arg_max_nulls_last", "arg_min_null", "arg_min_nulls_last",
     "histogram", "histogram_exact", "json_group_array", "json_group_object",
     "json_group_structure", "reservoir_quantile")
)  # fmt: skip
"""Aggregates of DuckDB that sqlglot doesn't know, and whose result the order of rows may change."""
_RANKED = (
    exp.RowNumber, exp.Lag, exp.Lead, exp.Ntile, exp.FirstValue, exp.LastValue, exp.NthValue,
)  # fmt: skip
_SUMMED = (exp.Sum, exp.Avg)
_ALWAYS_FLOAT = (
    exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr,
    exp.CovarPop, exp.CovarSamp, exp.Kurtosis, exp.Skewness, exp.RegrAvgx, exp.RegrAvgy,
    exp.RegrIntercept, exp.RegrR2, exp.RegrSlope, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy,
)  # fmt: skip
_ALWAYS_FLOAT_NAMES = frozenset(
    ("entropy", "favg", "fsum", "geomean", "geometric_mean", "kahan_sum", "kurtosis_pop", "mean",
     "product", "sem", "sumkahan")
)  # fmt: skip


def order_dependence(tree: exp.Expr, scope_of: ScopeOf) -> list[str]:
    """Return what must hold for the order of rows not to matter, in words; empty if it doesn't."""
    reasons: dict[str, None] = {}
    for node in tree.walk():
        for reason in _of_node(node, scope_of):
            reasons[reason] = None
    return list(reasons)


def _of_node(  # complexipy: ignore (a case per kind of node)
    node: exp.Expr, scope_of: ScopeOf
) -> Iterator[str]:
    if isinstance(node, exp.Query) and _takes_some_rows(node) and not _ordered_rows(node, scope_of):
        yield "its LIMIT takes the same rows in each run"
    elif _takes_any(node) and not isinstance(node.parent, exp.WithinGroup):
        if node.find(exp.Order) is None:
            yield f"`{_text(node)}` doesn't depend on the order of rows"
    elif isinstance(node, exp.Window):
        if not _ordered_window(node, scope_of):
            yield f"`{_text(node)}` orders rows without ties"
    elif _is_of_floats(node) or _may_sum_floats(node, scope_of):
        yield f"`{_text(node)}` {FLOAT_ORDER}"
    elif _is_distinct_on(node) and not _ordered_rows(node.parent_select, scope_of):
        yield "DISTINCT ON takes the same rows in each run"


def _takes_any(node: exp.Expr) -> bool:
    return isinstance(node, _ANY_OF_SEVERAL) or _name(node) in _ANY_OF_SEVERAL_NAMES


def _is_of_floats(node: exp.Expr) -> bool:
    return isinstance(node, _ALWAYS_FLOAT) or _name(node) in _ALWAYS_FLOAT_NAMES


def _name(node: exp.Expr) -> str:
    return str(node.name).lower() if isinstance(node, exp.Anonymous) else ""


def _text(node: exp.Expr) -> str:
    text = " ".join(node.sql().split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _takes_some_rows(query: exp.Query) -> bool:
    limit, offset, fetch = (query.args.get(key) for key in ("limit", "offset", "fetch"))
    if limit is None and offset is None and fetch is None:
        return False
    number = limit.expression if isinstance(limit, exp.Limit) else None
    return not (isinstance(number, exp.Literal) and number.name == "0")


def _ordered_rows(query: exp.Expr | None, scope_of: ScopeOf) -> bool:
    """Whether rows that ORDER BY doesn't tell apart are the same."""
    scope = None if query is None else scope_of(query)
    order = None if query is None else query.args.get("order")
    if scope is None or order is None:
        return scope is not None and _has_one_row(scope)
    return _determines_rows(scope, (part.this for part in order.expressions))


def _has_one_row(scope: SelectScope) -> bool:
    return scope.rows_of(scope.close({}, guarded_only=True)) is not None


def _determines_rows(scope: SelectScope, values: Iterable[exp.Expr]) -> bool:
    attributes = [scope.attribute(_meant(scope, value)) for value in values]
    start = {attribute: NO_REASONS for attribute in attributes if attribute is not None}
    closed = scope.close(start, guarded_only=True)
    if scope.rows_of(closed) is not None:
        return True
    return scope.is_complete and all(output.attribute in closed for output in scope.outputs)


def _meant(scope: SelectScope, value: exp.Expr) -> exp.Expr:
    """Return what ORDER BY means by a number or a name."""
    outputs = scope.select.expressions
    if isinstance(value, exp.Literal) and value.name.isdigit():
        number = int(value.name)
        return outputs[number - 1] if 0 < number <= len(outputs) else value
    if isinstance(value, exp.Column) and not value.table:
        aliases = {node.alias.lower(): node.this for node in outputs if node.alias}
        meant: exp.Expr = aliases.get(value.name.lower(), value)
        return meant
    return value


def _ordered_window(window: exp.Window, scope_of: ScopeOf) -> bool:
    """Whether a window's result doesn't depend on the order of rows that it doesn't order."""
    select = window.parent_select
    scope = None if select is None else scope_of(select)
    spec = window.args.get("spec")
    by_rows = spec is not None and str(spec.args.get("kind", "")).upper() == "ROWS"
    if not by_rows and not isinstance(window_function(window), _RANKED):
        return True
    if scope is None or window.args.get("alias"):
        return False
    parts = window.args.get("partition_by") or []
    order = window.args.get("order")
    ordered = [part.this for part in order.expressions] if order is not None else []
    if _determines_rows(scope, [*parts, *ordered]):
        return True
    return isinstance(window_function(window), exp.RowNumber) and _only_partitions(scope, window)


def _only_partitions(scope: SelectScope, window: exp.Window) -> bool:
    """Whether a SELECT gives, besides a row number, only columns that its PARTITION BY fixes."""
    parts = [scope.attribute(part) for part in window.args.get("partition_by") or []]
    start = {part: NO_REASONS for part in parts if part is not None}
    closed = scope.close(start, guarded_only=True)
    number = scope.attribute(window)
    return scope.is_complete and all(
        output.attribute is not None and (output.attribute in closed or output.attribute == number)
        for output in scope.outputs
    )


def _is_distinct_on(node: exp.Expr) -> bool:
    return isinstance(node, exp.Distinct) and node.args.get("on") is not None


def _may_sum_floats(node: exp.Expr, scope_of: ScopeOf) -> bool:
    """Whether it adds floats, or values of an unknown type, which may be floats."""
    if not isinstance(node, _SUMMED):
        return False
    select = node.parent_select
    scope = None if select is None else scope_of(select)
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return scope is None or type_of(value, scope.column_type) in ("float", "")
