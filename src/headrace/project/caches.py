"""Values cached until the state changes, the change feed for open pages, and page cursors."""

from __future__ import annotations

import base64
import binascii
import gc
import time
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar

import msgspec

from headrace.model import UsageError
from headrace.project.session import ProjectSession
from headrace.responses import Response
from headrace.store import Store
from headrace.store.queries import changes as stored_changes
from headrace.store.queries.changes import ChangedNames, Marks

# A cursor is opaque text that requests the next page. It holds the position of the last row, not a
# row count, so rows that appear or disappear between pages cause neither gaps nor duplicates.

T = TypeVar("T")


def cursor_text(place: Any) -> str:
    """Return the cursor of a position."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def place(text: str, kind: type[T]) -> T:
    """Return the position of a cursor. Raise UsageError for a text that isn't a cursor."""
    try:
        return msgspec.msgpack.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind
        )
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise UsageError(
            "this cursor was never given", hint="ask without one for the first page"
        ) from error


# Changes for open pages, so that a page reloads exactly what changed, and only then.

EVERYTHING = "everything"


class ChangesResponse(Response, frozen=True, kw_only=True):
    """Changes since an `id`, and the new `id`, which stays valid when the server restarts."""

    id: str
    changes: list[ChangedNames]


def marks_of(text: str | None) -> Marks | None:
    """Return the marks of an id; None without an id or for an invalid one."""
    try:
        return None if text is None else place(text, Marks)
    except UsageError:
        return None


def current_marks(store: Store) -> Marks:
    """Return the current marks: the newest position of each kind of change."""
    with store.read() as tx:
        return stored_changes.marks(tx)


def changes_since(store: Store | None, before: Marks | None) -> tuple[Marks, ChangesResponse]:
    """Return the current marks, and the changes since `before`; without it, `everything`."""
    if store is None:
        return Marks(), ChangesResponse(id=cursor_text(Marks()), changes=[])
    with store.read() as tx:
        now = stored_changes.marks(tx)
        names = list(stored_changes.since(tx, before, now)) if before is not None else []
    if before is None:
        names = [ChangedNames(EVERYTHING, (), more=True)]
    return now, ChangesResponse(id=cursor_text(now), changes=names)


def state_of(session: ProjectSession) -> str:
    """Return a text that changes whenever the stored data of responses changes."""
    return "" if session.store is None else cursor_text(current_marks(session.store))


def leave_out_of_collections() -> None:
    """Let later collections of garbage skip what a server has loaded, after one that visits it all.

    A full collection over a project of 10,000 nodes takes 100 ms, in which nobody is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


# Values cached across requests: evaluating the state of ten thousand nodes takes a second.

SECONDS = 10
"""Maximum delay in seconds until changes by the clock alone are noticed."""


def cached(session: ProjectSession, name: str, make: Callable[[], T]) -> T:
    """Return the value of `make`, cached in the session's memory until the store changes.

    A cached value is also recomputed every SECONDS seconds.
    """
    return _cached_for(
        session, name, f"{session.version} {state_of(session)} {int(time.time() // SECONDS)}", make
    )


def cached_by_version(
    session: ProjectSession, name: str, make: Callable[[], T], word: str = ""
) -> T:
    """Return the value of `make`, cached until another version is applied or `word` changes."""
    return _cached_for(session, name, f"{session.version} {word}", make)


def _cached_for(session: ProjectSession, name: str, word: str, make: Callable[[], T]) -> T:
    # requests that ask at once wait for the first: each would take as long, on the same core
    making: RLock = session.memory.setdefault(f"{name}, being made", ("", RLock()))[1]
    with making:
        known = session.memory.get(name)
        if known is not None and known[0] == word:
            value: T = known[1]
            return value
        result = make()
        session.memory[name] = (word, result)
        return result
