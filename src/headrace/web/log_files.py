"""`GET /api/v1/attempts/{attempt}/log.txt`: an attempt's log as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headrace.security.access import Identity
from headrace.services.logs import LogTextResponse, log_text
from headrace.web.project_reader import ProjectReader


class LogFiles:
    """The endpoint of logs as files. Each part is read in a session of its own."""

    def __init__(self, reader: ProjectReader) -> None:
        self._reader = reader

    async def file(self, request: Request) -> Response:
        """Return a log as text: the lines up to now, each with its time and level."""
        identity = request.state.identity
        first = await self._part(request.path_params["attempt"], None, identity)

        async def parts() -> AsyncIterator[bytes]:
            part = first
            yield part.text.encode(errors="backslashreplace")
            while part.next is not None:
                part = await self._part(first.attempt, part.next, identity)
                yield part.text.encode(errors="backslashreplace")

        return StreamingResponse(
            parts(),
            media_type="text/plain; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="log-{first.attempt}.txt"'},
        )

    async def _part(self, attempt: str, cursor: str | None, identity: Identity) -> LogTextResponse:
        return await self._reader.response(
            lambda session: log_text(session, attempt, cursor), identity
        )
