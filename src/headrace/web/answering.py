"""Endpoints of the table as answers to requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headrace.operations.encoding import encoded
from headrace.web.asking import of_query
from headrace.web.endpoints import Endpoint
from headrace.web.reading import Reader

Answering = Callable[[Request], Awaitable[Response]]


def as_json(document: Any, status: int = 200) -> Response:
    """The document as an answer."""
    return Response(encoded(document), status, media_type="application/json")


def looking(reader: Reader, endpoint: Endpoint) -> Answering:
    """Answers with the document of an endpoint."""

    async def answer(request: Request) -> Response:
        asked = of_query(endpoint.asked, request.path_params, request.query_params)
        return as_json(await reader.document(lambda session: endpoint.make(session, asked)))

    return answer
