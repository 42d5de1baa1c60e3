"""Documents for requests: each is read by a session of its own, in one of a few threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from headrace.model import HeadraceError
from headrace.operations.changing import ChangesResponse, told
from headrace.operations.loading import WARMED, load
from headrace.operations.session import ProjectSession
from headrace.store.queries.changes import Marks

READERS_MAX = 2
"""So many documents are made at once; other requests wait. They share a core with the leader."""
ACTOR = "http"
"""Who reads."""

D = TypeVar("D")


class ProjectReader:
    """Opens the project for each request. What was understood of an applied version is kept for the next."""

    def __init__(self, root: Path, env: str, actor: str = ACTOR) -> None:
        self._root, self._env, self._actor = root, env, actor
        self._last: ProjectSession | None = None
        self._loading = threading.Lock()
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="headrace reader")

    async def response(self, make: Callable[[ProjectSession], D]) -> D:
        """What `make` reads in a session, made in a thread. The first ones wait until the project is loaded."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._made, make)

    async def glance(self, make: Callable[[ProjectSession], D]) -> D:
        """The same of what needs nothing of what is applied: nobody waits for that to be loaded."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, make)

    def begin(self) -> None:
        """Load what is applied beside, so that whoever asks first needn't wait for all of it."""
        threading.Thread(target=self._warm, name="headrace loading", daemon=True).start()

    @property
    def project(self) -> tuple[str, str, str]:
        """For another process: the folder, the environment, and who reads."""
        return str(self._root), self._env, ACTOR

    def session(self) -> ProjectSession:
        """The project, opened for a reader."""
        return ProjectSession(self._root, self._env, None, ACTOR)

    async def told(self, before: Marks | None) -> tuple[Marks, ChangesResponse]:
        """What changed since, read in a thread."""
        return await self.glance(lambda session: told(session.store, before))

    def act(self, do: Callable[[ProjectSession], D]) -> D:
        """What `do` does, in this thread, for whoever serves: the token is theirs. It asks who leads, and never leads itself."""
        session = ProjectSession(self._root, self._env, None, self._actor, leads=False)
        try:
            return do(session)
        finally:
            session.close()

    def _made(self, make: Callable[[ProjectSession], D]) -> D:
        if self._last is None:
            with self._loading:  # once, however many ask
                if self._last is None:
                    with suppress(HeadraceError):  # a document says itself what can't be read
                        self._read(load)
        return self._read(make)

    def _read(self, make: Callable[[ProjectSession], D]) -> D:
        session = self.session()
        try:
            if self._last is not None:
                with suppress(HeadraceError):
                    session.know(self._last)
            response = make(session)
            if "compiled" in session.__dict__:
                self._last = session
        finally:
            session.close()
        return response

    def _warm(self) -> None:
        for make in WARMED:
            with suppress(HeadraceError):
                self._made(make)
