"""Routes that installed packages add to the HTTP server, each with what it needs.

A package names a function in the entry point group `headrace.routes`. It returns `HttpRoute`s, and
none of them runs unchecked by omission: `needs` has no default
(docs/decisions/0198-routes-of-packages.md).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headrace.access.permissions import LOOKING, Command, check
from headrace.model.plugins import ROUTES, function_of, logged, plugins
from headrace.project.session import ProjectSession
from headrace.security.access import Identity
from headrace.web.access import Guard
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer
from headrace.web.readiness import ServerInfo

RequestHandler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")
_log = logging.getLogger(__name__)


class HttpRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A path of the HTTP server, as Starlette writes it, and what answers its requests.

    The server checks a request's host, origin, token or session before `handler` runs, and then
    what the route `needs`. Raises ValueError for a permission to change something: what changes
    something is a command, which is checked, recorded and limited in every interface.
    """

    path: str
    handler: RequestHandler
    needs: Command | None
    """A declaration like `command("metrics", SEE, lists=True)`; with `own_check=True` everybody
    with a valid token or session may ask, and the handler checks the rest, for instance by the
    commands that it calls. None: requests need no token, and say nobody's identity."""
    method: str = "GET"

    def __post_init__(self) -> None:
        if self.needs is not None and self.needs.permission not in LOOKING:
            raise ValueError(f"{self.path}: only a command may need {self.needs.permission}")


class ServerContext(NamedTuple):
    """What handlers of a package get from the server."""

    reader: ProjectReader
    read_server: ReadServer
    """Forks processes that read rows."""
    server: ServerInfo
    identify: Callable[[Request], Awaitable[Identity]]
    """Returns who sends a request without `needs`. Raises HttpProblem (401) if it doesn't say."""
    guard: Guard
    """The server's tokens and sessions."""
    see_again: Callable[[Request], Awaitable[frozenset[str] | None]]
    """Returns the nodes that a stream may name, None for all, for as long as it may go on.

    Raises HttpProblem or NotAllowed then.
    """

    async def read(self, request: Request, make: Callable[[ProjectSession], T]) -> T:
        """Run `make` in a session of who sends a request, after the check of the route's `needs`.

        If the route lists nodes, `session.visible` has those that may be shown; None for all.
        """
        needs: Command = request.state.needs

        def checked(session: ProjectSession) -> T:
            if not needs.own_check:
                check(session, needs, {})
            return make(session)

        return await self.reader.response(checked, request.state.identity)


def package_routes(context: ServerContext) -> Iterator[HttpRoute]:
    """Yield the routes of all installed packages, whose handlers check what they need.

    What a package raises is logged with its name, and the server goes on without its routes.
    """
    for plugin in plugins(ROUTES):
        routes: list[HttpRoute] = []
        with logged(plugin, _log):
            routes = [_checked(route, context) for route in function_of(plugin)(context)]
        yield from routes


def _checked(route: HttpRoute, context: ServerContext) -> HttpRoute:
    if route.needs is None:
        return route

    async def handler(request: Request) -> Response:
        request.state.needs = route.needs
        await context.read(request, lambda _: None)
        return await route.handler(request)

    return msgspec.structs.replace(route, handler=handler)
