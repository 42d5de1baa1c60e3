"""Suggestions for which an import of Airflow is written again: one writer in place of several.

Two tasks that write one table run unchanged, since an asset has one query. If they do the same, or
if all but one only fill its past, the table is the asset of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from headrace.importers.airflow import operators
from headrace.importers.airflow.outcomes import Plan, Plans
from headrace.importers.airflow.values import Task
from headrace.importers.imported import Suggestion, Verdict
from headrace.importers.removals import taken_out

REWRITES_MAX = 20
"""At most this number of changes are written out; further ones are only evidence."""


@dataclass(frozen=True, slots=True)
class _Merge:
    kind: str
    kept: Plan
    dropped: list[Plan]
    evidence: str


def merged_writers(
    plans: Plans, files: Mapping[str, str], write: Callable[[], Mapping[str, str]]
) -> Iterator[Suggestion]:
    """Yield the changes after which one task writes a table that several write.

    `files` are those of the import; `write` writes the project from the plans as they are.
    """
    for merge in islice(_merges(plans), REWRITES_MAX):
        after = _written_with(merge, plans, write)
        changed = {
            path: after.get(path)
            for path in sorted(files.keys() | after.keys())
            if files.get(path) != after.get(path)
        }
        items = [merge.kept.id, *(plan.id for plan in merge.dropped)]
        if changed:
            yield Suggestion(merge.kind, tuple(items), merge.evidence, changed)


def _written_with(
    merge: _Merge, plans: Plans, write: Callable[[], Mapping[str, str]]
) -> Mapping[str, str]:
    """Return the files with one writer for the table; the plans are the same afterwards."""
    saved = [(plan, _state(plan)) for plan in plans]
    try:
        _apply(merge)
        return write()
    finally:
        for plan, state in saved:
            for name, value in state.items():
                setattr(plan, name, value)


def _state(plan: Plan) -> dict[str, Any]:
    """Return a plan's values; writing adds to its lists, and replaces the others."""
    values = {item.name: getattr(plan, item.name) for item in fields(plan)}
    return {k: list(value) if isinstance(value, list) else value for k, value in values.items()}


def _apply(merge: _Merge) -> None:
    writer = merge.kept
    if writer.query is None:
        writer.query, writer.verdict, writer.todo = writer.shared, Verdict.CARRIED, []
    for plan in merge.dropped:
        plan.query, plan.part_of, plan.verdict = None, writer, Verdict.CARRIED


def _merges(plans: Plans) -> Iterator[_Merge]:
    writers: dict[tuple[str, ...], list[Plan]] = {}
    for plan in plans:
        if plan.writes and plan.verdict is not Verdict.PERSON:
            writers.setdefault(plan.writes, []).append(plan)
    for table, group in writers.items():
        if len(group) > 1:
            merge = _backfill(table, group) or _same(table, group)
            if merge is not None and not any(_prepared(plan, plans) for plan in merge.dropped):
                yield merge


def _prepared(plan: Plan, plans: Plans) -> bool:
    """Whether work comes before a task, which another task's asset wouldn't wait for."""
    return any(not other.is_order for other in plans.before(plan))


def _backfill(table: tuple[str, ...], group: list[Plan]) -> _Merge | None:
    """The tasks of DAGs that are named after a backfill, and the one that they help."""
    dropped = [plan for plan in group if "backfill" in plan.dag_id.lower()]
    others = [plan for plan in group if plan not in dropped]
    if not dropped or len(others) != 1:
        return None
    query = others[0].query or others[0].shared
    connections = {plan.connection for plan in group if plan.connection}
    if query is None or not query.partitioned or len(connections) > 1:
        return None
    names = ", ".join(f"{plan.task.file}:{plan.task.line}" for plan in dropped[:3])
    return _Merge(
        "backfill_dag",
        others[0],
        dropped,
        f"{names} fills past intervals of {'.'.join(table)}, which {others[0].id} computes by"
        " partition: `headrace backfill` computes past partitions of its asset",
    )


def _same(table: tuple[str, ...], group: list[Plan]) -> _Merge | None:
    first, *others = group
    if first.shared is None or any(_work(plan) != _work(first) for plan in others):
        return None
    names = ", ".join(f"{plan.task.file}:{plan.task.line}" for plan in group[:3])
    return _Merge(
        "duplicate_tasks",
        first,
        others,
        f"{names} write {'.'.join(table)} with the same query: one asset does it for all, with the"
        f" schedule of {first.id}",
    )


def _work(plan: Plan) -> Any:
    query = plan.shared
    if query is None:
        return None
    return (
        plan.connection, plan.schedule.grain, query.query.sql(), query.materialize,
        query.partitioned, query.column, query.merge_keys, query.parameters,
    )  # fmt: skip


# Sensors that poll for rows of a table that an asset computes

_SQL = re.compile(
    r"\s*select\s+(?:count\(\s*\*\s*\)|1|\*)\s+from\s+([\w.]+)\s+where\s+(\w+)\s*=\s*"
    r"'\{\{\s*ds\s*\}\}'(?:\s+limit\s+1)?\s*;?\s*",
    re.IGNORECASE,
)
_PARTITION = re.compile(r"(\w+)\s*=\s*(['\"]?)\{\{\s*ds\s*\}\}\2")


def awaited_tables(plans: Plans, files: Mapping[str, str]) -> Iterator[Suggestion]:
    """Yield the changes that take out a sensor; the assets after it depend on the table's asset."""
    found: dict[str, tuple[Plan, Plan]] = {}
    for plan in plans:
        awaited = _awaited(plan)
        writer = _writer(plan, *awaited, plans) if awaited is not None else None
        if writer is not None:
            found[plan.created[0]] = plan, writer
    removals = [(path, [writer.name]) for path, (_, writer) in found.items()]
    for nodes, changes in taken_out(files, removals):
        pairs = [found[node.path] for node in nodes]
        yield Suggestion(
            "sensor_to_dependency",
            tuple(dict.fromkeys(plan.id for pair in pairs for plan in pair)),
            "; ".join(map(_polls, pairs)),
            changes,
        )


def _polls(pair: tuple[Plan, Plan]) -> str:
    plan, writer = pair
    return (
        f"{plan.task.file}:{plan.task.line}: the sensor polls for a day of"
        f" {'.'.join(writer.writes)}, which {writer.id} computes; what comes after it can depend on"
        f" the asset `{writer.name}`"
    )


def _awaited(plan: Plan) -> tuple[tuple[str, ...], str] | None:
    """Return the table and column that a sensor waits for a day of; None for other tasks."""
    task = plan.task
    if plan.verdict is not Verdict.COMMAND or not plan.created:
        return None
    if task.base in ("SqlSensor", "SQLSensor"):
        match = _SQL.fullmatch(_argument(task, "sql"))
        return (_name(match[1]), match[2].lower()) if match else None
    if task.base == "HivePartitionSensor":
        match = _PARTITION.fullmatch(_argument(task, "partition").strip())
        table = _argument(task, "table")
        return (_name(table), match[1].lower()) if match and table else None
    return None


def _argument(task: Task, name: str) -> str:
    value = task.argument(name)
    return value if isinstance(value, str) else ""


def _name(text: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in text.split("."))


def _writer(plan: Plan, table: tuple[str, ...], column: str, plans: Plans) -> Plan | None:
    """Return the one task whose asset is the table, partitioned by the column and by day."""
    writers = [
        other
        for other in plans
        if other.query is not None
        and other.created
        and _ends_alike(tuple(part.lower() for part in other.writes), table)
        and other.query.column.lower() == column
        and other.schedule.grain == plan.schedule.grain == "day"
        and _same_database(plan, other)
    ]
    return writers[0] if len(writers) == 1 else None


def _ends_alike(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    length = min(len(left), len(right))
    return length > 0 and left[-length:] == right[-length:]


def _same_database(plan: Plan, other: Plan) -> bool:
    if plan.task.base == "HivePartitionSensor":
        return other.dialect in ("hive", "spark", "trino", "presto")
    names = (_argument(plan.task, name) for name in operators.CONNECTION_ARGUMENTS)
    return next(filter(None, names), "") == other.connection
