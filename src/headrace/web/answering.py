"""Endpoints of the table as answers to requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from headrace.operations.agreement import Planned, word_for
from headrace.operations.encoding import encoded
from headrace.web.acting import WAIT_SECONDS, Act, Acts
from headrace.web.asking import of_body, of_query
from headrace.web.bodies import json_of
from headrace.web.endpoints import PREFIX, Endpoint
from headrace.web.reading import Reader

Answering = Callable[[Request], Awaitable[Response]]
AGREE = "x-headrace-agree"
"""The word for a plan that is shown: who agrees to it sends it back."""


def as_json(document: Any, status: int = 200) -> Response:
    """The document as an answer."""
    return Response(encoded(document), status, media_type="application/json")


def looking(reader: Reader, endpoint: Endpoint) -> Answering:
    """Answers with the document of an endpoint."""

    async def answer(request: Request) -> Response:
        asked = of_query(endpoint.asked, request.path_params, request.query_params)
        document = await reader.document(lambda session: endpoint.make(session, asked))
        found = as_json(document)
        if isinstance(document, get_args(Planned)):
            found.headers[AGREE] = word_for(document)
        return found

    return answer


def acting(reader: Reader, acts: Acts, endpoint: Endpoint) -> Answering:
    """Does what an endpoint does, and answers with its document; where that takes long, with where to ask for it."""

    async def answer(request: Request) -> Response:
        asked = of_body(endpoint.asked, request.path_params, await json_of(request))
        act = acts.begin(endpoint.name, lambda progress: reader.act(lambda session: endpoint.make(session, asked, progress)))
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await act.over.wait()
        if not act.over.is_set():
            found = as_json(act.shown(), 202)
            found.headers["location"] = f"{PREFIX}/acts/{act.id}"
            return found
        if act.problem is not None:
            raise act.problem
        return as_json(act.document)

    return answer


def following(acts: Acts) -> Answering:
    """Answers with how an act stands."""

    async def answer(request: Request) -> Response:
        act: Act = acts.get(request.path_params["act"])
        return as_json(act.shown())

    return answer
