"""A dump of lineage in OpenLineage (spec 2-0-2), of what is declared: a job and a dataset a node.

`[openlineage]` in the settings sends what runs; this says what is applied at one moment, one event
a line. https://openlineage.io/docs/spec/object-model
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from headrace_docs.exchange.names import words
from headrace_docs.responses.description import (
    DescribedColumn,
    DescribedConsumer,
    DescribedNode,
    Description,
)

_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
_FACET = "https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"
_TYPES = {
    "identity": ("DIRECT", "IDENTITY"),
    "cast": ("DIRECT", "TRANSFORMATION"),
    "expression": ("DIRECT", "TRANSFORMATION"),
    "opaque": ("DIRECT", "TRANSFORMATION"),
    "aggregate": ("DIRECT", "AGGREGATION"),
    "window_key": ("INDIRECT", "WINDOW"),
    "window": ("INDIRECT", "WINDOW"),
    "group_key": ("INDIRECT", "GROUP_BY"),
    "join_key": ("INDIRECT", "JOIN"),
    "filter": ("INDIRECT", "FILTER"),
    "mention": ("INDIRECT", "SORT"),
}
"""Transformation → type and subtype, as in the events of what runs."""
Json = dict[str, Any]


@cache
def _producer() -> str:
    # the package has no version yet while it is installed and its commands are read
    return f"urn:headrace:{quote(version('headrace-docs'))}"


def openlineage_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield one file: a dataset event of each source, a job event of each asset and consumer."""
    space = words(described.namespace)
    events = [_node_event(described, space, node) for node in described.nodes]
    events += [_consumer_event(described, space, each) for each in described.consumers]
    yield "openlineage.jsonl", "".join(json.dumps(event) + "\n" for event in events)


def _facet(name: str, of: str, **content: Any) -> Json:
    return {"_producer": _producer(), "_schemaURL": _FACET.format(version=of, name=name), **content}


def _event(described: Description, kind: str, **content: Any) -> Json:
    return {
        "eventTime": described.at.isoformat(timespec="seconds"),
        "producer": _producer(),
        "schemaURL": f"{_EVENT}{kind}",
        **content,
    }


def _node_event(described: Description, space: str, node: DescribedNode) -> Json:
    dataset = {"namespace": space, "name": node.name, "facets": _dataset_facets(space, node)}
    if node.kind == "source":
        return _event(described, "DatasetEvent", dataset=dataset)
    return _event(
        described,
        "JobEvent",
        job={
            "namespace": space,
            "name": f"produce/{node.name}",
            "facets": _job_facets(node.owner, node.description, "PRODUCE"),
        },
        inputs=[
            {"namespace": space, "name": edge.node} for edge in node.reads if edge.mode != "depends"
        ],
        outputs=[dataset],
    )


def _consumer_event(described: Description, space: str, consumer: DescribedConsumer) -> Json:
    standing = consumer.standing
    return _event(
        described,
        "JobEvent",
        job={
            "namespace": space,
            "name": f"consumer/{consumer.name}",
            "facets": _job_facets(standing.owner, consumer.description, "CONSUMER"),
        },
        inputs=[{"namespace": space, "name": read.asset} for read in standing.reads],
        outputs=[],
    )


def _job_facets(owner: str, description: str, kind: str) -> Json:
    facets = {
        "jobType": _facet(
            "JobTypeJobFacet",
            "2-0-4",
            processingType="BATCH",
            integration="HEADRACE",
            jobType=kind,
        ),
        "ownership": _facet(
            "OwnershipJobFacet", "1-0-1", owners=[{"name": words(owner), "type": "OWNER"}]
        ),
    }
    if description:
        facets["documentation"] = _facet(
            "DocumentationJobFacet", "1-1-0", description=words(description)
        )
    return facets


def _dataset_facets(space: str, node: DescribedNode) -> Json:
    facets = {
        "ownership": _facet(
            "OwnershipDatasetFacet", "1-0-1", owners=[{"name": words(node.owner), "type": "OWNER"}]
        )
    }
    if node.description:
        facets["documentation"] = _facet(
            "DocumentationDatasetFacet", "1-1-0", description=words(node.description)
        )
    if node.columns:
        facets["schema"] = _facet(
            "SchemaDatasetFacet",
            "1-2-0",
            fields=[
                {"name": words(each.name), "ordinal_position": at}
                | ({"type": each.type} if each.type else {})
                for at, each in enumerate(node.columns, 1)
            ],
        )
    lineage = {
        words(each.name): {"inputFields": _inputs(space, each)}
        for each in node.columns
        if each.comes_from
    }
    if lineage:
        facets["columnLineage"] = _facet("ColumnLineageDatasetFacet", "1-2-0", fields=lineage)
    return facets


def _inputs(space: str, column: DescribedColumn) -> list[Json]:
    rows = []
    for step in column.comes_from:
        kind, subtype = _TYPES[step.transformation]
        rows.append(
            {
                "namespace": space,
                "name": step.node,
                "field": words(step.column),
                "transformations": [{"type": kind, "subtype": subtype}],
            }
        )
    return rows
