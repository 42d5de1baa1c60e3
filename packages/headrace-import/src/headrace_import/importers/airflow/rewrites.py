"""Suggestions for which an import of Airflow is written again: one writer in place of several.

Two tasks that write one table run unchanged, since an asset has one query. If they do the same, or
if all but one only fill its past, the table is the asset of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

from headrace_import.importers.airflow.outcomes import Plan, Plans
from headrace_import.importers.imported import Suggestion, Verdict

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
        if not after:
            continue
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
    """Return the files with one writer for the table, none if that isn't an asset.

    The plans are the same afterwards.
    """
    saved = [(plan, _state(plan)) for plan in plans]
    try:
        _apply(merge)
        files = write()
        return files if merge.kept.query is not None else {}
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
