"""`sql`: one read-only query over one snapshot of everything that is published."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from headrace.lake import PARTITION_COLUMN, LakeColumn, catalog
from headrace.model import Project, SqlBody, UsageError
from headrace.model.files import FileKind, read_text, scan
from headrace.model.reporting import Report, did_you_mean
from headrace.operations import damaged_files
from headrace.operations.inspections import SqlResponse
from headrace.operations.parameters import defaults, guessed, typed
from headrace.operations.read import ReadQuery, noted, snapshot_of
from headrace.operations.responses import ColumnRow
from headrace.operations.session import ProjectSession
from headrace.run import usage
from headrace.store import Transaction
from headrace.store.queries import publications

if TYPE_CHECKING:
    from headrace.lake.querying import QueryTable
    from headrace.lake.session import DuckDBSession as DuckDB
    from headrace.plan import Compiled


class SqlQuery(msgspec.Struct, frozen=True):
    """What was asked. `at` is a time as typed; None means now."""

    query: str
    at: str | None = None
    limit: int | None = None
    parameters: dict[str, str] = {}
    """As typed: each becomes a value like the project's parameter of that name."""
    bound: dict[str, Any] = {}
    """Values that are bound as they are."""
    noted: bool = True
    """Whether it counts as a read of what it names."""


class _Snapshot(msgspec.Struct, frozen=True):
    """What one transaction says: which snapshot, since when, and the tables that are wanted of it."""

    id: int | None
    at: datetime | None
    tables: tuple[Any, ...]
    """lake.querying.Named"""


def query(session: ProjectSession, question: SqlQuery) -> SqlResponse:
    """The rows as JSON values. UsageError for a query that can't be run, and for a table or a time that there isn't."""
    from headrace.lake import querying

    started = time.perf_counter()
    with _prepared(session, question) as (duckdb, text, values, seen):
        answer = querying.ask(duckdb, text, values, limit=question.limit)
    return SqlResponse(
        snapshot=seen.id,
        at=seen.at,
        tables=[table.name for table in seen.tables],
        columns=[ColumnRow(name=column.name, type=column.type) for column in answer.columns],
        rows=list(answer.rows),
        truncated=answer.more,
        seconds=time.perf_counter() - started,
    )


def write(session: ProjectSession, question: SqlQuery, out: BinaryIO, data_format: str) -> None:
    """The rows as `csv`, `parquet` or `arrow` into a stream. Raises as `query`."""
    from headrace.lake import querying
    from headrace.lake.reading import DataFormat

    with _prepared(session, question) as (duckdb, text, values, _):
        querying.write(duckdb, text, values, out, data_format=DataFormat(data_format), limit=question.limit)


@contextmanager
def _prepared(session: ProjectSession, question: SqlQuery) -> Iterator[tuple[DuckDB, str, dict[str, Any], _Snapshot]]:
    from headrace.engine.macros import defined
    from headrace.lake import querying

    project, compiled = session.project(), session.compiled
    text = question.query.strip().rstrip(";").rstrip()
    names = querying.names_in(text)
    views = _views(compiled, names)
    wanted = _canonical(project, [*names, *(item for view in views for item in _inputs(compiled, view))])
    seen = _seen(session, question, [name for name in wanted if name not in views])
    if question.noted and not any(name.startswith('"') for name in names):
        noted(session, _canonical(project, names), usage.SQL)
    session.close()  # DuckDB computes now: a process has one of them open
    files = [file for table in seen.tables for file in table.files]
    with (
        damaged_files.named(session, files),
        querying.over(seen.tables, timezone=session.timezone) as duckdb,
        defined(duckdb, _macros(session)),
    ):
        text = _with_views(compiled, views, text)
        yield duckdb, text, _values(project, querying.parameters_of(duckdb, text), question), seen


def _macros(session: ProjectSession) -> dict[str, str]:
    """The macros as the files are: one that no body uses yet is nothing that could be applied."""
    reports = [(file, Report(file.path)) for file in scan(session.root).files if file.kind is FileKind.MACRO]
    texts = {file.path: read_text(session.root, file, report) for file, report in reports}
    return {path: text for path, text in texts.items() if text is not None}


def _canonical(project: Project, names: Sequence[str]) -> list[str]:
    """The declared spelling of tables. UsageError for a name that no source or asset has."""
    known = {name.lower(): name for name in (*project.sources, *project.assets)}
    if unknown := [name for name in names if name.lower() not in known and not name.startswith('"')]:
        consumer = next((consumer for consumer in project.consumers if consumer.lower() == unknown[0]), None)
        hint = (
            f"it is a consumer; read {', '.join(project.consumers[consumer].reads)}"
            if consumer
            else did_you_mean(unknown[0], known.values())
        )
        raise UsageError(f"there is no table {unknown[0][:60]!r}", hint=hint or "headrace ls")
    if any(name.startswith('"') for name in names):  # SHOW TABLES
        return sorted(known.values())
    return list(dict.fromkeys(known[name.lower()] for name in names))


def _seen(session: ProjectSession, question: SqlQuery, names: Sequence[str]) -> _Snapshot:
    if session.store is None:
        return _Snapshot(None, None, tuple(_declared(session, name) for name in names))
    borrowed = session.borrowed
    theirs = _borrowed(session, question, [name for name in names if name in borrowed])
    with session.store.read() as tx:
        snapshot = snapshot_of(session, tx, ReadQuery("", at=question.at))
        then = None if question.at is None else snapshot
        tables = [theirs.get(name) or _published(session, tx, name, then) or _declared(session, name) for name in names]
        at = publications.newest_at(tx, snapshot)
    return _Snapshot(snapshot, None if at is None else session.instant(at), tuple(tables))


def _borrowed(session: ProjectSession, question: SqlQuery, names: Sequence[str]) -> dict[str, QueryTable]:
    """The tables that an environment reads from production."""
    production = session.production
    if not names or production is None or production.store is None:
        return {}
    with production.store.read() as tx:
        then = None if question.at is None else snapshot_of(production, tx, ReadQuery("", at=question.at))
        tables = {name: _published(production, tx, name, then) for name in names}
    production.close()
    return {name: table for name, table in tables.items() if table is not None}


def _published(session: ProjectSession, tx: Transaction, name: str, snapshot: int | None) -> QueryTable | None:
    from headrace.lake.querying import QueryTable, absolute

    table = catalog.table(tx, name, snapshot)
    if table is None:
        return None
    columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
    return QueryTable(name, columns, absolute(catalog.files(tx, name, None, snapshot), session.folders.lake))


def _declared(session: ProjectSession, name: str) -> QueryTable:
    """A table of which nothing is published, empty. UsageError where not even its columns are known."""
    from headrace.lake.querying import QueryTable

    node = session.compiled.nodes.get(name) if session.compiled else None
    if node is None or node.columns is None:
        raise UsageError(f"nothing of {name} was published, and its columns aren't known before that", hint="headrace status")
    return QueryTable(name, tuple(LakeColumn(column, kind, number) for number, (column, kind) in enumerate(node.columns, 2)), ())


def _views(compiled: Compiled | None, names: Sequence[str]) -> list[str]:
    """The assets with `materialize: view` among the names, and those that they read, each after what it reads."""
    if compiled is None:
        return []
    assets = compiled.project.assets
    is_view = {name for name, asset in assets.items() if asset.materialize == "view" and isinstance(asset.body, SqlBody)}
    needed = {name for name in is_view if name.lower() in names}
    for name in reversed(compiled.order):
        if name in needed:
            needed |= {spec.node for spec in compiled.nodes[name].inputs if spec.node in is_view}
    return [name for name in compiled.order if name in needed]


def _inputs(compiled: Compiled | None, view: str) -> list[str]:
    return [] if compiled is None else [spec.node for spec in compiled.nodes[view].inputs]


def _with_views(compiled: Compiled | None, views: Sequence[str], text: str) -> str:
    """The query, with the assets that are views in front of it."""
    from headrace.lake.sqltext import quote

    if compiled is None or not views:
        return text
    before = ", ".join(f"{quote(name)} AS ({compiled.nodes[name].sql}\n)" for name in views)
    return f"WITH {before} SELECT * FROM ({text}\n) AS asked"


def _values(project: Project, used: set[str], question: SqlQuery) -> dict[str, Any]:
    """What `$name` is bound to: what was given, typed like the project's parameter of that name, or its default."""
    known = {name.lower(): value for name, value in defaults(project).items()}
    results = known | {name.lower(): _typed(name, text, known) for name, text in question.parameters.items()}
    results |= {name.lower(): value for name, value in question.bound.items()}
    lowered = {name.lower() for name in used}
    if strange := [name for name in (*question.parameters, *question.bound) if name.lower() not in lowered]:
        raise UsageError(f"the query has no ${strange[0][:60]}", hint=f"it has {', '.join(f'${name}' for name in sorted(used)) or 'none'}")
    if missing := [name for name in used if name.lower() not in results]:
        raise UsageError(f"${missing[0]} has no value", hint=f"--set {missing[0]}=…")
    return {name: results[name.lower()] for name in used}


def _typed(name: str, text: str, known: Mapping[str, Any]) -> Any:
    return typed(name, text, known[name.lower()]) if name.lower() in known else guessed(text)
