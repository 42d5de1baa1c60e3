"""Binding of FROM and of the SELECT list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace
from sqlglot import exp

from headrace.sql.expressions import bind, unattributed
from headrace.sql.scopes import (
    EXPRESSION,
    FILTER,
    JOIN_KEY,
    NO_EDGES,
    OPAQUE,
    BindingContext,
    BoundExpression,
    Edges,
    FromItem,
    NameScope,
    Output,
    Relation,
    merge,
    nearest_name,
    raised,
    union,
)
from headrace.sql.types import element, function_name, is_integer, is_time, struct_fields, unify
from headrace.sql.values import UNKNOWN

# FROM: tables, CTEs, subqueries, joins, lateral and table functions, and how joins determine the
# set of rows.


def bind_from(context: BindingContext, select: exp.Expr, scope: NameScope) -> None:
    """Add everything in a SELECT's FROM to its scope.

    Join conditions go into the scope's filters.
    """
    from_ = select.args.get("from_")
    if from_ is not None:
        _add(context, scope, from_.this)
    first = 0
    for join in select.args.get("joins") or []:
        if _is_comma(join):
            first = len(scope.sources)
        _join(context, scope, join, first)
    for lateral in select.args.get("laterals") or []:
        _add(context, scope, lateral)


def _add(context: BindingContext, scope: NameScope, node: exp.Expr) -> None:
    """Add one item of FROM and its joins to the scope."""
    bracketed = (
        isinstance(node, exp.Subquery)
        and isinstance(node.this, exp.Table | exp.Subquery)
        and not node.args.get("alias")
    )
    if bracketed or isinstance(node, exp.Paren):
        _add(context, scope, node.this)
    else:
        seen = _outside(scope)
        source = _source(context, scope, node, seen)
        if seen.correlated:  # each row before it decides about its rows
            relation = source.relation.decided_by(source.relation.filters)
            source = source._replace(relation=relation)
        scope.sources.append(source)
        merge(scope.filters, source.relation.filters)
    first = len(scope.sources) - 1
    for join in node.args.get("joins") or []:
        _join(context, scope, join, first)


def _source(context: BindingContext, scope: NameScope, node: exp.Expr, seen: NameScope) -> FromItem:
    alias = (
        node.alias_or_name.lower()
        if isinstance(node, exp.Table | exp.DerivedTable | exp.UDTF)
        else ""
    )
    names = column_names(node)
    if isinstance(node, exp.Table):
        return _table(context, scope, seen, node, alias, names)
    if isinstance(node, exp.Lateral):
        return _lateral(context, seen, node, alias, names)
    if isinstance(node, exp.Unnest):
        return FromItem(
            alias or "unnest", named(context, _unnest_source(context, seen, node), names)
        )
    relation = context.bind_query(context, node, seen)
    inner = node.this if isinstance(node, exp.Subquery) else node
    return FromItem(alias, named(context, relation, names), query=inner)


def _outside(scope: NameScope) -> NameScope:
    """Return the scope that a derived table sees: in DuckDB it sees the tables before it."""
    seen = NameScope(scope.ctes, scope.parent)
    seen.sources = list(scope.sources)
    seen.using = scope.using
    return seen


def column_names(node: exp.Expr) -> list[str]:
    """Return the column names of `AS t(a, b)`; empty without any."""
    alias = node.args.get("alias")
    return (
        [column.name for column in alias.args.get("columns") or []]
        if isinstance(alias, exp.TableAlias)
        else []
    )


def named(context: BindingContext, relation: Relation, names: list[str]) -> Relation:
    """Return the relation with the column names of `AS t(a, b)`.

    A name of incomplete columns may be that of any of them.
    """
    if not names:
        return relation
    context.mentions.update(relation.everything())  # by position
    if not relation.complete:
        edges = raised(relation.everything(), OPAQUE)
        others = edges if relation.columns or relation.rest else None  # without a name here
        columns = [Output(name, UNKNOWN, edges) for name in names]
        return Relation(columns, relation.filters, opaque=others)
    columns = [
        Output(names[at] if at < len(names) else column.name, column.type, column.edges)
        for at, column in enumerate(relation.columns)
    ]
    return Relation(columns, relation.filters)


def _table(
    context: BindingContext,
    scope: NameScope,
    seen: NameScope,
    node: exp.Table,
    alias: str,
    names: list[str],
) -> FromItem:
    if isinstance(node.this, exp.Func):
        relation = _table_function(context, seen, node.this)
        name = function_name(node.this, context.sql)
        return FromItem(alias or name, named(context, relation, names))
    name = node.name.lower()
    cte = scope.ctes.get(name)
    relation = cte.relation if cte else context.input(name)
    if node.args.get("pivots"):
        return FromItem(alias or name, context.opaque(relation), input=None if cte else name)
    return FromItem(
        alias or name,
        named(context, relation, names),
        input=None if cte else name,
        query=cte.query if cte else None,
    )


def _table_function(context: BindingContext, seen: NameScope, node: exp.Func) -> Relation:
    name = function_name(node, context.sql)
    edges: list[Edges] = []
    types: list[str] = []
    for child in node.iter_expressions():
        if not isinstance(child, exp.Identifier | exp.Var):
            bound = bind(context, seen, child)
            edges.append(bound.edges)
            types.append(bound.type)
    reached = union(edges, EXPRESSION)
    rows = raised(reached, FILTER)
    if name in ("range", "generate_series"):
        return Relation([Output(name, _series_type(types), reached)], rows)
    if name == "unnest":
        return Relation([Output(name, element(types[0]) if types else UNKNOWN, reached)], rows)
    return Relation([], filters=reached, opaque=reached)


def _series_type(types: list[str]) -> str:
    if all(is_integer(kind) for kind in types):
        return "BIGINT"
    first = next((kind for kind in types if is_time(kind)), UNKNOWN)
    return "TIMESTAMP" if first == "DATE" else first


def _unnest_source(context: BindingContext, seen: NameScope, node: exp.Expr) -> Relation:
    bounds = [bind(context, seen, part) for part in node.expressions]
    if (
        len(bounds) == 1
        and bounds[0].type.endswith("[]")
        and not bounds[0].type.startswith("STRUCT")
    ):
        return Relation(
            [Output("unnest", element(bounds[0].type), raised(bounds[0].edges, EXPRESSION))],
            raised(bounds[0].edges, FILTER),
        )
    edges = union([bound.edges for bound in bounds], EXPRESSION)
    return Relation([], filters=raised(edges, FILTER), opaque=edges)


def _lateral(
    context: BindingContext, seen: NameScope, node: exp.Expr, alias: str, names: list[str]
) -> FromItem:
    inner = node.this
    if isinstance(inner, exp.Subquery | exp.Query):
        query = inner.this if isinstance(inner, exp.Subquery) else inner
        return FromItem(
            alias, named(context, context.bind_query(context, inner, seen), names), query=query
        )
    edges = bind(context, seen, inner).edges
    return FromItem(alias, named(context, Relation([], raised(edges, FILTER), opaque=edges), names))


def _is_comma(join: exp.Expr) -> bool:
    """Return whether a join is a comma, which binds less than the others."""
    return not any(join.args.get(key) for key in ("on", "using", "method", "side", "kind"))


def _join(context: BindingContext, scope: NameScope, join: exp.Expr, first: int) -> None:
    """Add a join to the scope; `first` is the first source on its left."""
    left = len(scope.sources)
    before, scope.filters = scope.filters, {}
    _add(context, scope, join.this)
    added = scope.sources[left:]
    links = _condition(context, scope, join, first)
    names = [part.name.lower() for part in join.args.get("using") or []]
    if str(join.args.get("method") or "").upper() == "NATURAL":
        names = _common(scope.sources[first:left], added)
        if any(not source.relation.complete for source in scope.sources[first:]):
            for at, source in enumerate(scope.sources[first:], first):  # any column may be a key
                merge(links, raised(source.relation.everything(), JOIN_KEY))
                scope.sources[at] = source._replace(may_merge=True)
            added = scope.sources[left:]
    if names:
        keys = _merge_columns(context, scope, join, scope.sources[first:left], added, names)
        merge(links, keys)
        context.mentions.update(keys)
    merge(scope.filters, links)
    if str(join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
        del scope.sources[left:]
    _decide(scope, join, (first, left), union([before, _order_of_windows(context, join)]), links)
    merge(scope.filters, before)


def _order_of_windows(context: BindingContext, join: exp.Expr) -> Edges:
    """Return what may order the rows of a POSITIONAL join's sides by a window's sorting.

    DuckDB leaves the rows as a window sorted them, also one of which nobody reads the result.
    """
    if str(join.args.get("method") or "").upper() != "POSITIONAL" or not join.root().find(
        exp.Window
    ):
        return NO_EDGES
    return dict.fromkeys(context.mentions, FILTER)


def _condition(context: BindingContext, scope: NameScope, join: exp.Expr, first: int) -> Edges:
    """Add a join's ON to the filters, and return the edges of what links several sources in it.

    The join's own sides come before those that a comma separates.
    """
    outer = NameScope(scope.ctes, scope.parent)
    outer.sources = scope.sources[:first]
    sides = NameScope(scope.ctes, outer)
    sides.sources, sides.using, sides.filters = scope.sources[first:], scope.using, scope.filters
    links: Edges = {}
    for condition in conjuncts(join.args.get("on")):
        edges = raised(bind(context, sides, condition).edges, JOIN_KEY)
        merge(scope.filters, edges)
        if len(linked(scope, condition)) > 1:
            merge(links, edges)
    return links


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the conditions that all must hold."""
    waiting = [] if condition is None else [condition]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren):
            waiting.append(part.this)
        elif isinstance(part, exp.And):
            waiting += (part.args["expression"], part.this)
        else:
            yield part


def linked(scope: NameScope, condition: exp.Expr) -> list[int]:
    """Return the positions of the sources that a condition names, also in queries inside it.

    A name that none has may be that of an item of the SELECT list, made of any of them.
    """
    everywhere = range(len(scope.sources))
    found: set[int] = set()
    for column in condition.find_all(exp.Column):
        first = column.parts[0].name.lower()
        having = [at for at in everywhere if _has(scope.sources[at], column, first)]
        is_inside = having or column.find_ancestor(exp.Query) is not condition.find_ancestor(
            exp.Query
        )
        found.update(having if is_inside else everywhere)
    return sorted(found)


def _has(source: FromItem, column: exp.Column, first: str) -> bool:
    if len(column.parts) > 1 and source.alias == first:
        return True
    return source.relation.get(first) is not None or source.relation.unlisted(first) is not None


def decide_sources(scope: NameScope, positions: Iterable[int], edges: Edges) -> None:
    """Let edges decide the values of some sources of the scope."""
    for at in positions:
        source = scope.sources[at]
        scope.sources[at] = source._replace(relation=source.relation.decided_by(edges))


def _decide(
    scope: NameScope, join: exp.Expr, sides: tuple[int, int], before: Edges, links: Edges
) -> None:
    """Let a join's condition decide values, because it chooses the row beside another one.

    `sides` are the first sources on the left and on the right; the filters of the left are
    `before`. What `links` the sides decides the values on the right; of a side that may have no
    match, all of the condition does. An ASOF join chooses among the rows on the right. In a
    POSITIONAL join, the order and the filters of each side choose the row beside one of the other.
    """
    side = str(join.args.get("side") or "").upper()
    method = str(join.args.get("method") or "").upper()
    if method == "POSITIONAL":
        decide_sources(scope, range(sides[0], len(scope.sources)), union([scope.filters, before]))
        return
    if side != "RIGHT" or method == "ASOF":
        chosen = scope.filters if side or method == "ASOF" else links
        decide_sources(scope, range(sides[1], len(scope.sources)), chosen)
    if side in ("RIGHT", "FULL"):
        both = union([scope.filters, before])
        decide_sources(scope, range(*sides), both)
        merged = {part.name.lower() for part in join.args.get("using") or []}
        for name in scope.using.keys() - merged:
            column = scope.using[name]
            scope.using[name] = replace(column, edges={**both, **column.edges})


def _common(left: list[FromItem], added: list[FromItem]) -> list[str]:
    known = {
        column.name.lower() for source in left for column in source.relation.columns if column.name
    }
    return [
        column.name.lower()
        for source in added
        for column in source.relation.columns
        if column.name and column.name.lower() in known
    ]


def _merge_columns(
    context: BindingContext,
    scope: NameScope,
    join: exp.Expr,
    left: list[FromItem],
    added: list[FromItem],
    names: list[str],
) -> Edges:
    """Merge the columns of USING into one where both sides have one, and return their edges.

    For FULL, either side may be missing, so the value comes from both.
    """
    keys: Edges = {}
    side = str(join.args.get("side") or "").upper()
    for name in names:
        mine, theirs = (
            _find(context, join, scope, left, name),
            _find(context, join, None, added, name),
        )
        merge(keys, raised(union([mine.edges, theirs.edges]), JOIN_KEY))
        if side == "FULL":
            scope.using[name] = BoundExpression(
                unify(mine.type, theirs.type), union([mine.edges, theirs.edges], EXPRESSION)
            )
        else:
            scope.using[name] = theirs if side == "RIGHT" else mine
    for source in added:
        at = scope.sources.index(source)
        scope.sources[at] = source._replace(merged=source.merged | frozenset(names))
    return keys


def _find(
    context: BindingContext,
    join: exp.Expr,
    scope: NameScope | None,
    sources: list[FromItem],
    name: str,
) -> BoundExpression:
    if scope is not None and name in scope.using:
        return scope.using[name]
    listed = [source.relation.get(name) for source in sources]
    for column in (*listed, *(source.relation.unlisted(name) for source in sources)):
        if column is not None:
            return BoundExpression(column.type, column.edges)
    context.say("unknown_column", f"USING names `{name}`, which isn't on both sides", join)
    return BoundExpression(UNKNOWN, NO_EDGES)


# The SELECT list: expanded stars, aliases visible to later items, and names that DuckDB
# generates.

_SIMPLE_PATTERN = re.compile(r"[\w .|^$*+?\[\]-]{1,100}")
_REPEATS_MAX = 3


class Projection(msgspec.Struct, frozen=True, gc=False):
    """One output column.

    With `unlisted` it stands for columns that can't be listed: those of the inputs in `rest` (after
    the columns in `listed`), or those that `bound.edges` reach.
    """

    name: str | None
    bound: BoundExpression
    node: exp.Expr | None
    source: int | None = None
    unlisted: bool = False
    rest: tuple[str, ...] = ()
    listed: tuple[Output, ...] = ()


def project(context: BindingContext, scope: NameScope, select: exp.Expr) -> list[Projection]:
    """Return the output columns of a SELECT in order."""
    projections: list[Projection] = []
    for item in select.expressions:
        if isinstance(item, exp.Star):
            projections += _star(context, scope, item, None)
        elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            projections += _qualified_star(context, scope, item)
        elif isinstance(item, exp.Columns):
            projections += _columns_expression(context, scope, item)
        elif isinstance(item, exp.Explode) or (
            isinstance(item, exp.Alias) and isinstance(item.this, exp.Explode)
        ):
            projections.append(_unnested_column(context, scope, item))
        else:
            projections.append(_expression(context, scope, item))
    return projections


def _expression(context: BindingContext, scope: NameScope, item: exp.Expr) -> Projection:
    bound = bind(context, scope, item)
    if rest := unattributed(context, scope, item):
        bound = replace(bound, edges=union([bound.edges, rest], EXPRESSION))
    if isinstance(item, exp.Alias):
        scope.aliases.setdefault(item.alias.lower(), bound)
        return Projection(item.alias, bound, item.this)
    if type(item) is not exp.Column and _is_several(item):
        return Projection(None, bound, item, unlisted=True)
    return Projection(generated_name(scope, item), bound, item)


def _is_several(item: exp.Expr) -> bool:
    """Return whether an expression stands for several columns: `COLUMNS(…)`, `* LIKE 'a%'`."""
    return any(
        isinstance(part, exp.Columns)
        or (isinstance(part, exp.Star) and not isinstance(part.parent, exp.Count | exp.Column))
        for part in item.walk(prune=lambda node: isinstance(node, exp.Query))
    )


def _unnested_column(context: BindingContext, scope: NameScope, item: exp.Expr) -> Projection:
    """Return the column of an unnested list.

    A struct would give one column per field, so the type must be known.
    """
    bound = bind(context, scope, item)
    inner = item.this if isinstance(item, exp.Alias) else item
    kind = bind(context, scope, inner.this).type
    if isinstance(item, exp.Alias):
        scope.aliases.setdefault(item.alias.lower(), bound)
    if not kind.endswith("[]") or kind.startswith("STRUCT") or inner.args.get("expressions"):
        return Projection(None, bound, item, unlisted=True)
    return Projection(item.alias if isinstance(item, exp.Alias) else None, bound, inner)


def generated_name(scope: NameScope, node: exp.Expr) -> str | None:
    """Return the name that DuckDB generates for a column without alias; None in complex cases."""
    if isinstance(node, exp.Paren):
        return generated_name(scope, node.this)
    if isinstance(node, exp.Column):
        return _spelled(scope, node)
    if isinstance(node, exp.Count) and (node.this is None or isinstance(node.this, exp.Star)):
        return "count_star()"
    return None


def _spelled(scope: NameScope, node: exp.Column) -> str:
    """Return the spelling of a column's name at its origin, which DuckDB keeps."""
    name = node.name
    for source in scope.sources:
        if node.args.get("table") is None or node.table.lower() == source.alias:
            column = source.relation.get(name.lower())
            if column is not None and column.name is not None:
                return column.name
    return name


def _names(items: Iterable[exp.Expr] | None) -> dict[str, exp.Expr]:
    return {item.name.lower(): item for item in items or []}


def _qualified_star(
    context: BindingContext, scope: NameScope, item: exp.Column
) -> list[Projection]:
    alias = item.table.lower()
    at = next((at for at, source in enumerate(scope.sources) if source.alias == alias), None)
    if at is not None and item.args.get("db") is None:
        return _star(context, scope, item.this, at)
    struct = exp.Column(
        this=item.args["table"].copy(),
        table=item.args["db"].copy() if item.args.get("db") else None,
    )
    bound = bind(context, scope, struct)
    fields = struct_fields(bound.type)
    if fields is None:
        return [Projection(None, bound, item, unlisted=True)]
    return [
        Projection(name, BoundExpression(type_, union([bound.edges], 2)), item)
        for name, type_ in fields
    ]


def _star(  # complexipy: ignore (a case per modifier of the star)
    context: BindingContext, scope: NameScope, star: exp.Expr, only: int | None
) -> list[Projection]:
    """Expand `*` or `t.*` with EXCLUDE, REPLACE and RENAME."""
    excluded, replaced, renamed = (
        _names(star.args.get("except_")),
        _names_of_aliases(star, "replace"),
        _renamed(star),
    )
    if not scope.sources:
        context.say("unknown_column", "`*` without FROM", star)
        return []
    projections: list[Projection] = []
    for at, source in enumerate(scope.sources):
        if only in (None, at):
            projections += _of_source(scope, at, source, only is None)
    _say_missing(context, star, projections, [*excluded, *replaced])
    unchanged = not (replaced or renamed or excluded)
    result = []
    for item in projections:
        key = (item.name or "").lower()
        if item.unlisted:
            result.append(item if unchanged else replace(item, rest=(), listed=()))
        elif key in replaced:
            expression = replaced[key].this
            result.append(Projection(item.name, bind(context, scope, expression), expression))
        elif key in renamed and key not in excluded:
            result.append(replace(item, name=renamed[key].alias))
        elif key not in excluded:
            result.append(item)
    return result


def _names_of_aliases(star: exp.Expr, key: str) -> dict[str, exp.Expr]:
    return {
        item.alias.lower(): item for item in star.args.get(key) or [] if isinstance(item, exp.Alias)
    }


def _renamed(star: exp.Expr) -> dict[str, exp.Expr]:
    return {
        item.this.name.lower(): item
        for item in star.args.get("rename") or []
        if isinstance(item, exp.Alias)
    }


def _of_source(scope: NameScope, at: int, source: FromItem, all_of_them: bool) -> list[Projection]:
    relation: Relation = source.relation
    projections = []
    for column in relation.columns:
        name = (column.name or "").lower()
        if all_of_them and name in source.merged:
            continue
        bound = scope.using.get(name) if all_of_them else None
        projections.append(
            Projection(column.name, bound or BoundExpression(column.type, column.edges), None, at)
        )
    if relation.complete:
        return projections
    alone = len(scope.sources) == 1
    rest = relation.rest if alone and relation.opaque is None else ()
    whole = Projection(
        None,
        BoundExpression(UNKNOWN, union([relation.everything()], OPAQUE)),
        None,
        at,
        True,
        rest,
        tuple(relation.columns) if alone else (),
    )
    return [whole] if rest else [*projections, whole]


def _say_missing(
    context: BindingContext, star: exp.Expr, projections: list[Projection], required: list[str]
) -> None:
    if any(item.unlisted for item in projections):
        return
    names = [item.name for item in projections if item.name]
    known = {name.lower() for name in names}
    for name in required:
        if name not in known:
            context.say(
                "unknown_column",
                f"`*` has no column `{name}` to leave out or replace",
                star,
                nearest_name(name, names),
            )


def _simple_pattern(what: exp.Expr) -> re.Pattern[str] | None:
    """Return a pattern that Python matches as DuckDB does, and in linear time; None for others."""
    text = str(what.this) if isinstance(what, exp.Literal) and what.is_string else ""
    repeats = sum(text.count(sign) for sign in "*+?")
    if not _SIMPLE_PATTERN.fullmatch(text) or repeats > _REPEATS_MAX:
        return None
    try:
        return re.compile(text)
    except re.error:
        return None


def _columns_expression(
    context: BindingContext, scope: NameScope, item: exp.Expr
) -> list[Projection]:
    """Expand `COLUMNS(*)` and `COLUMNS('pattern')`; other arguments aren't followed."""
    what = item.this
    if isinstance(what, exp.Star):
        return _star(context, scope, what, None)
    everything = [
        projection
        for at, source in enumerate(scope.sources)
        for projection in _of_source(scope, at, source, True)
    ]
    named = all(projection.name and not projection.unlisted for projection in everything)
    pattern = _simple_pattern(what)
    if pattern is not None and named:
        chosen = [item for item in everything if pattern.search(item.name or "")]
        context.mentions.update(*(item.bound.edges for item in chosen))
        return chosen
    context.mentions.update(*(item.bound.edges for item in everything))
    return [
        Projection(
            None,
            BoundExpression(
                UNKNOWN,
                union([projection.bound.edges for projection in everything], OPAQUE) or NO_EDGES,
            ),
            item,
            unlisted=True,
        )
    ]
