"""Finds the forms of `engine_faults` in a statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, time
from itertools import combinations, permutations
from typing import Any

from sqlglot import exp
from sqlglot import parse as parse_all
from sqlglot.errors import SqlglotError

UNREADABLE = (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError)
"""What sqlglot raises for some texts instead of its own error."""
_SUMS = (exp.Sum, exp.Avg)
_RANKS = (exp.Rank, exp.PercentRank, exp.CumeDist)
_FILTERS = (exp.Where, exp.Having, exp.Qualify, exp.Join, exp.If)
_BEGINNINGS: dict[str, Callable[[datetime], bool]] = {
    "D": lambda _: True,
    "W": lambda each: each.weekday() == 0,
    "MON": lambda each: each.day == 1,
    "Q": lambda each: each.day == 1 and each.month % 3 == 1,
    "Y": lambda each: each.day == each.month == 1,
}
"""Which dates begin a unit of `date_trunc`, by how its names begin."""
_PARSERS_OF_TIMES = ("strptime", "try_strptime")
_DATE_PARTS = (exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.TimestampTrunc)
_DECISIONS = (exp.Predicate, exp.Connector, exp.Not, exp.Case, exp.If)
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
        yield from (
            source
            for node in tree.walk()
            for source, has_form in _FORMS.get(type(node), ())
            if has_form(node)
        )
        if _shares_partitions(tree):
            yield "#24629"
    if any(map(_loses_nulls, _disjunctions(trees))):
        yield "#25992"


def _joins_by_inequalities(join: exp.Join) -> bool:
    on = join.args.get("on")
    return join.kind == "ANTI" and on is not None and not on.find(exp.EQ, exp.NullSafeEQ)


def _joins_nulls(join: exp.Join) -> bool:
    on = join.args.get("on")
    return join.method == "ASOF" and on is not None and on.find(exp.NullSafeEQ) is not None


def _has_no_tuple(node: exp.Not) -> bool:
    """Return whether a negated IN looks for a tuple."""
    searched = node.this.unnest()
    looked_for = searched.this.unnest() if isinstance(searched, exp.In) else searched
    return searched is not looked_for and (
        isinstance(looked_for, exp.Tuple) or looked_for.name.lower() == "row"
    )


def _sums_whole(window: exp.Window) -> bool:
    return any(isinstance(each, _SUMS) for each in _function_of(window)) and _is_whole(window)


def _excludes_rows(window: exp.Window) -> bool:
    """Return whether the window is `mad` over a frame with EXCLUDE."""
    return any(each.name.lower() == "mad" for each in _function_of(window)) and any(
        spec.args.get("exclude")
        for each in _with_named(window)
        if (spec := each.args.get("spec")) is not None
    )


def _orders_arguments(window: exp.Window) -> bool:
    call, chain = window.this, list(_with_named(window))
    is_ordered, is_distinct = call.find(exp.Order), call.find(exp.Distinct)
    if call.find(exp.Mode):
        return bool(is_ordered or is_distinct or any(each.args.get("spec") for each in chain))
    return bool(
        is_ordered
        and (is_distinct or call.find(*_RANKS))
        and any(each.args.get("order") for each in chain)
    )


def _is_both_null(node: exp.Or) -> bool:
    """Return whether a value, or a negated one, is `a = b or (a is null and b is null)`."""
    parts = list(node.flatten())
    outer = node.find_ancestor(exp.Connector, exp.Predicate, exp.Not, exp.Func, exp.Select)
    return (len(parts) == 2 and not isinstance(outer, exp.Or) and not _is_filter(node)) and any(
        isinstance(equality, exp.EQ)
        and isinstance(nulls, exp.And)
        and {_plain(each, {}) for each in nulls.flatten()}
        == {
            _plain(exp.Is(this=each.unnest(), expression=exp.Null()), {})
            for each in (equality.this, equality.expression)
        }
        for equality, nulls in permutations(parts)
    )


def _is_filter(node: exp.Expr) -> bool:
    """Return whether null has the effect of false: in a condition, not negated."""
    while isinstance(node.parent, exp.Connector | exp.Paren):
        node = node.parent
    return isinstance(node.parent, _FILTERS) and node.arg_key in ("this", "on")


def _misses_beginnings(comparison: exp.Binary) -> bool:
    """Return whether `date_trunc` is compared with a written date that it never gives."""
    truncated = comparison.find(exp.TimestampTrunc, exp.DateTrunc)
    sides = (comparison.this.unnest(), comparison.expression.unnest())
    written = [each.find(exp.Literal) for each in sides if each is not truncated]
    if truncated is None or len(written) > 1 or (comparison.key == "eq" and _is_filter(comparison)):
        return False
    try:
        compared = datetime.fromisoformat(written[0].name if written[0] is not None else "")
    except ValueError:
        return False
    return any(
        truncated.text("unit").upper().startswith(unit)
        and (compared.time() != time() or not begins(compared))
        for unit, begins in _BEGINNINGS.items()
    )


def _is_nested(node: exp.With) -> bool:
    """Return whether a subquery in the WITH's own subquery reads it through FROM."""
    select = node.parent
    if select is None or not isinstance(select.parent, exp.Subquery):
        return False
    names = {each.alias.lower() for each in node.expressions}
    return not isinstance(select.parent.parent, exp.From | exp.Join) and any(
        isinstance(source.this, exp.Subquery)
        and source.parent is not select
        and any(each.name.lower() in names for each in source.find_all(exp.Table))
        for source in select.find_all(exp.From)
    )


def _is_last_percentile(node: exp.Expr) -> bool:
    """Return whether a percentile is 0, in descending order."""
    order = node.find(exp.Order)
    share = order and (order.this or node.this.this)
    return (
        order is not None
        and isinstance(share, exp.Expr)
        and share.is_number
        and share.to_py() == 0
        and any(each.args.get("desc") for each in order.expressions)
    )


def _shares_partitions(tree: exp.Expr) -> bool:
    """Return whether a window may get the partitions of another one of its SELECT.

    DuckDB takes two lists of as many keys for one if each key of the first is in the second, and so
    errs where the first has a key twice. It repeats keys itself: it folds an expression by the
    least and greatest values of its columns, and reads one column for another that a join equates.
    """
    lists = defaultdict[exp.Expr | None, set[tuple[exp.Expr, ...]]](set)
    for window in tree.find_all(exp.Window):
        given = (each.args.get("partition_by") for each in _with_named(window))
        keys = next(filter(None, given), ())
        if len(keys) > 1:
            select = window.find_ancestor(exp.Select)
            lists[select].add(tuple(_plain(key, _originals(select)) for key in keys))
    return any(
        any(key.find(exp.Columns) for keys in each for key in keys)
        or any(_takes_for_one(*pair) for pair in permutations(each, 2))
        for each in lists.values()
    )


def _originals(select: exp.Expr | None) -> dict[str, exp.Expr]:
    """Return what a SELECT's columns stand for: aliases, and columns that an equality joins."""
    results = dict[str, exp.Expr]()
    if not isinstance(select, exp.Select):
        return results
    for equality in select.find_all(exp.EQ):
        left, right = _plain(equality.this, results), _plain(equality.expression, results)
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            same = {right.name, *(name for name in results if results[name] == right)}
            results |= dict.fromkeys(same, left)
    for alias in select.expressions:
        if isinstance(alias, exp.Alias):
            results[alias.alias.lower()] = _plain(alias.this, results)
    return results


def _plain(key: exp.Expr, originals: Mapping[str, exp.Expr]) -> exp.Expr:
    """Return an expression whose columns are replaced by their originals (see `_originals`).

    A column without one loses its table's name, so that `a` and `t.a` are equal.
    """

    def original(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        name = node.name.lower()
        return originals[name].copy() if name in originals else exp.column(name)

    return key.transform(original).unnest()


def _takes_for_one(keys: Sequence[exp.Expr], others: Sequence[exp.Expr]) -> bool:
    return (
        len(keys) == len(others)
        and set(keys) != set(others)
        and any(_may_be_one(*pair) for pair in combinations(keys, 2))
        and all(any(_may_be_one(key, other) for other in others) for key in keys)
    )


def _may_be_one(key: exp.Expr, other: exp.Expr) -> bool:
    """Return whether keys are equal, or may be once they are folded to a column or a constant."""
    return key == other or (
        not (_is_kept(key) and _is_kept(other))
        and (
            (_may_be_constant(key) and _may_be_constant(other))
            or not {*key.find_all(exp.Column)}.isdisjoint(other.find_all(exp.Column))
        )
    )


def _is_kept(key: exp.Expr) -> bool:
    """Return whether DuckDB folds nothing of a key: a column, or a part of its date."""
    return isinstance(key.this if isinstance(key, _DATE_PARTS) else key, exp.Column)


def _may_be_constant(key: exp.Expr) -> bool:
    return key.find(*_DECISIONS) is not None or key.find(exp.Column) is None


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
    parts = [dict(_compared_once(part)) for part in _alternatives(node) if part.find(exp.Column)]
    return len(parts) > 1 and any(
        all(column in part for part in parts) and any(part[column] for part in parts)
        for column in parts[0]
    )


def _alternatives(node: exp.Or) -> Iterator[exp.Expr]:
    """Yield the conditions that OR connects, also those of an OR in parentheses or casts."""
    for condition in node.flatten():
        bare, is_negated = _bare(condition)
        if isinstance(bare, exp.Or) and not is_negated:
            yield from _alternatives(bare)
        else:
            yield condition


def _compared_once(part: exp.Expr) -> Iterator[tuple[str, bool]]:
    """Yield columns that a single condition of a part compares, and if by IS DISTINCT FROM."""
    bare, is_negated = _bare(part)
    conditions = list(bare.flatten()) if isinstance(bare, exp.And) and not is_negated else [part]
    compared = [
        (each, _only_column(each))
        for each in conditions
        if isinstance(_bare(each)[0], _COMPARISONS) or _is_distinct(each)
    ]
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


def _has_zoned_formats(node: exp.Expr) -> bool:
    called = isinstance(node, exp.StrToTime) or (
        isinstance(node, exp.Anonymous) and node.name.lower() in _PARSERS_OF_TIMES
    )
    lists = list(node.find_all(exp.Array)) if called else []
    formats = [each for array in lists for each in array.expressions]
    return len(formats) > 1 and any("%z" in each.sql("duckdb").lower() for each in formats)


_FORMS: dict[type[exp.Expr], tuple[tuple[str, Callable[[Any], bool]], ...]] = {
    exp.Window: (
        ("#24985", _sums_whole),
        ("#24442", _excludes_rows),
        ("#24826", _orders_arguments),
    ),
    exp.Join: (("#24788", _joins_by_inequalities), ("#24199", _joins_nulls)),
    exp.Not: (("#24504", _has_no_tuple),),
    exp.Or: (("#23685", _is_both_null),),
    exp.EQ: (("#24368", _misses_beginnings),),
    exp.NEQ: (("#24368", _misses_beginnings),),
    exp.With: (("#20188", _is_nested),),
    exp.StrToTime: (("72882df1ac0", _has_zoned_formats),),
    exp.Anonymous: (("72882df1ac0", _has_zoned_formats),),
    exp.WithinGroup: (("#24896", _is_last_percentile),),
    exp.PercentileCont: (("#24896", _is_last_percentile),),
    exp.PercentileDisc: (("#24896", _is_last_percentile),),
    exp.Quantile: (("#24896", _is_last_percentile),),
}
"""The sources of faults by the kind of node that may show them, with what shows them."""
