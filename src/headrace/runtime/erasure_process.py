"""The process that searches files for rows of a subject, or of old partitions.

`python -m headrace.runtime.erasure_process`, started by `runtime.erasure_search`, reads one request
from standard input and answers with the result.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from headrace.connect import SourceSchema
from headrace.connect.deliveries import CannotRead
from headrace.connect.exports.registry import DESTINATION_UNAVAILABLE
from headrace.connect.ingest import prepare_all
from headrace.connect.prepared import PreparedDelivery
from headrace.engine.attempts import ErrorKind
from headrace.engine.logs import OutputPipes
from headrace.lake.erased_files import matches_sql
from headrace.lake.erasing import scan as scanned
from headrace.lake.sqltext import AS_WRITTEN, literal
from headrace.model import LakeError
from headrace.model.errors import first_line
from headrace.runtime.erasure_search import (
    CastRequest,
    ExportWrite,
    FileRows,
    FileSearch,
    RawFile,
    RawSearch,
    RebuildRequest,
    RebuiltPartition,
    Request,
    RewrittenExport,
    TableSearch,
)
from headrace.runtime.folders import Folders
from headrace.runtime.messages import FailedOutcome, HeldOutcome, RejectedOutcome, StagedOutcome
from headrace.runtime.steps.export import export
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

_Staged = StagedOutcome | HeldOutcome | RejectedOutcome


def main() -> int:
    """Answer one request; print an error to standard error."""
    request: Any = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
    try:
        result = _answer(request)
    except (LakeError, OSError) as error:
        sys.stderr.write(f"{first_line(error)}\n")
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(result))
    return 0


def _answer(request: Request) -> Any:
    match request:
        case TableSearch(scan):
            return scanned(scan)
        case RawSearch():
            return [_raw(request, file) for file in request.files]
        case FileSearch():
            return [_file(request, number, path) for number, path in enumerate(request.paths)]
        case CastRequest():
            return _cast(request)
        case ExportWrite():
            return _written_again(request)
        case RebuildRequest():
            return _rebuilt(request)


def _cast(request: CastRequest) -> dict[str, list[str]]:
    results: dict[str, list[str]] = {}
    with duckdb.connect() as connection:
        for value in request.values:
            texts = {value}
            for kind in request.types:
                try:
                    row = connection.execute(
                        f"SELECT CAST(TRY_CAST(? AS {kind}) AS VARCHAR)", [value]
                    ).fetchone()
                except duckdb.Error:
                    continue
                if row is not None and row[0] is not None:
                    texts.add(row[0])
            results[value] = sorted(texts)
    return results


def _raw(request: RawSearch, file: RawFile) -> FileRows:
    """Count the subject's rows in a stored delivery, read by the pinned schema or a new one."""
    for pinned in (request.pinned, None) if request.pinned is not None else (None,):
        rows = _raw_read(request, file, pinned)
        if rows is not None:
            return FileRows(file.delivery, rows)
    return FileRows(file.delivery, None)


def _raw_read(request: RawSearch, file: RawFile, pinned: SourceSchema | None) -> int | None:
    with duckdb.connect() as connection:
        connection.execute("SET python_enable_replacements = false")
        try:
            prepared = prepare_all(
                [(Path(path), name) for path, name in file.parts],
                pinned=pinned,
                connection=connection,
                temporary=Path(request.temporary),
                options=request.source.connector,
            )
        except (CannotRead, duckdb.Error, OSError):
            return None
        if not isinstance(prepared, PreparedDelivery):
            return None
        try:
            condition = matches_sql(request.erased, request.key)
            row = connection.execute(
                f"SELECT count(*) FROM ({prepared.select_sql}) AS delivery WHERE {condition}"
            ).fetchone()
        except duckdb.Error:
            return None
        finally:
            prepared.discard()
    return None if row is None else int(row[0])


def _file(request: FileSearch, number: int, path: str) -> FileRows:
    condition = matches_sql(request.erased, request.key)
    source = f"read_parquet({literal(path)}, {AS_WRITTEN})"
    with duckdb.connect() as connection:
        try:
            row = connection.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchone()
            rows = 0 if row is None else int(row[0])
            if rows and request.rewrite:
                part = f"{path}.{os.getpid()}.part"
                connection.execute(
                    f"COPY (SELECT * FROM {source} WHERE NOT {condition}) TO {literal(part)}"
                    " (FORMAT parquet, COMPRESSION zstd)"
                )
                _replace(part, path)
        except duckdb.Error:
            return FileRows(number, None)
    return FileRows(number, rows)


def _written_again(request: ExportWrite) -> RewrittenExport:
    with _worker(request.folders, request.threads) as context:
        outcome = export(request.task, context)
    if isinstance(outcome, FailedOutcome):
        error = outcome.error
        waits = error.code == DESTINATION_UNAVAILABLE  # its hint is for an export that is retried
        why = f"{error.message} ({error.hint})" if error.hint and not waits else error.message
        return RewrittenExport(None, why, fenced=error.kind is ErrorKind.CANCELLED)
    return RewrittenExport(outcome.manifest or ())


def _rebuilt(request: RebuildRequest) -> RebuiltPartition:
    (key,) = request.task.scope.partitions
    epoch, _, n = request.task.scope.attempt.partition(".")
    with _worker(request.folders, request.threads) as context:
        outcome = perform(request.task, context)
    request.folders.log(int(epoch), int(n)).unlink(missing_ok=True)
    if isinstance(outcome, FailedOutcome):
        return RebuiltPartition(None, why=outcome.error.message)
    staged = outcome.staged if isinstance(outcome, _Staged) else None
    if staged is None:
        return RebuiltPartition(None, why="it gives no rows that can be published")
    (request.folders.lake / staged.path).unlink(missing_ok=True)
    part = next((part for part in staged.partitions if part.key == key), None)
    if part is None:
        return RebuiltPartition(None, why="it gives no rows")
    return RebuiltPartition(part.content_hash, part.rows)


@contextlib.contextmanager
def _worker(folders: Folders, threads: int) -> Iterator[WorkerContext]:
    channel = OutputPipes.open()
    context = WorkerContext(WorkerSettings(folders, threads, threads, None), channel)
    try:
        yield context
    finally:
        context.close()
        channel.close()


def _replace(part: str, path: str) -> None:
    with open(part, "rb") as file:  # noqa: PTH123 - a descriptor to sync
        os.fsync(file.fileno())
    os.replace(part, path)  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(main())
