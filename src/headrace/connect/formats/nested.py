"""Objects and arrays inside records: what structure they have, as which type that is pinned, and whether a later one still fits.

A structure is what DuckDB's `json_group_structure` says, read as JSON: a dict for an object, a list of one for an array, else the
name of a kind (`NULL` where there were only nulls, `JSON` where there were several).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headrace.lake.types import Type

LEVELS_MAX = 16
"""What DuckDB needs to make lists of text doubles with each level: 20 take it a second, 30 a quarter of an hour."""
KINDS = {"NULL": "VARCHAR", "UBIGINT": "BIGINT", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "VARCHAR": "VARCHAR"}
FITTING = {
    "BIGINT": {"UBIGINT", "BIGINT"}, "DOUBLE": {"UBIGINT", "BIGINT", "DOUBLE"}, "BOOLEAN": {"BOOLEAN"},
    "VARCHAR": {"VARCHAR", "UBIGINT", "BIGINT", "DOUBLE"},
}  # fmt: skip
"""Pinned type of a value inside → the kinds that it holds without loss."""


def type_of(structure: Any, levels: int = LEVELS_MAX) -> Type | None:
    """The type to pin; None where values don't agree, or have more levels than that, and only JSON holds them all."""
    if isinstance(structure, dict | list) and not levels:
        return None
    if isinstance(structure, dict):
        fields = [(name, type_of(inner, levels - 1)) for name, inner in structure.items()]
        if not all(name for name, _ in fields) or len({name.lower() for name, _ in fields}) < len(fields):
            return None
        known = tuple((name, inner) for name, inner in fields if inner is not None)
        return Type("STRUCT", known) if len(known) == len(fields) else None
    if isinstance(structure, list):
        element = Type("JSON") if structure[0] == "NULL" else type_of(structure[0], levels - 1)
        return None if element is None else Type("LIST", (("element", element),))
    name = KINDS.get(structure)
    return None if name is None else Type(name)


def together(item: Type, other: Type) -> Type | None:
    """The type that holds the values of both: all fields of both, whatever the one knows where the other only saw nothing; None
    where only JSON holds them."""
    if item == other or other.name == "JSON":
        return item
    if item.name == "JSON":
        return other
    if item.name == other.name == "LIST":
        element = together(item.fields[0][1], other.fields[0][1])
        return None if element is None else Type("LIST", (("element", element),))
    if item.name == other.name == "STRUCT":
        theirs = dict(other.fields)
        fields = [(name, together(inner, theirs.pop(name)) if name in theirs else inner) for name, inner in item.fields]
        known = tuple((name, inner) for name, inner in [*fields, *theirs.items()] if inner is not None)
        return Type("STRUCT", known) if len(known) == len(fields) + len(theirs) else None
    scalars = {item.name, other.name}
    if scalars == {"BIGINT", "DOUBLE"}:
        return Type("DOUBLE")
    return Type("VARCHAR") if not item.fields and not other.fields and "BOOLEAN" not in scalars else None


def wanted(pinned: Type) -> Any:
    """What `from_json` is told to make of a value, so that it has the type."""
    if pinned.name == "STRUCT":
        return {name: wanted(inner) for name, inner in pinned.fields}
    if pinned.name == "LIST":
        return [wanted(pinned.fields[0][1])]
    return pinned.text


def misfit(structure: Any, pinned: Type, where: str) -> str | None:
    """What of a structure the pinned type doesn't hold, in a clause; None if it holds all."""
    if structure == "NULL" or pinned.name == "JSON":
        return None
    if isinstance(structure, dict) and pinned.name == "STRUCT":
        inside = dict(pinned.fields)
        for name, inner in structure.items():
            if name not in inside:
                return f"{where}.{name} is new"
            if result := misfit(inner, inside[name], f"{where}.{name}"):
                return result
        return None
    if isinstance(structure, list) and pinned.name == "LIST":
        return misfit(structure[0], pinned.fields[0][1], f"{where}[]")
    if isinstance(structure, str) and structure in FITTING.get(pinned.name, ()):
        return None
    return f"{where} is {_word(structure)}, {pinned.text} is pinned"


def leaves(structure: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values inside objects, with their paths; an array is a value."""
    for name, inner in structure.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def pointer(path: tuple[str, ...]) -> str:
    """The path as a JSON pointer, whatever its keys hold."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _word(structure: Any) -> str:
    if isinstance(structure, dict):
        return "an object"
    return "an array" if isinstance(structure, list) else "of several kinds" if structure == "JSON" else json.dumps(structure).strip('"')
