"""Calls in a DAG file: what they build (DAGs, groups, tasks, dependencies), or compute."""

from __future__ import annotations

import ast
import builtins
import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import PurePosixPath

import yaml

from headrace_import.importers.airflow import library
from headrace_import.importers.airflow.expressions import Expressions, TooMuchWork, class_attribute
from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.setup_teardown import SetupBlocks
from headrace_import.importers.airflow.values import (
    Applied,
    Class,
    Dag,
    Decorated,
    External,
    ExternalCall,
    Function,
    Group,
    GroupResult,
    Instance,
    Method,
    OpenFile,
    Partial,
    ProjectModule,
    Scope,
    Task,
    Unknown,
    Value,
    XComArg,
    is_known,
    tasks_in,
    text_of,
    xcoms_in,
)

TASKS_MAX = 20_000
CALLS_DEEP_MAX = 12
NAME_CHARACTERS_MAX = 60
_OPERATOR_ENDINGS = ("Operator", "Sensor", "OperatorAsync", "SensorAsync", "ExternalTaskMarker")
DAG_NAMES = frozenset(("DAG", "DbtDag"))
_CHAINS = frozenset(("chain", "chain_linear", "cross_downstream"))
_TASK_DECORATORS = {
    "": "PythonOperator",
    "python": "PythonOperator",
    "virtualenv": "PythonVirtualenvOperator",
    "external_python": "ExternalPythonOperator",
    "branch": "BranchPythonOperator",
    "branch_virtualenv": "BranchPythonVirtualenvOperator",
    "branch_external_python": "BranchExternalPythonOperator",
    "short_circuit": "ShortCircuitOperator",
    "sensor": "PythonSensor",
    "bash": "BashOperator",
    "docker": "DockerOperator",
    "kubernetes": "KubernetesPodOperator",
    "pyspark": "PySparkOperator",
    "run_if": "ShortCircuitOperator",
    "skip_if": "ShortCircuitOperator",
}
_DECORATORS = frozenset(("dag", "task", "task_group", "setup", "teardown"))
_NOT_DECORATORS = ("setup", "teardown")
UNKNOWN_CALLEES = (External, ExternalCall, Unknown)
_DATA_PACKAGES = frozenset(
    (*sys.stdlib_module_names, *dir(builtins), "airflow", "attr", "attrs", "backoff", "boto3",
     "click", "croniter", "dateutil", "jinja2", "kubernetes", "numpy", "pandas", "pendulum",
     "pydantic", "pytest", "pytz", "requests", "sqlalchemy", "tenacity", "typing_extensions",
     "yaml")
)  # fmt: skip
"""Packages whose functions build no tasks; Airflow's operators and groups are known by name."""
DATA_METHODS = frozenset(
    ("add", "append", "copy", "debug", "endswith", "error", "exception", "exists", "extend",
     "format", "get", "info", "isoformat", "items", "join", "keys", "lower", "pop", "read",
     "replace", "setdefault", "sort", "split", "splitlines", "startswith", "strftime", "strip",
     "update", "upper", "values", "warning")
)  # fmt: skip


def is_operator(name: str) -> bool:
    """Whether a class name is that of an operator or sensor."""
    return name.endswith(_OPERATOR_ENDINGS) and name not in _OPERATOR_ENDINGS[:2]


class Builder(Expressions):
    """Evaluates calls; keeps the DAGs, tasks and links that a file builds."""

    def __init__(self, origin: Origin, file: str) -> None:
        super().__init__()
        self.origin, self.file = origin, file
        self.dags: list[Dag] = []
        self.tasks: list[Task] = []
        self.links: list[tuple[Value, Value]] = []
        self.setup_blocks = SetupBlocks(self.links)
        self.conditions: list[str] = []
        self.repeating = 0
        self._dag_stack: list[Dag] = []
        self._group_stack: list[Group] = []
        self._sites: list[ast.expr] = []
        self._calls: list[ast.expr] = []
        self._data_deep = 0
        """How many calls around the present one take data, not tasks, as arguments."""
        self._arguments_deep = 0
        """How many calls it is an argument of."""
        self.hidden_deep = 0
        """How many `with` around it are over a DAG that isn't known."""
        self.covered: set[int] = set()
        """Ids of the nodes that built a task or a DAG, or that were followed and built none."""
        self.not_followed: list[str] = []
        """What the module itself calls, may build DAGs, and isn't in the project."""
        self._running: list[Function] = []

    @abstractmethod
    def execute_function(self, function: Function, scope: Scope) -> Value:
        """Evaluate a function's body in its own scope and return its result."""

    # Calls

    def callee(self, node: ast.expr, scope: Scope) -> Value:
        self._data_deep += 1  # of `a().b()`, the outer call is the one that may build a task
        try:
            return self.evaluate(node, scope)
        finally:
            self._data_deep -= 1

    def call(self, function: Value, node: ast.Call, scope: Scope) -> Value:
        at_home = scope.file == self.file
        if at_home:
            self._sites.append(node)
        self._calls.append(node)
        known = not isinstance(function, UNKNOWN_CALLEES) or is_data(node.func, scope)
        try:
            args, kwargs = self._given(function, node, scope, known=known)
            value = self._called(function, args, kwargs, node)
            if known or not isinstance(value, ExternalCall | Unknown):
                return value
            return self._not_followed(value, args, kwargs, node, scope)
        finally:
            self._calls.pop()
            if at_home:
                self._sites.pop()

    def _given(
        self, function: Value, node: ast.Call, scope: Scope, *, known: bool
    ) -> tuple[list[Value], dict[str, Value]]:
        takes_data = self._takes_data(function, known=known)
        self._data_deep += takes_data
        self._arguments_deep += 1
        try:
            return self.arguments(node, scope)
        finally:
            self._data_deep -= takes_data
            self._arguments_deep -= 1

    @staticmethod
    def _takes_data(function: Value, *, known: bool) -> bool:
        if isinstance(function, External):
            return is_operator(function.last) or (known and function.last not in _CHAINS)
        return isinstance(function, Class)

    def _not_followed(
        self,
        value: Value,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.Call,
        scope: Scope,
    ) -> Value:
        """A call of something outside the project: in a DAG, it may build tasks."""
        name = ast.unparse(node.func)[:NAME_CHARACTERS_MAX]
        given = [*args, *kwargs.values()]
        builds = (Dag, Task, XComArg, Group, GroupResult)
        within = self._dag_stack or self.hidden_deep or "dag" in name.lower()
        is_data_class = self._arguments_deep and last_name(node.func)[:1].isupper()
        if self._data_deep or is_data_class:
            return value
        if not within and not any(isinstance(item, builds) for item in given):
            if scope.parent is None and scope.file == self.file:
                self.not_followed.append(name)
            return value
        dag = next((item for item in given if isinstance(item, Dag)), None)
        task = self.new_task(name, name, [], {**kwargs, "task_id": Unknown(), "dag": dag}, node)
        task.called_with, task.unfollowed = args, True
        return XComArg(task)

    def _called(
        self, function: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        if isinstance(function, External):
            return self._external(function, args, kwargs, node)
        if isinstance(function, Method):
            return self._method(function, args, kwargs, node)
        if isinstance(function, Function):
            return self.run(function, args, kwargs)
        if isinstance(function, Decorated):
            return self._decorated(function, args, kwargs, node)
        if isinstance(function, Class):
            return self._instance(function, args, kwargs, node)
        if isinstance(function, Applied):
            given = [*function.args, *args]
            return self._called(function.function, given, {**function.kwargs, **kwargs}, node)
        if "task_id" in kwargs:
            name = ast.unparse(node.func)[:NAME_CHARACTERS_MAX]
            return self.new_task(name, name, args, kwargs, node)
        return Unknown("the result of a call that can't be followed")

    def _external(
        self, function: External, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        last = function.last
        if last in DAG_NAMES:
            return self.new_dag(args, kwargs, node, function.name)
        if last.endswith("TaskGroup"):
            return self.new_group(args, kwargs, node, last)
        if last in _CHAINS:
            return self._chain(last, args)
        if args and (decorator_kind(function) or function.name == "functools.partial"):
            return self._applied(function, args, kwargs, node)
        if last == "partial" and is_operator(function.name.split(".")[-2]):
            operator = function.name.split(".")[-2]
            return Partial(operator, operator, kwargs, node)
        if is_operator(last) or "task_id" in kwargs:
            return self.new_task(last, last, args, kwargs, node)
        computed = library.FUNCTIONS.get(function.name) or library.FUNCTIONS.get(
            function.name.removeprefix("builtins.")
        )
        if computed is not None:
            return _compute(lambda: computed(*args, **kwargs))
        return self._reading(function, args, kwargs, node)

    def _applied(
        self, function: External, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        """What `partial(f, …)` or `task(f)` gives."""
        if function.name == "functools.partial":
            self.covered.add(id(node))
            return Applied(args[0], tuple(args[1:]), kwargs)
        if isinstance(args[0], Function):
            return decorated(function, args[0], kwargs)
        return ExternalCall(function.name, tuple(args), kwargs, node.lineno)

    def _reading(
        self, function: External, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        """Files of the project that code reads; any other call stays as it is written."""
        if function.name in ("open", "io.open", "builtins.open") and args:
            return self._opened(args[0])
        loader = _LOADERS.get(function.name)
        if loader is not None and args:
            text = args[0].text if isinstance(args[0], OpenFile) else args[0]
            return _parsed(loader, text)
        if function.name in ("print", "super", "getattr", "setattr"):
            return _attribute_call(self, function.name, args)
        return ExternalCall(function.name, tuple(args), kwargs, node.lineno)

    def _opened(self, path: Value) -> Value:
        path_and_text = (
            self.origin.data_file(str(path), self.file)
            if isinstance(path, str | PurePosixPath)
            else None
        )
        return (
            OpenFile(*path_and_text)
            if path_and_text
            else Unknown("a file that isn't in the project")
        )

    def _method(
        self, method: Method, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        owner, name = method.owner, method.name
        if isinstance(owner, Task | Group | GroupResult | XComArg):
            self.covered.add(id(node))
            return self._task_method(owner, name, args, kwargs)
        if isinstance(owner, OpenFile | PurePosixPath):
            return self._file_method(owner, name, args, kwargs)
        if isinstance(owner, Decorated):
            return self._decorated_method(owner, name, args, kwargs, node)
        if isinstance(owner, Partial):
            return self._mapped(owner, args, kwargs, node)
        if isinstance(owner, Class):
            return Partial(owner.name, owner.operator, kwargs, node)
        if library.mutates(name):
            return _changed(owner, name, args, kwargs)
        return _compute(lambda: library.call_method(owner, name, args, kwargs))

    def _file_method(
        self,
        owner: OpenFile | PurePosixPath,
        name: str,
        args: list[Value],
        kwargs: dict[str, Value],
    ) -> Value:
        if isinstance(owner, OpenFile):
            return owner.text if name == "read" else owner.text.splitlines(keepends=True)
        if name not in ("read_text", "open"):
            return _compute(lambda: library.call_method(owner, name, args, kwargs))
        opened = self._opened(owner)
        return opened.text if name == "read_text" and isinstance(opened, OpenFile) else opened

    def _instance(
        self, cls: Class, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        if cls.operator:
            return self.new_task(cls.name, cls.operator, args, kwargs, node)
        instance = Instance(cls)
        function = class_attribute(cls, "__init__")
        if isinstance(function, Function):
            self.run(Function(function.node, function.scope, instance), args, kwargs)
        else:
            instance.names.update(kwargs)
        return instance

    def run(self, function: Function, args: list[Value], kwargs: dict[str, Value]) -> Value:
        self.covered |= {id(call) for call in self._calls[-1:]}
        repeats = sum(1 for running in self._running if running.node is function.node)
        if len(self._running) >= CALLS_DEEP_MAX or repeats > 3:
            return Unknown("calls that are nested too deeply")
        scope = Scope(bind(function, args, kwargs, self), function.scope, function.scope.file)
        self._running.append(function)
        outer = self._data_deep, self._arguments_deep
        self._data_deep = self._arguments_deep = 0
        try:
            return self.execute_function(function, scope)
        finally:
            self._data_deep, self._arguments_deep = outer
            self._running.pop()

    # DAGs, groups and tasks

    def new_dag(self, args: list[Value], kwargs: dict[str, Value], node: ast.AST, name: str) -> Dag:
        """Record a DAG."""
        dag_id = text_of(kwargs.get("dag_id", args[0] if args else None)) or "*"
        for position, key in ((1, "description"), (2, "schedule_interval")):
            if len(args) > position:
                kwargs.setdefault(key, args[position])
        version = 3 if name.startswith("airflow.sdk") else 2
        dag = Dag(dag_id, kwargs, self.file, self._line(node), version)
        self.dags.append(dag)
        self.covered |= {id(node), *map(id, self._calls)}
        return dag

    def new_group(
        self, args: list[Value], kwargs: dict[str, Value], node: ast.AST, kind: str = "TaskGroup"
    ) -> Group:
        """Record a task group within the current one."""
        group_id = text_of(kwargs.get("group_id", args[0] if args else None)) or "*"
        given = kwargs.get("parent_group")
        parent = given if isinstance(given, Group) else self._current_group()
        above = parent.path if parent else ""
        prefixed = kwargs.get("prefix_group_id") is not False
        group_path = f"{above}.{group_id}" if above else group_id
        group = Group(group_id, group_path if prefixed else above, parent)
        self.covered.add(id(node))
        defaults = kwargs.get("default_args")
        group.default_args = defaults if isinstance(defaults, dict) else {}
        if kind != "TaskGroup":
            with self.within(group):
                self.new_task(kind, kind, [], {"task_id": Unknown()}, node)
        return group

    def _current_group(self) -> Group | None:
        return self._group_stack[-1] if self._group_stack else None

    @contextmanager
    def within(self, value: Value) -> Iterator[None]:
        """Build what follows in a DAG or a group."""
        if isinstance(value, Dag):
            groups, self._group_stack = self._group_stack, []
            self._dag_stack.append(value)
            try:
                yield
            finally:
                self._dag_stack.pop()
                self._group_stack = groups
        elif isinstance(value, Group):
            self._group_stack.append(value)
            try:
                yield
            finally:
                self._group_stack.pop()
        else:
            yield

    def new_task(
        self,
        name: str,
        base: str,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.AST,
        function: Function | None = None,
    ) -> Task:
        """Record a task of the current DAG. Raises `TooMuchWork` above `TASKS_MAX` tasks."""
        if len(self.tasks) >= TASKS_MAX:
            raise TooMuchWork
        given = kwargs.get("dag")
        group = self._group_of(kwargs.get("task_group"))
        current = self._dag_stack[-1] if self._dag_stack else None
        dag = given if isinstance(given, Dag) else current
        local_id = text_of(kwargs.get("task_id", args[0] if args else None)) or "*"
        task_id = f"{group.path}.{local_id}" if group and group.path else local_id
        site = self._site(node)
        task = Task(
            task_id, name, base, kwargs, dag, group, self.file,
            getattr(site, "lineno", 1), getattr(site, "end_lineno", 1) or 1,
        )  # fmt: skip
        task.function = function
        task.condition = self.conditions[-1] if self.conditions else ""
        task.repeated = bool(self.repeating)
        task.mapped = any(outer.mapped for outer in _with_outer(group))
        self.tasks.append(task)
        self.covered |= {id(node), *map(id, self._calls)}
        self.setup_blocks.add(task)
        for outer in _with_outer(group):
            outer.tasks.append(task)
        given_values = {key: value for key, value in kwargs.items() if key != "dag"}
        self._values_of([], given_values, [task])
        return task

    def _group_of(self, given: Value) -> Group | None:
        return given if isinstance(given, Group) else self._current_group()

    def _site(self, node: ast.AST) -> ast.AST:
        """The call in the DAG file itself to which a task goes back."""
        return self._sites[-1] if self._sites else node

    def _line(self, node: ast.AST) -> int:
        return int(getattr(self._site(node), "lineno", 1))

    # Decorated functions

    def _decorated(
        self, value: Decorated, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        if value.kind == "dag":
            return self._decorated_dag(value, args, kwargs)
        if value.kind == "task_group":
            return self._decorated_group(value, args, kwargs, node)
        return XComArg(self._decorated_task(value, args, kwargs, node))

    def _decorated_dag(self, value: Decorated, args: list[Value], kwargs: dict[str, Value]) -> Dag:
        options = {"dag_id": value.function.name, **value.kwargs}
        dag = self.new_dag([], options, value.function.node, value.variant)
        dag.line = value.function.node.lineno
        with self.within(dag):
            self.run(value.function, args, kwargs)
        return dag

    def _decorated_group(
        self, value: Decorated, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> GroupResult:
        options = {"group_id": value.function.name, **value.kwargs}
        group = self.new_group([], options, node)
        group.group_id = self._numbered(group.path or group.group_id)
        group.path = group.group_id if options.get("prefix_group_id") is not False else group.path
        with self.within(group):
            result = self.run(value.function, args, {**value.partial, **kwargs})
        for other in xcoms_in([args, kwargs]):
            self.links.append((other, group))
        return GroupResult(group, result)

    def _decorated_task(
        self, value: Decorated, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Task:
        options = {"task_id": value.function.name, **value.kwargs}
        base = _TASK_DECORATORS.get(value.variant, "PythonOperator")
        task = self.new_task(
            f"@task.{value.variant}" if value.variant else "@task", base, [], options, node,
            value.function,
        )  # fmt: skip
        task.variant = value.variant or "python"
        task.task_id = self._numbered(task.task_id)
        task.role = value.kind if value.kind in _NOT_DECORATORS else ""
        task.called_with = [*args, kwargs, value.partial]
        for other in xcoms_in([args, kwargs, value.partial]):
            task.follows(other)
            task.values_from[id(other)] = other
        return task

    def _numbered(self, task_id: str) -> str:
        """Airflow appends `__1`, `__2` … where one function gives several tasks."""
        if not self._dag_stack or "*" in task_id:
            return task_id
        used = self._dag_stack[-1].used_labels
        used[task_id] = count = used.get(task_id, 0) + 1
        return task_id if count == 1 else f"{task_id}__{count - 1}"

    def _decorated_method(
        self,
        value: Decorated,
        name: str,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.Call,
    ) -> Value:
        if name == "override":
            self.covered.add(id(node))
            return value.with_(kwargs)
        if name == "partial":
            result = value.with_({})
            result.partial.update(kwargs)
            return result
        if name in ("expand", "expand_kwargs"):
            before = len(self.tasks)
            result = self._decorated(value, args, _item_of_each(kwargs), node)
            self._expand(self.tasks[before:], args, kwargs)
            return result
        return Unknown()

    def _mapped(
        self, partial: Partial, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        task = self.new_task(partial.name, partial.base, [], {**partial.kwargs, **kwargs}, node)
        self.covered.add(id(partial.node))
        self._expand([task], args, {})
        return task

    def _expand(self, tasks: list[Task], args: list[Value], kwargs: dict[str, Value]) -> None:
        for task in tasks:
            task.mapped = True
        self._values_of(args, kwargs, tasks)

    def _values_of(self, args: list[Value], kwargs: dict[str, Value], tasks: list[Task]) -> None:
        for other in xcoms_in([args, kwargs]):
            for task in tasks:
                task.follows(other)
                task.values_from[id(other)] = other

    # Dependencies

    def shift(self, left: Value, right: Value, *, forward: bool) -> Value:
        if _is_label(right):
            return left
        if not _is_label(left):
            self.links.append((left, right) if forward else (right, left))
        return right

    def _chain(self, name: str, args: list[Value]) -> None:
        if name == "cross_downstream":
            self.links += [(args[0], args[1])] if len(args) > 1 else []
            return
        parts = [arg for arg in args if not _is_label(arg)]
        for left, right in pairwise(parts):
            one_by_one = (
                name == "chain"
                and isinstance(left, list | tuple)
                and isinstance(right, list | tuple)
                and len(left) == len(right)
            )
            self.links += list(zip(left, right, strict=True)) if one_by_one else [(left, right)]

    def _task_method(
        self, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]
    ) -> Value:
        others = [*args, *kwargs.values()]
        match name:
            case "set_downstream" | "set_upstream":
                pairs = [(owner, other) for other in others]
                self.links += pairs if name == "set_downstream" else [pair[::-1] for pair in pairs]
            case "as_setup" | "as_teardown":
                self._set_role(owner, name.removeprefix("as_"), kwargs)
            case "expand" | "expand_kwargs":
                self._expand(list(tasks_in(owner)), args, kwargs)
            case "add" if isinstance(owner, Group):
                owner.tasks += [task for task in tasks_in(others) if task not in owner.tasks]
        return owner

    def _set_role(self, owner: Value, role: str, kwargs: dict[str, Value]) -> None:
        for task in tasks_in(owner):
            task.role = role
        if "setups" in kwargs:
            for task in tasks_in(kwargs["setups"]):
                task.role = "setup"
            self.links.append((kwargs["setups"], owner))

    def member(self, owner: Value, name: str) -> Value:
        if isinstance(owner, Instance):
            return self._instance_member(owner, name)
        if isinstance(owner, Class):
            value = class_attribute(owner, name)
            return Method(owner, name) if value is None and name == "partial" else value
        if isinstance(owner, ProjectModule):
            return owner.scope.names.get(name, Unknown(f"`{name}` of {owner.path}"))
        if isinstance(owner, Task):
            return self._task_member(owner, name)
        if isinstance(owner, Dag):
            return owner.dag_id if name == "dag_id" else Unknown(f"`.{name}`")
        methods = (Group, GroupResult, XComArg, Decorated, Partial, OpenFile, PurePosixPath)
        return Method(owner, name) if isinstance(owner, methods) else Unknown(f"`.{name}`")

    def _instance_member(self, owner: Instance, name: str) -> Value:
        if name in owner.names:
            return owner.names[name]
        value = class_attribute(owner.cls, name)
        if isinstance(value, Function):
            return Function(value.node, value.scope, owner)
        return value if value is not None else Unknown(f"`.{name}`")

    @staticmethod
    def _task_member(owner: Task, name: str) -> Value:
        if name == "output":
            return XComArg(owner)
        if name == "task_id":
            return owner.task_id
        if name == "dag":
            return owner.dag
        return Method(owner, name)


def decorator_kind(named: External) -> str:
    """Return what a decorator makes of a function: `dag`, `task` …; empty for other decorators."""
    return next((part for part in named.name.split(".") if part in _DECORATORS), "")


def decorated(named: External, function: Function, kwargs: dict[str, Value]) -> Decorated:
    """Return a function below a decorator, or given to one as its argument."""
    kind = decorator_kind(named)
    variant = named.name.partition(f"{kind}.")[2] if kind == "task" else named.name
    return Decorated(kind, variant if kind in ("task", "dag") else "", function, kwargs)


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for other expressions."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_data(function: ast.expr, scope: Scope) -> bool:
    """Whether what is called is known to build no task: of Python, of Airflow, or of a value."""
    if isinstance(function, ast.Attribute) and function.attr in DATA_METHODS:
        return True
    node = function
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    if not isinstance(node, ast.Name):
        return True
    is_bound, value = scope.lookup(node.id)
    if not is_bound and hasattr(builtins, node.id):
        return True
    if isinstance(value, External | ExternalCall):
        return value.name.partition(".")[0] in _DATA_PACKAGES
    return isinstance(function, ast.Attribute) and isinstance(value, Dag | Task | Group | str)


def _is_label(value: Value) -> bool:
    return isinstance(value, ExternalCall) and value.last == "Label"


def _with_outer(group: Group | None) -> Iterator[Group]:
    """Yield a group and those around it."""
    while group is not None:
        yield group
        group = group.parent


def _item_of_each(kwargs: dict[str, Value]) -> dict[str, Value]:
    return {
        key: value if isinstance(value, XComArg) else Unknown(f"an item of `{key}`")
        for key, value in kwargs.items()
    }


def _compute(function: Callable[[], Value]) -> Value:
    try:
        return function()
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError,
            library.NotComputed):  # fmt: skip
        return Unknown("the result of a call that can't be followed")


def _changed(owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name == "extend" and not isinstance(args[0] if args else None, list | tuple | set):
        args = [[Unknown("items of a list known only at run time")]]
    if name == "update" and not (kwargs or isinstance(args[0] if args else None, dict | list)):
        return None
    return _compute(lambda: library.call_method(owner, name, args, kwargs))


def _attribute_call(builder: Builder, name: str, args: list[Value]) -> Value:
    if name == "getattr" and len(args) >= 2 and isinstance(args[1], str):
        return builder.member(args[0], args[1])
    return Unknown(f"`{name}(…)`")


_LOADERS: dict[str, Callable[[str], Value]] = {
    "yaml.safe_load": yaml.safe_load,
    "yaml.load": yaml.safe_load,
    "yaml.full_load": yaml.safe_load,
    "json.load": json.loads,
    "json.loads": json.loads,
}


def _parsed(loader: Callable[[str], Value], text: Value) -> Value:
    if not isinstance(text, str):
        return Unknown("data known only at run time")
    try:
        value = loader(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return Unknown("data that can't be read")
    return value if is_known(value) else Unknown("data that can't be read")


def bind(
    function: Function, args: list[Value], kwargs: dict[str, Value], expressions: Expressions
) -> dict[str, Value]:
    """Return the names of a call: parameters with their arguments or defaults."""
    spec = function.node.args
    names = [arg.arg for arg in [*spec.posonlyargs, *spec.args]]
    given = ([function.bound] if function.bound is not None else []) + args
    values: dict[str, Value] = dict.fromkeys(names, Unknown("an argument"))
    for name, default in zip(reversed(names), reversed(spec.defaults), strict=False):
        values[name] = expressions.evaluate(default, function.scope)
    for arg, keyword_default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        values[arg.arg] = expressions.evaluate(keyword_default, function.scope)
    values.update(zip(names, given, strict=False))
    if spec.vararg is not None:
        values[spec.vararg.arg] = tuple(given[len(names) :])
    accepted = set(names) | {arg.arg for arg in spec.kwonlyargs}
    values.update({key: value for key, value in kwargs.items() if key in accepted})
    if spec.kwarg is not None:
        values[spec.kwarg.arg] = {k: v for k, v in kwargs.items() if k not in accepted}
    return values
