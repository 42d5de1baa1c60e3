"""Reads of the project for requests: sessions in a few threads, and a cache of encoded
responses."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.model import HeadraceError
from headrace.project.caches import ChangesResponse, changes_since, leave_out_of_collections
from headrace.project.decoders import make_decoders
from headrace.project.session import ProjectSession
from headrace.project.snapshots import project_state
from headrace.security.access import Identity, IdentityKind
from headrace.services.status import status
from headrace.store.queries.changes import Marks
from headrace.web.shared_reads import SharedReads

# Each request reads in a session of its own. At most two run at once, because they share a core
# with the leader.

READERS_MAX = 2
"""So many documents are made at once; other requests wait. They share a core with the leader."""
ACTOR = "http"
"""Who reads."""

D = TypeVar("D")


def load(session: ProjectSession) -> None:
    """Load the applied project and its state; of ten thousand assets, the state takes a second."""
    if session.store is not None and session.compiled is not None:
        with project_state(session, session.clock.now_us()):
            pass


class ProjectReader:
    """Opens the project for each request; the compiled applied version is cached."""

    def __init__(self, root: Path, env: str, actor: str = ACTOR) -> None:
        self._root, self._env, self._actor = root, env, actor
        make_decoders()
        self._last: ProjectSession | None = None
        self._loading = threading.Lock()
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="headrace reader")
        self._shared = SharedReads()
        self._first: list[Callable[[ProjectSession], object]] = [load, status]
        self._serves = False
        """Whether this process serves until it ends, and what it loads first is loaded."""

    async def response(
        self,
        make: Callable[[ProjectSession], D],
        identity: Identity | None,
        key: Hashable | None = None,
    ) -> D:
        """Run `make` in a session of an identity, in a thread.

        Without an identity, Headrace itself reads, and nothing is checked. The first requests wait
        until the project is loaded. Requests of one identity with the same `key` share a read.
        """
        if key is None:
            return await self._in_thread(self._read_after_load, make, identity)
        return await self._shared.result(
            (key, identity), lambda: self._in_thread(self._read_after_load, make, identity)
        )

    async def glance(self, make: Callable[[ProjectSession], D]) -> D:
        """Run `make` without waiting for the applied version, which it doesn't need."""
        return await self._in_thread(self._read, make)

    async def _in_thread(self, read: Callable[..., D], *arguments: Any) -> D:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read, *arguments)

    def warm_with(self, *makes: Callable[[ProjectSession], object]) -> None:
        """Run these, too, before the first request, in the usual order of the requests."""
        self._first += makes

    def begin(self) -> None:
        """Load the applied version in the background, before the first request."""
        threading.Thread(target=self._warm, name="headrace loading", daemon=True).start()

    @property
    def project(self) -> tuple[str, str, str]:
        """Return the folder, environment and reader, for another process."""
        return str(self._root), self._env, ACTOR

    def session(self, identity: Identity | None = None) -> ProjectSession:
        """Open the project for an identity; without one, Headrace itself reads unchecked."""
        return ProjectSession(
            self._root, self._env, None, ACTOR, identity=identity, trusted=identity is None
        )

    async def changes(self, before: Marks | None) -> tuple[Marks, ChangesResponse]:
        """Read in a thread what changed since; listeners that know the same share the read."""
        return await self._shared.result(
            before, lambda: self.glance(lambda session: changes_since(session.store, before))
        )

    async def submit(self, do: Callable[[ProjectSession], None], actor: str) -> None:
        """Run `do`, which only sends a request of an actor to the leader, in a thread."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._submit, do, actor)

    def _submit(self, do: Callable[[ProjectSession], None], actor: str) -> None:
        session = ProjectSession(self._root, self._env, None, actor, leads=False, trusted=True)
        try:
            do(session)
        finally:
            session.close()

    def act(self, do: Callable[[ProjectSession], D], identity: Identity) -> D:
        """Run `do` in this thread, as the user who runs the server, a person or an API token.

        It sends requests to the leader and never leads itself.
        """
        session = self.session_for_acts(identity)
        try:
            return do(session)
        finally:
            session.close()

    def session_for_acts(self, identity: Identity) -> ProjectSession:
        """Open the project for an act, which a leader performs."""
        actor = self._actor if identity.kind is IdentityKind.LOCAL else identity.name
        return ProjectSession(self._root, self._env, None, actor, leads=False, identity=identity)

    def _read_after_load(
        self, make: Callable[[ProjectSession], D], identity: Identity | None = None
    ) -> D:
        if self._last is None:
            with self._loading:  # once, however many ask
                if self._last is None:
                    with suppress(HeadraceError):  # a document says itself what can't be read
                        self._read(load)
        return self._read(make, identity)

    def _read(self, make: Callable[[ProjectSession], D], identity: Identity | None = None) -> D:
        session = self.session(identity)
        try:
            if self._last is not None:
                with suppress(HeadraceError):
                    session.know(self._last)
            response = make(session)
            if "compiled" in session.__dict__:
                self._remember(session)
        finally:
            session.close()
        return response

    def _remember(self, session: ProjectSession) -> None:
        """Keep what a session has loaded; a slow one may be of a version before the last."""
        last = self._last.version if self._last is not None else None
        if last is not None and (session.version or 0) < last:
            return
        self._last = session
        if self._serves and session.version != last:
            leave_out_of_collections()

    def _warm(self) -> None:
        for make in self._first:
            with suppress(HeadraceError):
                self._read_after_load(make)
        leave_out_of_collections()
        self._serves = True


# A tag (ETag) names the state of the project that a response was made of. Fifty browsers that ask
# for the same page cost one response; a browser that has it already gets 304. Changes that only
# the clock makes, such as a consumer becoming late, show up at most ten seconds later.

CACHE_SECONDS = 10
CACHED_RESPONSES_MAX = 64
CACHED_RESPONSE_BYTES_MAX = 256 << 10
"""A larger answer isn't kept."""


class Answered(msgspec.Struct, frozen=True):
    """An encoded response; `agree` identifies the plan in it."""

    tag: str | None
    body: bytes
    agree: str | None = None


class ResponseCache:
    """A cache of the latest responses, by request. Safe for several threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: str, tag: str) -> Answered | None:
        """Return the cached response, if it is still valid."""
        with self._lock:
            result = self._answers.get(question)
            return result if result is not None and result.tag == tag else None

    def put(self, question: str, answered: Answered) -> None:
        """Store a response and drop the oldest one."""
        if len(answered.body) > CACHED_RESPONSE_BYTES_MAX:
            return
        with self._lock:
            self._answers[question] = answered
            self._answers.move_to_end(question)
            if len(self._answers) > CACHED_RESPONSES_MAX:
                self._answers.popitem(last=False)


def etag_of(question: str, state: str) -> str:
    """Return a weak ETag: responses with the same tag differ at most in `now`."""
    period = int(time.time() // CACHE_SECONDS)
    return f'W/"{hashlib.sha256(f"{question} {state} {period}".encode()).hexdigest()[:32]}"'


def etag_matches(sent: str, tag: str) -> bool:
    """Whether `If-None-Match` has the tag."""
    return any(item.strip() in (tag, "*") for item in sent.split(","))
