"""Read-only queries: `sql` over one snapshot, `read` of a view, `sql --attach`, and `diff`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import msgspec
from msgspec import Meta

from headrace.access.permissions import ADMINISTER, READ, command, unrestricted
from headrace.compiler.project_files import read_text, scan
from headrace.lake import PARTITION_COLUMN, STATE_SCHEMA, LakeColumn, catalog
from headrace.lake.sqltext import literal, quote
from headrace.model import Asset, Project, Source, SqlBody, UsageError
from headrace.model.errors import Report, did_you_mean
from headrace.model.files import FileKind
from headrace.model.reachability import reachable
from headrace.privacy.masked_views import MaskedViews, without_values
from headrace.privacy.visible_sides import visible_sides
from headrace.project import lake_files, targets
from headrace.project.parameters import PARTITION_HELP, Argument, Option, RowsMax
from headrace.project.read_queries import OnlySound, ReadQuery, note_reads, snapshot_of
from headrace.project.session import ProjectSession
from headrace.responses import ColumnRow, ReadResponse
from headrace.responses.inspections import (
    AttachResponse,
    DiffResponse,
    MomentRow,
    PartitionChange,
    SqlResponse,
)
from headrace.responses.rows import DataStateRow
from headrace.runtime import usage
from headrace.services.render import defaults, guessed, typed
from headrace.slo.data_states import DataRead, DataState, DataStateKind
from headrace.slo.declared_promises import DeclaredPromises, declared_promises
from headrace.slo.facts import StateFacts
from headrace.slo.freshness import freshnesses
from headrace.slo.obligations import EvaluationContext
from headrace.standing.comparisons import (
    RowComparison,
    Side,
    compare_sides,
    partitions_of,
    row_change,
    with_files,
)
from headrace.standing.data_states import (
    is_wrong,
    metadata,
    refuse_unsound,
    state_rows,
    states_of,
)
from headrace.store import Transaction
from headrace.store.address import PostgresqlAddress, SqliteAddress, address
from headrace.store.queries import publications

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.lake.reading import QueryTable
    from headrace.lake.session import DuckDBSession as DuckDB
    from headrace.plan import Compiled

Result = TypeVar("Result")


class SqlQuery(msgspec.Struct, frozen=True):
    """A query and its options; `at` is a time as typed, None means now."""

    query: str
    at: Annotated[str | None, Option("--at", metavar="T", help="over the snapshot of a time")] = (
        None
    )
    limit: RowsMax = None
    parameters: Annotated[
        dict[str, str], Option("--set", metavar="k=v", help="a parameter, for this invocation")
    ] = {}
    """Values as typed, converted to the type of the project's parameter of that name."""
    bound: dict[str, Any] = {}
    """Values that are bound unchanged."""
    noted: bool = True
    """Whether the query counts as a read of its tables."""
    over_network: bool = False
    """Whether nobody sees classified columns in the clear."""
    version: int | None = None
    """A snapshot's number, instead of a time."""
    only_sound: OnlySound = False

    @property
    def is_now(self) -> bool:
        """Whether it reads the newest snapshot."""
        return self.at is None and self.version is None


class _Snapshot(msgspec.Struct, frozen=True):
    """One snapshot: its number, its time, and the requested tables."""

    id: int | None
    at: datetime | None
    tables: tuple[Any, ...]
    """`QueryTable` of `lake.reading`"""
    state: tuple[str, ...] = ()
    """The tables of the state, `headrace.NAME`."""
    masked: tuple[str, ...] = ()
    """NODE.COLUMN that the query's reader sees masked, or not at all."""
    data_states: tuple[DataState, ...] = ()
    states: list[DataStateRow] = []
    """What the query's reader may see of these."""


@command("sql", READ)
def run_query(session: ProjectSession, question: SqlQuery) -> SqlResponse:
    """Run a query and return its rows as JSON-compatible values.

    Its tables are sources and assets, and the project's own state: `headrace.runs`,
    `headrace.incidents` and others.

    Raise UsageError for an invalid query, or an unknown table or time.
    """
    from headrace.lake import reading

    started = time.perf_counter()
    with prepared(session, question) as (duckdb, text, values, seen):
        answer = _interruptible(
            duckdb, lambda: reading.run_query(duckdb, text, values, limit=question.limit)
        )
    return SqlResponse(
        snapshot=seen.id,
        at=seen.at,
        tables=[*(table.name for table in seen.tables), *seen.state],
        columns=[ColumnRow(name=column.name, type=column.type) for column in answer.columns],
        rows=list(answer.rows),
        truncated=answer.more,
        seconds=time.perf_counter() - started,
        masked=list(seen.masked),
        states=seen.states,
    )


CONSOLE_ROWS_MAX = 10_000


class ConsoleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query of a page; `at` and `version` exclude each other, and without both it is of now."""

    query: str
    at: str | None = None
    version: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=1, le=CONSOLE_ROWS_MAX)] = 1_000
    only_sound: bool = False


@command(
    "sql page", READ, http="POST /sql sql", rows=True, not_for_agents="`sql` runs the same queries"
)
def console(session: ProjectSession, question: ConsoleQuery) -> SqlResponse:
    """Run a read-only query over one snapshot for a page, where nobody sees classified columns.

    Raise as `run_query`.
    """
    query = SqlQuery(
        question.query,
        at=question.at,
        version=question.version,
        limit=question.limit,
        over_network=True,
    )
    return run_query(session, query)


@command("sql", READ)
def write(
    session: ProjectSession, question: SqlQuery, out: BinaryIO, data_format: str
) -> list[DataStateRow]:
    """Write the rows as `csv`, `parquet` or `arrow` into a stream.

    Return what has to be known of them, which Parquet and Arrow hold as metadata, too. Raise as
    `run_query` does.
    """
    from headrace.lake import reading
    from headrace.lake.reading import DataFormat

    with prepared(session, question) as (duckdb, text, values, seen):
        form = DataFormat(data_format)
        names = [*(table.name for table in seen.tables), *seen.state]
        about = metadata(tables=names, snapshot=seen.id, at=seen.at, states=seen.states)
        _interruptible(
            duckdb,
            lambda: reading.write_result(
                duckdb, text, values, out, data_format=form, limit=question.limit, about=about
            ),
        )
    return seen.states


INTERRUPT_AGAIN_SECONDS = 0.1
"""Seconds after which a query that goes on is interrupted again."""


def _interruptible(duckdb: DuckDB, call: Callable[[], Result]) -> Result:
    """Return what `call` returns. Ctrl+C ends it: DuckDB's recursive queries don't notice a signal.

    So it runs in a thread, which DuckDB ends when it is told to.
    """
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(call)
        try:
            return running.result()
        except KeyboardInterrupt:
            # several times: DuckDB forgets it if no query runs yet, or between two
            while not running.done():
                duckdb.connection.interrupt()
                wait([running], INTERRUPT_AGAIN_SECONDS)
            raise


@contextmanager
def prepared(
    session: ProjectSession, question: SqlQuery
) -> Iterator[tuple[DuckDB, str, dict[str, Any], _Snapshot]]:
    """Open a DuckDB session for a query; give it, the query's text and values, and its snapshot.

    Raise as `run_query` does.
    """
    from headrace.engine.macros import defined
    from headrace.lake import reading
    from headrace.lake.faulty_plans import refuse_faulty_plan
    from headrace.sql.engine_faults import refuse_joined

    project, compiled = session.project(), session.compiled
    text = question.query.strip().rstrip(";").rstrip()
    names, state = _state(session, question, reading.names_in(text))
    views = _views(compiled, names)
    node_names = _canonical(
        project, [*names, *(item for view in views for item in _inputs(compiled, view))]
    )
    lists = any(name.startswith('"') for name in names)  # SHOW TABLES
    nodes = [name for name in node_names if name not in views]
    seen = _seen(session, question, nodes, only_known=lists, state=[*state])
    seen = msgspec.structs.replace(seen, states=state_rows(session, seen.data_states))
    if question.only_sound:
        refuse_unsound(seen.states)
    hidden, read = _visible(session, question, seen, views, text, names)
    named = [
        *(table.name for table in read.tables),
        *(view for view in views if view.lower() in names),
    ]
    masked = _masked_names(session, question, named, seen.tables)
    seen = msgspec.structs.replace(seen, masked=masked)
    if question.noted and not lists:
        note_reads(session, _canonical(project, names), usage.SQL)
    # DuckDB computes from here on: a process never has both DuckDB and the state open
    session.close()
    beside = [] if hidden is None else reading.paths_of(seen.tables)
    with (
        lake_files.naming_damage(session, [file for table in seen.tables for file in table.files]),
        reading.session_over(
            read.tables, timezone=session.timezone, beside=beside, state=state
        ) as duckdb,
        defined(duckdb, _macros(session, views)),
        without_values(views, hiding=hidden is not None),
        _naming_refused(text, seen.tables, read.tables, hidden),
    ):
        text = (
            _with_views(compiled, views, text)
            if hidden is None
            else hidden.query(duckdb, text, names)
        )
        if views:  # DuckDB joins their conditions with the query's
            refuse_joined(text)
        values = _values(project, reading.parameters_of(duckdb, text), question)
        with duckdb.joins_filtering(refuse_faulty_plan(duckdb, text, values)):
            yield duckdb, text, values, seen


def _state(
    session: ProjectSession, question: SqlQuery, names: Sequence[str]
) -> tuple[list[str], dict[str, pa.Table]]:
    """Return the names of other tables, and those of the state with their rows."""
    from headrace.standing.state_tables import read_state_tables

    of_state = [name for name in names if name.startswith(f"{STATE_SCHEMA}.")]
    if of_state and not question.is_now:
        raise UsageError(
            f"{of_state[0][:60]} is as it is now: it has no snapshots",
            hint="leave out the time or version; the rows have times of their own",
        )
    others = [name for name in names if name not in of_state]
    return others, read_state_tables(session, of_state) if of_state else {}


_NOT_FOUND = re.compile(r'(?:Referenced column|a column named) "([^"]+)"')
"""What DuckDB says of a column that a table doesn't have."""


_OF_TABLE = re.compile(r'(?:Table|Values list) "([^"]+)" does not have')
"""The name by which the query refers to the table, if it does."""


@contextmanager
def _naming_refused(
    query: str,
    tables: Sequence[QueryTable],
    visible: Sequence[QueryTable],
    hidden: MaskedViews | None,
) -> Iterator[None]:
    """Raise ColumnRefused for a column that isn't found because the reader may not see it.

    `visible` are the tables with the columns that the reader may see.
    """
    from headrace.privacy.masking import column_refused

    try:
        yield
    except UsageError as error:
        match = _NOT_FOUND.search(str(error))
        column = "" if match is None else match[1].lower()
        views = {} if hidden is None else hidden.left_out
        left_out = {**_left_out(tables, visible), **views}
        meant = _meant(query, str(error), left_out)
        nodes = [name for name in meant if column in left_out[name]]
        if not nodes:
            raise
        raise column_refused(nodes, column) from None


def _meant(query: str, error: str, tables: Iterable[str]) -> list[str]:
    """Return the tables of which a column that isn't found may be: the one that the query names.

    All of them if it names none, or a subquery, which may read any of them.
    """
    from headrace.lake.reading import aliases_in

    tables, match = list(tables), _OF_TABLE.search(error)
    named = None if match is None else aliases_in(query).get(match[1].lower())
    if named is None or not named <= {name.lower() for name in tables}:
        return tables
    return [name for name in tables if name.lower() in named]


def _left_out(
    tables: Sequence[QueryTable], visible: Sequence[QueryTable]
) -> dict[str, frozenset[str]]:
    """Return the columns of each visible table that its reader may not see, in lower case."""
    clear = {table.name: _names(table) for table in tables}
    return {table.name: clear[table.name] - _names(table) for table in visible}


def _names(table: QueryTable) -> frozenset[str]:
    return frozenset(column.name.lower() for column in table.columns)


def _visible(
    session: ProjectSession,
    question: SqlQuery,
    seen: _Snapshot,
    views: Sequence[str],
    text: str,
    names: Sequence[str],
) -> tuple[MaskedViews | None, _Snapshot]:
    """Return the views if they are to be masked, and the tables as the query sees them.

    Raise UsageError if the query reads files past them.
    """
    from headrace.lake.reading import refuse_other_reads

    if not question.over_network and unrestricted(session):
        return None, seen
    hidden = _hidden_views(session, question, views, seen.tables)
    if hidden is not None:
        refuse_other_reads(text)  # the session may read the clear files of the views' inputs
    named = seen if hidden is None else _named(seen, names)
    return hidden, _masked(session, named, text, question)


def view_columns(
    session: ProjectSession, query: ReadQuery, view: str, *, over_network: bool
) -> tuple[frozenset[str], list[str]]:
    """Return a view's columns that are left out, in lower case, and all of its columns."""
    from headrace.engine.macros import defined
    from headrace.lake import reading

    compiled = session.compiled
    question = SqlQuery("", at=query.at, version=query.version, over_network=over_network)
    views = _views(compiled, [view.lower()])
    inputs = [item for name in views for item in _inputs(compiled, name) if item not in views]
    seen = _seen(session, question, list(dict.fromkeys(inputs)))
    hidden = _hidden_views(session, question, views, seen.tables)
    if hidden is None:
        return frozenset(), []
    session.close()
    beside = reading.paths_of(seen.tables)
    files = [file for table in seen.tables for file in table.files]
    with (
        lake_files.naming_damage(session, files),
        reading.session_over((), timezone=session.timezone, beside=beside) as duckdb,
        defined(duckdb, _macros(session, views)),
        reading.in_plain_words(),
    ):
        return hidden.columns(duckdb, view)


def _hidden_views(
    session: ProjectSession, question: SqlQuery, views: Sequence[str], tables: Sequence[QueryTable]
) -> MaskedViews | None:
    """Return the views of a query as somebody with a limited role sees them; None for others."""
    if not views or session.compiled is None:
        return None
    masked = MaskedViews(
        session,
        session.compiled,
        views,
        tables,
        over_network=question.over_network,
        past=not question.is_now,
    )
    return masked if masked.limited else None


def _named(seen: _Snapshot, names: Sequence[str]) -> _Snapshot:
    """Return the tables that the query names, without those that only its views read."""
    if any(name.startswith('"') for name in names):  # SHOW TABLES
        return seen
    tables = tuple(table for table in seen.tables if table.name.lower() in names)
    return msgspec.structs.replace(seen, tables=tables)


def _masked(session: ProjectSession, seen: _Snapshot, text: str, question: SqlQuery) -> _Snapshot:
    """Return the tables with the columns that the query's reader may see, masked if need be.

    Raise UsageError if the query reads files past the tables.
    """
    tables = tuple(_masked_table(session, table, text, question) for table in seen.tables)
    return msgspec.structs.replace(seen, tables=tables)


def _masked_names(
    session: ProjectSession, question: SqlQuery, nodes: Sequence[str], tables: Sequence[QueryTable]
) -> tuple[str, ...]:
    """Return NODE.COLUMN of the nodes that the reader sees masked, or not at all.

    Columns that only a table of earlier code has are among them.
    """
    from headrace.privacy.masking import column_limits

    if not question.over_network and unrestricted(session):
        return ()
    columns = {table.name: [column.name for column in table.columns] for table in tables}
    results: list[str] = []
    for node in nodes:
        limits = column_limits(
            session, node, over_network=question.over_network, past=not question.is_now
        )
        names = {*limits.names, *limits.left_out_of(columns.get(node, ()))}
        results += [f"{node}.{column}" for column in sorted(names)]
    return tuple(results)


def _masked_table(
    session: ProjectSession, table: QueryTable, text: str, question: SqlQuery
) -> QueryTable:
    """Return a table with the columns that the query's reader may see. Raise as `_masked`."""
    from headrace.lake.reading import refuse_other_reads
    from headrace.privacy.masking import (
        all_left_out,
        column_limits,
        fitting_masks,
        note_clear_columns,
    )

    limits = column_limits(
        session, table.name, over_network=question.over_network, past=not question.is_now
    )
    if not question.over_network:
        names = [column.name for column in table.columns]
        note_clear_columns(session, table.name, limits, names)
    if not limits.limited:
        return table
    refuse_other_reads(text)
    left_out, masks = fitting_masks(session, limits, table.columns)
    columns = tuple(column for column in table.columns if column.name.lower() not in left_out)
    if not columns:
        raise all_left_out(table.name)
    return msgspec.structs.replace(table, columns=columns, masks=masks)


def _macros(session: ProjectSession, views: Sequence[str]) -> dict[str, str]:
    """Return the macros of the current files: a macro that no asset uses yet can't be applied.

    Views have the macros that are applied with them.
    """
    if views:
        return session.project().macros
    reports = [
        (file, Report(file.path))
        for file in scan(session.root).files
        if file.kind is FileKind.MACRO
    ]
    texts = {file.path: read_text(session.root, file, report) for file, report in reports}
    return {path: text for path, text in texts.items() if text is not None}


def _canonical(project: Project, names: Sequence[str]) -> list[str]:
    """Return tables in their declared spelling. Raise UsageError for an unknown name."""
    known = {name.lower(): name for name in (*project.sources, *project.assets)}
    if unknown := [
        name for name in names if name.lower() not in known and not name.startswith('"')
    ]:
        consumer = next(
            (consumer for consumer in project.consumers if consumer.lower() == unknown[0]), None
        )
        hint = (
            f"it is a consumer; read {', '.join(project.consumers[consumer].reads)}"
            if consumer
            else did_you_mean(unknown[0], known.values())
        )
        raise UsageError(f"there is no table {unknown[0][:60]!r}", hint=hint or "headrace ls")
    if any(name.startswith('"') for name in names):  # SHOW TABLES
        return sorted(known.values())
    return list(dict.fromkeys(known[name.lower()] for name in names))


def _seen(
    session: ProjectSession,
    question: SqlQuery,
    names: Sequence[str],
    *,
    only_known: bool = False,
    state: Sequence[str] = (),
) -> _Snapshot:
    """Return the tables in one snapshot; none of a query that reads tables of the state only.

    Raise UsageError for one whose columns aren't known, unless `only_known` leaves it out.
    """
    if session.store is None or (state and not names):
        tables = [_declared(session, name) for name in names]
        return _Snapshot(None, None, _known(names, tables, only_known=only_known), tuple(state))
    borrowed = session.borrowed
    theirs, states = _borrowed(session, question, [name for name in names if name in borrowed])
    own_reads = [DataRead(name) for name in sorted({*names} - borrowed)]
    now_us, _ = session.clock.now_us(), session.compiled  # before the transaction
    with session.store.read() as tx:
        snapshot = snapshot_of(session, tx, ReadQuery("", at=question.at, version=question.version))
        then = None if question.is_now else snapshot
        tables = [
            theirs.get(name) or _published(session, tx, name, then) or _declared(session, name)
            for name in names
        ]
        at = publications.newest_at(tx, snapshot)
        states += states_of(session, tx, own_reads, (now_us, then))
    known = _known(names, tables, only_known=only_known)
    at_time = None if at is None else session.instant(at)
    return _Snapshot(snapshot, at_time, known, tuple(state), data_states=tuple(states))


def _known(
    names: Sequence[str], tables: Sequence[QueryTable | None], *, only_known: bool
) -> tuple[QueryTable, ...]:
    for name, table in zip(names, tables, strict=True):
        if table is None and not only_known:
            raise UsageError(
                f"no rows of {name} are published, and its columns aren't known before that",
                hint="headrace status",
            )
    return tuple(table for table in tables if table is not None)


def _borrowed(
    session: ProjectSession, question: SqlQuery, names: Sequence[str]
) -> tuple[dict[str, QueryTable], list[DataState]]:
    """Return the tables that an environment reads from production, and what to know of them."""
    production = session.production
    if not names or production is None or production.store is None:
        return {}, []
    now_us, _ = production.clock.now_us(), production.compiled  # before the transaction
    with production.store.read() as tx:
        then = (
            None
            if question.at is None
            else snapshot_of(production, tx, ReadQuery("", at=question.at))
        )
        tables = {name: _published(production, tx, name, then) for name in names}
        states = states_of(production, tx, [DataRead(name) for name in names], (now_us, then))
    production.close()
    return {name: table for name, table in tables.items() if table is not None}, states


def _published(
    session: ProjectSession, tx: Transaction, name: str, snapshot: int | None
) -> QueryTable | None:
    from headrace.lake.reading import QueryTable, absolute

    table = catalog.table(tx, name, snapshot)
    if table is None:
        return None
    columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
    return QueryTable(
        name, columns, absolute(catalog.files(tx, name, None, snapshot), session.folders.lake)
    )


def _declared(session: ProjectSession, name: str) -> QueryTable | None:
    """Return an empty table for an unpublished node; None if its columns are unknown."""
    from headrace.lake.reading import QueryTable

    node = session.compiled.nodes.get(name) if session.compiled else None
    if node is None or node.columns is None:
        return None
    return QueryTable(
        name,
        tuple(
            LakeColumn(column, kind, number)
            for number, (column, kind) in enumerate(node.columns, 2)
        ),
        (),
    )


def _views(compiled: Compiled | None, names: Sequence[str]) -> list[str]:
    """Return the views among the names and the views that they read, in topological order."""
    if compiled is None:
        return []
    assets = compiled.project.assets
    is_view = {
        name
        for name, asset in assets.items()
        if asset.materialize == "view" and isinstance(asset.body, SqlBody)
    }
    needed = reachable(
        (name for name in is_view if name.lower() in names),
        lambda name: (spec.node for spec in compiled.nodes[name].inputs if spec.node in is_view),
    )
    return [name for name in compiled.order if name in needed]


def _inputs(compiled: Compiled | None, view: str) -> list[str]:
    return [] if compiled is None else [spec.node for spec in compiled.nodes[view].inputs]


def _with_views(compiled: Compiled | None, views: Sequence[str], text: str) -> str:
    """Return the query with its views as common table expressions."""
    from headrace.lake.sqltext import quote

    if compiled is None or not views:
        return text
    before = ", ".join(f"{quote(name)} AS ({compiled.nodes[name].sql}\n)" for name in views)
    return f"WITH {before} SELECT * FROM ({text}\n) AS asked"


def _values(project: Project, used: set[str], question: SqlQuery) -> dict[str, Any]:
    """Return the values of `$name`: given ones, typed like the project's parameter, or defaults."""
    known = {name.lower(): value for name, value in defaults(project).items()}
    results = known | {
        name.lower(): _typed(name, text, known) for name, text in question.parameters.items()
    }
    results |= {name.lower(): value for name, value in question.bound.items()}
    lowered = {name.lower() for name in used}
    if strange := [
        name for name in (*question.parameters, *question.bound) if name.lower() not in lowered
    ]:
        raise UsageError(
            f"the query has no ${strange[0][:60]}",
            hint=f"it has {', '.join(f'${name}' for name in sorted(used)) or 'none'}",
        )
    if missing := [name for name in used if name.lower() not in results]:
        raise UsageError(f"${missing[0]} has no value", hint=f"--set {missing[0]}=…")
    return {name: results[name.lower()] for name in used}


def _typed(name: str, text: str, known: Mapping[str, Any]) -> Any:
    return typed(name, text, known[name.lower()]) if name.lower() in known else guessed(text)


# `read` of a view: its query over the published data of its inputs, in one snapshot.


def read_view(
    session: ProjectSession,
    query: ReadQuery,
    columns: Sequence[str] | None = None,
    *,
    over_network: bool = False,
) -> ReadResponse:
    """Return a view's rows as JSON-compatible values, at most `limit`.

    Its state is the worst of its inputs. Raise UsageError and LakeError as `read` does.
    """
    name = targets.target(query.asset, session.project()).node
    state, through = state_and_end(session, name)
    question = _question(name, query, columns, over_network=over_network)
    counting = SqlQuery(
        f"select count(*) as n from {quote(name)}",
        at=query.at,
        noted=False,
        over_network=over_network,
    )
    total = run_query(session, counting).rows[0]["n"]
    response = run_query(session, question)
    return ReadResponse(
        asset=name,
        snapshot=response.snapshot,
        columns=response.columns,
        rows=response.rows,
        data_through=through,
        published_at=response.at,
        state=DataStateKind.WRONG if is_wrong(response.states) else state,
        rows_total=int(total),
        states=response.states,
    )


def write_view(
    session: ProjectSession,
    query: ReadQuery,
    out: BinaryIO,
    data_format: str,
    columns: Sequence[str] | None = None,
    *,
    over_network: bool = False,
) -> list[DataStateRow]:
    """Write a view's rows as `csv`, `parquet` or `arrow` into a stream, as `write` does."""
    name = targets.target(query.asset, session.project()).node
    question = _question(name, query, columns, over_network=over_network)
    return write(session, question, out, data_format)


def view_states(session: ProjectSession, query: ReadQuery) -> tuple[str, list[DataStateRow]]:
    """Return a view's state, and what has to be known of its rows. Raise DataUnsound."""
    name = targets.target(query.asset, session.project()).node
    views = _views(session.compiled, [name.lower()])
    inputs = [item for view in views for item in _inputs(session.compiled, view)]
    nodes = [item for item in dict.fromkeys(inputs) if item not in views]
    seen = _seen(session, _question(name, query, None, over_network=True), nodes, only_known=True)
    states = state_rows(session, seen.data_states)
    if query.only_sound:
        refuse_unsound(states)
    return DataStateKind.WRONG if is_wrong(states) else state_and_end(session, name)[0], states


def _question(
    name: str, query: ReadQuery, columns: Sequence[str] | None, *, over_network: bool
) -> SqlQuery:
    selected = "*" if columns is None else ", ".join(map(quote, columns))
    text = f"select {selected} from {quote(name)}"
    return SqlQuery(
        text,
        at=query.at,
        limit=query.limit,
        over_network=over_network,
        only_sound=query.only_sound,
    )


def state_and_end(session: ProjectSession, name: str) -> tuple[str, str | None]:
    """Return the view's state, and the oldest of its inputs' newest intervals."""
    if session.store is None or session.compiled is None:
        return "never", None
    declared, now_us = declared_promises(session.compiled), session.clock.now_us()
    with session.facts() as (_, facts):
        state = freshnesses(EvaluationContext(declared, facts), now_us)[name]
        return state.value, _through(declared, facts, name)


def _through(declared: DeclaredPromises, facts: StateFacts, name: str) -> str | None:
    paced = [
        declared.nodes[item]
        for item in declared.views[name]
        if declared.nodes[item].partition.grain is not None
    ]
    newest = [
        results.partition for node in paced if (results := facts.newest(node.name)) is not None
    ]
    return min(newest, default=None)


# `sql --attach`: how DuckDB or any other DuckLake reader attaches the lake. Headrace doesn't see
# such reads.

UNSEEN = "Headrace doesn't see what is read this way: it isn't masked, and counts as no use."
BUSY_MS = 10_000
_NAMES = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")
"""libpq parameters allowed in the connection string: never a password."""


@command("sql --attach", ADMINISTER)
def attach(session: ProjectSession) -> AttachResponse:
    """Return the statements for a read-only ATTACH, never with a password."""
    where = address(session.root, session.settings)
    lake = literal(f"{session.folders.lake}/")
    if isinstance(where, PostgresqlAddress):
        connection = " ".join(
            f"{name}={_quoted(where.parameters[name])}"
            for name in _NAMES
            if name in where.parameters
        )
        options = (
            f"DATA_PATH {lake}, METADATA_SCHEMA {literal(where.lake_schema)}, OVERRIDE_DATA_PATH"
            " true, READ_ONLY"
        )
        statement = f"ATTACH {literal(f'ducklake:postgres:{connection}')} AS lake ({options});"
        note = f"The password comes from PGPASSWORD or ~/.pgpass. {UNSEEN}"
        return AttachResponse(
            catalog="postgresql", statement=_installed("postgres", statement), note=note
        )
    assert isinstance(where, SqliteAddress)
    options = (
        f"DATA_PATH {lake}, META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT {BUSY_MS},"
        " OVERRIDE_DATA_PATH true, READ_ONLY"
    )
    statement = f"ATTACH {literal(f'ducklake:sqlite:{where.path}')} AS lake ({options});"
    note = f"Not in a process that opens the state database itself. {UNSEEN}"
    return AttachResponse(catalog="sqlite", statement=_installed("sqlite", statement), note=note)


def _installed(catalog: str, statement: str) -> str:
    return f"INSTALL ducklake; INSTALL {catalog};\n{statement}\nUSE lake;"


def _quoted(value: str) -> str:
    """Return a value as in libpq's connection string."""
    if value and value.isalnum():
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# `diff`: what changed of one asset between two points in time. Only partitions published in between
# are read.

SAMPLE_MAX = 10
"""Maximum number of example rows of each kind."""


class DiffQuery(msgspec.Struct, frozen=True):
    """Two points in time, each a time or a snapshot's number as typed; `after` None means now."""

    before: str
    after: str | None = None
    partitions: Annotated[
        tuple[str, ...], Option("--partition", metavar="K", help=PARTITION_HELP)
    ] = ()
    keys: Annotated[
        tuple[str, ...],
        Option("--keys", metavar="C,…", help="columns that say which rows are the same"),
    ] = ()
    sample: int = SAMPLE_MAX


@command("diff", READ, of="target")
def diff(
    session: ProjectSession,
    target: Annotated[str, Argument("ASSET[@K]", help="an asset or a source")],
    query: DiffQuery,
) -> DiffResponse:
    """Return the difference between two points in time.

    Raise UsageError for an unknown asset, time, snapshot, partition or key.
    """
    project = session.project()
    name, key = targets.target(target, project)
    node = project.sources.get(name) or project.assets[name]
    if name in session.borrowed and session.production is not None:
        return diff(session.production, target, query)
    requested_keys = {targets.partition(node, item) for item in query.partitions}
    if key:
        requested_keys.add(targets.partition(node, key))
    if session.store is None:
        raise UsageError(f"nothing of {name} was ever published", hint="headrace tick")
    with session.store.read() as tx:
        before = _side(session, tx, name, query.before)
        after = _side(session, tx, name, query.after)
        partitions = partitions_of(before, after)
        if requested_keys:
            partitions = [change for change in partitions if change.partition in requested_keys]
        keys = _keys_to_read(node, partitions)
        sides = (with_files(tx, name, before, keys), with_files(tx, name, after, keys))
    _require_rows(node, before, after)
    visible = visible_sides((session, session), name, (before.table, after.table))
    session.close()
    comparison = compare_sides(
        node, session.timezone, query.keys, query.sample, sides, visible=visible
    )
    response = _response(node, partitions, before, after, comparison)
    return msgspec.structs.replace(response, masked=visible.names)


def _keys_to_read(node: Source | Asset, partitions: Iterable[PartitionChange]) -> list[str] | None:
    """Return the partitions whose rows are compared; None for all of a table that accumulates."""
    if isinstance(node, Asset) and node.accumulates:
        return None
    return [partition.partition for partition in partitions if partition.change != "identical"]


def _require_rows(node: Source | Asset, before: Side, after: Side) -> None:
    """Raise UsageError for a node without rows to compare."""
    if isinstance(node, Asset) and node.materialize in ("files", "none", "view"):
        raise UsageError(
            f"{node.name} has `materialize: {node.materialize}`: it keeps no rows to compare",
            hint=f"headrace read {node.name}",
        )
    if before.table is None and after.table is None:
        raise UsageError(
            f"nothing of {node.name} was published at either moment",
            hint=f"headrace runs, or headrace read {node.name}",
        )


def _side(session: ProjectSession, tx: Transaction, name: str, version_or_time: str | None) -> Side:
    if version_or_time is not None and version_or_time.isdecimal():
        snapshot = snapshot_of(session, tx, ReadQuery(name, version=int(version_or_time)))
    else:
        snapshot = snapshot_of(session, tx, ReadQuery(name, at=version_or_time))
    at = publications.newest_at(tx, snapshot)
    row = MomentRow(snapshot=snapshot, at=None if at is None else session.instant(at))
    return Side(
        row,
        catalog.table(tx, name, snapshot),
        publications.visible(tx, name, snapshot),
        session.folders.lake,
    )


def _response(
    node: Source | Asset,
    partitions: list[PartitionChange],
    before: Side,
    after: Side,
    comparison: RowComparison,
) -> DiffResponse:
    counted = comparison.counted
    return DiffResponse(
        asset=node.name,
        before=before.row,
        after=after.row,
        columns=comparison.columns,
        partitions=partitions,
        keys=comparison.keys or None,
        rows_added=counted.added,
        rows_removed=counted.removed,
        rows_changed=counted.changed,
        cells=counted.cells,
        sample=[row_change(example) for example in counted.examples],
    )
