"""Decide what becomes of each task: an asset, a command, an order, or work for a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from headrace_import.importers.airflow import operators
from headrace_import.importers.airflow.file_sensors import NotASource, awaited_files, is_file_sensor
from headrace_import.importers.airflow.following import follow_dependencies
from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.outcomes import NO_SKIPS, Plan, Plans, fields_of
from headrace_import.importers.airflow.reading import Reading
from headrace_import.importers.airflow.schedules import Schedule, schedule_of
from headrace_import.importers.airflow.sql_tasks import SqlReader
from headrace_import.importers.airflow.statements_sql import NotCarried, Statements, TableName
from headrace_import.importers.airflow.templates import Instant, parse
from headrace_import.importers.airflow.trigger_rules import SUCCESS_ONLY, words_of
from headrace_import.importers.airflow.values import Dag, External, Task, text_of
from headrace_import.importers.imported import Verdict
from headrace_import.importers.origin_files import working_on


def task_id_of(task: Task) -> str:
    """Return `dag_id.task_id`."""
    assert task.dag is not None
    return f"{task.dag.dag_id}.{task.task_id}"


def plan_tasks(reading: Reading, origin: Origin) -> Plans:
    """Decide about each task by itself, then about those that depend on others."""
    plans = Plans(missed={item.file: item.reason for item in reading.problems if item.line})
    schedules: dict[int, Schedule] = {}
    sql_reader = SqlReader(origin, reading.tasks)
    for task in reading.tasks:
        assert task.dag is not None
        schedule = schedules.setdefault(id(task.dag), schedule_of(task.dag))
        item = task_id_of(task)
        known = plans.by_id.get(item)
        if known is not None and "*" in item and known.task.line != task.line:
            item = f"{item} ({task.file}:{task.line})"
            known = plans.by_id.get(item)
        if known is not None:
            plans.by_task[id(task)] = known
            _merge(known, task)
            continue
        plan = Plan(task, item, schedule)
        plans.by_id[item] = plans.by_task[id(task)] = plan
        with working_on(task.file):
            _decide(plan, sql_reader)
    _join_statements(plans, sql_reader)
    follow_dependencies(plans)
    return plans


def _merge(plan: Plan, task: Task) -> None:
    """Several tasks with one id: a pattern of names made at run time, or an error of the file."""
    plan.task.edges.update(task.edges)
    if plan.verdict is not Verdict.PERSON and not plan.is_order:
        plan.refuse("the file builds several tasks with this id", "give each task an id of its own")


def _decide(plan: Plan, sql_reader: SqlReader) -> None:
    for rule in (_structure, _role, _kind_of_operator):
        if not plan.why:
            rule(plan)
    if not plan.why:
        _by_work(plan, sql_reader)
    if plan.verdict is not Verdict.PERSON:
        _note_losses(plan)


def _structure(plan: Plan) -> None:
    """Tasks of which only a run knows whether, or how often, there is one."""
    task = plan.task
    if task.unfollowed:
        plan.refuse(
            f"which tasks `{task.operator}(…)` builds isn't known: it isn't in the project",
            "write its tasks by hand, or import the folder in which it is defined, too",
        )
    elif task.dag is not None and task.dag.unknown:
        plan.refuse(
            "the DAG that it belongs to is known only at run time",
            "decide in which DAG it runs, and write its asset by hand",
        )
    elif task.only_in_rival:
        plan.refuse(
            f"{task.rival} builds the DAG {plan.dag_id} too, without this task: Airflow keeps one"
            " of the two",
            "give one of the DAGs an id of its own",
        )
    elif task.repeated:
        plan.refuse(
            "how many of it there are isn't known without running the file (it stands in a loop"
            " over a value that the import doesn't compute)",
            "write out the list in the new project: one asset for each item, or one partitioned"
            " by key",
        )
    elif "*" in plan.id:
        plan.refuse(
            "a part of its name is known only at run time",
            "give it a constant name, or write its asset by hand",
        )
    elif task.condition:
        plan.refuse(
            f"the file builds it only under a condition ({task.condition}) that is known at run"
            " time",
            "decide whether it is needed, and import it without the condition",
        )
    elif task.mapped:
        plan.refuse(
            "it is expanded into several tasks at run time (dynamic mapping)",
            "partition an asset by the mapped key (`partition: {key: …}`), or compute all items in"
            " one task",
        )


def _role(plan: Plan) -> None:
    task = plan.task
    rule = task.argument("trigger_rule", SUCCESS_ONLY)
    name = rule.last.lower() if isinstance(rule, External) else text_of(rule) or "*"
    if task.role == "teardown":
        plan.refuse(
            "a teardown also runs after a failure; a Headrace asset runs only after success",
            "clean up in the command that set it up, or by a schedule of your own",
        )
    elif name != SUCCESS_ONLY and task.role != "setup":
        plan.refuse(*words_of(name))


def _kind_of_operator(plan: Plan) -> None:
    base = plan.task.base
    if base in operators.BRANCHES or base.startswith("Branch"):
        plan.refuse(
            "a branch chooses at run time which tasks run; " + NO_SKIPS,
            "compute the condition in the queries after it, or split them into assets that always"
            " run",
        )
    elif base in operators.SHORT_CIRCUITS:
        latest = base == "LatestOnlyOperator"
        plan.refuse(
            "it skips the tasks after it at run time; " + NO_SKIPS,
            "`trigger: {…, catch_up: latest}` computes only the newest interval"
            if latest
            else "filter in the query, or check the condition with a blocking check",
        )
    elif base in operators.ORDER_ONLY:
        plan.verdict = Verdict.CARRIED
        plan.why = "it does no work: tasks after it depend on those before it"
    elif base == "SubDagOperator":
        _subdag(plan)


def _subdag(plan: Plan) -> None:
    if isinstance(plan.task.kwargs.get("subdag"), Dag):
        plan.verdict = Verdict.CARRIED
        plan.why = "its SubDAG's tasks are items of their own, in the place of this one"
    else:
        plan.refuse(
            "the SubDAG that it runs is known only at run time", "write out the SubDAG's tasks"
        )


def _by_work(plan: Plan, sql_reader: SqlReader) -> None:
    if plan.schedule.kind == "unknown" and not plan.schedule.interval:
        plan.refuse(
            f"when its DAG runs isn't known: {plan.schedule.reason}",
            "say in `trigger:` when it runs",
        )
        return
    _read_sql(plan, sql_reader, [])


def _read_sql(plan: Plan, sql_reader: SqlReader, before: Sequence[Statements]) -> None:
    try:
        sql = sql_reader.read(plan.task, plan.schedule, before)
    except NotCarried as refusal:
        plan.is_sql = True
        plan.statements = sql_reader.statements(plan.task)
        if refusal.person:
            plan.refuse(refusal.reason, refusal.todo)
            return
        plan.why = f"it runs unchanged in Airflow: {refusal.reason}"
        plan.todo = [refusal.todo] if refusal.todo else []
        plan.verdict, plan.query = Verdict.COMMAND, None
        plan.prepares = refusal.prepares
        plan.writes = refusal.writes
        return
    if sql is None:
        _other_work(plan)
        return
    plan.is_sql = True
    plan.verdict, plan.query, plan.prepares = Verdict.CARRIED, sql.query, None
    plan.writes = sql.query.table if sql.query.materialize else ()
    plan.dialect, plan.connection = sql.dialect, sql.connection
    plan.statements = sql_reader.statements(plan.task)
    plan.why = sql.why
    plan.todo = list(sql.todo)


def _other_work(plan: Plan) -> None:
    task = plan.task
    no_source = _wait_for_files(plan) if is_file_sensor(task) else ""
    if plan.source is None:
        _unchanged_work(plan, no_source)


def _unchanged_work(plan: Plan, no_source: str) -> None:
    """Work that runs in Airflow, if nothing of it needs a person."""
    task = plan.task
    no_partition = plan.schedule.kind in ("cron", "interval") and not plan.schedule.grain
    if task.base in operators.SQL_CHECKS:
        plan.why = "it checks a table in its own database, and runs unchanged in Airflow"
        plan.todo = ["write it as a check of the asset, once the table is one"]
    elif _uses_conf(task):
        plan.refuse(
            "it uses the conf of a run, which a person or another DAG gives when it starts",
            "write the values as parameters of the asset",
        )
    elif no_partition and _uses_time(task):
        plan.refuse(
            f"it uses the interval of its schedule ({plan.schedule.text}), which is no hour, day,"
            " week, month, quarter or year",
            "choose a partition for it, and give the task its dates",
        )
    elif _may_skip(task):
        plan.refuse(
            "it skips what follows if it waits too long; " + NO_SKIPS,
            "let the tasks after it wait, or declare the input `optional`",
        )
    else:
        because = f": {no_source}" if no_source else ""
        plan.why = f"it runs unchanged in your Airflow environment ({task.operator}){because}"
        plan.todo = [_no_partition_note(plan)] if no_partition else []


def _wait_for_files(plan: Plan) -> str:
    """Make a sensor the source of its files; else return why it isn't one."""
    try:
        name, path, remark = awaited_files(plan.task, plan.schedule)
    except NotASource as refusal:
        return str(refusal)
    plan.verdict, plan.source = Verdict.CARRIED, (name, path)
    plan.why = f"the source of its files: tasks after it wait until {path} has arrived"
    plan.todo = [remark] if remark else []
    return ""


def _may_skip(task: Task) -> bool:
    """Whether a sensor that waits too long skips what follows."""
    return operators.is_sensor(task.base) and task.argument("soft_fail") is True


def _no_partition_note(plan: Plan) -> str:
    return (
        f"its schedule `{plan.schedule.text}` is no hour, day, week, month, quarter or year: it"
        " runs at each firing, with the time of the run as its date"
    )


def _uses_conf(task: Task) -> bool:
    return any("dag_run.conf" in text for text in fields_of(task))


def _uses_time(task: Task) -> bool:
    """Whether a Jinja field names a time of the interval."""
    return any(
        isinstance(piece, Instant)
        for text in fields_of(task)
        if "{{" in text
        for piece in parse(text).pieces
    )


def _note_losses(plan: Plan) -> None:
    """Say what of a task isn't carried, though its work is."""
    task = plan.task
    if task.rival and not task.only_in_rival:
        plan.todo.append(
            f"{task.rival} builds the DAG {plan.dag_id} with this task too: Airflow keeps one of"
            " the two, and the import keeps this one"
        )
    callbacks = [name for name in operators.CALLBACKS if task.argument(name) is not None]
    if callbacks and not plan.is_order:
        plan.todo.append(
            f"its {callbacks[0]} isn't called: Headrace opens an incident and notifies the owner"
        )
    if plan.schedule.end and not plan.is_order:
        plan.todo.append(
            f"its DAG ends at its end_date ({plan.schedule.end}), and an asset has no end: delete"
            " its file then"
        )
    if isinstance(task.argument("sla"), dt.timedelta):
        plan.todo.append("its SLA isn't carried: declare a consumer with `due:`")
    if task.argument("depends_on_past") is True and not plan.is_order:
        plan.todo.append(
            "it waited for its own run before (depends_on_past); `concurrency: 1` runs one interval"
            " at a time, also after a failed one"
        )


# Statements of several tasks that fill one table


def _join_statements(plans: Plans, sql_reader: SqlReader) -> None:
    """Try a task's SQL again with what earlier tasks of its DAG did to the table."""
    for plan in plans:
        if plan.is_sql and plan.verdict is not Verdict.PERSON and plan.prepares is None:
            _join_before(plan, plans, sql_reader)
    _join_definitions(plans)


def _join_definitions(plans: Plans) -> None:
    """A task that only defines tables which assets write, also those of other DAGs."""
    writers = {plan.writes: plan for plan in plans if plan.writes and plan.query is not None}
    for plan in plans:
        tables = _only_defined(plan)
        filled_by = [writers[table] for table in tables if table in writers]
        if filled_by and len(filled_by) == len(tables):
            plan.verdict, plan.part_of, plan.todo = Verdict.CARRIED, filled_by[0], []
            plan.why = f"the asset of {filled_by[0].id} creates its table by itself"


def _only_defined(plan: Plan) -> list[TableName]:
    """Tables that a task creates, if it does nothing else."""
    prepared = plan.prepares
    if plan.verdict is not Verdict.COMMAND or prepared is None:
        return []
    return [] if prepared.cleared or prepared.deletes else list(prepared.defined)


def _join_before(plan: Plan, plans: Plans, sql_reader: SqlReader) -> None:
    before = [other for other in _upstream(plan, plans) if other.prepares is not None]
    prepared = [other.prepares for other in before if other.prepares]
    if plan.query is None and before:
        _read_sql(plan, sql_reader, prepared)
        _note_losses(plan)
    definitions = _definitions(plan, plans)
    if definitions:
        _read_sql(plan, sql_reader, [*prepared, *definitions])
        _note_losses(plan)
    for other in before:
        _make_part(other, plan)


def _definitions(plan: Plan, plans: Plans) -> list[Statements]:
    """What tasks of any DAG say of the types of the table that a plan writes."""
    table = plan.query.table if plan.query is not None else ()
    prepared = [other.prepares for other in plans if other.prepares is not None]
    return [
        Statements(defined={table: statements.defined[table]})
        for statements in prepared
        if statements.defined.get(table)
    ]


def _upstream(plan: Plan, plans: Plans) -> list[Plan]:
    """Plans of all tasks before, those of the same DAG."""
    found: dict[int, Plan] = {}
    waiting = [plan]
    while waiting:
        for other in plans.before(waiting.pop()):
            if id(other) not in found and other.task.dag is plan.task.dag:
                found[id(other)] = other
                waiting.append(other)
    return list(found.values())


def _make_part(other: Plan, plan: Plan) -> None:
    """A task that only clears or creates the table of an asset is a part of it."""
    prepared = other.prepares
    if plan.query is None or prepared is None:
        return
    tables = prepared.cleared | set(prepared.deletes) | set(prepared.defined)
    deletes_other_rows = plan.query.table in prepared.deletes and not plan.query.partitioned
    if tables == {plan.query.table} and not deletes_other_rows and not prepared.foreign_deletes:
        other.verdict, other.part_of, other.todo = Verdict.CARRIED, plan, []
        other.why = f"the asset of {plan.id} creates its table and replaces its rows by itself"
