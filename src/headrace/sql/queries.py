"""Output of queries: columns, types and lineage of SELECT, set operations and VALUES."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec.structs import replace
from sqlglot import exp

from headrace.model import Place, Problem, ProblemLevel
from headrace.model.errors import words_of
from headrace.sql.clauses import (
    Projection,
    bind_from,
    column_names,
    conjuncts,
    decide_sources,
    linked,
    named,
    project,
)
from headrace.sql.expressions import bind, key_columns, unattributed
from headrace.sql.parsing import InvalidSelect, parse
from headrace.sql.scopes import (
    FILTER,
    GROUP_KEY,
    IDENTITY,
    MENTION,
    NO_EDGES,
    OPAQUE,
    WINDOW,
    WINDOW_KEY,
    BindingContext,
    BoundExpression,
    BoundSelect,
    Edges,
    FromItem,
    NameScope,
    Output,
    Relation,
    as_edges,
    decided,
    merge,
    raised,
    union,
)
from headrace.sql.types import AGGREGATES, function_name, settled, unify
from headrace.sql.values import UNKNOWN, Analysis, Edge, Resolved

# SELECT, set operations and VALUES, with scopes for CTEs, correlation and lateral joins.

RECURSION_ROUNDS_MAX = 6


def bind_query(context: BindingContext, node: exp.Expr, scope: NameScope) -> Relation:
    """Return the output of a query inside `scope`.

    The scope has its visible CTEs, and outer columns if the query is correlated or lateral.
    """
    context.bound.add(id(node))
    inside = _with_ctes(context, node, scope)
    relation = _bound(context, node, inside)
    scope.correlated = scope.correlated or inside.correlated
    return relation


def _bound(context: BindingContext, node: exp.Expr, scope: NameScope) -> Relation:
    if isinstance(node, exp.Subquery):
        inner = bind_query(context, node.this, scope)
        if node.args.get("pivots"):
            return context.opaque(inner)
        return _limited(context, scope, node, inner)
    if isinstance(node, exp.SetOperation):
        return _set_operation(context, node, scope)
    if isinstance(node, exp.Select):
        return _select(context, node, scope)
    if isinstance(node, exp.Values):
        return _values(context, node, scope)
    return opaque_below(context, node, scope)


def opaque_below(context: BindingContext, node: exp.Expr, scope: NameScope) -> Relation:
    """Return an opaque relation that uses all tables below `node` as a whole.

    It is used for PIVOT and everything else that isn't followed.
    """
    edges: Edges = {}
    for table in node.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            name = table.name.lower()
            source = scope.ctes.get(name)
            relation = source.relation if source else context.input(name)
            merge(edges, union([relation.everything(), relation.filters]))
    return context.opaque(Relation([], opaque=edges))


def _with_ctes(context: BindingContext, node: exp.Expr, scope: NameScope) -> NameScope:
    """Return the scope of a query's FROM: the outer one, plus the query's CTEs one by one."""
    with_ = node.args.get("with_")
    if with_ is None:
        return scope
    ctes = dict(scope.ctes)
    inner = NameScope(ctes, scope.parent)
    inner.sources, inner.using, inner.aliases, inner.locals = (
        scope.sources,
        scope.using,
        scope.aliases,
        scope.locals,
    )
    for cte in with_.expressions:
        name = cte.alias.lower()
        relation = (
            _recursive(context, cte, inner, ctes)
            if with_.args.get("recursive") and _reads_itself(cte)
            else bind_query(context, cte.this, inner)
        )
        ctes[name] = FromItem(name, named(context, relation, column_names(cte)), query=cte.this)
        inner.ctes = dict(ctes)
    return inner


def _reads_itself(cte: exp.Expr) -> bool:
    name = cte.alias.lower()
    return isinstance(cte.this, exp.SetOperation) and any(
        table.name.lower() == name for table in cte.this.find_all(exp.Table)
    )


def _recursive(
    context: BindingContext, cte: exp.Expr, scope: NameScope, ctes: Mapping[str, FromItem]
) -> Relation:
    """Return the relation of a recursive CTE; the anchor determines names and types.

    The lineage of the recursive part is added repeatedly until nothing is new.
    """
    union_ = cte.this
    name = cte.alias.lower()
    columns = column_names(cte)
    current = named(context, bind_query(context, union_.this, scope), columns)
    for _ in range(RECURSION_ROUNDS_MAX):
        inner = NameScope({**ctes, name: FromItem(name, current, query=union_)}, scope.parent)
        step = bind_query(context, union_.args["expression"], inner)
        step.columns = _tagged(step.columns, current, step, step.filters)
        if not (current.complete and step.complete) or cte.args.get("key_expressions"):
            return _of_everything(current, step)
        widened = _widened(current, step)
        same = (
            all(a.edges == b.edges for a, b in zip(current.columns, widened.columns, strict=True))
            and current.filters == widened.filters
        )
        current = widened
        if same:
            return _distinct_rows(current) if union_.args.get("distinct") else current
    return _of_everything(current, current)


def _distinct_rows(relation: Relation) -> Relation:
    keys = raised(relation.everything(), GROUP_KEY)
    return Relation(relation.columns, union([relation.filters, keys]))


def _of_everything(anchor: Relation, step: Relation) -> Relation:
    """Return the anchor's columns, each computed from everything that both parts read."""
    everything = raised(union([anchor.everything(), step.everything()]), OPAQUE)
    columns = [Output(column.name, UNKNOWN, everything) for column in anchor.columns]
    filters = union([anchor.filters, step.filters, raised(everything, FILTER)])
    return Relation(columns, filters, opaque=None if anchor.complete else everything)


def _widened(anchor: Relation, step: Relation) -> Relation:
    """Return the anchor with the lineage of the recursive part added column by column."""
    columns = []
    for at, column in enumerate(anchor.columns):
        added = step.columns[at].edges if at < len(step.columns) else NO_EDGES
        columns.append(Output(column.name, column.type, union([column.edges, added])))
    return Relation(columns, union([anchor.filters, step.filters]))


def _set_operation(context: BindingContext, node: exp.Expr, scope: NameScope) -> Relation:
    """Return the relation of a set operation.

    Long chains of UNION nest to the left and are walked without recursion.
    """
    chain: list[exp.Expr] = []
    first: exp.Expr = node
    while isinstance(first, exp.SetOperation) and (
        first is node or first.args.get("with_") is None
    ):
        chain.append(first)
        first = first.this
    relation = bind_query(context, first, scope)
    for operation in reversed(chain):
        right = bind_query(context, operation.args["expression"], scope)
        relation = _combined(operation, relation, right)
    return _limited(context, scope, node, relation)


def _combined(operation: exp.Expr, left: Relation, right: Relation) -> Relation:
    filters = union([left.filters, right.filters])
    everything = union([left.everything(), right.everything()])
    if operation.args.get("distinct") or isinstance(operation, exp.Except | exp.Intersect):
        filters = union([filters, raised(everything, GROUP_KEY)])
    by_name = bool(operation.args.get("by_name"))
    if left.complete and right.complete:
        columns = _by_name(left, right) if by_name else _by_position(left, right)
        tagged = _tagged(columns, left, right) if type(operation) is exp.Union else columns
        return Relation(tagged, filters)
    opaque = raised(everything, OPAQUE)
    known = left.columns if left.complete and not by_name else []
    listed = [Output(column.name, UNKNOWN, opaque) for column in known]
    return Relation(listed, filters, opaque=None if listed else opaque)


def _tagged(
    columns: list[Output], left: Relation, right: Relation, filters: Edges | None = None
) -> list[Output]:
    """Return the columns of a UNION, whose values tell from which side a row is.

    What filters both sides decides that, or `filters`. A column that both take unchanged doesn't
    tell it.
    """
    both = {key: left.filters[key] for key in left.filters.keys() & right.filters.keys()}
    deciding = {key: FILTER for key, rank in (filters or both).items() if rank != GROUP_KEY}
    others = [column.edges for column in right.columns]
    same = [column.edges for column in left.columns if _is_taken(column) and column.edges in others]
    return [
        column
        if column.edges in same
        else Output(column.name, column.type, decided(deciding, column.edges))
        for column in columns
    ]


def _is_taken(column: Output) -> bool:
    """Return whether a column is taken unchanged from columns of the input."""
    return bool(column.edges) and set(column.edges.values()) == {IDENTITY}


def _by_position(left: Relation, right: Relation) -> list[Output]:
    columns = []
    for at, column in enumerate(left.columns):
        if at < len(right.columns):
            other = right.columns[at]
            columns.append(
                Output(
                    column.name,
                    _unified(column.type, other.type),
                    union([column.edges, other.edges]),
                )
            )
        else:
            columns.append(column)
    return columns


def _by_name(left: Relation, right: Relation) -> list[Output]:
    columns = []
    for column in left.columns:
        other = right.get((column.name or "").lower())
        columns.append(
            Output(
                column.name, _unified(column.type, other.type), union([column.edges, other.edges])
            )
            if other
            else column
        )
    columns += [
        column for column in right.columns if column.name and left.get(column.name.lower()) is None
    ]
    return columns


def _unified(left: str, right: str) -> str:
    if left != right and "VARCHAR" in (left, right) and UNKNOWN not in (left, right):
        return "VARCHAR"
    return settled(unify(left, right))


def _values(context: BindingContext, node: exp.Expr, scope: NameScope) -> Relation:
    columns: list[Output] = []
    for row in node.expressions:
        cells = row.expressions if isinstance(row, exp.Tuple) else [row]
        for at, cell in enumerate(cells):
            value = bind(context, scope, cell)
            edges = union([value.edges, unattributed(context, scope, cell)])
            value = BoundExpression(value.type, edges)
            if at == len(columns):
                columns.append(Output(f"col{at}", value.type, value.edges))
            else:
                known = columns[at]
                columns[at] = Output(
                    known.name, unify(known.type, value.type), union([known.edges, value.edges])
                )
    return Relation([Output(column.name, settled(column.type), column.edges) for column in columns])


def _select(context: BindingContext, node: exp.Expr, outer: NameScope) -> Relation:
    scope = NameScope(outer.ctes, outer)
    scope.windows = {item.name.lower(): item for item in node.args.get("windows") or ()}
    bind_from(context, node, scope)
    projections = project(context, scope, node)
    chosen, links = _where(context, scope, node)
    if links:
        scope.aliases.clear()
        projections = project(context, scope, node)
    projections = _chosen(projections, chosen, _window_keys(chosen))
    groups = _grouping(context, scope, node, projections)
    projections = _aggregated(context, scope, projections, groups)
    projections = _conditions(context, scope, node, projections)
    merge(
        scope.filters, {key: GROUP_KEY if rank < OPAQUE else rank for key, rank in groups.items()}
    )
    merge(scope.filters, raised(unattributed(context, scope, node), FILTER))
    relation = _relation(scope, projections)
    context.selected[id(node)] = BoundSelect(
        scope, [(item.name, item.node, item.source) for item in projections], relation
    )
    return relation


def _where(context: BindingContext, scope: NameScope, node: exp.Expr) -> tuple[Edges, bool]:
    """Add WHERE to the filters; a condition that links sources decides values of the later ones.

    Return what chooses rows by their place in a window, and whether sources are linked.
    """
    where = node.args.get("where")
    chosen: Edges = {}
    is_linked = False
    for condition in conjuncts(None if where is None else where.this):
        edges = bind(context, scope, condition).edges
        merge(scope.filters, raised(edges, FILTER))
        merge(chosen, _by_window(edges))
        links = linked(scope, condition)[1:]
        decide_sources(scope, links, raised(edges, FILTER))
        is_linked = is_linked or bool(links)
    return chosen, is_linked


def _by_window(edges: Edges) -> Edges:
    """Return the edges of a condition if it compares the result of a window, such as a rank."""
    return edges if {WINDOW, WINDOW_KEY}.intersection(edges.values()) else NO_EDGES


def _chosen(
    projections: list[Projection], by: Edges, keys: Collection[tuple[str, str]] = ()
) -> list[Projection]:
    """Let edges decide the values of a row that is chosen among several by its place in an order.

    What is only computed from `keys`, by which the rows are one group, or from nothing, is equal in
    each of them.
    """
    deciding = {key: FILTER for key in by if key not in keys}
    if not deciding:
        return projections
    return [
        item
        if item.bound.edges.keys() <= set(keys)
        else replace(item, bound=replace(item.bound, edges=decided(deciding, item.bound.edges)))
        for item in projections
    ]


def _window_keys(edges: Edges) -> list[tuple[str, str]]:
    return [key for key, rank in edges.items() if rank == WINDOW_KEY]


def _relation(scope: NameScope, projections: list[Projection]) -> Relation:
    columns = [
        Output(item.name, settled(item.bound.type), item.bound.edges)
        for item in projections
        if not item.unlisted
    ]
    unlisted = [item for item in projections if item.unlisted]
    if not unlisted:
        return Relation(columns, scope.filters or NO_EDGES)
    if len(unlisted) == len(projections) == 1 and unlisted[0].rest:
        return Relation(list(unlisted[0].listed), scope.filters or NO_EDGES, rest=unlisted[0].rest)
    edges = union([item.bound.edges for item in unlisted], OPAQUE)
    return Relation(columns, scope.filters or NO_EDGES, opaque=edges)


def _conditions(
    context: BindingContext, scope: NameScope, node: exp.Expr, projections: list[Projection]
) -> list[Projection]:
    """Add what follows WHERE to the filters; return the projections with what decides them."""
    having, qualify = node.args.get("having"), node.args.get("qualify")
    for condition in conjuncts(None if having is None else having.this):
        edges = bind(context, scope, condition).edges
        merge(scope.filters, raised(edges, FILTER))
        if len(linked(scope, condition)) > 1:
            projections = _chosen(projections, edges)
    rows = dict(scope.filters)
    for condition in conjuncts(None if qualify is None else qualify.this):
        edges = bind(context, scope, condition).edges
        merge(scope.filters, raised(edges, FILTER))
        if _by_window(edges):
            projections = _chosen(projections, {**rows, **edges}, _window_keys(edges))
    groups = _distinct(context, scope, node, projections)
    rows = dict(scope.filters)
    _limits(context, scope, node)
    order = _order(context, scope, node, projections)
    if groups is not None:
        return _chosen(projections, {**rows, **order}, groups)
    if _is_limited(node):
        return _chosen(projections, order if node.args.get("order") else rows)
    return projections


def _order(
    context: BindingContext, scope: NameScope, node: exp.Expr, projections: list[Projection]
) -> Edges:
    """Return the edges of ORDER BY, and add them to the filters if it decides something."""
    order = node.args.get("order")
    decides = _order_decides(context, node) or node.args.get("distinct") is not None
    edges: Edges = {}
    for item in order.expressions if order is not None else ():
        named = _named_output(item.this, projections)
        if named is None:
            context.quiet, quiet = context.quiet or not decides, context.quiet
            named = _key(context, scope, item.this, projections)
            context.quiet = quiet
        context.bound.add(id(item.this))
        merge(edges, raised(named, FILTER))
    if decides:
        merge(scope.filters, edges)
    return edges


def _is_limited(node: exp.Expr) -> bool:
    return any(node.args.get(key) is not None for key in ("limit", "offset", "sample"))


def _limits(context: BindingContext, scope: NameScope, node: exp.Expr) -> None:
    """Add what LIMIT and OFFSET are computed from to the filters."""
    for key in ("limit", "offset"):
        for part in node.args[key].iter_expressions() if node.args.get(key) is not None else ():
            merge(scope.filters, raised(bind(context, scope, part).edges, FILTER))


def _order_decides(context: BindingContext, node: exp.Expr) -> bool:
    """Return whether a query's order may decide its result, or that of a query around it.

    `first`, `list` and LIMIT around it see its order. At the end of the statement, it decides
    nothing.
    """
    return _is_limited(node) or id(node) not in context.last


def _aggregated(
    context: BindingContext, scope: NameScope, projections: list[Projection], groups: Edges
) -> list[Projection]:
    """Add what decides the rows of each group, and of all, to what is computed over them."""
    if groups:
        keys = [key for key, rank in groups.items() if rank == GROUP_KEY]
        projections = _over_rows(context, scope, projections, groups, keys)
    if not scope.filters:
        return projections
    rows = {key: FILTER if rank == GROUP_KEY else rank for key, rank in scope.filters.items()}
    return _over_rows(context, scope, projections, rows)


def _over_rows(
    context: BindingContext,
    scope: NameScope,
    projections: list[Projection],
    deciding: Edges,
    keys: Collection[tuple[str, str]] | None = None,
) -> list[Projection]:
    """Add edges of the rows to each value that is computed over several of them.

    With `keys`, what is computed of these alone, or of nothing (`count(*)`), is left as it is.
    """
    names: set[str] = set()
    results = []
    for item in projections:
        if item.node is not None and _is_over_rows(context, scope, item.node, names):
            if item.name:
                names.add(item.name.lower())
            if keys is None or not item.bound.edges.keys() <= set(keys):
                bound = replace(item.bound, edges=decided(deciding, item.bound.edges))
                item = replace(item, bound=bound)  # noqa: PLW2901
        results.append(item)
    return results


def _is_over_rows(
    context: BindingContext, scope: NameScope, node: exp.Expr, names: set[str]
) -> bool:
    """Return whether a value is of several rows, or has the name of such a value."""
    for part in node.walk(prune=lambda inner: isinstance(inner, exp.Query)):
        if isinstance(part, exp.AggFunc | exp.Window):
            return True
        if isinstance(part, exp.Column) and part.name.lower() in names:
            return True
        if isinstance(part, exp.Anonymous) and function_name(part, context.sql) in AGGREGATES:
            return True
        if isinstance(part, exp.Query) and _aggregates_around(scope, part):
            return True
    return False


def _aggregates_around(scope: NameScope, query: exp.Query) -> bool:
    """Return whether a query in an expression aggregates rows around it: `(select max(o.x))`."""
    around = {source.alias for source in scope.sources}
    is_without_rows = isinstance(query, exp.Select) and query.args.get("from_") is None
    return any(
        is_without_rows or any(name.table.lower() in around for name in part.find_all(exp.Column))
        for part in query.find_all(exp.AggFunc)
    )


def _named_output(node: exp.Expr, projections: list[Projection]) -> Edges | None:
    """Return the edges of the output that ORDER BY names: it comes before a column of a table."""
    if not isinstance(node, exp.Column) or node.table:
        return None
    name = node.name.lower()
    named = [item for item in projections if item.name is not None and item.name.lower() == name]
    return named[0].bound.edges if len(named) == 1 else None


def _key(
    context: BindingContext, scope: NameScope, node: exp.Expr, projections: list[Projection]
) -> Edges:
    """Return the edges of a grouping or ordering key.

    An expression, or the position of a column.
    """
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
        at = int(node.this) - 1
        return projections[at].bound.edges if 0 <= at < len(projections) else NO_EDGES
    if isinstance(node, exp.Var) and node.name.upper() == "ALL":
        return union([item.bound.edges for item in projections])
    return bind(context, scope, node).edges


def _grouping(
    context: BindingContext, scope: NameScope, node: exp.Expr, projections: list[Projection]
) -> Edges:
    """Return what GROUP BY combines rows by.

    A column that is a key itself is a `GROUP_KEY`. A key that is computed decides like a condition:
    what is aggregated in its groups tells whose values are on which side of it.
    """
    group = node.args.get("group")
    if group is None:
        return NO_EDGES
    keys = [_key(context, scope, item, projections) for item in _group_keys(group)]
    if group.args.get("all"):
        keys += [
            item.bound.edges
            for item in projections
            if item.node is None or not aggregates(item.node)
        ]
    return union([_grouped_by(edges) for edges in keys])


def _grouped_by(edges: Edges) -> Edges:
    """Return the edges of a key that is a column, or of one that is computed."""
    return {
        key: GROUP_KEY if rank == IDENTITY else rank if rank > GROUP_KEY else FILTER
        for key, rank in edges.items()
    }


def _group_keys(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield each key of GROUP BY, also in GROUPING SETS, ROLLUP and CUBE."""
    for part in node.iter_expressions():
        if isinstance(part, exp.GroupingSets | exp.Rollup | exp.Cube | exp.Tuple | exp.Paren):
            yield from _group_keys(part)
        else:
            yield part


def aggregates(node: exp.Expr) -> bool:
    """Return whether an expression aggregates rows in its own SELECT; a window doesn't count."""
    return any(
        isinstance(part, exp.AggFunc) and not isinstance(part.parent, exp.Window)
        for part in node.walk(prune=lambda n: isinstance(n, exp.Query))
    )


def _distinct(
    context: BindingContext, scope: NameScope, node: exp.Expr, projections: list[Projection]
) -> set[tuple[str, str]] | None:
    """Add DISTINCT to the filters; return the columns that DISTINCT ON names, or None."""
    distinct = node.args.get("distinct")
    if distinct is None:
        return None
    on = distinct.args.get("on")
    if on is None:
        merge(scope.filters, union([item.bound.edges for item in projections], GROUP_KEY))
        return None
    columns: set[tuple[str, str]] = set()
    for item in on.expressions:
        edges = _key(context, scope, item, projections)
        merge(scope.filters, raised(edges, GROUP_KEY))
        columns |= key_columns(context, scope, item, edges)
    return columns


def _limited(
    context: BindingContext, scope: NameScope, node: exp.Expr, relation: Relation
) -> Relation:
    """Add the edges of ORDER BY and LIMIT around a set operation or a bracketed query.

    They determine the set of rows.
    """
    around = NameScope(scope.ctes, scope)
    around.sources = [FromItem("", relation)]
    _limits(context, around, node)
    order = node.args.get("order")
    if order is not None and _order_decides(context, node):
        merge(around.filters, raised(relation.everything(), FILTER))
        merge(around.filters, raised(unattributed(context, around, order), FILTER))
    if _is_limited(node):
        relation = relation.decided_by(_places(relation, order))
    if not around.filters:
        return relation
    filters = union([relation.filters, around.filters])
    return Relation(relation.columns, filters, relation.rest, relation.opaque)


def _places(relation: Relation, order: exp.Expr | None) -> Edges:
    """Return what decides which row is where: the order around a query, or the one inside it."""
    if order is None:
        return raised(relation.filters, FILTER)
    items = [item.this for item in order.expressions]
    named = [relation.get(item.name.lower()) for item in items if isinstance(item, exp.Column)]
    known = [column.edges for column in named if column is not None]
    return union(known if len(known) == len(items) else [relation.everything()], FILTER)


# Columns, types and lineage of an asset's query, given its inputs' columns.

Schemas = Mapping[str, tuple[tuple[str, str], ...]]


MALFORMED = (AttributeError, TypeError, KeyError, IndexError, ValueError)
"""Exceptions on malformed trees, which sqlglot builds from some almost valid statements."""


class BoundQuery:
    """A bound query: its relation, and the context for the structural rules."""

    def __init__(self, analysis: Analysis, schemas: Schemas, parameters: Mapping[str, str]) -> None:
        self.tree: exp.Expr = parse(analysis.sql).tree
        self.context = BindingContext(
            schemas, parameters, analysis.sql, Place(file=analysis.file, line=analysis.line)
        )
        self.context.bind_query = bind_query
        self.context.last = set(_last(self.tree))
        self.relation: Relation = bind_query(self.context, self.tree, NameScope({}))


def _last(tree: exp.Expr) -> Iterator[int]:
    """Yield the id of each query whose order is that of the result."""
    yield id(tree)
    while isinstance(tree, exp.Subquery) and not any(
        tree.args.get(key) for key in ("limit", "offset", "pivots")
    ):
        tree = tree.this
        yield id(tree)


def resolve(
    analysis: Analysis, schemas: Schemas, *, parameters: Mapping[str, str] | None = None
) -> Resolved:
    """Return the output of a query.

    `schemas` maps an input to its (column, DuckDB type) pairs; a missing input is unknown.
    `parameters` maps a placeholder to its DuckDB type. Never raises; errors are in `problems`.
    """
    if not analysis.usable:
        return Resolved(columns=None)
    try:
        return resolved_values(BoundQuery(analysis, schemas, parameters or {}), analysis)
    except RecursionError:
        return _too_deep(analysis)
    except InvalidSelect:
        return Resolved(columns=None)
    except MALFORMED as error:
        return Resolved(columns=None, problems=(not_followed(analysis, error),))


def not_followed(analysis: Analysis, error: Exception) -> Problem:
    """Return the problem of a parsed statement whose columns couldn't be determined.

    It may still run.
    """
    return Problem(
        code="sql_not_followed",
        message=f"the statement's columns can't be followed ({words_of(error)})",
        hint="if DuckDB runs it, this is our mistake: please report the statement",
        place=Place(file=analysis.file, line=analysis.line),
        level=ProblemLevel.WARNING,
    )


def _too_deep(analysis: Analysis) -> Resolved:
    problem = Problem(
        code="sql_too_large",
        message="the statement is nested too deeply to be followed",
        place=Place(file=analysis.file, line=analysis.line),
    )
    return Resolved(columns=None, problems=(problem,))


def resolved_values(binding: BoundQuery, analysis: Analysis) -> Resolved:
    """Return a binding's results as plain values for the cache."""
    relation, context = binding.relation, binding.context
    names = [column.name for column in relation.columns]
    problems = [*context.problems, *_duplicate_names(names, analysis), *_unnamed(names, analysis)]
    lineage = _edges_by_column(relation)
    known = relation.complete and None not in names and bool(names)
    columns = (
        tuple((column.name or "", column.type) for column in relation.columns) if known else None
    )
    reached = {(edge.input, edge.column) for edges in lineage.values() for edge in edges}
    mentions = context.mentions - reached - relation.filters.keys()
    return Resolved(
        columns=columns,
        lineage=lineage,
        filters=as_edges(relation.filters),
        mentions=as_edges(dict.fromkeys(mentions, MENTION)),
        problems=tuple(problems),
    )


def _edges_by_column(relation: Relation) -> dict[str, tuple[Edge, ...]]:
    """Return the edges of each column by name; `*` are those of columns without one."""
    lineage: dict[str, tuple[Edge, ...]] = {}
    for column in relation.columns:
        if column.name is not None:
            lineage.setdefault(column.name, as_edges(column.edges))
    unnamed = [column.edges for column in relation.columns if column.name is None]
    if not relation.complete:
        lineage["*"] = as_edges(relation.everything())
    elif any(unnamed):
        lineage["*"] = as_edges(union(unnamed, OPAQUE))
    return lineage


def _unnamed(names: list[str | None], analysis: Analysis) -> list[Problem]:
    if None not in names:
        return []
    place = Place(file=analysis.file, line=analysis.line)
    positions = ", ".join(str(at + 1) for at, name in enumerate(names) if name is None)
    hint = (
        "give each expression a name with `AS`; until then what reads this asset can't be checked"
        " before it runs"
    )
    return [
        Problem(
            code="unnamed_column",
            message=f"column {positions} has no name of its own",
            hint=hint,
            place=place,
            level=ProblemLevel.WARNING,
        )
    ]


def _duplicate_names(names: list[str | None], analysis: Analysis) -> list[Problem]:
    """Return problems for repeated column names, which a table can't store."""
    seen: set[str] = set()
    twice: dict[str, str] = {}
    for name in (name for name in names if name is not None):
        if name.lower() in seen:
            twice.setdefault(name.lower(), name)
        seen.add(name.lower())
    place = Place(file=analysis.file, line=analysis.line)
    return [
        Problem(
            code="duplicate_column",
            message=f"two output columns are called `{name}`",
            hint="leave one out, or rename it with `AS`",
            place=place,
        )
        for name in twice.values()
    ]
