"""Declared fields: their readers, JSON Schemas and meanings; the schemas that many of them share.

The readers decide what a file may say. Enumerations and bounds are taken from the readers; a test
compares what both accept and refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from headrace.model.check_kinds import CheckDeclaration
from headrace.model.checks import COMMON_ARGUMENTS
from headrace.model.fields import Fields
from headrace.model.nodes import Severity

Schema = dict[str, Any]


class Field(NamedTuple):
    """One field: its JSON Schema, what it means, its default in words where it has one."""

    name: str
    schema: Schema
    meaning: str
    default: str = ""
    required: bool = False
    read: Callable[[Fields], Any] | None = None
    """Returns the value of a written field, None if it can't be used. Fields that are read together
    with others have no reader of their own."""


class Section(NamedTuple):
    """One kind of mapping in a project's files. `known` are the names that its reader takes."""

    name: str
    title: str
    files: tuple[str, ...]
    known: Collection[str]
    fields: tuple[Field, ...]
    listed: bool = False
    """Whether a file may hold a list of these."""
    named: bool = False
    """Whether a file is a mapping from names to these."""

    def field(self, name: str) -> Field:
        """The description of a field; one that nobody has described takes anything."""
        return next((field for field in self.fields if field.name == name), Field(name, {}, ""))


ANYTHING: Schema = {}
TEXT: Schema = {"type": "string", "pattern": r"\S"}
FLAG: Schema = {"type": "boolean"}
MAPPING: Schema = {"type": "object"}
TEXTS: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT}]}
DURATION: Schema = {**TEXT, "examples": ["7d", "30h", "90m", "1d12h"]}
TIME_OFFSET: Schema = {**TEXT, "examples": ["05:00", "+2d 06:00", "+3bd 09:00", "+20m"]}
SIZE: Schema = {**TEXT, "examples": ["512MiB", "2GB"]}
ZONE: Schema = {**TEXT, "examples": ["Europe/Berlin", "America/New_York", "UTC"]}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
PARAMETERS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]},
}
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


def listed(schema: Schema) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": schema}


def texts_by_name(schema: Schema) -> Schema:
    """A mapping whose names are free."""
    return {"type": "object", "additionalProperties": schema}


# Fields whose reader and schema have the same bounds.


def text_field(name: str, meaning: str, default: str = "") -> Field:
    """A text that isn't blank."""
    return Field(name, TEXT, meaning, default, read=lambda fields: fields.text(name))


def choice_field(name: str, words: Sequence[str], meaning: str, default: str) -> Field:
    """One of a few words."""
    return Field(
        name,
        one_of(words),
        meaning,
        default,
        read=lambda fields: fields.choice(name, words, default),
    )


def whole_field(name: str, minimum: int, maximum: int, meaning: str, default: str = "") -> Field:
    """A whole number between bounds."""
    return Field(
        name,
        whole(minimum, maximum),
        meaning,
        default,
        read=lambda fields: fields.whole(name, minimum=minimum, maximum=maximum),
    )


def duration_field(name: str, meaning: str, default: str = "") -> Field:
    """A duration as written: `1d12h`."""
    return Field(
        name,
        DURATION,
        meaning,
        default,
        read=lambda fields: fields.duration(name, default) or None,
    )


# Checks.


def checks_schema(kinds: Iterable[CheckDeclaration]) -> Schema:
    """Checks of these kinds, in a list."""
    return {"type": "array", "items": {"anyOf": [_check(kind) for kind in kinds]}}


def _check(kind: CheckDeclaration) -> Schema:
    """A check of one kind: its arguments, and what may stand beside them or in them."""
    beside: dict[str, Schema] = {"name": TEXT, "severity": one_of(Severity), "where": TEXT}
    assert set(beside) == set(COMMON_ARGUMENTS)
    inner: list[Schema] = [closed({**kind.schema(), **beside})]
    if kind.short is not None:
        inner += [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]
    return closed({kind.name: {"anyOf": inner}, **beside}, kind.name)
