"""What an importer returns: the new project's files, and what became of each task of the origin."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

UNRESTRICTED = (
    "# The commands need the settings and files of the tool that they call.",
    'sandbox = "off"',
)
"""Lines of [run] in a project whose commands call another tool."""

CONDITION = "the rows are the same unless"
"""How a condition begins under which an item is carried, in its `why` or `todo`."""


class Verdict(enum.StrEnum):
    """What became of one task of the origin."""

    CARRIED = "carried"
    """It is an asset, source, check or consumer that does the same work."""
    COMMAND = "command"
    """It runs unchanged in the origin's own environment, as a command that Headrace starts."""
    PERSON = "person"
    """A person must decide or write something; `todo` says what."""


class DependencyKind(enum.StrEnum):
    """How the origin expressed that one task comes after another."""

    EDGE = "edge"
    SENSOR = "sensor"
    XCOM = "xcom"
    DATASET = "dataset"
    TABLE = "table"
    REF = "ref"
    TRIGGER = "trigger"
    EXPRESSION = "expression"


@dataclass(frozen=True, slots=True)
class OriginTable:
    """The table that a task of the origin fills: `name` as it is written there, with its schema.

    `asset` computes the same table here. `connection` is the one of the new project that reads it;
    empty if Headrace can't read tables of that database.
    """

    asset: str
    connection: str
    name: str


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """One task of the origin; each stands in exactly one item.

    `id` is `dag_id.task_id` (groups dotted), dbt's unique_id, or `pipeline/activity` (nested by
    `/`); parts of a name that are known only at run time are `*`. A file that can't be read is an
    item of its own, with its path as `id`. `file` is relative to the origin's root, `line` counts
    from 1. `created` lists the new project's files that the item became. `original` is the
    task's own text, at most `ORIGINAL_CHARACTERS_MAX` characters.
    """

    id: str
    file: str
    line: int
    verdict: Verdict
    created: tuple[str, ...]
    why: str
    todo: str
    original: str
    fingerprint: str = ""
    """A hash of everything that decides about the item, where `original` is shortened or isn't
    all of it; `import --check` compares it."""
    group: str = ""
    """What it is started with at the origin, as a whole: the DAG of a task of Airflow."""
    table: OriginTable | None = None
    """The table whose rows an asset computes here, for comparisons with the origin's."""

    @property
    def on_condition(self) -> bool:
        """Whether it is carried on a condition, which a person compares with the origin's data."""
        return self.verdict is Verdict.CARRIED and CONDITION in f"{self.why} {self.todo}"


ORIGINAL_CHARACTERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Dependency:
    """`target` comes after `origin`; both are ids of items."""

    origin: str
    target: str
    how: DependencyKind


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that could be untangled once the faithful import works; `items` are ids.

    `changes` maps files of the new project to their texts after it (None: the file is removed).
    Without changes, the suggestion is only evidence.
    """

    kind: str
    items: tuple[str, ...]
    evidence: str
    changes: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretFound:
    """A secret in plain text, by its name and place; its value is never copied."""

    file: str
    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that `validate` reported for a file of the new project."""

    file: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportedProject:
    """The result of one import. `files` maps paths in the new project to their texts."""

    tool: str
    items: tuple[ImportedItem, ...]
    dependencies: tuple[Dependency, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    secrets: tuple[SecretFound, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    read_files: tuple[str, ...] = ()
    """The origin's files that were read, relative to its root; empty: the files of the items."""
