"""The API's description: what clients are generated from."""

from __future__ import annotations

import json
from pathlib import Path

from headrace.access.proposals import COMMAND_FIELDS
from headrace.web import openapi
from headrace.web.endpoints import ENDPOINTS

COMMITTED = Path(__file__).parents[2] / "ui" / "openapi.json"


def references(part: object) -> set[str]:
    """Every `$ref` at any depth."""
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*(references(item) for item in part.values()))
    return set().union(*(references(item) for item in part)) if isinstance(part, list) else set()


def test_the_committed_description_is_what_the_table_gives() -> None:
    """Would catch: a page whose client was generated from another API than the one that
    answers it."""
    assert COMMITTED.read_text(encoding="utf-8") == openapi.text(), (
        "python -m headrace.web.openapi > ui/openapi.json"
    )


def test_all_that_is_referred_to_is_described_and_all_that_is_described_is_used() -> None:
    """Would catch: a client that can't be generated, or types that nothing gives."""
    result = openapi.description()
    described = {f"#/components/schemas/{name}" for name in result["components"]["schemas"]}
    assert references(result) == described


def test_every_path_has_its_parameters_once_and_every_operation_a_name_of_its_own() -> None:
    """Would catch: `{name}` in a path that nobody declares, or two functions that are one in a
    client."""
    result = json.loads(openapi.text())
    operations = [operation for path in result["paths"].values() for operation in path.values()]
    assert (
        len(operations)
        == len(ENDPOINTS) + 4
        == len({operation["operationId"] for operation in operations})
    )
    for path, methods in result["paths"].items():
        for operation in methods.values():
            named = [item["name"] for item in operation["parameters"] if item["in"] == "path"]
            assert named == [part[1:-1] for part in path.split("/") if part.startswith("{")]
            assert operation["summary"] and operation["responses"]["200"]


def test_every_command_may_be_null() -> None:
    """Would catch: a client that fails for a reader who may not run the command."""
    types = {
        (name, field): schema["properties"][field]
        for name, schema in openapi.description()["components"]["schemas"].items()
        for field in COMMAND_FIELDS
        if field in schema.get("properties", {})
    }
    assert types
    assert [key for key, kind in types.items() if "null" not in json.dumps(kind)] == []
