"""What a server answers: which paths there are, who may ask them, and what they give."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headrace.model import HeadraceError
from headrace.operations.fire import NoHook, fire
from headrace.operations.status import status
from headrace.web import metrics, page, probes
from headrace.web.access import Guard
from headrace.web.acting import Acts
from headrace.web.answering import acting, as_json, following, looking
from headrace.web.bodies import body_of
from headrace.web.data import Data
from headrace.web.endpoints import PREFIX, Get
from headrace.web.events import Events
from headrace.web.probes import ServerInfo
from headrace.web.problem import HttpProblem, of_error
from headrace.web.reading import ProjectReader
from headrace.web.table import TABLE
from headrace.web.ui import PAGES, Bundle

Endpoint = Callable[[Request], Awaitable[Response]]

_STYLE = "'sha256-" + base64.b64encode(hashlib.sha256(page.STYLE.encode()).digest()).decode() + "'"
HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src {_STYLE}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class ServerEndpoints:
    """The endpoints of one server."""

    def __init__(self, reader: ProjectReader, guard: Guard, server: ServerInfo, bundle: Bundle) -> None:
        self._reader, self._guard, self._server = reader, guard, server
        self.bundle = bundle
        self._scraping, self._scraped, self._scraped_at = asyncio.Lock(), "", float("-inf")

    async def healthz(self, request: Request) -> Response:
        """The process lives."""
        del request
        return as_json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """It leads or stands by, and reaches the state."""
        del request
        readiness = await self._reader.glance(lambda session: probes.readiness(session, self._server))
        return as_json(readiness, 200 if readiness.ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text."""
        del request
        async with self._scraping:  # however many ask: one reads, and not more often than worth it
            if time.monotonic() - self._scraped_at >= metrics.FRESH_SECONDS:
                self._scraped = await self._reader.response(lambda session: metrics.text(session, self._server))
                self._scraped_at = time.monotonic()
        return Response(self._scraped, media_type=metrics.MEDIA_TYPE)

    async def home(self, request: Request) -> Response:
        """A page for people. The token in the address becomes a cookie, so that it is in no history and in no link."""
        sent = request.query_params.get("token")
        if sent is not None and self._guard.knows(sent):
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(self._guard.cookie, sent, httponly=True, samesite="strict", path="/")
            return answer
        if self.bundle.built:
            return self.bundle.page(request, 200 if self._guard.lets_look(request) else 401)
        self._guard.check_token(request)
        result = await self._reader.response(lambda session: page.status_page(status(session), self._server.role))
        return Response(result, media_type="text/html; charset=utf-8")

    async def hook(self, request: Request) -> Response:
        """A webhook: the asset's trigger fires. What is sent with it isn't kept."""
        await body_of(request)
        asset = request.path_params["asset"]
        try:
            return as_json(await self._reader.response(lambda session: fire(session, asset)), 202)
        except NoHook as error:
            raise HttpProblem(404, str(error), error.hint) from None


def app(reader: ProjectReader, guard: Guard, server: ServerInfo, bundle: Bundle | None = None) -> Starlette:
    """All that is answered. Probes and the web UI's files need no token; everything else does, by default."""
    answers, acts = ServerEndpoints(reader, guard, server, bundle or Bundle()), Acts()
    data = Data(reader)

    def route(path: str, endpoint: Endpoint, method: str = "GET", *, guarded: bool = True) -> Route:
        async def judged(request: Request) -> Response:
            return await _answered(request, endpoint, guard, guarded=guarded)

        return Route(path, judged, methods=[method])

    result = Starlette(
        routes=[
            route("/healthz", answers.healthz, guarded=False),
            route("/readyz", answers.readyz, guarded=False),
            route("/metrics", answers.metrics),
            *(
                route(path, answers.home, guarded=False)
                for path in ("/", *(f"/{name}{rest}" for name in PAGES for rest in ("", "/{rest:path}")))
            ),
            route("/ui/{name:path}", answers.bundle.file, guarded=False),
            route("/api/v1/hooks/{asset}", answers.hook, "POST"),
            route("/data/{asset}", data.file),
            route(f"{PREFIX}/assets/{{name}}/preview", data.preview),
            route(f"{PREFIX}/events", Events(reader).answer),
            route(f"{PREFIX}/acts/{{act}}", following(acts)),
            *(
                route(item.path, looking(reader, item)) if isinstance(item, Get) else route(item.path, acting(reader, acts, item), "POST")
                for item in TABLE
            ),
        ],
        exception_handlers={HTTPException: _unrouted},
    )
    result.router.redirect_slashes = False
    return result


async def _answered(request: Request, endpoint: Endpoint, guard: Guard, *, guarded: bool) -> Response:
    """The one boundary of errors: whatever happens becomes an answer, with the headers of every answer."""
    try:
        guard.check_names(request)
        if guarded:
            guard.check_token(request)
        answer = await endpoint(request)
    except HttpProblem as problem:
        answer = problem.response()
    except HeadraceError as error:
        answer = of_error(error).response()
    except ClientDisconnect:
        answer = Response(status_code=400)  # nobody reads it
    except Exception:  # noqa: BLE001 - the boundary: what it was is nobody's who asks over a network
        answer = HttpProblem(500, "something went wrong here", "the same by `headrace status -v` says what").response()
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path, or not by this method."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/data/")):
        missing = page.missing_page(path)
        answer = Response(missing, error.status_code, media_type="text/html; charset=utf-8")
    else:
        answer = HttpProblem(error.status_code, "look at / for what there is").response()
    answer.headers.update({**HEADERS, **(error.headers or {})})
    return answer
