"""Which columns of a project somebody needs: consumers, observed readers, checks, keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from headrace.extension import Asset, Source
from headrace.model import CheckSpec
from headrace.plan import Compiled
from headrace.plan.impact import ALL_COLUMNS, Lineage

_WORD = re.compile(r"\w+")


class ColumnUses:
    """The used columns of each node: those that something declared or observed is computed from."""

    def __init__(self, compiled: Compiled, lineage: Lineage, seen: Collection[str]) -> None:
        self._compiled, self._lineage = compiled, lineage
        self._project = compiled.project
        self._words = self._words_of_checks()
        self._used = self._close(frozenset(seen))

    def is_whole(self, name: str) -> bool:
        """Return whether all columns of a node may be read."""
        return (name, ALL_COLUMNS) in self._used

    def unused(self, name: str) -> list[str]:
        """Return the columns of a node that nothing needs; empty if its columns aren't known."""
        columns = self._compiled.nodes[name].column_names
        if columns is None or self.is_whole(name):
            return []
        return [column for column in columns if (name, column.lower()) not in self._used]

    def _close(self, seen: frozenset[str]) -> set[tuple[str, str]]:
        """Return the columns, in lower case, that a use is computed from, directly or not."""
        waiting = [
            (name, column)
            for name in self._compiled.order
            for column in self._used_here(name, seen)
        ]
        used: set[tuple[str, str]] = set()
        while waiting:
            name, column = waiting.pop()
            if (name, column.lower()) in used:
                continue
            used.add((name, column.lower()))
            waiting += [(other, above) for other, above, _ in self._lineage.above(name, column)]
        return used

    def _used_here(self, name: str, seen: frozenset[str]) -> Iterable[str]:
        """Return the columns of a node that are needed for themselves."""
        consumers = self._project.consumers.values()
        columns = self._compiled.nodes[name].column_names or ()
        if self._compiled.nodes[name].uses_self:
            return columns  # it reads its own earlier rows
        if name in seen or any(name in consumer.reads for consumer in consumers):
            return (*columns, ALL_COLUMNS)
        needed = {column.lower() for column in self._declared(name)} | self._words[name]
        return [column for column in columns if column.lower() in needed]

    def _declared(self, name: str) -> Iterator[str]:
        """Yield the columns that a node's declaration names: keys, partitions, its contract."""
        node = self._project.source_or_asset(name)
        if node is None:
            return
        yield self._compiled.nodes[name].partition_column or ""
        yield from (node.partition.column or "", node.partition.key or "")
        contract = self._project.contracts.get(node.contract or "")
        if contract is not None:
            yield from (column.name for column in contract.columns)
        if isinstance(node.on_anomaly, dict):
            yield from node.on_anomaly
        if isinstance(node, Asset):
            yield from (*node.merge_keys, node.merge_delete or "", *node.snapshot_columns)
            if node.materialize == "snapshot" and not node.snapshot_columns:
                yield from self._compiled.nodes[name].column_names or ()

    def _words_of_checks(self) -> dict[str, set[str]]:
        """Return node → the words, in lower case, of all checks that read it."""
        words: dict[str, set[str]] = {name: set() for name in self._compiled.nodes}
        for name, node in self._compiled.nodes.items():
            declaration = self._project.source_or_asset(name)
            if declaration is None:
                continue
            of_node = {word for check in self._checks(declaration) for word in _words(check)}
            for read in (name, *node.check_references):
                words.get(read, set()).update(of_node)
        return words

    def _checks(self, node: Source | Asset) -> Iterator[CheckSpec]:
        yield from node.checks
        contract = self._project.contracts.get(node.contract or "")
        yield from () if contract is None else contract.checks


def _words(check: CheckSpec) -> Iterator[str]:
    """Yield every word of a check's arguments, SQL included: one of them may be a column."""
    values: list[object] = [check.arguments, check.where or ""]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            values += value
        elif isinstance(value, str):
            yield from (word.lower() for word in _WORD.findall(value))
