"""Partitions in SQL: the routing column, and separable statements (SEMANTICS §1)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

from sqlglot import exp

from headrace.model import Place, Problem
from headrace.sql.expressions import bind
from headrace.sql.queries import BoundQuery, aggregates
from headrace.sql.scopes import CAST, EXPRESSION, BoundSelect, Edges, FromItem, NameScope, Output
from headrace.sql.types import is_time
from headrace.sql.values import UNKNOWN, Analysis

# The output column that routes a row to its partition, where a declaration says only `partition:
# day`.

INTERVAL_BOUNDS = ("partition_start", "partition_end")


def routing_column(
    binding: BoundQuery, routes: Mapping[str, str | None], place: Place
) -> tuple[str | None, list[Problem]]:
    """Return the output column that determines the interval of a row.

    It comes from the routing column of an input, or is compared with `$partition_start`, or is the
    only date or time. `routes` maps an input to its routing column.

    Returns None without a problem if there is no such column: then all rows belong to the requested
    interval.
    """
    columns = [
        column
        for column in binding.relation.columns
        if column.name is not None and (is_time(column.type) or column.type == UNKNOWN)
    ]
    for candidates in _by_evidence(binding, columns, routes):
        names = list(dict.fromkeys(column.name for column in candidates if column.name is not None))
        if len(names) == 1:
            return names[0], []
        if names:
            return None, [_ambiguous(names, place)]
    return None, []


def _by_evidence(
    binding: BoundQuery, columns: list[Output], routes: Mapping[str, str | None]
) -> Iterator[list[Output]]:
    """Yield groups of columns, from the strongest evidence to the weakest."""
    targets = {(input_, column.lower()) for input_, column in routes.items() if column is not None}
    yield [column for column in columns if _reaches(column.edges, targets, CAST)]
    yield [
        column
        for column in columns
        if is_time(column.type) and _reaches(column.edges, targets, EXPRESSION)
    ]
    compared = list(_compared(binding))
    yield [column for column in columns if is_time(column.type) and column.edges.keys() in compared]
    yield [column for column in columns if column.name in _of_bounds(binding)]
    yield (
        [column for column in columns if is_time(column.type)] if binding.relation.complete else []
    )


def _reaches(edges: Edges, targets: set[tuple[str, str]], rank_max: int) -> bool:
    return any(
        rank <= rank_max and (input_, column.lower()) in targets
        for (input_, column), rank in edges.items()
    )


def _compared(binding: BoundQuery) -> Iterator[frozenset[tuple[str, str]]]:
    """Yield the columns behind each expression that is compared with a bound of the interval."""
    for placeholder in binding.tree.find_all(exp.Placeholder):
        other = other_side(placeholder)
        scope = scope_of(binding, placeholder)
        if other is not None and scope is not None:
            edges = bind(binding.context, scope, other).edges
            if edges:
                yield frozenset(edges)


def other_side(placeholder: exp.Expr) -> exp.Expr | None:
    """Return the expression that a bound of the interval is compared with.

    None if there is none.
    """
    if str(placeholder.name).lower() not in INTERVAL_BOUNDS:
        return None
    node, parent = placeholder, placeholder.parent
    while isinstance(parent, exp.Paren | exp.Cast):
        node, parent = parent, parent.parent
    if not isinstance(parent, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.EQ):
        return None
    other = parent.args["expression"] if parent.this is node else parent.this
    return other if isinstance(other, exp.Expr) else None


def scope_of(binding: BoundQuery, node: exp.Expr) -> NameScope | None:
    """Return the scope of the SELECT around a node."""
    select = node.find_ancestor(exp.Select)
    bound_select = binding.context.selected.get(id(select))
    return bound_select.scope if bound_select is not None else None


def _of_bounds(binding: BoundQuery) -> set[str]:
    """Return output columns that are a bound of the interval: `$partition_start as report_day`."""
    select = binding.context.selected.get(id(binding.tree))
    if select is None:
        return set()
    return {
        name
        for name, node, _ in select.outputs
        if name is not None
        and isinstance(node, exp.Placeholder)
        and str(node.name).lower() in INTERVAL_BOUNDS
    }


def _ambiguous(names: list[str], place: Place) -> Problem:
    text = ", ".join(f"`{name}`" for name in names[:4])
    return Problem(
        code="ambiguous_partition_column",
        message=f"{text} could each say which interval a row belongs to",
        hint=f"name one: partition: {{by: …, column: {names[0]}}}",
        place=place,
    )


# Whether one statement over many partitions gives the same rows as one statement per partition. The
# routing column is followed from the outermost query inwards. Wherever rows meet (GROUP BY, window,
# join, LIMIT) they may meet only rows of the same partition: that column, or all columns that it is
# computed from, must be among the keys. Unrecognised constructs count as not separable, with a
# reason that names them.

DEPTH_MAX = 60

Pair = tuple[str, str]
"""A column of a SELECT's sources: (alias, name), lower-case."""
Defining = tuple[exp.Expr | None, set[Pair]]
"""The expression of an output column (None for a star's), and the columns that it is computed
from."""


class _RowsMix(Exception):
    """Rows of several partitions meet; the message says where."""


def not_separable_because(
    binding: BoundQuery, analysis: Analysis, column: str | None, cut: Collection[str]
) -> str:
    """Return why a query isn't separable; empty if it is.

    `column` routes rows; `cut` lists the partitioned inputs.
    """
    if column is None:
        return "no output column says which interval a row belongs to"
    if analysis.uses_self:
        return "it reads `$self`"
    if analysis.volatile:
        return f"`{analysis.volatile[0].name}` gives another result at another time"
    if analysis.table_functions or analysis.functions:
        return "it calls a macro"
    try:
        _Follower(binding, cut).follow(column)
    except _RowsMix as reason:
        return str(reason)
    return ""


class _Follower:
    def __init__(self, binding: BoundQuery, cut: Collection[str]) -> None:
        self._binding, self._cut = binding, frozenset(cut)
        self._selected = binding.context.selected
        self._ctes: dict[str, list[exp.Expr]] = {}
        for cte in binding.tree.find_all(exp.CTE):
            self._ctes.setdefault(cte.alias.lower(), []).append(cte.this)
        self._depth = 0

    def follow(self, column: str) -> None:
        self._check_bounds(column)
        self._query(self._binding.tree, {column.lower()})

    def _check_bounds(self, column: str) -> None:
        """Refuse bounds of the interval outside filters on the routing column.

        Everything else would see the bounds of the whole batch.
        """
        output = self._binding.relation.get(column.lower())
        routed = set(output.edges) if output is not None else set()
        for placeholder in self._binding.tree.find_all(exp.Placeholder):
            if str(placeholder.name).lower() not in INTERVAL_BOUNDS:
                continue
            other, scope = other_side(placeholder), scope_of(self._binding, placeholder)
            edges = (
                set(bind(self._binding.context, scope, other).edges)
                if other is not None and scope is not None
                else set()
            )
            if not edges or not edges <= routed or not _is_interval_bound(placeholder):
                raise _RowsMix(f"`${placeholder.name}` is used for more than to cut `{column}`")

    def _query(self, node: exp.Expr, names: set[str]) -> None:
        """Follow `names`, output columns that together determine the partition."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _RowsMix("it is nested too deeply to be followed")
        if node.args.get("limit") is not None or node.args.get("offset") is not None:
            raise _RowsMix("LIMIT keeps rows of all partitions together")
        if isinstance(node, exp.Subquery):
            self._query(node.this, names)
        elif isinstance(node, exp.SetOperation):
            self._set_operation(node, names)
        elif isinstance(node, exp.Select):
            self._select(node, names)
        else:
            raise _RowsMix(f"{node.key.upper()} isn't followed")
        self._depth -= 1

    def _set_operation(self, node: exp.SetOperation, names: set[str]) -> None:
        if node.find_ancestor(exp.CTE) is not None and self._is_recursive(node):
            raise _RowsMix("it is recursive")
        branches = [node.this, node.args["expression"]]
        positions = self._positions(branches[0], names)
        for branch in branches:
            if not self._touches(branch):
                raise _RowsMix("a branch of UNION reads nothing that is partitioned by time")
            self._query(
                branch, names if node.args.get("by_name") else self._names_at(branch, positions)
            )

    def _is_recursive(self, node: exp.Expr) -> bool:
        cte = node.find_ancestor(exp.CTE)
        return cte is not None and any(
            table.name.lower() == cte.alias.lower() for table in node.find_all(exp.Table)
        )

    def _outputs(self, node: exp.Expr) -> list[str | None]:
        while isinstance(node, exp.Subquery | exp.SetOperation):
            node = node.this
        select = self._selected.get(id(node))
        return (
            [None if name is None else name.lower() for name, _, _ in select.outputs]
            if select is not None
            else []
        )

    def _positions(self, node: exp.Expr, names: set[str]) -> list[int]:
        outputs = self._outputs(node)
        if not names <= set(outputs):
            raise _RowsMix("a column can't be followed through UNION")
        return [outputs.index(name) for name in names]

    def _names_at(self, node: exp.Expr, positions: list[int]) -> set[str]:
        outputs = self._outputs(node)
        results = {outputs[at] for at in positions if at < len(outputs)}
        named = {name for name in results if name is not None}
        if len(named) != len(positions):
            raise _RowsMix("a column of UNION has no name")
        return named

    def _select(self, node: exp.Select, names: set[str]) -> None:
        select = self._selected.get(id(node))
        if select is None:
            raise _RowsMix("a query isn't followed")
        if node.args.get("sample") is not None or any(
            table.args.get("sample") is not None for table in node.find_all(exp.Table)
        ):
            raise _RowsMix("it takes a sample")
        defining = [self._defining(select, name) for name in names]
        carried = set[Pair]().union(*(columns for _, columns in defining))
        self._check_groups(node, select, names, defining)
        self._check_windows(node, select, names, defining)
        self._check_subqueries(node)
        self._sources(node, select, carried)

    def _defining(self, select: BoundSelect, name: str) -> Defining:
        """Return the expression of an output column, and its (source, column) pairs."""
        for output, node, source in select.outputs:
            if output is not None and output.lower() == name:
                if node is None and source is not None:
                    return None, {(select.scope.sources[source].alias, name)}
                return node, self._columns(select, node)
        if len(select.scope.sources) == 1 and not select.scope.sources[0].relation.complete:
            return None, {(select.scope.sources[0].alias, name)}
        raise _RowsMix(f"`{name}` can't be followed")

    def _columns(
        self, select: BoundSelect, node: exp.Expr | None, seen: frozenset[str] = frozenset()
    ) -> set[Pair]:
        """Return the source columns of an expression, resolving aliases except those in `seen`."""
        columns: set[Pair] = set()
        if node is None:
            return columns
        for column in node.find_all(exp.Column):
            alias = self._alias(select, column)
            if alias is not None:
                columns.add((alias, column.name.lower()))
                continue
            for name, other, _ in select.outputs:
                key = (name or "").lower()
                if key == column.name.lower() and other is not node and key not in seen:
                    columns |= self._columns(select, other, seen | {key})
        return columns

    def _alias(self, select: BoundSelect, column: exp.Column) -> str | None:
        """Return the source of the SELECT that a column belongs to."""
        name, table = column.name.lower(), column.table.lower()
        for source in select.scope.sources:
            if table and source.alias != table:
                continue
            if name not in source.merged and (
                source.relation.get(name) is not None or source.relation.unlisted(name) is not None
            ):
                return source.alias
        return None

    def _covered(
        self,
        select: BoundSelect,
        keys: Iterable[exp.Expr],
        names: set[str],
        defining: list[Defining],
    ) -> bool:
        """Return whether the keys determine the partition.

        They do if each routing column is a key, or all columns that it is computed from are keys.
        """
        listed = list(keys)
        plain: set[Pair] = set()
        by_name: set[str] = set()
        for key in listed:
            if isinstance(key, exp.Column):
                alias = self._alias(select, key)
                if alias is not None:
                    plain.add((alias, key.name.lower()))
                by_name.add(key.name.lower())
            elif (
                isinstance(key, exp.Literal)
                and str(key.this).isdigit()
                and 0 < int(key.this) <= len(select.outputs)
            ):
                by_name.add((select.outputs[int(key.this) - 1][0] or "").lower())
        return all(
            name in by_name
            or (bool(columns) and columns <= plain)
            or any(node is not None and key == node for key in listed)
            for name, (node, columns) in zip(names, defining, strict=True)
        )

    def _check_groups(
        self, node: exp.Select, select: BoundSelect, names: set[str], defining: list[Defining]
    ) -> None:
        group = node.args.get("group")
        if group is None:
            if (
                any(item is not None and aggregates(item) for _, item, _ in select.outputs)
                or node.args.get("having") is not None
            ):
                raise _RowsMix("it aggregates all rows together")
        elif any(
            isinstance(key, exp.Rollup | exp.Cube | exp.GroupingSets) for key in group.expressions
        ):
            raise _RowsMix("ROLLUP and CUBE add totals over all partitions")
        elif not group.args.get("all") and not self._covered(
            select, group.expressions, names, defining
        ):
            raise _RowsMix(f"a GROUP BY is without `{', '.join(sorted(names))}`")
        distinct = node.args.get("distinct")
        if (
            distinct is not None
            and distinct.args.get("on") is not None
            and not self._covered(select, distinct.args["on"].expressions, names, defining)
        ):
            raise _RowsMix(f"DISTINCT ON is without `{', '.join(sorted(names))}`")

    def _check_windows(
        self, node: exp.Select, select: BoundSelect, names: set[str], defining: list[Defining]
    ) -> None:
        named = {window.name.lower(): window for window in node.args.get("windows") or []}
        for window in _own_nodes(node, exp.Window):
            if window in named.values():
                continue
            alias = window.args.get("alias")
            base = named.get(str(alias.name).lower()) if alias is not None else None
            keys = [
                *(window.args.get("partition_by") or []),
                *(base.args.get("partition_by") or [] if base is not None else []),
            ]
            if not self._covered(select, keys, names, defining):
                raise _RowsMix(f"a window's PARTITION BY is without `{', '.join(sorted(names))}`")

    def _check_subqueries(self, node: exp.Select) -> None:
        from_ = node.args.get("from_")
        sources = (
            [from_.this, *(join.this for join in node.args.get("joins") or [])]
            if from_ is not None
            else []
        )
        sources += node.args.get("laterals") or []
        for query in _own_nodes(node, exp.Query):
            if (
                query is not node
                and not any(query is source or _nodes_below(query, source) for source in sources)
                and self._touches(query)
            ):
                raise _RowsMix("a subquery reads partitions of its own")

    def _sources(self, node: exp.Select, select: BoundSelect, carried: set[Pair]) -> None:
        """Follow the source that carries the column.

        Other partitioned sources must be joined on it.
        """
        methods = [str(join.args.get("method")).upper() for join in node.args.get("joins") or []]
        if "POSITIONAL" in methods:
            raise _RowsMix("it joins by position")
        reading = list(filter(self._is_cut, select.scope.sources))
        if not reading:
            raise _RowsMix("it reads nothing that is partitioned by time")
        hidden = list(filter(self._touches, self._joined(node)))
        if len(hidden) > len(reading):
            raise _RowsMix("SEMI and ANTI joins aren't followed")
        equal = _Equalities(carried)
        for left, right in self._equalities(node, select):
            equal.add(left, right)
        for source in reading:
            columns = equal.of(source.alias)
            if len(columns) < len(carried) or not columns:
                raise _RowsMix(f"`{source.alias}` isn't joined on the column that routes rows")
            if source.query is not None:
                self._query(source.query, columns)

    def _joined(self, node: exp.Select) -> list[exp.Expr]:
        from_ = node.args.get("from_")
        return ([from_.this] if from_ is not None else []) + [
            join.this for join in node.args.get("joins") or []
        ]

    def _equalities(self, node: exp.Select, select: BoundSelect) -> Iterator[tuple[Pair, Pair]]:
        """Yield the pairs of columns that ON, WHERE and USING set equal."""
        for part in _conditions(node):
            if isinstance(part, exp.EQ | exp.NullSafeEQ):
                yield from self._equality(part, select)
        for source, other in itertools.permutations(select.scope.sources, 2):
            for name in source.merged:
                yield (source.alias, name), (other.alias, name)

    def _equality(
        self, part: exp.EQ | exp.NullSafeEQ, select: BoundSelect
    ) -> Iterator[tuple[Pair, Pair]]:
        if not isinstance(part.left, exp.Column) or not isinstance(part.right, exp.Column):
            return
        left, right = self._alias(select, part.left), self._alias(select, part.right)
        if left is not None and right is not None:
            yield (left, part.left.name.lower()), (right, part.right.name.lower())

    def _is_cut(self, source: FromItem) -> bool:
        if source.input is not None:
            return source.input in self._cut
        return source.query is not None and self._touches(source.query)

    def _touches(self, node: exp.Expr, seen: frozenset[str] = frozenset()) -> bool:
        """Return whether a query reads a partitioned input.

        A CTE's name stands for every CTE of that name.
        """
        for table in node.find_all(exp.Table):
            name = table.name.lower()
            if name in self._ctes and name not in seen:
                if any(self._touches(body, seen | {name}) for body in self._ctes[name]):
                    return True
            elif name in self._cut:
                return True
        return False


class _Equalities:
    """Columns by source that are equal to the columns carrying the partition."""

    def __init__(self, carried: set[Pair]) -> None:
        self._classes: list[set[Pair]] = [{column} for column in carried]

    def add(self, left: Pair, right: Pair) -> None:
        for known in self._classes:
            if left in known or right in known:
                known.update((left, right))

    def of(self, alias: str) -> set[str]:
        """Return a source's equal columns for the carrying ones, as far as there are any."""
        results = set()
        for known in self._classes:
            results.update(sorted(name for source, name in known if source == alias)[:1])
        return results


def _is_interval_bound(placeholder: exp.Expr) -> bool:
    """Return whether a bound is used as `x >= $partition_start` or `x < $partition_end`.

    Either side may come first.
    """
    node, parent = placeholder, placeholder.parent
    while isinstance(parent, exp.Paren | exp.Cast):
        node, parent = parent, parent.parent
    starts = str(placeholder.name).lower() == "partition_start"
    kinds = (exp.GTE, exp.LTE) if starts else (exp.LT, exp.GT)
    return parent is not None and isinstance(
        parent, kinds[0] if parent.args.get("expression") is node else kinds[1]
    )


def _own_nodes(node: exp.Select, kind: type[exp.Expr]) -> Iterable[exp.Expr]:
    """Yield nodes of a kind in a SELECT itself.

    Nested queries are included, their contents aren't.
    """
    for expr in node.walk(
        prune=lambda part: isinstance(part, exp.Query | exp.With) and part is not node
    ):
        if isinstance(expr, kind):
            yield expr


def _nodes_below(node: exp.Expr, above: exp.Expr) -> bool:
    parent: exp.Expr | None = node
    while parent is not None:
        if parent is above:
            return True
        parent = parent.parent
    return False


def _conditions(node: exp.Select) -> Iterator[exp.Expr]:
    """Yield the conditions of ON and WHERE that all hold."""
    clauses = [join.args.get("on") for join in node.args.get("joins") or []]
    where = node.args.get("where")
    clauses.append(where.this if where is not None else None)
    for clause in clauses:
        if isinstance(clause, exp.And):
            yield from clause.flatten()
        elif clause is not None:
            yield clause
