"""Endpoints whose responses are computed from rows: each request runs in a fork for reads.

The fork is limited in time and size, and ends when the client closes the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headrace.access.permissions import check_call
from headrace.security.access import Identity, IdentityKind
from headrace.web.data import READS_MAX, acquire_slot, read_whole
from headrace.web.endpoints import Endpoint
from headrace.web.http import JSON_TYPE, body_parameters, query_parameters, read_json_body
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer
from headrace.web.tool_process import ToolRequest

T = TypeVar("T")


class RowResponses:
    """The handlers of these endpoints; at most READS_MAX run at once."""

    def __init__(self, reader: ProjectReader, read_server: ReadServer) -> None:
        self._reader, self._read_server = reader, read_server
        self._turns = asyncio.Semaphore(READS_MAX)

    def handler(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler of one endpoint."""

        async def answer(request: Request) -> Response:
            parameters = (
                query_parameters(endpoint.request, request.path_params, request.query_params)
                if endpoint.method == "GET"
                else body_parameters(
                    endpoint.request, request.path_params, await read_json_body(request)
                )
            )
            body = await self._computed(request, endpoint, parameters)
            return Response(body, media_type=JSON_TYPE)

        return answer

    async def _computed(
        self, request: Request, endpoint: Endpoint, parameters: msgspec.Struct
    ) -> bytes:
        identity: Identity = request.state.identity
        arguments = msgspec.structs.asdict(parameters)
        await self._reader.response(
            lambda session: check_call(session, endpoint.command, arguments), identity
        )
        root, env, actor = self._reader.project
        question = ToolRequest(
            root,
            env,
            actor if identity.kind is IdentityKind.LOCAL else identity.name,
            endpoint.command,
            msgspec.to_builtins(parameters),
            identity,
        )
        await acquire_slot(self._turns)
        try:
            return await _while_connected(request, read_whole(self._read_server, question))
        finally:
            self._turns.release()


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return the result of `work`, which is cancelled when the client has left.

    Raise ClientDisconnect then.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for item in (task, leaving):
            item.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    """Wait until the client has closed the connection; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
