"""Server-sent events of saved files: one watcher for all listeners, as long as there are any.

An event says that a file of the project was saved, created or removed, and nothing about it.
Listeners then ask for problems and the plan, as far as their roles reach.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from headrace.extension import HeadraceError, HttpProblem
from headrace.runtime.source_watch import FolderWatcher, declaration_folders
from headrace.web.events import (
    ALIVE_SECONDS,
    CHECK_SECONDS,
    HEADERS,
    LISTENERS_MAX,
    MEDIA_TYPE,
    STREAM_SECONDS,
    event,
)
from headrace.web.http import TrackedStreamingResponse


class SavedFiles:
    """Tells all listeners when a file of the project was saved."""

    def __init__(
        self, root: Path, visible: Callable[[Request], Awaitable[frozenset[str] | None]]
    ) -> None:
        self._root, self._visible = root, visible
        self._listeners: set[asyncio.Event] = set()
        self._watcher: FolderWatcher | None = None

    async def answer(self, request: Request) -> Response:
        """Open a stream. Raise HttpProblem (503) if there are too many."""
        await self._visible(request)
        if len(self._listeners) >= LISTENERS_MAX:
            raise HttpProblem(503, f"there are {LISTENERS_MAX} streams of saved files already")
        saved = asyncio.Event()
        saved.set()  # files may have been saved before anybody listened
        self._listeners.add(saved)
        self._watch()
        return TrackedStreamingResponse(
            self._stream(request, saved),
            lambda: self._ended(saved),
            media_type=MEDIA_TYPE,
            headers=HEADERS,
        )

    def _ended(self, saved: asyncio.Event) -> None:
        self._listeners.discard(saved)
        if not self._listeners and self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            asyncio.get_running_loop().run_in_executor(None, watcher.close)

    async def _stream(self, request: Request, saved: asyncio.Event) -> AsyncIterator[bytes]:
        """Yield events; the stream ends when its credential ends or loses its roles."""
        until, sent_at = time.monotonic() + STREAM_SECONDS, time.monotonic()
        with suppress(HttpProblem, HeadraceError):
            while time.monotonic() < until:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await saved.wait()
                await self._visible(request)
                self._watch()
                if saved.is_set():
                    saved.clear()
                    yield event("saved", {}, None)
                    sent_at = time.monotonic()
                elif time.monotonic() - sent_at >= ALIVE_SECONDS:
                    yield event("alive", {}, None)
                    sent_at = time.monotonic()

    def _watch(self) -> None:
        """Watch the folders that there are now."""
        if self._watcher is None:
            loop = asyncio.get_running_loop()

            def ring() -> None:
                with suppress(RuntimeError):  # the server is ending
                    loop.call_soon_threadsafe(self._note)

            self._watcher = FolderWatcher(ring)
        self._watcher.watch(declaration_folders(self._root))

    def _note(self) -> None:
        if self._watcher is not None and self._watcher.changed():
            for saved in self._listeners:
                saved.set()
