"""`headrace export`: the project for tools that read files of dbt."""

from __future__ import annotations

from pathlib import Path

from headrace.extension import CommandOutput, Invocation, plural, terminal_command
from headrace_import.responses.dbt_artifacts import DbtArtifactsResponse


@terminal_command(
    "headrace_import.services.dbt_artifacts:export",
    group="operate",
    summary="write manifest.json and run_results.json as dbt does",
)
def export_command(invocation: Invocation, artifacts: str, into: Path | None) -> int:
    """Write the project and its newest results as dbt's manifest.json and run_results.json.

    Catalogues and lineage viewers read them. Assets are models, checks are tests, consumers are
    exposures. The files describe the applied version, or the files before the first apply.
    """
    from headrace_import.services.dbt_artifacts import export

    invocation.show(export(invocation.session, artifacts, into), _render)
    return 0


def _render(response: DbtArtifactsResponse, page: CommandOutput) -> None:
    page.facts(
        plural(response.models, "model"),
        plural(response.sources, "source"),
        plural(response.tests, "test"),
        plural(response.exposures, "exposure"),
        plural(response.results, "result"),
    )
    for file in response.files:
        page.say(f"✓ {file}", "good")
    for row in response.left_out:
        page.say(f"left out: {row.node}: {row.why}", "dim")
