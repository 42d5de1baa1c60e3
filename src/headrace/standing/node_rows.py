"""A node's declaration in short."""

from __future__ import annotations

from headrace.model import (
    Asset,
    CommandBody,
    Consumer,
    PartitionSpec,
    Project,
    PythonBody,
)
from headrace.responses import NodeRow


def node_row(project: Project, name: str) -> NodeRow:
    """Return one node as a row of `ls`."""
    node = project.node(name)
    assert node is not None
    return NodeRow(
        name=name,
        kind=type(node).__name__.lower(),
        body=body_kind(node) if isinstance(node, Asset) else None,
        owner=node.owner,
        domain=node.domain,
        partition=None if isinstance(node, Consumer) else partition_text(node.partition),
        tags=list(node.tags),
        file=node.place.file,
        retain=None if isinstance(node, Consumer) else node.retain,
    )


def body_kind(asset: Asset) -> str:
    """Return `sql`, `python` or `command`."""
    if isinstance(asset.body, PythonBody):
        return "python"
    return "command" if isinstance(asset.body, CommandBody) else "sql"


def partition_text(spec: PartitionSpec) -> str:
    """Return `*`, `day`, `key:region` or `day,key:region`."""
    parts = [spec.grain.value] if spec.grain else []
    if spec.key:
        parts.append(f"key:{spec.key}")
    return ",".join(parts) or "*"
