"""Column lineage over a whole project: where a column comes from, where it goes, who uses it.

Loaded only by what asks for it. The lines of one node are decoded, or computed, when they are first needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from headrace.model import Asset, SqlBody, UsageError, Value
from headrace.model.reporting import did_you_mean
from headrace.plan.bodies import ColumnLineage
from headrace.plan.cache import Cache, KeptLineage, lines_key
from headrace.plan.values import Compiled, CompiledNode
from headrace.sql.values import Edge, Transformation

ROWS_MAX = 100_000
"""Steps in one answer."""
ALL = "*"
"""A column that stands for all of a node whose columns aren't known."""


Follow = Callable[[str, str], Iterator[tuple[str, str, Transformation]]]
"""(node, column) → the (node, column, transformation) of each next step."""


class LineageStep(Value, kw_only=True):
    """One step of lineage: `column` and `via` are `node.column`; `via` is on the side of the column that was asked for."""

    column: str
    via: str
    transformation: Transformation


class Lineage:
    """The lineage of a compiled project."""

    def __init__(self, compiled: Compiled, lineage: KeptLineage | None) -> None:
        self._compiled, self._kept = compiled, lineage
        self._canonical = {name.lower(): name for name in compiled.nodes}
        self._lines: dict[str, ColumnLineage] = {}
        self._downstream: dict[str, dict[str, list[tuple[str, str, Transformation]]]] | None = None

    def of(self, name: str) -> ColumnLineage:
        """What the columns of one node come from. Sources come from outside and have none."""
        if name not in self._lines:
            self._lines[name] = self._load(self._compiled.nodes[name])
        return self._lines[name]

    def _load(self, node: CompiledNode) -> ColumnLineage:
        asset = self._compiled.project.assets.get(node.name)
        if asset is None:
            return ColumnLineage({})
        if node.sql is None or not isinstance(asset.body, SqlBody):
            return self._opaque(asset, node)
        lines = self._kept.lines.get(node.name) if self._kept is not None else None
        if lines is not None and lines.key == lines_key(node.sql, self._inputs(node)):
            return msgspec.msgpack.decode(lines.lines, type=ColumnLineage)
        return self._computed(node, node.sql)

    def _inputs(self, node: CompiledNode) -> tuple[tuple[str, tuple[str, ...] | None], ...]:
        return tuple((spec.node.lower(), self._compiled.nodes[spec.node].column_names) for spec in node.inputs)

    def _computed(self, node: CompiledNode, sql: str) -> ColumnLineage:
        from headrace.sql.analyse import analyse  # sqlglot: not needed where the cache answers
        from headrace.sql.resolve import resolve

        schemas = {}
        for spec in node.inputs:
            read = self._compiled.nodes[spec.node]
            if read.columns is not None:
                schemas[spec.node.lower()] = read.columns
            elif read.column_names is not None:
                schemas[spec.node.lower()] = tuple((name, "UNKNOWN") for name in read.column_names)
        result = resolve(analyse(sql, file=node.name, line=1, name=node.name), schemas)
        return ColumnLineage(result.lineage, result.filters)

    def _opaque(self, asset: Asset, node: CompiledNode) -> ColumnLineage:
        """A body that can't be looked into uses every column of its inputs, or those that `columns: {reads: …}` names."""
        reads = (asset.columns or {}).get("reads")
        declared = {str(name).lower(): columns for name, columns in reads.items()} if isinstance(reads, dict) else {}
        edges = tuple(
            Edge(spec.node.lower(), column, Transformation.OPAQUE)
            for spec in node.inputs
            for column in declared.get(spec.node.lower()) or self._compiled.nodes[spec.node].column_names or (ALL,)
        )
        return ColumnLineage(dict.fromkeys(node.column_names or (ALL,), ()), edges)

    # -- along the graph

    def upstream(self, node: str, column: str | None) -> list[LineageStep]:
        """All steps that lead to a column (or to any of a node's), nearest first."""
        return list(self._walk(self._start(node, column), self._above))

    def downstream(self, node: str, column: str | None) -> list[LineageStep]:
        """All steps that lead away from a column (or from any of a node's), nearest first."""
        return list(self._walk(self._start(node, column), self._below))

    def _start(self, node: str, column: str | None) -> list[tuple[str, str]]:
        """Raises UsageError for a column that the node is known not to have."""
        known = self._compiled.nodes[node].column_names
        if column is None:
            return [(node, name) for name in (*(known or ()), ALL)]
        if known is None:
            return [(node, column)]
        result = next((name for name in known if name.lower() == column.lower()), None)
        if result is None:
            raise UsageError(
                f"{node} has no column `{column}`", hint=did_you_mean(column, known) or f"its columns are: {', '.join(known[:12])}"
            )
        return [(node, result)]

    def _walk(self, start: list[tuple[str, str]], follow: Follow) -> Iterator[LineageStep]:
        waiting, seen, rows = deque(start), set(start), 0
        while waiting:
            node, column = waiting.popleft()
            for other, name, transformation in follow(node, column):
                yield LineageStep(column=f"{other}.{name}", via=f"{node}.{column}", transformation=transformation)
                rows += 1
                if rows >= ROWS_MAX:
                    return
                if (other, name) not in seen:
                    seen.add((other, name))
                    waiting.append((other, name))

    def _above(self, node: str, column: str) -> Iterator[tuple[str, str, Transformation]]:
        lines = self.of(node)
        own = lines.columns.get(column)
        if own is None:
            own = next((edges for name, edges in lines.columns.items() if name.lower() == column.lower()), lines.columns.get(ALL, ()))
        for edge in dict.fromkeys((*own, *lines.filters)):
            name = self._canonical.get(edge.input)
            if name is not None:
                yield name, edge.column, edge.transformation

    def _below(self, node: str, column: str) -> Iterator[tuple[str, str, Transformation]]:
        users = self._index().get(node, {})
        if column == ALL:
            for name in users:
                yield from users[name]
        else:
            yield from users.get(column.lower(), ())
            yield from users.get(ALL, ())

    def _index(self) -> dict[str, dict[str, list[tuple[str, str, Transformation]]]]:
        """Input → its column (lower-case) → the columns of other nodes that use it."""
        if self._downstream is None:
            self._downstream = {}
            for name in self._compiled.order:
                for column, edge in self._uses(name):
                    users = self._downstream.setdefault(self._canonical.get(edge.input, edge.input), {})
                    users.setdefault(edge.column.lower(), []).append((name, column, edge.transformation))
        return self._downstream

    def _uses(self, name: str) -> Iterator[tuple[str, Edge]]:
        lines = self.of(name)
        for column, edges in lines.columns.items():
            for edge in dict.fromkeys((*edges, *lines.filters)):
                yield column, edge
        if not lines.columns:
            for edge in lines.filters:
                yield ALL, edge

    def users(self, node: str, columns: Iterable[str]) -> tuple[list[str], list[str]]:
        """The assets and the consumers that a change of these columns reaches, each in the project's order.

        A column that a body filters, joins or groups by reaches all that the body gives.
        """
        reached: set[str] = set()
        for column in columns:
            for step in self._walk([(node, column)], self._below):
                reached.add(step.column.partition(".")[0])
        reached.discard(node)
        consumers = [
            name for name, consumer in self._compiled.project.consumers.items() if node in consumer.reads or reached & set(consumer.reads)
        ]
        return [name for name in self._compiled.order if name in reached], consumers


def compile_lineage(compiled: Compiled, cache: Path | None = None) -> Lineage:
    """The lineage of a compiled project, whether it is applied or not; from the cache where that is of the same text."""
    return Lineage(compiled, Cache(cache).load(KeptLineage))
