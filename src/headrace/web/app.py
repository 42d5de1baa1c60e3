"""The server's application: its routes, and those of packages.

Probes need no token; by default, everything else does.
"""

from __future__ import annotations

import re
from contextlib import suppress
from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.access.access_events import note_failed_sign_in
from headrace.access.permissions import check_call
from headrace.command_tables import PATHS
from headrace.model import HeadraceError, Refused
from headrace.model.plugins import ROUTES, missing_package
from headrace.project.session import ProjectSession
from headrace.security.access import Identity, local_identity
from headrace.security.access_events import UNKNOWN
from headrace.security.sessions import SignInKind
from headrace.services.browser_sessions import session_identity
from headrace.services.receive import NoHook, fire
from headrace.services.tokens import identify
from headrace.web.access import Credential, CredentialKind, Guard, sends_token
from headrace.web.acts import Acts
from headrace.web.data import Data
from headrace.web.endpoints import (
    ENDPOINTS,
    PREFIX,
    Endpoint,
    act_handler,
    act_state_handler,
    json_response,
    query_handler,
)
from headrace.web.events import Events
from headrace.web.http import NOT_INSTALLED, HttpProblem, problem_of, read_body
from headrace.web.log_files import LogFiles
from headrace.web.package_routes import RequestHandler, ServerContext, package_routes
from headrace.web.plain_pages import STYLE_SOURCE, html_page
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer
from headrace.web.readiness import ServerInfo, readiness
from headrace.web.row_responses import RowResponses
from headrace.web.sign_in import SIGN_IN_PATH, SignInEndpoints


def missing_page(problem: HttpProblem) -> str:
    """Return the HTML page for an address that doesn't exist, or that a package has."""
    sentence = ": ".join(filter(None, (problem.detail, problem.hint)))
    return html_page("No such page", f"<h1>There is no page here</h1><p>{escape(sentence)}</p>")


HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class ServerEndpoints:
    """The endpoints of one server."""

    def __init__(self, reader: ProjectReader, server: ServerInfo) -> None:
        self._reader, self._server = reader, server

    async def healthz(self, request: Request) -> Response:
        """Liveness probe: the process responds."""
        del request
        return json_response({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Readiness probe: the process leads or stands by, and reaches the state."""
        del request
        state = await self._reader.glance(lambda session: readiness(session, self._server))
        return json_response(state, 200 if state.ready else 503)

    async def hook(self, request: Request) -> Response:
        """A webhook: fire the asset's trigger. The request's content isn't stored."""
        await read_body(request)
        asset = request.path_params["asset"]
        try:
            return json_response(
                await self._reader.response(
                    lambda session: fire(session, asset), request.state.identity
                ),
                202,
            )
        except NoHook as error:
            raise HttpProblem(404, str(error), error.hint) from None


def app(
    reader: ProjectReader,
    guard: Guard,
    server: ServerInfo,
    read_server: ReadServer | None = None,
) -> Starlette:
    """Return the application with all routes.

    Probes need no token; by default, everything else does. Without a `read_server`, the application
    starts its own when rows are first read.
    """
    answers, acts = ServerEndpoints(reader, server), Acts()
    root, env, _ = reader.project
    reads = read_server or ReadServer(root, env)
    data = Data(reader, reads)
    rows = RowResponses(reader, reads)

    async def identity_of(request: Request) -> Identity:
        return await identify_request(request, guard, reader)

    sign_in = SignInEndpoints(reader, guard)

    async def unrouted(request: Request, error: Exception) -> Response:
        return await _respond_unrouted(request, error, home)

    async def see_again(request: Request) -> frozenset[str] | None:
        return await _see_again(request, guard, reader)

    def handler(endpoint: Endpoint) -> RequestHandler:
        if endpoint.rows:
            return rows.handler(endpoint)
        if endpoint.acts:
            return act_handler(reader, acts, endpoint)
        return query_handler(reader, endpoint)

    def route(
        path: str, endpoint: RequestHandler, method: str = "GET", *, guarded: bool = True
    ) -> Route:
        async def judged(request: Request) -> Response:
            return await _respond(request, endpoint, guard, reader, guarded=guarded)

        return Route(path, judged, methods=[method])

    context = ServerContext(reader, reads, server, identity_of, guard, see_again)
    added = list(package_routes(context))
    home = next((item.handler for item in added if item.path == "/"), None)
    result = Starlette(
        routes=[
            route("/healthz", answers.healthz, guarded=False),
            route("/readyz", answers.readyz, guarded=False),
            route("/api/v1/hooks/{asset}", answers.hook, "POST"),
            route("/data/{asset}", data.file),
            route(f"{PREFIX}/assets/{{name}}/preview", data.preview),
            route(f"{PREFIX}/attempts/{{attempt}}/log.txt", LogFiles(reader).file),
            route(SIGN_IN_PATH, sign_in.page, guarded=False),
            route(SIGN_IN_PATH, sign_in.sign_in, "POST", guarded=False),
            route(f"{PREFIX}/session", sign_in.own_session),
            route(f"{PREFIX}/session/end", sign_in.sign_out, "POST"),
            route(f"{PREFIX}/events", Events(reader, see_again).answer),
            route(f"{PREFIX}/acts/{{act}}", act_state_handler(reader, acts)),
            *(route(item.path, handler(item), item.method) for item in ENDPOINTS),
            *(
                route(item.path, item.handler, item.method, guarded=item.needs is not None)
                for item in added
            ),
        ],
        exception_handlers={HTTPException: unrouted},
    )
    result.router.redirect_slashes = False
    return result


async def identify_request(request: Request, guard: Guard, reader: ProjectReader) -> Identity:
    """Return who sends a request. Raises HttpProblem (401) if it doesn't say so."""
    try:
        request.state.credential = credential = guard.check_token(request)
    except HttpProblem:
        if sends_token(request):
            await reader.glance(_note_unknown_token)
        raise
    return await _identity(request, credential, guard, reader)


def _note_unknown_token(session: ProjectSession) -> None:
    note_failed_sign_in(session, "token", UNKNOWN, "unknown")


async def _identity(
    request: Request, credential: Credential, guard: Guard, reader: ProjectReader
) -> Identity:
    """Return whom a credential identifies. Raises HttpProblem (401) if it isn't valid any more."""
    browser = credential.session
    try:
        if credential.kind is CredentialKind.API_TOKEN:
            return await reader.glance(lambda session: identify(session, credential.text))
        if browser is not None and browser.signed_in.kind is not SignInKind.START_LINK:
            return await reader.glance(lambda session: session_identity(session, browser))
    except Refused as refused:
        guard.sessions.end(guard.session_id(request))
        raise HttpProblem(401, str(refused), refused.hint, www_authenticate="Bearer") from None
    return local_identity()


async def _see_again(
    request: Request, guard: Guard, reader: ProjectReader
) -> frozenset[str] | None:
    """Return the nodes whose changes a stream may name; None for all.

    A session doesn't count as used by that. Raise HttpProblem or NotAllowed if the request isn't
    allowed any more.
    """
    credential = request.state.credential
    if credential.session is not None and not guard.sessions.lasts(credential.text):
        raise HttpProblem(401, "the session has ended")
    identity = await _identity(request, credential, guard, reader)
    return await reader.response(_visible, identity, key="visible")


def _visible(session: ProjectSession) -> frozenset[str] | None:
    """Return the nodes that lists show to the session's identity; None for all."""
    check_call(session, "status:status", {})
    return session.visible


async def _respond(
    request: Request,
    endpoint: RequestHandler,
    guard: Guard,
    reader: ProjectReader,
    *,
    guarded: bool,
) -> Response:
    """Turn every exception into a response, and add the headers that all responses have."""
    try:
        guard.check_names(request)
        if guarded:
            request.state.identity = await identify_request(request, guard, reader)
        answer = await endpoint(request)
    except HttpProblem as problem:
        answer = problem.response()
    except HeadraceError as error:
        answer = problem_of(error).response()
    except ClientDisconnect:
        answer = Response(status_code=400)  # nobody reads it
    # the boundary: a client on the network isn't told what it was
    except Exception:  # noqa: BLE001
        answer = HttpProblem(
            500, "something went wrong here", "the same by `headrace status -v` says what"
        ).response()
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


_CARDS = dict.fromkeys(("card", "oembed"), "badge")
"""First parts of paths that a package adds with those of another name."""
_PATHS = {
    re.sub(r"{\w+}", "[^/]+", path.replace(" ", f" {PREFIX}")): package
    for path, package in PATHS.items()
}
"""Patterns of `GET /api/v1/…` → the package that has such a path."""


def _unknown_path(request: Request, status: int, *, is_page: bool) -> HttpProblem:
    """Return the problem of a path that isn't served, or only where a package is installed."""
    path = request.url.path
    what, first = f"`{path[:60]}`", path.split("/")[1]
    package = next(
        (
            package
            for pattern, package in _PATHS.items()
            if re.fullmatch(pattern, f"{request.method} {path}")
        ),
        missing_package(ROUTES, _CARDS.get(first, first)),
    )
    if not package and (is_page or path == "/"):
        what, package = "the web UI", missing_package(ROUTES, "ui")
    if not package:
        return HttpProblem(status, "look at / for what there is")
    problem = HttpProblem(
        status,
        f"{what} is in another package",
        f"`pip install {package}` where the server runs, and start it again",
    )
    problem.code = NOT_INSTALLED
    return problem


async def _respond_unrouted(
    request: Request, error: Exception, home: RequestHandler | None
) -> Response:
    """Return the response for an unknown path or method: a page for browsers, else JSON.

    `home` is the page at `/`.
    """
    assert isinstance(error, HTTPException)
    is_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
        ("/api/", "/data/", "/ui/", "/badge/", "/card/", "/oembed")
    )
    problem = _unknown_path(request, error.status_code, is_page=is_page)
    answer = problem.response()
    if is_page:
        answer = Response(
            missing_page(problem), problem.status, media_type="text/html; charset=utf-8"
        )
        if home is not None and problem.status == 404:
            with suppress(HttpProblem):
                answer = await home(request)
    for name, value in {**HEADERS, **(error.headers or {})}.items():
        answer.headers.setdefault(name, value)
    return answer
