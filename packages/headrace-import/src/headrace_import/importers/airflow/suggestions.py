"""What could be untangled once the faithful import works, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace_import.importers.airflow.outcomes import Plan, Plans
from headrace_import.importers.airflow.values import Value, text_of
from headrace_import.importers.imported import Suggestion

ITEMS_MAX = 50
WORK_CHARACTERS_MIN = 20


def suggestions(plans: Plans, redacted: Callable[[str], str]) -> Iterator[Suggestion]:
    """Yield suggestions; nothing of them is done by the import."""
    for rule in _RULES:
        for kind, items, evidence in rule(plans):
            yield Suggestion(kind, tuple(dict.fromkeys(items))[:ITEMS_MAX], redacted(evidence))


_Found = Iterator[tuple[str, list[str], str]]


def _sensors(plans: Plans) -> _Found:
    for plan in plans:
        if plan.waits_for:
            names = ", ".join(other.id for other in plan.waits_for[:3])
            yield (
                "sensor_to_dependency",
                [plan.id, *(other.id for other in plan.waits_for)],
                (
                    f"{plan.task.file}:{plan.task.line}: the sensor polls until {names} has"
                    " succeeded; in the new project, assets after it depend on what is carried of"
                    " that, and nothing polls"
                ),
            )


def _xcoms(plans: Plans) -> _Found:
    for giver, taker in plans.pulls:
        yield (
            "xcom_to_table",
            [giver.id, taker.id],
            (
                f"{taker.task.file}:{taker.task.line}: {taker.id} reads what {giver.id} returns; a"
                " table between them can be checked, kept and read again"
            ),
        )


def _duplicates(plans: Plans) -> _Found:
    same: dict[tuple[str, str], list[Plan]] = {}
    for plan in plans:
        work = _work(plan)
        if len(work) >= WORK_CHARACTERS_MIN:
            same.setdefault((plan.task.operator, work), []).append(plan)
    for group in same.values():
        if len(group) > 1:
            places = ", ".join(f"{plan.task.file}:{plan.task.line}" for plan in group[:3])
            yield "duplicate_tasks", [plan.id for plan in group], f"the same text in {places}"


def _work(plan: Plan) -> str:
    names = ("sql", "hql", "query", "bash_command", "python_callable")
    values = [plan.task.kwargs[name] for name in names if name in plan.task.kwargs]
    parts = [text_of(part) for value in values for part in _listed(value)]
    text = " ".join(" ".join(part.split()) for part in parts if part)
    return text if "*" not in text.replace("(*)", "").replace("select *", "") else ""


def _listed(value: Value) -> Sequence[Value]:
    return value if isinstance(value, list | tuple) else [value]


def _pass_through(plans: Plans) -> _Found:
    for plan in plans:
        task = plan.task
        if plan.is_order and len(task.edges) == 1 and len(task.downstream) == 1:
            (before,), (after,) = task.edges.values(), task.downstream.values()
            yield (
                "pass_through",
                [plan.id],
                (
                    f"it does no work between {before.task_id} and {after.task_id}; the new project"
                    " has no file for it"
                ),
            )


def _backfills(plans: Plans) -> _Found:
    by_dag: dict[str, list[Plan]] = {}
    for plan in plans:
        if plan.task.dag is not None:
            by_dag.setdefault(plan.task.dag.dag_id, []).append(plan)
    for dag_id, members in by_dag.items():
        if "backfill" in dag_id.lower():
            yield (
                "backfill_dag",
                [plan.id for plan in members],
                (
                    f"the DAG {dag_id} computes past intervals; `headrace backfill` does it for any"
                    " asset with partitions"
                ),
            )


def _deadlines(plans: Plans) -> _Found:
    """A DAG whose schedule only makes it start after another one."""
    for plan in plans:
        if not plan.waits_for or plan.schedule.kind != "cron":
            continue
        other = plan.waits_for[0]
        if other.schedule.kind == "cron" and other.schedule.cron != plan.schedule.cron:
            yield (
                "schedule_to_deadline",
                [plan.id, other.id],
                (
                    f"its schedule `{plan.schedule.cron}` is set to come after"
                    f" `{other.schedule.cron}` of {other.id}: with a consumer's `due:`, each task"
                    " starts when its inputs are there"
                ),
            )


def _couplings(plans: Plans) -> _Found:
    writers: dict[tuple[str, ...], list[Plan]] = {}
    for plan in plans:
        if plan.writes:
            writers.setdefault(plan.writes, []).append(plan)
    for table, group in writers.items():
        dags = {plan.task.dag.dag_id for plan in group if plan.task.dag}
        if len(dags) > 1:
            yield (
                "table_with_several_writers",
                [plan.id for plan in group],
                f"{'.'.join(table)} is written by {', '.join(sorted(dags))}",
            )


def _cycles(plans: Plans) -> _Found:
    waits = {(plan.dag_id, other.dag_id): plan for plan in plans for other in plan.waits_for}
    for (first, second), plan in waits.items():
        back = waits.get((second, first))
        if back is not None and first < second:
            yield (
                "cycle",
                [plan.id, back.id],
                f"the DAGs {first} and {second} wait for each other",
            )


_RULES: tuple[Callable[[Plans], _Found], ...] = (
    _sensors,
    _xcoms,
    _duplicates,
    _pass_through,
    _backfills,
    _deadlines,
    _couplings,
    _cycles,
)
