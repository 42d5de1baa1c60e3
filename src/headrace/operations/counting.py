"""How many partitions a plan makes: the one definition that the terminal, the API and the pages count by.

A partition of a source is one interval or key that is ingested, of an asset one that is computed, of
an export one that is sent. Views and checks have none: nothing of them is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from headrace.model import Project
from headrace.operations.responses import CountsRow


class PartitionedNodeKind(StrEnum):
    """What a node with partitions is."""

    SOURCE = "source"
    ASSET = "asset"
    EXPORT = "export"


def kind_of(project: Project, node: str) -> PartitionedNodeKind:
    """What a node is; of one that isn't declared any more an asset."""
    if node in project.sources:
        return PartitionedNodeKind.SOURCE
    return PartitionedNodeKind.EXPORT if node in project.consumers else PartitionedNodeKind.ASSET


def counted(project: Project, rows: Iterable[tuple[str, int]]) -> CountsRow:
    """The sum of (node, partitions), by what the nodes are; nodes without partitions don't count."""
    nodes = dict.fromkeys(PartitionedNodeKind, 0)
    partitions = dict.fromkeys(PartitionedNodeKind, 0)
    for node, count in rows:
        if count:
            kind = kind_of(project, node)
            nodes[kind] += 1
            partitions[kind] += count
    parts = [(kind, nodes[kind], partitions[kind]) for kind in PartitionedNodeKind if nodes[kind]]
    return CountsRow(
        partitions=sum(partitions.values()),
        sources=nodes[PartitionedNodeKind.SOURCE], of_sources=partitions[PartitionedNodeKind.SOURCE],
        assets=nodes[PartitionedNodeKind.ASSET], of_assets=partitions[PartitionedNodeKind.ASSET],
        exports=nodes[PartitionedNodeKind.EXPORT], of_exports=partitions[PartitionedNodeKind.EXPORT],
        nodes=_joined([_plural(count, kind) for kind, count, _ in parts]),
        text=_text(parts),
    )  # fmt: skip


def _text(parts: Sequence[tuple[PartitionedNodeKind, int, int]]) -> str:
    """`30 partitions: 3 of 1 source, 24 of 8 assets, 3 of 1 export`."""
    total = _plural(sum(partitions for *_, partitions in parts), "partition")
    if len(parts) == 1:
        return f"{total} of {_plural(parts[0][1], parts[0][0])}"
    named = (f"{partitions:,} of {_plural(nodes, kind)}" for kind, nodes, partitions in parts)
    return f"{total}: {', '.join(named)}" if parts else total


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
