"""The page of the web UI at every address that it has, and at those that nobody has."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.access.access_events import note_failed_sign_in
from headrace.extension import HttpProblem, ProjectSession, ServerContext
from headrace.security.access_events import UNKNOWN
from headrace.services.status import status
from headrace_ui.web.bundle import Bundle
from headrace_ui.web.page_addresses import PAGES, is_page, names_nothing, parts_of
from headrace_ui.web.status_page import status_page


class Pages:
    """The page of one server."""

    def __init__(self, context: ServerContext, bundle: Bundle) -> None:
        self._context, self._bundle = context, bundle

    async def home(self, request: Request) -> Response:
        """Return the page.

        The start link's token is exchanged for a session, whose random id is the cookie. So the
        token stays out of the browser's history and of copied links. For an address that nobody
        has, the page finds the nearest names itself, as far as the reader may see them.
        """
        if parts_of(request)[0] not in ("", *PAGES):
            if not self._bundle.built:
                raise HttpProblem(404, "look at / for what there is")
            return self._bundle.page(request, 404)
        sent, guard = request.query_params.get("token"), self._context.guard
        if sent is not None and guard.knows(sent):
            answer = RedirectResponse(request.url.path, 303)
            guard.sign_in(request, answer)
            return answer
        if sent is not None:
            await self._context.reader.glance(_note_unknown_token)
        if self._bundle.built:
            return self._bundle.page(request, await self._status(request))
        identity = await self._context.identify(request)
        result = await self._context.reader.response(
            lambda session: status_page(status(session), self._context.server.role), identity
        )
        return Response(result, media_type="text/html; charset=utf-8")

    async def _status(self, request: Request) -> int:
        """Return the status of a page: 401 for nobody, 404 for an address that names nothing."""
        try:
            self._context.guard.check_token(request)
        except HttpProblem:
            return 401
        parts = parts_of(request)
        if not is_page(parts):
            return 404
        if len(parts) < 2:
            return 200
        try:
            identity = await self._context.identify(request)
        except HttpProblem as problem:
            return problem.status
        nothing = await self._context.reader.response(
            lambda session: names_nothing(session, parts), identity
        )
        return 404 if nothing else 200


def _note_unknown_token(session: ProjectSession) -> None:
    note_failed_sign_in(session, "token", UNKNOWN, "unknown")
