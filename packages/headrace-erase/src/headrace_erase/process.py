"""The process that searches files for rows of a subject, and writes exports again.

`python -m headrace_erase.process`, started by `headrace_erase.search`, reads requests from standard
input and answers each with its result (`headrace.runtime.lake_process`).
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from headrace.connect import SourceSchema
from headrace.connect.deliveries import CannotRead
from headrace.connect.exports.registry import DESTINATION_UNAVAILABLE
from headrace.connect.ingest import ReadRules, prepare_all
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import GZIP, ZIP, ZSTD
from headrace.engine.attempts import ErrorKind
from headrace.extension import literal
from headrace.lake.erased_files import matches_sql, recognised, texts_sql
from headrace.lake.erasing import scan as scanned
from headrace.lake.files import MAGIC as PARQUET
from headrace.lake.sqltext import AS_WRITTEN
from headrace.runtime.lake_process import answer_all, worker
from headrace.runtime.lake_search import TableSearch
from headrace.runtime.messages import FailedOutcome
from headrace.runtime.steps.export import export
from headrace_erase.search import (
    BytesSearch,
    CastRequest,
    ExportWrite,
    FileRows,
    FileSearch,
    RawFile,
    RawSearch,
    Request,
    RewrittenExport,
)


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
        case BytesSearch(paths, texts):
            return [path for path in paths if _has_text(Path(path), texts)]
        case ExportWrite():
            return _written_again(request)


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
        read = _raw_read(request, file, pinned)
        if read is not None:
            return FileRows(file.delivery, *read)
    return FileRows(file.delivery, None)


def _raw_read(
    request: RawSearch, file: RawFile, pinned: SourceSchema | None
) -> tuple[int, tuple[str, ...]] | None:
    with duckdb.connect() as connection:
        connection.execute("SET python_enable_replacements = false")
        try:
            prepared = prepare_all(
                [(Path(path), name) for path, name in file.parts],
                ReadRules(temporary=Path(request.temporary), options=request.source.connector),
                connection=connection,
                pinned=pinned,
            )
        except (CannotRead, duckdb.Error, OSError):
            return None
        if not isinstance(prepared, PreparedDelivery):
            return None
        try:
            rows = recognised(request.erased, _names(connection, f"({prepared.select_sql})"))
            if not rows:
                return None
            source, condition = f"({prepared.select_sql})", matches_sql(rows, request.key)
            row = connection.execute(
                f"SELECT count(*) FROM {source} AS delivery WHERE {condition}"
            ).fetchone()
            texts = connection.execute(texts_sql(source, condition)).fetchall()
        except duckdb.Error:
            return None
        finally:
            prepared.discard()
    return None if row is None else (int(row[0]), tuple(text for (text,) in texts))


def _file(request: FileSearch, number: int, path: str) -> FileRows:
    source = f"read_parquet({literal(path)}, {AS_WRITTEN})"
    with duckdb.connect() as connection:
        try:
            known = recognised(request.erased, _names(connection, source))
            if not known:
                return FileRows(number, None)
            condition = matches_sql(known, request.key)
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


def _has_text(path: Path, texts: Sequence[str]) -> bool:
    """Return whether a file has one of the texts, also in what it has compressed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    encoded = [text.encode() for text in texts]
    if any(text in content for text in encoded):
        return True
    try:
        if content.startswith(PARQUET):
            return _has_row(path, texts)
        return any(text in part for part in _unpacked(path, content) for text in encoded)
    except (duckdb.Error, OSError, zipfile.BadZipFile):
        return True  # nobody can tell


def _has_row(path: Path, texts: Sequence[str]) -> bool:
    condition = " OR ".join("contains(CAST(read AS VARCHAR), ?)" for _ in texts)
    with duckdb.connect() as connection:
        row = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM read_parquet({literal(str(path))}, {AS_WRITTEN})"
            f" AS read WHERE {condition} LIMIT 1)",
            list(texts),
        ).fetchone()
    return bool(row and row[0])


def _unpacked(path: Path, content: bytes) -> Iterator[bytes]:
    """Yield what a compressed file has; nothing for others."""
    import pyarrow as pa

    if content.startswith(ZIP):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
        return
    for magic, name in ((GZIP, "gzip"), (ZSTD, "zstd")):
        if content.startswith(magic):
            with pa.input_stream(str(path), compression=name) as stream:
                yield stream.read()


def _names(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {source} AS columns").fetchall()
    return [row[0] for row in rows]


def _written_again(request: ExportWrite) -> RewrittenExport:
    with worker(request.folders, request.threads) as context:
        outcome = export(request.task, context)
    if isinstance(outcome, FailedOutcome):
        error = outcome.error
        waits = error.code == DESTINATION_UNAVAILABLE  # its hint is for an export that is retried
        why = f"{error.message} ({error.hint})" if error.hint and not waits else error.message
        return RewrittenExport(None, why, fenced=error.kind is ErrorKind.CANCELLED)
    return RewrittenExport(outcome.manifest or ())


def _replace(part: str, path: str) -> None:
    with open(part, "rb") as file:  # noqa: PTH123 - a descriptor to sync
        os.fsync(file.fileno())
    os.replace(part, path)  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(answer_all(Request, _answer))
