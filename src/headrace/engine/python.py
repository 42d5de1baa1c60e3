"""Python assets: load the applied function, call it with its inputs, and return its rows.

User code runs inside one boundary (`Boundary`), which turns every exception into a `BodyFailed`
with the user's file and line. The code of an iterator runs later, while DuckDB stages its rows; the
boundary keeps its exception, because DuckDB would only report its text. Arrow is imported by the
first function that takes or returns rows.
"""

from __future__ import annotations

import contextlib
import os
import traceback
import uuid
from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from headrace.compiler.missing_modules import hint_for_module
from headrace.engine.attempts import (
    AttemptScope,
    BodyError,
    BodyTask,
    ComputedRows,
    DataFolders,
    ErrorKind,
    hint_for,
    reached_by,
)
from headrace.engine.failures import (
    MEMORY_USED_UP,
    BodyFailed,
    failed,
    kind_of,
    limit_of,
    shortened,
)
from headrace.engine.isolation import LOADER, limits_restored, process_restored, resolved
from headrace.lake.sqltext import quote
from headrace.model import PythonBody
from headrace.model.authoring import Context
from headrace.model.nodes import MaterializationKind
from headrace.model.texts import marked

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.lake.session import DuckDBSession


Returned = TypeVar("Returned")
TRACE_FRAMES_MAX = 12
FORKED_EXIT = 70
"""The exit code of a child that the asset's code forked and that returned from it.

Such a child must not continue as a second worker.
"""


class Boundary:
    """Runs user code and turns its exceptions, including `SystemExit`, into failures."""

    def __init__(
        self, code_root: Path, body: PythonBody, hint: Callable[[str], str] = hint_for_module
    ) -> None:
        """`hint` says what to do about a missing module."""
        self._hint_for_module = hint
        self._root, self._body, self._pid = str(resolved(code_root)), body, os.getpid()
        self._importing = False
        self.failure: BodyFailed | None = None

    def imported(self, load: Callable[[], Returned]) -> Returned:
        """Return what `load` imports; call it inside `call`.

        A failure in it is marked as the same for every partition.
        """
        self._importing = True
        imported = load()
        self._importing = False
        return imported

    def call(self, function: Callable[[], Returned]) -> Returned:
        """Return what the function returns. Raises `BodyFailed`."""
        try:
            with limits_restored():
                return function()
        except BaseException as error:  # noqa: BLE001 - the one boundary around user code
            self._fail(error)
        finally:
            self._still_here()

    def each(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Return the batches, which user code creates while they are read."""
        batches = iter(reader)
        while (batch := self.call(lambda: next(batches, None))) is not None:
            yield batch

    def _still_here(self) -> None:
        if os.getpid() != self._pid:
            os._exit(FORKED_EXIT)

    def _fail(self, error: BaseException) -> NoReturn:
        if isinstance(error, GeneratorExit):
            raise error
        if not isinstance(error, BodyFailed):
            traceback.print_exception(_short(error, self._root), limit=-TRACE_FRAMES_MAX)
            error = BodyFailed(self._body_error(error))
        elif error.error.file is None:
            error = BodyFailed(
                msgspec.structs.replace(error.error, file=self._body.file, line=self._body.line)
            )
        self.failure = error
        raise error from None

    def _body_error(self, error: BaseException) -> BodyError:
        file, line = self._place(error)
        kind = kind_of(error)
        syntax = isinstance(error, SyntaxError) and bool(self._relative(error.filename or ""))
        everywhere = self._importing or syntax or isinstance(error, ImportError)
        everywhere = everywhere and kind is ErrorKind.DETERMINISTIC
        return BodyError(
            kind,
            shortened(_message(error, everywhere=everywhere)),
            file,
            line,
            self._hint(error) or hint_for(limit_of(error)),
            "body_failed",
            everywhere=everywhere,
            machine=everywhere and not syntax,
        )

    def _hint(self, error: BaseException) -> str:
        if isinstance(error, ModuleNotFoundError):
            return self._hint_for_module(error.name) if error.name else ""
        return _hint(error)

    def _place(self, error: BaseException) -> tuple[str, int]:
        """Return the innermost place in the applied code, by default that of the function."""
        if (
            isinstance(error, SyntaxError)
            and error.filename
            and (inside := self._relative(error.filename))
        ):
            return inside, error.lineno or 1
        results = (self._body.file, self._body.line)
        for frame, line in traceback.walk_tb(error.__traceback__):
            if inside := self._relative(frame.f_code.co_filename):
                results = (inside, line)
        return results

    def _relative(self, file: str) -> str:
        return (
            file[len(self._root) + 1 :].replace(os.sep, "/")
            if file.startswith(f"{self._root}{os.sep}")
            else ""
        )


@contextlib.contextmanager
def run(
    task: BodyTask, session: DuckDBSession, code_root: Path, context: Context, folders: DataFolders
) -> Iterator[ComputedRows | None]:
    """Call the function and return its rows, or None for `materialize: none` and `files`.

    Raises `BodyFailed` here, and for an iterator that fails while the rows are staged.
    """
    body = task.body
    assert isinstance(body, PythonBody)
    boundary = Boundary(code_root, body)
    with process_restored():
        value = boundary.call(
            lambda: _call(task, body, session, code_root, context, folders.project, boundary)
        )
        if task.materialize in (MaterializationKind.NONE, MaterializationKind.FILES):
            _nothing(value, task, boundary)
            yield None
            return
        with _offered(value, task, body, session, boundary, folders) as rows:
            try:
                yield rows
            except BodyFailed:
                if boundary.failure is not None:  # the iterator's, of which DuckDB gives the text
                    raise boundary.failure from None
                raise


def context_of(scope: AttemptScope, output_directory: Path | None) -> Context:
    """Return the `Context` that the function gets."""
    return Context(
        asset=scope.asset,
        partition=scope.partitions[0] if scope.partitions else "*",
        partitions=scope.partitions,
        start=datetime.fromisoformat(scope.start) if scope.start else None,
        end=datetime.fromisoformat(scope.end) if scope.end else None,
        timezone=scope.timezone,
        attempt=scope.attempt,
        parameters=scope.parameters,
        output_directory=output_directory,
        partition_key=scope.data_key,
    )


def _call(
    task: BodyTask,
    body: PythonBody,
    session: DuckDBSession,
    code_root: Path,
    context: Context,
    project: Path,
    boundary: Boundary,
) -> Any:
    module = boundary.imported(lambda: LOADER.load(code_root, body.file, project))
    function = getattr(module, body.function, None)
    if not callable(function):
        message = f"{body.file} has no function `{body.function}`"
        raise failed(message, code="body_failed", everywhere=True)
    inputs = _inputs(task, body, session) if task.inputs else {}
    return function(context, **inputs) if body.takes_context else function(**inputs)


def _inputs(task: BodyTask, body: PythonBody, session: DuckDBSession) -> dict[str, Any]:
    from headrace.engine.containers import Container, as_container

    return {
        data.name: as_container(
            session, data, Container(body.annotations.get(data.name, Container.ARROW))
        )
        for data in task.inputs
    }


def _nothing(value: Any, task: BodyTask, boundary: Boundary) -> None:
    if value is None:
        return
    hint = (
        "write files into ctx.output_directory"
        if task.materialize == MaterializationKind.FILES
        else "leave out materialize: none to publish a table"
    )
    boundary.call(
        lambda: _refuse(
            f"materialize: {task.materialize} returns nothing, the function returned a value", hint
        )
    )


def _refuse(message: str, hint: str) -> NoReturn:
    raise failed(message, code="wrong_result", hint=hint)


@contextlib.contextmanager
def _offered(
    value: Any,
    task: BodyTask,
    body: PythonBody,
    session: DuckDBSession,
    boundary: Boundary,
    folders: DataFolders,
) -> Iterator[ComputedRows]:
    """Return the function's result as rows that can be staged."""
    import pyarrow as pa

    from headrace.engine import containers

    name = f"__output_{uuid.uuid4().hex}__"
    if containers.is_relation(value) and _as_view(value, session, name):
        try:
            yield ComputedRows(lambda: (f"SELECT * FROM {quote(name)}", None))
        finally:
            session.connection.execute(f"DROP VIEW {quote(name)}")
        return
    known = task.table if not task.evolve else None
    typed = [(column, kind) for column, kind in task.written if kind is not None]
    declared = typed if len(typed) == len(task.written) else []
    reader = boundary.call(
        lambda: containers.stream(
            value,
            lambda: known and containers.schema_of(session, known),
            lambda: containers.schema_of_columns(session, declared) if declared else None,
            nothing=pa.string() if task.table is None else pa.null(),
        )
    )
    with contextlib.ExitStack() as registered:
        if "duckdb" in body.annotations.values():
            reader = registered.enter_context(_spooled(reader, boundary, folders))
        yield _streamed(name, reader, boundary, session, registered)


def _streamed(
    name: str,
    reader: pa.RecordBatchReader,
    boundary: Boundary,
    session: DuckDBSession,
    registered: contextlib.ExitStack,
) -> ComputedRows:
    """Return a stream's rows, which DuckDB reads under this name until `registered` closes."""
    import duckdb
    import pyarrow as pa

    from headrace.engine import containers

    schema = reader.schema
    batch, batches = containers.with_few(schema, boundary.each(reader))

    def select() -> tuple[str, Hashable]:
        stream = pa.RecordBatchReader.from_batches(schema, batches)
        try:
            session.connection.register(name, stream)
        except duckdb.Error as error:
            raise containers.unread(session, schema) from error
        registered.callback(session.connection.unregister, name)
        return containers.select_sql(name, schema), ("arrow", schema.serialize().to_pybytes())

    return ComputedRows(select, batch)


def _as_view(relation: Any, session: DuckDBSession, name: str) -> bool:
    """Create a view of the relation in Headrace's connection, and return whether that worked.

    With a view no rows leave DuckDB. A relation of another connection, which the asset's code
    opened, creates its view there and is streamed instead.
    """
    import duckdb

    try:
        relation.create_view(name)
        session.connection.execute(f"SELECT * FROM {quote(name)} LIMIT 0")
    except duckdb.Error:
        return False
    return True


@contextlib.contextmanager
def _spooled(
    reader: pa.RecordBatchReader, boundary: Boundary, folders: DataFolders
) -> Iterator[pa.RecordBatchReader]:
    """Write the rows to a temporary file and return them from there, in their types.

    An iterator that reads DuckDB relations needs the connection that would stage its rows: each
    would wait for the other forever.
    """
    import pyarrow as pa

    folders.temporary.mkdir(parents=True, exist_ok=True)
    path = folders.temporary / f"{uuid.uuid4()}.arrow"
    packed = pa.ipc.IpcWriteOptions(compression="lz4")
    try:
        with pa.ipc.new_stream(path, reader.schema, options=packed) as writer:
            for batch in boundary.each(reader):
                writer.write_batch(batch)
        with pa.OSFile(str(path)) as file:
            yield pa.ipc.open_stream(file)
    finally:
        path.unlink(missing_ok=True)


def _message(error: BaseException, *, everywhere: bool) -> str:
    if isinstance(error, SystemExit):
        return f"the function ended the interpreter (sys.exit({marked(repr(error.code))}))"
    if isinstance(error, KeyboardInterrupt):
        return "the function raised KeyboardInterrupt"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    text = text or (MEMORY_USED_UP if isinstance(error, MemoryError) else "")
    name = type(error).__name__
    if not name.endswith(("Error", "Exception")):
        name += " exception"  # else nothing in the message says that the words are an error's
    words = text if everywhere else marked(text)
    description = f"{name}: {words}" if text else name
    limit = limit_of(error)
    return f"{description} (after: {limit})" if limit and not reached_by(error) else description


def _hint(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "raise an exception to fail, return to be done"
    if isinstance(error, MemoryError):
        return "yield batches instead of one table, or make the partitions smaller"
    return ""


def _short(error: BaseException, root: str) -> BaseException:
    """Return the exception without Headrace's frames before the user's."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(root):
        trace = trace.tb_next
    return error.with_traceback(trace) if trace is not None else error
