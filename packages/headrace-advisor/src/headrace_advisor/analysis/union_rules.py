"""Rules about UNION: where UNION ALL gives the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from sqlglot import exp

from headrace_advisor.analysis.advice import Finding, Premise, Premises
from headrace_advisor.analysis.contexts import enclosing, ignores_duplicates, ignoring, takes_part
from headrace_advisor.analysis.edits import position, union_all
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.relations import Relation, UnionRelation, premises_of


def union_for_union_all(queries: Queries) -> Iterator[Finding]:
    """UNION whose branches share no rows and repeat none, or whose duplicates don't matter."""
    for operation in queries.statement.tree.find_all(exp.Union):
        if not operation.args.get("distinct") or _is_inside_chain(operation):
            continue
        if _is_recursive(operation):  # UNION ALL may never end
            continue
        operations, branches = _chain(operation)
        text, premises, by = _why_enough(queries, operation, operations, branches)
        if premises is not None:
            place = min(position(queries.statement, item) for item in operations)
            edits = union_all(queries.statement, operations)
            yield Finding(
                "union_to_union_all",
                "union_all",
                place,
                text,
                premises,
                edits,
                removes=frozenset(map(id, operations)),
                relies_on=by,
            )


def _why_enough(
    queries: Queries,
    operation: exp.Union,
    operations: Sequence[exp.Expr],
    branches: Sequence[exp.Expr],
) -> tuple[str, Premises | None, frozenset[int]]:
    """Return why UNION ALL is enough, on which premises, and which queries must stay.

    The premises are None if it may not be enough.
    """
    by_name = any(item.args.get("by_name") for item in operations)
    premises = None if by_name else _disjoint(queries, branches)
    if premises is not None:
        return (
            "UNION removes nothing: its branches share no rows, and repeat none",
            premises,
            frozenset(),
        )
    if not takes_part(operation) and (reason := ignores_duplicates(operation, queries)):
        by = ignoring(operation, queries)
        return f"UNION ALL is enough: {reason} ignores duplicates", frozenset(), by
    return "", None, frozenset()


def _is_recursive(operation: exp.Expr) -> bool:
    cte = enclosing(operation)
    if not isinstance(cte, exp.CTE):
        return False
    name = cte.alias.lower()
    return any(table.name.lower() == name for table in operation.find_all(exp.Table))


def _is_inside_chain(operation: exp.Expr) -> bool:
    parent = enclosing(operation)
    return isinstance(parent, exp.Union) and bool(parent.args.get("distinct"))


def _chain(operation: exp.Union) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """Return the UNIONs of `a union b union c`, and the branches."""
    operations: list[exp.Expr] = [operation]
    branches: list[exp.Expr] = []
    stack: list[exp.Expr] = [operation.expression, operation.this]
    while stack:
        node = stack.pop()
        inner = node.unnest() if isinstance(node, exp.Subquery) and not takes_part(node) else node
        simple = isinstance(inner, exp.Union) and not takes_part(inner)
        if simple and inner.args.get("distinct") and not inner.args.get("with_"):
            operations.append(inner)
            stack += [inner.expression, inner.this]
        else:
            branches.append(inner)
    return operations, branches


def _disjoint(queries: Queries, branches: Sequence[exp.Expr]) -> Premises | None:
    relations = [queries.relations.get(id(branch), Relation()) for branch in branches]
    together = UnionRelation(relations, distinct=False)
    # values of several types get a common one, in which they may become equal
    signs = [n for n, column in enumerate(together.columns or ()) if together.type_of(column)]
    if not all(_differ(left, right, signs) for left, right in combinations(relations, 2)):
        return None
    guarded = _all_repeat_nothing(relations, guarded_only=True)
    return guarded if guarded is not None else _all_repeat_nothing(relations, guarded_only=False)


def _all_repeat_nothing(relations: Sequence[Relation], *, guarded_only: bool) -> Premises | None:
    parts = [_repeats_nothing(relation, guarded_only) for relation in relations]
    premises = [part for part in parts if part is not None]
    return frozenset[Premise]().union(*premises) if len(premises) == len(parts) else None


def _repeats_nothing(relation: Relation, guarded_only: bool) -> Premises | None:
    columns = relation.columns
    if columns is None:
        return None
    row = relation.close(frozenset(columns), frozenset(), guarded_only).row
    return None if row is None else premises_of(row)


def _differ(left: Relation, right: Relation, numbers: Sequence[int]) -> bool:
    """Whether one of the columns holds one constant in the first relation, another in the second.

    `numbers` are the positions of the columns.
    """
    both = UnionRelation([left, right], distinct=False)
    columns = both.columns or ()
    return any(both.differs(columns[number]) for number in numbers)
