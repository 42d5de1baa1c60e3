"""Which output column of a body routes a row to its partition, where only `partition: day` is written (SEMANTICS §1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from headrace.model import Place, Problem
from headrace.sql.binding import CAST, EXPRESSION, Edges, NameScope, Output
from headrace.sql.expressions import bind
from headrace.sql.resolve import BoundQuery
from headrace.sql.types import is_time
from headrace.sql.values import UNKNOWN

BOUNDS = ("partition_start", "partition_end")


def routing_column(binding: BoundQuery, routes: Mapping[str, str | None], place: Place) -> tuple[str | None, list[Problem]]:
    """The one output column that tells the interval of a row: it comes from the column that routes an input, or is
    compared with `$partition_start`, or is the only date or time there is. `routes`: input → its routing column.

    None without a problem where there is no such column: then all rows belong to the interval asked for.
    """
    columns = [
        column for column in binding.relation.columns if column.name is not None and (is_time(column.type) or column.type == UNKNOWN)
    ]
    for candidates in _by_evidence(binding, columns, routes):
        names = list(dict.fromkeys(column.name for column in candidates if column.name is not None))
        if len(names) == 1:
            return names[0], []
        if names:
            return None, [_ambiguous(names, place)]
    return None, []


def _by_evidence(binding: BoundQuery, columns: list[Output], routes: Mapping[str, str | None]) -> Iterator[list[Output]]:
    """Groups of columns, from the strongest evidence to the weakest."""
    wanted = {(input_, column.lower()) for input_, column in routes.items() if column is not None}
    yield [column for column in columns if _reaches(column.edges, wanted, CAST)]
    yield [column for column in columns if is_time(column.type) and _reaches(column.edges, wanted, EXPRESSION)]
    compared = list(_compared(binding))
    yield [column for column in columns if is_time(column.type) and column.edges.keys() in compared]
    yield [column for column in columns if column.name in _of_bounds(binding)]
    yield [column for column in columns if is_time(column.type)] if binding.relation.complete else []


def _reaches(edges: Edges, wanted: set[tuple[str, str]], rank_max: int) -> bool:
    return any(rank <= rank_max and (input_, column.lower()) in wanted for (input_, column), rank in edges.items())


def _compared(binding: BoundQuery) -> Iterator[frozenset[tuple[str, str]]]:
    """The columns behind each expression that is compared with a bound of the interval."""
    for placeholder in binding.tree.find_all(exp.Placeholder):
        other = other_side(placeholder)
        scope = scope_of(binding, placeholder)
        if other is not None and scope is not None:
            edges = bind(binding.context, scope, other).edges
            if edges:
                yield frozenset(edges)


def other_side(placeholder: exp.Expr) -> exp.Expr | None:
    """What a bound of the interval is compared with, if it is."""
    if str(placeholder.name).lower() not in BOUNDS:
        return None
    node, parent = placeholder, placeholder.parent
    while isinstance(parent, exp.Paren | exp.Cast):
        node, parent = parent, parent.parent
    if not isinstance(parent, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.EQ):
        return None
    other = parent.args["expression"] if parent.this is node else parent.this
    return other if isinstance(other, exp.Expr) else None


def scope_of(binding: BoundQuery, node: exp.Expr) -> NameScope | None:
    """The scope of the SELECT around a node."""
    select = node.find_ancestor(exp.Select)
    bound_select = binding.context.selected.get(id(select))
    return bound_select.scope if bound_select is not None else None


def _of_bounds(binding: BoundQuery) -> set[str]:
    """Output columns that are a bound of the interval themselves: `$partition_start as report_day`."""
    select = binding.context.selected.get(id(binding.tree))
    if select is None:
        return set()
    return {
        name
        for name, node, _ in select.outputs
        if name is not None and isinstance(node, exp.Placeholder) and str(node.name).lower() in BOUNDS
    }


def _ambiguous(names: list[str], place: Place) -> Problem:
    text = ", ".join(f"`{name}`" for name in names[:4])
    return Problem(
        code="ambiguous_partition_column",
        message=f"{text} could each say which interval a row belongs to",
        hint=f"name one: partition: {{by: …, column: {names[0]}}}",
        place=place,
    )
