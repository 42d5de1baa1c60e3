"""OpenLineage events (spec 2-0-2) of attempts, from stored rows and the applied version. Pure.

The emitter sends them. Events contain names, numbers and the project's own SQL, never the values of
a row. Errors are given by kind and place and not by their text, which may quote data.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from headrace import __version__
from headrace.model import Settings, SqlBody, UsageError
from headrace.model.export_problems import exported
from headrace.model.intervals import bounds_us
from headrace.plan import Compiled
from headrace.plan.schemas import ColumnLineage
from headrace.sql.values import Edge, Transformation
from headrace_observe.queries import AttemptSummary, Checked, LineageAttempt

# Names in events: the same object has the same name in every event, whichever leader sends it.

PRODUCER = f"urn:headrace:{quote(__version__)}"
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"
_RUNS = uuid.UUID("0b8f2bd6-8f0f-5a54-9d0e-6c3a6f8f7a11")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def namespace_of(settings: Settings) -> str:
    """Return the namespace of jobs and datasets: as declared, else from the project's name."""
    return settings.openlineage.get("namespace") or f"headrace://{quote(settings.name, safe='')}"


def facet(name: str, version: str, /, **content: Any) -> dict[str, Any]:
    """Return a facet of the spec."""
    return {
        "_producer": PRODUCER,
        "_schemaURL": _FACET.format(version=version, name=name),
        **content,
    }


def iso_time(at_us: int) -> str:
    """Return a time of the store as ISO 8601 in UTC."""
    return (
        (_EPOCH + timedelta(microseconds=at_us))
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def attempt_id(namespace: str, attempt: LineageAttempt, what: str = "attempt") -> str:
    """Return the run id of an attempt, or of its audit.

    Numbers restart in a new store, so the id includes the attempt's time.
    """
    return str(
        uuid.uuid5(_RUNS, f"{namespace}\n{what}\n{attempt.epoch}.{attempt.n}\n{attempt.queued_at}")
    )


def run_id(namespace: str, attempt: LineageAttempt) -> str:
    """Return the id of the run that an attempt belongs to."""
    return str(uuid.uuid5(_RUNS, f"{namespace}\nrun\n{attempt.run_id}\n{attempt.run_started_at}"))


# Properties of nodes in events that don't depend on the attempt; encoded once per applied version.

_DIRECT = {
    Transformation.IDENTITY: "IDENTITY",
    Transformation.CAST: "TRANSFORMATION",
    Transformation.EXPRESSION: "TRANSFORMATION",
    Transformation.AGGREGATE: "AGGREGATION",
    Transformation.OPAQUE: "TRANSFORMATION",
}
_INDIRECT = {
    Transformation.WINDOW_KEY: "WINDOW",
    Transformation.WINDOW: "WINDOW",
    Transformation.GROUP_KEY: "GROUP_BY",
    Transformation.JOIN_KEY: "JOIN",
    Transformation.FILTER: "FILTER",
}
ALL = "*"


class OpenLineageNodes:
    """The nodes of an applied version. `lines` returns a node's column lineage."""

    def __init__(
        self, version: int, compiled: Compiled, lines: Callable[[str], ColumnLineage]
    ) -> None:
        self.version, self.compiled, self.namespace = (
            version,
            compiled,
            namespace_of(compiled.project.settings),
        )
        self._lines = lines
        self._names = {name.lower(): name for name in compiled.nodes}
        self._outputs: dict[str, dict[str, msgspec.Raw]] = {}
        self._jobs: dict[tuple[str, str], dict[str, msgspec.Raw]] = {}

    def owner(self, name: str) -> str | None:
        """Return the owner of a node or consumer; None if it no longer exists."""
        project = self.compiled.project
        node = project.node(name)
        return node.owner if node is not None else None

    def inputs(self, name: str, kind: str) -> list[str]:
        """Return the datasets that an attempt of a kind reads."""
        if kind == "take_in":
            return [f"delivery/{name}"]
        if (consumer := self.compiled.project.consumers.get(name)) is not None:
            return list(consumer.reads)
        node = self.compiled.nodes.get(name)
        return list(dict.fromkeys(spec.node for spec in node.inputs)) if node is not None else []

    def job(self, name: str, kind: str) -> dict[str, msgspec.Raw]:
        """Return the facets of the job."""
        if (name, kind) not in self._jobs:
            self._jobs[name, kind] = _encoded(self._job(name, kind))
        return self._jobs[name, kind]

    def _job(self, name: str, kind: str) -> dict[str, Any]:
        results = {
            "jobType": facet(
                "JobTypeJobFacet",
                "2-0-4",
                processingType="BATCH",
                integration="HEADRACE",
                jobType=kind.upper(),
            )
        }
        asset = self.compiled.project.assets.get(name)
        if kind == "produce" and asset is not None and isinstance(asset.body, SqlBody):
            sql = self.compiled.nodes[name].sql
            if sql is not None:
                results["sql"] = facet("SQLJobFacet", "1-1-0", query=sql, dialect="duckdb")
        if (owner := self.owner(name)) is not None:
            results["ownership"] = facet(
                "OwnershipJobFacet", "1-0-1", owners=[{"name": owner, "type": "OWNER"}]
            )
        description = _description(self.compiled, name)
        if description:
            results["documentation"] = facet(
                "DocumentationJobFacet", "1-1-0", description=description
            )
        return results

    def output(self, name: str) -> dict[str, msgspec.Raw]:
        """Return the facets of a node's output: its columns and their lineage."""
        if name not in self._outputs:
            results = {
                key: value
                for key, value in (
                    ("schema", self._schema(name)),
                    ("columnLineage", self._lineage(name)),
                )
                if value
            }
            self._outputs[name] = _encoded(results)
        return self._outputs[name]

    def _schema(self, name: str) -> dict[str, Any] | None:
        node = self.compiled.nodes.get(name)
        if node is None or not (node.columns or node.column_names):
            return None
        columns: Iterable[tuple[str, str | None]] = node.columns or [
            (column, None) for column in node.column_names or ()
        ]
        fields = [
            {"name": column, "ordinal_position": n} | ({"type": kind} if kind else {})
            for n, (column, kind) in enumerate(columns, 1)
        ]
        return facet("SchemaDatasetFacet", "1-2-0", fields=fields)

    def _lineage(self, name: str) -> dict[str, Any] | None:
        if name not in self.compiled.project.assets:
            return None
        lines = self._lines(name)
        fields = {
            column: {"inputFields": self._edges(edges)}
            for column, edges in lines.columns.items()
            if column != ALL and edges
        }
        whole = self._edges(lines.filters)
        return (
            facet("ColumnLineageDatasetFacet", "1-2-0", fields=fields, dataset=whole)
            if fields or whole
            else None
        )

    def _edges(self, edges: Iterable[Edge]) -> list[dict[str, Any]]:
        return [self._edge(edge) for edge in dict.fromkeys(edges) if edge.input in self._names]

    def _edge(self, edge: Edge) -> dict[str, Any]:
        how = edge.transformation
        transformation = (
            {"type": "DIRECT", "subtype": _DIRECT[how]}
            if how in _DIRECT
            else {"type": "INDIRECT", "subtype": _INDIRECT[how]}
        )
        return {
            "namespace": self.namespace,
            "name": self._names[edge.input],
            "field": edge.column,
            "transformations": [transformation],
        }


def _encoded(facets: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in facets.items()}


def _description(compiled: Compiled, name: str) -> str | None:
    node = compiled.project.node(name)
    return node.description if node is not None else None


# The events of an attempt: START, then exactly one of COMPLETE, FAIL and ABORT; and those of its
# audit, whose input is the attempt's output, since the spec has assertions on inputs only.

ENDS = {
    "published": "COMPLETE",
    "staged": "COMPLETE",
    "held": "FAIL",
    "rejected": "FAIL",
    "failed": "FAIL",
    "lost": "ABORT",
    "cancelled": "ABORT",
    "skipped": "ABORT",
}
"""An attempt's state → its final event. Held and rejected rows were computed, but are hidden."""
PARTITIONS_MAX = 100
"""Most partitions named in an event's tags; another tag has their total number."""


def start(described: OpenLineageNodes, attempt: LineageAttempt) -> bytes:
    """Return the event of an attempt's start in a worker."""
    return _attempted(
        described, attempt, "START", attempt.begun_at, {}, {"name": _written_dataset(attempt)}
    )


def end(
    described: OpenLineageNodes, attempt: LineageAttempt, summary: AttemptSummary
) -> list[bytes]:
    """Return the events of an attempt's end, and those of its audit if there were checks."""
    assert attempt.finished_at is not None
    kind = ENDS[attempt.state]
    run = {"errorMessage": _error(attempt, summary.checks)} if kind != "COMPLETE" else {}
    audit = (
        [_audited(described, attempt, how, summary) for how in ("START", "COMPLETE")]
        if summary.checks
        else []
    )
    return [
        _attempted(
            described, attempt, kind, attempt.finished_at, run, _output(described, attempt, summary)
        ),
        *audit,
    ]


def _attempted(
    described: OpenLineageNodes,
    attempt: LineageAttempt,
    kind: str,
    at: int,
    run: dict[str, Any],
    output: dict[str, Any],
) -> bytes:
    same, space = described.version == attempt.version, described.namespace
    facets = {
        "tags": facet("TagsRunFacet", "1-0-0", tags=_tags(attempt, ended=kind != "START")),
        **_nominal(described, attempt),
        **run,
    }
    return _event(
        described,
        attempt,
        (kind, at),
        (attempt_id(space, attempt), facets),
        (
            f"{attempt.kind}/{attempt.node}",
            described.job(attempt.node, attempt.kind) if same else {},
        ),
        [
            {"namespace": space, "name": name}
            for name in described.inputs(attempt.node, attempt.kind)
        ]
        if same
        else [],
        [{"namespace": space, **output}],
    )


def _audited(
    described: OpenLineageNodes, attempt: LineageAttempt, kind: str, summary: AttemptSummary
) -> bytes:
    """Return an event of the audit, whose input is the attempt's output.

    The spec has assertions on inputs only.
    """
    assert attempt.finished_at is not None
    space, facets = described.namespace, {}
    if kind != "START":
        facets["dataQualityAssertions"] = facet(
            "DataQualityAssertionsDatasetFacet",
            "1-1-0",
            assertions=[_assertion(check) for check in summary.checks],
        )
        if summary.audited is not None:
            facets["dataQualityMetrics"] = facet(
                "DataQualityMetricsInputDatasetFacet",
                "1-0-3",
                rowCount=summary.audited,
                columnMetrics=summary.columns,
            )
    return _event(
        described,
        attempt,
        (kind, attempt.finished_at),
        (attempt_id(space, attempt, "audit"), {}),
        (
            f"audit/{attempt.node}",
            described.job(attempt.node, "audit") if described.version == attempt.version else {},
        ),
        [{"namespace": space, "name": _written_dataset(attempt), "inputFacets": facets}],
        [],
    )


def _event(
    described: OpenLineageNodes,
    attempt: LineageAttempt,
    event: tuple[str, int],
    run: tuple[str, dict[str, Any]],
    job: tuple[str, dict[str, Any]],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> bytes:
    """Return an event as JSON.

    `event` is its type and time (µs); `run` an id, and `job` a name, each with its facets.
    """
    space = described.namespace
    (kind, at), (event_run, run_facets), (event_job, job_facets) = event, run, job
    facets = {
        "parent": facet(
            "ParentRunFacet",
            "1-2-0",
            run={"runId": run_id(space, attempt)},
            job={"namespace": space, "name": f"run/{attempt.run_kind}"},
        ),
        "processing_engine": facet(
            "ProcessingEngineRunFacet", "1-1-1", version=__version__, name="headrace"
        ),
        **run_facets,
    }
    return msgspec.json.encode(
        {
            "eventType": kind,
            "eventTime": iso_time(at),
            "producer": PRODUCER,
            "schemaURL": EVENT,
            "run": {"runId": event_run, "facets": facets},
            "job": {"namespace": space, "name": event_job, "facets": job_facets},
            "inputs": inputs,
            "outputs": outputs,
        }
    )


def _written_dataset(attempt: LineageAttempt) -> str:
    """Return the dataset that an attempt writes."""
    return f"export/{attempt.node}" if attempt.kind == "export" else attempt.node


def _tags(attempt: LineageAttempt, *, ended: bool) -> list[dict[str, str]]:
    values = {"attempt": f"{attempt.epoch}.{attempt.n}", "partitions": str(len(attempt.partitions))}
    if ended:
        values["state"] = attempt.state
    if attempt.delivery_id is not None:
        values["delivery"] = str(attempt.delivery_id)
    pairs = [*values.items(), *(("partition", key) for key in attempt.partitions[:PARTITIONS_MAX])]
    return [{"key": key, "value": value, "source": "HEADRACE"} for key, value in pairs]


def _nominal(described: OpenLineageNodes, attempt: LineageAttempt) -> dict[str, Any]:
    """Return the facet with the time range of the attempt's partitions."""
    project = described.compiled.project
    node = project.source_or_asset(attempt.node) or exported(project, attempt.node)
    grain = node.partition.grain if node is not None else None
    if node is None or grain is None or not attempt.partitions:
        return {}
    try:
        bounds = [
            bounds_us(key.partition("/")[0], grain, node.timezone) for key in attempt.partitions
        ]
    except UsageError:  # its keys are from before a change of the grain
        return {}
    first, last = min(start for start, _ in bounds), max(end for _, end in bounds)
    return {
        "nominalTime": facet(
            "NominalTimeRunFacet",
            "1-0-1",
            nominalStartTime=iso_time(first),
            nominalEndTime=iso_time(last),
        )
    }


def _error(attempt: LineageAttempt, checks: Sequence[Checked]) -> dict[str, Any]:
    number = f"{attempt.epoch}.{attempt.n}"
    broken = [check.name for check in checks if check.failed]
    clauses = [attempt.state]
    if broken:
        clauses.append(f"checks failed: {', '.join(broken[:10])}{' …' if len(broken) > 10 else ''}")
    if attempt.error is not None:
        clauses.append(str(attempt.error.get("code") or attempt.error.get("kind") or "error"))
        if attempt.error.get("file"):
            clauses.append(f"{attempt.error['file']}:{attempt.error.get('line') or 1}")
    clauses.append(f"headrace logs {number} says more")
    return facet(
        "ErrorMessageRunFacet", "1-0-1", message="; ".join(clauses), programmingLanguage="SQL"
    )


def _output(
    described: OpenLineageNodes, attempt: LineageAttempt, summary: AttemptSummary
) -> dict[str, Any]:
    facets: dict[str, Any] = (
        dict(described.output(attempt.node))
        if described.version == attempt.version and attempt.kind != "export"
        else {}
    )
    results: dict[str, Any] = {"name": _written_dataset(attempt), "facets": facets}
    if summary.snapshot is not None:
        facets["version"] = facet(
            "DatasetVersionDatasetFacet", "1-0-1", datasetVersion=str(summary.snapshot)
        )
        statistics = facet(
            "OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=summary.rows, size=summary.bytes
        )
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
