"""Assets, ops, jobs, schedules and sensors that Dagster's files define, from syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.importers.airflow.origin import Origin
from headrace.importers.python_definitions import (
    Decorator,
    Definitions,
    argument,
    files_naming,
    first_line,
    functions_of,
)

KINDS = {
    "asset": "asset",
    "multi_asset": "multi_asset",
    "graph_asset": "asset",
    "graph_multi_asset": "multi_asset",
    "observable_source_asset": "external",
    "multi_observable_source_asset": "external",
    "asset_check": "check",
    "multi_asset_check": "check",
    "op": "op",
    "graph": "graph",
    "job": "job",
    "schedule": "schedule",
    "sensor": "sensor",
    "asset_sensor": "sensor",
    "multi_asset_sensor": "sensor",
    "run_status_sensor": "sensor",
    "run_failure_sensor": "sensor",
    "freshness_policy_sensor": "sensor",
}
DECORATORS = {f"dagster.{name}": kind for name, kind in KINDS.items()} | {
    "dagster_dbt.dbt_assets": "dbt",
}
CALLS = {
    "dagster.define_asset_job": "asset_job",
    "dagster.ScheduleDefinition": "schedule",
    "dagster.build_schedule_from_partitioned_job": "schedule",
    "dagster.SensorDefinition": "sensor",
    "dagster.AutomationConditionSensorDefinition": "sensor",
    "dagster.SourceAsset": "external",
    "dagster.AssetSpec": "external",
    "dagster.JobDefinition": "job",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False, slots=True)
class Defined:
    """One definition: a decorated function, or a call that makes a definition."""

    kind: str
    file: Definitions
    node: Any
    """The function or the call (a node of `ast` with a place)."""
    call: ast.Call | None
    """The call of the decorator, or the call itself; None for a decorator without arguments."""
    function: Function | None
    variable: str = ""
    """The module-level name that it is assigned to."""

    @property
    def line(self) -> int:
        """The line where it begins."""
        return first_line(self.node)

    def argument(self, name: str, position: int | None = None) -> ast.expr | None:
        """Return an argument's expression, or None."""
        return argument(self.call, name, position)

    @property
    def name(self) -> str:
        """Its name: the given one, else the function's."""
        given = self.file.text(self.argument("name", None if self.function else 0))
        default = self.function.name if self.function is not None else self.variable
        return given or default

    @property
    def description(self) -> str:
        """The first line of its description or docstring."""
        text = self.file.text(self.argument("description"))
        if not text and self.function is not None:
            text = ast.get_docstring(self.function) or ""
        return next((line.strip() for line in text.splitlines() if line.strip()), "")


@dataclass(slots=True)
class DagsterFiles:
    """What the files of a project define."""

    defined: list[Defined] = field(default_factory=list)
    files: dict[str, Definitions] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[Defined]:
        """Return the definitions of these kinds, in the order of the files."""
        return [item for item in self.defined if item.kind in kinds]

    def named(self, file: Definitions, node: ast.AST | None) -> Defined | None:
        """Return the definition that a name means, in this file or imported from another."""
        full = file.name_of(node) if node is not None else ""
        short = full.rpartition(".")[2]
        same = [
            item
            for item in self.defined
            if short and short in (item.variable, item.function.name if item.function else "")
        ]
        here = [item for item in same if item.file is file]
        return next(iter(here or same), None)


def read_files(origin: Origin) -> DagsterFiles:
    """Read all Python files that name Dagster."""
    files, problems = files_naming(origin, "dagster")
    result = DagsterFiles(files=files, problems=problems)
    for file in files.values():
        items = [*_decorated(file), *_called(file)]
        result.defined += sorted(items, key=lambda item: item.line)
    return result


def _decorated(file: Definitions) -> Iterator[Defined]:
    for node in functions_of(file.module.tree):
        decorator: Decorator | None = file.decorator(node, DECORATORS)
        if decorator is not None:
            yield Defined(decorator.kind, file, node, decorator.call, node)


def _called(file: Definitions) -> Iterator[Defined]:
    """Find definitions that the module makes by calls, assigned to a name or in a list."""
    statements = [
        item for item in file.module.tree.body if not isinstance(item, Function | ast.ClassDef)
    ]
    for statement in statements:
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        for call in calls:
            kind = CALLS.get(file.name_of(call.func))
            if kind is not None:
                yield Defined(kind, file, call, call, None, _variable(statement, call))


def _variable(statement: ast.stmt, call: ast.Call) -> str:
    """Return the name that a statement assigns the call to; empty if it does something else."""
    if isinstance(statement, ast.Assign) and statement.value is call:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def asset_key(item: Defined, name: str = "") -> str:
    """Return the key of an asset, its parts joined by `/`; empty if it isn't in the file."""
    file = item.file
    given = item.argument("key", 0 if item.kind == "external" else None)
    if given is not None:
        return key_of(file, given)
    prefix = file.known(item.argument("key_prefix"), [])
    parts = [prefix] if isinstance(prefix, str) else list(prefix or [])
    return "/".join([*map(str, parts), name or item.name])


def key_of(file: Definitions, node: ast.expr) -> str:
    """Return a key from a text, a list of texts or `AssetKey(…)`; empty if it isn't known."""
    if isinstance(node, ast.Call) and file.name_of(node.func).rpartition(".")[2] == "AssetKey":
        inner = argument(node, "path", 0)
        return key_of(file, inner) if inner is not None else ""
    value = file.known(node)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "/".join(value)
    return ""
