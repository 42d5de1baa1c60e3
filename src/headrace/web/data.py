"""`/data/{asset}.{format}`: published rows as files, and a preview of them for pages. Classified columns are left out."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from headrace.model import StoreError
from headrace.operations.handing_out import Asked as Question
from headrace.operations.handing_out import Head
from headrace.operations.read import Found, Wanted, find
from headrace.plan.views import is_view
from headrace.web.asking import Asked, of_query
from headrace.web.keeping import knows
from headrace.web.problem import Problem
from headrace.web.reading import Reader

FORMS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
READS_MAX = 2
"""So many are made at once: each is a process."""
SECONDS_MAX = 50.0
PREVIEW_ROWS = 100


class DataAsked(Asked, frozen=True, kw_only=True):
    """As `headrace read` takes it; `columns` and `partition` may be given several times, or with commas between."""

    asset: str
    partition: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    at: str | None = None
    version: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=0)] | None = None


class PreviewAsked(Asked, frozen=True, kw_only=True):
    """Some rows of a partition, or of all."""

    name: str
    partition: str | None = None
    limit: Annotated[int, Meta(ge=0, le=1_000)] = PREVIEW_ROWS


class Data:
    """Answers with rows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._turns = asyncio.Semaphore(READS_MAX)

    async def file(self, request: Request) -> Response:
        """Rows as a file."""
        path = PurePosixPath(request.path_params["asset"])
        form = path.suffix.removeprefix(".")
        if form not in FORMS:
            raise Problem(404, f"{form[:20] or 'nothing'} is no format of data", f"ask for {path.stem[:60]}.{', .'.join(FORMS)}")
        asked = of_query(DataAsked, {"asset": path.stem}, request.query_params)
        wanted = Wanted(asset=asked.asset, partitions=_listed(asked.partition), at=asked.at, version=asked.version, limit=asked.limit)
        return await self._answer(request, wanted, form, _listed(asked.columns) or None)

    async def preview(self, request: Request) -> Response:
        """Some rows, as `headrace read --json` gives them."""
        asked = of_query(PreviewAsked, request.path_params, request.query_params)
        partitions = (asked.partition,) if asked.partition is not None else ()
        return await self._answer(request, Wanted(asset=asked.name, partitions=partitions, limit=asked.limit), "json", None)

    async def _answer(self, request: Request, wanted: Wanted, form: str, columns: tuple[str, ...] | None) -> Response:
        found = await self._reader.document(lambda session: None if is_view(session.project(), wanted.asset) else find(session, wanted))
        headers = _headers(found, wanted, form, columns)
        if "etag" in headers and knows(request.headers.get("if-none-match", ""), headers["etag"]):
            return Response(status_code=304, headers=headers)
        question = Question(*self._reader.project, wanted, form, columns)
        async with self._turns:
            head, body = await _made(question)
        if head.problem is not None:
            raise Problem(503 if head.kind == StoreError.__name__ else 400, head.problem, head.hint)
        if head.masked:
            headers["x-headrace-masked"] = ", ".join(name.encode("ascii", "replace").decode() for name in head.masked)
        return Response(body, media_type=FORMS[form], headers=headers)


async def _made(question: Question) -> tuple[Head, bytes]:
    """By a process of its own, which ends with who asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace.operations.handing_out", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS_MAX):
            out, _ = await process.communicate(msgspec.json.encode(question))
    except TimeoutError:
        raise Problem(503, f"this takes longer than {SECONDS_MAX:.0f} s", "`headrace read` has no such limit") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    head, line, body = out.partition(b"\n")
    if not line:
        raise Problem(500, "the rows couldn't be read", "the same by `headrace read` says why")
    return msgspec.json.decode(head, type=Head), body


def _headers(found: Found | None, wanted: Wanted, form: str, columns: tuple[str, ...] | None) -> dict[str, str]:
    """Of what snapshot it is, and whether it is as it should be. A view has no snapshot of its own."""
    if found is None or found.snapshot is None:
        return {"cache-control": "no-store"}
    asked = hashlib.sha256(f"{wanted} {form} {columns}".encode()).hexdigest()[:16]
    told: dict[str, Any] = {
        "etag": f'"{found.snapshot}-{asked}"', "cache-control": "private, no-cache", "x-headrace-snapshot": str(found.snapshot),
        "x-headrace-state": found.state, "x-headrace-data-through": found.data_through,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value is not None}


def _listed(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one.strip() for text in texts for one in text.split(",") if one.strip())
