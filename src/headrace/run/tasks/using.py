"""Who uses which column of a source: what a change of it would reach. Known from lineage, looked up once per applied version."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from headrace.model import CheckSpec, Source
from headrace.plan import Compiled, compile_lineage
from headrace.plan.bodies import ColumnLineage
from headrace.plan.joining import joined_by
from headrace.plan.lineage import ALL, Lineage
from headrace.quality.facts import DriftChange
from headrace.sql.values import Transformation


class Uses:
    """The uses of a compiled project's sources. `cache` is where the lineage is kept that was found when it was compiled."""

    def __init__(self, compiled: Compiled, cache: Path | None) -> None:
        self._compiled, self._cache = compiled, cache
        self._direct: dict[str, dict[str, tuple[str, ...]]] = {}
        self._joined: dict[str, dict[str, bool]] = {}
        self._read_by: dict[str, list[str]] | None = None
        self._known: Lineage | None = None

    def direct(self, source: str) -> dict[str, tuple[str, ...]]:
        """Column, in lower case → who reads it from the source itself; `*` → who reads all of them."""
        results = self._direct.get(source)
        if results is None:
            used: dict[str, dict[str, None]] = {}
            for column, user in self._uses(self._compiled.project.sources[source]):
                used.setdefault(column.lower(), {})[user] = None
            results = self._direct[source] = {column: tuple(users) for column, users in used.items()}
        return results

    def reached(self, source: str, changes: Iterable[DriftChange]) -> tuple[DriftChange, ...]:
        """The changes, each with all assets and consumers that it would reach, near or far."""
        return tuple(self._reached(source, change) if change.used_by else change for change in changes)

    def _reached(self, source: str, change: DriftChange) -> DriftChange:
        assets, consumers = self._lineage.users(source, [change.column] if change.column else [ALL])
        return msgspec.structs.replace(change, used_by=tuple(dict.fromkeys((*change.used_by, *assets, *consumers))))

    def made_of(self, asset: str, columns: Collection[tuple[str, str]]) -> tuple[str, ...]:
        """The columns of an asset whose values come from any of these (node, column), near or far. What a body merely joins or filters by
        gives no values; a body that can't be looked into is made of all that it reads."""
        return tuple(column for column in self._lineage.of(asset).columns if self._comes(asset, column, columns))

    def _comes(self, node: str, column: str, columns: Collection[tuple[str, str]]) -> bool:
        wanted = {(name.lower(), item.lower()) for name, item in columns}
        waiting, seen = [(node.lower(), column.lower())], set[tuple[str, str]]()
        names = {name.lower(): name for name in self._compiled.project.assets}
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            lines = self._lineage.of(names[at[0]]) if at[0] in names else ColumnLineage({})
            own = next((edges for name, edges in lines.columns.items() if name.lower() == at[1]), ())
            edges = (*own, *(edge for edge in lines.filters if edge.transformation is Transformation.OPAQUE))
            waiting += [(edge.input, edge.column.lower()) for edge in edges]
            if any((edge.input, edge.column.lower()) in wanted or (edge.column == ALL and edge.input in dict(wanted)) for edge in edges):
                return True
        return False

    def joined(self, source: str, columns: Iterable[str]) -> frozenset[str]:
        """Those of a source's columns that something further down is joined by."""
        known = self._joined.setdefault(source, {})
        for column in columns:
            if column not in known:
                known[column] = joined_by(source, [column], self._readers, self._lineage.of)
        return frozenset(column for column in columns if known[column])

    def _readers(self, node: str) -> list[str]:
        if self._read_by is None:
            self._read_by = {}
            for name, compiled_node in self._compiled.nodes.items():
                for spec in compiled_node.inputs:
                    self._read_by.setdefault(spec.node, []).append(name)
        return self._read_by.get(node, [])

    def lines(self, node: str) -> ColumnLineage:
        """What a node's columns come from."""
        return self._lineage.of(node)

    @property
    def _lineage(self) -> Lineage:
        if self._known is None:
            self._known = compile_lineage(self._compiled, self._cache)
        return self._known

    def _uses(self, source: Source) -> Iterator[tuple[str, str]]:
        """(column, who uses it), some more than once."""
        wanted = source.name.lower()
        for name, node in self._compiled.nodes.items():
            if any(spec.node == source.name for spec in node.inputs):
                lines = self._lineage.of(name)
                edges = (edge for several in (*lines.columns.values(), lines.filters) for edge in several)
                yield from ((edge.column, name) for edge in edges if edge.input == wanted)
            if source.name in node.check_references:
                yield ALL, name
        for name, consumer in self._compiled.project.consumers.items():
            if source.name in consumer.reads:
                yield ALL, name
        yield from ((column, source.name) for column in _own(source))


def _own(source: Source) -> Iterator[str]:
    """The columns that a source's own declaration speaks of: what cuts it, and what its checks look at."""
    yield from (item for item in (source.partition.column, source.partition.key) if item)
    for check in source.checks:
        yield from _checked(check)


def _checked(check: CheckSpec) -> Iterator[str]:
    if check.kind == "sql" or check.where:
        yield ALL  # any column may stand in it
    for field in ("column", "columns"):
        said = check.arguments.get(field)
        yield from [said] if isinstance(said, str) else said or ()
