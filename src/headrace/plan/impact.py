"""Column lineage of the project, and the effect of a change on readers, column by column.

Lineage shows the origin, the destinations and the users of a column. The lineage of one node is
decoded or computed when it is first needed.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.model import Asset, Project, SqlBody, UsageError, Value
from headrace.model.errors import did_you_mean
from headrace.plan.compiled import ChangeKind, Columns, Compiled, CompiledNode, NodeChange
from headrace.plan.schemas import ColumnLineage, KeptLines, lines_key
from headrace.sql.values import (
    SELF,
    UNKNOWN,
    WITHOUT_VALUES,
    Edge,
    Resolved,
    Transformation,
    values_of,
)

# Column lineage of a compiled project.

ROWS_MAX = 100_000
"""Maximum number of steps in one answer."""
ALL_COLUMNS = "*"
"""The name that stands for all columns of a node with unknown columns."""


Follow = Callable[[str, str], Iterator[tuple[str, str, Transformation]]]
"""(node, column) → the (node, column, transformation) of each next step."""


class LineageStep(Value, kw_only=True):
    """One step of lineage: `column` and `via` are `node.column`.

    `via` is nearer to the requested column.
    """

    column: str
    via: str
    transformation: Transformation


def _of_column(lines: ColumnLineage, column: str) -> tuple[Edge, ...]:
    edges = lines.columns.get(column)
    if edges is not None:
        return edges
    return next(
        (edges for name, edges in lines.columns.items() if name.lower() == column.lower()),
        lines.columns.get(ALL_COLUMNS, ()),
    )


def deciding_edges(lines: ColumnLineage, column: str) -> list[Edge]:
    """Return the edges that decide a column's values, each once.

    A filter or a join of the whole query decides which rows there are; one inside a column's own
    expression, or before an aggregate, decides its value.
    """
    rows = (edge for edge in lines.filters if edge.transformation not in WITHOUT_VALUES)
    return list(dict.fromkeys((*_of_column(lines, column), *rows)))


def resolved_query(
    compiled: Compiled, node: CompiledNode, sql: str, of_self: Columns | None = None
) -> Resolved:
    """Return the columns and the lineage of an asset's query; `of_self` are those of `$self`."""
    from headrace.sql.analysis import analyse  # sqlglot, which isn't needed if a result is cached
    from headrace.sql.queries import resolve

    schemas = {} if of_self is None else {SELF: of_self}
    for spec in node.inputs:
        read = compiled.nodes[spec.node]
        if read.columns is not None:
            schemas[spec.node.lower()] = read.columns
        elif read.column_names is not None:
            schemas[spec.node.lower()] = tuple((name, UNKNOWN) for name in read.column_names)
    return resolve(analyse(sql, file=node.name, line=1, name=node.name), schemas)


def lines_of(result: Resolved) -> ColumnLineage:
    """Return the lineage of a query's columns."""
    return ColumnLineage(result.lineage, result.filters, result.mentions)


class Lineage:
    """The column lineage of a compiled project."""

    def __init__(self, compiled: Compiled, lines: Mapping[str, KeptLines]) -> None:
        self._compiled, self._kept = compiled, lines
        self._canonical = {name.lower(): name for name in compiled.nodes}
        self._lines: dict[str, ColumnLineage] = {}
        self._downstream: dict[str, dict[str, list[tuple[str, str, Transformation]]]] | None = None

    def of(self, name: str) -> ColumnLineage:
        """Return the lineage of one node's columns; sources have none."""
        if name not in self._lines:
            self._lines[name] = self._load(self._compiled.nodes[name])
        return self._lines[name]

    def _load(self, node: CompiledNode) -> ColumnLineage:
        asset = self._compiled.project.assets.get(node.name)
        if asset is None:
            return ColumnLineage({})
        if node.sql is None or not isinstance(asset.body, SqlBody):
            return self._opaque(asset, node)
        lines = self._kept.get(node.name)
        if lines is not None and lines.key == lines_key(node.sql, self._inputs(node)):
            return msgspec.msgpack.decode(lines.lines, type=ColumnLineage)
        return lines_of(resolved_query(self._compiled, node, node.sql))

    def _inputs(self, node: CompiledNode) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
        return tuple(
            (spec.node.lower(), self._compiled.nodes[spec.node].column_names)
            for spec in node.inputs
        )

    def _opaque(self, asset: Asset, node: CompiledNode) -> ColumnLineage:
        """Return the lineage of opaque asset code.

        It uses every column of its inputs, or those that `columns: {reads: …}` names.
        """
        reads = (asset.columns or {}).get("reads")
        declared = (
            {str(name).lower(): columns for name, columns in reads.items()}
            if isinstance(reads, dict)
            else {}
        )
        edges = tuple(
            Edge(spec.node.lower(), column, Transformation.OPAQUE)
            for spec in node.inputs
            for column in declared.get(spec.node.lower())
            or self._compiled.nodes[spec.node].column_names
            or (ALL_COLUMNS,)
        )
        return ColumnLineage(dict.fromkeys(node.column_names or (ALL_COLUMNS,), ()), edges)

    # -- along the graph

    def nodes_above(self, node: str) -> set[str]:
        """Return a node, and all nodes that its rows come from."""
        result, waiting = {node}, [node]
        while waiting:
            new = {spec.node for spec in self._compiled.nodes[waiting.pop()].inputs} - result
            result |= new
            waiting += new
        return result

    def upstream(self, node: str, column: str | None) -> list[LineageStep]:
        """Return all steps upstream of a column, or of all columns of a node, nearest first."""
        return list(self._walk(self._start(node, column), self.above))

    def downstream(self, node: str, column: str | None) -> list[LineageStep]:
        """Return all steps downstream of a column, or of all columns of a node, nearest first."""
        return list(self._walk(self._start(node, column), self._below))

    def _start(self, node: str, column: str | None) -> list[tuple[str, str]]:
        """Return the columns to start from.

        Raises UsageError for a column that the node doesn't have.
        """
        known = self._compiled.nodes[node].column_names
        if column is None:
            return [(node, name) for name in (*(known or ()), ALL_COLUMNS)]
        if known is None:
            return [(node, column)]
        result = next((name for name in known if name.lower() == column.lower()), None)
        if result is None:
            raise UsageError(
                f"{node} has no column `{column}`",
                hint=did_you_mean(column, known) or f"its columns are: {', '.join(known[:12])}",
            )
        return [(node, result)]

    def _walk(self, start: list[tuple[str, str]], follow: Follow) -> Iterator[LineageStep]:
        waiting, seen, rows = deque(start), set(start), 0
        while waiting:
            node, column = waiting.popleft()
            for other, name, transformation in follow(node, column):
                yield LineageStep(
                    column=f"{other}.{name}", via=f"{node}.{column}", transformation=transformation
                )
                rows += 1
                if rows >= ROWS_MAX:
                    return
                if (other, name) not in seen:
                    seen.add((other, name))
                    waiting.append((other, name))

    def above(self, node: str, column: str) -> Iterator[tuple[str, str, Transformation]]:
        """Yield what a column depends on directly: (node, column, transformation), values first."""
        lines = self.of(node)
        deciding = _of_column(lines, column)
        values = values_of(deciding)
        keys = {
            (edge.input, edge.column)
            for edge in lines.filters
            if edge.transformation is Transformation.GROUP_KEY
        }  # such a key decides, too, which the list says once
        deciding = tuple(edge for edge in deciding if (edge.input, edge.column) not in keys)
        yield from self._named(dict.fromkeys((*values, *lines.filters, *deciding, *lines.mentions)))

    def deciding(self, node: str, column: str) -> Iterator[tuple[str, str, Transformation]]:
        """Yield what a column's values are computed from or decided by, as `above` does.

        What decides only which rows there are isn't among them.
        """
        yield from self._named(deciding_edges(self.of(node), column))

    def _named(self, edges: Iterable[Edge]) -> Iterator[tuple[str, str, Transformation]]:
        for edge in edges:
            name = self._canonical.get(edge.input)
            if name is not None:
                yield name, edge.column, edge.transformation

    def _below(self, node: str, column: str) -> Iterator[tuple[str, str, Transformation]]:
        users = self._index().get(node, {})
        if column == ALL_COLUMNS:
            for name in users:
                yield from users[name]
        else:
            yield from users.get(column.lower(), ())
            yield from users.get(ALL_COLUMNS, ())

    def _index(self) -> dict[str, dict[str, list[tuple[str, str, Transformation]]]]:
        """Input → its column (lower-case) → the columns of other nodes that use it."""
        if self._downstream is None:
            self._downstream = {}
            for name in self._compiled.order:
                for column, edge in self._uses(name):
                    users = self._downstream.setdefault(
                        self._canonical.get(edge.input, edge.input), {}
                    )
                    users.setdefault(edge.column.lower(), []).append(
                        (name, column, edge.transformation)
                    )
        return self._downstream

    def _uses(self, name: str) -> Iterator[tuple[str, Edge]]:
        lines = self.of(name)
        for column, edges in lines.columns.items():
            for edge in dict.fromkeys((*edges, *lines.filters, *lines.mentions)):
                yield column, edge
        if not lines.columns:
            for edge in (*lines.filters, *lines.mentions):
                yield ALL_COLUMNS, edge

    def users(self, node: str, columns: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the assets and the consumers affected by a change of these columns.

        Both are in project order. A change of a column in a filter, join or GROUP BY affects all
        output columns.
        """
        reached: set[str] = set()
        for column in columns:
            for step in self._walk([(node, column)], self._below):
                reached.add(step.column.partition(".")[0])
        reached.discard(node)
        consumers = [
            name
            for name, consumer in self._compiled.project.consumers.items()
            if node in consumer.reads or reached & set(consumer.reads)
        ]
        return [name for name in self._compiled.order if name in reached], consumers


# The effect of a change on each column: added, dropped, of another type, or computed otherwise;
# and the readers of the column.


class Effect(enum.StrEnum):
    """The effect of a change on a column."""

    ADDED = "added"
    DROPPED = "dropped"
    TYPE = "type"
    MEANING = "meaning"
    """The same name and type, but computed differently."""


class ColumnEffect(Value, kw_only=True):
    """The effect on one column, with the assets and consumers that read it directly."""

    column: str
    effect: Effect
    read_by: tuple[str, ...] = ()


class Impact(Value, kw_only=True):
    """A change and its effects."""

    change: NodeChange
    columns: tuple[ColumnEffect, ...] = ()
    breaking: bool = False
    """Whether a reader uses a column that is removed, has another type, or another meaning."""
    assets: tuple[str, ...] = ()
    """Assets and consumers downstream of the change, by column where that is known."""
    consumers: tuple[str, ...] = ()


def impacts(
    old: Compiled | None, new: Compiled, changes: Iterable[NodeChange], after: Lineage
) -> list[Impact]:
    """Return every change with its effects; `after` is the lineage of `new`."""
    analysis = _ImpactAnalysis(old, new, after)
    return [analysis.impact(change) for change in changes]


class _ImpactAnalysis:
    def __init__(self, old: Compiled | None, new: Compiled, after: Lineage) -> None:
        self._old, self._new, self._after = old, new, after

    def impact(self, change: NodeChange) -> Impact:
        name = change.node
        if change.change in (ChangeKind.BODY, ChangeKind.SCHEMA):
            return self._of_data(change)
        if change.change is ChangeKind.REMOVED:
            return self._of_removed(change)
        if name in self._new.project.consumers:
            return Impact(change=change, consumers=(name,))
        if change.change in (ChangeKind.CHECKS, ChangeKind.PROMISE) and name in self._new.nodes:
            return Impact(
                change=change, consumers=tuple(self._after.users(name, self._columns(name))[1])
            )
        return Impact(change=change)

    def _of_data(self, change: NodeChange) -> Impact:
        was = self._old.nodes.get(change.node) if self._old is not None else None
        now = self._new.nodes.get(change.node)
        if was is None or now is None:  # the destination of the export changed
            return Impact(
                change=change,
                consumers=(change.node,) if change.node in self._new.project.consumers else (),
            )
        effects = tuple(self._effects(was, now))
        touched = [effect for effect in effects if effect.effect is not Effect.ADDED]
        known = [effect.column for effect in effects]
        assets, consumers = self._reached(change.node, known)
        everything = not known and self._recut_or_opaque(was, now)
        breaking = any(effect.read_by for effect in touched) or (
            everything and bool(self._readers(now.name))
        )
        return Impact(
            change=change,
            columns=effects,
            breaking=breaking,
            assets=tuple(assets),
            consumers=tuple(consumers),
        )

    def _reached(self, name: str, columns: list[str]) -> tuple[list[str], list[str]]:
        """Return everything downstream of these columns, or of all columns if none is known."""
        return self._after.users(name, columns or self._columns(name))

    def _columns(self, name: str) -> list[str]:
        return [*(self._new.nodes[name].column_names or ()), ALL_COLUMNS]

    def _of_removed(self, change: NodeChange) -> Impact:
        """Return the effect of a removed node: consumers lose data.

        No remaining asset can read it.
        """
        if self._old is None or change.node not in self._old.nodes:
            return Impact(change=change)
        left = [
            c
            for c in self._old.project.consumers.values()
            if change.node in c.reads and c.name in self._new.project.consumers
        ]
        names = tuple(consumer.name for consumer in left)
        return Impact(change=change, breaking=bool(names), consumers=names)

    def _recut_or_opaque(self, was: CompiledNode, now: CompiledNode) -> bool:
        return was.fingerprint != now.fingerprint and (
            now.column_names is None or _shape(self._old, was) != _shape(self._new, now)
        )

    # Columns

    def _effects(self, was: CompiledNode, now: CompiledNode) -> Iterator[ColumnEffect]:
        other = {name.lower() for name in self._meaning(was, now)}
        after = _typed(now)
        # Columns learnt from data published since existed before the change.
        before = _typed(was) or after
        for name in {**before, **after}:
            if name not in after:
                yield ColumnEffect(
                    column=before[name][0],
                    effect=Effect.DROPPED,
                    read_by=self._readers(now.name, name, gone=True),
                )
            elif name not in before:
                yield ColumnEffect(column=after[name][0], effect=Effect.ADDED)
            elif (
                None not in (before[name][1], after[name][1]) and before[name][1] != after[name][1]
            ):
                yield ColumnEffect(
                    column=after[name][0], effect=Effect.TYPE, read_by=self._readers(now.name, name)
                )
            elif name in other:
                yield ColumnEffect(
                    column=after[name][0],
                    effect=Effect.MEANING,
                    read_by=self._readers(now.name, name),
                )

    def _meaning(self, was: CompiledNode, now: CompiledNode) -> Iterable[str]:
        """Return the columns that are computed differently, of those in both texts."""
        every = now.column_names or ()
        if was.fingerprint == now.fingerprint:
            return ()
        old_asset, new_asset = self._asset(self._old, was), self._asset(self._new, now)
        if old_asset is None or new_asset is None or was.sql is None or now.sql is None:
            return (
                every if new_asset is not None else ()
            )  # for a source, only the columns can be compared
        if not self._same_but_text(was, now, old_asset, new_asset):
            return every
        from headrace.sql.analysis import (
            changed_columns,
        )  # loads sqlglot, which only impact analysis needs

        assert self._old is not None
        bound = _bound_otherwise(self._old.project, old_asset, self._new.project, new_asset)
        results = changed_columns(was.sql, now.sql, bound)
        return every if results is None else results

    def _same_but_text(
        self, was: CompiledNode, now: CompiledNode, old_asset: Asset, new_asset: Asset
    ) -> bool:
        """Return whether only the text or a parameter changed.

        Inputs and their options are equal.
        """
        assert self._old is not None
        reads = [
            sorted((s.node, s.mode, s.lookback or "", s.optional) for s in node.inputs)
            for node in (was, now)
        ]
        views = [
            [c.nodes[s.node].fingerprint for s in n.inputs if _is_view(c, s.node)]
            for c, n in ((self._old, was), (self._new, now))
        ]
        macros = self._old.project.macros == self._new.project.macros
        sql = isinstance(old_asset.body, SqlBody) and isinstance(new_asset.body, SqlBody)
        return (
            sql
            and macros
            and reads[0] == reads[1]
            and views[0] == views[1]
            and _shape(self._old, was) == _shape(self._new, now)
        )

    @staticmethod
    def _asset(compiled: Compiled | None, node: CompiledNode) -> Asset | None:
        return compiled.project.assets.get(node.name) if compiled is not None else None

    # Readers

    def _readers(
        self, name: str, column: str | None = None, *, gone: bool = False
    ) -> tuple[str, ...]:
        """Return the readers of a node's column, or of the node.

        SQL that read a column that is `gone` has changed as well, or would be invalid. Opaque asset
        code reads all columns.
        """
        results = [other for other in self._new.order if self._reads(other, name, column, gone)]
        return (
            *results,
            *(
                consumer.name
                for consumer in self._new.project.consumers.values()
                if name in consumer.reads
            ),
        )

    def _reads(self, other: str, name: str, column: str | None, gone: bool) -> bool:
        if all(spec.node != name for spec in self._new.nodes[other].inputs):
            return False
        asset = self._new.project.assets[other]
        if not isinstance(asset.body, SqlBody):
            declared = ((asset.columns or {}).get("reads") or {}).get(name)
            return (
                column is None or not declared or column in {str(item).lower() for item in declared}
            )
        if gone:
            return False
        lines = self._after.of(other)
        return any(
            edge.input == name.lower()
            and (column is None or edge.column.lower() in (column, ALL_COLUMNS))
            for edge in lines.uses
        )


def _typed(node: CompiledNode) -> dict[str, tuple[str, str | None]]:
    """Return column (lower-case) → its spelling and type.

    A source's type is known after its first delivery.
    """
    columns: Columns | None = node.columns
    if columns is not None:
        return {name.lower(): (name, None if kind == UNKNOWN else kind) for name, kind in columns}
    return {name.lower(): (name, None) for name in node.column_names or ()}


def _shape(compiled: Compiled | None, node: CompiledNode) -> tuple[object, ...]:
    """Return how a node's data is partitioned and stored."""
    declared = compiled.project.source_or_asset(node.name) if compiled is not None else None
    if declared is None:
        return ()
    storage = (declared.materialize, declared.merge_keys) if isinstance(declared, Asset) else ()
    return (declared.partition, declared.timezone, *storage)


def _is_view(compiled: Compiled, name: str) -> bool:
    asset = compiled.project.assets.get(name)
    return asset is not None and asset.materialize == "view"


def _bound_otherwise(old: Project, was: Asset, new: Project, now: Asset) -> frozenset[str]:
    before, after = _bound(old, was), _bound(new, now)
    return frozenset(
        name for name in {*before, *after} if before.get(name, _bound) != after.get(name, _bound)
    )


def _bound(project: Project, asset: Asset) -> Mapping[str, Any]:
    return {
        name.lower(): value
        for name, value in {**project.settings.parameters, **asset.parameters}.items()
    }
