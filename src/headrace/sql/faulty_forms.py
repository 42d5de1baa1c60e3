"""Finds the forms of `engine_faults` in a statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot import parse as parse_all
from sqlglot.errors import SqlglotError

WINDOW_SUMS, REPEATED_KEYS = "#24985", "#24629"
ZONED_FORMATS, NULLS_LOST = "72882df1ac0", "#25992"
"""The sources of the faults."""
UNREADABLE = (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError)
"""What sqlglot raises for some texts instead of its own error."""
_SUMS = (exp.Sum, exp.Avg)
_PARSERS_OF_TIMES = ("strptime", "try_strptime")
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeNEQ)


def faults_in(text: str) -> Iterator[str]:
    """Yield the sources of the faults that statements may show.

    Several statements are views and the query that reads them. There are none for a text that can't
    be parsed.
    """
    try:
        trees = [tree for tree in parse_all(text, dialect="duckdb") if tree is not None]
    except (SqlglotError, *UNREADABLE):
        return
    for tree in trees:
        for node in tree.walk():
            yield from _faults_of(node)
    if any(map(_loses_nulls, _disjunctions(trees))):
        yield NULLS_LOST


def _faults_of(node: exp.Expr) -> Iterator[str]:
    if isinstance(node, exp.Window):
        yield from _faults_of_window(node)
    elif _has_zoned_formats(node):
        yield ZONED_FORMATS


def _faults_of_window(window: exp.Window) -> Iterator[str]:
    keys = [_name_of(key) for key in window.args.get("partition_by") or ()]
    if len(keys) != len(set(keys)):
        yield REPEATED_KEYS
    if any(isinstance(node, _SUMS) for node in _function_of(window)) and _is_whole(window):
        yield WINDOW_SUMS


def _name_of(key: exp.Expr) -> str:
    """Return a key's text; columns by their name alone, as `a` and `t.a` are one.

    A cast may be to the type that a column has, and is left out then.
    """
    key = key.unnest()
    if isinstance(key, exp.Cast) and isinstance(key.this.unnest(), exp.Column):
        key = key.this.unnest()
    return key.name.lower() if isinstance(key, exp.Column) else key.sql("duckdb").lower()


def _function_of(window: exp.Window) -> Iterator[exp.Expr]:
    """Yield the window's function, within FILTER and the like."""
    node = window.this
    while isinstance(node, exp.Expr):
        yield node
        node = node.this if not isinstance(node, _SUMS) else None


def _is_whole(window: exp.Window) -> bool:
    """Return whether the frame of an ordered window is its whole partition."""
    chain = list(_with_named(window))
    specs = [each.args["spec"] for each in chain if each.args.get("spec") is not None]
    ordered, cut = (
        any(each.args.get(name) for each in chain) for name in ("order", "partition_by")
    )
    return (
        ordered
        and cut
        and any(
            spec.args.get("start") == spec.args.get("end") == "UNBOUNDED"
            and spec.args.get("start_side") != spec.args.get("end_side")
            for spec in specs[:1]
        )
    )


def _with_named(window: exp.Window) -> Iterator[exp.Window]:
    """Yield the window and those of the WINDOW clause that it builds upon."""
    select = window.find_ancestor(exp.Select)
    named = {each.name.lower(): each for each in (select and select.args.get("windows")) or ()}
    seen = set[str]()
    each: exp.Window | None = window
    while each is not None:
        yield each
        base = each.args.get("alias")
        name = base.name.lower() if base is not None else ""
        each = named.get(name) if name not in seen else None
        seen.add(name)


def _disjunctions(trees: Sequence[exp.Expr]) -> Iterator[exp.Or]:
    """Yield the disjunctions, and those with columns in place of their names in other SELECTs."""
    named = {
        alias.alias.lower(): alias.this
        for tree in trees
        for alias in tree.find_all(exp.Alias)
        if isinstance(alias.this.unnest(), (exp.Column, exp.Not, exp.Is, *_COMPARISONS))
    }

    def original(node: exp.Expr) -> exp.Expr:
        is_named = isinstance(node, exp.Column) and node.name.lower() in named
        return named[node.name.lower()].copy() if is_named else node

    for tree in trees:
        yield from tree.find_all(exp.Or)
        if named and tree.find(exp.Or):
            yield from tree.transform(original).find_all(exp.Or)


def _loses_nulls(node: exp.Or) -> bool:
    """Return whether each part compares one column once, one of them by IS DISTINCT FROM.

    DuckDB looks for such comparisons in each part, which may have more conditions beside them.
    """
    parts = [dict(_compared_once(part)) for part in _parts(node) if part.find(exp.Column)]
    return len(parts) > 1 and any(
        all(column in part for part in parts) and any(part[column] for part in parts)
        for column in parts[0]
    )


def _parts(node: exp.Or) -> Iterator[exp.Expr]:
    """Yield the parts of nested disjunctions."""
    for part in node.flatten():
        bare, is_negated = _bare(part)
        if isinstance(bare, exp.Or) and not is_negated:
            yield from _parts(bare)
        else:
            yield part


def _compared_once(part: exp.Expr) -> Iterator[tuple[str, bool]]:
    """Yield columns that a single condition of a part compares, and if by IS DISTINCT FROM."""
    bare, is_negated = _bare(part)
    conditions = list(bare.flatten()) if isinstance(bare, exp.And) and not is_negated else [part]
    compared = [(each, _only_column(each)) for each in conditions if _compares(each)]
    for condition, column in compared:
        if column and [name for _, name in compared].count(column) == 1:
            yield column, _is_distinct(condition)


def _only_column(node: exp.Expr) -> str:
    """Return the name of the column that is in a condition; empty if there are several."""
    columns = {column.name.lower() for column in node.find_all(exp.Column)}
    return columns.pop() if len(columns) == 1 else ""


def _bare(node: exp.Expr) -> tuple[exp.Expr, bool]:
    """Return a condition without parentheses, casts and NOT, and whether it is negated."""
    is_negated = False
    while isinstance(node, exp.Paren | exp.Not | exp.Cast):
        is_negated ^= isinstance(node, exp.Not)
        node = node.this
    return node, is_negated


def _is_distinct(node: exp.Expr) -> bool:
    bare, is_negated = _bare(node)
    if isinstance(bare, exp.Is):
        return is_negated and isinstance(bare.expression, exp.Boolean)
    return isinstance(bare, exp.NullSafeEQ if is_negated else exp.NullSafeNEQ)


def _compares(node: exp.Expr) -> bool:
    return isinstance(_bare(node)[0], _COMPARISONS) or _is_distinct(node)


def _has_zoned_formats(node: exp.Expr) -> bool:
    called = isinstance(node, exp.StrToTime) or (
        isinstance(node, exp.Anonymous) and node.name.lower() in _PARSERS_OF_TIMES
    )
    lists = list(node.find_all(exp.Array)) if called else []
    formats = [each for array in lists for each in array.expressions]
    return len(formats) > 1 and any("%z" in each.sql("duckdb").lower() for each in formats)
