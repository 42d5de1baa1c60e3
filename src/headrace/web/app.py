"""The server's application: routes, the files of the web UI, and the plain pages.

Probes and the UI's files need no token; by default, everything else does.
"""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache
from html import escape
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headrace.access.access_events import note_failed_sign_in
from headrace.access.permissions import check_call
from headrace.installed_commands import IN_PACKAGES, missing_command
from headrace.model import HeadraceError, Refused
from headrace.model.plugins import ROUTES, missing_package
from headrace.project.session import ProjectSession
from headrace.responses import ConsumerRow, StatusResponse
from headrace.security.access import Identity, local_identity
from headrace.security.access_events import UNKNOWN
from headrace.security.sessions import SignInKind
from headrace.services.browser_sessions import session_identity
from headrace.services.receive import NoHook, fire
from headrace.services.status import status
from headrace.services.tokens import identify
from headrace.web.access import Credential, CredentialKind, Guard, sends_token
from headrace.web.acts import Acts
from headrace.web.badges import Badges
from headrace.web.cards import Cards
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
from headrace.web.page_addresses import PAGES, is_page, names_nothing, parts_of
from headrace.web.plain_pages import STYLE_SOURCE, html_page
from headrace.web.project_reader import ProjectReader
from headrace.web.provider_sign_in import CALLBACK_PATH, LOGOUT_PATH, ProviderEndpoints
from headrace.web.read_server import ReadServer
from headrace.web.readiness import ServerInfo, readiness
from headrace.web.row_responses import RowResponses
from headrace.web.saved_files import SavedFiles
from headrace.web.sign_in import PROVIDER_PATH, SIGN_IN_PATH, SignInEndpoints

# The status page where the web UI isn't built: a table without any script.

_STATUS_COLUMNS = ("consumer", "needs", "state", "since", "data through", "missing", "why")


def status_page(response: StatusResponse, role: str) -> str:
    """Return an HTML page. Text from files and data is escaped."""
    replay = " (replay stands still)" if response.clock == "replay" else ""
    assets = response.assets
    now = (
        f"{response.now:%a %Y-%m-%d %H:%M} {response.timezone}{' (replay clock)' if replay else ''}"
    )
    states = (
        f"{assets.fresh} fresh · {assets.behind} behind · {assets.stale} stale · {assets.never}"
        f" never; {assets.unchecked} of these unchecked"
    )
    waiting = f"{response.quarantine.deliveries} deliveries, {response.quarantine.rows:,} rows"
    lines = [
        f"<h1>{escape(response.project)} · {escape(response.env)}</h1>",
        (
            f"<p>{escape(now)} · runtime {escape(response.runtime)}{replay} · this process:"
            f" {escape(role)}</p>"
        ),
        "<table><thead><tr>"
        + "".join(f"<th>{name}</th>" for name in _STATUS_COLUMNS)
        + "</tr></thead><tbody>",
        *(_consumer_row(consumer) for consumer in response.consumers),
        "</tbody></table>",
        f"<p>assets: {states}; quarantine: {waiting}</p>",
    ]
    if response.next:
        lines.append(f"<p>next: <code>{escape(response.next)}</code></p>")
    lines.append(
        '<p>the same as <code>headrace status</code>; <a href="/api/v1/status">as JSON</a></p>'
    )
    lines.append("<p>the web UI isn't built: <code>make ui</code> builds it, then serve again</p>")
    return html_page(response.project, "\n".join(lines))


def missing_page(path: str) -> str:
    """Return the HTML page for an address that doesn't exist."""
    text = (
        f"<h1>There is no page here</h1><p><code>{escape(path[:200])}</code> is not an address of"
        " this server.</p>"
    )
    return html_page("No such page", text + '<p><a href="/">Go to Today</a></p>', refresh=False)


def _consumer_row(row: ConsumerRow) -> str:
    since = f"{row.since:%a %Y-%m-%d %H:%M}" if row.since else ""
    missing = (
        f"{len(row.backlog)}: {row.backlog[0]} …" if len(row.backlog) > 1 else "".join(row.backlog)
    )
    cells = (row.name, row.needs, row.state, since, row.data_through or "", missing, row.reason)
    kinds = ("", "", f' class="{escape(row.state)}"', "", "", "", "")
    return (
        "<tr>"
        + "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, cells, strict=True))
        + "</tr>"
    )


# The web UI's files, built from `ui/` by hatch_build.py. They hold no data, so scripts and styles
# need no token. The page itself is sent with status 401 if the token is missing, and then
# explains how to get in.

BUNDLE = Path(__file__).parent / "ui_bundle"
INDEX_PAGE = "index.html"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src"
    " 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
GZIPPED_SUFFIXES = (".js", ".css", ".html", ".svg")
YEAR_SECONDS = 365 * 24 * 3600


class Bundle:
    """The files of a built web UI; it may be built again while the server runs."""

    def __init__(self, folder: Path = BUNDLE) -> None:
        self._folder = folder.resolve()

    @property
    def built(self) -> bool:
        """Whether the folder has a built UI."""
        return self._has(INDEX_PAGE)

    def _has(self, name: str) -> bool:
        """Whether there is such a file inside the folder."""
        try:
            path = (self._folder / name).resolve()
            return path.is_relative_to(self._folder) and path.is_file()
        except (OSError, ValueError):  # no file's name at all
            return False

    def page(self, request: Request, status: int = 200) -> Response:
        """Return the page that the UI shows at every address."""
        answer = self._answer(request, INDEX_PAGE, status)
        answer.headers["content-security-policy"] = PAGE_POLICY
        return answer

    async def file(self, request: Request) -> Response:
        """Return one file by its name.

        Files under `assets/` have a hash in their names, so they never change.
        """
        name = request.path_params["name"]
        if not self._has(name):
            raise HttpProblem(404, "the web UI has no such file")
        answer = self._answer(request, name, 200)
        answer.headers["cache-control"] = (
            f"public, max-age={YEAR_SECONDS}, immutable"
            if name.startswith("assets/")
            else "no-cache"
        )
        return answer

    def _answer(self, request: Request, name: str, status: int) -> Response:
        path, suffix = self._folder / name, Path(name).suffix
        kind = (
            MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        )
        if suffix not in GZIPPED_SUFFIXES or "gzip" not in request.headers.get(
            "accept-encoding", ""
        ):
            return Response(path.read_bytes(), status, media_type=kind)
        body = _gzipped(path, path.stat().st_mtime_ns)
        return Response(
            body, status, {"content-encoding": "gzip", "vary": "accept-encoding"}, media_type=kind
        )


@lru_cache(maxsize=64)
def _gzipped(path: Path, changed_ns: int) -> bytes:
    """Return a file's bytes, compressed once.

    `changed_ns` distinguishes a new file of the same name.
    """
    del changed_ns
    return gzip.compress(path.read_bytes(), 6, mtime=0)


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

    def __init__(
        self, reader: ProjectReader, guard: Guard, server: ServerInfo, bundle: Bundle
    ) -> None:
        self._reader, self._guard, self._server = reader, guard, server
        self.bundle = bundle

    async def healthz(self, request: Request) -> Response:
        """Liveness probe: the process responds."""
        del request
        return json_response({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Readiness probe: the process leads or stands by, and reaches the state."""
        del request
        state = await self._reader.glance(lambda session: readiness(session, self._server))
        return json_response(state, 200 if state.ready else 503)

    async def home(self, request: Request) -> Response:
        """The web UI's page.

        The start link's token is exchanged for a session, whose random id is the cookie. So the
        token stays out of the browser's history and of copied links.
        """
        sent = request.query_params.get("token")
        if sent is not None and self._guard.knows(sent):
            answer = RedirectResponse(request.url.path, 303)
            self._guard.sign_in(request, answer)
            return answer
        if sent is not None:
            await self._reader.glance(_note_unknown_token)
        if self.bundle.built:
            return self.bundle.page(request, await self._page_status(request))
        identity = await identify_request(request, self._guard, self._reader)
        result = await self._reader.response(
            lambda session: status_page(status(session), self._server.role), identity
        )
        return Response(result, media_type="text/html; charset=utf-8")

    async def _page_status(self, request: Request) -> int:
        """Return the status of a page: 401 for nobody, 404 for an address that names nothing."""
        if not self._guard.lets_look(request):
            return 401
        parts = parts_of(request)
        if not is_page(parts):
            return 404
        if len(parts) < 2:
            return 200
        try:
            identity = await identify_request(request, self._guard, self._reader)
        except HttpProblem as problem:
            return problem.status
        nothing = await self._reader.response(
            lambda session: names_nothing(session, parts), identity
        )
        return 404 if nothing else 200

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
    bundle: Bundle | None = None,
    read_server: ReadServer | None = None,
) -> Starlette:
    """Return the application with all routes.

    Probes and the web UI's files need no token; by default, everything else does. Without a
    `read_server`, the application starts its own when rows are first read.
    """
    answers, acts = ServerEndpoints(reader, guard, server, bundle or Bundle()), Acts()
    root, env, _ = reader.project
    reads = read_server or ReadServer(root, env)
    data = Data(reader, reads)
    rows = RowResponses(reader, reads)

    async def identity_of(request: Request) -> Identity:
        return await identify_request(request, guard, reader)

    badges = Badges(reader, identity_of)
    cards = Cards(badges)
    sign_in = SignInEndpoints(reader, guard)
    provider = ProviderEndpoints(reader, guard, sign_in)

    async def unrouted(request: Request, error: Exception) -> Response:
        return await _respond_unrouted(request, error, answers.bundle)

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

    result = Starlette(
        routes=[
            route("/healthz", answers.healthz, guarded=False),
            route("/readyz", answers.readyz, guarded=False),
            route("/ui/{name:path}", answers.bundle.file, guarded=False),
            route("/api/v1/hooks/{asset}", answers.hook, "POST"),
            route("/data/{asset}", data.file),
            route("/badge/{name}", badges.file, guarded=False),
            route("/card/{name}", cards.page, guarded=False),
            route("/oembed", cards.oembed, guarded=False),
            route(f"{PREFIX}/assets/{{name}}/preview", data.preview),
            route(f"{PREFIX}/attempts/{{attempt}}/log.txt", LogFiles(reader).file),
            route(SIGN_IN_PATH, sign_in.page, guarded=False),
            route(SIGN_IN_PATH, sign_in.sign_in, "POST", guarded=False),
            route(PROVIDER_PATH, provider.start, guarded=False),
            route(CALLBACK_PATH, provider.callback, guarded=False),
            route(LOGOUT_PATH, provider.logout, "POST", guarded=False),
            route(f"{PREFIX}/session", sign_in.own_session),
            route(f"{PREFIX}/session/end", sign_in.sign_out, "POST"),
            route(f"{PREFIX}/events", Events(reader, see_again).answer),
            route(f"{PREFIX}/files/events", SavedFiles(Path(root), see_again).answer),
            route(f"{PREFIX}/acts/{{act}}", act_state_handler(reader, acts)),
            *(route(item.path, handler(item), item.method) for item in ENDPOINTS),
            *(
                route(item.path, item.handler, item.method, guarded=item.needs is not None)
                for item in package_routes(ServerContext(reader, reads, server, identity_of))
            ),
            *(
                route(path, answers.home, guarded=False)
                for path in (
                    "/",
                    *(f"/{name}{rest}" for name in PAGES for rest in ("", "/{rest:path}")),
                )
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
    # the boundary: what it was is nobody's who asks over a network
    except Exception:  # noqa: BLE001
        answer = HttpProblem(
            500, "something went wrong here", "the same by `headrace status -v` says what"
        ).response()
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _unknown_path(status: int, path: str) -> HttpProblem:
    """Return the problem of a path that isn't served, or only where a package is installed."""
    command = missing_command(path.removeprefix(f"{PREFIX}/").split("/"))
    first = path.split("/")[1]
    package = IN_PACKAGES[command] if command else missing_package(ROUTES, first)
    if not package:
        return HttpProblem(status, "look at / for what there is")
    problem = HttpProblem(
        status,
        f"`{f'headrace {command}' if command else f'/{first}'}` is in another package",
        f"`pip install {package}` where the server runs, and start it again",
    )
    problem.code = NOT_INSTALLED
    return problem


async def _respond_unrouted(request: Request, error: Exception, bundle: Bundle) -> Response:
    """Return the response for an unknown path or method: a page for browsers, else JSON.

    The UI's page finds the nearest names itself, as far as the reader may see them.
    """
    assert isinstance(error, HTTPException)
    path = request.url.path
    wants_page = "text/html" in request.headers.get("accept", "")
    answer: Response
    if not wants_page or path.startswith(
        ("/api/", "/data/", "/ui/", "/badge/", "/card/", "/oembed")
    ):
        answer = _unknown_path(error.status_code, path).response()
    elif bundle.built and error.status_code == 404:
        answer = bundle.page(request, 404)
    else:
        answer = Response(
            missing_page(path), error.status_code, media_type="text/html; charset=utf-8"
        )
    for name, value in {**HEADERS, **(error.headers or {})}.items():
        answer.headers.setdefault(name, value)
    return answer
