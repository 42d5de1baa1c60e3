"""Rules about UNION: where UNION ALL gives the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from sqlglot import exp

from headrace.advisor.advice import Finding, Premise, Premises
from headrace.advisor.contexts import enclosing, ignores_duplicates, takes_part
from headrace.advisor.edits import position, union_all
from headrace.advisor.queries import Queries
from headrace.advisor.relations import Relation, UnionRelation, premises_of


def union_for_union_all(queries: Queries) -> Iterator[Finding]:
    """UNION whose branches share no rows and repeat none, or whose duplicates don't matter."""
    for operation in queries.statement.tree.find_all(exp.Union):
        if not operation.args.get("distinct") or _is_inside_chain(operation):
            continue
        operations, branches = _chain(operation)
        premises = _disjoint(queries, branches)
        if premises is not None:
            text = "UNION removes nothing: its branches share no rows, and repeat none"
        elif not takes_part(operation) and (reason := ignores_duplicates(operation, queries)):
            text, premises = f"UNION ALL is enough: {reason} ignores duplicates", frozenset()
        else:
            continue
        yield Finding(
            "union_to_union_all",
            "union_all",
            min(position(queries.statement, item) for item in operations),
            text,
            premises,
            union_all(queries.statement, operations),
        )


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
    if not all(_differ(left, right) for left, right in combinations(relations, 2)):
        return None
    for guarded_only in (True, False):
        parts = [_repeats_nothing(relation, guarded_only) for relation in relations]
        premises = [part for part in parts if part is not None]
        if len(premises) == len(parts):
            return frozenset[Premise]().union(*premises)
    return None


def _repeats_nothing(relation: Relation, guarded_only: bool) -> Premises | None:
    columns = relation.columns
    if columns is None:
        return None
    row = relation.close(frozenset(columns), frozenset(), guarded_only).row
    return None if row is None else premises_of(row)


def _differ(left: Relation, right: Relation) -> bool:
    """Whether a column holds one constant in the first relation and another one in the second."""
    both = UnionRelation([left, right], distinct=False)
    return any(both.differs(column) for column in both.columns or ())
