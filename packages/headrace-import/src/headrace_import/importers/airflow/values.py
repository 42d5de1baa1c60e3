"""What the reader knows about a value of a DAG file without running the file.

Strings, numbers, lists, dictionaries, dates and durations are Python's own. The classes here stand
for everything else: values known only at run time, names of other packages, and what a DAG file
builds (DAGs, groups, tasks).
"""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Value = Any
"""A Python constant or container, or one of the classes below."""

WILDCARD = "*"
TEXT_CHARACTERS_MAX = 1_000_000
PIECES_MAX = 10_000
CONTAINERS_DEEP_MAX = 20


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value known only at run time; `reason` is a phrase such as `the variable x`."""

    reason: str = "a value known only at run time"


@dataclass(frozen=True, slots=True)
class Text:
    """A string with parts that are known only at run time."""

    pieces: tuple[str | Unknown, ...]

    @property
    def pattern(self) -> str:
        """The string with `*` for each unknown part."""
        joined = "".join(piece if isinstance(piece, str) else WILDCARD for piece in self.pieces)
        while "**" in joined:
            joined = joined.replace("**", WILDCARD)
        return joined


@dataclass(frozen=True, slots=True)
class External:
    """A name of a package outside the project, such as `airflow.models.DAG`."""

    name: str

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ExternalCall:
    """A call of an `External` that the reader doesn't compute, such as `Dataset("x")`."""

    name: str
    args: tuple[Value, ...]
    kwargs: dict[str, Value]
    line: int

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    def argument(self, name: str, position: int) -> Value:
        """Return an argument by name or position; None if it isn't given."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else None


@dataclass(eq=False, slots=True)
class Scope:
    """Names of a module, a function call or a class body."""

    names: dict[str, Value]
    parent: Scope | None
    file: str
    star: str = ""
    """The package of a star import from outside the project, if the module has one."""

    def lookup(self, name: str) -> tuple[bool, Value]:
        """Return whether the name is defined here or outwards, and its value."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return True, scope.names[name]
            scope = scope.parent
        return False, None


@dataclass(eq=False, slots=True)
class Function:
    """A function of the project."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    bound: Value = None

    @property
    def name(self) -> str:
        return self.node.name if not isinstance(self.node, ast.Lambda) else "lambda"


@dataclass(eq=False, slots=True)
class Class:
    """A class of the project; `operator` is the operator that it derives from, else empty."""

    name: str
    names: dict[str, Value]
    bases: tuple[Value, ...]
    operator: str


@dataclass(eq=False, slots=True)
class Instance:
    """An object of a class of the project."""

    cls: Class
    names: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a value that the reader knows, before it is called."""

    owner: Value
    name: str


@dataclass(eq=False, slots=True)
class Decorated:
    """A function below `@dag`, `@task` or `@task_group`, with the decorator's arguments."""

    kind: str
    variant: str
    function: Function
    kwargs: dict[str, Value]
    partial: dict[str, Value] = field(default_factory=dict)

    def with_(self, kwargs: dict[str, Value]) -> Decorated:
        """Return this with other arguments of the decorator (`override`)."""
        return Decorated(
            self.kind, self.variant, self.function, {**self.kwargs, **kwargs}, dict(self.partial)
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """A callable with some of its arguments (`functools.partial`)."""

    function: Value
    args: tuple[Value, ...]
    kwargs: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Partial:
    """`Operator.partial(...)`, before `expand`."""

    name: str
    base: str
    kwargs: dict[str, Value]
    node: ast.Call


@dataclass(eq=False, slots=True)
class Dag:
    """A DAG that a file builds."""

    dag_id: str
    kwargs: dict[str, Value]
    file: str
    line: int
    version: int = 2
    unknown: bool = False
    """Whether it stands for the DAGs of a file which only a run knows."""
    parent: Dag | None = None
    used_labels: dict[str, int] = field(default_factory=dict)

    @property
    def default_args(self) -> dict[str, Value]:
        given = self.kwargs.get("default_args")
        return given if isinstance(given, dict) else {}


@dataclass(eq=False, slots=True)
class Group:
    """A TaskGroup; `path` is its dotted id, or that of its parent if it prefixes no ids."""

    group_id: str
    path: str
    parent: Group | None
    default_args: dict[str, Value] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    mapped: bool = False
    upstream: list[Task] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Task:
    """A task that a file builds. `edges` are tasks that come before it."""

    task_id: str
    operator: str
    base: str
    """The known operator that it is or derives from; `operator` where none is known."""
    kwargs: dict[str, Value]
    dag: Dag | None
    group: Group | None
    file: str
    line: int
    end_line: int
    condition: str = ""
    mapped: bool = False
    repeated: bool = False
    function: Function | None = None
    variant: str = ""
    role: str = ""
    """`setup` or `teardown`."""
    unfollowed: bool = False
    """Whether it is a call of something outside the project, which may build tasks."""
    called_with: list[Value] = field(default_factory=list)
    """Arguments of the call of a function below `@task`."""
    rival: str = ""
    """Another file that builds a DAG with the same id."""
    only_in_rival: bool = False
    """Whether its file isn't the one whose DAG the import keeps."""
    edges: dict[int, Task] = field(default_factory=dict)
    downstream: dict[int, Task] = field(default_factory=dict)
    values_from: dict[int, Task] = field(default_factory=dict)
    """Tasks whose XCom value it gets as an argument."""

    def follows(self, other: Task) -> None:
        """Record that this task comes after another one."""
        if other is not self:
            self.edges[id(other)] = other
            other.downstream[id(self)] = self

    def argument(self, name: str, default: Value = None) -> Value:
        """An argument of the task, else of `default_args`."""
        if name in self.kwargs:
            return self.kwargs[name]
        group = self.group
        while group is not None:
            if name in group.default_args:
                return group.default_args[name]
            group = group.parent
        if self.dag is not None and name in self.dag.default_args:
            return self.dag.default_args[name]
        return default


@dataclass(frozen=True, slots=True)
class XComArg:
    """The value that a task returns, at run time."""

    task: Task


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What calling a `@task_group` gives: the group, and what its function returned."""

    group: Group
    value: Value


def items_of(value: Value) -> list[Value]:
    """The values within a container or the arguments of a call; none for other values."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, ExternalCall):
        return [*value.args, *value.kwargs.values()]
    return []


def tasks_in(value: Value, depth: int = 0) -> Iterator[Task]:
    """Yield the tasks within a value, in order."""
    if isinstance(value, Task):
        yield value
    elif isinstance(value, XComArg):
        yield value.task
    elif isinstance(value, Group | GroupResult):
        yield from (value if isinstance(value, Group) else value.group).tasks
    elif depth < CONTAINERS_DEEP_MAX:
        for item in items_of(value):
            yield from tasks_in(item, depth + 1)


def is_known(value: Value, depth: int = 0) -> bool:
    """Whether the reader knows all of a value, as a Python constant or container of those."""
    if isinstance(value, list | tuple | set | frozenset):
        return depth < 30 and all(is_known(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return depth < 30 and all(
            is_known(item, depth + 1) for pair in value.items() for item in pair
        )
    return value is None or isinstance(
        value, str | int | float | bool | bytes | dt.timedelta | dt.date
    )


def text_of(value: Value) -> str | None:
    """A string as it is known, with `*` for what isn't; None if it isn't a string."""
    if isinstance(value, str):
        return value
    if isinstance(value, Text):
        return value.pattern
    if isinstance(value, External) and value.name.endswith(f"TriggerRule.{value.last}"):
        return value.last.lower()
    if isinstance(value, Unknown | XComArg | External):
        return WILDCARD
    if isinstance(value, ExternalCall):
        return WILDCARD
    return str(value) if isinstance(value, int | float) else None


def pieces_of(value: Value) -> tuple[str | Unknown, ...]:
    """A value as parts of a string."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Text):
        return value.pieces
    if is_known(value):
        return (str(value),)
    return (value if isinstance(value, Unknown) else Unknown(),)


def joined(pieces: Iterable[str | Unknown]) -> str | Text:
    """Join parts of a string; the result is a plain string if all are known.

    Parts beyond `TEXT_CHARACTERS_MAX` aren't asked for.
    """
    merged: list[str | Unknown] = []
    characters = 0
    for piece in pieces:
        characters += len(piece) if isinstance(piece, str) else 1
        if characters > TEXT_CHARACTERS_MAX or len(merged) > PIECES_MAX:
            return Text((Unknown("a very long string"),))
        _append(merged, piece)
    if not merged:
        return ""
    if len(merged) == 1 and isinstance(merged[0], str):
        return merged[0]
    return Text(tuple(merged))


def _append(merged: list[str | Unknown], piece: str | Unknown) -> None:
    """Add a part of a string, to the one before it if both are known."""
    if isinstance(piece, str) and merged and isinstance(merged[-1], str):
        merged[-1] += piece
    else:
        merged.append(piece)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file of the project that code opened for reading."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class ProjectModule:
    """A module of the project, as `import` gives it."""

    path: str
    scope: Scope


def xcoms_in(value: Value, depth: int = 0) -> Iterator[Task]:
    """Yield the tasks whose values stand in an argument."""
    if isinstance(value, XComArg):
        yield value.task
    elif isinstance(value, GroupResult):
        yield from xcoms_in(value.value, depth + 1)
    elif depth < CONTAINERS_DEEP_MAX:
        for item in items_of(value):
            yield from xcoms_in(item, depth + 1)


def dag_params(task: Task) -> dict[str, Value]:
    """Return the params of a task: those of its DAG, of `default_args` and its own."""
    results: dict[str, Value] = {}
    for given in (
        task.dag.kwargs.get("params") if task.dag else None,
        task.argument("params"),
        task.kwargs.get("params"),
    ):
        if isinstance(given, dict):
            results.update({str(key): _param(value) for key, value in given.items()})
    return results


def _param(value: Value) -> Value:
    """The default of a `Param`."""
    if isinstance(value, ExternalCall) and value.last == "Param":
        return value.argument("default", 0)
    return value
