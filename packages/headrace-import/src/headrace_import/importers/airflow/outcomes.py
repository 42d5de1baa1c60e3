"""What becomes of one task, and of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from headrace_import.importers.airflow.queries import AssetQuery
from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.statements_sql import Statements
from headrace_import.importers.airflow.values import Task, Text, Value
from headrace_import.importers.imported import DependencyKind, OriginTable, Verdict

NO_SKIPS = "a task that is skipped has no counterpart: an asset's partition is always computed"


@dataclass(eq=False, slots=True)
class Plan:
    """What becomes of one task, or of several with the same id."""

    task: Task
    id: str
    schedule: Schedule
    verdict: Verdict = Verdict.COMMAND
    why: str = ""
    todo: list[str] = field(default_factory=list)
    query: AssetQuery | None = None
    shared: AssetQuery | None = None
    """Its query, if it runs unchanged only because of other tasks."""
    part_of: Plan | None = None
    """The task of whose asset this one is a part."""
    prepares: Statements | None = None
    """Statements that only clear or define tables, which another task may fill."""
    source: tuple[str, str] | None = None
    """Name and path pattern of the files that a sensor waits for."""
    waits_for: list[Plan] = field(default_factory=list)
    """Tasks of other DAGs that a sensor waits for."""
    starts_after: list[Plan] = field(default_factory=list)
    """Tasks of other DAGs that start this task's DAG."""
    connection: str = ""
    dialect: str = ""
    is_sql: bool = False
    statements: list[str] | None = None
    """Its SQL with `UNKNOWN_PART` for what isn't known; None if it isn't in the project."""
    writes: tuple[str, ...] = ()
    """The table that it writes, if its SQL says one."""
    name: str = ""
    created: tuple[str, ...] = ()
    table: OriginTable | None = None
    """The table that its asset computes here."""

    @property
    def dag_id(self) -> str:
        return self.task.dag.dag_id if self.task.dag is not None else ""

    @property
    def is_order(self) -> bool:
        """Whether it only orders other tasks."""
        return (
            self.verdict is Verdict.CARRIED
            and self.query is None
            and self.source is None
            and self.part_of is None
        )

    def refuse(self, why: str, todo: str) -> None:
        """Leave the task to a person."""
        self.verdict, self.why, self.todo = Verdict.PERSON, why, [todo] if todo else []
        self.query, self.shared, self.source, self.part_of = None, None, None, None


@dataclass(slots=True)
class Plans:
    """All plans, by task and by id."""

    by_id: dict[str, Plan] = field(default_factory=dict)
    by_task: dict[int, Plan] = field(default_factory=dict)
    pulls: list[tuple[Plan, Plan]] = field(default_factory=list)
    """Which task's value (first) another one (second) reads."""
    orders_by_value: list[tuple[Plan, Plan]] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    """File → why a call in it may build tasks which aren't known."""
    others: list[tuple[Plan, Plan, DependencyKind]] = field(default_factory=list)
    """Dependencies of other kinds: datasets, tables, runs that a task starts."""

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.by_id.values())

    def before(self, plan: Plan) -> list[Plan]:
        """Plans of tasks directly before."""
        earlier = [self.by_task[key] for key in plan.task.edges if key in self.by_task]
        return [other for other in earlier if other is not plan]

    def all_before(self, plan: Plan) -> list[Plan]:
        """Plans of tasks directly before, also those of other DAGs."""
        direct = [*self.before(plan), *plan.waits_for, *plan.starts_after]
        return [*direct, *(other.part_of for other in direct if other.part_of is not None)]


def fields_of(task: Task) -> Iterator[str]:
    """Texts of a task's own arguments."""
    yield from texts_in({name: value for name, value in task.kwargs.items() if name != "dag"})


def texts_in(value: Value, depth: int = 0) -> Iterator[str]:
    """Yield the texts within a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Text):
        yield from (piece for piece in value.pieces if isinstance(piece, str))
    elif depth < 10 and isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item, depth + 1)
    elif depth < 10 and isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item, depth + 1)
