"""The API's OpenAPI 3.1 description, generated from the endpoints and the types of responses.

`python -m headrace.web.openapi` prints it. `ui/openapi.json` is its output, and clients are
generated from it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from headrace import __version__
from headrace.project.caches import ChangesResponse
from headrace.responses import ReadResponse
from headrace.responses.figures import ROWS
from headrace.web.acts import ActResponse
from headrace.web.data import PreviewAsked
from headrace.web.endpoints import ENDPOINTS, PREFIX, Endpoint
from headrace.web.http import ProblemResponse
from headrace.web.sign_in import OwnSessionResponse

Json: TypeAlias = dict[str, Any]

_REF = "#/components/schemas/{name}"
_IN_PATH = re.compile(r"\{(\w+)(?::path)?\}")
_JSON = "application/json"
SECURITY: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "the token that `headrace serve` prints",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "headrace",
        "description": "what `/?token=…` makes of it; with the port",
    },
}


def description(table: Iterable[Endpoint] = ENDPOINTS) -> Json:
    """Return the whole description."""
    table = tuple(table)
    response_types = [
        *(endpoint.response for endpoint in table),
        ProblemResponse,
        ActResponse,
        ChangesResponse,
        ReadResponse,
        OwnSessionResponse,
        *ROWS,
    ]
    results, components = msgspec.json.schema_components(
        [*response_types, *(endpoint.request for endpoint in table)], ref_template=_REF
    )
    schemas = dict(zip(map(repr, response_types), results[: len(response_types)], strict=True))
    request_schemas = dict(zip(table, results[len(response_types) :], strict=True))
    paths: dict[str, Json] = {}
    for endpoint in table:
        fields = components[_name(request_schemas[endpoint])]
        paths.setdefault(_plain(endpoint.path), {})[endpoint.method.lower()] = _operation(
            endpoint, fields, schemas[repr(endpoint.response)], schemas
        )
    paths |= {f"{PREFIX}{path}": {"get": operation} for path, operation in _special_paths()}
    parameters = {_name(schema) for schema in request_schemas.values()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "The responses of Headrace's commands over HTTP. Times are ISO 8601 with an offset;"
                " every field is present."
            ),
        },
        "security": [{name: []} for name in SECURITY],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                name: _all_required(schema)
                for name, schema in sorted(components.items())
                if name not in parameters
            },
            "securitySchemes": SECURITY,
        },
    }


def _operation(
    endpoint: Endpoint, request_schema: Json, schema: Json, schemas: dict[str, Json]
) -> Json:
    in_path = _IN_PATH.findall(endpoint.path)
    problem = {"application/problem+json": {"schema": schemas[repr(ProblemResponse)]}}
    results: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": list(_parameters(request_schema, in_path, query=endpoint.method == "GET")),
        "responses": {
            "200": {"description": "the document", "content": {_JSON: {"schema": schema}}},
            "default": {"description": "what was refused, why, and what to do", "content": problem},
        },
    }
    if endpoint.method == "GET":
        return results
    fields = {
        name: field for name, field in request_schema["properties"].items() if name not in in_path
    }
    required = [name for name in request_schema.get("required", ()) if name not in in_path]
    body = {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }
    results["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    if endpoint.rows:
        return results
    under_way = {
        "description": "it is under way: `Location` has its state",
        "content": {_JSON: {"schema": schemas[repr(ActResponse)]}},
    }
    results["responses"]["202"] = under_way
    return results


def _special_operation(
    name: str, summary: str, response: type, parameters: list[Json], kind: str = _JSON
) -> Json:
    """Return the description of the paths that aren't endpoints of `services`."""
    problem = {
        "application/problem+json": {"schema": {"$ref": _REF.format(name=ProblemResponse.__name__)}}
    }
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "the document",
                "content": {kind: {"schema": {"$ref": _REF.format(name=response.__name__)}}},
            },
            "default": {"description": "what was refused, why, and what to do", "content": problem},
        },
    }


def _special_paths() -> Iterator[tuple[str, Json]]:
    text = {"type": "string"}
    yield (
        "/acts/{act}",
        _special_operation(
            "act",
            "The state of an act: running, done with its response, or failed with its problem.",
            ActResponse,
            [{"name": "act", "in": "path", "required": True, "schema": text}],
        ),
    )
    _, results = msgspec.json.schema_components([PreviewAsked])
    yield (
        "/assets/{name}/preview",
        _special_operation(
            "preview",
            "`headrace read --json`: some published rows, without classified columns (`masked`"
            " names them).",
            ReadResponse,
            list(_parameters(results[PreviewAsked.__name__], ["name"], query=True)),
        ),
    )
    yield (
        "/session",
        _special_operation(
            "own_session",
            "Who sends this request.",
            OwnSessionResponse,
            [],
        ),
    )
    yield (
        "/events",
        _special_operation(
            "events",
            "Server-sent events: `changes` with this document in `data`, and `alive` every ten"
            " seconds.",
            ChangesResponse,
            [{"name": "Last-Event-ID", "in": "header", "required": False, "schema": text}],
            "text/event-stream",
        ),
    )


def _parameters(request_schema: Json, in_path: list[str], *, query: bool) -> Iterator[Json]:
    """Return the parameters of the path in its order, then those of the query."""
    fields: Json = request_schema["properties"]
    for name in in_path:
        yield {"name": name, "in": "path", "required": True, "schema": fields[name]}
    for name, schema in fields.items() if query else ():
        if name not in in_path:
            yield {
                "name": name,
                "in": "query",
                "required": name in request_schema.get("required", ()),
                "schema": _without_null(schema),
            }


def _without_null(schema: Json) -> Json:
    """Return a parameter's schema without null, which an address can't express."""
    several = [item for item in schema.get("anyOf", ()) if item != {"type": "null"}]
    return several[0] if len(several) == 1 else schema


def _all_required(schema: Json) -> Json:
    """Mark all fields as required: responses leave none out, even if it has a default."""
    if schema.get("type") != "object" or "properties" not in schema:
        return schema
    fields = {
        name: {key: value for key, value in item.items() if key != "default"}
        for name, item in schema["properties"].items()
    }
    return {**schema, "properties": fields, "required": list(fields), "additionalProperties": False}


def _name(schema: Json) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _plain(path: str) -> str:
    return _IN_PATH.sub(r"{\1}", path)


def text() -> str:
    """Return the description as the text of `ui/openapi.json`."""
    return json.dumps(description(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
