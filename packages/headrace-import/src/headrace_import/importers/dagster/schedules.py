"""Schedules of Dagster: when they start what."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from headrace_import.importers.dagster.definitions import DagsterFiles, Defined


@dataclass(slots=True)
class Schedule:
    """One schedule. `cron` is empty if it isn't written out."""

    item: Defined
    name: str
    cron: str
    timezone: str
    job: Defined | None
    computed: bool
    """Whether a function computes what each run does."""
    offset: tuple[int, int] | None = None
    """Hour and minute, if it fires at the end of the partitions of its job."""
    targets: list[str] = field(default_factory=list)
    """Ids of the tasks that get its cron as trigger."""


def schedules_of(project: DagsterFiles) -> list[Schedule]:
    """Return all schedules in the order of the files."""
    return [_schedule(project, item) for item in project.of("schedule")]


def _schedule(project: DagsterFiles, item: Defined) -> Schedule:
    position = 0 if item.function is not None else None
    cron = item.file.text(item.argument("cron_schedule", position))
    job = _job(project, item)
    given = item.file.text(item.argument("name"))
    name = given or (item.function.name if item.function is not None else "")
    name = name or (f"{job.name}_schedule" if job is not None else item.variable)
    zone = item.file.text(item.argument("execution_timezone"))
    computed = item.function is not None and not _is_plain(item.function)
    computed = computed or item.argument("execution_fn") is not None
    return Schedule(item, name, cron, zone, job, computed, _offset(item))


def _offset(item: Defined) -> tuple[int, int] | None:
    """Return hour and minute of a schedule of a partitioned job; None for any other one."""
    called = item.file.name_of(item.node.func) if isinstance(item.node, ast.Call) else ""
    if not called.endswith("build_schedule_from_partitioned_job"):
        return None
    hour = item.file.known(item.argument("hour_of_day"), 0)
    minute = item.file.known(item.argument("minute_of_hour"), 0)
    return (hour, minute) if isinstance(hour, int) and isinstance(minute, int) else None


def _job(project: DagsterFiles, item: Defined) -> Defined | None:
    """Return the job that it starts: by its name, by its variable, or by its text."""
    position = 0 if _offset(item) is not None else None
    node = item.argument("job", position) or item.argument("target") or item.argument("job_name")
    text = item.file.text(node)
    jobs = project.of("job", "asset_job")
    if text:
        return next((job for job in jobs if job.name == text), None)
    job = project.named(item.file, node)
    return job if job in jobs else None


def _is_plain(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a schedule's function only returns `RunRequest()`, `{}` or nothing."""
    body = [
        statement
        for statement in function.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]
    if not body:
        return True
    if len(body) > 1 or not isinstance(body[0], ast.Return | ast.Pass):
        return False
    value = getattr(body[0], "value", None)
    if isinstance(value, ast.Call):
        return not value.args and not value.keywords
    return value is None or (isinstance(value, ast.Dict) and not value.keys)
