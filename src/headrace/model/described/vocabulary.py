"""What a field's description consists of, and the schemas that many fields share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

Schema = dict[str, Any]


class FieldDescription(NamedTuple):
    """One field: its JSON Schema, what it means, and its default in words where it has one."""

    name: str
    schema: Schema
    meaning: str
    default: str = ""
    required: bool = False


class Section(NamedTuple):
    """One kind of mapping in a project's files. `known` are the names that its reader takes."""

    name: str
    title: str
    files: tuple[str, ...]
    known: Collection[str]
    fields: tuple[FieldDescription, ...]
    listed: bool = False
    """Whether a file may hold a list of these."""
    named: bool = False
    """Whether a file is a mapping from names to these."""

    def field(self, name: str) -> FieldDescription:
        """The description of a field; one that nobody has described takes anything."""
        return next((field for field in self.fields if field.name == name), FieldDescription(name, {}, ""))


ANYTHING: Schema = {}
TEXT: Schema = {"type": "string", "pattern": r"\S"}
FLAG: Schema = {"type": "boolean"}
MAPPING: Schema = {"type": "object"}
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}]}
DURATION: Schema = {**TEXT, "examples": ["7d", "30h", "90m", "1d12h"]}
MOMENT: Schema = {**TEXT, "examples": ["05:00", "+2d 06:00", "+3bd 09:00", "+20m"]}
SIZE: Schema = {**TEXT, "examples": ["512MiB", "2GB"]}
ZONE: Schema = {**TEXT, "examples": ["Europe/Berlin", "America/New_York", "UTC"]}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
PARAMETERS: Schema = {"type": "object", "additionalProperties": {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]}}
FREE: Schema = {"type": ["object", "string", "array", "boolean", "integer", "null"]}
"""A mapping with a reader of its own, or its short form."""
ROWS: Schema = {"anyOf": [TEXT, {"type": "array", "items": {"type": "object"}}]}


def one_of(values: Iterable[object]) -> Schema:
    """One of a few words."""
    return {"enum": [str(value) for value in values]}


def whole(minimum: int, maximum: int) -> Schema:
    """A whole number between bounds."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def closed(properties: dict[str, Schema], *required: str) -> Schema:
    """A mapping with these fields and no others."""
    results: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**results, "required": list(required)} if required else results


def texts_by_name(schema: Schema) -> Schema:
    """A mapping whose names are free."""
    return {"type": "object", "additionalProperties": schema}
