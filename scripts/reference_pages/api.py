"""The API's endpoints, from the same description that clients are generated from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.web.openapi import description
from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written

JSON = "application/json"
LEAD = (
    "What `headrace serve` answers under `/api/v1`, with the token as a bearer (`Authorization:"
    " Bearer hdr_…`), or to its own pages by their cookie. Errors are `application/problem+json`;"
    " lists in pages give `next`, which the parameter `cursor` takes; answers have an `ETag`. The"
    " fields of the [documents](responses.md) are those of `--json`. `ui/openapi.json` describes"
    " all of it for programs."
)
DATA = (
    "`/data/ASSET.json`, `.csv`, `.parquet` and `.arrow` are published rows: `?partition=`,"
    " `columns=`, `at=`, `version=`, `limit=`, `only_sound=`, as `headrace read` takes them."
    " `X-Headrace-Snapshot`, `X-Headrace-State`, `X-Headrace-States`, `X-Headrace-Incidents` and"
    " `X-Headrace-Data-Through` say what they are."
    " Columns that a contract classifies, and those that are made of them, are left out;"
    " `X-Headrace-Masked` names them."
)
ACTS = (
    "An act is answered with its document, or after two seconds with 202 and a `Location` to ask."
    " Of what is planned before, the GET has a header `X-Headrace-Agree`; sent back as `agreed`, it"
    " makes sure that nothing else is done than what was looked at (409)."
)


def page() -> str:
    """The page."""
    result = [
        (path, method, item)
        for path, methods in description()["paths"].items()
        for method, item in methods.items()
    ]
    looked = [_row(path, item) for path, method, item in result if method == "get"]
    done = [_row(path, item) for path, method, item in result if method == "post"]
    head = ("path", "parameters", "document", "what it is")
    return written(
        "The HTTP API",
        LEAD,
        ["## What can be looked at", "", *table(head, looked)],
        ["## What can be done", "", ACTS, "", *table(head, done)],
        ["## Data", "", DATA],
    )


def _row(path: str, item: dict[str, Any]) -> tuple[str, ...]:
    return code(path), ", ".join(map(code, _asked(item))), code(_given(item)), item["summary"]


def _asked(item: dict[str, Any]) -> Iterator[str]:
    """Of the query or the body; those that can't be left away with a star."""
    for parameter in item["parameters"]:
        if parameter["in"] != "path":
            yield parameter["name"] + "*" * parameter["required"]
    body = item.get(
        "requestBody", {"content": {JSON: {"schema": {"properties": {}, "required": []}}}}
    )["content"][JSON]["schema"]
    for name in body["properties"]:
        yield name + "*" * (name in body["required"])


def _given(item: dict[str, Any]) -> str:
    (content,) = item["responses"]["200"]["content"].values()
    schema = content["schema"]
    several = schema.get("type") == "array"
    name = str((schema["items"] if several else schema)["$ref"]).rpartition("/")[2]
    return f"[{name}]" if several else name
