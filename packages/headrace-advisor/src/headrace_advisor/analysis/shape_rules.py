"""Rules about ORDER BY, columns that nothing reads, stars and repeated subqueries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from headrace_advisor.analysis.advice import Finding
from headrace_advisor.analysis.conditions import unparenthesised
from headrace_advisor.analysis.contexts import (
    enclosing,
    predicate_around,
    reads_order,
    takes_part,
    uses_of,
)
from headrace_advisor.analysis.edits import position, remove_order, remove_projections
from headrace_advisor.analysis.from_items import Item
from headrace_advisor.analysis.functions import has_aggregate
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.relations import Relation, TableRelation
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.statements import TEMPLATE_NAME, Statement


def order_without_effect(queries: Queries) -> Iterator[Finding]:
    """ORDER BY of a subquery whose order is lost in the query around it."""
    for order in queries.statement.tree.find_all(exp.Order):
        query = order.parent
        if not isinstance(query, exp.Query) or query.args.get("order") is not order:
            continue
        distinct = query.args.get("distinct")
        on = isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None
        if takes_part(query) or on:
            continue
        reason = _loses_order(query, queries)
        if reason:
            yield Finding(
                "order_by_no_effect",
                "drop_order_by",
                position(queries.statement, order),
                f"ORDER BY has no effect: {reason}",
                edits=remove_order(queries.statement, order),
            )


def _loses_order(query: exp.Expr, queries: Queries) -> str:
    """Return why the order of a query's rows is lost, in words; empty if it may be seen."""
    if predicate_around(query) is not None:
        return "the query around it only looks for rows"
    parent = enclosing(query)
    if isinstance(parent, exp.CTE):
        tables = list(uses_of(parent))
        reasons = [_reader_loses_order(table, queries) for table in tables]
        return reasons[0] if reasons and all(reasons) else ""
    if isinstance(parent, exp.Subquery):
        return _reader_loses_order(parent, queries)
    return ""


def _reader_loses_order(node: exp.Expr, queries: Queries) -> str:
    select = node.parent_select
    scope = None if select is None else queries.scope(select)
    if scope is None or all(item.node is not node for item in scope.items):
        return ""
    return "the query around it joins, groups or orders the rows" if reads_order(scope) else ""


def unused_columns(queries: Queries) -> Iterator[Finding]:
    """Columns of a subquery that nothing around it reads."""
    tree = queries.statement.tree
    for cte in tree.find_all(exp.CTE):
        recursive = cte.parent is not None and cte.parent.args.get("recursive")
        if not recursive and not cte.args["alias"].args.get("columns"):
            yield from _unused(queries, cte.this, cte, [*uses_of(cte)])
    for subquery in tree.find_all(exp.Subquery):
        in_from = isinstance(subquery.parent, exp.From | exp.Join)
        alias = subquery.args.get("alias")
        if in_from and not (alias is not None and alias.args.get("columns")):
            yield from _unused(queries, subquery.this, subquery, [subquery])


def _unused(
    queries: Queries, select: exp.Expr, whole: exp.Expr, uses: list[exp.Expr]
) -> Iterator[Finding]:
    scope = queries.scope(select)
    if scope is None or not uses or not can_lose_columns(scope):
        return
    if not _are_named_only(uses, queries) or _are_values(uses, queries):
        return
    names = [output.name for output in scope.outputs]
    unused = _unused_numbers(queries, whole, scope)
    if len(unused) == len(names):
        unused.discard(min(unused))
    if unused and not loses_its_group(scope, unused):
        columns = tuple(names[number] for number in sorted(unused))
        yield Finding(
            "unused_column",
            "drop_column",
            position(queries.statement, scope.select),
            f"nothing reads {', '.join(columns)} of this subquery",
            edits=remove_projections(queries.statement, scope.select, unused),
            columns=columns,
        )


def _unused_numbers(queries: Queries, whole: exp.Expr, scope: SelectScope) -> set[int]:
    """Return which outputs of a subquery nothing names, outside of it or in its own clauses."""
    statement = queries.statement
    read = _names_outside(statement.tree, whole) | _names_in_templates(statement)
    inside = clause_names(scope)
    return {
        number
        for number, output in enumerate(scope.outputs)
        if output.name not in read
        and (output.name not in inside or is_plain(scope, number))
        and not _is_template(output.name, statement)
    }


def _names_in_templates(statement: Statement) -> set[str]:
    """Return the words of templates whose meaning isn't known: they may read columns."""
    return {word.lower() for text in statement.templates for word in re.findall(r"\w+", text)}


def _is_template(name: str, statement: Statement) -> bool:
    return bool(statement.templates) and TEMPLATE_NAME.fullmatch(name) is not None


def can_lose_columns(scope: SelectScope) -> bool:
    """Whether a SELECT list can be told column by column, and fixes no rows."""
    names = [output.name for output in scope.outputs]
    listed = scope.is_complete and len(names) == len(scope.select.expressions) and all(names)
    if not listed or len(set(names)) < len(names):
        return False
    if scope.select.args.get("distinct") or scope.multiplies_rows:
        return False
    return not _counts_columns(scope)


def loses_its_group(scope: SelectScope, unused: set[int]) -> bool:
    """Whether a SELECT without GROUP BY would lose its last aggregate, and give all rows."""
    if not scope.is_grouped or scope.select.args.get("group") or scope.select.args.get("having"):
        return False
    left = [o.node for n, o in enumerate(scope.outputs) if n not in unused]
    return not any(map(has_aggregate, left))


def _are_named_only(uses: list[exp.Expr], queries: Queries) -> bool:
    """Whether all readers name the columns that they read: no star, no NATURAL."""
    return all(_is_named_only(use, queries) for use in uses)


def _are_values(uses: list[exp.Expr], queries: Queries) -> bool:
    """Whether a name of a subquery stands where a value does: then it means all of its columns."""
    names = {use.alias_or_name.lower() for use in uses}
    columns = queries.statement.tree.find_all(exp.Column)
    return any(column.name.lower() in names for column in columns if not column.table)


def _is_named_only(use: exp.Expr, queries: Queries) -> bool:
    select = use.parent_select
    scope = None if select is None else queries.scope(select)
    if scope is None or all(item.node is not use for item in scope.items):
        return False
    expressions = scope.select.expressions
    starred = any(
        # a template without an alias may stand for several columns
        _is_star(node) or node.find(exp.Columns) or _is_template(node.name, queries.statement)
        for node in expressions
    )
    natural = any(item.is_natural for item in scope.items)
    return not (starred or natural or use.args.get("pivots"))


def _is_star(node: exp.Expr) -> bool:
    return any(not isinstance(star.parent, exp.Count) for star in node.find_all(exp.Star))


def _names_outside(tree: exp.Expr, whole: exp.Expr) -> set[str]:
    """Return every name that is used outside of a subquery."""
    return {
        node.name.lower()
        for node in tree.find_all(exp.Column, exp.Identifier)
        if not isinstance(node.parent, exp.Alias | exp.TableAlias) and not _is_inside(node, whole)
    }


def clause_names(scope: SelectScope) -> set[str]:
    """Return the names that a SELECT uses without a table: they may mean its own aliases."""
    select = scope.select
    clauses = [select.args.get(key) for key in ("where", "order", "group", "having", "qualify")]
    inner = [unparenthesised(node) for node in select.expressions]
    # an alias may be used beside its definition
    parts = [*filter(None, clauses), *(p for p in inner if not isinstance(p, exp.Column))]
    return {
        column.name.lower()
        for part in parts
        for column in part.find_all(exp.Column)
        if not column.table
    }


def is_plain(scope: SelectScope, number: int) -> bool:
    """Whether an output is a column under its own name, which clauses mean without it, too.

    Not `u.a` beside another `a`, as with USING: without it, `order by a` means the other one.
    """
    output = scope.outputs[number]
    if not isinstance(output.node, exp.Column) or output.node.name.lower() != output.name:
        return False
    return output.attribute == scope.resolve(exp.column(output.node.this.copy()))


def _is_inside(node: exp.Expr, whole: exp.Expr) -> bool:
    parent: exp.Expr | None = node
    while parent is not None and parent is not whole:
        parent = parent.parent
    return parent is whole


def _counts_columns(scope: SelectScope) -> bool:
    """Whether clauses name columns by their number, or all at once."""
    clauses = [scope.select.args.get(key) for key in ("order", "group")]
    present = [clause for clause in clauses if clause is not None]
    if any(clause.args.get("all") for clause in present):
        return True
    parts = [part for clause in present for part in clause.expressions]
    inner = [part.this if isinstance(part, exp.Ordered) else part for part in parts]
    return any(isinstance(part, exp.Literal) or str(part.name).lower() == "all" for part in inner)


def select_star(queries: Queries) -> Iterator[Finding]:
    """`*` over a table: the result changes with the table."""
    for select, scope in queries.selects():
        if isinstance(enclosing(select), exp.Exists) or _is_import(queries, scope):
            continue
        star = next((node for node in select.expressions if _is_open_star(node, scope)), None)
        if star is not None:
            yield Finding(
                "select_star",
                "select_star",
                position(queries.statement, select),
                f"`{star.sql()}` reads every column, and changes with the table",
                provable=False,
            )


def _is_import(queries: Queries, scope: SelectScope) -> bool:
    """Whether a CTE gives a table another name, and all its readers name the columns they read.

    Models of dbt often begin with such CTEs. Nothing reads a new column of the table.
    """
    select = scope.select
    cte = select.parent
    named = isinstance(cte, exp.CTE) and cte.args["alias"].args.get("columns")
    plain = len(scope.items) == len(select.expressions) == 1 and not select.args.get("distinct")
    if not isinstance(cte, exp.CTE) or named or not plain:
        return False
    uses: list[exp.Expr] = [*uses_of(cte)]
    return bool(uses) and _are_named_only(uses, queries) and not _are_values(uses, queries)


def _is_open_star(node: exp.Expr, scope: SelectScope) -> bool:
    inner = node.this if isinstance(node, exp.Column) else node
    if not isinstance(inner, exp.Star):
        return False
    table = node.table.lower() if isinstance(node, exp.Column) else ""
    return any(_is_open(item) for item in scope.items if table in ("", item.alias))


def _is_open(item: Item) -> bool:
    """Whether an item is a table, whose columns aren't listed in the statement."""
    if isinstance(item.relation, TableRelation):
        return True
    return (
        isinstance(item.node, exp.Table)
        and type(item.relation) is Relation
        and not (item.relation.is_cte)
    )


def repeated_subquery(queries: Queries) -> Iterator[Finding]:
    """The same subquery several times: once in WITH is enough."""
    places: dict[str, list[exp.Expr]] = {}
    for subquery in queries.statement.tree.find_all(exp.Subquery):
        inner = subquery.this
        if not isinstance(subquery.parent, exp.From | exp.Join) or not isinstance(inner, exp.Query):
            continue
        costly = inner.find(exp.Join, exp.Group, exp.AggFunc, exp.Window, exp.SetOperation)
        if costly is not None and inner.find(exp.From) is not None:
            places.setdefault(inner.sql(comments=False), []).append(subquery)
    for subqueries in places.values():
        if len(subqueries) > 1:
            yield Finding(
                "repeated_subquery",
                "share_subquery",
                position(queries.statement, subqueries[1].this),
                f"the same subquery stands here {len(subqueries)} times: name it once in WITH",
                provable=False,
            )


def correlated_subquery(queries: Queries) -> Iterator[Finding]:
    """Scalar subqueries that refer to the row around them: they may run once for each row."""
    by_outer: dict[int, list[exp.Expr]] = {}
    for select, scope in queries.selects():
        if scope.outer is not None and _is_scalar(select) and _refers_outside(select, scope):
            by_outer.setdefault(id(scope.outer), []).append(select)
    for subqueries in by_outer.values():
        number = len(subqueries)
        many = "a subquery depends" if number == 1 else f"{number} subqueries depend"
        yield Finding(
            "correlated_subquery",
            "share_subquery",
            position(queries.statement, subqueries[0]),
            f"{many} on the row around: join an aggregated subquery instead",
            provable=False,
        )


def _refers_outside(select: exp.Select, scope: SelectScope) -> bool:
    outside = {item.alias for item in scope.outer.items} if scope.outer is not None else set()
    tables = {column.table.lower() for column in select.find_all(exp.Column)}
    return bool(tables & (outside - {item.alias for item in scope.items}))


def _is_scalar(select: exp.Select) -> bool:
    parent = select.parent
    return (
        isinstance(parent, exp.Subquery)
        and not isinstance(parent.parent, exp.From | exp.Join | exp.SetOperation | exp.CTE)
        and predicate_around(select) is None
        and parent.parent is not None
    )
