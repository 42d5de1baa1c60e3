"""Values cached until the state changes, the change feed for open pages, and page cursors."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from headrace.model import UsageError
from headrace.services.responses import Response
from headrace.services.session import ProjectSession
from headrace.store import Store
from headrace.store.queries import changes as stored_changes
from headrace.store.queries.changes import Marks

# A cursor is opaque text that asks for the next page. It holds a place, not a row count, so rows
# that come and go are neither left out nor shown twice.

T = TypeVar("T")


def cursor(place: Any) -> str:
    """The text for a place."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def place(text: str, kind: type[T]) -> T:
    """The place that a text stands for. UsageError for one that was never given."""
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise UsageError("this cursor was never given", hint="ask without one for the first page") from error


# Changes for open pages, so that a page reads again exactly what changed, and only then.

EVERYTHING = "everything"


class ChangedNamesRow(Response, frozen=True, kw_only=True):
    """`kind` is `partitions`, `runs`, `versions`, `audit`, `incidents`, `deliveries`, `quarantine`, `backfills`, or
    `everything`: it isn't known what. `names` are the nodes, runs and so on; `more`: not all of them."""

    kind: str
    names: list[str]
    more: bool


class ChangesResponse(Response, frozen=True, kw_only=True):
    """What changed at once. `id` is where to go on from: it stays good when the server is started again."""

    id: str
    changes: list[ChangedNamesRow]


def marks_of(text: str | None) -> Marks | None:
    """What an id stands for; None for none, and for what was never given."""
    try:
        return None if text is None else place(text, Marks)
    except UsageError:
        return None


def current_marks(store: Store) -> Marks:
    """How far everything is."""
    with store.read() as tx:
        return stored_changes.marks(tx)


def changes_since(store: Store | None, before: Marks | None) -> tuple[Marks, ChangesResponse]:
    """How far everything is, and what changed since; without a `before` that is everything."""
    if store is None:
        return Marks(), ChangesResponse(id=cursor(Marks()), changes=[])
    with store.read() as tx:
        now = stored_changes.marks(tx)
        names = list(stored_changes.since(tx, before, now)) if before is not None else []
    rows = [ChangedNamesRow(kind=changed_names.kind, names=list(changed_names.names), more=changed_names.more) for changed_names in names]
    if before is None:
        rows = [ChangedNamesRow(kind=EVERYTHING, names=[], more=True)]
    return now, ChangesResponse(id=cursor(now), changes=rows)


def state_of(session: ProjectSession) -> str:
    """A word for all that documents are made of, in the store: the same while nothing of it changes."""
    return "" if session.store is None else cursor(current_marks(session.store))


# Values cached from one request to the next: evaluating the state of ten thousand nodes takes a
# second.

SECONDS = 10
"""What the clock alone changes is noticed after so long at the latest."""


def cached(session: ProjectSession, name: str, make: Callable[[], T]) -> T:
    """What `make` gives, or gave to an earlier session of the same memory while nothing in the store has changed."""
    return _cached_for(session, name, f"{session.version} {state_of(session)} {int(time.time() // SECONDS)}", make)


def cached_by_version(session: ProjectSession, name: str, make: Callable[[], T], word: str = "") -> T:
    """The same of what follows from what is applied, and from what `word` is of, alone."""
    return _cached_for(session, name, f"{session.version} {word}", make)


def _cached_for(session: ProjectSession, name: str, word: str, make: Callable[[], T]) -> T:
    known = session.memory.get(name)
    if known is not None and known[0] == word:
        value: T = known[1]
        return value
    result = make()
    session.memory[name] = (word, result)
    return result
