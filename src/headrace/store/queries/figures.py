"""Counts for `/metrics`: each is read from an index of what is open, so that none grows with the history."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.store.database import Transaction


class OpenWork(msgspec.Struct, frozen=True):
    """What is under way. `oldest_us` is when the oldest attempt of it was queued, None where there is none."""

    attempts: dict[str, int]
    oldest_us: int | None
    requests: int


class LastObservation(msgspec.Struct, frozen=True):
    """The newest look at a source, in microseconds of the store's clock."""

    at: int
    failed: bool


def open_work(tx: Transaction) -> OpenWork:
    """Attempts that are queued or running, and requests that nobody has answered."""
    rows = tx.execute("select state, count(*), min(queued_at) from attempt where state in ('queued', 'running') group by state").fetchall()
    requests = tx.execute("select count(*) from request where state in ('waiting', 'taken')").fetchone()[0]
    results = {"queued": 0, "running": 0} | {str(state): int(count) for state, count, _ in rows}
    return OpenWork(results, min((int(at) for _, _, at in rows), default=None), int(requests))


def partitions_open(tx: Transaction) -> dict[str, int]:
    """State → how many partitions are in it, of those that aren't published."""
    rows = tx.execute("select state, count(*) from partition where state <> 'published' group by state order by state").fetchall()
    return {str(state): int(count) for state, count in rows}


def incidents_open(tx: Transaction) -> dict[str, int]:
    """Kind → how many incidents of it aren't resolved."""
    rows = tx.execute("select kind, count(*) from incident where state <> 'resolved' group by kind").fetchall()
    return {str(kind): int(count) for kind, count in rows}


def last_observations(tx: Transaction, sources: Iterable[str]) -> dict[str, LastObservation]:
    """Source → its newest look; sources that nobody has looked at aren't in it."""
    observations = {}
    for source in sources:
        row = tx.execute("select at, error from look where source = :source order by at desc limit 1", {"source": source}).fetchone()
        if row is not None:
            observations[source] = LastObservation(int(row[0]), row[1] is not None)
    return observations
