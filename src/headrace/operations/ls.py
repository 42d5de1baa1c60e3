"""`ls`: the nodes that the files declare."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.model import Asset, CommandBody, Consumer, PartitionSpec, Project, PythonBody, Source
from headrace.operations import code_rows
from headrace.operations.progress import Progress
from headrace.operations.responses import NodeRow
from headrace.operations.selection import selected
from headrace.operations.session import InvalidProject, ProjectSession
from headrace.plan.packages import Installed


def ls(session: ProjectSession, selection: Sequence[str], exclude: Sequence[str], *, progress: Progress) -> list[NodeRow]:
    """Sources, assets, consumers, each in order of their names. ProjectError where the files can't be linked."""
    compilation = session.declared(progress)
    project = compilation.project
    if project is None:
        raise InvalidProject(compilation.problems)
    names = selected(session, selection, exclude, compiled=compilation.compiled, project=project)
    compiled = compilation.compiled
    rows = [row(project, name) for name in sorted(names, key=lambda name: _order(project, name))]
    if compiled is None:
        return rows
    here = Installed()
    return [msgspec.structs.replace(row, code=code_rows.declared(session.root, compiled, row.name, here)) for row in rows]


def row(project: Project, name: str) -> NodeRow:
    """One node as `ls` shows it."""
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
    )


def body_kind(asset: Asset) -> str:
    """`sql`, `python` or `command`."""
    if isinstance(asset.body, PythonBody):
        return "python"
    return "command" if isinstance(asset.body, CommandBody) else "sql"


def partition_text(spec: PartitionSpec) -> str:
    """`*`, `day`, `key:region` or `day,key:region`."""
    parts = [spec.grain.value] if spec.grain else []
    if spec.key:
        parts.append(f"key:{spec.key}")
    return ",".join(parts) or "*"


def _order(project: Project, name: str) -> tuple[int, str]:
    node = project.node(name)
    return (0 if isinstance(node, Source) else 1 if isinstance(node, Asset) else 2, name)
