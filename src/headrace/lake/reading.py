"""Read published rows for people and programs: whole tables and ad-hoc queries.

All reads use lists of files.
"""

from __future__ import annotations

import base64
import enum
import json
import math
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec

from headrace.lake.faulty_plans import LISTED_PIVOT, OPEN_PIVOT, is_open_pivot
from headrace.lake.masked_queries import masked_relation
from headrace.lake.masks import ColumnMask, mask_failure, masked_types
from headrace.lake.session import DuckDBSession, parser
from headrace.lake.sqltext import ZONED, cast_to_text, literal, quote, relation_sql
from headrace.lake.tables import PARTITION_COLUMN, STATE_SCHEMA, FileRef, LakeColumn, LakeTable
from headrace.lake.types import Type, parse
from headrace.model.errors import HeadraceError, LakeError, OutOfMemory, UsageError, first_line
from headrace.model.texts import of_error
from headrace.sql.engine_faults import refuse_faulty

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Rows as JSON values, or written as CSV, Parquet or Arrow.

ARROW_ROWS = 65_536
"""Number of rows in one record batch of an Arrow stream."""
FIRST_ROWS = 100
"""Number of rows in the first batch of JSON values: a reader sees them before the rest is read."""
FETCHED_ROWS = 10_000
"""Number of rows that are converted to JSON values at a time."""
ABOUT = "headrace"
"""The key of the metadata with which Parquet and Arrow say what their rows are, as JSON."""
READ_THREADS = 2
COPIED_BYTES = 1 << 16
DAMAGED = "headrace db check --deep names the files that aren't what was published"
_NOT_PARQUET = ("Failed to read file", "No magic bytes found", "too small to be a Parquet file")
"""Signs of a damaged file in DuckDB's errors. A query reads no other files than the lake's."""

Masks: TypeAlias = Mapping[str, ColumnMask]
"""Column in lower case → its mask."""
NO_MASKS: Masks = {}
NO_STATE: Mapping[str, pa.Table] = {}


class DataFormat(enum.StrEnum):
    """Formats for writing rows."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class JsonRows(msgspec.Struct, frozen=True):
    """Rows as values that JSON can hold without loss.

    Decimals, dates, times, intervals and UUIDs are text (dates and times in ISO 8601, instants with
    their offset), binary is base64, NaN and infinities are the texts `NaN`, `Infinity`,
    `-Infinity`, so that null always means a missing value. `total` counts all rows, regardless of
    the limit.
    """

    columns: tuple[LakeColumn, ...]
    rows: tuple[dict[str, Any], ...]
    total: int


def read(
    data_folder: Path,
    files: Sequence[FileRef],
    table: LakeTable,
    *,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    timezone: str = "UTC",
    masks: Masks = NO_MASKS,
) -> JsonRows:
    """Return at most `limit` rows of the files, in partition order (that of `files`).

    `_partition` is left out unless `columns` names it. Instants are in `timezone`. Raises LakeError
    for an unknown column or an unreadable file.
    """
    lake_columns = _columns(table, columns)
    with _reading(data_folder, files, timezone, masks) as session:
        rows = tuple(
            row for batch in _batches(session, files, lake_columns, limit, masks) for row in batch
        )
        return JsonRows(masked_types(lake_columns, masks), rows, _count(session, files, table))


@contextmanager
def streamed(
    data_folder: Path,
    files: Sequence[FileRef],
    table: LakeTable,
    *,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    timezone: str = "UTC",
    masks: Masks = NO_MASKS,
) -> Iterator[tuple[int, Iterator[Sequence[dict[str, Any]]]]]:
    """Give the number of all rows, and the rows of `read` in batches of at most FETCHED_ROWS.

    A large table needs little memory. Raises as `read`.
    """
    lake_columns = _columns(table, columns)
    with _reading(data_folder, files, timezone, masks) as session:
        total = _count(session, files, table)
        yield total, _batches(session, files, lake_columns, limit, masks)


@contextmanager
def relation(
    data_folder: Path,
    files: Sequence[FileRef],
    columns: Sequence[LakeColumn],
    *,
    timezone: str,
    masks: Masks,
) -> Iterator[tuple[DuckDBSession, str]]:
    """Open a session; give it, and a SELECT of the files' rows with masked columns.

    The rows are in partition order. Raise LakeError for an unreadable file.
    """
    with _reading(data_folder, files, timezone, masks) as session:
        yield session, masked_relation(session.connection, files, columns, masks)


def _count(session: DuckDBSession, files: Sequence[FileRef], table: LakeTable) -> int:
    counted = session.connection.execute(
        f"SELECT count(*) FROM ({relation_sql(files, table.columns)}) AS rows"
    ).fetchone()
    assert counted is not None
    return int(counted[0])


def _batches(
    session: DuckDBSession,
    files: Sequence[FileRef],
    columns: Sequence[LakeColumn],
    limit: int | None,
    masks: Masks,
) -> Iterator[Sequence[dict[str, Any]]]:
    source = masked_relation(
        session.connection, files, columns, masks, with_partition=_has_partition(columns)
    )
    columns = masked_types(columns, masks)
    query = f"SELECT {selected_values(columns)} FROM ({source}) AS rows{_limit(limit)}"
    result = session.connection.execute(query)
    at_once = FIRST_ROWS
    while fetched := result.fetchmany(at_once):
        yield converted(columns, fetched)
        at_once = FETCHED_ROWS


def selected_values(columns: Sequence[LakeColumn]) -> str:
    """Return the select list whose values `converted` turns into JSON values."""
    return ", ".join(_value(column) for column in columns)


def converted(
    columns: Sequence[LakeColumn], fetched: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], ...]:
    """Convert rows fetched with `selected_values` to mappings of JSON values."""
    converters = [_converter(column) for column in columns]
    return tuple(
        {
            column.name: convert(value)
            for column, convert, value in zip(columns, converters, row, strict=True)
        }
        for row in fetched
    )


def write(  # noqa: PLR0913 - what is read, and how it is written; named where it is called
    data_folder: Path,
    files: Sequence[FileRef],
    table: LakeTable,
    out: BinaryIO,
    *,
    data_format: DataFormat,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    timezone: str = "UTC",
    masks: Masks = NO_MASKS,
    about: str = "",
) -> None:
    """Write at most `limit` rows of the files to a binary stream, in partition order.

    `about` is metadata of Parquet and Arrow (ABOUT). Raises as `read`.
    """
    lake_columns = _columns(table, columns)
    with _reading(data_folder, files, timezone, masks) as session:
        relation = masked_relation(
            session.connection,
            files,
            lake_columns,
            masks,
            with_partition=_has_partition(lake_columns),
        )
        query = f"SELECT * FROM ({relation}) AS rows{_limit(limit)}"
        write_query(session, query, out, data_format, about=about)


def write_query(
    session: DuckDBSession,
    query: str,
    out: BinaryIO,
    data_format: DataFormat,
    parameters: dict[str, Any] | None = None,
    *,
    about: str = "",
) -> None:
    """Write the rows of a query to a binary stream; `about` is metadata of Parquet and Arrow."""
    if data_format is DataFormat.ARROW:
        _write_arrow(session, query, out, parameters, about)
    else:
        _write_file(session, query, out, data_format, parameters, about)


def _columns(table: LakeTable, names: Sequence[str] | None) -> tuple[LakeColumn, ...]:
    columns = [column for column in table.columns if column.name != PARTITION_COLUMN]
    if names is None:
        return tuple(columns)
    known = {column.name.lower(): column for column in table.columns}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise LakeError(
            f"table `{table.name}` has no column `{unknown[0]}`",
            hint=f"it has {', '.join(column.name for column in columns[:20])}",
        )
    return tuple(known[name.lower()] for name in dict.fromkeys(names))


def _has_partition(columns: Sequence[LakeColumn]) -> bool:
    return any(column.name == PARTITION_COLUMN for column in columns)


def _limit(limit: int | None) -> str:
    return "" if limit is None else f" LIMIT {int(limit)}"


@contextmanager
def _reading(
    data_folder: Path, files: Sequence[FileRef], timezone: str, masks: Masks
) -> Iterator[DuckDBSession]:
    """Open a session that keeps the files' order.

    Errors of missing or damaged files become LakeError.
    """
    import duckdb

    outside = [Path(file.path) for file in files if file.path.startswith("/")]
    # two threads that wait for Python in turn take twice the processor time of one
    threads = 1 if any(mask.function is not None for mask in masks.values()) else READ_THREADS
    with DuckDBSession(
        data_folder, readable=outside, timezone=timezone, threads=threads, ordered=True
    ) as session:
        try:
            yield session
        except duckdb.IOException as error:
            raise LakeError(
                f"published files can't be read: {first_line(error)}",
                hint=(
                    "a file was removed from the lake's folder by hand, or the snapshot's files"
                    " were cleaned up"
                ),
            ) from error
        except duckdb.OutOfMemoryException:
            raise OutOfMemory from None
        except duckdb.InterruptException:
            raise
        except (
            duckdb.Error
        ) as error:  # the error is about a mask, or the files: the statements are ours
            if (failed := mask_failure(error)) is not None:
                raise failed from None
            raise LakeError(
                f"published files can't be read: {of_error(first_line(error))}", hint=DAMAGED
            ) from error


def _zoned_as_text(session: DuckDBSession, query: str, parameters: dict[str, Any] | None) -> str:
    """Return a query whose zoned times are text, in UTC where DuckDB would cut their offset."""
    described = _runner(session)(f"DESCRIBE SELECT * FROM ({query})", parameters or None).fetchall()
    columns = [
        (str(name), str(kind), f"column_{n}") for n, (name, kind, *_) in enumerate(described)
    ]
    if not any(ZONED in kind for _, kind, _ in columns):
        return query
    values = (
        f"{cast_to_text(kind, at) if ZONED in kind else at} AS {quote(name)}"
        for name, kind, at in columns
    )
    places = ", ".join(at for _, _, at in columns)
    return f"SELECT {', '.join(values)} FROM ({query}) AS rows({places})"


def metadata_option(about: str) -> str:
    """Return the option of COPY with which a Parquet file holds `about` as metadata."""
    return f", KV_METADATA {{{ABOUT}: {literal(about)}}}" if about else ""


def _write_file(
    session: DuckDBSession,
    query: str,
    out: BinaryIO,
    data_format: DataFormat,
    parameters: dict[str, Any] | None,
    about: str,
) -> None:
    """Copy the rows through a named pipe: the first arrive while DuckDB reads the others."""
    path = session.temporary_folder / f"{uuid.uuid4()}.{data_format}"
    options = (
        "FORMAT csv, HEADER"
        if data_format is DataFormat.CSV
        else f"FORMAT parquet, COMPRESSION zstd{metadata_option(about)}"
    )
    run = _runner(session)
    if data_format is DataFormat.CSV:
        query = _zoned_as_text(session, query, parameters)
    os.mkfifo(path, 0o600)
    try:
        with _PipeCopy(path, out, session.connection.interrupt):
            run(f"COPY ({query}) TO {literal(str(path))} ({options})", parameters or None)
    finally:
        path.unlink(missing_ok=True)


class _PipeCopy:
    """Copies what is written into a named pipe to a stream, in a thread, until the block ends.

    If the stream refuses bytes, `interrupt` is called, and its error is raised at the block's end
    instead of the writer's.
    """

    def __init__(self, path: Path, out: BinaryIO, interrupt: Callable[[], None]) -> None:
        self._out, self._interrupt = out, interrupt
        self._failed: BaseException | None = None
        # A reading end that doesn't wait for a writer, and a writing end of our own: the pipe ends
        # when this closes, even if the writer fails before it opens the pipe.
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writing = os.open(path, os.O_WRONLY)
        os.set_blocking(self._reading, True)
        self._thread = threading.Thread(target=self._copy, name="headrace copy", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        os.close(self._writing)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _copy(self) -> None:
        try:
            while data := os.read(self._reading, COPIED_BYTES):
                self._out.write(data)
        except BaseException as error:  # noqa: BLE001 (raised in the thread that waits)
            self._failed = error
            self._interrupt()
        finally:
            os.close(self._reading)


def _runner(session: DuckDBSession) -> Callable[[str, Any], duckdb.DuckDBPyConnection]:
    """Return the function that runs a user's query with its parameters.

    DuckDB imports pandas for any parameter, which takes a second. `session.run` avoids that by
    hiding pandas, but another thread of a user's program may be importing it.
    """
    return session.run if threading.active_count() == 1 else session.connection.execute


def _write_arrow(
    session: DuckDBSession,
    query: str,
    out: BinaryIO,
    parameters: dict[str, Any] | None,
    about: str,
) -> None:
    import pyarrow as pa

    reader = _runner(session)(query, parameters or None).to_arrow_reader(ARROW_ROWS)
    schema = reader.schema.with_metadata({ABOUT: about}) if about else reader.schema
    with pa.ipc.new_stream(out, schema) as stream:
        for batch in reader:
            stream.write_batch(batch)


def _value(column: LakeColumn) -> str:
    """Return the column's expression, as text where Python's types would lose information.

    Those are months in an interval, nanoseconds, and years after 9999.
    """
    if _as_text(column.type):
        return cast_to_text(column.type, quote(column.name))
    kind = parse(column.type)
    texts = _with_texts(kind)
    name = quote(column.name)
    return name if texts == kind else f"CAST({name} AS {texts.text})"


_LOSSY = frozenset(
    ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIME_NS", "INTERVAL")
)
"""Types whose nanoseconds, months or infinities Python's values lack."""


def _with_texts(kind: Type) -> Type:
    """Return a nested type with text for the parts that Python's values would change."""
    if kind.fields:
        return Type(kind.name, tuple((name, _with_texts(child)) for name, child in kind.fields))
    return Type("VARCHAR") if kind.name in _LOSSY else kind


def _as_text(type_name: str) -> bool:
    return (
        type_name.startswith(("DATE", "TIME", "INTERVAL", "UUID", "DECIMAL"))
        and not parse(type_name).fields
    )


def _converter(column: LakeColumn) -> Callable[[Any], Any]:
    kind = parse(column.type)
    if column.type.startswith("TIMESTAMP") and not kind.fields:
        return lambda text: None if text is None else _iso(text)
    return partial(_nested, kind) if kind.fields else _plain


def _nested(kind: Type, value: Any) -> Any:  # complexipy: ignore (a case per type)
    """Convert a value of a type that has texts for some parts."""
    if value is None:
        return None
    parts = [part for _, part in kind.fields]
    match kind.name:
        case "LIST":
            return [_nested(parts[0], item) for item in value]
        case "STRUCT":
            return {name: _nested(part, value[name]) for name, part in kind.fields}
        case "MAP":
            pairs = ((_nested(parts[0], k), _nested(parts[1], item)) for k, item in value.items())
            return {key if isinstance(key, str) else str(key): item for key, item in pairs}
        case "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS":
            return _iso(value)
        case "TIMESTAMP WITH TIME ZONE" if value.tzinfo is None:
            return "infinity" if value.year > 1 else "-infinity"
        case _:
            return _plain(value)


_OFFSET = re.compile(r"([+-]\d\d)$")


def _iso(text: str) -> str:
    """Convert DuckDB's `2024-01-01 00:00:00+01` to `2024-01-01T00:00:00+01:00`.

    Infinities and times before the year 1 stay as DuckDB writes them.
    """
    if not text[:1].isdigit() or "(BC)" in text:
        return text
    return _OFFSET.sub(r"\1:00", text).replace(" ", "T", 1)


def _plain(value: Any) -> Any:  # complexipy: ignore (a case per type)
    """Convert a value, and those nested in it, to JSON values."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Decimal() | uuid.UUID() | timedelta():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {
                key if isinstance(key, str) else str(_plain(key)): _plain(item)
                for key, item in value.items()
            }
        case _:
            return value


# A user's query: one SELECT in a session that reaches only the files of one snapshot.

HINT = "one SELECT (also FROM …, VALUES, DESCRIBE, SUMMARIZE); `$name` takes --set name=value"


class QueryTable(msgspec.Struct, frozen=True):
    """A table for queries: its name, and the files of one snapshot.

    The paths come from `absolute`, because tables may lie in several lakes.
    """

    name: str
    columns: tuple[LakeColumn, ...]
    files: tuple[FileRef, ...]
    masks: dict[str, ColumnMask] = {}


class QueryResult(msgspec.Struct, frozen=True):
    """A query's rows, in the form of `JsonRows`. `more`: there are rows beyond the limit."""

    columns: tuple[LakeColumn, ...]
    rows: tuple[dict[str, Any], ...]
    more: bool


def names_in(query: str) -> tuple[str, ...]:
    """Return the tables that a query reads, in lower case, without those that WITH defines.

    Those of the state are `headrace.NAME`. Raises UsageError for anything but one SELECT.
    """
    return tuple(dict.fromkeys(_tables_of_tree(_tree_of(query))))


def aliases_in(query: str) -> dict[str, set[str]]:
    """Return the name by which a query refers to a table → the tables, all in lower case.

    They are several if parts of the query use one name for each. Raises as `names_in`.
    """
    results: dict[str, set[str]] = {}
    for node, _ in _nodes(_tree_of(query)):
        if node.get("type") == "BASE_TABLE":
            table = str(node.get("table_name", "")).lower()
            results.setdefault(str(node.get("alias") or table).lower(), set()).add(table)
    return results


def _tree_of(query: str) -> Any:
    import duckdb

    refuse_faulty(query)
    with parser() as connection:
        try:
            statements = connection.extract_statements(query)
            if is_open_pivot(statements):
                raise UsageError(OPEN_PIVOT, hint=LISTED_PIVOT)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UsageError("only one query that returns rows can be run", hint=HINT)
            # a literal, because DuckDB imports pandas for any parameter
            serialized = f"SELECT json_serialize_sql({literal(query)})"
            results = connection.execute(serialized).fetchone()
        except duckdb.Error as error:
            raise UsageError(in_words(error), hint=HINT) from error
    return json.loads(results[0]) if results else {}


_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat"})
"""Table functions that read nothing but their arguments."""
_SETTINGS = "current_setting"
"""A function that names the files which a session may read."""


def refuse_other_reads(query: str) -> None:
    """Raise UsageError if a query reads more than tables by their names.

    `read_parquet` would read a table's files past its masks, and `duckdb_views()` names them.
    """
    with parser() as connection:
        results = connection.execute(f"SELECT json_serialize_sql({literal(query)})").fetchone()
    for node, _ in _nodes(json.loads(results[0]) if results else {}):
        schema = str(node.get("schema_name") or "").lower()
        if function := _other_read(node):
            raise UsageError(
                f"the function {function[:60]} can't be used here: some columns of these tables"
                " are masked or left out",
                hint="read the tables by their names",
            )
        if node.get("type") == "BASE_TABLE" and schema not in ("", "main", STATE_SCHEMA):
            raise UsageError(
                f"there is no table {schema[:60]}.{str(node.get('table_name'))[:60]}",
                hint="headrace ls",
            )


def _other_read(node: Mapping[str, Any]) -> str:
    """Return the function by which a node reads more than tables; empty if there is none."""
    if str(node.get("function_name", "")).lower() == _SETTINGS:
        return _SETTINGS
    function = str((node.get("function") or {}).get("function_name", "")).lower()
    return function if node.get("type") == "TABLE_FUNCTION" and function not in _FUNCTIONS else ""


def _tables_of_tree(tree: Any) -> Iterator[str]:
    """Yield the names of tables in lower case."""
    for node, defined in _nodes(tree):
        if node.get("type") not in ("BASE_TABLE", "SHOW_REF"):
            continue
        name = str(node.get("table_name", "")).lower()
        if str(node.get("schema_name", "")).lower() == STATE_SCHEMA:
            yield f"{STATE_SCHEMA}.{name}"
        elif name not in {"", *defined}:
            yield name


def _nodes(  # complexipy: ignore (a walk with the names of each scope)
    tree: Any,
) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Yield each node with the names that WITH defines there.

    The query of a WITH sees the names before it and, if recursive, its own: in `with a as (select *
    from a) select * from a` the first `a` is a table.
    """
    waiting: deque[tuple[Any, frozenset[str]]] = deque([(tree, frozenset())])
    while waiting:
        node, defined = waiting.popleft()
        if isinstance(node, list):
            waiting.extend((item, defined) for item in node)
        elif isinstance(node, dict):
            yield node, defined
            if node.get("type") == "RECURSIVE_CTE_NODE":
                defined |= {str(node["cte_name"]).lower()}
            for entry in (node.get("cte_map") or {}).get("map", ()):
                waiting.append((entry["value"], defined))
                defined |= {str(entry["key"]).lower()}
            waiting.extend((value, defined) for key, value in node.items() if key != "cte_map")


@contextmanager
def session_over(
    tables: Sequence[QueryTable],
    *,
    timezone: str,
    beside: Sequence[Path] = (),
    state: Mapping[str, pa.Table] = NO_STATE,
) -> Iterator[DuckDBSession]:
    """Open a session with these tables as views, and with tables of the state, `headrace.NAME`.

    It may read their files and those of `beside`, but not the rest of the lake, no other file, and
    no network. Raises LakeError for damaged files.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-sql-"))
    try:
        with DuckDBSession(
            folder, readable=[*paths_of(tables), *beside], timezone=timezone, ordered=True
        ) as session:
            with in_plain_words():  # DuckDB opens the files of a view
                for table in tables:
                    relation = masked_relation(
                        session.connection, table.files, table.columns, table.masks
                    )
                    session.connection.execute(f"CREATE VIEW {quote(table.name)} AS {relation}")
            if state:
                session.connection.execute(f"CREATE SCHEMA {STATE_SCHEMA}")
            for name, rows in state.items():
                session.connection.from_arrow(rows).create(name)
            yield session
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def paths_of(tables: Iterable[QueryTable]) -> list[Path]:
    """Return the files that a session over these tables reads."""
    return [
        Path(path)
        for table in tables
        for file in table.files
        for path in (file.path, *(delete.path for delete in file.deletes))
    ]


def absolute(files: Iterable[FileRef], lake: Path) -> tuple[FileRef, ...]:
    """Return the files of a lake with absolute paths."""
    return tuple(_absolute(file, lake) for file in files)


def _absolute(file: FileRef, lake: Path) -> FileRef:
    deletes = tuple(
        msgspec.structs.replace(delete, path=str(lake / delete.path)) for delete in file.deletes
    )
    return msgspec.structs.replace(file, path=str(lake / file.path), deletes=deletes)


def parameters_of(session: DuckDBSession, query: str) -> set[str]:
    """Return the names of the `$name` parameters in a query."""
    return set(session.connection.extract_statements(query)[0].named_parameters)


def run_query(
    session: DuckDBSession, query: str, parameters: Mapping[str, Any], *, limit: int | None
) -> QueryResult:
    """Return at most `limit` rows of a query.

    Raises UsageError for a query that can't run, and LakeError for lost files.
    """
    with in_plain_words():
        columns = described(session, query, parameters)
        text = f"SELECT {selected_values(columns)} FROM ({query}\n) AS rows" + (
            "" if limit is None else f" LIMIT {limit + 1}"
        )
        fetched = _runner(session)(text, dict(parameters) or None).fetchall()
    rows = converted(columns, fetched[:limit])
    return QueryResult(columns, rows, limit is not None and len(fetched) > limit)


def write_result(
    session: DuckDBSession,
    query: str,
    parameters: Mapping[str, Any],
    out: BinaryIO,
    *,
    data_format: DataFormat,
    limit: int | None,
    about: str = "",
) -> None:
    """Write the rows of a query to a binary stream. Raises as `run_query`."""
    with in_plain_words():
        # DESCRIBE and SUMMARIZE can be read from, but not copied
        text = f"SELECT * FROM ({query}\n) AS rows" + ("" if limit is None else f" LIMIT {limit}")
        write_query(session, text, out, data_format, dict(parameters), about=about)


def described(
    session: DuckDBSession, query: str, parameters: Mapping[str, Any]
) -> tuple[LakeColumn, ...]:
    """Return the columns of a query's result, with unique names."""
    text = f"DESCRIBE SELECT * FROM ({query}\n) AS rows"
    rows = _runner(session)(text, dict(parameters) or None).fetchall()
    return tuple(LakeColumn(row[0], row[1], number) for number, row in enumerate(rows, 2))


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Raise errors of DuckDB as errors that say what to do, without the values behind a mask."""
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise LakeError(
            f"published files can't be read: {in_words(error)}", hint="headrace db check"
        ) from error
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise UsageError(
            in_words(error), hint='headrace sql "describe TABLE" shows its columns'
        ) from error
    except duckdb.InvalidInputException as error:
        if (failed := mask_failure(error)) is not None:
            raise failed from None
        if any(sign in str(error) for sign in _NOT_PARQUET):
            raise LakeError(
                f"published files can't be read: {in_words(error)}", hint=DAMAGED
            ) from error
        raise UsageError(in_words(error), hint=_of_values(error) or HINT) from error
    except duckdb.ParserException as error:
        raise UsageError(in_words(error), hint=HINT) from error
    except duckdb.PermissionException as error:
        raise UsageError(
            in_words(error),
            hint="a query reads published tables only; declare a source for other files",
        ) from error
    except duckdb.Error as error:
        raise _other(error) from error


def _other(error: Exception) -> HeadraceError:
    if type(error).__name__ == "OutOfMemoryException":
        return OutOfMemory()
    return HeadraceError(in_words(error), hint=_of_values(error))


_CAST_COLUMN = re.compile(r"when casting from source column ([^\n]+)")
_NOT_LIKE_FORMAT = "according to format specifier"


def _of_values(error: Exception) -> str:
    """Return the hint for a value that can't be converted, without the value; else nothing."""
    text = str(error)
    if _NOT_LIKE_FORMAT in text:
        return "try_strptime(TEXT, FORMAT) gives NULL where a text isn't like the format"
    if not text.startswith("Conversion Error"):
        return ""
    column = _CAST_COLUMN.search(text)
    value = "VALUE" if column is None else quote(column[1].strip())
    return f"try_cast({value} AS TYPE) gives NULL where a value can't be converted"


def in_words(error: Exception) -> str:
    """Return DuckDB's error without its excerpt of a statement that the user didn't write."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
