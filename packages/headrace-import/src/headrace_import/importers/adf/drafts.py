"""Files of the new project: drafts of sources and assets, their names, and their text."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from headrace.model.fields import SQL_KEYWORDS, is_system
from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.reading import one_line
from headrace_import.importers.imported import Verdict

NAME_CHARACTERS_MAX = 63
OWNER = "data-factory"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def clean(name: str, otherwise: str = "unnamed") -> str:
    """Return a name of letters, digits and `_` in snake case, at most 63 characters."""
    words = _CAMEL.sub("_", name)
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").lower()
    if not cleaned:
        cleaned = otherwise
    if cleaned[0].isdigit():
        cleaned = f"_{cleaned}"
    return cleaned[:NAME_CHARACTERS_MAX].rstrip("_")


class Names:
    """Names of nodes: each is given once; what collides after cleaning gets a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wanted: str, otherwise: str = "") -> str:
        """Return a free name for a node: `wanted`, `otherwise`, or one with a number."""
        base = clean(wanted)
        if base in SQL_KEYWORDS or is_system(base):
            base = f"{base}_table"
        candidates = [base, *([clean(otherwise)] if otherwise else [])]
        number = 2
        while (candidate := candidates.pop(0)) in self._taken or candidate in SQL_KEYWORDS:
            if not candidates:
                suffix = f"_{number}"
                candidates.append(base[: NAME_CHARACTERS_MAX - len(suffix)] + suffix)
                number += 1
        self._taken.add(candidate)
        return candidate


@dataclass(frozen=True, slots=True)
class TableKey:
    """A table of a store: the linked service's name, schema and table, in lower case."""

    store: str
    schema: str
    table: str


@dataclass(slots=True)
class Draft:
    """A node of the new project. `kind` is source, sql, or command.

    `sql` has `{table:N}` for the tables in `reads`. `target` is the table that the node stands for.
    """

    kind: str
    name: str
    folder: str
    fields: dict[str, Any] = field(default_factory=dict)
    sql: str = ""
    reads: list[TableKey] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    target: TableKey | None = None
    comments: list[str] = field(default_factory=list)
    connection: str = ""
    scheduled: bool = True

    @property
    def path(self) -> str:
        """The file in the new project."""
        if self.kind == "source":
            return f"sources/{self.name}.yaml"
        return f"assets/{self.folder}/{self.name}.{'sql' if self.kind == 'sql' else 'yaml'}"

    def text(self) -> str:
        """Return the file's text."""
        comments = [
            line for comment in self.comments for line in textwrap.wrap(one_line(comment), 96)
        ]
        if self.kind == "sql":
            front = yaml_text({"owner": OWNER, **self.fields}).replace("*/", "* /")
            noted = "".join(f"-- {line}\n" for line in comments)
            return f"/* headrace\n{front}*/\n{noted}{self.sql.strip()}\n"
        first = "source" if self.kind == "source" else "asset"
        noted = "".join(f"# {line}\n" for line in comments)
        return noted + yaml_text({first: self.name, "owner": OWNER, **self.fields})


@dataclass(slots=True)
class Outcome:
    """What becomes of an activity."""

    activity: Activity
    verdict: Verdict
    why: str
    todo: str = ""
    drafts: list[Draft] = field(default_factory=list)
    created: tuple[str, ...] = ()

    def becomes(self, verdict: Verdict, why: str, todo: str) -> None:
        """Replace the verdict; what was drafted is dropped."""
        self.verdict, self.why, self.todo = verdict, why, todo
        self.drafts.clear()


class _Dumper(yaml.SafeDumper):
    """Quotes texts with `"`, and writes short lists and mappings in one line."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain = yaml.SafeDumper.represent_str(dumper, value)
    if "\n" in value.strip():
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    return plain


_Dumper.add_representer(str, _represent_text)


def yaml_text(fields: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, a field a line, with short lists and mappings in one line."""
    return "".join(_field(name, value) for name, value in fields.items())


def _field(name: str, value: Any) -> str:
    flow = None if isinstance(value, list | dict) else False
    return yaml.dump(
        {name: value}, Dumper=_Dumper, sort_keys=False, default_flow_style=flow, width=96,
        allow_unicode=True,
    )  # fmt: skip


def toml_value(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False)
