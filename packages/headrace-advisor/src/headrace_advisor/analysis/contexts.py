"""Where a query stands: what its rows are used for, and whether duplicates matter there."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace_advisor.analysis.functions import gives_several, is_aggregate
from headrace_advisor.analysis.queries import NOT_IGNORED, Ignored, Queries
from headrace_advisor.analysis.selects import SelectScope

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


def predicate_around(query: exp.Expr) -> exp.Expr | None:
    """Return the IN, EXISTS, ANY or ALL that only looks for rows of a query, if there is one.

    On the left of IN, or in a list of values, a query gives one value: a second row is an error.
    """
    parent = enclosing(query)
    if not isinstance(parent, exp.In):
        return parent if isinstance(parent, exp.Exists | exp.Any | exp.All) else None
    child = query
    while child.parent is not None and child.parent is not parent:
        child = child.parent
    return parent if child is parent.args.get("query") else None


def ignores_duplicates(query: exp.Expr, queries: Queries) -> str:
    """Return what removes or ignores duplicate rows of a query, in words; empty if nothing does.

    Only what reads the query alone counts: elsewhere its duplicates would multiply rows on the way.
    """
    return _of_query(query, queries).text


def ignoring(query: exp.Expr, queries: Queries) -> frozenset[int]:
    """Return the ids of queries whose DISTINCT or UNION `ignores_duplicates` relies on."""
    return _of_query(query, queries).by


def _of_query(query: exp.Expr, queries: Queries) -> Ignored:
    if id(query) not in queries.contexts:
        queries.contexts[id(query)] = _ignoring(query, queries)
    return queries.contexts[id(query)]


def _ignoring(query: exp.Expr, queries: Queries) -> Ignored:
    predicate = predicate_around(query)
    if predicate is not None:
        return Ignored(predicate.key.upper())
    parent = enclosing(query)
    if isinstance(parent, exp.SetOperation):
        return _of_set_operation(parent, queries)
    if isinstance(parent, exp.Subquery):
        if takes_part(parent):
            return NOT_IGNORED
        reader = parent.parent_select
        return NOT_IGNORED if reader is None else _of_reader(reader, parent, queries)
    if isinstance(parent, exp.CTE):
        return _of_cte(parent, queries)
    return NOT_IGNORED


def _of_set_operation(operation: exp.SetOperation, queries: Queries) -> Ignored:
    if takes_part(operation):
        return NOT_IGNORED
    is_union = isinstance(operation, exp.Union)
    outside = _of_query(operation, queries) if is_union else NOT_IGNORED
    if operation.args.get("distinct") and (outside.by or not outside.text):
        by = frozenset((id(operation),)) if is_union else NOT_IGNORED.by
        return Ignored(f"{operation.key.upper()} around it", by)
    return outside


def _of_reader(select: exp.Select, node: exp.Expr, queries: Queries) -> Ignored:
    """Return what ignores duplicates in a SELECT that reads a query and nothing else."""
    scope = queries.scope(select)
    if scope is None or len(scope.items) != 1 or scope.items[0].node is not node:
        return NOT_IGNORED
    windows = any(part.find(exp.Window) is not None for part in select.expressions)
    if takes_part(select) or windows or select.args.get("qualify"):
        return NOT_IGNORED
    if scope.is_grouped:
        return _of_aggregates(select)
    distinct = select.args.get("distinct")
    if distinct is None:
        return _of_query(select, queries)
    if distinct.args.get("on"):
        return NOT_IGNORED
    outside = _of_query(select, queries)
    if outside.text and not outside.by:
        return outside  # stays even if this DISTINCT is taken out
    return Ignored("DISTINCT around it", frozenset((id(select),)))


def _of_aggregates(select: exp.Select) -> Ignored:
    """Return whether no aggregate of a SELECT counts a value twice, and by which DISTINCT."""
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    nodes = (node for part in parts if part is not None for node in part.walk())
    aggregates = list(filter(is_aggregate, nodes))
    if not all(map(_ignores_copies, aggregates)):
        return NOT_IGNORED
    counts = frozenset(id(node) for node in aggregates if isinstance(node, exp.Count))
    return Ignored("the aggregation around it", counts)


def _ignores_copies(aggregate: exp.Expr) -> bool:
    """Whether an aggregate is the same if rows are repeated."""
    if isinstance(aggregate, exp.Min | exp.Max):
        return not gives_several(aggregate)
    return isinstance(aggregate, exp.Count) and isinstance(aggregate.this, exp.Distinct)


def _of_cte(cte: exp.CTE, queries: Queries) -> Ignored:
    """Return what ignores duplicates in each use of a CTE."""
    if cte.parent is not None and cte.parent.args.get("recursive"):
        return NOT_IGNORED
    reasons = []
    for table in uses_of(cte):
        reader = table.parent_select
        reasons.append(NOT_IGNORED if reader is None else _of_reader(reader, table, queries))
    if not reasons or not all(reason.text for reason in reasons):
        return NOT_IGNORED
    return Ignored(reasons[0].text, frozenset[int]().union(*(reason.by for reason in reasons)))


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
