"""A compiled project and what can be said about two of them, as values that are kept and sent."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias

from headrace.model import InputSpec, Problem, Project, Value
from headrace.plan.code import Code

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""(name, DuckDB type) of each column in order, without `_partition`."""
Learnt: TypeAlias = Mapping[str, Columns]
"""Columns of sources and opaque assets that the store has pinned."""


class NodeKind(enum.StrEnum):
    """What produces a node's data."""

    SOURCE = "source"
    ASSET = "asset"


class CompiledNode(Value, kw_only=True):
    """A source or an asset as it runs: its final inputs and all that is known about it before it runs."""

    name: str
    kind: NodeKind
    inputs: tuple[InputSpec, ...] = ()
    """What the body reads: found in the SQL, with how `inputs:` says that it is read; or as declared."""
    depends: tuple[str, ...] = ()
    columns: Columns | None = None
    """Known completely, types included, before anything runs; else None."""
    column_names: tuple[str, ...] | None = None
    """Known more often than the types."""
    partition_column: str | None = None
    """The output column that routes a row to its partition; None where rows are taken at their word."""
    sql: str | None = None
    """The statement to run: the user's text with `$self` as `"__self__"`."""
    placeholders: tuple[str, ...] = ()
    """The `$name`s in `sql`, lower-case: bind these and no others."""
    uses_self: bool = False
    fingerprint: str = ""
    separable: bool = False
    not_separable_because: str = ""
    check_references: tuple[str, ...] = ()
    """Nodes that the checks read."""


class Compiled(Value, kw_only=True):
    """A project that can run. `order` is topological, sources first; consumers aren't in it."""

    project: Project
    nodes: dict[str, CompiledNode]
    order: tuple[str, ...]
    code: Code = Code()
    """The files of code that its assets use."""


class Compilation(Value, kw_only=True):
    """What the files say now. `compiled` is None if a problem is an error."""

    project: Project | None
    compiled: Compiled | None
    problems: list[Problem]
    partial: Compiled | None = None
    """Where there are errors: what could be understood nevertheless, to look for more of them. Nothing may run with it."""


class ChangeKind(enum.StrEnum):
    """What of a node is different."""

    ADDED = "added"
    REMOVED = "removed"
    BODY = "body"
    SCHEMA = "schema"
    CHECKS = "checks"
    PROMISE = "promise"
    METADATA = "metadata"


class CodeChange(Value, kw_only=True):
    """A changed file of an asset's code: `change` is `added`, `changed` or `removed`, `via` how the asset uses it. Or a changed package
    of its `code_packages`: `path` is its name, `via` has its versions."""

    path: str
    change: str
    via: str


class NodeChange(Value, kw_only=True):
    """One difference between what is applied and what the files say."""

    node: str
    change: ChangeKind
    columns: tuple[str, ...] = ()
    stale: bool = False
    """Whether what is published was computed by another body than the one that would run now."""
    kept: bool = False
    """Whether somebody said that what is published stays as it is, though other code would run now."""
    files: tuple[CodeChange, ...] = ()
    """Of a changed body: the other files of its code that changed."""
