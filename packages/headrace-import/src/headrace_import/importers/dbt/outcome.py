"""What an import collects: items, files and dependencies of the new project."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_import.importers.dbt.compiled import CompiledProject
from headrace_import.importers.dbt.context import Rendered, Renderer
from headrace_import.importers.dbt.dialects import TableKinds
from headrace_import.importers.dbt.model_versions import known_kinds
from headrace_import.importers.dbt.nodes import Node, Nodes
from headrace_import.importers.dbt.owners import Owners
from headrace_import.importers.imported import (
    ORIGINAL_CHARACTERS_MAX,
    Dependency,
    DependencyKind,
    ImportedItem,
    Refusal,
    Suggestion,
    Verdict,
)
from headrace_import.importers.plain_secrets import PlainSecrets

_CHECK = re.compile(r"the check `(\w+)`")


@dataclass(slots=True)
class Check:
    """A check of the new project that a test of dbt became."""

    node: str
    """Id of the node that it belongs to."""
    declaration: dict[str, Any]
    reads: tuple[str, ...] = ()
    """Ids of other nodes that it reads."""


@dataclass(slots=True)
class Model:
    """A model on its way into an asset."""

    node: Node
    rendered: Rendered
    config: dict[str, Any]
    fields: dict[str, Any] = field(default_factory=dict)
    sql: str = ""
    doubts: list[str] = field(default_factory=list)
    """Why a person must look at the asset."""
    notes: list[str] = field(default_factory=list)
    """What became of this and that; for the item's `why`."""
    line: int = 0
    """Of the first doubt, in its file; 0 if that isn't known."""
    fractions: bool = False
    """Whether its rows have fractions as DOUBLE that dbt's warehouse keeps exactly."""
    inexact: list[str] = field(default_factory=list)
    """Doubts if one of its inputs has such fractions."""


@dataclass(slots=True)
class Outcome:
    """The import so far."""

    nodes: Nodes
    renderer: Renderer
    dialect: str
    owners: Owners
    compiled: CompiledProject | None = None
    """What dbt compiled, if it was asked to."""
    items: dict[str, ImportedItem] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    dependencies: list[Dependency] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    secrets: PlainSecrets = field(default_factory=PlainSecrets)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Id of a node → ids of nodes that it reads."""
    checks: dict[str, list[Check]] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    """Ids of nodes that the new project has as a table, view or source."""
    views: set[str] = field(default_factory=set)
    macros_used: dict[str, list[str]] = field(default_factory=dict)
    """Id of a macro → ids of the items in which it was expanded."""
    commands: set[str] = field(default_factory=set)
    """Ids of models that dbt runs."""

    models: dict[str, Model] = field(default_factory=dict)
    """Models that are assets, by id."""
    paths: dict[str, str] = field(default_factory=dict)
    """Id of a node → the file that has its checks."""
    refused_files: dict[str, str] = field(default_factory=dict)
    """File → why `validate` refused it."""
    refused_checks: dict[tuple[str, str], str] = field(default_factory=dict)
    """File and name of a check → why `validate` refused it."""

    def refuse(self, refused: Iterable[Refusal]) -> None:
        """Remember what `validate` refused in an earlier pass."""
        for item in refused:
            check = _CHECK.match(item.message)
            if check:
                self.refused_checks.setdefault((item.file, check[1]), item.message)
            else:
                self.refused_files.setdefault(item.file, item.message)

    def add(
        self,
        uid: str,
        file: str,
        line: int,
        verdict: Verdict,
        why: str,
        *,
        todo: str = "",
        created: tuple[str, ...] = (),
        original: str = "",
    ) -> None:
        """Add an item; an id that is there already gets a suffix with its file."""
        if uid in self.items:
            uid = f"{uid} ({file}:{line})"
        self.items[uid] = ImportedItem(
            id=uid,
            file=file,
            line=line,
            verdict=verdict,
            created=created,
            why=why,
            todo=todo,
            original=self.secrets.redacted(original)[:ORIGINAL_CHARACTERS_MAX],
            fingerprint=hashlib.sha256(original.encode("utf-8", "replace")).hexdigest(),
        )

    def kinds_of(self, refs: Mapping[str, str]) -> TableKinds:
        """Return the kinds of the columns of nodes, which are tables by these names."""
        nodes = self.nodes.by_id
        return tuple(
            (name.lower(), tuple(known_kinds(nodes[uid], self.dialect).items()))
            for uid, name in refs.items()
            if uid in nodes
        )

    def write(self, path: str, text: str) -> str:
        """Set a file of the new project, and return its path; a taken one gets a suffix."""
        lowered = (
            {name.lower() for name in self.files} if path not in self.files else {path.lower()}
        )
        if path.lower() in lowered:
            stem, dot, ending = path.rpartition(".")
            path = f"{stem}_{hashlib.sha256(text.encode()).hexdigest()[:6]}{dot}{ending}"
        self.files[path] = text
        return path

    def remove_secrets(self) -> None:
        """Remove the values of secrets from all items and files, and say where that changes one."""
        changed = {
            path
            for path, text in self.files.items()
            if not path.endswith(".csv") and self.secrets.redacted(text) != text
        }
        self.files |= {path: self.secrets.redacted(self.files[path]) for path in changed}
        self.items = {uid: self._without_secrets(item, changed) for uid, item in self.items.items()}

    def _without_secrets(self, item: ImportedItem, changed: set[str]) -> ImportedItem:
        redacted = self.secrets.redacted
        item = replace(item, id=redacted(item.id), why=redacted(item.why), todo=redacted(item.todo))
        path = next((path for path in item.created if path in changed), "")
        if not path or item.verdict is not Verdict.CARRIED:
            return item
        return replace(
            item,
            verdict=Verdict.PERSON,
            why=f"a secret in plain text isn't copied to {path}; {item.why}",
            todo=f"put the secret into the environment, and write its name for *** in {path}",
        )

    def depend(self, node: str, refs: dict[str, str] | list[str]) -> None:
        """Record what a node reads."""
        self.reads[node] = tuple(refs)
        self.dependencies += [Dependency(ref, node, DependencyKind.REF) for ref in refs]

    def ancestors(self, node: str) -> set[str]:
        """Return the ids of all nodes that a node is computed from."""
        ancestors: set[str] = set()
        left = list(self.reads.get(node, ()))
        while left:
            name = left.pop()
            if name not in ancestors:
                ancestors.add(name)
                left += self.reads.get(name, ())
        return ancestors

    def not_built_with(self, command: str, refs: Iterable[str]) -> str:
        """Return the name of a table that dbt's command of a node doesn't compute; empty if none.

        `dbt build --select +node` computes what the node is computed from. It runs the tests that
        read nothing else (`--indirect-selection buildable`).
        """
        ancestors, text = self.ancestors(command), self.nodes.by_id[command].text
        for ref in refs:
            name = self.nodes.by_id[ref].name
            if ref != command and ref not in ancestors and name not in text:
                return name
        return ""

    def stored(self, node: str) -> set[str]:
        """Return the nodes that store a node's rows: itself, or what a view reads."""
        if node not in self.views:
            return {node}
        return set().union(*(self.stored(name) for name in self.reads.get(node, ())))

    def can_check(self, node: str, reads: tuple[str, ...]) -> bool:
        """Return whether a check of `node` may read these nodes.

        A view whose check would wait for its own inputs is stored as a table if that helps.
        """
        if not self.waits_in_a_circle(node, reads):
            return True
        if node not in self.views or node not in self.models:
            return False
        self.views.discard(node)
        if self.waits_in_a_circle(node, reads):
            self.views.add(node)
            return False
        self.models[node].fields.pop("materialize", None)
        self.models[node].notes.append("stored, because a check of it reads other tables")
        return True

    def waits_in_a_circle(self, node: str, reads: tuple[str, ...]) -> bool:
        """Return whether a check of `node` that reads these nodes could never run."""
        stored_nodes = self.stored(node)
        return any(
            stored_nodes
            & {stored for name in (read, *self.ancestors(read)) for stored in self.stored(name)}
            for read in reads
            if read != node
        )
