"""Where a query stands: what its rows are used for, and whether duplicates matter there."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace.advisor.functions import gives_several, is_aggregate
from headrace.advisor.queries import Queries
from headrace.advisor.selects import SelectScope

_CUTS = ("limit", "offset", "fetch")


def takes_part(query: exp.Expr) -> bool:
    """Whether a query takes only some of its rows, by number."""
    return any(query.args.get(key) for key in _CUTS)


def enclosing(query: exp.Expr) -> exp.Expr | None:
    """Return what a query stands in, without brackets around it."""
    parent = query.parent
    while isinstance(parent, exp.Subquery | exp.Paren) and not takes_part(parent):
        if isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join):
            return parent
        parent = parent.parent
    return parent


def ignores_duplicates(query: exp.Expr, queries: Queries) -> str:
    """Return what removes or ignores duplicate rows of a query, in words; empty if nothing does.

    Only what reads the query alone counts: elsewhere its duplicates would multiply rows on the way.
    """
    if id(query) not in queries.contexts:
        queries.contexts[id(query)] = _ignoring(query, queries)
    return queries.contexts[id(query)]


def _ignoring(query: exp.Expr, queries: Queries) -> str:
    parent = enclosing(query)
    if isinstance(parent, exp.In | exp.Exists | exp.Any | exp.All):
        return {"in": "IN", "exists": "EXISTS"}.get(parent.key, parent.key.upper())
    if isinstance(parent, exp.SetOperation):
        return _of_set_operation(parent, queries)
    if isinstance(parent, exp.Subquery):
        if takes_part(parent):
            return ""
        select = parent.parent_select
        return _of_reader(select, parent, queries) if isinstance(select, exp.Select) else ""
    if isinstance(parent, exp.CTE):
        return _of_cte(parent, queries)
    return ""


def _of_set_operation(operation: exp.SetOperation, queries: Queries) -> str:
    if takes_part(operation):
        return ""
    if operation.args.get("distinct"):
        return f"{operation.key.upper()} around it"
    is_union = isinstance(operation, exp.Union)
    return ignores_duplicates(operation, queries) if is_union else ""


def _of_reader(select: exp.Select, node: exp.Expr, queries: Queries) -> str:
    """Return what ignores duplicates in a SELECT that reads a query and nothing else."""
    scope = queries.scope(select)
    if scope is None or len(scope.items) != 1 or scope.items[0].node is not node:
        return ""
    windows = any(part.find(exp.Window) is not None for part in select.expressions)
    if takes_part(select) or windows or select.args.get("qualify"):
        return ""
    distinct = select.args.get("distinct")
    if not scope.is_grouped:
        if distinct is not None:
            return "" if distinct.args.get("on") else "DISTINCT around it"
        return ignores_duplicates(select, queries)
    if _only_distinct_aggregates(select):
        return "aggregates of distinct values around it"
    return ""


def _only_distinct_aggregates(select: exp.Select) -> bool:
    """Whether no aggregate of a SELECT counts a value twice."""
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    nodes = (node for part in parts if part is not None for node in part.walk())
    return all(map(_ignores_copies, filter(is_aggregate, nodes)))


def _ignores_copies(aggregate: exp.Expr) -> bool:
    """Whether an aggregate is the same if rows are repeated."""
    if isinstance(aggregate, exp.Min | exp.Max):
        return not gives_several(aggregate)
    return isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Distinct)


def _of_cte(cte: exp.CTE, queries: Queries) -> str:
    """Return what ignores duplicates in each use of a CTE."""
    if cte.parent is not None and cte.parent.args.get("recursive"):
        return ""
    uses = list(uses_of(cte))
    reasons = []
    for table in uses:
        select = table.parent_select
        if not isinstance(select, exp.Select):
            return ""
        reasons.append(_of_reader(select, table, queries))
    return reasons[0] if reasons and all(reasons) else ""


def uses_of(cte: exp.CTE) -> Iterator[exp.Table]:
    """Yield the tables that mean a CTE, or may mean it."""
    name = cte.alias.lower()
    with_ = cte.parent
    query = None if with_ is None else with_.parent
    for table in query.find_all(exp.Table) if query is not None else ():
        if table.name.lower() == name and not table.args.get("db"):
            yield table


def reads_order(scope: SelectScope) -> bool:
    """Whether a SELECT fixes its own order, or mixes rows so that an earlier one is lost."""
    select = scope.select
    return bool(
        select.args.get("order")
        or select.args.get("distinct")
        or scope.is_grouped
        or len(scope.items) > 1
    )
