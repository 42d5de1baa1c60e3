"""Tables that activities write and read: one node each, and sources for what comes from outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from headrace_import.importers.adf.activities import Activity, Pipeline
from headrace_import.importers.adf.commands import command_draft, command_todo
from headrace_import.importers.adf.copying import Context
from headrace_import.importers.adf.drafts import Draft, Names, Outcome, TableKey
from headrace_import.importers.adf.graph import Graph
from headrace_import.importers.adf.reading import text_at
from headrace_import.importers.adf.schedules import Schedule
from headrace_import.importers.adf.sql_tasks import with_tables
from headrace_import.importers.adf.stores import DATABASES, Stores, table_name
from headrace_import.importers.adf.table_users import TableUsers, is_database_source, why_needed
from headrace_import.importers.imported import CONDITION, Dependency, DependencyKind, Verdict


class Tables:
    """Which node stands for which table."""

    def __init__(self, names: Names, stores: Stores) -> None:
        self._names, self._stores = names, stores
        self.sources: list[Draft] = []
        self._written: dict[TableKey, Draft] = {}
        self._outside: dict[TableKey, Draft] = {}

    def settle(
        self,
        outcomes: Mapping[str, Outcome],
        graph: Graph,
        context: Callable[[Pipeline], Context],
    ) -> None:
        """Give up what can't be carried next to the other activities, then name all tables."""
        for outcome, reason in list(_shared(outcomes)):
            _to_command(outcome, context, reason)
        users = TableUsers(outcomes, self._stores, graph)
        while self._give_up_needed(outcomes, context, users):
            pass
        while (circle := _circle(outcomes)) is not None:
            _to_command(circle, context, "its table is computed from itself through others")
        _name_programs(outcomes, users.programs())
        drafts = [draft for _, draft in _all_drafts(outcomes)]
        self._written = {draft.target: draft for draft in drafts if draft.target is not None}
        for draft in drafts:
            self._name_tables(draft)

    def _give_up_needed(
        self,
        outcomes: Mapping[str, Outcome],
        context: Callable[[Pipeline], Context],
        users: TableUsers,
    ) -> bool:
        needed = [(o, self._still_needed(o, outcomes, context, users)) for o in outcomes.values()]
        for outcome, reason in needed:
            if reason:
                _to_command(outcome, context, reason)
        return any(reason for _, reason in needed)

    def _still_needed(
        self,
        outcome: Outcome,
        outcomes: Mapping[str, Outcome],
        context: Callable[[Pipeline], Context],
        users: TableUsers,
    ) -> str:
        """Return why a table must go on being written in its own database; empty if not."""
        if outcome.verdict is not Verdict.CARRIED:
            return ""
        drafts = _all_drafts(outcomes)
        written = {draft.target: other.activity for other, draft in drafts if draft.target}
        for draft in outcome.drafts:
            user = users.user(draft.target, outcome.activity) if draft.target else None
            if user is not None:
                return why_needed(user)
            reason = self._filled_elsewhere(draft, outcome.activity, written, context, users)
            if reason:
                return reason
        return ""

    def _filled_elsewhere(
        self,
        draft: Draft,
        activity: Activity,
        written: Mapping[TableKey, Activity],
        context: Callable[[Pipeline], Context],
        users: TableUsers,
    ) -> str:
        """Return why a draft would read a table too early; empty if it doesn't."""
        unordered = self._unordered(draft, activity, written, context, users)
        if unordered:
            return unordered
        tables = [key.table for key in draft.reads if key not in written]
        same = next((key for key in written if key.table in tables), None)
        if same is not None:
            return f"`{written[same].name}` writes a table `{same.table}`, which may be the same"
        if is_database_source(draft):
            tables.append(str(draft.fields.get("table", "")).rpartition(".")[2])
        is_read = tables or draft.kind == "source"
        filler = users.filler(tables, activity) if is_read else None
        return f"`{filler.activity.name}` prepares what it reads" if filler is not None else ""

    @staticmethod
    def _unordered(
        draft: Draft,
        activity: Activity,
        written: Mapping[TableKey, Activity],
        context: Callable[[Pipeline], Context],
        users: TableUsers,
    ) -> str:
        schedule = context(activity.pipeline).schedule
        for key in draft.reads:
            writer = written.get(key, activity)
            is_ordered = writer is activity or users.is_after(writer, activity)
            if not is_ordered and not _earlier(context(writer.pipeline).schedule, schedule):
                return f"it reads `{key.table}`, and nothing says that `{writer.name}` runs before"
        return ""

    def _name_tables(self, draft: Draft) -> None:
        if draft.kind != "sql" or not draft.reads:
            return
        names = [self._node(key) for key in draft.reads]
        draft.sql = with_tables(draft.sql, names)
        draft.inputs += [name for name in names if name not in draft.inputs]

    def _node(self, key: TableKey) -> str:
        if key in self._written:
            return self._written[key].name
        if key not in self._outside:
            self._outside[key] = self._source(key)
            self.sources.append(self._outside[key])
        return self._outside[key].name

    def _source(self, key: TableKey) -> Draft:
        name = self._names.take(table_name(key), f"{key.store}_{key.table}")
        full = f"{key.schema}.{key.table}" if key.schema else key.table
        store = self._stores.origin.find("linked service", key.store, "")
        if store is not None and text_at(store.raw, "type").lower() in DATABASES:
            connection = self._stores.connection(store) or ""
            table = (
                full
                if key.schema or "mysql" in text_at(store.raw, "type").lower()
                else f"public.{full}"
            )
            return Draft(
                "source",
                name,
                "",
                {"connection": connection, "table": table},
                connection=connection,
            )
        where = store.name if store is not None else key.store
        comment = (
            f"The table {full} of {where}: Headrace doesn't read that database. "
            "Export the table into this file, or declare where it comes from."
        )
        fields = {"files": f"landing/{name}.parquet"}
        return Draft("source", name, "", fields, comments=[comment])

    @staticmethod
    def dependencies(outcomes: Mapping[str, Outcome]) -> Iterator[Dependency]:
        """Yield where one activity writes the table or file that another reads."""
        writers = {draft.name: outcome.activity.id for outcome, draft in _all_drafts(outcomes)}
        for outcome, draft in _all_drafts(outcomes):
            for writer in (writers.get(name) for name in draft.inputs):
                if writer is not None and writer != outcome.activity.id:
                    yield Dependency(writer, outcome.activity.id, DependencyKind.TABLE)


def _name_programs(outcomes: Mapping[str, Outcome], programs: list[str]) -> None:
    """Say at each carried table which programs stay, as the files don't tell what they use."""
    listed = ", ".join(f"`{name}`" for name in programs[:_NAMED_MAX])
    more = f" and {len(programs) - _NAMED_MAX} more" if len(programs) > _NAMED_MAX else ""
    for outcome in outcomes.values():
        if programs and any(draft.kind in ("sql", "source") for draft in outcome.drafts):
            condition = (
                f"{CONDITION} what stays in the factory uses its tables or files: {listed}{more}"
            )
            outcome.todo = "; ".join(filter(None, [outcome.todo, condition]))


_NAMED_MAX = 5
_DAILY = re.compile(r"(\d+) (\d+) \* \* \*")


def _earlier(first: Schedule, second: Schedule) -> bool:
    """Whether the one schedule starts its pipeline before the other, on each day."""
    times = [_DAILY.fullmatch(schedule.cron or "") for schedule in (first, second)]
    minutes = [int(time[2]) * 60 + int(time[1]) for time in times if time is not None]
    same = first.timezone == second.timezone and not first.stopped and not second.stopped
    return same and len(minutes) == 2 and minutes[0] < minutes[1]


def _all_drafts(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[Outcome, Draft]]:
    for outcome in outcomes.values():
        for draft in outcome.drafts:
            yield outcome, draft


def _shared(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[Outcome, str]]:
    """Yield tasks that write a table which another one, or another item, writes as well."""
    writers: dict[TableKey, list[Outcome]] = {}
    for outcome, draft in _all_drafts(outcomes):
        if draft.target is not None:
            writers.setdefault(draft.target, []).append(outcome)
    for key, table_writers in writers.items():
        if len(table_writers) > 1:
            tasks = {writer.activity.id: writer for writer in table_writers}
            names = ", ".join(f"`{name}`" for name in tasks)
            reason = f"the table `{table_name(key)}` is written several times: {names}"
            yield from ((writer, reason) for writer in tasks.values())


def _circle(outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """Return a task whose table is computed from itself through others, if there is one."""
    reads = {
        draft.target: (outcome, set(draft.reads))
        for outcome, draft in _all_drafts(outcomes)
        if draft.target is not None
    }
    ends: set[TableKey] = set()
    grown = True
    while grown:
        more = {key for key, (_, needs) in reads.items() if needs & reads.keys() <= ends} - ends
        ends |= more
        grown = bool(more)
    return next((outcome for key, (outcome, _) in reads.items() if key not in ends), None)


def _to_command(outcome: Outcome, context: Callable[[Pipeline], Context], reason: str) -> None:
    activity = outcome.activity
    if len(activity.scopes) != 1 or activity.scopes[0].item is not None:
        outcome.becomes(
            Verdict.PERSON, reason, "decide where the table lives, then write its asset"
        )
        return
    where = context(activity.pipeline)
    todo = command_todo(activity, where.schedule)
    outcome.becomes(Verdict.COMMAND, f"it runs unchanged in the factory: {reason}", todo)
    outcome.drafts.append(command_draft(activity, where.names, where.folder, where.schedule))
