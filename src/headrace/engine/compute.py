"""One attempt at an asset, from its inputs to a staged file: run its code, stage, measure.

The audit is a separate step (`runtime.steps`), because the engine doesn't import `checks`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
import shutil
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from headrace.engine import command
from headrace.engine.attempts import (
    MEMORY_HINT,
    AttemptScope,
    BodyError,
    BodyTask,
    ComputedRows,
    DataFolders,
    ErrorKind,
    InputData,
    Measures,
    declared_types,
    is_called_each,
)
from headrace.engine.failures import (
    MEMORY_USED_UP,
    UNTYPED_SELF_HINT,
    BodyFailed,
    failed,
    is_out_of_memory,
    kind_of,
    of_duckdb,
    shortened,
    unreadable,
    unstorable,
    without_advice,
)
from headrace.engine.logs import LogFile
from headrace.engine.macros import defined
from headrace.engine.processes import Meter, rows_and_bytes
from headrace.faults import FaultPoint, reached
from headrace.lake import FileRef, LakeColumn, LakeTable, Replacement, StagedFile
from headrace.lake.faulty_plans import refuse_faulty_plan
from headrace.lake.merging import stage_merge
from headrace.lake.row_routing import bounds_of, key_expression
from headrace.lake.schema import CodeTypes, SchemaMismatch, TargetTable, ValueMismatch
from headrace.lake.session import without_semicolons
from headrace.lake.small_files import stage_batch
from headrace.lake.sqltext import quote, source_sql, tables_in
from headrace.lake.staging import KeyExpression, Partition, stage
from headrace.lake.strict_casts import CODE_PATTERN, type_to_declare
from headrace.lake.tables import folder_of
from headrace.lake.type_inference import INSTANT, SHAPES
from headrace.lake.types import (
    Type,
    UnsupportedType,
    decimal_of,
    digits,
    parse,
    storable,
    with_room,
)
from headrace.model import CommandBody, Grain, HeadraceError, LakeError, PythonBody, SqlBody
from headrace.model.errors import words_of
from headrace.model.nodes import MaterializationKind
from headrace.model.texts import marked, plain
from headrace.sql.engine_faults import CODE, WrongResult, refuse_faulty
from headrace.sql.values import ANY_TYPE, SELF

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.engine.partition_calls import Captured
    from headrace.lake.session import DuckDBSession
    from headrace.plan.compiled import Columns
    from headrace.security.secrets import Redactor


# SQL assets: the user's SELECT over its inputs. Values are bound by name and never inserted into
# the text.

_UNBOUND = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
"""Errors that are the same in each partition, since all have the same input columns."""


class Composed(msgspec.Struct, frozen=True):
    """A statement to run, and the number of lines before the user's text."""

    text: str
    parameters: dict[str, Any]
    lines_before: int


def composed_of(task: BodyTask, inputs: Sequence[InputData] | None = None) -> Composed:
    """Return the SELECT to run, with its parameters and the position of the user's text.

    It is over the task's inputs, or over `inputs`. Raises `BodyFailed`.
    """
    body = task.body
    assert isinstance(body, SqlBody)
    text = _text(task, body)
    inputs = task.inputs if inputs is None else inputs
    try:
        refuse_faulty(";\n".join([*_views_in(inputs), text]))
    except WrongResult as wrong:
        raise failed(
            str(wrong), hint=wrong.hint, code=CODE, file=body.file, line=body.line, everywhere=True
        ) from wrong
    parameters = _bound(text, task.scope, body)
    before = _over(task, inputs)
    return Composed(f"{before}{text}\n)", parameters, before.count("\n"))


def _views_in(inputs: Iterable[InputData]) -> Iterator[str]:
    """Yield the statements of views, whose conditions DuckDB joins with those of their readers."""
    for each in inputs:
        if each.sql:
            yield without_semicolons(each.sql)
            yield from _views_in(each.inputs)


def _text(task: BodyTask, body: SqlBody) -> str:
    return without_semicolons(task.sql if task.sql is not None else body.text)


def _over(task: BodyTask, inputs: Sequence[InputData]) -> str:
    """Return the beginning of a statement over inputs."""
    named = ", ".join(
        f"{quote(_name(each, task.scope))} AS NOT MATERIALIZED ({source_sql(each)})"
        for each in inputs
    )
    return (f"WITH {named} " if named else "") + "SELECT * FROM (\n"


def _inputs_of(task: BodyTask, body: SqlBody, session: DuckDBSession) -> Sequence[InputData]:
    """Return the inputs, with the columns of `$self` if nothing of the asset is published yet."""
    input_of_self = next((each for each in task.inputs if _name(each, task.scope) == SELF), None)
    if (
        input_of_self is None
        or input_of_self.files
        or all(column.type != ANY_TYPE for column in input_of_self.columns)
    ):
        return task.inputs
    others = [each for each in task.inputs if each is not input_of_self]
    try:
        return [
            *others,
            _with_columns(
                input_of_self, _columns_of_self(task, body, session, input_of_self, others)
            ),
        ]
    except duckdb.Error as error:
        raise located(error, body, _over(task, task.inputs).count("\n")) from error


def _columns_of_self(
    task: BodyTask,
    body: SqlBody,
    session: DuckDBSession,
    input_of_self: InputData,
    others: Sequence[InputData],
) -> Columns:
    from headrace.engine.self_types import columns_of_self  # sqlglot, which most don't need

    hidden = task.merge.delete if task.merge is not None else None

    def described(sql: str, columns: Columns) -> Columns:
        over = _over(task, [*others, _with_columns(input_of_self, columns)])
        returned = _described(session, f"{over}{sql}\n)", _bound(sql, task.scope, body))
        return tuple(column for column in returned if column[0] != hidden)

    inputs = {each.name.lower(): _described(session, source_sql(each)) for each in others}
    known = tuple((column.name, column.type) for column in input_of_self.columns)
    return columns_of_self(described, _text(task, body), inputs, known)


def _described(
    session: DuckDBSession, sql: str, parameters: dict[str, Any] | None = None
) -> Columns:
    rows = session.run(f"DESCRIBE {sql}", parameters or None).fetchall()
    return tuple((row[0], row[1]) for row in rows)


def _with_columns(data: InputData, columns: Columns) -> InputData:
    numbered = (LakeColumn(name, type_, n) for n, (name, type_) in enumerate(columns, 1))
    return msgspec.structs.replace(data, columns=tuple(numbered))


def located(error: duckdb.Error, body: SqlBody, lines_before: int) -> Exception:
    """Return DuckDB's error as a failure at the line of the user's file."""
    failure = of_duckdb(error, file=body.file, first_line=body.line, lines_before=lines_before)
    if not isinstance(error, _UNBOUND):
        return failure
    hint = UNTYPED_SELF_HINT if ANY_TYPE in str(error) else failure.error.hint
    message = plain(failure.error.message)  # no row has been read
    return BodyFailed(
        msgspec.structs.replace(failure.error, message=message, everywhere=True, hint=hint)
    )


def _name(data: InputData, scope: AttemptScope) -> str:
    return SELF if data.name == scope.asset else data.name


def _bound(text: str, scope: AttemptScope, body: SqlBody) -> dict[str, Any]:
    """Return exactly the parameters that the text uses, since DuckDB rejects others."""
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise located(error, body, 0) from error
    if len(statements) != 1:
        raise failed(
            f"a body is one statement, this has {len(statements)}",
            file=body.file,
            line=body.line,
            code="body_failed",
            everywhere=True,
        )
    available = {
        name.lower(): value
        for name, value in {**scope.parameters, **partition_values(scope)}.items()
    }
    used = statements[0].named_parameters
    for name in sorted(used):
        if name.lower() not in available:
            raise _unknown(name, available, body)
    return {name: available[name.lower()] for name in used}


PARTITION_START, PARTITION_END, PARTITION_KEY = "partition_start", "partition_end", "partition_key"
"""Names of the values that a query may read as `$NAME`."""


def partition_values(scope: AttemptScope) -> dict[str, Any]:
    """Return the values of `partition_start`, `partition_end` and `partition_key`.

    The bounds are local dates for days and coarser grains, instants for hours, and absent for data
    that isn't partitioned by time. The key is present for data partitioned by key.
    """
    key = {PARTITION_KEY: scope.data_key} if scope.data_key is not None else {}
    if scope.grain is None or scope.start is None or scope.end is None:
        return key
    start, end = datetime.fromisoformat(scope.start), datetime.fromisoformat(scope.end)
    if scope.grain == Grain.HOUR:
        return {PARTITION_START: start, PARTITION_END: end, **key}
    return {PARTITION_START: start.date(), PARTITION_END: end.date(), **key}


def _unknown(name: str, available: dict[str, Any], body: SqlBody) -> Exception:
    if name.lower() in (PARTITION_START, PARTITION_END):
        return failed(
            f"${name} has no value: the asset isn't partitioned by time",
            file=body.file,
            line=body.line,
            code="body_failed",
            everywhere=True,
            hint="give it `partition: day` or another grain",
        )
    if name.lower() == PARTITION_KEY:
        return failed(
            "$partition_key has no value: the asset isn't partitioned by a key",
            file=body.file,
            line=body.line,
            code="body_failed",
            everywhere=True,
            hint="give it `partition: {key: region}`",
        )
    known = ", ".join(f"${each}" for each in sorted(available)) or "none"
    return failed(
        f"${name} has no value",
        file=body.file,
        line=body.line,
        code="body_failed",
        everywhere=True,
        hint=f"name it under `parameters:` of the asset or the project (known: {known})",
    )


# An attempt in SQL, Python or a command. A failed attempt leaves no file behind.


class AssetOutput(msgspec.Struct, frozen=True):
    """The result of an attempt.

    `staged` and `table` are None for `materialize: none` and `files`; `manifest` is set only for
    `files`.
    """

    measures: Measures
    staged: StagedFile | None = None
    table: LakeTable | None = None
    replacement: Replacement | None = None
    files: tuple[FileRef, ...] = ()
    """All files of which the table will consist after a merge."""
    manifest: tuple[dict[str, Any], ...] | None = None


def compute(
    task: BodyTask,
    session: DuckDBSession,
    folders: DataFolders,
    *,
    log: LogFile | None = None,
    captured: Captured = lambda _, __: contextlib.nullcontext(),
) -> AssetOutput:
    """Run the asset's code and stage its rows. Raises `BodyFailed` and then leaves no files.

    `captured` is used for batches of Python assets (`engine.partition_calls`).
    """
    meter, rows_in, bytes_in = Meter(), 0, 0
    try:
        with meter, defined(session, task.macros):
            rows_in, bytes_in = _read_in(task, session)
            if task.materialize != MaterializationKind.FILES:
                reached(FaultPoint.BODY_BEGUN)
            if is_called_each(task):
                produced = _calls(task, session, folders, log, captured)
            else:
                run = _files if task.materialize == MaterializationKind.FILES else _table
                produced = run(task, session, folders, meter, log)
    except BodyFailed as failure:
        failure.measures = meter.measures(
            rows_in=rows_in, bytes_in=bytes_in, rows_out=0, bytes_out=0
        )
        raise
    rows_out, bytes_out = _rows_and_bytes(produced)
    return msgspec.structs.replace(
        produced,
        measures=meter.measures(
            rows_in=rows_in, bytes_in=bytes_in, rows_out=rows_out, bytes_out=bytes_out
        ),
    )


def _read_in(task: BodyTask, session: DuckDBSession) -> tuple[int, int]:
    try:
        return rows_and_bytes(session, task.inputs)
    except (OSError, duckdb.Error) as error:
        raise failed(
            f"an input can't be read: {error}",
            kind=ErrorKind.TRANSIENT,
            hint="it may have been replaced meanwhile; the next try reads the newest",
        ) from error


def _rows_and_bytes(produced: AssetOutput) -> tuple[int, int]:
    if produced.staged is not None:
        return produced.staged.rows, produced.staged.size_bytes
    return 0, sum(file["size"] for file in produced.manifest or ())


def _table(
    task: BodyTask, session: DuckDBSession, folders: DataFolders, meter: Meter, log: LogFile | None
) -> AssetOutput:
    if isinstance(task.body, SqlBody):
        return _sql(task, task.body, session)
    with _opaque(task, session, folders, None, meter, log) as rows:
        if rows is None:
            return AssetOutput(Measures())
        redactor = log.redactor if log is not None else None
        if rows.batch is not None and task.merge is None:
            partitions = ((task.scope.partitions[0], rows.batch.num_rows),)
            small = _small(task, session, rows.batch, partitions, redactor)
            if small is not None:
                return small
        select_sql, alike = rows.select()
        if redactor is not None and redactor.hides:
            columns = command.columns_of(session, select_sql)
            command.columns_hold_no_secret(columns, redactor)
        described = functools.partial(command.columns_of, session, select_sql)
        with _failures(task, columns=described, place=rows.place):
            return _rows(task, session, select_sql, None, alike=alike)


def _calls(
    task: BodyTask,
    session: DuckDBSession,
    folders: DataFolders,
    log: LogFile | None,
    captured: Captured,
) -> AssetOutput:
    """Call a Python function for each partition and stage the rows of all calls in one file."""
    from headrace.engine import partition_calls  # pyarrow: see `_opaque`

    code_root = folders.code / (task.code or "")
    called = partition_calls.call_each(task, session, code_root, folders, captured)
    redactor = log.redactor if log is not None else None
    small = _small(task, session, called.rows, called.counts, redactor)
    if small is not None:
        return small
    with partition_calls.readable(called, session) as (select_sql, key):
        columns = functools.partial(command.columns_of, session, select_sql)
        with _failures(task, columns=columns):
            return AssetOutput(Measures(), *_stage(task, session, select_sql, None, key, None))


def _small(
    task: BodyTask,
    session: DuckDBSession,
    rows: pa.RecordBatch,
    partitions: Sequence[tuple[str, int]],
    redactor: Redactor | None,
) -> AssetOutput | None:
    """Stage few rows without DuckDB; None if that isn't possible."""
    if redactor is not None:
        with _placed(task.body):
            names = [(name, "") for name in rows.schema.names]
            command.columns_hold_no_secret(names, redactor)
    with _failures(task):
        staged = stage_batch(
            session,
            rows,
            target=_target(task),
            partitions=partitions,
        )
    return None if staged is None else AssetOutput(Measures(), *staged)


def _sql(task: BodyTask, body: SqlBody, session: DuckDBSession) -> AssetOutput:
    inputs, alike = _inputs_of(task, body, session), _alike(task)
    composed = composed_of(task, inputs)
    with _failures(task, body=body, lines_before=composed.lines_before):
        if alike not in session.described:
            empty = composed_of(task, [_emptied(each) for each in inputs])
            if refuse_faulty_plan(session, empty.text, empty.parameters):
                session.joining_whole.add(alike)
        # a merge joins the query with its own statements
        with session.joins_filtering(alike in session.joining_whole and task.merge is None):
            return _rows(task, session, composed.text, composed.parameters, alike=alike)


def _emptied(data: InputData) -> InputData:
    inputs = tuple(map(_emptied, data.inputs))
    return msgspec.structs.replace(data, files=(), inputs=inputs)


def _rows(
    task: BodyTask,
    session: DuckDBSession,
    select_sql: str,
    parameters: Mapping[str, Any] | None,
    *,
    alike: Hashable = None,
) -> AssetOutput:
    """Stage the computed rows as a partition, or as changes of the table for a merge."""
    if task.merge is not None and task.state is not None:
        merged = stage_merge(
            session,
            select_sql,
            parameters,
            target=_target(task),
            rule=task.merge,
            state=task.state,
        )
        return AssetOutput(
            Measures(), merged.staged, merged.table, merged.replacement, merged.files
        )
    return AssetOutput(
        Measures(), *_stage(task, session, select_sql, parameters, _partition(task), alike)
    )


def _stage(
    task: BodyTask,
    session: DuckDBSession,
    select_sql: str,
    parameters: Mapping[str, Any] | None,
    partition: Partition,
    alike: Hashable,
) -> tuple[StagedFile, LakeTable]:
    return stage(
        session,
        select_sql,
        parameters,
        target=_target(task),
        partition=partition,
        hashed=False,
        alike=alike,
    )


def _target(task: BodyTask) -> TargetTable:
    """Return the asset's table; what Python and commands compute has no types of its own."""
    code = None if isinstance(task.body, SqlBody) else CodeTypes(declared_types(task))
    return TargetTable(task.scope.asset, task.table, task.evolve, code)


def _files(
    task: BodyTask, session: DuckDBSession, folders: DataFolders, meter: Meter, log: LogFile | None
) -> AssetOutput:
    if isinstance(task.body, SqlBody):
        raise failed(
            "a SQL body can't write files",
            code="wrong_result",
            file=task.body.file,
            line=task.body.line,
            hint="use a Python or command body for materialize: files",
        )
    directory = folders.files / folder_of(task.scope.asset) / uuid.uuid4().hex
    directory.mkdir(parents=True)
    try:
        with _opaque(task, session, folders, directory, meter, log):
            manifest = command.output_manifest(directory, folders.files.parent)
            if log is not None and log.redactor is not None:
                command.name_no_secret(manifest, log.redactor)
            return AssetOutput(Measures(), manifest=manifest)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


@contextlib.contextmanager
def _opaque(
    task: BodyTask,
    session: DuckDBSession,
    folders: DataFolders,
    directory: Path | None,
    meter: Meter,
    log: LogFile | None,
) -> Iterator[ComputedRows | None]:
    """Run a Python function or a command and return its rows, which live as long as the context.

    Returns None for `materialize: none` and `files`.
    """
    code_root = folders.code / (task.code or "")
    with _placed(task.body):
        if isinstance(task.body, CommandBody):
            run = command.run(task, session, code_root, directory, folders, meter=meter, log=log)
        else:
            from headrace.engine import python  # pyarrow: a worker that only runs SQL lacks it

            context = python.context_of(task.scope, directory)
            run = python.run(task, session, code_root, context, folders)
        with run as rows:
            yield rows


def _alike(task: BodyTask) -> tuple[object, ...]:
    """Return all that determines a statement's columns.

    These are its text, its inputs' columns, the types of its parameters, and macros.
    """
    inputs = tuple(
        (data.name, data.columns, data.sql, tuple(item.columns for item in tables_in(data.inputs)))
        for data in task.inputs
    )
    parameters = tuple((name, type(value)) for name, value in sorted(task.scope.parameters.items()))
    return (
        task.scope.asset,
        task.sql,
        task.scope.grain,
        inputs,
        parameters,
        tuple(sorted(task.macros.items())),
    )


def _partition(task: BodyTask) -> Partition:
    """Return the key of all rows, or for several partitions a function that finds each row's."""
    keys = task.scope.partitions
    return keys[0] if len(keys) == 1 else lambda table: _keys_of_rows(task, table)


def _keys_of_rows(task: BodyTask, table: LakeTable) -> KeyExpression:
    assert task.partition_column is not None, "only separable bodies are computed in batches"
    assert task.scope.grain is not None, "only time is computed in batches"
    name, keys = task.partition_column.lower(), task.scope.partitions
    column = next((column for column in table.columns if column.name.lower() == name), None)
    if column is None:
        raise SchemaMismatch(
            f"there is no column `{task.partition_column}`, which says what partition a row"
            " belongs to"
        )
    bounds = [
        bounds_of(key, Grain(task.scope.grain), task.scope.timezone, column.type) for key in keys
    ]
    return KeyExpression(key_expression(column.name, bounds), keys)


_OF_VALUES = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)
"""DuckDB's errors about values: which of its own types and functions met them says little."""


@contextlib.contextmanager
def _failures(  # complexipy: ignore (a table: exception → failure)
    task: BodyTask,
    *,
    body: SqlBody | None = None,
    lines_before: int = 0,
    columns: Callable[[], Sequence[tuple[str, str]]] = tuple,
    place: Callable[[str, str], str] | None = None,
) -> Iterator[None]:
    """Turn errors of staging into failures, at the line of the user's SQL if DuckDB names one.

    `columns` returns the names and types of what other code has computed, `place` where a column
    has a text.
    """
    try:
        yield
    except (ValueMismatch, UnsupportedType) as error:
        hint = (
            error.hint if isinstance(task.body, SqlBody) else _type_hint(task.body, error, columns)
        )
        code, at = "unsupported_type", ""
        if isinstance(error, ValueMismatch):
            code = "columns_changed"
            at = place(error.columns[0], error.value) if place and error.value else ""
        raise failed(
            f"{error}{at}", code=code, hint=hint, file=task.body.file, line=task.body.line
        ) from error
    except SchemaMismatch as mismatch:
        code = "columns_changed" if task.table is not None and not task.evolve else "wrong_result"
        raise failed(
            str(mismatch), code=code, hint=mismatch.hint, file=task.body.file, line=task.body.line
        ) from mismatch
    except WrongResult as wrong:
        line = task.body.line + max(0, wrong.line - lines_before - 1)
        file = task.body.file
        raise failed(
            str(wrong), hint=wrong.hint, code=CODE, file=file, line=line, everywhere=True
        ) from wrong
    except LakeError as error:
        raise failed(
            str(error),
            code=getattr(error, "code", "wrong_result"),
            hint=error.hint,
            file=task.body.file,
            line=task.body.line,
        ) from error
    except duckdb.Error as error:
        if body is not None:
            raise located(error, body, lines_before) from error
        if isinstance(task.body, CommandBody) and (broken := unreadable(error)):
            raise broken from error
        if not isinstance(task.body, SqlBody) and isinstance(error, _OF_VALUES):
            known: Sequence[tuple[str, str]] = ()
            with contextlib.suppress(duckdb.Error):  # the whole file may be unreadable
                known = columns()
            raise unstorable(error, known, task.body.file, task.body.line) from error
        raise of_duckdb(error, file=task.body.file, first_line=task.body.line) from error
    except MemoryError as error:
        raise failed(
            MEMORY_USED_UP,
            kind=ErrorKind.RESOURCES,
            file=task.body.file,
            line=task.body.line,
        ) from error
    except OSError as error:
        raise failed(f"the result can't be written: {error}", kind=kind_of(error)) from error


def _type_hint(
    body: PythonBody | CommandBody,
    error: ValueMismatch | UnsupportedType,
    columns: Callable[[], Sequence[tuple[str, str]]],
) -> str:
    """Return a hint how to declare a type in the language of the asset's code."""
    name, kind = "NAME", "VARCHAR"
    if isinstance(error, ValueMismatch):
        name = error.columns[0]
        kind = _type_of_text(error).text if error.value else _type_of_column(error, columns())
        text = _type_of_text(error, as_text=True).text if error.value else kind
        if kind != text and re.fullmatch(CODE_PATTERN, error.value):
            return (
                f"declare `columns: {{{name}: {_lower(text)!r}}}` beside `command:` to keep it as"
                f" it is written, or `columns: {{{name}: {_lower(error.kind)!r}}}` if it is a"
                " number"
            )
    if isinstance(body, PythonBody):
        return (
            f"declare the type: @asset(…, columns={{{name!r}: {kind!r}}}), or convert the values"
            " before they are returned"
        )
    return (
        f"declare the type: `columns: {{{name}: {_lower(kind)!r}}}` beside `command:`, or have the"
        " program write other values"
    )


def _lower(kind: str) -> str:
    """Return a type as people write it; the names of a STRUCT's fields stay."""
    return kind if "STRUCT" in kind else kind.lower()


def _type_of_text(error: ValueMismatch, *, as_text: bool = False) -> Type:
    """Return a type that takes the text that a part of its column's type doesn't.

    The place is known by its depth only: where several parts are as deep, what holds them becomes
    text. With `as_text` the part becomes text even if it is a number.
    """
    kind, level = parse(error.kind), error.level
    while level and len(_parts(kind, level)) != 1:
        level -= 1
    named = "VARCHAR"
    if level == error.level and not as_text:
        named = _type_of_part(error.value.strip(), next(iter(_parts(kind, level)), kind).text)
    return _with_part(kind, level, parse(named))


def _parts(kind: Type, level: int) -> list[Type]:
    """Return the types of the parts at a depth that aren't text; of the whole at 0."""
    if not level:
        return [kind] if kind.name != "VARCHAR" else []
    return [part for _, child in kind.fields for part in _parts(child, level - 1)]


def _with_part(kind: Type, level: int, part: Type) -> Type:
    """Return the type with another one for its parts at a depth that aren't text."""
    if not level:
        return kind if kind.name == "VARCHAR" else part
    children = ((name, _with_part(child, level - 1, part)) for name, child in kind.fields)
    return Type(kind.name, tuple(children))


def _type_of_part(text: str, kind: str) -> str:
    if kind in ("DATE", "TIME", "TIMESTAMP"):
        with contextlib.suppress(ValueError):
            dt.datetime.fromisoformat(text)
            if re.fullmatch(SHAPES["TIMESTAMP"], text):
                return "TIMESTAMP"
            return "TIMESTAMPTZ" if re.fullmatch(SHAPES[INSTANT], text) else "VARCHAR"
    if digits(parse(kind)) is None and kind not in ("DOUBLE", "FLOAT"):
        return "VARCHAR"
    return next(
        (
            declared
            for like in (kind, "DOUBLE", "BIGINT", "DECIMAL")
            if (declared := type_to_declare(text, like)) not in ("", kind)
        ),
        "VARCHAR",
    )


def _type_of_column(error: ValueMismatch, columns: Sequence[tuple[str, str]]) -> str:
    """Return a type that takes all values that were computed, and those of its column's type."""
    types = {name.lower(): kind for name, kind in columns}
    computed, kind = parse(types.get(error.columns[0].lower(), "VARCHAR")), parse(error.kind)
    wider = decimal_of(computed, kind)
    fits = storable(computed, error.columns[0]) if wider is None else with_room(wider)
    return "VARCHAR" if fits == kind else fits.text


@contextlib.contextmanager
def _placed(body: SqlBody | PythonBody | CommandBody) -> Iterator[None]:
    """Add the asset's file and line to failures without a place."""
    try:
        yield
    except BodyFailed as failure:
        error = failure.error
        raise BodyFailed(
            msgspec.structs.replace(
                error, file=error.file or body.file, line=error.line or body.line
            )
        ) from failure


def error_of(error: BaseException) -> BodyError:
    """Return an error for any exception: the last resort, for errors no asset code should cause."""
    if isinstance(error, BodyFailed):
        return error.error
    if is_out_of_memory(error):
        text = without_advice(str(error)) or f"{type(error).__name__}: {MEMORY_USED_UP}"
        return BodyError(
            ErrorKind.RESOURCES, shortened(text), hint=MEMORY_HINT, code="out_of_memory"
        )
    if isinstance(error, HeadraceError):
        return BodyError(kind_of(error), shortened(str(error)), hint=error.hint)
    return BodyError(kind_of(error), shortened(f"unexpected {words_of(error)}: {marked(error)}"))
