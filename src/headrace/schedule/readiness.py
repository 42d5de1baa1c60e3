"""Which partitions of its inputs a partition needs, and which partitions an input's partition touches (SEMANTICS §2, §3)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from headrace.model import InputMode, InputSpec
from headrace.model.required import dependents, required
from headrace.schedule.graph import GraphNode

WHOLE = "*"


class Link:
    """One input of one node: `needs(key)` are the input's partitions that an output partition requires, `touches(key)`
    the output partitions that an input's partition is required by.

    `newest` links have no partition of their own to wait for: references, `all`, and whole outputs that read
    everything that is published.
    """

    __slots__ = ("_input", "_output", "_spec", "newest", "optional", "same", "stales")

    def __init__(self, output: GraphNode, spec: InputSpec, source: GraphNode) -> None:
        self._output, self._spec, self._input = output, spec, source
        self.optional = spec.optional
        whole_pair = output.partition.whole and source.partition.whole
        plain = spec.mode is InputMode.REQUIRED and spec.lookback is None
        self.newest = not whole_pair and (spec.mode is InputMode.ALL or source.partition.whole or output.partition.whole)
        self.same = whole_pair or (
            plain and not self.newest and output.partition.grain == source.partition.grain and output.timezone == source.timezone
        )
        # What a whole output reads is required, all of it; what is only referred to makes nothing stale.
        reference = self.newest and not output.partition.whole
        self.stales = not reference or output.rebuild_on_reference

    @property
    def input(self) -> GraphNode:
        """The node that is read."""
        return self._input

    def needs(self, key: str) -> tuple[str, ...]:
        """The input's partitions that must be published before `key` may run; none for `newest` links."""
        if self.same:
            return (key,)
        if self.newest:
            return ()
        return _required(self._output, self._input, self._spec, key)

    def touches(self, key: str) -> Iterable[str]:
        """The output's partitions that read the input's partition `key`."""
        if self.same:
            return (key,)
        if self._output.partition.whole:
            return (WHOLE,)
        if self.newest:
            return ()
        output, source = self._output, self._input
        return dependents(key, output.partition, output.timezone, source.partition, source.timezone, self._spec) or ()


@lru_cache(maxsize=100_000)
def _required(output: GraphNode, source: GraphNode, spec: InputSpec, key: str) -> tuple[str, ...]:
    keys = required(output.partition, output.timezone, key, source.partition, source.timezone, spec).keys
    return keys or ()
