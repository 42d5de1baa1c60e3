"""Which columns of a statement mean something else than in another text of it.

By names, and on the safe side: where a difference can't be followed to single columns, all of them mean something else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlglot import exp

from headrace.sql.parsing import InvalidSelect, parse

_MULTIPLYING = (exp.Explode, exp.Unnest)
_EACH = "*"
"""What a column is called that stands for all of a table."""


class _Parts(NamedTuple):
    """One SELECT: its columns' texts by name, and the text of all else."""

    columns: dict[str, str]
    expressions: dict[str, exp.Expr]
    rest: str
    tree: exp.Select


def changed_columns(was: str, now: str, parameters: Collection[str] = ()) -> frozenset[str] | None:
    """The columns (lower-case) that both texts give and that mean something else in `now`; None means all of them.

    `parameters` are the `$name`s (lower-case) that are bound to another value.
    """
    try:
        before, after = parse(was).tree, parse(now).tree
    except InvalidSelect:
        return None
    return _changed(before, after, {}, frozenset(parameters))


def _changed(was: exp.Expr, now: exp.Expr, above: Mapping[str, frozenset[str]], bound: frozenset[str]) -> frozenset[str] | None:
    """`above`: statement before it in the WITH → its columns that mean something else."""
    if not isinstance(was, exp.Select) or not isinstance(now, exp.Select):
        return None if was != now or _mentions(now, above, bound) else frozenset()
    named = _of_with(was, now, above, bound)
    before, after = _parts(was), _parts(now)
    if named is None or before is None or after is None or before.rest != after.rest:
        return None
    other = {name for name in {*before.columns, *after.columns} if before.columns.get(name) != after.columns.get(name)}
    if _EACH in other:
        return None
    results = _followed(after.expressions, other, named, bound)
    if not results:
        return None if _rest_mentions(now, named, bound) else frozenset()
    if _rest_mentions(now, {**named, "": frozenset(results)}, bound) or _shapes_rows(before, results) or _shapes_rows(after, results):
        return None
    if _aggregates(was) != _aggregates(now):
        return None
    passed = {name for columns in named.values() for name in columns} if _EACH in results else set()
    return frozenset((results & before.columns.keys() & after.columns.keys() | passed) - {_EACH})


def _of_with(
    was: exp.Select, now: exp.Select, above: Mapping[str, frozenset[str]], bound: frozenset[str]
) -> Mapping[str, frozenset[str]] | None:
    """What changed in the statements of the WITH, by name; None where that can't be followed."""
    before, after = _with(was), _with(now)
    if list(before) != list(after):
        return None
    results = dict(above)
    for name, cte in after.items():
        if before[name].args.get("alias") != cte.args.get("alias") or _recursive(now):
            if before[name] == cte and not _mentions(cte, results, bound):
                continue
            return None
        changed = _changed(before[name].this, cte.this, results, bound)
        if changed is None:
            return None
        dropped = _gone(before[name].this, cte.this)
        if changed or dropped:
            results[name] = changed | dropped
    return results


def _with(select: exp.Select) -> dict[str, exp.Expr]:
    clause = select.args.get("with_")
    return {cte.alias.lower(): cte for cte in clause.expressions} if clause is not None else {}


def _recursive(select: exp.Select) -> bool:
    clause = select.args.get("with_")
    return clause is not None and bool(clause.args.get("recursive"))


def _gone(was: exp.Expr, now: exp.Expr) -> frozenset[str]:
    """Columns that only one of two SELECTs gives."""
    before, after = _parts(was), _parts(now)
    if before is None or after is None:
        return frozenset()
    return frozenset(before.columns.keys() ^ after.columns.keys())


def _parts(tree: exp.Expr) -> _Parts | None:
    """None where a column has no name of its own."""
    if not isinstance(tree, exp.Select):
        return None
    expressions: dict[str, exp.Expr] = {}
    for expression in tree.expressions:
        name = _EACH if expression.is_star else expression.alias_or_name.lower()
        if not name or name in expressions:
            return None
        expressions[name] = expression
    rest = tree.copy()
    rest.set("expressions", [])
    rest.set("with_", None)
    return _Parts({name: _text(_with_all(expr)) for name, expr in expressions.items()}, expressions, _text(rest), tree)


def _with_all(column: exp.Expr) -> exp.Expr:
    """`*` without what it leaves out: the columns that are left mean what they meant."""
    if not column.is_star:
        return column
    expr = column.copy()
    for star in expr.find_all(exp.Star):
        star.set("except_", None)
    return expr


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _followed(expressions: Mapping[str, exp.Expr], other: set[str], named: Mapping[str, frozenset[str]], bound: frozenset[str]) -> set[str]:
    """These columns, and those of the same SELECT that are computed from what means something else."""
    results, before = set(other), -1
    while len(results) != before:
        before = len(results)
        aliases = {**named, "": frozenset(results)} if results else named
        for name, expr in expressions.items():
            passed_on = isinstance(expr, exp.Column) and expr.name.lower() == name
            if _mentions(expr, named if passed_on else aliases, bound):
                results.add(name)
    return results


def _mentions(node: exp.Expr, changed: Mapping[str, frozenset[str]], bound: frozenset[str]) -> bool:
    """Whether an expression names a column that means something else, all columns, or a value that is bound otherwise."""
    names = _names(changed)
    for part in node.walk():
        if isinstance(part, exp.Column) and (part.name.lower() in names or part.table.lower() in names & {part.name.lower()}):
            return True
        if isinstance(part, exp.Star | exp.Columns) and changed and not isinstance(part.parent, exp.Count):
            return True
        if isinstance(part, exp.Parameter | exp.Placeholder) and part.name.lower() in bound:
            return True
    return False


def _names(changed: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Columns that mean something else, and the statements that give them: a row is named like its table."""
    results: set[str] = set()
    for name, columns in changed.items():
        results |= columns
        if name:
            results.add(name)
    return frozenset(results)


def _rest_mentions(select: exp.Select, changed: Mapping[str, frozenset[str]], bound: frozenset[str]) -> bool:
    """Whether what says which rows there are depends on what means something else."""
    names = _names({"": frozenset(c for columns in changed.values() for c in columns)})
    for key, value in select.args.items():
        if key in ("expressions", "with_"):
            continue
        for part in _each(value):
            if _mentions(part, {"": names} if names else {}, bound) or (names and _joins(part, names)):
                return True
    return False


def _each(value: object) -> Iterable[exp.Expr]:
    values = value if isinstance(value, list) else [value]
    return (value for value in values if isinstance(value, exp.Expression))


def _joins(part: exp.Expr, names: frozenset[str]) -> bool:
    """Whether USING, or a join by all common names, takes one of these columns."""
    for join in part.find_all(exp.Join):
        if (join.args.get("method") or "").lower() == "natural":
            return True
        if any(item.name.lower() in names for item in join.args.get("using") or []):
            return True
    return False


def _shapes_rows(parts: _Parts, touched: set[str]) -> bool:
    """Whether these columns say which rows there are: by DISTINCT, by a GROUP BY of all or by position, by unfolding a list."""
    select = parts.tree
    if select.args.get("distinct") is not None:
        return True
    ours = [expr for name, expr in parts.expressions.items() if name in touched]
    if any(expr.find(*_MULTIPLYING) for expr in ours):
        return True
    aggregates = [expr.find(exp.AggFunc) is not None for expr in ours]
    group = select.args.get("group")
    by_position = group is not None and (
        group.args.get("all") or any(isinstance(expression, exp.Literal) for expression in group.expressions)
    )
    if by_position:
        return not all(aggregates)
    order = select.args.get("order")
    by_place = order is not None and any(expression.this.is_int for expression in order.expressions)
    return by_place and select.args.get("limit") is not None


def _aggregates(select: exp.Select) -> bool:
    """Whether all rows become one, without a GROUP BY."""
    if select.args.get("group") is not None:
        return False
    return any(item.find_ancestor(exp.Window) is None for column in select.expressions for item in column.find_all(exp.AggFunc))
