"""`schema`: JSON Schemas of a project's files, for editors; and the editor's settings that use them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.model import UnknownName
from headrace.model.described import SECTIONS, Section
from headrace.model.described.vocabulary import Schema
from headrace.model.reporting import did_you_mean
from headrace.operations.inspections import SchemaRow

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = ".vscode/headrace"
"""Below the project, where `schema --write` and `init` put them: editors need them without a network."""
SETTINGS_FILE = ".vscode/settings.json"


def schemas(name: str | None = None) -> list[SchemaRow]:
    """The schema of one kind of file, or of all. UsageError for a kind that there isn't."""
    names = [section.name for section in SECTIONS]
    if name is not None and name not in names:
        raise UnknownName(f"there is no schema {name[:60]!r}", hint=did_you_mean(name, names) or f"one of {', '.join(names)}")
    return [
        SchemaRow(name=section.name, files=list(section.files), description=section.title, document=document(section))
        for section in SECTIONS
        if name in (None, section.name)
    ]


def document(section: Section) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of file."""
    entry = _entry(section)
    head = {"$schema": DRAFT, "title": f"Headrace: {section.title}"}
    if section.named:
        return {**head, "type": "object", "additionalProperties": {"anyOf": [entry, {"type": "null"}]}}
    if section.listed:
        return {
            **head,
            "anyOf": [{"$ref": "#/$defs/entry"}, {"type": "array", "items": {"$ref": "#/$defs/entry"}}],
            "$defs": {"entry": entry},
        }
    if section.name == "calendars":
        return {**head, "anyOf": [entry, section.field("dates").schema]}
    return {**head, **entry}


def _entry(section: Section) -> Schema:
    properties = {}
    for name in sorted(section.known):
        field = section.field(name)
        text = f"{field.meaning} (default: {field.default})" if field.default else field.meaning
        properties[name] = {**field.schema, "description": text} if text else field.schema
    required = [field.name for field in section.fields if field.required]
    entry: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**entry, "required": required} if required else entry


def files() -> dict[str, str]:
    """Path → text of all that an editor needs, relative to the project."""
    texts = {f"{FOLDER}/{row.name}.json": _text(row.document) for row in schemas() if row.files}
    return {SETTINGS_FILE: _text(_settings()), **texts}


def _settings() -> Mapping[str, Any]:
    """For the YAML extension (redhat.vscode-yaml) and for Even Better TOML (tamasfe.even-better-toml)."""
    yaml = {f"./{FOLDER}/{row.name}.json": row.files for row in schemas() if row.files and row.files[0].endswith(".yaml")}
    return {
        "yaml.schemas": yaml,
        "evenBetterToml.schema.associations": {r".*/headrace\.toml$": f"./{FOLDER}/project.json"},
    }


def write(root: Path) -> list[str]:
    """Write them into a project, replacing schemas that are there; settings of an editor that are there stay as they are.

    Gives the paths that were written, relative to the project."""
    written = []
    for path, text in files().items():
        target = root / path
        if path == SETTINGS_FILE and target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
