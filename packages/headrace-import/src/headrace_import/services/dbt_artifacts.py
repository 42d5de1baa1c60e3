"""`export dbt-manifest`: the project and its newest results as dbt's artifacts, for tools that read
those."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace import __version__
from headrace.extension import (
    SEE,
    Argument,
    Option,
    ProjectSession,
    UsageError,
    command,
    command_line,
    write_files,
)
from headrace.project.session import usable
from headrace.services.checks import checks
from headrace.services.render import typed_columns
from headrace_import.responses.dbt_artifacts import DbtArtifactsResponse, LeftOutRow
from headrace_import.services.dbt_manifest import DbtManifestWriter
from headrace_import.services.dbt_results import (
    artifact_metadata,
    attempt_results,
    check_results,
    results_document,
)

MANIFEST, RESULTS = "manifest.json", "run_results.json"
FORMATS = ("dbt-manifest",)


@command("export dbt-manifest", SEE, session="export")
def export(
    session: ProjectSession,
    artifacts: Annotated[str, Argument("dbt-manifest", help="what is written")],
    into: Annotated[
        Path | None,
        Option(
            "--into", metavar="DIR", help="where it is written (default: target/ of the project)"
        ),
    ] = None,
) -> DbtArtifactsResponse:
    """Write manifest.json (version 12) and run_results.json (version 6) as dbt does.

    They describe the applied version, or the files before the first apply. Raise UsageError for an
    unknown format and if a file of the folder isn't an artifact of dbt, InvalidProject if the files
    have errors.
    """
    if artifacts not in FORMATS:
        raise UsageError(
            f"{artifacts[:60]!r} can't be exported", hint=command_line("export", *FORMATS)
        )
    compiled = session.compiled if session.compiled is not None else usable(session.declared())
    folder = into if into is not None else session.root / "target"
    for name in (MANIFEST, RESULTS):
        _require_artifact(folder / name)
    types = {name: dict(typed_columns(session, name, compiled)) for name in compiled.order}
    writer = DbtManifestWriter(compiled, types)
    invocation, now = str(uuid.uuid4()), session.now()
    manifest = writer.document(artifact_metadata("manifest/v12", now, invocation, __version__))
    results = results_document(
        artifact_metadata("run-results/v6", now, invocation, __version__), _results(session, writer)
    )
    texts = {MANIFEST: _text(manifest), RESULTS: _text(results)}
    write_files(folder, texts, "name another folder: --into DIR")
    nodes = manifest["nodes"].values()
    return DbtArtifactsResponse(
        files=[str(folder / name) for name in texts],
        models=sum(node["resource_type"] == "model" for node in nodes),
        tests=sum(node["resource_type"] == "test" for node in nodes),
        sources=len(manifest["sources"]),
        exposures=len(manifest["exposures"]),
        results=len(results["results"]),
        left_out=[
            LeftOutRow(node=name, why="ODCS contracts have no counterpart in dbt's manifest")
            for name in sorted(compiled.project.contracts)
        ],
    )


def _results(session: ProjectSession, writer: DbtManifestWriter) -> list[dict[str, Any]]:
    """Return the results of assets and checks; none before the first run."""
    if session.store is None or session.compiled is None:
        return []
    assets = {name: writer.uid(name) for name in session.compiled.project.assets}
    uids = {(row.node, row.check.name): row.uid for row in writer.checks}
    with session.store.read() as tx:
        computed = list(attempt_results(tx, assets))
    return [*computed, *check_results(checks(session, history=1), uids)]


def _require_artifact(path: Path) -> None:
    """Raise UsageError for a file that no tool of dbt wrote: it isn't replaced."""
    if not path.exists() and not path.is_symlink():
        return
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
        if "dbt_schema_version" in metadata:
            return
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UsageError(
        f"{path} isn't an artifact of dbt, and isn't replaced",
        hint="name another folder: --into DIR",
    )


def _text(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()
