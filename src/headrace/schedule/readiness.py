"""Which partitions of its inputs a partition needs, and which partitions an input's partition touches (SEMANTICS §2, §3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

from headrace.model import Grain, InputMode, InputSpec
from headrace.model.required import WHOLE, delivery_key, dependents, required, split
from headrace.model.times import Offset
from headrace.schedule.graph import GraphNode
from headrace.schedule.partition_states import PartitionStates, bounds

__all__ = ["WHOLE", "InputLink", "delivery_key"]

REMEMBERED_MAX = 10_000
"""Answers of one link that are kept: asking the calendar again costs a thousand times as much as looking up."""


class InputLink:
    """One input of one node: `needs(key)` are the input's partitions that an output partition requires, `touches(key)`
    the output partitions that an input's partition is required by.

    `newest` links have no partition of their own to wait for: references, `all`, and outputs that read everything that
    is published. `promised` are the sources that an optional input comes from, with until when each was promised.
    """

    __slots__ = (
        "_every",
        "_known",
        "_output",
        "_partition_states",
        "_promised",
        "_spec",
        "_touched",
        "delivers",
        "gathers",
        "input",
        "newest",
        "optional",
        "ordered",
        "same",
        "stales",
    )  # fmt: skip

    def __init__(
        self,
        output: GraphNode,
        spec: InputSpec,
        source: GraphNode,
        partition_states: PartitionStates,
        *,
        followed: bool = False,
        promised: Collection[GraphNode] = (),
    ) -> None:
        """`followed`: the output reads only inputs that aren't cut, so they are no references but what it is made of."""
        self._output, self._spec, self.input, self._partition_states = output, spec, source, partition_states
        self.optional = spec.optional
        self._promised = [(node, Offset.parse(node.expect_by)) for node in promised if node.expect_by is not None]
        out, into = output.partition, source.partition
        self.same = _same(output, spec, source)
        plain = spec.mode is InputMode.REQUIRED and not spec.optional
        self.delivers = out.by_delivery and into.whole and plain and followed
        """Each publication of the input is a partition of the output."""
        self._every = out.values is not None and out.grain is None and into.whole and plain and followed
        """Each listed key is made of the whole input."""
        self.newest = not self.same and not self._every and _newest(output, spec, source)
        gathered = out.whole or (out.grain is None and not out.by_delivery and spec.mode is not InputMode.ALL and not into.whole)
        self.gathers = self.newest and gathered
        """Everything of the input is required: it runs once the input is at rest, not once a partition."""
        self.stales = self.gathers or not self.newest or output.rebuild_on_reference
        cut = not self.newest and out.grain is not None and into.grain is not None
        self.ordered = cut and out.key is None and into.key is None and Grain.HOUR not in (out.grain, into.grain)
        """Following intervals of the input touch following ones of the output: those that two touch hold between them what lies
        between. Some hours have no number, so they aren't counted on."""
        self._known: dict[str, tuple[str, ...]] = {}
        self._touched: dict[str, tuple[str, ...]] = {}

    def needs(self, key: str) -> tuple[str, ...]:
        """The input's partitions that must be published before `key` may run; none for `newest` links."""
        if self.same:
            return (key,)
        if self._every:
            return (WHOLE,)
        if self.newest:
            return self._referred(key)
        if _grows(self.input):
            return self._needs(key)
        results = self._known.get(key)
        if results is None:
            results = _kept(self._known, key, self._needs(key))
        return results

    def touches(self, key: str) -> Iterable[str]:
        """The output's partitions that read the input's partition `key`; none where it is a reference."""
        if self.same:
            return (key,)
        if self._output.partition.whole:
            return (WHOLE,)
        if self._every:
            return self._output.partition.values or ()
        if self.newest and not self.gathers:
            return ()
        if _grows(self._output):
            return self._touches(key)
        results = self._touched.get(key)
        if results is None:
            results = _kept(self._touched, key, self._touches(key))
        return results

    def given_up(self, key: str) -> int | None:
        """When an optional input's partition is done without; None: it isn't waited for at all."""
        if self.input.partition.grain is None or not self._promised:
            return None
        end = bounds(self.input, key)[1]
        return max(by.after_us(end, node.timezone, node.days_off.holds) for node, by in self._promised)

    def _needs(self, key: str) -> tuple[str, ...]:
        output, source = self._output, self.input
        seen = partial(self._partition_states.seen, source.name)
        return required(output.partition, output.timezone, key, source.partition, source.timezone, self._spec, seen).keys or ()

    def _touches(self, key: str) -> tuple[str, ...]:
        output, source = self._output, self.input
        seen = partial(self._partition_states.seen, output.name)
        return dependents(key, output.partition, output.timezone, source.partition, source.timezone, self._spec, seen) or ()

    def _referred(self, key: str) -> tuple[str, ...]:
        """Of what is referred to by key, without time: that key's partition."""
        out, into = self._output.partition, self.input.partition
        if out.key is None or into.key != out.key or into.grain is not None or self._spec.mode is InputMode.ALL:
            return ()
        return (split(key, out)[1],)


def _same(output: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    """Whether each partition needs exactly the one of the same name."""
    out, into = output.partition, source.partition
    if out.whole and into.whole:
        return True
    if spec.mode is not InputMode.REQUIRED or spec.lookback is not None or out.whole or into.whole:
        return False
    if out.by_delivery or into.by_delivery:
        return out.by_delivery and into.by_delivery
    return out.grain == into.grain and out.key == into.key and (output.timezone == source.timezone or out.grain is None)


def _newest(output: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    out, into = output.partition, source.partition
    if spec.mode is InputMode.ALL or into.whole or out.whole:
        return True
    if out.by_delivery or into.by_delivery:
        return not (out.by_delivery and into.by_delivery)
    if out.grain is None:
        return into.grain is not None
    return into.grain is None


def _grows(node: GraphNode) -> bool:
    return node.partition.key is not None and node.partition.values is None


def _kept(known: dict[str, tuple[str, ...]], key: str, results: tuple[str, ...]) -> tuple[str, ...]:
    if len(known) >= REMEMBERED_MAX:
        known.clear()
    known[key] = results
    return results
