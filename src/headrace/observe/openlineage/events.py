"""The events of an attempt: START, then exactly one of COMPLETE, FAIL and ABORT; and those of its audit, whose input is what was made.

They hold names, numbers and the project's own SQL; never a row's values, so that errors are named by kind and place and not by their
text, which may quote data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace import __version__
from headrace.model import UsageError
from headrace.model.export_links import exported
from headrace.model.intervals import bounds_us
from headrace.observe.openlineage.described import OpenLineageNodes
from headrace.observe.openlineage.naming import EVENT, PRODUCER, attempt_id, facet, moment, run_id
from headrace.store.queries.openlineage import AttemptSummary, Checked, LineageAttempt

ENDS = {
    "published": "COMPLETE", "staged": "COMPLETE", "held": "FAIL", "rejected": "FAIL", "failed": "FAIL",
    "lost": "ABORT", "cancelled": "ABORT", "skipped": "ABORT",
}  # fmt: skip
"""An attempt's state → the event of its end. What is held or rejected was computed, and nobody sees it."""
PARTITIONS_MAX = 100
"""So many partitions are named in an event's tags; how many there are is said beside them."""


def start(described: OpenLineageNodes, attempt: LineageAttempt) -> bytes:
    """It was given to a worker."""
    return _attempted(described, attempt, "START", attempt.begun_at, {}, {"name": _made(attempt)})


def end(described: OpenLineageNodes, attempt: LineageAttempt, summary: AttemptSummary) -> list[bytes]:
    """It has ended; and its audit, where checks looked at what it made."""
    assert attempt.finished_at is not None
    kind = ENDS[attempt.state]
    run = {"errorMessage": _error(attempt, summary.checks)} if kind != "COMPLETE" else {}
    audit = [_audited(described, attempt, how, summary) for how in ("START", "COMPLETE")] if summary.checks else []
    return [_attempted(described, attempt, kind, attempt.finished_at, run, _output(described, attempt, summary)), *audit]


def _attempted(
    described: OpenLineageNodes, attempt: LineageAttempt, kind: str, at: int, run: dict[str, Any], output: dict[str, Any]
) -> bytes:
    same, space = described.version == attempt.version, described.namespace
    facets = {"tags": facet("TagsRunFacet", "1-0-0", tags=_tags(attempt, ended=kind != "START")), **_nominal(described, attempt), **run}
    return _event(
        described, attempt, (kind, at), (attempt_id(space, attempt), facets),
        (f"{attempt.kind}/{attempt.node}", described.job(attempt.node, attempt.kind) if same else {}),
        [{"namespace": space, "name": name} for name in described.inputs(attempt.node, attempt.kind)] if same else [],
        [{"namespace": space, **output}],
    )  # fmt: skip


def _audited(described: OpenLineageNodes, attempt: LineageAttempt, kind: str, summary: AttemptSummary) -> bytes:
    """What checks found in what was made: the spec knows assertions of inputs only."""
    assert attempt.finished_at is not None
    space, facets = described.namespace, {}
    if kind != "START":
        facets["dataQualityAssertions"] = facet(
            "DataQualityAssertionsDatasetFacet", "1-1-0", assertions=[_assertion(check) for check in summary.checks]
        )
        if summary.audited is not None:
            facets["dataQualityMetrics"] = facet(
                "DataQualityMetricsInputDatasetFacet", "1-0-3", rowCount=summary.audited, columnMetrics=summary.columns
            )
    return _event(
        described, attempt, (kind, attempt.finished_at), (attempt_id(space, attempt, "audit"), {}),
        (f"audit/{attempt.node}", described.job(attempt.node, "audit") if described.version == attempt.version else {}),
        [{"namespace": space, "name": _made(attempt), "inputFacets": facets}], [],
    )  # fmt: skip


def _event(
    described: OpenLineageNodes,
    attempt: LineageAttempt,
    what: tuple[str, int],
    run: tuple[str, dict[str, Any]],
    job: tuple[str, dict[str, Any]],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> bytes:
    space = described.namespace
    parent = {"run": {"runId": run_id(space, attempt)}, "job": {"namespace": space, "name": f"run/{attempt.run_kind}"}}
    facets = {
        "parent": facet("ParentRunFacet", "1-2-0", **parent),
        "processing_engine": facet("ProcessingEngineRunFacet", "1-1-1", version=__version__, name="headrace"),
        **run[1],
    }
    return msgspec.json.encode({
        "eventType": what[0],
        "eventTime": moment(what[1]),
        "producer": PRODUCER,
        "schemaURL": EVENT,
        "run": {"runId": run[0], "facets": facets},
        "job": {"namespace": space, "name": job[0], "facets": job[1]},
        "inputs": inputs,
        "outputs": outputs,
    })  # fmt: skip


def _made(attempt: LineageAttempt) -> str:
    """The data set that an attempt makes."""
    return f"export/{attempt.node}" if attempt.kind == "export" else attempt.node


def _tags(attempt: LineageAttempt, *, ended: bool) -> list[dict[str, str]]:
    said = {"attempt": f"{attempt.epoch}.{attempt.n}", "partitions": str(len(attempt.partitions))}
    if ended:
        said["state"] = attempt.state
    if attempt.delivery_id is not None:
        said["delivery"] = str(attempt.delivery_id)
    pairs = [*said.items(), *(("partition", key) for key in attempt.partitions[:PARTITIONS_MAX])]
    return [{"key": key, "value": value, "source": "HEADRACE"} for key, value in pairs]


def _nominal(described: OpenLineageNodes, attempt: LineageAttempt) -> dict[str, Any]:
    """The time that its partitions are of."""
    project = described.compiled.project
    node = project.source_or_asset(attempt.node) or exported(project, attempt.node)
    grain = node.partition.grain if node is not None else None
    if node is None or grain is None or not attempt.partitions:
        return {}
    try:
        bounds = [bounds_us(key.partition("/")[0], grain, node.timezone) for key in attempt.partitions]
    except UsageError:  # its keys were of another grain then
        return {}
    first, last = min(start for start, _ in bounds), max(end for _, end in bounds)
    return {"nominalTime": facet("NominalTimeRunFacet", "1-0-1", nominalStartTime=moment(first), nominalEndTime=moment(last))}


def _error(attempt: LineageAttempt, checks: Sequence[Checked]) -> dict[str, Any]:
    number = f"{attempt.epoch}.{attempt.n}"
    broken = [check.name for check in checks if check.failed]
    said = [attempt.state]
    if broken:
        said.append(f"checks failed: {', '.join(broken[:10])}{' …' if len(broken) > 10 else ''}")
    if attempt.error is not None:
        said.append(str(attempt.error.get("code") or attempt.error.get("kind") or "error"))
        if attempt.error.get("file"):
            said.append(f"{attempt.error['file']}:{attempt.error.get('line') or 1}")
    said.append(f"headrace logs {number} says more")
    return facet("ErrorMessageRunFacet", "1-0-1", message="; ".join(said), programmingLanguage="SQL")


def _output(described: OpenLineageNodes, attempt: LineageAttempt, summary: AttemptSummary) -> dict[str, Any]:
    facets: dict[str, Any] = (
        dict(described.output(attempt.node)) if described.version == attempt.version and attempt.kind != "export" else {}
    )
    results: dict[str, Any] = {"name": _made(attempt), "facets": facets}
    if summary.snapshot is not None:
        facets["version"] = facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=str(summary.snapshot))
        statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=summary.rows, size=summary.bytes)
        results["outputFacets"] = {"outputStatistics": statistics}
    return results


def _assertion(check: Checked) -> dict[str, Any]:
    return {
        "assertion": check.kind,
        "name": check.name,
        "success": not check.failed,
        "severity": "error" if check.severity == "blocking" else "warn",
        "expected": "0",
        "actual": str(check.failing),
        "params": {"rows": check.rows},
    }
