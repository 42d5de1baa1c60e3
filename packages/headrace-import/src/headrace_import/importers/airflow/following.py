"""Tasks that depend on others beyond the edges of a DAG: values, sensors, datasets, skips."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from headrace_import.importers.airflow import operators
from headrace_import.importers.airflow.outcomes import NO_SKIPS, Plan, Plans, fields_of
from headrace_import.importers.airflow.schedules import Schedule, dataset_uris
from headrace_import.importers.airflow.templates import parse, pulled_in_code
from headrace_import.importers.airflow.values import Decorated, Function, Task, text_of
from headrace_import.importers.imported import DependencyKind, Verdict


def follow_dependencies(plans: Plans) -> None:
    """Change what becomes of tasks by the tasks that they depend on."""
    _follow_values(plans)
    _follow_sensors(plans)
    _follow_datasets(plans)
    _follow_tables(plans)
    _follow_skips(plans)


# Values between tasks


def _follow_values(plans: Plans) -> None:
    for plan in plans:
        for other in _pulled(plan, plans):
            plans.pulls.append((other, plan))
        if "*" in _ids_pulled(plan.task):
            _refuse_value(plan, "")
    for giver, taker in plans.pulls:
        _refuse_value(taker, giver.id)
        _refuse_value(giver, "", to=taker.id)


def _refuse_value(plan: Plan, giver: str, to: str = "") -> None:
    if plan.verdict is Verdict.PERSON:
        return
    if to:
        plan.refuse(
            f"{to} reads the value that it returns (XCom)",
            "write the value into a table, and let the other one read that table",
        )
    else:
        plan.refuse(
            f"it reads the value that {giver or 'another task'} returns (XCom)",
            "write the value into a table and read it from there, or join both tasks",
        )


def _pulled(plan: Plan, plans: Plans) -> list[Plan]:
    found: dict[str, Plan] = {}
    for key, other in plan.task.values_from.items():
        giver = plans.by_task.get(key)
        if giver is not None and giver is not plan:
            if _returns_value(other):
                found[giver.id] = giver
            else:
                plans.orders_by_value.append((giver, plan))
    for name in _ids_pulled(plan.task):
        giver = plans.by_id.get(f"{plan.dag_id}.{name}")
        if giver is not None and giver is not plan:
            found[giver.id] = giver
    return list(found.values())


def _returns_value(task: Task) -> bool:
    """Whether a task's value can be something: a function without `return …` gives None."""
    if task.function is None or isinstance(task.function.node, ast.Lambda):
        return True
    return any(
        isinstance(node, ast.Return | ast.Yield) and node.value is not None
        for node in ast.walk(task.function.node)
    )


def _ids_pulled(task: Task) -> set[str]:
    results: set[str] = set()
    for text in fields_of(task):
        if "xcom_pull" in text:
            for pull in parse(text).pulls:
                results |= set(pull.task_ids) or {"*"}
    function = _callable(task)
    if function is not None:
        results |= pulled_in_code(function.node)
    return results


def _callable(task: Task) -> Function | None:
    value = task.function or task.kwargs.get("python_callable")
    if isinstance(value, Decorated):
        value = value.function
    return value if isinstance(value, Function) else None


# Sensors and DAGs that start others


def _follow_sensors(plans: Plans) -> None:
    by_dag: dict[str, list[Plan]] = {}
    for plan in plans:
        by_dag.setdefault(plan.dag_id, []).append(plan)
    readers: Mapping[str, Callable[[Plan, Plans, Mapping[str, list[Plan]]], None]] = {
        "ExternalTaskSensor": _external_task,
        "ExternalTaskSensorAsync": _external_task,
        "TriggerDagRunOperator": _trigger_run,
    }
    for plan in plans:
        reader = readers.get(plan.task.base)
        if reader is not None and plan.verdict is not Verdict.PERSON:
            reader(plan, plans, by_dag)


def _external_task(plan: Plan, _plans: Plans, by_dag: Mapping[str, list[Plan]]) -> None:
    task = plan.task
    dag_id = text_of(task.kwargs.get("external_dag_id")) or "*"
    members = by_dag.get(dag_id)
    if members is None:
        plan.why = f"the sensor runs unchanged: the DAG {dag_id} isn't in the project"
        return
    targets = _awaited(plan, members, dag_id)
    other = members[0].schedule
    problem = _other_interval(plan, other)
    if problem:
        plan.refuse(
            f"it waits for {dag_id}, {problem}",
            "decide which interval of the other task this one needs: `inputs:` with `lookback`,"
            " `previous` or `within`",
        )
    elif not targets:
        plan.refuse(
            f"the task of {dag_id} that it waits for isn't in the project", "write the dependency"
        )
    else:
        plan.verdict, plan.waits_for = Verdict.CARRIED, targets
        plan.why = f"tasks after it depend on {', '.join(t.id for t in targets[:3])}"


def _awaited(plan: Plan, members: Sequence[Plan], dag_id: str) -> list[Plan]:
    group = plan.task.kwargs.get("external_task_group_id")
    wanted = {f"{dag_id}.{name}" for name in _awaited_ids(plan.task)}
    if wanted:
        return [member for member in members if member.id in wanted]
    if isinstance(group, str):
        members = [member for member in members if member.id.startswith(f"{dag_id}.{group}.")]
    return _last(members)


def _awaited_ids(task: Task) -> list[str]:
    several = task.kwargs.get("external_task_ids")
    named = [task.kwargs.get("external_task_id"), *(several if isinstance(several, list) else [])]
    return [text_of(item) or "*" for item in named if item is not None]


def _last(members: Sequence[Plan]) -> list[Plan]:
    return [member for member in members if not member.task.downstream]


def _other_interval(plan: Plan, other: Schedule) -> str:
    """Why the sensor's run and the other DAG's aren't of one partition; empty if they are."""
    delta = plan.task.kwargs.get("execution_delta")
    if plan.task.kwargs.get("execution_date_fn") is not None:
        return "for a run that a function computes"
    states = plan.task.kwargs.get("allowed_states")
    if isinstance(states, list) and any("fail" in (text_of(state) or "*") for state in states):
        return "also after it has failed"
    if delta is not None and not isinstance(delta, dt.timedelta):
        return "for a run at a distance known only at run time"
    if plan.schedule.grain != other.grain or not other.grain:
        same = plan.schedule.text == other.text and delta is None
        return "" if same else f"whose schedule ({other.text}) has other intervals"
    return _distance(plan, other, delta)


def _distance(plan: Plan, other: Schedule, delta: dt.timedelta | None) -> str:
    """Both run once for each partition; the delta must lead to the same one."""
    if plan.schedule.grain == "hour" or not (plan.schedule.cron and other.cron):
        return "" if not delta else "for a run of another interval"
    mine, theirs = minutes_of(plan.schedule.cron), minutes_of(other.cron)
    expected = mine - theirs
    given = int((delta or dt.timedelta(0)).total_seconds() // 60)
    if given == expected:
        return ""
    return (
        "for a run of another interval"
        if delta
        else "which runs at another time of the day, so that Airflow finds no run to wait for"
    )


def minutes_of(cron: str) -> int:
    """Return the minute of the day at which a daily cron expression fires."""
    minute, hour = cron.split()[:2]
    return int(hour) * 60 + int(minute) if hour.isdigit() and minute.isdigit() else 0


def _trigger_run(plan: Plan, plans: Plans, by_dag: Mapping[str, list[Plan]]) -> None:
    target = text_of(plan.task.kwargs.get("trigger_dag_id")) or "*"
    members = by_dag.get(target)
    if members is None:
        plan.why = f"it starts {target} unchanged: that DAG isn't in the project"
    elif plan.task.kwargs.get("conf"):
        plan.refuse(
            f"it starts {target} with values of its own (conf)",
            "write the values as parameters of the assets of that DAG",
        )
    elif members[0].schedule.kind != "none":
        plan.refuse(
            f"it starts {target}, which also has a schedule of its own",
            "decide which of the two runs it",
        )
    else:
        plan.verdict = Verdict.CARRIED
        plan.why = f"the first tasks of {target} run after those before it"
        if plan.task.kwargs.get("wait_for_completion") is True:
            plan.waits_for = _last(members)
        for member in members:
            if not member.task.edges:
                member.starts_after.append(plan)
                plans.others.append((plan, member, DependencyKind.TRIGGER))


def _follow_datasets(plans: Plans) -> None:
    """A DAG that waits for datasets comes after the tasks that update them."""
    makers: dict[str, list[Plan]] = {}
    for plan in plans:
        for uri in dataset_uris(plan.task.kwargs.get("outlets")):
            makers.setdefault(uri, []).append(plan)
    for plan in plans:
        if plan.schedule.kind == "datasets" and not plan.task.edges:
            _start_after_makers(plan, plans, makers)


def _start_after_makers(plan: Plan, plans: Plans, makers: Mapping[str, list[Plan]]) -> None:
    for uri in plan.schedule.datasets:
        for maker in makers.get(uri, []):
            plan.starts_after.append(maker)
            plans.others.append((maker, plan, DependencyKind.DATASET))
    _check_datasets(plan, makers)


def _check_datasets(plan: Plan, makers: Mapping[str, list[Plan]]) -> None:
    missing = [uri for uri in plan.schedule.datasets if uri not in makers]
    if plan.verdict is Verdict.PERSON or plan.is_order:
        return
    if missing or plan.schedule.reason:
        reason = plan.schedule.reason or f"no task of the project updates the dataset {missing[0]}"
        plan.refuse(
            f"when it starts isn't known: {reason}",
            "declare the dataset as a source, and the task as an asset that reads it",
        )


def _follow_tables(plans: Plans) -> None:
    """A query that reads another one's table comes after it."""
    writers = {plan.writes: plan for plan in plans if plan.writes and plan.query is not None}
    for plan in plans:
        for name in plan.query.reads if plan.query is not None else ():
            writer = writers.get(name)
            if writer is not None and writer is not plan:
                plans.others.append((writer, plan, DependencyKind.TABLE))


def _follow_skips(plans: Plans) -> None:
    """Tasks after a branch run only where it chooses them."""
    skipping = [
        plan
        for plan in plans
        if plan.task.base in operators.BRANCHES | operators.SHORT_CIRCUITS
        or plan.task.base.startswith("Branch")
    ]
    for plan in skipping:
        for other in _skipped_by(plan, plans):
            if other.verdict is not Verdict.PERSON and not other.is_order:
                other.refuse(
                    f"it runs only where {plan.id} doesn't skip it; {NO_SKIPS}",
                    f"decide with {plan.id} whether it always runs",
                )


def _skipped_by(plan: Plan, plans: Plans) -> list[Plan]:
    """Tasks after a branch, up to those that join its ways again."""
    found: dict[int, Plan] = {}
    waiting = list(plan.task.downstream.values())
    while waiting:
        task = waiting.pop()
        other = plans.by_task.get(id(task))
        if other is not None and id(task) not in found and not _joins(task):
            found[id(task)] = other
            waiting += task.downstream.values()
    return list(found.values())


def _joins(task: Task) -> bool:
    rule = task.argument("trigger_rule", "all_success")
    return bool(rule != "all_success")
