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

    There are none for a text that can't be parsed.
    """
    try:
        trees = parse_all(text, dialect="duckdb")
    except (SqlglotError, *UNREADABLE):
        return
    for tree in trees:
        for node in tree.walk() if tree is not None else ():
            yield from _faults_of(node)


def _faults_of(node: exp.Expr) -> Iterator[str]:
    if isinstance(node, exp.Window):
        yield from _faults_of_window(node)
    elif isinstance(node, exp.Or):
        if _loses_nulls(list(_parts(node))):
            yield NULLS_LOST
    elif _has_zoned_formats(node):
        yield ZONED_FORMATS


def _faults_of_window(window: exp.Window) -> Iterator[str]:
    keys = [_name_of(key) for key in window.args.get("partition_by") or ()]
    if len(keys) != len(set(keys)):
        yield REPEATED_KEYS
    if any(isinstance(node, _SUMS) for node in _function_of(window)) and _is_whole(window):
        yield WINDOW_SUMS


def _name_of(key: exp.Expr) -> str:
    """Return a key's text; columns by their name alone, as `a` and `t.a` are one."""
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


def _loses_nulls(parts: Sequence[exp.Expr]) -> bool:
    """Return whether parts of a disjunction compare one column, one of them by IS DISTINCT FROM."""
    columns = {column.name.lower() for part in parts for column in part.find_all(exp.Column)}
    return (
        len(columns) == 1
        and any(_is_distinct(part) for part in parts)
        and all(_is_distinct(part) or _compares(part) for part in parts)
    )


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the parts of nested disjunctions."""
    node = node.unnest()
    if isinstance(node, exp.Or):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield node


def _is_distinct(part: exp.Expr) -> bool:
    if isinstance(part, exp.Not):
        inner = part.this.unnest()
        return isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Boolean)
    return isinstance(part, exp.NullSafeNEQ)


def _compares(part: exp.Expr) -> bool:
    return isinstance(part.this.unnest() if isinstance(part, exp.Not) else part, _COMPARISONS)


def _has_zoned_formats(node: exp.Expr) -> bool:
    called = isinstance(node, exp.StrToTime) or (
        isinstance(node, exp.Anonymous) and node.name.lower() in _PARSERS_OF_TIMES
    )
    lists = node.find_all(exp.Array) if called else ()
    return any(len(each.expressions) > 1 and "%z" in each.sql("duckdb").lower() for each in lists)
