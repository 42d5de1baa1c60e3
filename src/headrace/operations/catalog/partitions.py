"""A node's partitions, in pages: those that were heard of, and those that there should be."""

from __future__ import annotations

from collections import Counter
from functools import partial
from heapq import merge
from itertools import islice, takewhile

import msgspec

from headrace.observe.declared_promises import Node
from headrace.observe.incidents.arrivals import expected_since
from headrace.observe.obligations import EvaluationContext
from headrace.operations import targets
from headrace.operations.catalog.expected import absent, expected, within
from headrace.operations.catalog.responses import CountedRow, PartitionRow, PartitionsResponse
from headrace.operations.cursors import cursor, place
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import arrivals, calendar
from headrace.store.queries.calendar import Day


class PartitionListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which partitions: from one key to another, both included."""

    first: str | None = None
    last: str | None = None
    cursor: str | None = None
    limit: int = 400


def partitions(session: ProjectSession, name: str, query: PartitionListQuery) -> PartitionsResponse:
    """Those that anything was ever heard of, and those that there should be, newest first. UsageError for a node or a cursor that there
    isn't."""
    node, _ = targets.target(name, session.project())
    before = None if query.cursor is None else place(query.cursor, str)
    days = _found(session, node, query, before) if session.store is not None and session.compiled is not None else []
    page = days[: query.limit]
    return PartitionsResponse(
        now=session.now(),
        node=node,
        partitions=[_row(session, day) for day in page],
        counted=counted(session, node, query) if query.cursor is None else [],
        next=cursor(page[-1].partition) if len(days) > len(page) else None,
    )


def counted(session: ProjectSession, name: str, query: PartitionListQuery) -> list[CountedRow]:
    """How many partitions are in each state, most first: all of those that are wanted, not of one
    page of them."""
    if session.store is None or session.compiled is None:
        return []
    first, last, now_us = query.first or "", _end(query.last), session.clock.now_us()
    with session.facts() as (tx, facts):
        counts = Counter(calendar.counts(tx, name, first, last))
        node = session.declared_promises.nodes.get(name)
        if node is not None and node.partition.grain is not None:
            context = EvaluationContext(session.declared_promises, facts)
            if last is None:
                counts["missing"] += absent(node, context, now_us, partial(calendar.heard, tx, name), first, _declared_us(tx, node))
            else:
                known = set(calendar.keys(tx, name, first, last))
                keys = within(node, context, now_us, first, query.last or "", _declared_us(tx, node))
                counts["missing"] += sum(key not in known for key in keys)
    return [CountedRow(value=state, count=n) for state, n in counts.most_common() if n]


def _found(session: ProjectSession, name: str, query: PartitionListQuery, before: str | None) -> list[Day]:
    """A page of them, and one more where there is one."""
    first, last, now_us = query.first or "", _end(query.last), session.clock.now_us()
    with session.facts() as (tx, facts):
        heard = calendar.between(tx, name, first, last, before=before, limit=query.limit + 1)
        node = session.declared_promises.nodes.get(name)
        if node is None or node.partition.grain is None:
            return heard
        known = {day.partition for day in heard}
        every = expected(
            node, EvaluationContext(session.declared_promises, facts), now_us, below=before, declared_us=_declared_us(tx, node)
        )
        keys = takewhile(lambda item: item[0] >= first, every)
        absent = (_absent(*key) for key in keys if key[0] not in known and (last is None or key[0] <= last))
        return list(islice(merge(heard, absent, key=lambda day: day.partition, reverse=True), query.limit + 1))


def _declared_us(tx: Transaction, node: Node) -> int | None:
    """Since when deliveries of a source are expected that are promised, even if none ever came; None of one that nobody
    has looked at yet."""
    if not node.is_source or node.expect_by is None or arrivals.declared_by(tx, node.name) is None:
        return None
    return expected_since(tx, node.name)


def _absent(partition: str, ended_us: int) -> Day:
    return Day(
        partition, state="missing", seen=False, stale=False, reason="expected, and not there yet", since=ended_us,
        failures=0, rows=None, bytes=None, verdict=None, published_at=None,
    )  # fmt: skip


def _end(last: str | None) -> str | None:
    """With what is cut finer: `2025-03` means all of March, `2025-03-01` all its keys."""
    return None if last is None else f"{last}\U0010ffff"


def _row(session: ProjectSession, day: Day) -> PartitionRow:
    return PartitionRow(
        partition=day.partition, state=day.state, seen=day.seen, stale=day.stale, reason=day.reason, since=session.instant(day.since),
        failures=day.failures, rows=day.rows, bytes=day.bytes, verdict=day.verdict,
        published_at=None if day.published_at is None else session.instant(day.published_at),
    )  # fmt: skip
