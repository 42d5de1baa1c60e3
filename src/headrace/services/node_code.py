"""The file that declares a node, as it was applied: its versions, and what changed between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from headrace.access.permissions import SEE, command, hiding, visible_of
from headrace.model import Project, UsageError
from headrace.model.nodes import Asset, SqlBody
from headrace.project import targets
from headrace.project.session import ProjectSession
from headrace.project.text_differences import line_differences
from headrace.responses.code import CodeDifference, CodeResponse, CodeVersionRow
from headrace.store import Transaction
from headrace.store.queries import applied_versions
from headrace.store.queries.applied_versions import FileVersion

_LANGUAGES = {".sql": "sql", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
VERSIONS_MAX = 200
"""Maximum number of versions searched, newest first."""


@command("code", SEE, of="name", http="GET /assets/{name}/code code")
def code(
    session: ProjectSession, name: str, version: int | None = None, since: int | None = None
) -> CodeResponse:
    """Return the newest text, or that of a version, and what changed since an earlier one.

    Raise UsageError for an unknown node or version.
    """
    project = session.project()
    node, _ = targets.target(name, project)
    declared = project.node(node)
    assert declared is not None
    file = declared.place.file
    result = CodeResponse(
        node=node,
        file=file,
        line=declared.place.line,
        language=_LANGUAGES.get(PurePosixPath(file).suffix, "text"),
        version=None,
        text=None,
        versions=[],
        hidden=file in hidden_files(session, project),
    )
    if session.store is None or result.hidden:
        return result
    with session.store.read() as tx:
        versions = applied_versions.file_changes(tx, file, VERSIONS_MAX)
        chosen = _chosen(file, versions, version)
        before = None if since is None else _chosen(file, versions, since)
        result = msgspec.structs.replace(
            result,
            version=None if chosen is None else chosen.version,
            versions=[_row(session, item) for item in versions],
            hidden=any(_hid(session, tx, file, item) for item in (chosen, before) if item),
        )
        if result.hidden:
            return result
        text = _text(tx, chosen)
        difference = None
        if since is not None:
            diff, truncated = line_differences(_text(tx, before), text, hiding(session))
            difference = CodeDifference(since=since, diff=diff, truncated=truncated)
    return msgspec.structs.replace(result, text=text, difference=difference)


def _row(session: ProjectSession, item: FileVersion) -> CodeVersionRow:
    return CodeVersionRow(
        version=item.version,
        at=session.instant(item.applied_at),
        by=item.actor,
        plan_id=item.plan_id,
    )


class _Stored(msgspec.Struct):
    """The needed part of a `Compiled`."""

    project: Project


def _hid(session: ProjectSession, tx: Transaction, file: str, item: FileVersion) -> bool:
    """Return whether a file declared hidden nodes in a version, which it may no longer declare."""
    if session.visible is None:
        return False
    compiled = applied_versions.compiled(tx, item.version)
    return file in hidden_files(session, msgspec.msgpack.decode(compiled, type=_Stored).project)


def hidden_files(session: ProjectSession, project: Project) -> frozenset[str]:
    """Return the files that declare nodes, or have their code, which this role may not see."""
    if session.visible is None:
        return frozenset()
    nodes = project.nodes()
    visible = visible_of(session, nodes)
    hidden = [node for node in nodes if node.name not in visible]
    bodies = [node.body for node in hidden if isinstance(node, Asset)]
    return frozenset(node.place.file for node in hidden) | frozenset(
        body.file for body in bodies if isinstance(body, SqlBody)
    )


def _chosen(file: str, versions: Sequence[FileVersion], version: int | None) -> FileVersion | None:
    """Return a version of a file, or its newest; None if it was never applied."""
    chosen = next((item for item in versions if version in (None, item.version)), None)
    if chosen is None and version is not None:
        raise UsageError(
            f"{file} didn't change in version {version}",
            hint=f"those that changed it: {[version.version for version in versions][:9]}",
        )
    return chosen


def _text(tx: Transaction, version: FileVersion | None) -> str | None:
    if version is None or version.hash is None:
        return None
    return applied_versions.file_text(tx, version.hash)
