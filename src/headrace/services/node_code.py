"""The file that declares a node, as it was applied: its versions, and what changed between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from headrace.model import Project, UsageError
from headrace.services import targets
from headrace.services.permissions import authorised
from headrace.services.responses.catalog import CodeDifference, CodeResponse, CodeVersionRow
from headrace.services.session import ProjectSession
from headrace.services.text_differences import line_differences
from headrace.store import Transaction
from headrace.store.queries import applied_versions
from headrace.store.queries.applied_versions import FileVersion

_LANGUAGES = {".sql": "sql", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
VERSIONS_MAX = 200
"""Maximum number of versions searched, newest first."""


@authorised
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
        hidden=not all(map(session.shows, _declared_in(file, project))),
    )
    if session.store is None or result.hidden:
        return result
    with session.store.read() as tx:
        versions = applied_versions.file_changes(tx, file, VERSIONS_MAX)
        chosen = _chosen(file, versions, version)
        text = _text(tx, chosen)
        difference = None
        if since is not None:
            before = _text(tx, _chosen(file, versions, since))
            diff, truncated = line_differences(before, text)
            difference = CodeDifference(since=since, diff=diff, truncated=truncated)
    rows = [
        CodeVersionRow(
            version=item.version,
            at=session.instant(item.applied_at),
            by=item.actor,
            plan_id=item.plan_id,
        )
        for item in versions
    ]
    return msgspec.structs.replace(
        result,
        version=None if chosen is None else chosen.version,
        text=text,
        versions=rows,
        difference=difference,
    )


def _declared_in(file: str, project: Project) -> Iterator[str]:
    for name, node in (project.sources | project.assets).items():
        if node.place.file == file:
            yield name


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
