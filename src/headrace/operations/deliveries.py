"""`deliveries`: what arrived at a source, when, and what became of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.model import Source, UsageError
from headrace.operations import targets
from headrace.operations.documents import Document
from headrace.operations.session import Session
from headrace.store.queries import deliveries as stored
from headrace.store.queries.deliveries import Arrival


class Received(Document, frozen=True, kw_only=True):
    """Who handed a delivery in by hand, and why; `file` is where it lay."""

    actor: str
    reason: str
    file: str


class DeliveryRow(Document, frozen=True, kw_only=True):
    """One delivery. `at` is its arrival; `claimed_at` what the file says of itself. `state` is `waiting`, `published`, `held`,
    `rejected`, `dropped`, `failed` or `superseded`; of several files `path` is the first one's and `files` their number."""

    node: str
    partition: str
    state: str
    verdict: str | None
    at: datetime
    reason: str | None
    path: str
    files: int
    size_bytes: int | None
    rows: int | None
    claimed_at: datetime
    observed_at: datetime
    sha256: str | None
    received: Received | None


def deliveries(session: Session, source: str, *, limit: int) -> list[DeliveryRow]:
    """The deliveries of the newest intervals, newest first. UsageError for what is no source."""
    project = session.project()
    node = project.node(source)
    if not isinstance(node, Source):
        raise (
            targets.unknown(source, list(project.sources))
            if node is None
            else UsageError(f"{source} is no source: nothing is delivered to it", hint=f"one of {', '.join(list(project.sources)[:12])}")
        )
    if session.store is None:
        return []
    with session.store.read() as tx:
        return [_row(session, one) for one in stored.arrivals(tx, source, limit=limit)]


def _row(session: Session, one: Arrival) -> DeliveryRow:
    refused = one.state if one.state in ("held", "rejected") else None
    return DeliveryRow(
        node=one.source,
        partition=one.partition,
        state=one.state,
        verdict=one.verdict or refused,
        at=session.instant(one.arrived_at),
        reason=one.reason,
        path=one.path,
        files=len(msgspec.json.decode(one.parts)) if one.parts else 1,
        size_bytes=None if one.size_bytes < 0 else one.size_bytes,
        rows=one.rows,
        claimed_at=session.instant(one.claimed_at),
        observed_at=session.instant(one.observed_at),
        sha256=one.sha256,
        received=msgspec.json.decode(one.received, type=Received) if one.received else None,
    )
