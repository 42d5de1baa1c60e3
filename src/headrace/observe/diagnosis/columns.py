"""How columns reach from the inputs of one node to its own, as bits: whole projects are followed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headrace.plan.bodies import ColumnLineage
from headrace.sql.values import Edge

ALL = -1
"""All columns, as bits."""
_STAR = "*"
Bit = Callable[[str, str], int]
"""(node, column) → its bit."""


@dataclass
class _Input:
    """Of one input: what each of its columns reaches, what any of them does, and those that decide which rows there are."""

    reaches: dict[int, int] = field(default_factory=dict)
    any: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Flow:
    """From columns of inputs to a node's own. An input that its lines don't name (read through a view, or not known) reaches all."""

    inputs: dict[str, _Input]

    def through(self, node: str, columns: int) -> int:
        """The own columns that some of an input's reach."""
        result = self.inputs.get(node.lower())
        if result is None or not columns:
            return ALL if columns else 0
        if columns & result.rows:
            return ALL
        reached = result.any
        for bit, own in result.reaches.items():
            if columns & bit:
                reached |= own
        return reached

    def origins(self, own: int) -> set[str]:
        """The inputs, in small letters, that some of a node's own columns get their values from; none where that isn't known."""
        return {
            name for name, result in self.inputs.items() if result.any & own or any(reached & own for reached in result.reaches.values())
        }


def flow_of(lines: ColumnLineage | None, reads: Sequence[str], bit: Bit, node: str) -> Flow:
    """The flow of a node by its lines; of one without any, everything reaches everything."""
    if lines is None:
        return Flow({})
    canonical = {name.lower(): name for name in reads}
    inputs: dict[str, _Input] = {}
    for column, edges in lines.columns.items():
        own = bit(node, column)
        for edge in edges:
            if edge.input in canonical:
                _add(inputs.setdefault(edge.input, _Input()), edge, bit(canonical[edge.input], edge.column), own)
    for edge in lines.filters:
        if edge.input in canonical:
            result = inputs.setdefault(edge.input, _Input())
            result.rows |= ALL if edge.column == _STAR else bit(canonical[edge.input], edge.column)
    return Flow(inputs)


def _add(result: _Input, edge: Edge, column: int, own: int) -> None:
    if edge.column == _STAR:
        result.any |= own
    else:
        result.reaches[column] = result.reaches.get(column, 0) | own
