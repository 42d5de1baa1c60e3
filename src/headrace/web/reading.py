"""Documents for requests: each is read by a session of its own, in one of a few threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from headrace.model import HeadraceError
from headrace.operations.changing import ChangesDocument, told
from headrace.operations.session import Session
from headrace.store.queries.changes import Marks

READERS_MAX = 2
"""So many documents are made at once; other requests wait. They share a core with the leader."""
ACTOR = "http"
"""Who reads."""

D = TypeVar("D")


class Reader:
    """Opens the project for each request. What was understood of an applied version is kept for the next."""

    def __init__(self, root: Path, env: str, actor: str = ACTOR) -> None:
        self._root, self._env, self._actor = root, env, actor
        self._last: Session | None = None
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="headrace reader")

    async def document(self, make: Callable[[Session], D]) -> D:
        """What `make` reads in a session, made in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._made, make)

    @property
    def project(self) -> tuple[str, str, str]:
        """For another process: the folder, the environment, and who reads."""
        return str(self._root), self._env, ACTOR

    def session(self) -> Session:
        """The project, opened for a reader."""
        return Session(self._root, self._env, None, ACTOR)

    async def told(self, before: Marks | None) -> tuple[Marks, ChangesDocument]:
        """What changed since, read in a thread."""
        return await self.document(lambda session: told(session.store, before))

    def act(self, do: Callable[[Session], D]) -> D:
        """What `do` does, in this thread, for whoever serves: the token is theirs. It asks who leads, and never leads itself."""
        session = Session(self._root, self._env, None, self._actor, leads=False)
        try:
            return do(session)
        finally:
            session.close()

    def _made(self, make: Callable[[Session], D]) -> D:
        session = self.session()
        try:
            if self._last is not None:
                with suppress(HeadraceError):  # a document says itself what can't be read
                    session.know(self._last)
            document = make(session)
            self._last = session
        finally:
            session.close()
        return document
