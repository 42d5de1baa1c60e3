"""Server-sent events: one watcher polls the state for all listeners, as long as there are any.

A slow listener gets no backlog: its next event has everything that changed meanwhile. A stream ends
after ten minutes; the browser reconnects with the id of the last event that it received. It also
ends when its token is revoked or its user is frozen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

from headrace.model import HeadraceError
from headrace.project.caches import ChangesResponse, current_marks, marks_of
from headrace.project.session import ProjectSession
from headrace.responses.base import encoded
from headrace.store.queries.changes import ChangedNames, Marks
from headrace.web.http import HttpProblem, TrackedStreamingResponse
from headrace.web.project_reader import ProjectReader

POLL_SECONDS = 0.25
ALIVE_SECONDS = 10.0
"""So often somebody who listens hears that the server is there."""
STREAM_SECONDS = 600.0
CHECK_SECONDS = 2.0
"""How often a stream checks that its credential still is valid, so that a revoked token or a freeze
ends it within 5 s."""
LISTENERS_MAX = 100
MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Events:
    """Sends changes to all listeners."""

    def __init__(
        self, reader: ProjectReader, visible: Callable[[Request], Awaitable[frozenset[str] | None]]
    ) -> None:
        self._reader, self._visible = reader, visible
        self._listeners = 0
        self._moves = 0
        """How often anything changed since it was first watched."""
        self._moved = asyncio.Condition()
        self._watcher: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Response:
        """Open a stream. Raises HttpProblem (503) if there are too many."""
        visible = await self._visible(request)
        sent = request.headers.get("last-event-id") or request.query_params.get("after")
        # Nothing is awaited from here on: others ask between the limit's check and the first event.
        if self._listeners >= LISTENERS_MAX:
            raise HttpProblem(503, f"there are {LISTENERS_MAX} streams of events already")
        self._listeners += 1
        stream = self._checked(
            self._stream(request, visible, marks_of(sent), given=sent is not None)
        )
        return TrackedStreamingResponse(stream, self._ended, media_type=MEDIA_TYPE, headers=HEADERS)

    def _ended(self) -> None:
        self._listeners -= 1

    async def _checked(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a stream's events; it ends when its credential ends or loses its roles."""
        with suppress(HttpProblem, HeadraceError):
            async for item in stream:
                yield item

    async def _stream(
        self,
        request: Request,
        visible: frozenset[str] | None,
        known: Marks | None,
        *,
        given: bool,
    ) -> AsyncIterator[bytes]:
        self._begin()
        sent_at = time.monotonic()
        seen, until, check_at = self._moves, sent_at + STREAM_SECONDS, _next_check(sent_at)
        known, first = await self._reader.changes(known)
        nothing = ChangesResponse(id=first.id, changes=[])
        yield event("changes", named(first, visible) if given else nothing, first.id)
        while time.monotonic() < until:
            moved, now = await self._wait(seen, check_at), time.monotonic()
            if now >= check_at:
                check_at, visible = _next_check(now), await self._visible(request)
            if not moved:
                if now - sent_at >= ALIVE_SECONDS:
                    yield event("alive", {}, None)
                    sent_at = now
                continue
            seen = self._moves  # read before the changes: later ones are sent the next time
            known, response = await self._reader.changes(known)
            response = named(response, visible)
            if response.changes:
                yield event("changes", response, response.id)
                sent_at = now

    async def _wait(self, seen: int, until: float) -> bool:
        """Wait for a change; False if none came until a point in time, as of `time.monotonic`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())), self._moved:
                await self._moved.wait_for(lambda: self._moves != seen)
                return True
        return False

    def _begin(self) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        """Poll the state while there are listeners."""
        known = None
        with ChangeWatcher(self._reader) as watch:
            while self._listeners:
                result = await watch.poll()
                if result is not None and result != known:
                    known, self._moves = result, self._moves + 1
                    async with self._moved:
                        self._moved.notify_all()
                await asyncio.sleep(POLL_SECONDS)


class ChangeWatcher:
    """Polls the state in a thread of its own.

    Without a commit since the last poll, this takes microseconds (`data_version`).
    """

    def __init__(self, reader: ProjectReader) -> None:
        self._reader, self._threads = (
            reader,
            ThreadPoolExecutor(1, thread_name_prefix="headrace watch"),
        )
        self._session: ProjectSession | None = None
        self._version = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.submit(self._close)
        self._threads.shutdown(wait=False)

    async def poll(self) -> Marks | None:
        """Return the newest positions, or None if nothing was committed since the last poll."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._poll_store)

    def _poll_store(self) -> Marks | None:
        try:
            if self._session is None or self._session.store is None:
                self._close()
                self._session = self._reader.session()
            store = self._session.store
            if store is None or (version := store.data_version()) == self._version:
                return None
            self._version = version
            return current_marks(store)
        except HeadraceError:
            self._close()  # the state is out of reach: it is opened anew at the next look
            return None

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self._version = None, -1


def _next_check(now: float) -> float:
    """Return when streams check their credentials: all at once, so that they share the reads."""
    return (now // CHECK_SECONDS + 1) * CHECK_SECONDS


_OF_NODES = ("partitions", "deliveries", "quarantine")
"""Kinds of changes whose names are those of nodes."""


def named(response: ChangesResponse, visible: frozenset[str] | None) -> ChangesResponse:
    """Return the changes of visible nodes; of other kinds only that something changed."""
    if visible is None:
        return response
    changes = [
        ChangedNames(
            change.kind,
            tuple(name for name in change.names if name.partition("@")[0] in visible),
            more=change.more or change.kind not in _OF_NODES,
        )
        for change in response.changes
    ]
    return ChangesResponse(
        id=response.id, changes=[change for change in changes if change.names or change.more]
    )


def event(name: str, response: object, event_id: str | None) -> bytes:
    """Return an event in wire format; JSON contains no line breaks."""
    head = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return head + b"event: " + name.encode() + b"\ndata: " + encoded(response) + b"\n\n"
