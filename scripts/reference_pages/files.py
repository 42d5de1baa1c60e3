"""The fields of each kind of file, as `headrace.model.file_descriptions` has them."""

from __future__ import annotations

from headrace.model.file_descriptions import SECTIONS, with_kinds
from headrace.model.plugins import IN_PACKAGES, own_kinds
from headrace.model.schemas import (
    DURATION,
    FREE,
    ROWS,
    SIZE,
    TIME_OFFSET,
    ZONE,
    Field,
    Schema,
    Section,
)
from scripts.reference_pages.markdown import code, table
from scripts.reference_pages.markdown import page as written

NAMED = (
    (DURATION, "duration (`7d`, `30h`)"),
    (TIME_OFFSET, "time after the interval (`05:00`, `+2d 06:00`, `+3bd 09:00`, `+20m`)"),
    (SIZE, "size (`2GB`)"),
    (ZONE, "time zone"),
    (ROWS, "rows, or a file"),
    (FREE, "mapping, or a short form"),
)
WORDS_MAX = 12


def shipped(group: str) -> list[str]:
    """Names of Headrace's own kinds of a group, and of those in packages of its repository."""
    return [*own_kinds(group), *IN_PACKAGES.get(group, {})]


def page() -> str:
    """The page."""
    lead = (
        "What a project's files may say. Fields that aren't here are refused, with a line and the"
        " likely name. `headrace schema` gives the same as JSON Schemas, and `headrace init` has"
        " written them where editors find them. Contracts are ODCS v3 documents."
    )
    return written(
        "Files and their fields",
        lead,
        *(_section(with_kinds(section, shipped)) for section in SECTIONS),
    )


def _section(section: Section) -> list[str]:
    head = [f"## {section.title}", ""]
    if section.files:
        many = (
            "a mapping of names to these"
            if section.named
            else "one, or a list of them"
            if section.listed
            else "one"
        )
        head += [f"In {', '.join(map(code, section.files))}: {many}.", ""]
    described = [section.field(name) for name in sorted(section.known)]
    described.sort(key=lambda field: not field.required)
    rows = [
        (code(field.name), takes(field.schema), _default(field), field.meaning)
        for field in described
    ]
    return [*head, *table(("field", "takes", "default", "meaning"), rows)]


def _default(field: Field) -> str:
    """`needed`, a value as it would be written, or words."""
    if field.required:
        return "needed"
    return (
        code(field.default) if " " not in field.default or "=" in field.default else field.default
    )


def takes(schema: Schema) -> str:
    """A schema in a few words."""
    for known, words in NAMED:
        if schema == known:
            return words
    if "enum" in schema:
        values = [
            str(value).lower() if isinstance(value, bool) else str(value)
            for value in schema["enum"]
        ]
        return " ".join(map(code, values[:WORDS_MAX])) + (" …" if len(values) > WORDS_MAX else "")
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(filter(None, map(takes, schema["anyOf"]))))
    return _plain(schema)


def _plain(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        items = takes(schema.get("items", {}))
        return f"list of {items}" if items and len(items) < 40 else "list"
    if kind == "object" and "properties" in schema:
        return code("{" + ", ".join(schema["properties"]) + "}")
    if isinstance(kind, list):
        return ", ".join(_NAMES[item] for item in kind if item != "null")
    bounds = f" from {schema['minimum']} to {schema['maximum']:,}" if "minimum" in schema else ""
    return _NAMES.get(kind or "", "") + bounds


_NAMES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "mapping",
    "array": "list",
}
