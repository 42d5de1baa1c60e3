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


def start(described: OpenLineageNodes, one: LineageAttempt) -> bytes:
    """It was given to a worker."""
    return _attempted(described, one, "START", one.begun_at, {}, {"name": _made(one)})


def end(described: OpenLineageNodes, one: LineageAttempt, made: AttemptSummary) -> list[bytes]:
    """It has ended; and its audit, where checks looked at what it made."""
    assert one.finished_at is not None
    kind = ENDS[one.state]
    run = {"errorMessage": _error(one, made.checks)} if kind != "COMPLETE" else {}
    audit = [_audited(described, one, how, made) for how in ("START", "COMPLETE")] if made.checks else []
    return [_attempted(described, one, kind, one.finished_at, run, _output(described, one, made)), *audit]


def _attempted(described: OpenLineageNodes, one: LineageAttempt, kind: str, at: int, run: dict[str, Any], output: dict[str, Any]) -> bytes:
    same, space = described.version == one.version, described.namespace
    facets = {"tags": facet("TagsRunFacet", "1-0-0", tags=_tags(one, ended=kind != "START")), **_nominal(described, one), **run}
    return _event(
        described, one, (kind, at), (attempt_id(space, one), facets),
        (f"{one.kind}/{one.node}", described.job(one.node, one.kind) if same else {}),
        [{"namespace": space, "name": name} for name in described.inputs(one.node, one.kind)] if same else [],
        [{"namespace": space, **output}],
    )  # fmt: skip


def _audited(described: OpenLineageNodes, one: LineageAttempt, kind: str, made: AttemptSummary) -> bytes:
    """What checks found in what was made: the spec knows assertions of inputs only."""
    assert one.finished_at is not None
    space, facets = described.namespace, {}
    if kind != "START":
        facets["dataQualityAssertions"] = facet(
            "DataQualityAssertionsDatasetFacet", "1-1-0", assertions=[_assertion(check) for check in made.checks]
        )
        if made.audited is not None:
            facets["dataQualityMetrics"] = facet(
                "DataQualityMetricsInputDatasetFacet", "1-0-3", rowCount=made.audited, columnMetrics=made.columns
            )
    return _event(
        described, one, (kind, one.finished_at), (attempt_id(space, one, "audit"), {}),
        (f"audit/{one.node}", described.job(one.node, "audit") if described.version == one.version else {}),
        [{"namespace": space, "name": _made(one), "inputFacets": facets}], [],
    )  # fmt: skip


def _event(
    described: OpenLineageNodes,
    one: LineageAttempt,
    what: tuple[str, int],
    run: tuple[str, dict[str, Any]],
    job: tuple[str, dict[str, Any]],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> bytes:
    space = described.namespace
    parent = {"run": {"runId": run_id(space, one)}, "job": {"namespace": space, "name": f"run/{one.run_kind}"}}
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


def _made(one: LineageAttempt) -> str:
    """The data set that an attempt makes."""
    return f"export/{one.node}" if one.kind == "export" else one.node


def _tags(one: LineageAttempt, *, ended: bool) -> list[dict[str, str]]:
    said = {"attempt": f"{one.epoch}.{one.n}", "partitions": str(len(one.partitions))}
    if ended:
        said["state"] = one.state
    if one.delivery_id is not None:
        said["delivery"] = str(one.delivery_id)
    pairs = [*said.items(), *(("partition", key) for key in one.partitions[:PARTITIONS_MAX])]
    return [{"key": key, "value": value, "source": "HEADRACE"} for key, value in pairs]


def _nominal(described: OpenLineageNodes, one: LineageAttempt) -> dict[str, Any]:
    """The time that its partitions are of."""
    project = described.compiled.project
    node = project.source_or_asset(one.node) or exported(project, one.node)
    grain = node.partition.grain if node is not None else None
    if node is None or grain is None or not one.partitions:
        return {}
    try:
        bounds = [bounds_us(key.partition("/")[0], grain, node.timezone) for key in one.partitions]
    except UsageError:  # its keys were of another grain then
        return {}
    first, last = min(start for start, _ in bounds), max(end for _, end in bounds)
    return {"nominalTime": facet("NominalTimeRunFacet", "1-0-1", nominalStartTime=moment(first), nominalEndTime=moment(last))}


def _error(one: LineageAttempt, checks: Sequence[Checked]) -> dict[str, Any]:
    number = f"{one.epoch}.{one.n}"
    broken = [check.name for check in checks if check.failed]
    said = [one.state]
    if broken:
        said.append(f"checks failed: {', '.join(broken[:10])}{' …' if len(broken) > 10 else ''}")
    if one.error is not None:
        said.append(str(one.error.get("code") or one.error.get("kind") or "error"))
        if one.error.get("file"):
            said.append(f"{one.error['file']}:{one.error.get('line') or 1}")
    said.append(f"headrace logs {number} says more")
    return facet("ErrorMessageRunFacet", "1-0-1", message="; ".join(said), programmingLanguage="SQL")


def _output(described: OpenLineageNodes, one: LineageAttempt, made: AttemptSummary) -> dict[str, Any]:
    facets: dict[str, Any] = dict(described.output(one.node)) if described.version == one.version and one.kind != "export" else {}
    found: dict[str, Any] = {"name": _made(one), "facets": facets}
    if made.snapshot is not None:
        facets["version"] = facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=str(made.snapshot))
        statistics = facet("OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=made.rows, size=made.bytes)
        found["outputFacets"] = {"outputStatistics": statistics}
    return found


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
