"""Searches of the lake, raw copies and quarantine for rows of a subject, in a separate process.

The process (`headrace_erase.process`) is separate because a process with the state database open
loads no DuckDB. Where rows are searched, a request has hashes of a subject's keys and no value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec

from headrace.connect import SourceSchema
from headrace.extension import ExportTask, Folders, Source
from headrace.lake.erased_files import ErasedFile, ErasureScan, HashKey
from headrace.model.erased_rows import ErasedRows
from headrace.runtime.lake_search import LakeProcess, TableSearch

PROCESS = "headrace_erase.process"
"""Module of the process: it loads DuckDB, which this one must not."""


class RawFile(msgspec.Struct, frozen=True):
    """A stored delivery: its parts with their names. `path` is relative to the data folder."""

    delivery: int
    parts: tuple[tuple[str, str], ...]
    """Absolute path and name of each file."""


class RawSearch(msgspec.Struct, frozen=True, tag="raw"):
    """Stored deliveries of a source, to be read as its deliveries are."""

    source: Source
    pinned: SourceSchema | None
    files: tuple[RawFile, ...]
    erased: tuple[ErasedRows, ...]
    key: HashKey
    temporary: str


class FileSearch(msgspec.Struct, frozen=True, tag="file"):
    """Parquet files outside of the catalog; `rewrite` puts copies without the rows in place."""

    paths: tuple[str, ...]
    erased: tuple[ErasedRows, ...]
    key: HashKey
    rewrite: bool
    temporary: str


class CastRequest(msgspec.Struct, frozen=True, tag="cast"):
    """Values as typed, and types of columns: which text has the value in a column of each type?"""

    values: tuple[str, ...]
    types: tuple[str, ...]


class BytesSearch(msgspec.Struct, frozen=True, tag="bytes"):
    """Files of any kind and texts: which files have one, in the clear or in compressed pages?"""

    paths: tuple[str, ...]
    texts: tuple[str, ...]


class ExportWrite(msgspec.Struct, frozen=True, tag="export"):
    """An export to write again, as of an erasure."""

    task: ExportTask
    folders: Folders
    threads: int


class RewrittenExport(msgspec.Struct, frozen=True):
    """The files or tables that an export has written; None and why, if it couldn't."""

    manifest: tuple[dict[str, Any], ...] | None
    why: str = ""
    fenced: bool = False
    """Whether another leader took over meanwhile, so that it can be tried again."""


class FileRows(msgspec.Struct, frozen=True):
    """Rows of the subject in one file: None if it can't be read."""

    number: int
    rows: int | None
    texts: tuple[str, ...] = ()
    """Texts in these rows of a stored delivery."""


Request = RawSearch | FileSearch | TableSearch | CastRequest | BytesSearch | ExportWrite
R = TypeVar("R")


def erased_files(scan: ErasureScan) -> tuple[ErasedFile, ...]:
    """Return the files of a table with rows of the subject. Raises LakeError."""
    return _asked(TableSearch(scan), tuple[ErasedFile, ...])


def raw_rows(search: RawSearch) -> tuple[FileRows, ...]:
    """Return the subject's rows in each stored delivery, by its number. Raises LakeError."""
    return _asked(search, tuple[FileRows, ...]) if search.files else ()


def file_rows(search: FileSearch) -> tuple[FileRows, ...]:
    """Return the subject's rows in each file, by its place in the list. Raises LakeError."""
    return _asked(search, tuple[FileRows, ...]) if search.paths else ()


def written_again(request: ExportWrite) -> RewrittenExport:
    """Write an export again. Raises LakeError if the process ends without an answer."""
    return _asked(request, RewrittenExport)


def files_with(search: BytesSearch) -> tuple[str, ...]:
    """Return the files that have one of the texts, or can't be read. Raises LakeError."""
    return _asked(search, tuple[str, ...]) if search.paths and search.texts else ()


def cast_texts(values: Sequence[str], types: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts that each value has in columns of these types, with the typed one."""
    return _asked(CastRequest(tuple(values), tuple(types)), dict[str, list[str]])


_SEARCHER: ContextVar[LakeProcess | None] = ContextVar("searcher", default=None)


@contextlib.contextmanager
def one_process() -> Iterator[None]:
    """Let one process answer the requests of the block; each starts one of its own otherwise.

    An erasure asks about fifty times, and starting the process takes longer than most answers.
    """
    with contextlib.closing(LakeProcess(PROCESS)) as searcher:
        token = _SEARCHER.set(searcher)
        try:
            yield
        finally:
            _SEARCHER.reset(token)


def _asked(request: Request, kind: type[R]) -> R:
    shared = _SEARCHER.get()
    once = contextlib.closing(LakeProcess(PROCESS))
    with contextlib.nullcontext(shared) if shared else once as process:
        return process.ask(request, kind)
