"""A node's partitions, in pages."""

from __future__ import annotations

import msgspec

from headrace.operations import targets
from headrace.operations.catalog.documents import PartitionRow, PartitionsDocument
from headrace.operations.cursors import cursor, place
from headrace.operations.session import Session
from headrace.store.queries import calendar
from headrace.store.queries.calendar import Day


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which partitions: from one key to another, both included."""

    first: str | None = None
    last: str | None = None
    cursor: str | None = None
    limit: int = 400


def partitions(session: Session, name: str, wanted: Wanted) -> PartitionsDocument:
    """Those that anything was ever heard of, newest first. UsageError for a node or a cursor that there isn't."""
    node, _ = targets.target(name, session.project())
    before = None if wanted.cursor is None else place(wanted.cursor, str)
    found: list[Day] = []
    if session.store is not None:
        with session.store.read() as tx:
            found = calendar.between(tx, node, wanted.first or "", _end(wanted.last), before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    return PartitionsDocument(
        now=session.now(),
        node=node,
        partitions=[_row(session, one) for one in page],
        next=cursor(page[-1].partition) if len(found) > len(page) else None,
    )


def _end(last: str | None) -> str | None:
    """With what is cut finer: `2025-03` means all of March, `2025-03-01` all its keys."""
    return None if last is None else f"{last}\U0010ffff"


def _row(session: Session, one: Day) -> PartitionRow:
    return PartitionRow(
        partition=one.partition, state=one.state, seen=one.seen, stale=one.stale, reason=one.reason, since=session.instant(one.since),
        failures=one.failures, rows=one.rows, bytes=one.bytes, verdict=one.verdict,
        published_at=None if one.published_at is None else session.instant(one.published_at),
    )  # fmt: skip
