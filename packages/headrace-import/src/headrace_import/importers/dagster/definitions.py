"""Assets, ops, jobs, schedules and sensors that Dagster's files define, from syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.library_names import Library, files_naming, unfollowed
from headrace_import.importers.origin_files import working_on
from headrace_import.importers.python_definitions import (
    Decorator,
    Definitions,
    argument,
    decorators_of,
    first_line,
    functions_of,
    module_statements,
    root_of,
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
    "dagster_dbt.asset_decorator.dbt_assets": "dbt",
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
DAGSTER = Library("dagster", DECORATORS, CALLS, frozenset({"dagster.Definitions"}))
HARMLESS = re.compile(
    r"resource|.*io_manager|.*hook|logger|executor|repository|configured|config_mapping"
    r"|.*type.*|.*materializer|.*loader|run_config.*|deprecated|experimental|public|preview|beta"
    r"|definitions|superseded|field_validator"
)
"""Decorators of Dagster that define no work."""
MAKING = re.compile(
    r"(build|load|make|create)_.*(asset|job|schedule|sensor|check)|AssetsDefinition|GraphDefinition"
    r"|(from_op|from_graph|to_job)$|(Asset|Job|Graph|Schedule|Sensor|Check)Definition$"
)
"""Functions and classes of Dagster and its integrations that make definitions."""
LOADING = re.compile(
    r"load_(assets|asset_checks|definitions)_from_(modules|current_module|package_module"
    r"|package_name|module|defs_folder)$"
)
"""Functions that only collect what other lines define."""
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
        node = self.argument("name", None if self.function else 0)
        default = self.function.name if self.function is not None else self.variable
        return self.file.text(node) or default

    @property
    def is_of_module(self) -> bool:
        """Whether it is defined once, when the module is imported: not within a function."""
        if self.function is None:
            return True
        return any(item is self.function for item in module_statements(self.file.module.tree))

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
    files, problems = files_naming(origin, DAGSTER)
    result = DagsterFiles(files=files, problems=problems)
    for path, file in files.items():
        with working_on(path):
            items = [*_decorated(file), *_called(file)]
            result.defined += sorted(items, key=lambda item: item.line)
            reason = unfollowed(file, DAGSTER) or _made_otherwise(file)
        if reason:
            problems[path] = reason
    return result


def _made_otherwise(file: Definitions) -> str:
    """Return which other decorator or function of Dagster makes definitions; empty if none."""
    for line, called in decorators_of(file.module.tree):
        name = _last_name(file, called)
        if _is_other(file, called) and not HARMLESS.fullmatch(name):
            return f"line {line}: what `{name}` defines isn't known"
    for call in _calls_in(file.module.tree):
        name = _last_name(file, call.func)
        if _is_other(file, call.func) and MAKING.search(name) and not LOADING.match(name):
            return f"line {call.lineno}: what `{name}(…)` defines is known only at run time"
    return ""


def _calls_in(node: ast.AST) -> Iterator[ast.Call]:
    yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _is_other(file: Definitions, node: ast.expr) -> bool:
    """Whether a name is one of Dagster or its integrations that no kind of definition has."""
    meanings = file.meanings(root_of(node))
    return file.name_of(node) not in DAGSTER.names and any(map(DAGSTER.owns, meanings))


def _last_name(file: Definitions, node: ast.expr) -> str:
    return file.name_of(node).rpartition(".")[2]


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
        for call in _calls_in(statement):
            kind = _kind_of_call(file, call)
            if kind:
                file.followed.add(id(call.func))
                yield Defined(kind, file, call, call, None, _variable(statement, call))


def _kind_of_call(file: Definitions, call: ast.Call) -> str:
    is_job = isinstance(call.func, ast.Attribute) and call.func.attr == "to_job"
    return "job" if is_job else CALLS.get(file.name_of(call.func), "")


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
    parts = texts_of(file, item.argument("key_prefix"))
    given_name = item.argument("name")
    is_known = parts is not None and (given_name is None or file.text(given_name))
    return "/".join([*(parts or []), name or item.name]) if is_known else ""


def texts_of(file: Definitions, node: ast.expr | None) -> list[str] | None:
    """Return a text or a list of texts as a list; None if it isn't known."""
    value = file.known(node, default=0) if node is not None else None
    items = value if isinstance(value, list) else [] if value is None else [value]
    return items if all(isinstance(item, str) for item in items) else None


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
