"""What has changed: told to whoever keeps a page open, so that it asks again for what it shows, and only then."""

from __future__ import annotations

from headrace.model import UsageError
from headrace.operations.cursors import cursor, place
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.store import Store
from headrace.store.queries import changes
from headrace.store.queries.changes import Marks

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


def marks(store: Store) -> Marks:
    """How far everything is."""
    with store.read() as tx:
        return changes.marks(tx)


def told(store: Store | None, before: Marks | None) -> tuple[Marks, ChangesResponse]:
    """How far everything is, and what changed since; without a `before` that is everything."""
    if store is None:
        return Marks(), ChangesResponse(id=cursor(Marks()), changes=[])
    with store.read() as tx:
        now = changes.marks(tx)
        names = list(changes.since(tx, before, now)) if before is not None else []
    rows = [ChangedNamesRow(kind=changed_names.kind, names=list(changed_names.names), more=changed_names.more) for changed_names in names]
    if before is None:
        rows = [ChangedNamesRow(kind=EVERYTHING, names=[], more=True)]
    return now, ChangesResponse(id=cursor(now), changes=rows)


def state_of(session: ProjectSession) -> str:
    """A word for all that documents are made of, in the store: the same while nothing of it changes."""
    return "" if session.store is None else cursor(marks(session.store))
