"""What causes reach, node by node in the order in which data flows: along which columns, in which partitions, over how many steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from headrace.observe.diagnosis.candidates import CauseCandidate
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.columns import ALL
from headrace.observe.diagnosis.graph import CauseGraph

ABOVE_MAX = 12
"""So many causes above a node are asked whether they explain what is seen there: the first in the order of the sources."""
OF_ROWS = frozenset(
    {
        CauseKind.VOLUME_ANOMALY, CauseKind.DUPLICATE_ROWS, CauseKind.STALE_DATA, CauseKind.RESTATEMENT, CauseKind.FORMAT_CHANGE,
    }
)  # fmt: skip
"""Rows that are missing, repeated, stale or read otherwise are so in all columns."""


class CauseReach(NamedTuple):
    """How a cause reaches a node: its columns as bits (none where only rows may be missing), its partitions (None: all)."""

    columns: int
    partitions: frozenset[str] | None
    hops: int

    def covers(self, partition: str) -> bool:
        """Whether a partition is reached; one that isn't named may be."""
        return self.partitions is None or partition in ("", "*") or partition in self.partitions


Above = dict[CauseCandidate, CauseReach]


def starts(graph: CauseGraph, cause: CauseCandidate) -> CauseReach:
    """What a cause reaches at its own node."""
    whole = cause.kind in OF_ROWS or not cause.columns
    return CauseReach(ALL if whole else graph.bits(cause.node, cause.columns), cause.partitions or None, 0)


def flows(graph: CauseGraph, node: str, above: Mapping[str, Above]) -> Above:
    """What reaches a node of what reaches its inputs. A cause that is published ends where none of its columns goes on."""
    reaches: Above = {}
    for at, spec in enumerate(graph.nodes[node].inputs):
        for cause, reach in above.get(spec.node, {}).items():
            columns = ALL if reach.columns == ALL else graph.flow(node).through(spec.node, reach.columns)
            if not columns and not cause.is_held:
                continue
            keys = graph.onto(node, at, reach.partitions)
            if keys is not None and not keys:
                continue
            known = reaches.get(cause)
            if known is not None:
                reaches[cause] = _both(known, columns, keys, reach.hops + 1)
            elif len(reaches) < ABOVE_MAX:
                reaches[cause] = CauseReach(columns, keys, reach.hops + 1)
    return reaches


def _both(known: CauseReach, columns: int, keys: frozenset[str] | None, hops: int) -> CauseReach:
    """Over several inputs: what is reached over any of them."""
    if keys is not known.partitions:
        keys = None if keys is None or known.partitions is None else keys | known.partitions
    return CauseReach(columns | known.columns, keys, min(hops, known.hops))


def made_of(graph: CauseGraph, node: str, columns: Iterable[str]) -> frozenset[str]:
    """The assets that use some of a node's columns, directly or not."""
    reached = {node: graph.bits(node, tuple(columns))}
    for name in islice(graph.nodes, graph.rank(node) + 1, None):
        own = 0
        for spec in graph.nodes[name].inputs:
            if bits := reached.get(spec.node):
                own |= graph.flow(name).through(spec.node, bits)
        if own:
            reached[name] = own
    return frozenset(reached) - {node}
