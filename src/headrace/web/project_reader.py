"""Reads of the project for requests: sessions in a few threads, and a cache of encoded
responses."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from headrace.model import HeadraceError
from headrace.services.caches import ChangesResponse, changes_since
from headrace.services.graph import WARMED, load
from headrace.services.session import ProjectSession
from headrace.store.queries.changes import Marks

# Each request reads in a session of its own. At most two run at once, because they share a core
# with the leader.

READERS_MAX = 2
"""So many documents are made at once; other requests wait. They share a core with the leader."""
ACTOR = "http"
"""Who reads."""

D = TypeVar("D")


class ProjectReader:
    """Opens the project for each request. What was understood of an applied version is kept for the
    next.
    """

    def __init__(self, root: Path, env: str, actor: str = ACTOR) -> None:
        self._root, self._env, self._actor = root, env, actor
        self._last: ProjectSession | None = None
        self._loading = threading.Lock()
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="headrace reader")

    async def response(self, make: Callable[[ProjectSession], D]) -> D:
        """What `make` reads in a session, made in a thread. The first ones wait until the project
        is loaded.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._read_after_load, make
        )

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

    async def changes(self, before: Marks | None) -> tuple[Marks, ChangesResponse]:
        """What changed since, read in a thread."""
        return await self.glance(lambda session: changes_since(session.store, before))

    def act(self, do: Callable[[ProjectSession], D]) -> D:
        """What `do` does, in this thread, for whoever serves: the token is theirs. It asks who
        leads, and never leads itself.
        """
        session = ProjectSession(self._root, self._env, None, self._actor, leads=False)
        try:
            return do(session)
        finally:
            session.close()

    def _read_after_load(self, make: Callable[[ProjectSession], D]) -> D:
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
                self._read_after_load(make)


# A tag (ETag) names the state of the project that a response was made of. Fifty browsers that ask
# for the same page cost one response; a browser that has it already gets 304. Changes that only
# the clock makes, such as a consumer becoming late, show up at most ten seconds later.

CACHE_SECONDS = 10
CACHED_RESPONSES_MAX = 64
CACHED_RESPONSE_BYTES_MAX = 256 << 10
"""A larger answer isn't kept."""


class Answered(msgspec.Struct, frozen=True):
    """An encoded document; `agree` is the word for the plan that it is."""

    tag: str | None
    body: bytes
    agree: str | None = None


class ResponseCache:
    """The answers given last, by what was asked. Used by several threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: str, tag: str) -> Answered | None:
        """What was answered, if it is still so."""
        with self._lock:
            result = self._answers.get(question)
            return result if result is not None and result.tag == tag else None

    def put(self, question: str, answered: Answered) -> None:
        """Keep an answer; the oldest goes."""
        if len(answered.body) > CACHED_RESPONSE_BYTES_MAX:
            return
        with self._lock:
            self._answers[question] = answered
            self._answers.move_to_end(question)
            if len(self._answers) > CACHED_RESPONSES_MAX:
                self._answers.popitem(last=False)


def etag_of(question: str, state: str) -> str:
    """A weak tag: two documents of one tag say the same, though not at the same `now`."""
    period = int(time.time() // CACHE_SECONDS)
    return f'W/"{hashlib.sha256(f"{question} {state} {period}".encode()).hexdigest()[:32]}"'


def etag_matches(sent: str, tag: str) -> bool:
    """Whether `If-None-Match` names a tag."""
    return any(item.strip() in (tag, "*") for item in sent.split(","))
