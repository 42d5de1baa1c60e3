"""What must be published in the end: every partition computed straight from the deliveries, oldest inputs first."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from headrace.schedule.graph import GraphNode
from headrace.schedule.simulation.rules import WHOLE, SimulatedInput, SimulatedRules

Key = tuple[str, str]
"""A node and one of its partitions."""


def computed(node: str, key: str, version: int, read: Iterable[tuple[str, str, int]], coarse: int | None) -> int:
    """The content that a body comes to; `read` are inputs, their partitions and contents. One of `coarse` different ones."""
    content = zlib.crc32(repr((node, key, version, sorted(read))).encode())
    return content % coarse if coarse else content


class Oracle:
    """`content` of any partition, None where it can't be computed from what was delivered. `versions` are those of changed nodes."""

    def __init__(self, rules: SimulatedRules, now: int, versions: dict[str, int], coarse: dict[str, int]) -> None:
        self._rules, self._now, self._versions, self._coarse = rules, now, versions, coarse
        self._known: dict[Key, int | None] = {}
        self._all: dict[str, dict[str, int]] = {}
        self.unsure: set[str] = set()
        """Nodes of which something may have run, or not: what it only comes after is expected and can't be computed. It depends on
        which of both was heard of first."""

    def content(self, name: str, key: str) -> int | None:
        """What is in a partition."""
        asked = name, key
        if asked not in self._known:
            self._known[asked] = self._find(self._rules.nodes[name], key)
        return self._known[asked]

    def all(self, node: GraphNode) -> dict[str, int]:
        """All partitions of a node that can be computed, with their contents."""
        if node.name not in self._all:
            keys = self._rules.heard[node.name] if node.is_source else self._rules.candidates(node)
            results = ((key, self.content(node.name, key)) for key in keys)
            self._all[node.name] = {key: content for key, content in results if content is not None}
        return self._all[node.name]

    def _find(self, node: GraphNode, key: str) -> int | None:
        if node.partition.grain is not None and node.partition.key is not None and "/" not in key:
            return None  # an interval of which no key was heard of
        if node.is_source:
            return self._rules.heard[node.name].get(key) if self._rules.expected(node, key) else None
        if not self._rules.expected(node, key) or not self._announced(node, key) or not self._in_order(node, key):
            return None
        read: list[tuple[str, str, int]] = []
        for simulated_input in self._rules.inputs[node.name]:
            results = self._of(node, simulated_input, key)
            if results is None:
                return None
            read += results
        if node.chained and (before := self._rules.before(node, key)) is not None:
            content = self.content(node.name, before)
            if content is None:
                return None
            read.append((node.name, before, content))
        return computed(node.name, key, self._versions.get(node.name, 0), read, self._coarse.get(node.name))

    def _announced(self, node: GraphNode, key: str) -> bool:
        """Whether something that it is made of is there at all."""
        for read in self._rules.inputs[node.name]:
            if read.everything:
                return bool(self.all(read.source))
            if any(self.content(read.source.name, item) is not None for item in self._rules.required(node, read, key)):
                return True
        return False

    def _in_order(self, node: GraphNode, key: str) -> bool:
        """Whether what it only comes after is there."""
        for name in node.depends:
            other = self._rules.nodes[name]
            there = self.content(name, key) is not None
            if there and other.is_source and not self._rules.complete(other, key, self._now):
                return False
            if not there and self._waited_for(other, key):
                self.unsure.add(node.name)
                return False
            if not there and not self.all(other):
                return False
        return True

    def _waited_for(self, node: GraphNode, key: str) -> bool:
        """Whether a partition that can't be computed is heard of all the same."""
        if node.is_source:
            return key in self._rules.heard[node.name] and self._rules.expected(node, key)
        return self._rules.expected(node, key) and self._announced(node, key)

    def _of(self, node: GraphNode, read: SimulatedInput, key: str) -> list[tuple[str, str, int]] | None:
        """What is read of one input; None where something of it is missing."""
        rules, source = self._rules, read.source
        if read.everything:
            return [(source.name, item, content) for item, content in self.all(source).items()]
        if read.refers:
            return self._referred(node, source)
        results = []
        for item in rules.required(node, read, key):
            content = self.content(source.name, item)
            if content is not None and (not source.is_source or rules.complete(source, item, self._now)):
                results.append((source.name, item, content))
            elif not read.spec.optional and not rules.absent(source, item):
                return None
        return results

    def _referred(self, node: GraphNode, source: GraphNode) -> list[tuple[str, str, int]] | None:
        """What is referred to may be of any age, unless it makes things stale: then it is part of the content."""
        results = self.all(source)
        if not results or (node.settled and source.partition.whole and self.content(source.name, WHOLE) is None):
            return None
        return [(source.name, item, content) for item, content in results.items()] if node.rebuild_on_reference else []
