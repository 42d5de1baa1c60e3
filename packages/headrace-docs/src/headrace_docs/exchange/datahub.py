"""A file that DataHub ingests (`type: file`): aspects of each source and asset.

https://docs.datahub.com/docs/generated/ingestion/sources/metadata-file
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from headrace_docs.exchange.contracts import logical_type
from headrace_docs.exchange.names import json_text, words
from headrace_docs.responses.description import DescribedColumn, DescribedNode, Description

PLATFORM = "urn:li:dataPlatform:headrace"
_TYPES = {
    "array": "ArrayType",
    "object": "RecordType",
    "integer": "NumberType",
    "number": "NumberType",
    "timestamp": "TimeType",
    "time": "TimeType",
    "date": "DateType",
    "boolean": "BooleanType",
    "string": "StringType",
}
_SEPARATORS = re.compile(r"[%,()\u241f]")
Json = dict[str, Any]


def datahub_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield one file with all aspects."""
    aspects = [aspect for node in described.nodes for aspect in _aspects(described, node)]
    yield "datahub.json", json_text(aspects)


def _escaped(name: str) -> str:
    """Return a name without the characters that separate the parts of an URN."""
    return _SEPARATORS.sub(lambda match: f"%{ord(match[0]):02X}", words(name))


def _dataset(described: Description, name: str) -> str:
    path = _escaped(f"{described.project}.{name}")
    environment = "PROD" if described.env == "prod" else "DEV"
    return f"urn:li:dataset:({PLATFORM},{path},{environment})"


def _field(described: Description, name: str, column: str) -> str:
    return f"urn:li:schemaField:({_dataset(described, name)},{_escaped(column)})"


def _aspects(described: Description, node: DescribedNode) -> Iterator[Json]:
    urn = _dataset(described, node.name)
    at = int(described.at.astimezone(UTC).timestamp()) * 1000
    stamp = {"time": at, "actor": "urn:li:corpuser:headrace"}
    facts = {
        "kind": node.kind,
        "state": node.state,
        "domain": node.domain,
        "newest": node.newest,
        "declared in": node.place,
        "contract": node.contract and f"{node.contract.name} {node.contract.version}",
    }
    given = {key: words(value) for key, value in facts.items() if value}
    yield _aspect(
        urn,
        "datasetProperties",
        {
            "name": words(node.name),
            "description": words(node.description),
            "customProperties": given,
        },
    )
    if node.columns:
        yield _aspect(urn, "schemaMetadata", _schema(node))
    owner = {"owner": f"urn:li:corpGroup:{_escaped(node.owner)}", "type": "TECHNICAL_OWNER"}
    yield _aspect(urn, "ownership", {"owners": [owner], "lastModified": stamp})
    reads = [edge.node for edge in node.reads if edge.mode != "depends"]
    if reads:
        lineage = {
            "upstreams": [
                {
                    "auditStamp": stamp,
                    "dataset": _dataset(described, name),
                    "type": "TRANSFORMED",
                }
                for name in reads
            ],
            "fineGrainedLineages": [
                _steps(described, node, column) for column in node.columns if column.comes_from
            ],
        }
        yield _aspect(urn, "upstreamLineage", lineage)


def _aspect(urn: str, name: str, value: Json) -> Json:
    return {
        "entityType": "dataset",
        "entityUrn": urn,
        "changeType": "UPSERT",
        "aspectName": name,
        "aspect": {"json": value},
    }


def _schema(node: DescribedNode) -> Json:
    return {
        "schemaName": words(node.name),
        "platform": PLATFORM,
        "version": 0,
        "hash": "",
        "platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}},
        "fields": [
            {
                "fieldPath": words(column.name),
                "type": {"type": {f"com.linkedin.schema.{_TYPES[logical_type(column.type)]}": {}}},
                "nativeDataType": words(column.type or "unknown"),
                "nullable": True,
                "recursive": False,
                "description": words(column.classification or ""),
            }
            for column in node.columns
        ],
    }


def _steps(described: Description, node: DescribedNode, column: DescribedColumn) -> Json:
    return {
        "upstreamType": "FIELD_SET",
        "upstreams": [_field(described, step.node, step.column) for step in column.comes_from],
        "downstreamType": "FIELD",
        "downstreams": [_field(described, node.name, column.name)],
        "confidenceScore": 1.0,
    }
