"""Rules about joins: tables that change nothing, and combinations without a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from headrace_advisor.analysis.advice import NO_PREMISES, Finding, JoinedTable, Premise, Premises
from headrace_advisor.analysis.conditions import conjuncts, not_null_columns
from headrace_advisor.analysis.contexts import ignores_duplicates, ignoring, takes_part
from headrace_advisor.analysis.distinct_rules import join_columns
from headrace_advisor.analysis.edits import position, remove_join
from headrace_advisor.analysis.from_items import Item
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.relations import (
    Relation,
    RenamedRelation,
    TableRelation,
    UnionRelation,
    premises_of,
)
from headrace_advisor.analysis.select_relation import SelectRelation
from headrace_advisor.analysis.selects import SelectScope
from headrace_advisor.analysis.tables import TableFacts
from headrace_advisor.analysis.used_items import has_open_star, is_used

NO_QUERIES = frozenset[int]()


def unused_join(  # complexipy: ignore (conditions in order)
    queries: Queries,
) -> Iterator[Finding]:
    """A joined table of which no column is used, and that neither adds nor removes rows."""
    for select, scope in queries.selects():
        if has_open_star(scope):
            continue
        for item in scope.items[1:]:
            join = item.join
            premises = None
            if join is not None and not item.filters:
                premises = _keeps_rows(queries, scope, item)
            if join is None or premises is None or is_used(select, scope, item):
                continue
            columns = tuple(sorted(item.matched)) or join_columns(scope, item)
            yield Finding(
                "unused_join",
                "drop_join",
                position(queries.statement, join),
                f"no column of {item.name} is used, and the join keeps each row once",
                premises,
                remove_join(queries.statement, join),
                join=JoinedTable(item.name, columns),
                relies_on=_dropping(queries, select) if premises == NO_PREMISES else NO_QUERIES,
            )


def _keeps_rows(queries: Queries, scope: SelectScope, item: Item) -> Premises | None:
    later = scope.items[item.number + 1 :]
    if any(other.side in ("RIGHT", "FULL") for other in later):
        return None
    if item.side != "LEFT" or not item.nullable:
        return _always_matches(scope, item)
    premises = scope.single_match(item, guarded_only=True)
    if premises is None and _drops_duplicates(queries, scope.select):
        return NO_PREMISES
    return premises if premises is not None else scope.single_match(item, guarded_only=False)


def _drops_duplicates(queries: Queries, select: exp.Select) -> bool:
    """Whether rows that a join repeats don't matter."""
    scope = queries.scope(select)
    windows = any(part.find(exp.Window) is not None for part in select.expressions)
    if scope is None or scope.is_grouped or windows or select.args.get("qualify"):
        return False
    distinct = select.args.get("distinct")
    if distinct is not None:
        return distinct.args.get("on") is None
    return not takes_part(select) and bool(ignores_duplicates(select, queries))


def _dropping(queries: Queries, select: exp.Select) -> frozenset[int]:
    """Return the queries whose DISTINCT or UNION drops what a join repeats in a SELECT."""
    if not _drops_duplicates(queries, select):
        return NO_QUERIES
    if select.args.get("distinct") is not None:
        return frozenset((id(select),))
    return ignoring(select, queries)


def _always_matches(  # complexipy: ignore (conditions in order)
    scope: SelectScope, item: Item
) -> Premises | None:
    """Return why an inner join finds exactly one row: a foreign key to a key."""
    relation = item.relation
    if item.side or item.nullable or not isinstance(relation, TableRelation):
        return None
    pairs = [_pair(scope, condition, item) for condition in item.conditions]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < len(pairs) or len({of for (of, _), _ in known}) != 1:
        return None
    other = scope.items[known[0][0][0]]
    # of a LEFT JOIN it isn't nullable any more if this very join drops the rows without a match
    missing = other.nullable or other.side in ("LEFT", "FULL")
    if missing or not isinstance(other.relation, TableRelation):
        return None
    mapped = {mine: theirs for (_, mine), theirs in known}
    columns = frozenset(mapped.values())
    row = relation.close(columns, columns, guarded_only=False).row
    nulls = [_not_null(scope, other, column) for column in mapped]
    sure = [premises for premises in nulls if premises is not None]
    reference = _reference(other.relation, relation.facts, mapped)
    if reference is None or row is None or len(sure) < len(nulls):
        return None
    return premises_of(row).union({reference}, *sure)


def _reference(
    other: TableRelation, table: TableFacts, mapped: Mapping[str, str]
) -> Premise | None:
    for reference in other.facts.references:
        target = dict(zip(reference.columns, reference.to, strict=False))
        elsewhere = reference.schema and table.schema and reference.schema != table.schema
        if reference.table == table.name.lower() and target == mapped and not elsewhere:
            return reference.premise
    return None


def _pair(
    scope: SelectScope, condition: exp.Expr, item: Item
) -> tuple[tuple[int, str], str] | None:
    """Return the other item's column and the item's column that a condition sets equal."""
    if not isinstance(condition, exp.EQ):
        return None
    sides = [condition.this, condition.expression]
    if not all(isinstance(side, exp.Column) for side in sides):
        return None
    attributes = [scope.resolve(side) for side in sides]
    for mine, other in (attributes, attributes[::-1]):
        if mine is not None and other is not None and mine[0] == item.number != other[0]:
            return other, mine[1]
    return None


def _not_null(scope: SelectScope, item: Item, column: str) -> Premises | None:
    where = scope.select.args.get("where")
    if where is not None and (item.number, column) in _rejected(scope, where.this):
        return frozenset()
    return item.relation.not_null(column)


def _rejected(scope: SelectScope, condition: exp.Expr) -> set[tuple[int, str]]:
    return not_null_columns(condition, scope.resolve)


def cross_join(queries: Queries) -> Iterator[Finding]:
    """A table that no condition connects with the others, and that may have several rows."""
    for select, scope in queries.selects():
        groups = _connected(select, scope)
        several = [group for group in groups if not _has_one_row(scope, group)]
        for group in several[1:]:
            item, first = scope.items[group[0]], scope.items[several[0][0]]
            yield Finding(
                "cross_join",
                "cross_join",
                position(queries.statement, item.node),
                f"no condition connects {item.name} with {first.name}: each row meets each row",
                frozenset((Premise(f"{item.name} has one row at most", None),)),
                join=JoinedTable(item.name, ()),
                provable=False,
            )


def _has_one_row(scope: SelectScope, group: list[int]) -> bool:
    return len(group) == 1 and _may_be_one_row(scope.items[group[0]])


def _connected(select: exp.Select, scope: SelectScope) -> list[list[int]]:
    """Return the items in groups that conditions connect, in the order of FROM."""
    where = select.args.get("where")
    conditions = list(conjuncts(where.this if where is not None else None))
    links = [{0, item.number} for item in scope.items if _is_linked(item)]
    for item in scope.items:
        conditions += item.conditions
    links += [_linked_by(condition, scope) for condition in conditions]
    group_of = {item.number: {item.number} for item in scope.items}
    for numbers in links:
        joined = set[int]().union(*(group_of[number] for number in numbers))
        group_of.update(dict.fromkeys(joined, joined))
    groups = [sorted(group_of[number]) for number in sorted(group_of)]
    return [group for n, group in enumerate(groups) if group not in groups[:n]]


def _is_linked(item: Item) -> bool:
    """Whether an item is connected by what it is: a function of a row, NATURAL, USING."""
    using = item.join is not None and item.join.args.get("using")
    lateral = isinstance(item.node, exp.Lateral | exp.Unnest) or _is_function(item.node)
    return bool(lateral or item.is_natural or using or item.filters)


def _linked_by(condition: exp.Expr, scope: SelectScope) -> set[int]:
    """Return the items that a condition is about; all of them if that can't be told."""
    numbers = set()
    for column in condition.find_all(exp.Column):
        attribute = scope.resolve(column)
        if attribute is not None:
            numbers.add(attribute[0])
        elif not scope.is_outer(column):
            return {item.number for item in scope.items}
    return numbers


def _is_function(node: exp.Expr) -> bool:
    return isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier)


def _may_be_one_row(item: Item) -> bool:
    """Whether an item has one row, or a few that the query itself lists."""
    relation = item.relation
    if relation.close(frozenset(), frozenset(), guarded_only=False).row is not None:
        return True
    if isinstance(item.node, exp.Values | exp.Unnest | exp.Lateral) or _is_function(item.node):
        return True
    return _is_listed(relation)


def _is_listed(relation: Relation) -> bool:
    """Whether rows come from literals only."""
    if isinstance(relation, UnionRelation):
        return all(map(_is_listed, relation.branches))
    if isinstance(relation, SelectRelation):
        return all(_is_listed(item.relation) for item in relation.scope.items)
    return isinstance(relation, RenamedRelation) and _is_listed(relation.inner)
