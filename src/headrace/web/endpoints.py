"""The table of the API's endpoints, and their request handlers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headrace.access.agreements import Planned
from headrace.access.permissions import COMMANDS, Command, check_call, nodes_of_call
from headrace.project.caches import state_of
from headrace.project.parameters import call, command_function, description_of, request_type
from headrace.project.session import ProjectSession, Silent
from headrace.responses.base import encoded
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
    """A path of the API and the function in `headrace.services` that answers its requests.

    The function's signature declares the parameters and the response; the router and the OpenAPI
    description both read it. The first request imports the function's module.
    """

    def __init__(self, function: str, row: Command) -> None:
        self.command, self.rows, self.of_files = function, row.rows, row.of_files
        self.method, path, self.name = row.http.split()
        self.path = PREFIX + path

    @property
    def acts(self) -> bool:
        """Whether it changes something."""
        return self.method == "POST" and not self.rows

    @property
    def function(self) -> Callable[..., Any]:
        """The function that computes the response."""
        return command_function(self.command)

    @property
    def response(self) -> Any:
        """The type of the response."""
        return get_type_hints(self.function)["return"]

    @property
    def request(self) -> type[msgspec.Struct]:
        """The struct that checks a request's parameters."""
        return request_type(self.function)

    @property
    def summary(self) -> str:
        """A description: the first paragraph of the function's docstring."""
        return " ".join(description_of(self.function).partition("\n\n")[0].split())


ENDPOINTS = sorted(
    (Endpoint(path, row) for path, row in COMMANDS.items() if row.http),
    key=lambda item: (
        re.sub(r"\{\w+", "{", item.path).replace(":path", "~"),  # ASCII: letters, `{`, `}`, `~`
        item.method,
        "." in item.command,  # of another package, after Headrace's for the same requests
    ),
)
"""All endpoints. The router takes the first path that fits: `/runs/list` before `/runs/{run}`."""

# Handlers of requests, made of endpoints.

RequestHandler = Callable[[Request], Awaitable[Response]]
AGREE_HEADER = "x-headrace-agree"
"""The id of a plan that is shown: who agrees to it sends it back."""


def json_response(response: Any, status: int = 200) -> Response:
    """Return a document as a response."""
    return Response(encoded(response), status, media_type=JSON_TYPE)


def query_handler(reader: ProjectReader, endpoint: Endpoint) -> RequestHandler:
    """Handle a GET: return the response, or 304 if the client already has it."""
    cache = ResponseCache()

    async def answer(request: Request) -> Response:
        parameters = query_parameters(endpoint.request, request.path_params, request.query_params)
        sent = request.headers.get("if-none-match", "")
        result = await reader.response(
            lambda session: _read_response(session, endpoint, parameters, cache, sent),
            request.state.identity,
            key=None if endpoint.of_files else (endpoint.path, repr(parameters), sent),
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
    session: ProjectSession, endpoint: Endpoint, parameters: Struct, cache: ResponseCache, sent: str
) -> Answered:
    """Return the encoded response, from the cache or computed in a thread.

    The permission is checked before the cache: its responses were computed for others.
    """
    check_call(session, endpoint.command, msgspec.structs.asdict(parameters))
    # some responses leave out nodes and columns, other ones when a break-glass role ends
    question = f"{session.identity.who} {session.identity.grants!r} {parameters!r}"
    tag = None if endpoint.of_files else etag_of(f"{endpoint.path} {question}", state_of(session))
    if tag is not None:
        if etag_matches(sent, tag):
            return Answered(tag, b"")
        if (before := cache.get(question, tag)) is not None:
            return before
    response = call(endpoint.function, session, parameters, progress=Silent())
    result = Answered(
        tag, encoded(response), response.plan_id if isinstance(response, Planned) else None
    )
    if tag is not None:
        cache.put(question, result)
    return result


def act_handler(reader: ProjectReader, acts: Acts, endpoint: Endpoint) -> RequestHandler:
    """Handle an action: return its response, or where to ask for its state if it takes long."""

    async def answer(request: Request) -> Response:
        parameters = body_parameters(
            endpoint.request, request.path_params, await read_json_body(request)
        )
        identity = request.state.identity
        act = acts.begin(
            endpoint.name,
            lambda progress: reader.act(
                lambda session: _perform(session, endpoint, parameters, progress), identity
            ),
            identity.who,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(ACT_WAIT_SECONDS):
                await act.over.wait()
        if not act.over.is_set():
            state = await reader.response(
                lambda session: acts.visible_state(session, act.id), identity
            )
            result = json_response(state, 202)
            result.headers["location"] = f"{PREFIX}/acts/{act.id}"
            return result
        if act.problem is not None:
            raise act.problem
        return json_response(act.document)

    return answer


def _perform(
    session: ProjectSession, endpoint: Endpoint, parameters: Struct, action: RunningAction
) -> Any:
    """Run an action's function, and note the nodes that it is about for those who ask for it."""
    action.nodes = nodes_of_call(session, endpoint.command, msgspec.structs.asdict(parameters))
    return call(endpoint.function, session, parameters, progress=action)


def act_state_handler(reader: ProjectReader, acts: Acts) -> RequestHandler:
    """Return the state of an action to those who may see it."""

    async def answer(request: Request) -> Response:
        state = await reader.response(
            lambda session: acts.visible_state(session, request.path_params["act"]),
            request.state.identity,
        )
        return json_response(state)

    return answer
