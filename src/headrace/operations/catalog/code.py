"""The file that declares a node, as it was applied, and the versions in which it changed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePosixPath

from headrace.model import UsageError
from headrace.operations import targets
from headrace.operations.catalog.responses import CodeResponse, CodeVersionRow
from headrace.operations.session import ProjectSession
from headrace.store.queries import applied_files

_LANGUAGES = {".sql": "sql", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
VERSIONS_MAX = 200
"""So many of the newest versions are looked through."""


def code(session: ProjectSession, name: str, version: int | None) -> CodeResponse:
    """The newest text, or that of a version. UsageError for a node or a version that there isn't."""
    project = session.project()
    node, _ = targets.target(name, project)
    declared = project.node(node)
    assert declared is not None
    file = declared.place.file
    if session.store is None:
        return _response(node, file, declared.place.line, None, None, [])
    with session.store.read() as tx:
        versions = applied_files.of_file(tx, file, VERSIONS_MAX)
        changed = [
            version
            for version, older in pairwise([*versions, None])
            if version is not None and (older is None or version.hash != older.hash)
        ]
        file_versions = [version for version in changed if version.hash is not None]
        chosen = next((file_version for file_version in file_versions if version is None or file_version.version == version), None)
        if chosen is None and version is not None:
            raise UsageError(
                f"{file} didn't change in version {version}",
                hint=f"those that changed it: {[version.version for version in file_versions][:9]}",
            )
        text = applied_files.text(tx, chosen.hash) if chosen is not None and chosen.hash is not None else None
    rows = [CodeVersionRow(version=version.version, at=session.instant(version.applied_at), by=version.actor) for version in file_versions]
    return _response(node, file, declared.place.line, None if chosen is None else chosen.version, text, rows)


def _response(node: str, file: str, line: int, version: int | None, text: str | None, versions: list[CodeVersionRow]) -> CodeResponse:
    language = _LANGUAGES.get(PurePosixPath(file).suffix, "text")
    return CodeResponse(node=node, file=file, line=line, language=language, version=version, text=text, versions=versions)
