"""`deliveries`: what arrived at a source, when, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from headrace.model import Source, UsageError
from headrace.model.required import SEPARATOR
from headrace.observe.incidents.arrivals import expected_by, usual_delay
from headrace.operations import lessons, targets
from headrace.operations.responses import LearntRow, Response
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import deliveries as stored
from headrace.store.queries.deliveries import DeliveryOutcome


class Received(Response, frozen=True, kw_only=True):
    """Who handed a delivery in by hand, and why; `file` is where it lay."""

    actor: str
    reason: str
    file: str


class DeliveryRow(Response, frozen=True, kw_only=True):
    """One delivery. `at` is its arrival, `expected_at` until when its interval's was expected: as its owner promised (`promised`), else as
    deliveries come here usually, null where that isn't known; `claimed_at` is what the file says of itself. `state` is `waiting`,
    `published`, `held`, `rejected`, `dropped`, `failed` or `superseded`; of several files `path` is the first one's and `files` their
    number. `rows` is how many were published, or wait in quarantine; null where neither is known."""

    node: str
    partition: str
    state: str
    verdict: str | None
    at: datetime
    expected_at: datetime | None
    promised: bool
    reason: str | None
    path: str
    files: int
    size_bytes: int | None
    rows: int | None
    claimed_at: datetime
    observed_at: datetime
    sha256: str | None
    received: Received | None
    learnt: LearntRow | None = None
    """Of the delivery that was the first to be published: what the source is held to since, and what that was learnt from."""


def deliveries(session: ProjectSession, source: str, *, limit: int) -> list[DeliveryRow]:
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
        expected = _expected(session, tx, source)
        learnt = lessons.of_source(tx, source)
        return [_row(session, arrival, expected, learnt) for arrival in stored.arrivals(tx, source, limit=limit)]


def _expected(session: ProjectSession, tx: Transaction, source: str) -> Callable[[str], tuple[int | None, bool]]:
    """Until when the delivery of an interval is expected, and whether that was promised."""
    node = session.declared_promises.nodes.get(source) if session.compiled is not None else None
    if node is None or node.partition.grain is None or node.partition.by_delivery:
        return lambda _: (None, False)
    promised = node.expect_by is not None
    delay = None if promised else usual_delay(tx, node)
    return lambda key: (expected_by(node, key.partition(SEPARATOR)[0], delay), promised)


def _row(
    session: ProjectSession,
    outcome: DeliveryOutcome,
    expected: Callable[[str], tuple[int | None, bool]],
    learnt: LearntRow | None,
) -> DeliveryRow:
    by, promised = expected(outcome.partition)
    refused = outcome.state if outcome.state in ("held", "rejected") else None
    return DeliveryRow(
        node=outcome.source,
        partition=outcome.partition,
        state=outcome.state,
        verdict=outcome.verdict or refused,
        at=session.instant(outcome.arrived_at),
        expected_at=None if by is None else session.instant(by),
        promised=promised,
        reason=outcome.reason,
        path=outcome.path,
        files=len(msgspec.json.decode(outcome.parts)) if outcome.parts else 1,
        size_bytes=None if outcome.size_bytes < 0 else outcome.size_bytes,
        rows=outcome.rows,
        claimed_at=session.instant(outcome.claimed_at),
        observed_at=session.instant(outcome.observed_at),
        sha256=outcome.sha256,
        received=msgspec.json.decode(outcome.received, type=Received) if outcome.received else None,
        learnt=learnt if learnt is not None and learnt.deliveries[0] == outcome.path else None,
    )
