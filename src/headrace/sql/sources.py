"""FROM: tables, CTEs, subqueries, joins, lateral and table functions, and what joining says about rows."""

from __future__ import annotations

from sqlglot import exp

from headrace.sql.binding import (
    EXPRESSION,
    FILTER,
    JOIN_KEY,
    NOTHING,
    OPAQUE,
    BindingContext,
    BoundExpression,
    Edges,
    FromItem,
    NameScope,
    Output,
    Relation,
    merge,
    raised,
    union,
)
from headrace.sql.catalogue import function_name
from headrace.sql.expressions import bind
from headrace.sql.types import element, is_integer, is_time, unify
from headrace.sql.values import UNKNOWN


def bind_from(context: BindingContext, select: exp.Expr, scope: NameScope) -> None:
    """Put everything that a SELECT's FROM names into its scope; what joins compare goes into the scope's filters."""
    from_ = select.args.get("from_")
    if from_ is not None:
        _add(context, scope, from_.this)
    for join in select.args.get("joins") or []:
        _join(context, scope, join)
    for lateral in select.args.get("laterals") or []:
        _add(context, scope, lateral)


def _add(context: BindingContext, scope: NameScope, node: exp.Expr) -> None:
    """One item of FROM and the joins that hang on it."""
    bracketed = isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery) and not node.args.get("alias")
    if bracketed or isinstance(node, exp.Paren):
        _add(context, scope, node.this)
    else:
        source = _source(context, scope, node)
        scope.sources.append(source)
        merge(scope.filters, source.relation.filters)
    for join in node.args.get("joins") or []:
        _join(context, scope, join)


def _source(context: BindingContext, scope: NameScope, node: exp.Expr) -> FromItem:
    alias = node.alias_or_name.lower() if isinstance(node, exp.Table | exp.DerivedTable | exp.UDTF) else ""
    names = _column_names(node)
    if isinstance(node, exp.Table):
        return _table(context, scope, node, alias, names)
    if isinstance(node, exp.Lateral):
        return _lateral(context, scope, node, alias, names)
    if isinstance(node, exp.Unnest):
        return FromItem(alias or "unnest", _named(_unnest(context, scope, node), names))
    relation = context.bind_query(context, node, _outside(scope))
    inner = node.this if isinstance(node, exp.Subquery) else node
    return FromItem(alias, _named(relation, names), query=inner)


def _outside(scope: NameScope) -> NameScope:
    """What a derived table sees: DuckDB lets it look at the tables before it."""
    seen = NameScope(scope.ctes, scope.parent)
    seen.sources = list(scope.sources)
    seen.using = scope.using
    return seen


def _column_names(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [column.name for column in alias.args.get("columns") or []] if isinstance(alias, exp.TableAlias) else []


def _named(relation: Relation, names: list[str]) -> Relation:
    if not names:
        return relation
    if not relation.complete:
        return (
            relation
            if relation.columns
            else Relation([Output(name, UNKNOWN, raised(relation.everything(), OPAQUE)) for name in names], relation.filters)
        )
    columns = [
        Output(names[at] if at < len(names) else column.name, column.type, column.edges) for at, column in enumerate(relation.columns)
    ]
    return Relation(columns, relation.filters)


def _table(context: BindingContext, scope: NameScope, node: exp.Table, alias: str, names: list[str]) -> FromItem:
    if isinstance(node.this, exp.Func):
        relation = _table_function(context, scope, node.this)
        name = function_name(node.this, context.sql)
        return FromItem(alias or name, _named(relation, names))
    name = node.name.lower()
    cte = scope.ctes.get(name)
    relation = cte.relation if cte else context.input(name)
    if node.args.get("pivots"):
        relation = Relation([], filters=raised(relation.filters, FILTER), opaque=raised(relation.everything(), OPAQUE))
        return FromItem(alias or name, relation, input=None if cte else name)
    return FromItem(alias or name, _named(relation, names), input=None if cte else name, query=cte.query if cte else None)


def _table_function(context: BindingContext, scope: NameScope, node: exp.Func) -> Relation:
    name = function_name(node, context.sql)
    seen = _outside(scope)
    edges: list[Edges] = []
    types: list[str] = []
    for child in node.iter_expressions():
        if not isinstance(child, exp.Identifier | exp.Var):
            bound = bind(context, seen, child)
            edges.append(bound.edges)
            types.append(bound.type)
    reached = union(edges, EXPRESSION)
    if name in ("range", "generate_series"):
        return Relation([Output(name, _series_type(types), reached)])
    if name == "unnest":
        return Relation([Output(name, element(types[0]) if types else UNKNOWN, reached)])
    return Relation([], filters=reached, opaque=reached)


def _series_type(types: list[str]) -> str:
    if all(is_integer(kind) for kind in types):
        return "BIGINT"
    first = next((kind for kind in types if is_time(kind)), UNKNOWN)
    return "TIMESTAMP" if first == "DATE" else first


def _unnest(context: BindingContext, scope: NameScope, node: exp.Expr) -> Relation:
    seen = _outside(scope)
    bounds = [bind(context, seen, part) for part in node.expressions]
    if len(bounds) == 1 and bounds[0].type.endswith("[]") and not bounds[0].type.startswith("STRUCT"):
        return Relation([Output("unnest", element(bounds[0].type), raised(bounds[0].edges, EXPRESSION))])
    edges = union([bound.edges for bound in bounds], EXPRESSION)
    return Relation([], opaque=edges)


def _lateral(context: BindingContext, scope: NameScope, node: exp.Expr, alias: str, names: list[str]) -> FromItem:
    inner = node.this
    if isinstance(inner, exp.Subquery | exp.Query):
        query = inner.this if isinstance(inner, exp.Subquery) else inner
        return FromItem(alias, _named(context.bind_query(context, inner, _outside(scope)), names), query=query)
    edges = bind(context, _outside(scope), inner).edges
    return FromItem(alias, _named(Relation([], opaque=edges), names))


def _join(context: BindingContext, scope: NameScope, join: exp.Expr) -> None:
    left = list(scope.sources)
    _add(context, scope, join.this)
    added = scope.sources[len(left) :]
    on = join.args.get("on")
    if on is not None:
        merge(scope.filters, raised(bind(context, scope, on).edges, JOIN_KEY))
    names = [part.name.lower() for part in join.args.get("using") or []]
    if str(join.args.get("method") or "").upper() == "NATURAL":
        names = _common(left, added)
    if names:
        _merge_columns(context, scope, join, left, added, names)
    if str(join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
        del scope.sources[len(left) :]


def _common(left: list[FromItem], added: list[FromItem]) -> list[str]:
    known = {column.name.lower() for source in left for column in source.relation.columns if column.name}
    return [column.name.lower() for source in added for column in source.relation.columns if column.name and column.name.lower() in known]


def _merge_columns(
    context: BindingContext, scope: NameScope, join: exp.Expr, left: list[FromItem], added: list[FromItem], names: list[str]
) -> None:
    """USING: one column where both sides have one. The outer side's may be missing, so FULL takes either."""
    side = str(join.args.get("side") or "").upper()
    for name in names:
        mine, theirs = _find(context, join, scope, left, name), _find(context, join, None, added, name)
        merge(scope.filters, raised(union([mine.edges, theirs.edges]), JOIN_KEY))
        if side == "FULL":
            scope.using[name] = BoundExpression(unify(mine.type, theirs.type), union([mine.edges, theirs.edges], EXPRESSION))
        else:
            scope.using[name] = theirs if side == "RIGHT" else mine
    for source in added:
        at = scope.sources.index(source)
        scope.sources[at] = source._replace(merged=source.merged | frozenset(names))


def _find(context: BindingContext, join: exp.Expr, scope: NameScope | None, sources: list[FromItem], name: str) -> BoundExpression:
    if scope is not None and name in scope.using:
        return scope.using[name]
    for source in sources:
        column = source.relation.get(name)
        if column is not None:
            return BoundExpression(column.type, column.edges)
    for source in sources:
        column = source.relation.unlisted(name)
        if column is not None:
            return BoundExpression(column.type, column.edges)
    context.say("unknown_column", f"USING names `{name}`, which isn't on both sides", join)
    return BoundExpression(UNKNOWN, NOTHING)
