"""Which queries can't be assets, because something that stays in Airflow shares their tables.

An asset writes into the lake, and reads other tables when their source is ingested. So a table is
carried only if every task that may write or read it is carried with it, in an order that holds.
What a task may touch is what its text names; a task whose text isn't all there may touch
everything that comes before or after it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from itertools import product

from sqlglot import exp
from sqlglot.errors import SqlglotError

from headrace_import.importers.airflow import operators
from headrace_import.importers.airflow.following import minutes_of
from headrace_import.importers.airflow.naming import whole_names
from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.outcomes import Plan, Plans, texts_in
from headrace_import.importers.airflow.queries import known_functions
from headrace_import.importers.airflow.sql_tasks import UNKNOWN_PART
from headrace_import.importers.airflow.statements_sql import NotCarried, TableName
from headrace_import.importers.airflow.values import (
    Applied,
    Class,
    Decorated,
    ExternalCall,
    Function,
    Instance,
    ProjectModule,
    Value,
    dag_params,
    items_of,
)
from headrace_import.importers.imported import CONDITION, Verdict
from headrace_import.importers.sql_depth import TooDeep, parse_statements

_ONLY_TELLING = re.compile(
    r"EmailOperator|Slack(API\w*|Webhook)Operator|SnsPublishOperator"
    r"|(MSTeams|Discord|Opsgenie|Telegram|PagerDuty)\w*Operator"
)
"""Operators that send a message to people: they touch no table."""
_NOT_HERE = re.compile(r"\{\{[^}]*\b(var|conn|ti|task_instance|xcom_pull|dag_run)\b")
_JINJA = re.compile(r"\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_PARAM = re.compile(r"\bparams\W+(\w+)")
_FILE = re.compile(r"[\w./-]+\.(?:sql|hql|bql|ddl|py|sh|ya?ml|json|txt)\b")
_WORD = re.compile(r"\w+")
_DEEP_MAX = 20
_NAMED_MAX = 3
"""Maximum number of tasks that one note names."""
_Table = tuple[str, TableName]


def leave_together(plans: Plans, origin: Origin) -> None:
    """Leave queries in Airflow until nothing outside shares a table with those that are carried."""
    reader = _Texts(origin)
    while True:
        sharing = _Sharing(plans, reader)
        refused = [(plan, reason) for plan in sharing.carried if (reason := sharing.reason(plan))]
        for plan, reason in refused:
            _leave(plan, reason, plans)
        if not refused:
            break
    for plan in sharing.carried:
        plan.todo += sharing.programs_beside(plan)
    _leave_sensors(plans)


def _leave(plan: Plan, reason: str, plans: Plans) -> None:
    plan.query, plan.shared, plan.verdict = None, plan.query, Verdict.COMMAND
    plan.why, plan.todo = f"it runs unchanged in Airflow: {reason}", []
    for other in plans:
        if other.part_of is plan:
            other.part_of, other.verdict = None, Verdict.COMMAND
            other.why = f"it runs unchanged in Airflow, as {plan.id} does"


def _leave_sensors(plans: Plans) -> None:
    """A sensor or a start of another DAG is no dependency on tasks that only a person carries."""
    for plan in plans:
        missing = [other.id for other in plan.waits_for if other.verdict is Verdict.PERSON]
        if missing and plan.verdict is Verdict.CARRIED:
            plan.refuse(
                f"it waits for {missing[0]}, which is for a person",
                f"write the dependency once {missing[0]} is carried",
            )


class _Sharing:
    """The tasks as they are now: carried queries, and all that stays outside."""

    def __init__(self, plans: Plans, texts: _Texts) -> None:
        self.carried = [plan for plan in plans if plan.query is not None]
        self._outside = [
            plan for plan in plans if plan.verdict is not Verdict.CARRIED and not _only_tells(plan)
        ]
        self._texts = texts
        self._missed = plans.missed
        self._before = {plan.id: _reached(plan, plans.all_before) for plan in plans}
        names: dict[str, list[TableName]] = {}
        for plan in self.carried:
            names.setdefault(plan.connection, []).extend(_tables(plan))
        self._whole = {key: whole_names(tables) for key, tables in names.items()}
        self._writers: dict[_Table, list[Plan]] = {}
        for plan in self.carried:
            if plan.query is not None and plan.query.fills_table:
                self._writers.setdefault(self._key(plan, plan.query.table), []).append(plan)

    def _key(self, plan: Plan, table: TableName) -> _Table:
        return plan.connection, self._whole[plan.connection][table]

    def reason(self, plan: Plan) -> str:
        """Why a query can't be carried as things are; empty if it can."""
        return (
            self._missed.get(plan.task.file, "")
            or self._not_translated(plan)
            or self._from_unknown(plan)
            or self._from_before(plan)
            or self._from_after(plan)
            or self._from_named(plan)
            or self._from_carried(plan)
        )

    def programs_beside(self, plan: Plan) -> list[str]:
        """What a person must know of the tasks outside whose text may not name all their tables."""
        programs = [other.id for other in self._outside if not other.is_sql and not _waits(other)]
        if not programs:
            return []
        more = f" and {len(programs) - _NAMED_MAX} more" if len(programs) > _NAMED_MAX else ""
        tables = " or ".join(".".join(name) for name in _tables(plan))
        note = (
            f"{CONDITION} a program in Airflow uses {tables}: what they do isn't read here"
            f" ({', '.join(programs[:_NAMED_MAX])}{more})"
        )
        return [note]

    @staticmethod
    def _not_translated(plan: Plan) -> str:
        assert plan.query is not None
        try:
            plan.query.text({name: name[-1] for name in plan.query.reads})
        except NotCarried as refusal:
            return refusal.reason
        return ""

    def _from_unknown(self, plan: Plan) -> str:
        """A call that may add any tasks to its DAG, in any order."""
        for other in self._outside:
            dag = other.task.dag
            unknown = dag is not None and dag.unknown and other.task.file == plan.task.file
            if other.task.unfollowed and (unknown or other.dag_id == plan.dag_id):
                return f"which tasks `{other.task.operator}(…)` adds to it isn't known"
        return ""

    def _from_before(self, plan: Plan) -> str:
        """Work outside that comes before it, and may fill any table."""
        assert plan.query is not None
        from_source = [name for name in plan.query.reads if not self._writer(plan, name)]
        outside = {other.id for other in self._outside}
        for other in self._before[plan.id].values():
            if other.id in outside or (other.source is not None and from_source):
                table = ".".join(from_source[0]) if from_source else "what it reads"
                return f"{other.id} comes before it, and a source of {table} waits for nothing"
        return ""

    def _from_after(self, plan: Plan) -> str:
        """Work outside that comes after it, and may read or change its table."""
        assert plan.query is not None
        after = [other for other in self._outside if plan.id in self._before[other.id]]
        if not after or not plan.query.fills_table:
            return ""
        return (
            f"{after[0].id} comes after it and isn't carried: it may read or change"
            f" {'.'.join(plan.query.table)}, which an asset doesn't write there"
        )

    def _from_named(self, plan: Plan) -> str:
        """Work outside whose text names one of its tables, or doesn't say what it changes."""
        assert plan.query is not None
        for other in self._outside:
            words = self._texts.words(other)
            if words is None:
                return f"{other.id} isn't carried, and its statements don't say what they change"
            named = [name for name in _tables(plan) if set(_WORD.findall(name[-1])) <= words]
            if named:
                return (
                    f"{other.id} isn't carried, and names {'.'.join(named[0])}: both must work on"
                    " one table, in the order of Airflow"
                )
        return ""

    def _from_carried(self, plan: Plan) -> str:
        """Other carried queries on one of its tables that aren't in an order with it."""
        assert plan.query is not None
        for name in plan.query.reads:
            writer = self._writer(plan, name)
            if writer and writer.id not in self._before[plan.id] and not _earlier(writer, plan):
                return (
                    f"it reads {'.'.join(name)}, which {writer.id} writes, and nothing says which"
                    " of them runs first"
                )
        for other in self.carried:
            reason = self._conflict(plan, other) if other is not plan else ""
            if reason:
                return reason
        return ""

    def _writer(self, plan: Plan, name: TableName) -> Plan | None:
        writers = self._writers.get(self._key(plan, name), [])
        return writers[0] if writers and writers[0] is not plan else None

    def _conflict(self, plan: Plan, other: Plan) -> str:
        """Why the tables of two carried queries can't be told apart; empty if they can."""
        for table, other_table in product(_tables(plan), _tables(other)):
            unlike = self._key(plan, table) != self._key(other, other_table)
            written = _fills(plan, table) or _fills(other, other_table)
            if unlike and written and _ends_alike(table, other_table):
                return (
                    f"{other.id} uses {'.'.join(other_table)}, which may be the same table by"
                    " another connection or schema"
                )
            if not unlike and _fills(plan, table) and _fills(other, other_table):
                return f"{other.id} writes {'.'.join(table)} too, and an asset has one query"
        return ""


def _fills(plan: Plan, table: TableName) -> bool:
    return plan.query is not None and plan.query.fills_table and plan.query.table == table


def _tables(plan: Plan) -> list[TableName]:
    assert plan.query is not None
    return [*([plan.query.table] if plan.query.fills_table else []), *plan.query.reads]


def _only_tells(plan: Plan) -> bool:
    return bool(_ONLY_TELLING.fullmatch(plan.task.operator))


def _waits(plan: Plan) -> bool:
    return plan.task.operator.endswith("Sensor")


def _ends_alike(left: TableName, right: TableName) -> bool:
    length = min(len(left), len(right))
    return left[-length:] == right[-length:]


def _earlier(writer: Plan, reader: Plan) -> bool:
    """Whether a writer's schedule starts it before the reader, for the same intervals."""
    first, second = writer.schedule, reader.schedule
    same = (first.grain, first.timezone) == (second.grain, second.timezone)
    daily = same and first.grain == "day" and bool(first.cron and second.cron)
    return daily and minutes_of(first.cron) < minutes_of(second.cron)


def _reached(plan: Plan, neighbours: Callable[[Plan], list[Plan]]) -> dict[str, Plan]:
    reached: dict[str, Plan] = {}
    waiting = [plan]
    while waiting:
        for other in neighbours(waiting.pop()):
            if other.id not in reached:
                reached[other.id] = other
                waiting.append(other)
    return reached


class _Texts:
    """The words of tasks: of their arguments, of functions and files that these name."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._words: dict[str, set[str] | None] = {}

    def words(self, plan: Plan) -> set[str] | None:
        """Words in lower case; None for statements that don't say which tables they change."""
        if plan.id not in self._words:
            task = plan.task
            given = {name: value for name, value in task.kwargs.items() if name != "dag"}
            values = [given, task.function, task.called_with, dag_params(task)]
            text = " ".join(self._of_value(values, task.file, set(), 0)).lower()
            hidden = plan.is_sql and _changes_unknown(plan)
            self._words[plan.id] = None if hidden else set(_WORD.findall(text))
        return self._words[plan.id]

    def _of_value(self, value: Value, file: str, seen: set[int | str], depth: int) -> Iterator[str]:
        if depth > _DEEP_MAX or id(value) in seen:
            return
        seen.add(id(value))
        match value:
            case Decorated() | Applied():
                yield from self._of_value(value.function, file, seen, depth + 1)
            case Function():
                yield from self._of_node(value, seen, depth)
            case Class() | Instance():
                outer = value.bases if isinstance(value, Class) else (value.cls,)
                for item in (*value.names.values(), *outer):
                    yield from self._of_value(item, file, seen, depth + 1)
            case ProjectModule():
                yield self._origin.module(value.path).text
            case list() | tuple() | set() | dict() | ExternalCall():
                for item in items_of(value):
                    yield from self._of_value(item, file, seen, depth + 1)
            case _:
                for text in texts_in(value):
                    yield text
                    yield from self._of_files(text, file, seen)

    def _of_node(self, function: Function, seen: set[int | str], depth: int) -> Iterator[str]:
        """Text of a function, and of what it names in its module."""
        yield ast.unparse(function.node)
        names = {node.id for node in ast.walk(function.node) if isinstance(node, ast.Name)}
        for name in sorted(names):
            _, value = function.scope.lookup(name)
            yield from self._of_value(value, function.scope.file, seen, depth + 1)

    def _of_files(self, text: str, file: str, seen: set[int | str]) -> Iterator[str]:
        for path in _FILE.findall(text):
            data_file = self._origin.data_file(path, file)
            data_file = data_file or self._origin.template_file(path, [], file)
            if data_file is not None and data_file[0] not in seen:
                seen.add(data_file[0])
                yield data_file[1]


def _changes_unknown(plan: Plan) -> bool:
    """Whether statements call something that may change any table, or aren't all known."""
    if plan.statements is None:
        return plan.task.base in operators.SQL_OPERATORS
    params = dag_params(plan.task)
    given = [name for text in plan.statements for name in _PARAM.findall(text)]
    return not all(isinstance(params.get(name), str | int | float) for name in given) or any(
        _calls(text, plan.dialect) for text in plan.statements
    )


def _calls(text: str, dialect: str) -> bool:
    if "{%" in text or UNKNOWN_PART in text or _NOT_HERE.search(text):
        return True
    try:
        trees = parse_statements(_JINJA.sub("x", text), dialect)
    except (SqlglotError, TooDeep, RecursionError, ValueError):
        return True
    return any(
        isinstance(node, exp.Command | exp.Execute)
        or (isinstance(node, exp.Anonymous) and node.name.lower() not in known_functions())
        for tree in trees
        for node in tree.walk()
    )
