"""`/mcp`: the tools for agents at the server's own address (streamable HTTP).

A request needs a token in its header `Authorization`; the sessions of browsers don't count. The
package `mcp` is loaded by the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from headrace.extension import SEE, HttpProblem, HttpRoute, ServerContext, command
from headrace.security.access import Identity

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"
METHODS = ("GET", "POST", "DELETE")
TRANSPORT = "http"
ON_BEHALF_OF = "x-headrace-on-behalf-of"
"""The header that says for whom an agent acts."""
SESSIONS_MAX = 64
"""Of clients that speak a protocol with sessions; one more gets 503."""
SESSION_IDLE_SECONDS = 600.0
BODY_BYTES_MAX = 256 << 10


def routes(context: ServerContext) -> list[HttpRoute]:
    """Return the routes of `/mcp`: each tool checks the permission of its command."""
    endpoint, needs = AgentEndpoint(context), command("mcp", SEE, own_check=True)
    return [
        HttpRoute(path=PATH, handler=endpoint.answer, needs=needs, method=method)
        for method in METHODS
    ]


class AgentEndpoint:
    """The endpoint of one server."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._starting = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._running: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Response:
        """Answer one request of the protocol. Raise HttpProblem (401) without a token."""
        scheme, _, _ = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise HttpProblem(
                401,
                "agents need a token",
                "send it as `Authorization: Bearer TOKEN`; an admin creates one:"
                " headrace token create NAME --scope viewer",
                www_authenticate="Bearer",
            )
        async with self._starting:
            if self._manager is None:
                await asyncio.to_thread(_import)
                await self._start()
        assert self._manager is not None
        return _Forwarded(self._manager, request.state.identity)

    async def _start(self) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from headrace.project.session import AgentClaim
        from headrace_agents.calls import AgentCalls, Caller
        from headrace_agents.server import Context, agent_server, claimed

        reader = self._context.reader
        calls = AgentCalls(reader, self._context.read_server, reader.session_for_acts)

        async def caller_of(context: Context, claim: AgentClaim) -> Caller:
            request = context.request
            assert isinstance(request, Request)
            claim = msgspec.structs.replace(
                claim,
                on_behalf_of=claimed(request.headers.get(ON_BEHALF_OF, "")),
                transport=TRANSPORT,
            )
            return Caller(request.state.identity, claim)

        manager = StreamableHTTPSessionManager(
            agent_server(calls, caller_of),
            session_idle_timeout=SESSION_IDLE_SECONDS,
            max_request_body_size=BODY_BYTES_MAX,
            max_sessions=SESSIONS_MAX,
        )
        started = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                started.set()
                await asyncio.Event().wait()  # until the server's loop ends

        self._running = asyncio.create_task(run(), name="headrace mcp")
        await started.wait()
        self._manager = manager


def _import() -> None:
    import headrace_agents.server  # noqa: F401


class _Forwarded(Response):
    """A response that the package `mcp` sends."""

    def __init__(self, manager: StreamableHTTPSessionManager, identity: Identity) -> None:
        super().__init__()
        self._manager, self._identity = manager, identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the package answer, with this server's headers."""
        from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
        from mcp.server.auth.provider import AccessToken

        # a session belongs to the token that began it
        token = AccessToken(token="", client_id=self._identity.who, scopes=[])
        forwarded = {name: value for name, value in self.raw_headers if name not in _OF_CONTENT}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _joined(message["headers"], forwarded)}
            await send(message)

        await self._manager.handle_request(
            {**scope, "user": AuthenticatedUser(token)}, receive, send_with_headers
        )


_OF_CONTENT = (b"content-length", b"content-type", b"cache-control")


def _joined(
    sent: list[tuple[bytes, bytes]], forwarded: Mapping[bytes, bytes]
) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in sent}
    return [*sent, *((name, value) for name, value in forwarded.items() if name not in names)]
