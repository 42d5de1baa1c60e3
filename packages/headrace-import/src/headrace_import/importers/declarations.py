"""Declarations in the files of a new project, and edits of their fields.

An edit changes the lines of one field. All other lines, comments among them, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from headrace_import.importers.yaml_text import flow, in_comment

_LEAD = "/* headrace\n"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORD = re.compile(r"\w+")
_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_TEXTS = frozenset(("description", "tags", "owner", "command"))
"""Fields whose words aren't names of other nodes."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One source or asset of a new project.

    `front` is its YAML, `body` its SQL (empty for other declarations).
    """

    path: str
    name: str
    fields: Mapping[str, Any]
    front: str
    body: str

    @property
    def is_source(self) -> bool:
        """Whether it is a source, not an asset."""
        return "source" in self.fields

    @property
    def is_sql(self) -> bool:
        """Whether it is an asset with a query."""
        return self.path.endswith(".sql")

    @property
    def grain(self) -> str:
        """What its rows are partitioned by; empty for an unpartitioned node."""
        partition = self.fields.get("partition")
        if isinstance(partition, Mapping):
            partition = partition.get("by", partition)
        return "" if partition in (None, "*") else str(partition)

    @property
    def is_stored_table(self) -> bool:
        """Whether it is an asset whose rows are stored and replaced."""
        return not self.is_source and self.fields.get("materialize", "table") == "table"

    @property
    def depends(self) -> list[str]:
        """The names in its `depends:`."""
        names = self.fields.get("depends")
        return [str(name) for name in names] if isinstance(names, list) else []

    @property
    def named_in_fields(self) -> set[str]:
        """Every word of its fields that can be the name of another node."""
        return words(repr({k: v for k, v in self.fields.items() if k not in _TEXTS}))

    @property
    def named_in_query(self) -> set[str]:
        """Every word of its query that can be the name of another node."""
        return words(without_comments(self.body))

    def text(self, changes: Mapping[str, Any], body: str | None = None) -> str:
        """Return the file's text with these fields changed (None: taken out), and a new body."""
        front = self.front
        for key, value in changes.items():
            front = _with_field(front, key, value)
        if not self.is_sql:
            return front
        return f"{_LEAD}{front}*/\n{self.body if body is None else body}"


def read_declarations(files: Mapping[str, str]) -> Iterator[Declaration]:
    """Yield the sources and assets of a project's files; files that can't be read are left out."""
    for path, text in files.items():
        declaration = _declaration(path, text)
        if declaration is not None:
            yield declaration


def _declaration(path: str, text: str) -> Declaration | None:
    folder, suffix = path.partition("/")[0], PurePosixPath(path).suffix
    if folder not in ("assets", "sources") or suffix not in (".sql", ".yaml"):
        return None
    front, body = text, ""
    if suffix == ".sql":
        if not text.startswith(_LEAD):
            return None
        front, _, body = text.removeprefix(_LEAD).partition("*/\n")
    try:
        fields = yaml.load(front, Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        return None
    if not isinstance(fields, dict):
        return None
    stem = PurePosixPath(path).stem
    name = fields.get("name") or fields.get("source") or fields.get("asset") or stem
    return Declaration(path, str(name), fields, front, body)


def _with_field(front: str, key: str, value: Any) -> str:
    """Return YAML with one field at the top level set, or taken out if the value is None."""
    lines = front.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if line.startswith(f"{key}:")), None)
    written = [] if value is None else [f"{key}: {in_comment(flow(value))}\n"]
    if start is None:
        return "".join([*lines, *written])
    end = start + 1
    while end < len(lines) and lines[end].startswith((" ", "-", "]", "}", "\n")):
        end += 1
    return "".join([*lines[:start], *written, *lines[end:]])


def words(text: str) -> set[str]:
    """Return the words of a text in lower case: every name that it can mention."""
    return {word.lower() for word in _WORD.findall(text)}


def without_comments(sql: str) -> str:
    """Return SQL without its comments; a quoted text that looks like one is lost, too."""
    return _COMMENTS.sub(" ", sql)
