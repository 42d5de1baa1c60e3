"""Airflow tasks that are SQL: those of SQL operators, and Bash commands that hold only SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from headrace_import.importers.airflow import operators
from headrace_import.importers.airflow.intervals import deletes_interval
from headrace_import.importers.airflow.origin import Origin
from headrace_import.importers.airflow.queries import AssetQuery, asset_query
from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.shell import ShellSql, mentions_sql, shell_sql, why_not
from headrace_import.importers.airflow.statements_sql import (
    NotCarried,
    Statements,
    Target,
    read_statements,
    sql_text,
)
from headrace_import.importers.airflow.templates import Context, Instant, Setting, parse
from headrace_import.importers.airflow.values import (
    Task,
    Text,
    Unknown,
    Value,
    dag_params,
    pieces_of,
    text_of,
)

_FILE = re.compile(r"\.(sql|hql|bql|ddl)\s*$", re.IGNORECASE)
UNKNOWN_PART = "hrunknownpart"
"""Stands for what of a statement is known only at run time."""


@dataclass(slots=True)
class FoundSql:
    """A task's SQL as an asset's query."""

    query: AssetQuery
    dialect: str
    connection: str
    why: str
    todo: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Statements of a task before they are read, with where an operator puts their rows."""

    statements: tuple[Value, ...]
    dialect: str
    connection: str
    target: tuple[Value, bool, str] | None = None
    bound: Value = None
    note: str = ""
    """What is left to do about its connection."""


class SqlReader:
    """Reads the SQL of tasks, also from the project's files."""

    def __init__(self, origin: Origin, tasks: Iterable[Task] = ()) -> None:
        """`tasks` are those of the project: they say which database a connection is one of."""
        self._origin = origin
        self._dialects = _dialects(tasks)

    def read(
        self, task: Task, schedule: Schedule, before: Sequence[Statements] = ()
    ) -> FoundSql | None:
        """Return the asset's query; None for a task that isn't SQL. Raises `NotCarried`.

        `before` are statements of earlier tasks that cleared or defined tables.
        """
        given = self._given(task)
        return None if given is None else self._read(task, schedule, given, before)

    def statements(self, task: Task) -> list[str] | None:
        """Return a task's SQL with `UNKNOWN_PART` for what isn't known; None if it isn't here."""
        try:
            given = self._given(task)
            texts = [] if given is None else self._texts(task, given.statements)
        except NotCarried:
            return None
        return [
            "".join(piece if isinstance(piece, str) else UNKNOWN_PART for piece in pieces_of(text))
            for text in texts
        ]

    def _given(self, task: Task) -> _Origin | None:
        if task.base in operators.SQL_OPERATORS:
            return self._of_operator(task)
        is_bash = task.base in ("BashOperator", "SSHOperator") and not task.variant
        return self._of_bash(task) if is_bash else None

    def _read(
        self, task: Task, schedule: Schedule, given: _Origin, before: Sequence[Statements]
    ) -> FoundSql:
        context = _context(task)
        statements = Statements()
        values: list[Instant | Setting] = []
        target = _target(given.target, context) if given.target else None
        try:
            for value in self._texts(task, given.statements):
                pieces = parse(_with_bound(value, given.bound), context).pieces
                text = sql_text(pieces, given.dialect, values)
                read_statements(text, target, statements)
            statements.prepared_by(before)
            name = task.task_id.rpartition(".")[2]
            query = asset_query(statements, values, schedule, name, given.dialect)
        except NotCarried as refusal:
            refusal.writes = statements.target or ()
            if statements.query is None and _only_prepares(statements):
                statements.foreign_deletes = not deletes_interval(statements, values, schedule)
                refusal.prepares = statements
            raise
        todo = [*_todo(query, schedule), *([given.note] if given.note and query.reads else [])]
        return FoundSql(query, given.dialect, given.connection, _why(query, schedule), todo)

    def _texts(self, task: Task, statements: Sequence[Value]) -> list[Value]:
        """The texts of statements; a name of a file stands for its text."""
        results: list[Value] = []
        for value in statements:
            if isinstance(value, str) and _FILE.search(value) and "\n" not in value:
                results.append(self._file(task, value.strip()))
            elif isinstance(value, str | Text):
                results.append(value)
            else:
                reason = value.reason if isinstance(value, Unknown) else "made at run time"
                raise NotCarried(f"its SQL isn't in the file ({reason})")
        return results

    def _file(self, task: Task, path: str) -> str:
        given = task.dag.kwargs.get("template_searchpath") if task.dag else None
        folders = [
            str(folder)
            for folder in (given if isinstance(given, list | tuple) else [given])
            if isinstance(folder, str | PurePosixPath)
        ]
        candidates = [path] + [str(PurePosixPath(folder) / path) for folder in folders]
        for candidate in candidates:
            data_file = self._origin.data_file(candidate, task.file)
            if data_file is not None:
                return data_file[1]
        if given is not None:
            template = self._origin.template_file(path, folders, task.file)
            if template is not None:
                return template[1]
        raise NotCarried(
            f"its SQL file {path} isn't in the project",
            f"import the folder in which {path} is",
            person=True,
        )

    # Operators

    def _of_operator(self, task: Task) -> _Origin:
        dialect, names = operators.SQL_OPERATORS[task.base]
        connection = _connection(task)
        dialect = dialect or self._dialects.get(connection) or operators.dialect_of(connection)
        value = next((task.kwargs[name] for name in names if name in task.kwargs), None)
        target = None
        if task.base.startswith("BigQueryInsertJob"):
            value, target = _query_job(value)
        elif dialect == "bigquery":
            target = _bigquery_target(task)
        if value is None:
            raise NotCarried("its SQL isn't in the file")
        statements = tuple(value) if isinstance(value, list | tuple) else (value,)
        bound = task.kwargs.get("parameters")
        connection = connection or _default(dialect)
        database = _database(task)
        note = _database_note(connection := _named(connection, database), database)
        return _Origin(statements, dialect, connection, target, bound, note)

    # Bash

    def _of_bash(self, task: Task) -> _Origin | None:
        value = task.kwargs.get("bash_command", task.kwargs.get("command"))
        pieces = value.pieces if isinstance(value, Text) else (value,)
        if not all(isinstance(piece, str | Unknown) for piece in pieces):
            return None
        command = "".join(piece if isinstance(piece, str) else UNKNOWN_PART for piece in pieces)
        if not mentions_sql(command):
            return None
        parsed = shell_sql(command)
        if parsed is None:
            raise NotCarried(why_not(command))
        if UNKNOWN_PART in parsed.sql + parsed.file + parsed.target + parsed.database:
            raise NotCarried("a part of its SQL is known only at run time")
        text: Value = parsed.sql or parsed.file
        if parsed.file and not _FILE.search(parsed.file):
            raise NotCarried(f"its file {parsed.file[:60]} isn't an SQL file of the project")
        target = (parsed.target, parsed.replaces, "") if parsed.target else None
        connection = _connection_of_command(parsed)
        return _Origin(
            (text,), parsed.dialect, connection, target, note=_note_of(parsed, connection)
        )


def _dialects(tasks: Iterable[Task]) -> dict[str, str]:
    """The dialect of each connection's database, as far as operators of the project say one."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        fixed = operators.SQL_OPERATORS.get(task.base, ("", ()))[0]
        for name in operators.CONNECTION_ARGUMENTS:
            connection = task.argument(name)
            dialect = operators.dialect_of(name.removesuffix("_conn_id")) or fixed
            if isinstance(connection, str) and dialect:
                found.setdefault(connection, set()).add(dialect)
    return {name: dialects.pop() for name, dialects in found.items() if len(dialects) == 1}


def _only_prepares(statements: Statements) -> bool:
    return bool(statements.cleared or statements.deletes or statements.defined)


def _default(dialect: str) -> str:
    return f"{dialect or 'warehouse'}_default"


def _connection_of_command(parsed: ShellSql) -> str:
    """A name for the database of a command; commands with another one get another name."""
    database = _without_password(parsed.database)
    return _named(parsed.dialect, database).lower() if database else _default(parsed.dialect)


def _named(connection: str, database: str) -> str:
    return "_".join([connection, *re.findall(r"[A-Za-z0-9]+", database)])


def _note_of(parsed: ShellSql, connection: str) -> str:
    if not parsed.database:
        return ""
    return (
        f"give the connection `{connection}` the server and database of the command"
        f" ({_without_password(parsed.database)})"
    )


def _database(task: Task) -> str:
    """Return the database that an operator names itself. Raises `NotCarried`."""
    for name in ("hook_params", "runtime_parameters", "session_parameters", "session_properties"):
        if task.argument(name):
            raise NotCarried(f"its `{name}` say how its database reads the statements")
    names = [value for name in ("database", "schema") if (value := task.argument(name)) is not None]
    if not all(isinstance(value, str) for value in names):
        raise NotCarried("its database is known only at run time")
    return " ".join(str(value) for value in names)


def _database_note(connection: str, database: str) -> str:
    named = f"give the connection `{connection}` the database of the task ({database})"
    return named if database else ""


def _without_password(database: str) -> str:
    return re.sub(r"://[^\s/@]*@", "://", re.sub(r"(?i)\bpassword=\S+", "", database))


def _connection(task: Task) -> str:
    for name in operators.CONNECTION_ARGUMENTS:
        value = task.argument(name)
        if isinstance(value, str):
            return value
        if value is not None:
            raise NotCarried("its connection is known only at run time")
    return ""


def _context(task: Task) -> Context:
    assert task.dag is not None
    return Context(dag_params(task), task.dag.dag_id, task.task_id)


_JOB_KEYS = frozenset(
    ("query", "useLegacySql", "destinationTable", "writeDisposition", "createDisposition",
     "timePartitioning", "clustering", "priority", "allowLargeResults", "useQueryCache",
     "maximumBytesBilled", "queryParameters", "parameterMode")
)  # fmt: skip


def _query_job(configuration: Value) -> tuple[Value, tuple[Value, bool, str] | None]:
    """The SQL of a BigQuery job's configuration, and where its rows go."""
    query = configuration.get("query") if isinstance(configuration, dict) else None
    if not isinstance(query, dict):
        raise NotCarried("its job isn't a query")
    _check_job(query)
    table = query.get("destinationTable")
    sql = query.get("query")
    if isinstance(sql, str) and (
        included := re.fullmatch(r"\s*\{%\s*include\s+'([^']+)'\s*%\}\s*", sql)
    ):
        sql = included.group(1)
    if not isinstance(table, dict):
        return sql, None
    parts = [text_of(table.get(key)) for key in ("projectId", "datasetId", "tableId")]
    name = ".".join(part for part in parts if part)
    partitioning = query.get("timePartitioning")
    column = partitioning.get("field") if isinstance(partitioning, dict) else ""
    truncates = query.get("writeDisposition") == "WRITE_TRUNCATE"
    return sql, (name, truncates, text_of(column) or "")


def _check_job(query: Mapping[str, Value]) -> None:
    if query.get("useLegacySql") is True:
        raise NotCarried("it uses BigQuery's legacy SQL")
    unknown = [key for key in query if key not in _JOB_KEYS]
    if unknown:
        raise NotCarried(f"its job has `{unknown[0]}`, which isn't followed")


def _bigquery_target(task: Task) -> tuple[Value, bool, str] | None:
    if task.kwargs.get("use_legacy_sql", task.base == "BigQueryOperator") is not False:
        raise NotCarried("it uses BigQuery's legacy SQL")
    table = task.kwargs.get("destination_dataset_table")
    if table is None:
        return None
    partitioning = task.kwargs.get("time_partitioning")
    column = partitioning.get("field") if isinstance(partitioning, dict) else ""
    truncates = task.kwargs.get("write_disposition") == "WRITE_TRUNCATE"
    return table, truncates, text_of(column) or ""


def _target(given: tuple[Value, bool, str], context: Context) -> Target:
    """Where a BigQuery operator puts its rows; `table$20240101` is a partition."""
    value, replaces, column = given
    pieces = list(parse(value, context).pieces)
    one_interval = False
    if len(pieces) == 2 and isinstance(pieces[0], str) and pieces[0].endswith("$"):
        last = pieces[1]
        one_interval = isinstance(last, Instant) and last == Instant(pattern="%Y%m%d")
        pieces = [pieces[0][:-1], *([] if one_interval else [last])]
    if not all(isinstance(piece, str) for piece in pieces):
        raise NotCarried("the name of its table changes from run to run")
    name = "".join(piece for piece in pieces if isinstance(piece, str))
    parts = tuple(part.lower() for part in re.split(r"[.:]", name.strip("`")) if part)
    if not parts:
        raise NotCarried("the name of its table isn't in the file")
    return Target(parts, replaces, one_interval and replaces, column if one_interval else "")


_PLACEHOLDER = re.compile(r"%\((\w+)\)s|(?<![:\w]):(\w+)\b|\$(\w+)\b")


def _with_bound(value: Value, bound: Value) -> Value:
    """Put bound parameters (`%(day)s`, `:day`) into the text, as literals."""
    if not isinstance(value, str) or not isinstance(bound, Mapping):
        return value

    def literal(match: re.Match[str]) -> str:
        name = next(group for group in match.groups() if group)
        if name not in bound:
            return match.group(0)
        item = bound[name]
        if isinstance(item, str):
            return "'" + item.replace("'", "''" if "{{" not in item else "'") + "'"
        return str(item) if isinstance(item, int | float) else match.group(0)

    return _PLACEHOLDER.sub(literal, value)


def _why(query: AssetQuery, schedule: Schedule) -> str:
    table = ".".join(query.table)
    if query.materialize == "view":
        return f"its query is the view {table}"
    if query.materialize == "merge":
        return f"it merges the rows of its query into {table} by {', '.join(query.merge_keys)}"
    if query.partitioned:
        column = f" (column `{query.column}`)" if query.column else ""
        return f"its query replaces the rows of one {schedule.grain} in {table}{column}"
    if not query.fills_table:
        return "it only reads: the rows of its query are the asset"
    return f"its query replaces all rows of {table}"


def _todo(query: AssetQuery, schedule: Schedule) -> list[str]:
    notes = list(query.notes)
    if schedule.runs_at_start and query.partitioned:
        notes.append(
            "Airflow 3 dates a cron run by its own time unless create_cron_data_intervals is set:"
            " Headrace computes each interval after its end"
        )
    return notes
