"""Endpoints of the table as answers to requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headrace.operations.agreement import Planned
from headrace.operations.changing import state_of
from headrace.operations.encoding import encoded
from headrace.operations.session import ProjectSession
from headrace.web.acting import WAIT_SECONDS, Acts, RunningAction
from headrace.web.asking import of_body, of_query
from headrace.web.bodies import JSON, json_of
from headrace.web.endpoints import PREFIX, Endpoint, Get
from headrace.web.keeping import Answered, ResponseCache, knows, tag_of
from headrace.web.reading import ProjectReader

Answering = Callable[[Request], Awaitable[Response]]
AGREE = "x-headrace-agree"
"""The id of a plan that is shown: who agrees to it sends it back."""


def as_json(response: Any, status: int = 200) -> Response:
    """The document as an answer."""
    return Response(encoded(response), status, media_type=JSON)


def looking(reader: ProjectReader, endpoint: Get) -> Answering:
    """Answers with the response of an endpoint, or that who asks has it already."""
    cache = ResponseCache()

    async def answer(request: Request) -> Response:
        asked = of_query(endpoint.asked, request.path_params, request.query_params)
        sent = request.headers.get("if-none-match", "")
        result = await reader.response(lambda session: _answered(session, endpoint, asked, cache, sent))
        headers = {} if result.tag is None else {"etag": result.tag, "cache-control": "private, no-cache"}
        if result.tag is not None and knows(sent, result.tag):
            return Response(status_code=304, headers=headers)
        return Response(result.body, media_type=JSON, headers=headers if result.agree is None else {**headers, AGREE: result.agree})

    return answer


def _answered(session: ProjectSession, endpoint: Get, asked: Struct, cache: ResponseCache, sent: str) -> Answered:
    """Made in a thread, unless it was made already, or needn't be."""
    question = repr(asked)
    tag = None if endpoint.of_files else tag_of(f"{endpoint.path} {question}", state_of(session))
    if tag is not None:
        if knows(sent, tag):
            return Answered(tag, b"")
        if (before := cache.get(question, tag)) is not None:
            return before
    response = endpoint.make(session, asked)
    result = Answered(tag, encoded(response), response.plan_id if isinstance(response, Planned) else None)
    if tag is not None:
        cache.put(question, result)
    return result


def acting(reader: ProjectReader, acts: Acts, endpoint: Endpoint) -> Answering:
    """Does what an endpoint does, and answers with its response; where that takes long, with where to ask for it."""

    async def answer(request: Request) -> Response:
        asked = of_body(endpoint.asked, request.path_params, await json_of(request))
        act = acts.begin(endpoint.name, lambda progress: reader.act(lambda session: endpoint.make(session, asked, progress)))
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await act.over.wait()
        if not act.over.is_set():
            result = as_json(act.shown(), 202)
            result.headers["location"] = f"{PREFIX}/acts/{act.id}"
            return result
        if act.problem is not None:
            raise act.problem
        return as_json(act.document)

    return answer


def following(acts: Acts) -> Answering:
    """Answers with how an act stands."""

    async def answer(request: Request) -> Response:
        act: RunningAction = acts.get(request.path_params["act"])
        return as_json(act.shown())

    return answer
