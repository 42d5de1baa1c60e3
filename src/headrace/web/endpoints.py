"""The API's endpoints: their type, the handlers of their requests, and the table of all.

An endpoint's types are those of its function's annotations; the router and the OpenAPI description
both read them from there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, cast, get_type_hints

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headrace.services.agreements import Planned
from headrace.services.caches import state_of
from headrace.services.responses.base import encoded
from headrace.services.session import ProjectSession
from headrace.web import acts as web_acts
from headrace.web import reads, views
from headrace.web.acts import ACT_WAIT_SECONDS, Acts, RunningAction
from headrace.web.http import JSON_TYPE, body_parameters, query_parameters, read_json_body
from headrace.web.project_reader import (
    Answered,
    ProjectReader,
    ResponseCache,
    etag_matches,
    etag_of,
)

PREFIX = "/api/v1"


class Endpoint:
    """`make(session, asked)` gives a document; of an act, `make(session, asked, progress)` does it
    first.
    """

    def __init__(self, path: str, make: Callable[..., Any]) -> None:
        self.path, self.make = PREFIX + path, make

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.make)

    @property
    def response(self) -> Any:
        """The type of what it gives."""
        return self._hints["return"]

    @property
    def asked(self) -> type[msgspec.Struct]:
        """The struct of what may be asked: what the function takes after the session."""
        _, kind, *_ = self._hints.values()
        return cast("type[msgspec.Struct]", kind)

    @property
    def said(self) -> str:
        """What it is, in a sentence or two."""
        return inspect.getdoc(self.make) or ""

    @property
    def name(self) -> str:
        """Unique, for clients that are generated."""
        return self.make.__name__


class Get(Endpoint):
    """A document that is looked at. `of_files`: it is made of files too, which change without the
    state's knowing.
    """

    def __init__(self, path: str, make: Callable[..., Any], *, of_files: bool = False) -> None:
        super().__init__(path, make)
        self.of_files = of_files


class Post(Endpoint):
    """An act."""


# Handlers of requests, made of endpoints.

RequestHandler = Callable[[Request], Awaitable[Response]]
AGREE_HEADER = "x-headrace-agree"
"""The id of a plan that is shown: who agrees to it sends it back."""


def json_response(response: Any, status: int = 200) -> Response:
    """The document as an answer."""
    return Response(encoded(response), status, media_type=JSON_TYPE)


def query_handler(reader: ProjectReader, endpoint: Get) -> RequestHandler:
    """Answers with the response of an endpoint, or that who asks has it already."""
    cache = ResponseCache()

    async def answer(request: Request) -> Response:
        asked = query_parameters(endpoint.asked, request.path_params, request.query_params)
        sent = request.headers.get("if-none-match", "")
        result = await reader.response(
            lambda session: _read_response(session, endpoint, asked, cache, sent)
        )
        headers = (
            {} if result.tag is None else {"etag": result.tag, "cache-control": "private, no-cache"}
        )
        if result.tag is not None and etag_matches(sent, result.tag):
            return Response(status_code=304, headers=headers)
        return Response(
            result.body,
            media_type=JSON_TYPE,
            headers=headers if result.agree is None else {**headers, AGREE_HEADER: result.agree},
        )

    return answer


def _read_response(
    session: ProjectSession, endpoint: Get, asked: Struct, cache: ResponseCache, sent: str
) -> Answered:
    """Made in a thread, unless it was made already, or needn't be."""
    question = repr(asked)
    tag = None if endpoint.of_files else etag_of(f"{endpoint.path} {question}", state_of(session))
    if tag is not None:
        if etag_matches(sent, tag):
            return Answered(tag, b"")
        if (before := cache.get(question, tag)) is not None:
            return before
    response = endpoint.make(session, asked)
    result = Answered(
        tag, encoded(response), response.plan_id if isinstance(response, Planned) else None
    )
    if tag is not None:
        cache.put(question, result)
    return result


def act_handler(reader: ProjectReader, acts: Acts, endpoint: Endpoint) -> RequestHandler:
    """Does what an endpoint does, and answers with its response; where that takes long, with where
    to ask for it."""

    async def answer(request: Request) -> Response:
        asked = body_parameters(endpoint.asked, request.path_params, await read_json_body(request))
        act = acts.begin(
            endpoint.name,
            lambda progress: reader.act(lambda session: endpoint.make(session, asked, progress)),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(ACT_WAIT_SECONDS):
                await act.over.wait()
        if not act.over.is_set():
            result = json_response(act.shown(), 202)
            result.headers["location"] = f"{PREFIX}/acts/{act.id}"
            return result
        if act.problem is not None:
            raise act.problem
        return json_response(act.document)

    return answer


def act_state_handler(acts: Acts) -> RequestHandler:
    """Answers with how an act stands."""

    async def answer(request: Request) -> Response:
        act: RunningAction = acts.get(request.path_params["act"])
        return json_response(act.shown())

    return answer


# One line per endpoint.

ENDPOINTS: tuple[Endpoint, ...] = (
    Get("/status", reads.status),
    Get("/figures/{figure}", reads.figure),
    Get("/consumers/{name}", views.consumer),
    Get("/assets", views.catalog),
    Get("/assets/{name}", views.node),
    Get("/assets/{name}/partitions", views.partitions),
    Get("/assets/{name}/code", views.code),
    Get("/why/{subject:path}", reads.why),
    Get("/incidents", reads.incidents),
    Get("/incidents/{incident}", reads.incident),
    Get("/incidents/{incident}/figures", reads.incident_figures),
    Get("/incidents/{incident}/repair", views.repair, of_files=True),
    Get("/runs", reads.runs),
    Get("/runs/list", views.run_list),
    Get("/runs/{run}", views.run),
    Get("/attempts/{attempt}/logs", views.logs, of_files=True),
    Get("/backfills", reads.backfills),
    Get("/backfills/preview", views.backfill_preview),
    Get("/backfills/preview/partitions", views.backfill_preview_partitions),
    Get("/backfills/{plan}", reads.backfill),
    Get("/backfills/{plan}/partitions", views.backfill_partitions),
    Get("/deliveries/{source}", reads.deliveries),
    Get("/checks", reads.checks),
    Get("/checks/list", views.check_list),
    Get("/quarantine", reads.quarantine),
    Get("/paused", reads.paused),
    Get("/contract/{node}", reads.contract, of_files=True),
    Get("/contract/{node}/versions", reads.contract_versions),
    Get("/contract/{node}/diff", reads.contract_diff, of_files=True),
    Get("/contract/{node}/names", views.accepted_names, of_files=True),
    Get("/effect", views.effect),
    Get("/lineage/{column:path}", reads.lineage, of_files=True),
    Get("/graph/view", views.graph),
    Get("/search", views.search),
    Get("/plan", reads.plan, of_files=True),
    Get("/versions", reads.versions),
    Get("/ls", reads.ls, of_files=True),
    Get("/audit", reads.audit),
    Get("/audit/verify", reads.audit_verify),
    Post("/apply", web_acts.do_apply),
    Post("/incidents/report", web_acts.do_report),
    Post("/incidents/{incident}/fix", web_acts.do_fix),
    Post("/incidents/{incident}/note", web_acts.do_note),
    Post("/backfills", web_acts.do_backfill),
    Post("/backfills/{plan}/pause", web_acts.do_pause_backfill),
    Post("/backfills/{plan}/resume", web_acts.do_resume_backfill),
    Post("/backfills/{plan}/cancel", web_acts.do_cancel_backfill),
    Post("/runs", web_acts.do_run),
    Post("/runs/{run}/cancel", web_acts.do_cancel),
    Post("/retry", web_acts.do_retry),
    Post("/pause", web_acts.do_pause),
    Post("/resume", web_acts.do_resume),
    Post("/quarantine/accept", web_acts.do_accept),
    Post("/quarantine/drop", web_acts.do_drop),
    Post("/contract/{node}/names", web_acts.do_accept_names),
    Post("/checks/challenge", web_acts.do_challenge),
    Post("/waive", web_acts.do_waive),
    Post("/withdraw", web_acts.do_withdraw),
)
