"""The DAGs of a project: every file followed, links between tasks resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from headrace_import.importers.airflow.missed import DAG_WORDS, may_build, missed_calls
from headrace_import.importers.airflow.origin import Origin, UnreadableFile
from headrace_import.importers.airflow.statements import Interpreter
from headrace_import.importers.airflow.values import (
    Dag,
    Group,
    GroupResult,
    Scope,
    Task,
    Value,
    tasks_in,
)
from headrace_import.importers.origin_files import working_on

TEARDOWNS_DEEP_MAX = 10


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file whose tasks aren't all known."""

    file: str
    reason: str
    line: int = 0
    """The line of the only call that is meant; 0 for the whole file."""


@dataclass(slots=True)
class Reading:
    """What the files of a project build."""

    dags: list[Dag] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)
    covered: set[int] = field(default_factory=set)
    """Ids of the nodes that built something, or that were followed and built nothing."""


def read_files(origin: Origin) -> Reading:
    """Follow each Python file of the project by itself, as Airflow would import it."""
    reading = Reading()
    modules: dict[str, Scope] = {}
    for path in origin.python_files:
        with working_on(path):
            _read_file(origin, path, modules, reading)
    _merge_same_dags(reading)
    reading.problems += _missed(origin, reading)
    return reading


def _missed(origin: Origin, reading: Reading) -> Iterator[FileProblem]:
    for path in origin.python_files:
        with suppress(UnreadableFile), working_on(path):
            module = origin.module(path)
            missed = missed_calls(module, reading.covered) if may_build(module) else {}
            for line, name in sorted(missed.items()):
                yield FileProblem(path, f"`{name}(…)` may build tasks, and isn't reached", line)


def _read_file(origin: Origin, path: str, modules: dict[str, Scope], reading: Reading) -> None:
    try:
        module = origin.module(path)
    except UnreadableFile as error:
        reading.problems.append(FileProblem(path, str(error)))
        return
    if not any(word in module.text for word in DAG_WORDS):
        return
    interpreter = Interpreter(origin, path, modules)
    problem = interpreter.read()
    _resolve_links(interpreter.links)
    _adopt(interpreter.tasks)
    tasks = interpreter.tasks
    unknown = Dag("*", {}, path, 1, unknown=True)
    for task in tasks:
        task.dag = task.dag or unknown
    _nest_subdags(tasks)
    reading.covered |= interpreter.covered
    if problem:
        reading.problems.append(FileProblem(path, problem))
    reading.dags += interpreter.dags
    reading.tasks += tasks


def _resolve_links(links: Iterable[tuple[Value, Value]]) -> None:
    """Turn `a >> b` into edges; a group stands for its first or last tasks."""
    grouped = []
    for left, right in links:
        if _has_group(left) or _has_group(right):
            grouped.append((left, right))
        else:
            _connect(tasks_in(left), tasks_in(right))
    for left, right in grouped:
        _connect(_ends(left, last=True), _ends(right, last=False))


def _has_group(value: Value) -> bool:
    if isinstance(value, list | tuple | set):
        return any(_has_group(item) for item in value)
    return isinstance(value, Group | GroupResult)


def _ends(value: Value, *, last: bool) -> list[Task]:
    if isinstance(value, list | tuple | set):
        return [task for item in value for task in _ends(item, last=last)]
    group = value.group if isinstance(value, GroupResult) else value
    return _group_ends(group, last=last) if isinstance(group, Group) else list(tasks_in(value))


def _group_ends(group: Group, *, last: bool) -> list[Task]:
    """Return a group's first or last tasks; as in Airflow, its last ones aren't teardowns."""
    inside = {id(task) for task in group.tasks}
    ends = [
        task for task in group.tasks if inside.isdisjoint(task.downstream if last else task.edges)
    ]
    if not last:
        return ends
    results: dict[int, Task] = {}
    for task in ends:
        for end in [task] if task.role != "teardown" else _work_before(task, inside):
            results[id(end)] = end
    return list(results.values())


def _work_before(teardown: Task, inside: set[int], deep: int = 0) -> Iterator[Task]:
    """Yield a group's last tasks before a teardown that ends it."""
    before = [task for key, task in teardown.edges.items() if key in inside]
    for task in before:
        if task.role == "teardown" and deep < TEARDOWNS_DEEP_MAX:
            yield from _work_before(task, inside, deep + 1)
        elif not task.role and _only_teardowns_after(task, inside):
            yield task


def _only_teardowns_after(task: Task, inside: set[int]) -> bool:
    after = [other for key, other in task.downstream.items() if key in inside]
    return all(other.role == "teardown" for other in after)


def _connect(left: Iterable[Task], right: Iterable[Task]) -> None:
    before = list(left)
    for task in right:
        for other in before:
            task.follows(other)


def _adopt(tasks: list[Task]) -> None:
    """A task without a DAG belongs to that of the tasks that it is linked to."""
    waiting = [task for task in tasks if task.dag is None]
    while waiting:
        adopted = [task for task in waiting if _adopted(task)]
        if not adopted:
            return
        waiting = [task for task in waiting if task.dag is None]


def _adopted(task: Task) -> bool:
    for other in (*task.edges.values(), *task.downstream.values()):
        if other.dag is not None:
            task.dag = other.dag
            return True
    return False


def _nest_subdags(tasks: list[Task]) -> None:
    """The tasks of a SubDAG come between those around its operator."""
    for operator in tasks:
        inner = operator.kwargs.get("subdag")
        if isinstance(inner, Dag) and inner is not operator.dag:
            inner.parent = operator.dag
            _nest(operator, [task for task in tasks if task.dag is inner])


def _nest(operator: Task, members: list[Task]) -> None:
    firsts = [task for task in members if not task.edges]
    lasts = [task for task in members if not task.downstream]
    _connect(list(operator.edges.values()), firsts)
    _connect(lasts, [operator])


def _merge_same_dags(reading: Reading) -> None:
    """Two files with one dag_id: Airflow keeps one of them, and so does the import.

    Tasks that only the other file has stay, so that each is an item.
    """
    first: dict[str, Dag] = {}
    dropped: dict[int, Dag] = {}
    for dag in reading.dags:
        kept_dag = first.setdefault(dag.dag_id, dag)
        if kept_dag.file != dag.file and "*" not in dag.dag_id:
            dropped[id(dag)] = kept_dag
            reason = (
                f"it builds the DAG {dag.dag_id}, and so does {kept_dag.file}: Airflow keeps one of"
                f" the two, and the import follows {kept_dag.file}"
            )
            reading.problems.append(FileProblem(dag.file, reason))
    if dropped:
        reading.dags = [dag for dag in reading.dags if id(dag) not in dropped]
        reading.tasks = _without_duplicates(reading.tasks, dropped)


def _without_duplicates(tasks: list[Task], dropped: dict[int, Dag]) -> list[Task]:
    """Drop tasks of these DAGs which the DAG that is kept (the value) has too, and mark both."""
    remaining = {_key(task): task for task in tasks if id(task.dag) not in dropped}
    results = []
    for task in tasks:
        assert task.dag is not None
        same_dag = dropped.get(id(task.dag))
        known = task if same_dag is None else remaining.setdefault(_key(task), task)
        if known is task:
            results.append(task)
        if same_dag is not None:
            task.only_in_rival = known is task
            known.rival = known.rival or (same_dag.file if known is task else task.dag.file)
    return results


def _key(task: Task) -> tuple[str, str]:
    assert task.dag is not None
    return task.dag.dag_id, task.task_id
