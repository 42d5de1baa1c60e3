"""Requests of OpenMetadata's API, in the order in which they are sent, one a line.

`PUT` the `body` of each line to its `path`. Lineage is in the format `openlineage`, which
OpenMetadata reads. https://docs.open-metadata.org
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headrace_docs.exchange.contracts import logical_type
from headrace_docs.exchange.names import one_line, short_name, words
from headrace_docs.responses.description import DescribedColumn, DescribedNode, Description

NAME_CHARACTERS_MAX = 256
_TYPES = {
    "array": "ARRAY",
    "object": "JSON",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "date": "DATE",
    "boolean": "BOOLEAN",
    "string": "STRING",
}
Json = dict[str, Any]


def openmetadata_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield one file: the service, its database and schema, then each source and asset."""
    project, env = short_name(described.project), short_name(described.env)
    connection = {"config": {"type": "CustomDatabase", "sourcePythonClass": "headrace"}}
    requests = [
        _put(
            "services/databaseServices",
            {"name": "headrace", "serviceType": "CustomDatabase", "connection": connection},
        ),
        _put("databases", {"name": project, "service": "headrace"}),
        _put("databaseSchemas", {"name": env, "database": _path("headrace", project)}),
    ]
    schema = _path("headrace", project, env)
    requests += [_put("tables", _table(node, schema)) for node in described.nodes]
    yield "openmetadata.jsonl", "".join(json.dumps(request) + "\n" for request in requests)


def _put(path: str, body: Json) -> Json:
    return {"path": f"/api/v1/{path}", "body": body}


def _path(*names: str) -> str:
    return ".".join(f'"{name}"' if "." in name else name for name in names)


def _name(name: str) -> str:
    """Return a name that OpenMetadata has: no line breaks, no `::`, and not over 256 characters."""
    text = one_line(name)
    if text == name and "::" not in text and '"' not in text and len(text) <= NAME_CHARACTERS_MAX:
        return text
    return short_name(name)


def _table(node: DescribedNode, schema: str) -> Json:
    return {
        "name": _name(node.name),
        "databaseSchema": schema,
        "tableType": "View" if node.materialize == "view" else "Regular",
        "description": words(node.description),
        "columns": [_column(column) for column in node.columns],
    }


def _column(column: DescribedColumn) -> Json:
    kind = _TYPES[logical_type(column.type)]
    return {
        "name": _name(column.name),
        "displayName": one_line(column.name),
        "dataType": kind,
        "dataTypeDisplay": one_line(column.type or "unknown"),
        **({"arrayDataType": "STRING"} if kind == "ARRAY" else {}),
        **({"description": words(column.classification)} if column.classification else {}),
    }
