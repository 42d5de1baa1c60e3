"""The response of `export dbt-manifest`."""

from __future__ import annotations

from headrace.extension import Response


class LeftOutRow(Response, frozen=True, kw_only=True):
    """A declaration that the artifacts don't have, and why."""

    node: str
    why: str


class DbtArtifactsResponse(Response, frozen=True, kw_only=True):
    """`export dbt-manifest`: the files, and how many of each they have. `results` counts the newest
    attempts of assets and outcomes of checks in run_results.json."""

    files: list[str]
    models: int
    sources: int
    tests: int
    exposures: int
    results: int
    left_out: list[LeftOutRow]
