"""The files of the new project: assets, sources, owners and settings."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headrace.model.asset_fields import ATTEMPTS_MAX
from headrace_import.importers.airflow import operators
from headrace_import.importers.airflow.naming import Names, cleaned, owner_name, whole_names
from headrace_import.importers.airflow.origin import Origin, UnreadableFile
from headrace_import.importers.airflow.outcomes import Plan, Plans
from headrace_import.importers.airflow.queries import AssetQuery
from headrace_import.importers.airflow.schedules import Schedule, duration
from headrace_import.importers.airflow.statements_sql import TableName
from headrace_import.importers.airflow.utc_intervals import first_of
from headrace_import.importers.airflow.values import Dag, text_of
from headrace_import.importers.imported import UNRESTRICTED, OriginTable, Verdict
from headrace_import.importers.yaml_text import in_comment, mapping

RUNNER = "jobs/airflow_task.py"
DESCRIPTION_CHARACTERS_MAX = 300
PRIORITY_MAX = 1000
SHORT_CHARACTERS_MAX = 2
COMMAND_TIMEOUT = "1d"
"""Airflow has no time limit unless a task names one; Headrace's own is an hour."""
Table = tuple[str, TableName]
"""A table with the connection that it is reached by."""


@dataclass(slots=True)
class NewProject:
    """The new project while it is written."""

    plans: Plans
    origin: Origin
    files: dict[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    owners: dict[str, set[str]] = field(default_factory=dict)
    pools: set[str] = field(default_factory=set)
    connections: dict[str, str] = field(default_factory=dict)
    assets: dict[Table, Plan] = field(default_factory=dict)
    sources: dict[Table, str] = field(default_factory=dict)
    whole: dict[str, dict[TableName, TableName]] = field(default_factory=dict)

    # Names

    def name_all(self) -> None:
        """Give each asset and source its name."""
        self._collect_tables()
        for plan in self.plans:
            if plan.query is not None:
                self.assets[self._written_table(plan, plan.query)] = plan
                plan.name = self.names.take(*_asset_names(plan.query, plan.id))
        for plan in self.plans:
            if plan.source is not None:
                plan.name = self.names.take(plan.source[0], f"{plan.source[0]}_files", plan.id)
            elif plan.verdict is Verdict.COMMAND:
                plan.name = self.names.take(plan.id)

    def _collect_tables(self) -> None:
        found: dict[str, list[TableName]] = {}
        for plan in self.plans:
            if plan.query is not None:
                written = [plan.query.table] if plan.query.fills_table else []
                found.setdefault(plan.connection, []).extend([*written, *plan.query.reads])
        self.whole = {key: dict(whole_names(tables)) for key, tables in found.items()}

    def table(self, plan: Plan, name: TableName) -> Table:
        """Return a table with its connection and its longest known name."""
        return plan.connection, self.whole.get(plan.connection, {}).get(name, name)

    def _written_table(self, plan: Plan, query: AssetQuery) -> Table:
        """The table that an asset computes; that of a task that only selects is nobody else's."""
        return self.table(plan, query.table) if query.fills_table else ("", (plan.id,))

    # Files

    def write_all(self) -> None:
        """Write the files of all plans, and the project's own."""
        for plan in self.plans:
            if plan.query is not None:
                self._write_query(plan, plan.query)
            elif plan.verdict is Verdict.COMMAND:
                self._write_command(plan)
            elif plan.source is not None:
                self._write_file_source(plan, plan.source)
        for plan in self.plans:
            if plan.part_of is not None:
                plan.created = plan.part_of.created
        self._write_settings()

    def drop(self, plan: Plan, reason: str) -> None:
        """Leave a task to a person because its files aren't valid."""
        plan.refuse(f"its asset isn't valid: {reason}", "write the asset by hand")
        plan.created = ()
        for other in self.plans:
            if other.part_of is plan:
                other.refuse(f"it is a part of {plan.id}, which isn't carried", "")

    def _write_query(self, plan: Plan, query: AssetQuery) -> None:
        names: dict[TableName, str] = {}
        created = [f"assets/{plan.name}.sql"]
        for name in query.reads:
            names[name], path = self._read_name(plan, name)
            created += [path] if path else []
        text = query.text(names)
        plan.todo += self._read_from_sources(names)
        front = self._common(plan, set(names.values()))
        front |= _partition(plan, query)
        if query.materialize == "view":
            front = {key: value for key, value in front.items() if key in _VIEW_FIELDS}
        if query.parameters:
            front["parameters"] = query.parameters
        plan.created = tuple(dict.fromkeys(created))
        if query.fills_table and query.materialize != "view":
            full = ".".join(self.table(plan, query.table)[1])
            plan.table = OriginTable(plan.name, self._connection_of(plan), full)
        comments = _comment_lines([*self._comments(plan), *query.comments])
        self.files[created[0]] = f"/* headrace\n{_front_yaml(front)}*/\n{comments}{text}\n"

    def _read_name(self, plan: Plan, name: TableName) -> tuple[str, str]:
        """The node that a table has become, and the source's file if it is one."""
        table = self.table(plan, name)
        writer = self.assets.get(table)
        if writer is not None:
            return writer.name, ""
        if table not in self.sources:
            self.sources[table] = self.names.take(table[1][-1], "_".join(table[1][-2:]))
            self._write_table_source(plan, table)
        source = self.sources[table]
        return source, f"sources/{source}.yaml"

    def _read_from_sources(self, names: Mapping[TableName, str]) -> list[str]:
        tables = [".".join(table) for table, name in names.items() if name in self.sources.values()]
        note = (
            f"it reads {', '.join(tables)} from sources, which Headrace reads once a day or as"
            " their `every:` says; Airflow read them at each run"
        )
        return [note] if tables else []

    def _write_table_source(self, plan: Plan, table: Table) -> None:
        source, full = self.sources[table], ".".join(table[1])
        connection = self._connection_of(plan)
        fields: dict[str, Any] = {"source": source, "owner": self._owner(plan)}
        if connection:
            fields |= {"connection": connection, "table": full}
        else:
            fields |= {
                "description": f"The table {full}; export it as Parquet",
                "files": f"landing/{source}/*.parquet",
            }
        self.files[f"sources/{source}.yaml"] = mapping(fields)

    def _connection_of(self, plan: Plan) -> str:
        """Declare the connection of a task's database, and return its name.

        Empty if Headrace doesn't read tables of such databases.
        """
        scheme = operators.CONNECTION_URLS.get(plan.dialect)
        if scheme is None or not plan.connection:
            return ""
        connection = cleaned(plan.connection)
        self.connections[connection] = scheme
        return connection

    def _write_file_source(self, plan: Plan, source: tuple[str, str]) -> None:
        fields: dict[str, Any] = {"source": plan.name, "owner": self._owner(plan)}
        if "{date:" in source[1]:
            fields |= {"partition": plan.schedule.grain} | _start(plan.schedule)
        fields["files"] = source[1]
        path = f"sources/{plan.name}.yaml"
        self.files[path] = _comment_lines(self._comments(plan), "#") + mapping(fields)
        plan.created = (path,)

    def _write_command(self, plan: Plan) -> None:
        assert plan.task.dag is not None
        plan.name = plan.name or self.names.take(plan.id)
        path = f"assets/{plan.name}.yaml"
        fields: dict[str, Any] = {"asset": plan.name} | self._common(plan, set())
        if plan.schedule.grain:
            fields |= {"partition": plan.schedule.grain} | _start(self._command_schedule(plan))
        fields.setdefault("timeout", COMMAND_TIMEOUT)
        fields["materialize"] = "none"
        words = ["python3", RUNNER, plan.task.dag.dag_id, plan.task.task_id]
        fields["command"] = [*words, *_offset(plan.schedule)]
        self.files[path] = _comment_lines(self._comments(plan), "#") + mapping(fields)
        plan.created = (path,)

    def _command_schedule(self, plan: Plan) -> Schedule:
        """The schedule with the first interval for which a command starts something.

        Without catchup, Airflow starts no interval from before its DAG was turned on.
        """
        schedule = plan.schedule
        first = first_of(_today(), schedule.grain)
        is_past = schedule.start is None or _date(schedule.start) < first
        return replace(schedule, start=first) if is_past and not schedule.catchup else schedule

    def _comments(self, plan: Plan) -> list[str]:
        """Comment lines directly above the task in its file, below a line that names it."""
        task = plan.task
        lines = [f"Airflow: {plan.id} ({task.file}:{task.line})"]
        lines += _words_of_dag(task.dag) if task.dag is not None else []
        try:
            module = self.origin.module(task.file)
        except UnreadableFile:
            return lines
        above: list[str] = []
        number = task.line - 1
        while number > 0 and (text := module.segment(number, number).strip()).startswith("#"):
            above.insert(0, text.lstrip("# "))
            number -= 1
        return lines + above

    # Fields

    def _owner(self, plan: Plan) -> str:
        given = text_of(plan.task.argument("owner")) or "airflow"
        owner = owner_name(given.replace("*", ""))
        emails = plan.task.argument("email")
        emails = [emails] if isinstance(emails, str) else emails
        owner = next((name for name in self.owners if name.lower() == owner.lower()), owner)
        known = self.owners.setdefault(owner, set())
        if isinstance(emails, list | tuple):
            known |= {item for item in emails if isinstance(item, str) and _EMAIL.fullmatch(item)}
        return owner

    def _common(self, plan: Plan, read: set[str]) -> dict[str, Any]:
        task = plan.task
        fields: dict[str, Any] = {"owner": self._owner(plan)}
        description = _description(plan)
        if description:
            fields["description"] = description
        assert task.dag is not None
        fields["tags"] = _tags(task.dag)
        before = [name for name in self.depends(plan) if name != plan.name]
        depends = [name for name in before if name not in read]
        fields |= {"depends": depends} if depends else {}
        trigger = self._trigger(plan, before)
        fields |= {"trigger": trigger} if trigger else {}
        timeout = task.argument("execution_timeout")
        if isinstance(timeout, dt.timedelta) and timeout >= dt.timedelta(seconds=1):
            fields["timeout"] = duration(timeout)
        retries = task.argument("retries")
        if isinstance(retries, int) and not isinstance(retries, bool):
            fields["attempts_max"] = max(1, min(retries + 1, ATTEMPTS_MAX))
        return fields | self._capacity(plan)

    def _capacity(self, plan: Plan) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        pool, weight = plan.task.argument("pool"), plan.task.argument("priority_weight")
        if isinstance(pool, str) and pool and pool != "default_pool":
            fields["pool"] = cleaned(pool)
            self.pools.add(cleaned(pool))
            plan.todo.append(f"set the slots of the pool {cleaned(pool)} in headrace.toml")
        if isinstance(weight, int) and not isinstance(weight, bool) and weight != 1:
            fields["priority"] = max(-PRIORITY_MAX, min(weight, PRIORITY_MAX))
        if plan.task.argument("depends_on_past") is True:
            fields["concurrency"] = 1
        return fields

    def depends(self, plan: Plan) -> list[str]:
        """Names of what comes directly before, through tasks that only order."""
        found: dict[str, None] = {}
        seen: set[int] = set()
        waiting = [*reversed(self._before(plan)), *plan.starts_after]
        while waiting:
            other = waiting.pop()
            if id(other) in seen:
                continue
            seen.add(id(other))
            other = other.part_of or other
            if other.name and other.verdict is not Verdict.PERSON:
                found[other.name] = None
            elif other.is_order:
                waiting += [*reversed(self._before(other)), *other.waits_for, *other.starts_after]
        return list(found)

    def _before(self, plan: Plan) -> list[Plan]:
        return self.plans.before(plan)

    def _trigger(self, plan: Plan, depends: list[str]) -> Any:
        schedule = plan.schedule
        catch_up = {} if schedule.catchup else {"catch_up": "latest"}
        timed = _timed_trigger(schedule)
        if depends and not (schedule.grain and catch_up and timed):
            partitioned = bool(schedule.grain) or (plan.query is not None and plan.query.reads)
            return None if partitioned else {"upstream": depends[-1]}
        if timed:
            return timed | catch_up
        return None if schedule.kind == "once" else "manual"

    # Settings

    def _write_settings(self) -> None:
        name = _project_name(self.origin.root)
        lines = ["[project]", f'name = "{name}"', 'timezone = "UTC"', ""]
        if any(plan.verdict is Verdict.COMMAND for plan in self.plans):
            lines += ["[run]", f"pass_environment = {_PASSED}", *UNRESTRICTED, ""]
            self.files[RUNNER] = _RUNNER_TEXT
        if self.pools:
            lines += ["# Slots are kept in Airflow: `airflow pools list` prints them.", "[pools]"]
            lines += [f"{pool} = 1" for pool in sorted(self.pools)] + [""]
        for name, scheme in sorted(self.connections.items()):
            lines += _connection(name, scheme)
        self.files["headrace.toml"] = "\n".join(lines).rstrip() + "\n"
        self.owners.setdefault("airflow", set()) if not self.owners else None
        owners = {
            owner: {"kind": "team"}
            | ({"contact": [f"mailto:{email}" for email in sorted(emails)]} if emails else {})
            for owner, emails in sorted(self.owners.items())
        }
        self.files["owners.yaml"] = mapping(owners)


_VIEW_FIELDS = ("owner", "description", "tags", "materialize", "parameters")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_PASSED = '["AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW__CORE__DAGS_FOLDER"]'
_RUNNER_TEXT = '''"""Run one task of Airflow, for the interval of a Headrace partition.

Arguments: dag_id, task_id, how long after the partition's start Airflow's interval begins, and the
time zone of the DAG, if that is a local time.
"""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo


def interval_start(partition, clock, zone=""):
    """When Airflow's interval begins; in a local time, the one whose date in UTC it is."""
    hours, minutes = map(int, clock.split(":"))
    if not zone:
        return partition + timedelta(hours=hours, minutes=minutes)
    local = partition.replace(hour=hours, minute=minutes, tzinfo=ZoneInfo(zone))
    near = [local + timedelta(days=days) for days in (-1, 0, 1)]
    return next(t for t in near if t.astimezone(timezone.utc).date() == partition.date())


with open(os.environ["HEADRACE_CONTEXT"], encoding="utf-8") as file:
    context = json.load(file)

if context["interval"]:
    date = context["interval"]["start"]
else:
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")

dag_id, task_id, *clock = sys.argv[1:]
if clock and context["interval"]:
    date = interval_start(datetime.fromisoformat(date), *clock).isoformat()
sys.exit(subprocess.call(["airflow", "tasks", "test", dag_id, task_id, date]))
'''


def _connection(name: str, scheme: str) -> list[str]:
    variable = name.upper()
    if scheme == "sqlite":
        return [f"[connections.{name}]", f'url = "sqlite:${{{variable}_FILE}}"', ""]
    return [
        f"[connections.{name}]",
        f'url = "{scheme}://${{{variable}_USER}}@${{{variable}_HOST}}/${{{variable}_DATABASE}}"',
        f'password = "secret://env/{variable}_PASSWORD"',
        "# Add `port = N` if the server listens at another port than such servers do.",
        "",
    ]


def _partition(plan: Plan, query: AssetQuery) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    grain = plan.schedule.grain
    if query.partitioned:
        by: Any = {"by": grain, "column": query.column} if query.column else grain
        fields |= {"partition": by} | _start(plan.schedule)
    if query.materialize != "table":
        fields["materialize"] = query.materialize
    if query.merge_keys:
        fields["merge"] = {"keys": query.merge_keys}
    return fields


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _start(schedule: Schedule) -> dict[str, Any]:
    """The first interval that begins at or after the DAG's start."""
    start = schedule.start
    if start is None:
        return {}
    hour = f"{start:%Y-%m-%dT%H}:00+00:00"
    start = _date(start)
    month = dt.date(start.year + start.month // 12, start.month % 12 + 1, 1)
    following = start if start.day == 1 else month
    monday = (start + dt.timedelta(days=-start.weekday() % 7)).isocalendar()
    quarter = following.year * 4 + (following.month + 1) // 3
    keys: dict[str, Any] = {
        "hour": hour,
        "day": start,
        "week": f"{monday.year}-W{monday.week:02}",
        "month": f"{following.year}-{following.month:02}",
        "quarter": f"{quarter // 4}-Q{quarter % 4 + 1}",
        "year": start.year + (start.month > 1 or start.day > 1),
    }
    return {"start": keys[schedule.grain]} if schedule.grain else {}


def _timed_trigger(schedule: Schedule) -> dict[str, Any]:
    """The trigger of a schedule by time; empty for any other one."""
    if schedule.kind == "cron":
        zone = {"timezone": schedule.timezone} if schedule.timezone else {}
        return {"cron": written_cron(schedule.cron)} | zone
    return {"interval": schedule.interval} if schedule.kind == "interval" else {}


def _asset_names(query: AssetQuery, item: str) -> list[str]:
    """Names for an asset, the best first: that of its table, unless it is as short as `h`."""
    table = query.table
    whole = "_".join(table[-2:])
    if len(table[-1]) > SHORT_CHARACTERS_MAX:
        return [table[-1], whole, item]
    return [whole, item] if query.fills_table else [item]


def _tags(dag: Dag) -> list[str]:
    """The DAG's id and its own tags."""
    given = dag.kwargs.get("tags")
    items = given if isinstance(given, list | tuple) else []
    tags = [tag for tag in items if isinstance(tag, str)]
    return list(dict.fromkeys(cleaned(tag) for tag in [dag.dag_id, *tags]))


def _words_of_dag(dag: Dag) -> list[str]:
    """A line for the description of a DAG, and one for its documentation."""
    results = []
    for name in ("description", "doc_md"):
        text = dag.kwargs.get(name)
        words = " ".join(text.split()).lstrip("# ") if isinstance(text, str) else ""
        if words:
            shortened = words[:DESCRIPTION_CHARACTERS_MAX]
            results.append(f"DAG {dag.dag_id}: {shortened}{'…' if shortened != words else ''}")
    return list(dict.fromkeys(results))


def _project_name(root: Path) -> str:
    """The name of the origin's folder; that of the one above for a folder `dags`."""
    folder = root.resolve()
    name = folder.parent.name if folder.name == "dags" else folder.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:60] or "airflow"


def _date(time: dt.date) -> dt.date:
    return dt.date(time.year, time.month, time.day)


def _description(plan: Plan) -> str:
    for name in ("doc", "doc_md"):
        text = plan.task.kwargs.get(name)
        if isinstance(text, str) and text.strip():
            line = " ".join(text.split())[:DESCRIPTION_CHARACTERS_MAX]
            return line.lstrip("# ").strip()
    return ""


def _offset(schedule: Schedule) -> list[str]:
    """How long after the start of a partition Airflow's interval begins, as `HH:MM`.

    With a time zone, it is the local time at which it begins.
    """
    if not schedule.grain or not schedule.cron:
        return []
    minute, hour = schedule.cron.split()[:2]
    hours = int(hour) if hour.isdigit() else 0
    if schedule.timezone and schedule.grain != "hour":
        return [f"{hours:02}:{int(minute):02}", schedule.timezone]
    return [f"{hours:02}:{int(minute):02}"] if hours or int(minute) else []


_STEPS = ("0-59", "0-23", "1-31", "1-12", "0-6")


def written_cron(cron: str) -> str:
    """A cron expression without `*/`, which would end the comment that it stands in."""
    fields = cron.split()
    return " ".join(
        re.sub(r"\*/", f"{span}/", field) for field, span in zip(fields, _STEPS, strict=True)
    )


def _comment_lines(lines: Iterable[str], mark: str = "--") -> str:
    return "".join(f"{mark} {' '.join(line.split())}".rstrip() + "\n" for line in lines)


def _front_yaml(fields: dict[str, Any]) -> str:
    """Front matter of a SQL file; a description can't end the comment."""
    if "description" in fields:
        fields["description"] = fields["description"].replace("*/", "* /")
    return in_comment(mapping(fields))
