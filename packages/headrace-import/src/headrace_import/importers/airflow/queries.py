"""One query of DuckDB for the statements of an Airflow task, and how its rows are partitioned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from headrace.extension import first_line
from headrace_import.importers.airflow.bindings import bound, plain_dates
from headrace_import.importers.airflow.column_types import in_its_types
from headrace_import.importers.airflow.intervals import check_delete, partition_column
from headrace_import.importers.airflow.schedules import Schedule
from headrace_import.importers.airflow.statements_sql import (
    NotCarried,
    Statements,
    TableName,
    name_of,
    token_of,
    token_parts,
)
from headrace_import.importers.airflow.templates import DATE, NO_DASHES, Instant, Setting
from headrace_import.importers.airflow.values import Value
from headrace_import.importers.imported import CONDITION
from headrace_import.importers.sql_guard import check, wrong_in_duckdb
from headrace_import.importers.sql_kinds import column_kind
from headrace_import.importers.sql_meaning import depends_on_run

_DAY = dt.timedelta(days=1)


@dataclass(slots=True)
class AssetQuery:
    """What becomes of the statements: the asset's query, before its tables have their new names."""

    table: TableName
    """The table that it writes; of a task that only selects, the task's id."""
    query: exp.Query
    materialize: str
    partitioned: bool
    column: str
    merge_keys: list[str]
    reads: list[TableName]
    parameters: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    fills_table: bool = True
    """Whether the origin has the table, too: not of a task that only selects."""

    def text(self, names: Mapping[TableName, str]) -> str:
        """Return the query with the new names of tables. Raises `NotCarried`."""
        query = self.query.copy()
        columns = list(query.find_all(exp.Column))
        used = {word.lower() for column in columns for word in (column.table, column.name)}
        for table in list(query.find_all(exp.Table)):
            if table.db or table.name.lower() not in _local_names(table):
                _rename(table, names[name_of(table)], used)
        try:
            text = query.sql(
                dialect="duckdb", pretty=True, unsupported_level=ErrorLevel.RAISE,
                normalize_functions="lower", max_text_width=90,
            )  # fmt: skip
        except (SqlglotError, ValueError) as error:
            message = first_line(error)[:120]
            raise NotCarried(f"DuckDB has no equivalent for a part of its SQL: {message}") from None
        if wrong := wrong_in_duckdb(text):
            raise NotCarried(wrong)
        return text


_UNDEFINED = (
    f"{CONDITION} its table, which isn't defined in the project, rounds or cuts what it stores:"
    " cast by its types (numeric(p, s), date)"
)


def _rename(table: exp.Table, name: str, used: set[str]) -> None:
    """Give a table its new name, and its old one as an alias if the query's columns use that."""
    old = table.name.lower()
    if not table.alias and name.lower() != old and old in used:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
    table.set("this", exp.to_identifier(name))
    table.set("db", None)
    table.set("catalog", None)


def _local_names(table: exp.Expr) -> set[str]:
    """Names of common table expressions that a table's name may mean."""
    names: set[str] = set()
    node: exp.Expr | None = table
    while node is not None:
        names |= {cte.alias.lower() for cte in getattr(node, "ctes", [])}
        node = node.parent
    return names


def asset_query(
    statements: Statements,
    values: Sequence[Instant | Setting],
    schedule: Schedule,
    task: str,
    dialect: str = "",
) -> AssetQuery:
    """Return the asset that does what the statements do. Raises `NotCarried`."""
    query = statements.query
    if query is None:
        raise NotCarried("it changes tables without writing the result of a query")
    table = statements.target or (task,)
    _check_structure(query, table, statements)
    typed = in_its_types(query, statements, table, dialect)
    query, notes = _meaning(typed, statements.kind, dialect, statements.defined)
    deleted = _deleted(statements, table)
    columns = statements.columns or [part.name for part in statements.defined.get(table, [])]
    query = _with_names(query) if statements.kind == "select" else _named(query, columns)
    used = _used(query, values)
    partitioned = any(isinstance(value, Instant) for value in used) or deleted is not None
    _check_replacement(statements, schedule, partitioned=partitioned, table=table)
    if partitioned:
        _check_interval(used, schedule)
    column = ""
    if statements.kind == "merge":
        partitioned = bool(schedule.grain)
    elif partitioned:
        column = statements.partition_column
        column = column or partition_column(query, deleted, values, schedule)
        check_delete(deleted, column, values, schedule)
    parameters: dict[str, Value] = {}
    if dialect in _TEXT_DATES:
        query = _with_typed_columns(query, values)
        _typepartition_column(query, column, statements)
    query = plain_dates(bound(query, values, schedule, parameters), schedule)
    _check_functions(query)
    return AssetQuery(
        table,
        query,
        {"view": "view", "merge": "merge"}.get(statements.kind, "table"),
        partitioned,
        column,
        statements.merge_keys,
        _reads(query),
        parameters,
        [f"{lost}: grant and describe the table anew" for lost in statements.lost[:1]]
        + statements.notes
        + ([] if statements.defined.get(table) or not statements.inserts else [_UNDEFINED])
        + notes,
        statements.comments,
        fills_table=bool(statements.target),
    )


def _check_structure(query: exp.Query, table: TableName, statements: Statements) -> None:
    touched = statements.cleared | set(statements.deletes)
    others = {name for name in touched if name != table}
    if others:
        raise NotCarried(f"it also changes the table {'.'.join(min(others))}")
    if table in _reads(query) and statements.kind != "select":
        raise NotCarried("its query reads the table that it writes")
    for node in query.walk():
        if isinstance(node, exp.Placeholder | exp.Parameter | exp.Command):
            raise NotCarried("its SQL has a placeholder whose value isn't in the project")


def _deleted(statements: Statements, table: TableName) -> exp.Expr | bool | None:
    """The predicate of a DELETE; True for a partition that is replaced by its name; or None."""
    if table not in statements.deletes:
        return None
    return statements.deletes[table] or True


def _check_replacement(
    statements: Statements, schedule: Schedule, *, partitioned: bool, table: TableName
) -> None:
    """Whether a publication replaces what the statements replace."""
    cleared = table in statements.cleared
    kind = statements.kind
    if partitioned and (kind in ("replace", "create") or cleared):
        raise NotCarried("each run replaces the whole table by the rows of one interval")
    if kind == "create" and not cleared and schedule.kind != "once":
        raise NotCarried(
            "it fills the table only while it doesn't exist"
            if statements.if_missing
            else "it creates the table, and fails where it exists already"
        )
    if cleared:
        return
    if kind == "insert" and not partitioned and schedule.kind != "once":
        raise NotCarried("each run appends the same rows again")
    if kind == "view" and partitioned:
        raise NotCarried("the view's text changes from run to run")


def _check_interval(values: Sequence[Instant | Setting], schedule: Schedule) -> None:
    if not schedule.grain:
        raise NotCarried(
            f"it uses the interval of its schedule ({schedule.text}), which is no hour, day, week,"
            " month, quarter or year"
        )
    for value in values:
        if isinstance(value, Instant):
            _check_instant(value, schedule)


def _check_instant(value: Instant, schedule: Schedule) -> None:
    if schedule.grain == "hour" and value.is_date:
        raise NotCarried("it uses the day of an hourly interval")
    if schedule.grain == "week" and not schedule.aligned and not value.pattern:
        raise NotCarried("its week doesn't begin on Monday at midnight")
    whole_days = value.offset % _DAY == dt.timedelta(0)
    if schedule.grain != "hour" and not whole_days:
        raise NotCarried("it uses a time some hours from the interval's start")
    shows_time = value.pattern not in (DATE, NO_DASHES)
    if shows_time and not schedule.aligned and any(c in value.pattern or not value.pattern
                                                   for c in ("%H", "%M")):  # fmt: skip
        raise NotCarried(
            f"its interval ({schedule.text}) doesn't begin at the start of a {schedule.grain}"
        )


def _used(query: exp.Expr, values: Sequence[Instant | Setting]) -> list[Instant | Setting]:
    results = []
    for node in query.walk():
        if isinstance(node, exp.Literal | exp.Identifier):
            numbers = [part for part in token_parts(node.name) if isinstance(part, int)]
            results += [values[number] for number in numbers]
    return results


def _named(query: exp.Query, columns: Sequence[str]) -> exp.Query:
    """Give the query's columns the names that the table's columns have."""
    query = query.copy()
    parts = _first_select(query).expressions
    if any(part.is_star for part in parts):
        if columns:
            raise NotCarried("it inserts `*` into named columns")
        _keep_names(parts)
        return query
    if columns and len(columns) != len(parts):
        raise NotCarried("its query has another number of columns than its table")
    for position, name in enumerate(columns):
        if parts[position].alias_or_name.lower() != name.lower():
            parts[position].replace(exp.alias_(parts[position].unalias(), name))
    if not columns:
        _keep_names(parts)
        _check_names(parts)
    return query


def _keep_names(parts: Sequence[exp.Expr]) -> None:
    """Write down the names that the origin gives: DuckDB names `x::text` otherwise."""
    for part in parts:
        if part.output_name and not isinstance(part, exp.Alias | exp.Column | exp.Star):
            part.replace(exp.alias_(part.copy(), part.output_name))


def _first_select(query: exp.Query) -> exp.Select:
    """The SELECT that names the columns of a query."""
    select: exp.Expr = query
    while isinstance(select, exp.SetOperation):
        select = select.this
    select = select.unnest() if isinstance(select, exp.Subquery) else select
    if not isinstance(select, exp.Select):
        raise NotCarried("its query isn't a SELECT")
    return select


def _with_names(query: exp.Query) -> exp.Query:
    """Name the columns of a result that nobody reads by name."""
    query = query.copy()
    if isinstance(query, exp.Select):
        _keep_names(query.expressions)
        for position, part in enumerate(query.expressions, start=1):
            if not part.output_name and not isinstance(part, exp.Star):
                part.replace(exp.alias_(part.copy(), f"column_{position}"))
        if not any(part.is_star for part in query.expressions):
            _check_names(query.expressions)
    return query


def _check_names(parts: Sequence[exp.Expr]) -> None:
    names = [part.output_name.lower() for part in parts]
    if not all(names):
        raise NotCarried(
            "a column of its query has no name",
            "give each column of the query a name (`AS …`)",
        )
    if len(set(names)) != len(names):
        raise NotCarried("two columns of its query have the same name")


# What DuckDB knows


def _meaning(
    query: exp.Query, kind: str, dialect: str, defined: Mapping[TableName, list[exp.ColumnDef]]
) -> tuple[exp.Query, list[str]]:
    """Return a query whose SQL for DuckDB means the same, with notes. Raises `NotCarried`."""
    reason = depends_on_run(query, of_session=kind == "view")
    if reason:
        raise NotCarried(f"in its query, {reason}")

    def columns(table: exp.Table) -> Mapping[str, str]:
        known = ((part.name.lower(), part.args["kind"]) for part in defined.get(name_of(table), ()))
        return {name: column_kind(written, dialect) for name, written in known if written}

    checked = check(query, dialect, names_matter=False, columns=columns)
    if checked.unproven:
        raise NotCarried(f"in its query, {checked.unproven[0]}")
    assert isinstance(checked.tree, exp.Query)
    return checked.tree, checked.notes


@lru_cache(maxsize=1)
def known_functions() -> frozenset[str]:
    """Return the names of DuckDB's functions."""
    lines = files("headrace.sql").joinpath("functions.txt").read_text(encoding="utf-8")
    return frozenset(line.partition("|")[0] for line in lines.splitlines() if line[:1] != "#")


def _check_functions(query: exp.Query) -> None:
    for node in query.find_all(exp.Anonymous):
        if node.name.lower() not in known_functions():
            raise NotCarried(f"its function `{node.name}` isn't one of DuckDB")
    for table in query.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise NotCarried("it reads something other than a table by name")


def _reads(query: exp.Query) -> list[TableName]:
    results: dict[TableName, None] = {}
    for table in query.find_all(exp.Table):
        if table.db or table.name.lower() not in _local_names(table):
            results[name_of(table)] = None
    return list(results)


_TEXT_DATES = frozenset(("sqlite", "hive", "spark", "databricks", "trino", "presto", "athena"))
"""Dialects in which a column that is compared with a quoted date mostly holds text."""


_BY_DAY = ("eq", "gte", "lt")
"""Comparisons that mean the same for a text with a time, or that nobody writes of one."""


def _with_typed_columns(query: exp.Query, values: Sequence[Instant | Setting]) -> exp.Query:
    """Cast columns that are compared with dates: DuckDB compares no text with a date."""

    def typed(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Binary) and isinstance(node, exp.Predicate):
            _require_whole_days(node, values)
            if _is_date(node.expression, values) and isinstance(node.this, exp.Column):
                node.set("this", exp.cast(node.this, "timestamp"))
            elif _is_date(node.this, values) and isinstance(node.expression, exp.Column):
                node.set("expression", exp.cast(node.expression, "timestamp"))
        return node

    result = query.transform(typed)
    assert isinstance(result, exp.Query)
    return result


def _require_whole_days(node: exp.Binary, values: Sequence[Instant | Setting]) -> None:
    is_by_date = _is_date(node.this, values) or _is_date(node.expression, values)
    if is_by_date and node.key not in _BY_DAY:
        raise NotCarried(
            "it compares a day with what may be a text: one with a time sorts after its day"
        )


def _is_date(node: exp.Expr, values: Sequence[Instant | Setting]) -> bool:
    number = token_of(node)
    value = values[number] if number is not None else None
    return isinstance(value, Instant) and value.is_date


def _typepartition_column(query: exp.Query, column: str, statements: Statements) -> None:
    """Make a text column the DATE by which rows are assigned to partitions."""
    parts = query.expressions if isinstance(query, exp.Select) and column else []
    for part in parts:
        inner = part.unalias()
        if part.alias_or_name.lower() == column.lower() and isinstance(inner, exp.Column):
            part.replace(exp.alias_(exp.cast(inner.copy(), "date"), part.alias_or_name))
            statements.notes.append(f"its column `{column}` is a DATE now, in case it held text")
