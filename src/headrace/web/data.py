"""`/data/{asset}.{format}`: published rows as files, and a preview of rows for pages.

Classified columns are left out. Each read runs in a process of its own, so that it can be limited
and killed: a fork of one that has imported everything (`web.read_forks`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from headrace.access.permissions import check_call
from headrace.plan.compiled import is_view
from headrace.project.parameters import split_commas
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession
from headrace.responses.rows import DataStateRow
from headrace.services.data_pages import DataQuery
from headrace.services.read import find
from headrace.services.sql import view_states
from headrace.web.http import (
    HttpProblem,
    RequestParameters,
    TrackedStreamingResponse,
    query_parameters,
)
from headrace.web.project_reader import ProjectReader, etag_matches
from headrace.web.read_forks import GONE, LOST
from headrace.web.read_process import JSON, DataFileRequest, Head
from headrace.web.read_server import ReadServer, RowsReader
from headrace.web.tool_process import ToolRequest

FORMS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
READS_MAX = 4
"""At most so many files, and so many previews, are read at once: each by a process of its own."""
QUEUE_SECONDS = 10.0
"""How long a request waits for its turn."""
SECONDS_MAX = 50.0
"""From its turn to its first rows, and at most so long for all rows of a page or a query."""
STARTS_MAX = 2
"""How often a read is begun whose process ends before it has answered."""
CHUNK_BYTES = 1 << 16
WHOLE_BYTES_MAX = 32 << 20
"""Of a response that is read as a whole."""
PREVIEW_ROWS = 100


class DataAsked(RequestParameters, frozen=True, kw_only=True):
    """Parameters of `headrace read`; `columns` and `partition` may be repeated."""

    asset: str
    partition: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    at: str | None = None
    version: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=0)] | None = None
    where: tuple[str, ...] = ()
    """Filters of a page of rows, each a JSON array; a file without them has all rows."""
    search: str = ""
    sort: tuple[str, ...] = ()
    only_sound: bool = False


class PreviewAsked(RequestParameters, frozen=True, kw_only=True):
    """Parameters of a preview of rows: of one partition, or of all."""

    name: str
    partition: str | None = None
    limit: Annotated[int, Meta(ge=0, le=1_000)] = PREVIEW_ROWS


class Data:
    """The endpoints that return rows."""

    def __init__(self, reader: ProjectReader, read_server: ReadServer) -> None:
        self._reader, self._read_server = reader, read_server
        self._files, self._previews = asyncio.Semaphore(READS_MAX), asyncio.Semaphore(READS_MAX)

    async def file(self, request: Request) -> Response:
        """Return rows as a file."""
        path = PurePosixPath(request.path_params["asset"])
        form = path.suffix.removeprefix(".")
        if form not in FORMS:
            raise HttpProblem(
                404,
                f"{form[:20]} is no format of data" if form else "the address says no format",
                f"ask for {path.stem[:60]}.{', .'.join(FORMS)}",
            )
        parameters = query_parameters(DataAsked, {"asset": path.stem}, request.query_params)
        query = ReadQuery(
            asset=parameters.asset,
            partitions=parameters.partition,
            at=parameters.at,
            version=parameters.version,
            limit=parameters.limit,
            only_sound=parameters.only_sound,
        )
        columns = split_commas(parameters.columns) or None
        page = _page_query(parameters, columns)
        if page is not None and form == JSON:
            raise HttpProblem(
                400,
                "filters and an order need a file of CSV, Parquet or Arrow",
                f"JSON has them at /api/v1/assets/{path.stem[:60]}/rows",
            )
        return await self._answer(request, query, form, columns, self._files, page)

    async def preview(self, request: Request) -> Response:
        """Return some rows, as `headrace read --json` does."""
        parameters = query_parameters(PreviewAsked, request.path_params, request.query_params)
        partitions = (parameters.partition,) if parameters.partition is not None else ()
        return await self._answer(
            request,
            ReadQuery(asset=parameters.name, partitions=partitions, limit=parameters.limit),
            "json",
            None,
            self._previews,
        )

    async def _answer(
        self,
        request: Request,
        query: ReadQuery,
        form: str,
        columns: tuple[str, ...] | None,
        turns: asyncio.Semaphore,
        page: DataQuery | None = None,
    ) -> Response:
        identity = request.state.identity
        read = await self._reader.response(
            lambda session: _about(session, query, columns), identity
        )
        headers = _headers(read, query, form, columns, page)
        if "etag" in headers and etag_matches(
            request.headers.get("if-none-match", ""), headers["etag"]
        ):
            return Response(status_code=304, headers=headers)
        question = DataFileRequest(*self._reader.project, query, form, columns, identity, page)
        await acquire_slot(turns)
        try:
            rows, head = await _begin(self._read_server, question)
        except BaseException:
            turns.release()
            raise

        def end() -> None:
            turns.release()
            rows.end()

        if head.masked:
            names = (name.encode("ascii", "replace").decode() for name in head.masked)
            headers["x-headrace-masked"] = ", ".join(names)
        return TrackedStreamingResponse(
            _read_rows(rows), end, media_type=FORMS[form], headers=headers
        )


async def read_whole(read_server: ReadServer, request: ToolRequest) -> bytes:
    """Return the response of a command that a fork runs.

    If the caller is cancelled, the fork is killed. Raise HttpProblem if the command is refused, or
    takes too long.
    """
    code = GONE
    for _ in range(STARTS_MAX):
        reader, _head = await _begin(read_server, request)
        try:
            body = await _read_all(reader)
            if (code := await reader.code()) == 0:
                return body
        finally:
            reader.end()
    raise _ended(code)


async def _begin(
    read_server: ReadServer, request: DataFileRequest | ToolRequest
) -> tuple[RowsReader, Head]:
    """Begin to read. Raise HttpProblem if that fails.

    A fork that is killed before its head is followed by another one: the kernel ends forks for
    reads first when memory runs out, and a moment later there may be some again.
    """
    code = GONE
    for _ in range(STARTS_MAX):
        try:
            reader = await RowsReader.open(read_server, request)
        except OSError:
            continue
        try:
            head = await _first_line(reader)
            if isinstance(head, Head):
                return reader, _accepted(head)
            code = head
        except BaseException:
            reader.end()
            raise
        reader.end()
    raise _ended(code)


def _ended(code: int) -> HttpProblem:
    """Return the problem of a fork that ended too early, by its exit code."""
    how = {
        GONE: "no process can be started that reads",
        LOST: "the process that read this was killed, as when memory runs out",
    }
    return HttpProblem(
        503,
        how.get(code, f"the process that read this ended with code {code}"),
        "ask again in a minute; if it stays so, for fewer columns or rows, and look after the"
        " server's memory, disk and open files",
        retry_after="60",
    )


async def _read_all(reader: RowsReader) -> bytes:
    """Return all bytes after the first line. Raise HttpProblem if there are too many."""
    result = bytearray()
    while chunk := await reader.rows.read(CHUNK_BYTES):
        result += chunk
        if len(result) > WHOLE_BYTES_MAX:
            raise HttpProblem(
                413,
                f"these rows take more than {WHOLE_BYTES_MAX >> 20} MB",
                "choose fewer columns or rows",
            )
    return bytes(result)


class ReadRows(NamedTuple):
    """What is read, if the request's identity may read it; a view has no snapshot of its own."""

    snapshot: int | None
    data_through: str | None
    state: str
    states: list[DataStateRow]


def _about(session: ProjectSession, query: ReadQuery, columns: tuple[str, ...] | None) -> ReadRows:
    check_call(session, "read:read", {"query": query})
    if is_view(session.project(), query.asset):
        return ReadRows(None, None, *view_states(session, query))
    location = find(session, query, columns)
    return ReadRows(location.snapshot, location.data_through, location.state, location.shown_states)


async def acquire_slot(turns: asyncio.Semaphore) -> None:
    """Wait for a turn. Raise HttpProblem (503) after QUEUE_SECONDS."""
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            await turns.acquire()
    except TimeoutError:
        message = f"{READS_MAX} other reads are under way"
        raise HttpProblem(503, message, "ask again in a minute", retry_after="60") from None


async def _first_line(reader: RowsReader) -> Head | int:
    """Return the head, or the exit code of a fork that ended before it."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            line = await reader.rows.readline()
            if line.endswith(b"\n"):
                return msgspec.json.decode(line, type=Head)
            return await reader.code()
    except TimeoutError:  # an OSError, too
        raise HttpProblem(
            503,
            f"this takes longer than {SECONDS_MAX:.0f} s",
            "select fewer rows; `headrace read` and `headrace sql` have no such limit",
        ) from None
    except OSError:
        return GONE


def _accepted(head: Head) -> Head:
    """Return the head. Raise HttpProblem if it refuses."""
    if head.problem is not None:
        raise HttpProblem(head.status, head.problem, head.hint)
    return head


async def _read_rows(reader: RowsReader) -> AsyncIterator[bytes]:
    """Yield the bytes after the first line.

    If the rest can't be read, the connection is cut, so that no client takes a part for the whole.
    """
    while chunk := await reader.rows.read(CHUNK_BYTES):
        yield chunk
    if await reader.code() != 0:
        raise ConnectionAbortedError("the rows could not all be read")


def _headers(
    read: ReadRows,
    query: ReadQuery,
    form: str,
    columns: tuple[str, ...] | None,
    page: DataQuery | None,
) -> dict[str, str]:
    """Return headers with the snapshot, its state, and what has to be known of it.

    The same rows have another ETag once something else is known of them.
    """
    asked = f"{query} {form} {columns} {page} {read.state} {read.states}"
    query_hash = hashlib.sha256(asked.encode()).hexdigest()[:16]
    known = read.snapshot is not None
    headers: dict[str, str | None] = {
        "etag": f'"{read.snapshot}-{query_hash}"' if known else None,
        "cache-control": "private, no-cache" if known else "no-store",
        "x-headrace-snapshot": str(read.snapshot) if known else None,
        "x-headrace-state": read.state,
        "x-headrace-states": ", ".join(dict.fromkeys(item.state for item in read.states)) or None,
        "x-headrace-incidents": ", ".join(
            dict.fromkeys(item.incident for item in read.states if item.incident)
        )
        or None,
        "x-headrace-data-through": read.data_through,
    }
    return {name: value for name, value in headers.items() if value is not None}


def _page_query(asked: DataAsked, columns: tuple[str, ...] | None) -> DataQuery | None:
    """Return the query of a file that has some rows only, or another order; None for others."""
    if not (asked.where or asked.search or asked.sort):
        return None
    if len(asked.partition) > 1 or asked.limit is not None:
        raise HttpProblem(
            400,
            "filters and an order go with one partition or all, and without a limit",
            "leave out `limit` and further partitions",
        )
    return DataQuery(
        partition=asked.partition[0] if asked.partition else None,
        at=asked.at,
        version=asked.version,
        columns=columns or (),
        sort=asked.sort,
        where=asked.where,
        search=asked.search,
        only_sound=asked.only_sound,
    )
