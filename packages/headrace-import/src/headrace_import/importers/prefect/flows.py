"""Flows and tasks of Prefect, and which tasks a flow calls, from syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.library_names import Library, files_naming, unfollowed
from headrace_import.importers.origin_files import working_on
from headrace_import.importers.python_definitions import (
    Decorator,
    Definitions,
    first_line,
    functions_of,
    module_statements,
)

DECORATORS = {
    "prefect.flow": "flow",
    "prefect.flows.flow": "flow",
    "prefect.task": "task",
    "prefect.tasks.task": "task",
}
PREFECT = Library(
    "prefect",
    DECORATORS,
    {"prefect.Flow": "flow", "prefect.flows.Flow": "flow", "prefect.Task": "task"},
)
CALLING_METHODS = frozenset({"submit", "map", "delay", "with_options", "apply_async"})
HELPERS_DEPTH_MAX = 10
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False, slots=True)
class Definition:
    """A function with `@flow` or `@task`."""

    file: Definitions
    node: Function
    decorator: Decorator

    @property
    def is_flow(self) -> bool:
        """Whether it is a flow."""
        return self.decorator.kind == "flow"

    @property
    def is_of_module(self) -> bool:
        """Whether the module has it as a variable, once it is imported."""
        return any(item is self.node for item in module_statements(self.file.module.tree))

    @property
    def name(self) -> str:
        """Its name in Prefect, which writes a flow's with hyphens unless one is given."""
        given = self.file.text(self.decorator.argument("name"))
        default = self.node.name.replace("_", "-") if self.is_flow else self.node.name
        return given or default

    @property
    def line(self) -> int:
        """The line of its first decorator."""
        return first_line(self.node)

    @property
    def description(self) -> str:
        """The first line of its description or docstring."""
        text = self.file.text(self.decorator.argument("description"))
        text = text or ast.get_docstring(self.node) or ""
        return next((line.strip() for line in text.splitlines() if line.strip()), "")

    @property
    def required(self) -> list[str]:
        """Parameters without a default."""
        spec = self.node.args
        positional = [*spec.posonlyargs, *spec.args]
        without = positional[: len(positional) - len(spec.defaults)]
        keyword = [
            item
            for item, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
            if default is None
        ]
        return [item.arg for item in [*without, *keyword]]


@dataclass(slots=True)
class PrefectFiles:
    """What the files of a project define."""

    definitions: list[Definition] = field(default_factory=list)
    files: dict[str, Definitions] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """File → why it can't be read."""
    by_place: dict[tuple[str, str], Definition] = field(default_factory=dict)
    """(file, function) → its definition."""


def read_files(origin: Origin) -> PrefectFiles:
    """Read all Python files that name Prefect."""
    files, problems = files_naming(origin, PREFECT)
    result = PrefectFiles(files=files, problems=problems)
    for path, file in files.items():
        with working_on(path):
            _read_file(path, file, result)
    return result


def _read_file(path: str, file: Definitions, result: PrefectFiles) -> None:
    for node in functions_of(file.module.tree):
        decorator = file.decorator(node, DECORATORS)
        if decorator is not None:
            item = Definition(file, node, decorator)
            result.definitions.append(item)
            result.by_place.setdefault((path, node.name), item)
    reason = unfollowed(file, PREFECT)
    if reason:
        result.problems[path] = reason


@dataclass(slots=True)
class FlowCalls:
    """What a flow calls, in the order of its code."""

    called: list[Definition] = field(default_factory=list)
    follows: set[tuple[int, int]] = field(default_factory=set)
    """(id of a definition, id of one that comes after it)."""


class CallReader:
    """Follows the calls of one flow through its own function and plain functions it calls."""

    def __init__(self, origin: Origin, project: PrefectFiles) -> None:
        self._origin, self._project = origin, project

    def read(self, flow: Definition) -> FlowCalls:
        """Return the tasks and flows that a flow calls."""
        calls = FlowCalls()
        with working_on(flow.file.path):
            self._follow(flow.file, flow.node.body, {}, calls, 0)
        return calls

    def _follow(
        self,
        file: Definitions,
        body: Iterable[ast.stmt],
        values: dict[str, set[int]],
        calls: FlowCalls,
        depth: int,
    ) -> None:
        for statement in body:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            for expression in _expressions(statement):
                definitions = self._calls_in(file, expression, values, calls, depth)
                for name in _targets(statement):
                    values.setdefault(name, set()).update(definitions)
            for inner in _bodies(statement):
                self._follow(file, inner, values, calls, depth)

    def _calls_in(
        self,
        file: Definitions,
        node: ast.AST,
        values: dict[str, set[int]],
        calls: FlowCalls,
        depth: int,
    ) -> set[int]:
        """Note the calls in an expression; return the definitions whose results it depends on."""
        if isinstance(node, ast.Name):
            return set(values.get(node.id, ()))
        definition = self._definition(file, node.func) if isinstance(node, ast.Call) else None
        used: set[int] = set()
        for child in ast.iter_child_nodes(node):
            used |= self._calls_in(file, child, values, calls, depth)
        if definition is not None:
            if definition not in calls.called:
                calls.called.append(definition)
            calls.follows |= {(before, id(definition)) for before in used}
            return {id(definition)}
        if isinstance(node, ast.Call):
            self._helper(file, node, values, calls, depth)
        return used

    def _definition(self, file: Definitions, called: ast.expr) -> Definition | None:
        """Return the flow or task that is called, through `.submit`, `.map` and the like too."""
        if isinstance(called, ast.Call):
            return self._definition(file, called.func)
        if isinstance(called, ast.Attribute) and called.attr in CALLING_METHODS:
            return self._definition(file, called.value)
        place = self._place(file, called)
        return self._project.by_place.get(place) if place else None

    def _place(self, file: Definitions, called: ast.expr) -> tuple[str, str] | None:
        """Return the file and the function that a name means."""
        full = file.name_of(called)
        if not full:
            return None
        if "." not in full.lstrip("."):
            return file.path, full
        level = len(full) - len(full.lstrip("."))
        module, _, name = full.lstrip(".").rpartition(".")
        path = self._origin.resolve(module, file.path, level)
        return (path, name) if path else None

    def _helper(
        self,
        file: Definitions,
        node: ast.Call,
        values: dict[str, set[int]],
        calls: FlowCalls,
        depth: int,
    ) -> None:
        """Follow a plain function of the same file."""
        if depth >= HELPERS_DEPTH_MAX or not isinstance(node.func, ast.Name):
            return
        for function in functions_of(file.module.tree):
            if function.name == node.func.id and not function.decorator_list:
                self._follow(file, function.body, dict(values), calls, depth + 1)
                return


def _targets(statement: ast.stmt) -> Iterator[str]:
    """Return the names that a statement gives values to."""
    targets: list[ast.expr] = []
    match statement:
        case ast.Assign(targets=several):
            targets = several
        case ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.AsyncFor():
            targets = [statement.target]
        case ast.With(items=items) | ast.AsyncWith(items=items):
            targets = [item.optional_vars for item in items if item.optional_vars]
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=method))):
            # `results.append(task(x))`: the list depends on the task, too.
            targets = [target] if method in ("append", "extend", "add") else []
    nodes = [node for target in targets for node in ast.walk(target)]
    yield from (node.id for node in nodes if isinstance(node, ast.Name))


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """Return a statement's own expressions, without those of statements inside it."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.withitem):
            yield child.context_expr


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        body = getattr(statement, name, None)
        if isinstance(body, list):
            yield body
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body
