"""One source, asset or consumer with its surroundings: partitions, code and deliveries."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import islice, takewhile
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headrace.access.refused_acts import refused_on_node
from headrace.extension import SEE, Asset, ProjectSession, Response, Source, command
from headrace.incidents.evidence.arrivals import expected_since
from headrace.model import Consumer
from headrace.model.masks import column_classes
from headrace.plan import Compiled
from headrace.privacy.retention import hold_of, hold_row, in_force, retention_rows
from headrace.project import targets
from headrace.project.caches import cursor_text, place
from headrace.project.snapshots import node_graph, project_state
from headrace.project.status_facts import WINDOW, window_began
from headrace.responses import ConsumerRow, LearntRow
from headrace.responses.interventions import LedgerRow
from headrace.services import deliveries as services_deliveries
from headrace.services.render import typed_columns
from headrace.services.status import of_consumer
from headrace.slo.declared_promises import Node
from headrace.slo.obligations import EvaluationContext, Obligation
from headrace.standing.delay_ledger import Ledgers
from headrace.store import Transaction
from headrace.store.queries import deliveries as stored_deliveries
from headrace.store.queries import partition_states
from headrace_ui.queries import calendar_partitions
from headrace_ui.queries.calendar_partitions import Day
from headrace_ui.responses.catalog import (
    CountedRow,
    EdgeRow,
    NodeColumnRow,
    NodeResponse,
    PartitionRow,
    PartitionsResponse,
)
from headrace_ui.views.expected_partitions import count_absent, expected, within
from headrace_ui.views.node_cards import Cards

# A node's partitions in pages: recorded ones and expected ones.


class PartitionListQuery(
    msgspec.Struct, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """A range of partitions, `first` and `last` included."""

    first: str | None = None
    last: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=2_000)] = 400


@command("partitions", SEE, of="name", http="GET /assets/{name}/partitions partitions")
def list_partitions(
    session: ProjectSession, name: str, query: PartitionListQuery
) -> PartitionsResponse:
    """Return the recorded and the expected partitions, newest first.

    Raise UsageError for an unknown node or cursor.
    """
    node, _ = targets.target(name, session.project())
    before = None if query.cursor is None else place(query.cursor, str)
    days = (
        _page_of_days(session, node, query, before)
        if session.store is not None and session.compiled is not None
        else []
    )
    page = days[: query.limit]
    return PartitionsResponse(
        now=session.now(),
        node=node,
        partitions=[_partition_row(session, day) for day in page],
        counted=count_by_state(session, node, query) if query.cursor is None else [],
        next=cursor_text(page[-1].partition) if len(days) > len(page) else None,
    )


def count_by_state(
    session: ProjectSession, name: str, query: PartitionListQuery
) -> list[CountedRow]:
    """Return the number of partitions in each state, most frequent first, over the whole range."""
    if session.store is None or session.compiled is None:
        return []
    first, last, now_us = query.first or "", _end(query.last), session.clock.now_us()
    with session.facts() as (tx, facts):
        counts = Counter(calendar_partitions.calendar_counts(tx, name, first, last))
        node = session.declared_promises.nodes.get(name)
        if node is None or node.partition.grain is None:
            return _counted(counts)
        context = EvaluationContext(session.declared_promises, facts)
        declared_us = _declared_us(tx, node)
        if last is None:
            heard = partial(calendar_partitions.count_between, tx, name)
            counts["missing"] += count_absent(node, context, now_us, heard, first, declared_us)
        else:
            known = set(calendar_partitions.keys_between(tx, name, first, last))
            keys = within(node, context, now_us, first, query.last or "", declared_us)
            counts["missing"] += sum(key not in known for key in keys)
    return _counted(counts)


def _counted(counts: Counter[str]) -> list[CountedRow]:
    return [CountedRow(value=state, count=n) for state, n in counts.most_common() if n]


def _page_of_days(
    session: ProjectSession, name: str, query: PartitionListQuery, before: str | None
) -> list[Day]:
    """Return a page of partitions, plus one if there are more."""
    first, last, now_us = query.first or "", _end(query.last), session.clock.now_us()
    with session.facts() as (tx, facts):
        heard = calendar_partitions.days_between(
            tx, name, first, last, before=before, limit=query.limit + 1
        )
        node = session.declared_promises.nodes.get(name)
        if node is None or node.partition.grain is None:
            return heard
        known = {day.partition for day in heard}
        every = expected(
            node,
            EvaluationContext(session.declared_promises, facts),
            now_us,
            below=before,
            declared_us=_declared_us(tx, node),
        )
        keys = takewhile(lambda item: item[0] >= first, every)
        absent = (
            _absent(*key)
            for key in keys
            if key[0] not in known and (last is None or key[0] <= last)
        )
        return list(
            islice(
                merge(heard, absent, key=lambda day: day.partition, reverse=True),
                query.limit + 1,
            )
        )


def _declared_us(tx: Transaction, node: Node) -> int | None:
    """Return the time from which a promised source is expected to deliver, even if it never did.

    None for other sources, and for a source that wasn't observed yet.
    """
    if (
        not node.is_source
        or node.expect_by is None
        or stored_deliveries.declared_since(tx, node.name) is None
    ):
        return None
    return expected_since(tx, node.name)


def _absent(partition: str, ended_us: int) -> Day:
    return Day(
        partition,
        state="missing",
        seen=False,
        stale=False,
        reason="expected, and not there yet",
        since=ended_us,
        failures=0,
        rows=None,
        bytes=None,
        verdict=None,
        published_at=None,
    )


def _end(last: str | None) -> str | None:
    """Return an upper bound that includes finer keys: `2025-03` means all of March."""
    return None if last is None else f"{last}\U0010ffff"


def _partition_row(session: ProjectSession, day: Day) -> PartitionRow:
    return PartitionRow(
        partition=day.partition,
        state=day.state,
        seen=day.seen,
        stale=day.stale,
        reason=day.reason,
        since=session.instant(day.since),
        failures=day.failures,
        rows=day.rows,
        bytes=day.bytes,
        verdict=day.verdict,
        published_at=None if day.published_at is None else session.instant(day.published_at),
    )


@command("asset", SEE, of="name", http="GET /assets/{name} node")
def node(session: ProjectSession, name: str) -> NodeResponse:
    """Return a node in its current state. Raise UsageError if it doesn't exist."""
    cards = Cards(session)
    project = cards.project
    declared = project.node(name)
    if declared is None or isinstance(declared, Consumer):
        raise targets.unknown(name, [*project.sources, *project.assets], also=declared)
    compiled = session.compiled
    oldest = _oldest(session, name)
    above = compiled.nodes.get(name) if compiled is not None else None
    return NodeResponse(
        now=session.now(),
        node=cards.of([name])[0],
        line=declared.place.line,
        timezone=declared.timezone or project.settings.timezone,
        start=declared.start,
        contract=declared.contract,
        columns=_columns(session, declared, compiled),
        reads=_reads(cards, compiled, name),
        read_by=_read_by(session, cards, compiled, name),
        consumers=node_graph(session, compiled).consumers([name]) if compiled is not None else [],
        partitions=count_by_state(session, name, PartitionListQuery()),
        oldest=oldest,
        fingerprint=above.fingerprint if above is not None else None,
        learnt=_learnt(session, name) if isinstance(declared, Source) else None,
        **_retention(session, name),
        refused_acts=refused_on_node(session, declared),
    )


def _retention(session: ProjectSession, name: str) -> dict[str, Any]:
    if session.store is None:
        return {}
    with session.store.read() as tx:
        rows = retention_rows(session, tx, session.project(), [name])
        hold = hold_of(in_force(tx), name)
    return {
        "retention": next(iter(rows), None),
        "hold": None if hold is None else hold_row(session, hold),
    }


def _learnt(session: ProjectSession, source: str) -> LearntRow | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        return services_deliveries.learned_source(tx, session.project(), source)


def _oldest(session: ProjectSession, name: str) -> str | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        extent = partition_states.extent(tx, name)
    return extent.oldest if extent else None


def _columns(
    session: ProjectSession, declared: Source | Asset, compiled: Compiled | None
) -> list[NodeColumnRow]:
    classes = column_classes(session.project(), declared.name)
    return [
        NodeColumnRow(
            name=name,
            type=kind,
            classification=classes[name.lower()].name if name.lower() in classes else None,
        )
        for name, kind in typed_columns(session, declared.name, compiled)
    ]


def _reads(cards: Cards, compiled: Compiled | None, name: str) -> list[EdgeRow]:
    node = compiled.nodes.get(name) if compiled is not None else None
    if node is None:
        return []
    inputs = [(spec.node, spec.mode.value) for spec in node.inputs]
    return [
        _edge(cards, other, mode)
        for other, mode in (*inputs, *((other, "depends") for other in node.depends))
    ]


def _read_by(
    session: ProjectSession, cards: Cards, compiled: Compiled | None, name: str
) -> list[EdgeRow]:
    if compiled is None:
        return []
    rows = []
    below = [
        compiled.nodes[item]
        for item in node_graph(session, compiled).below.get(name, ())
        if item in compiled.nodes
    ]
    for other in below:
        modes = [spec.mode.value for spec in other.inputs if spec.node == name] or (
            ["depends"] if name in other.depends else []
        )
        rows += [_edge(cards, other.name, mode) for mode in modes]
    return rows + [
        EdgeRow(node=consumer.name, kind="consumer", mode="all", state=None)
        for consumer in cards.project.consumers.values()
        if name in consumer.reads
    ]


def _edge(cards: Cards, name: str, mode: str) -> EdgeRow:
    kind = "source" if name in cards.project.sources else "asset"
    return EdgeRow(node=name, kind=kind, mode=mode, state=cards.state(name))


# One consumer: its state, and its deliveries against the deadline, each with its delay ledger.


class ServedInterval(Response, frozen=True, kw_only=True):
    """An interval of a consumer.

    `state` is `met` (in time), `late` (met after the deadline), `waived`, `missing` (after the
    deadline), or `due` (later). `late_seconds` is negative before the deadline; for a missing
    interval it counts until now.
    """

    interval: str
    due_at: datetime
    met_at: datetime | None
    state: str
    late_seconds: float | None
    ledger: LedgerRow | None
    """Null before the interval's end, and unless requested."""


class ConsumerResponse(Response, frozen=True, kw_only=True):
    """A consumer; `deliveries` are its newest intervals, newest first.

    `next` is the cursor of older ones.
    """

    now: datetime
    consumer: ConsumerRow
    per: str
    timezone: str
    description: str
    domain: str | None
    importance: str | None
    file: str
    upstream: list[str]
    """Direct and indirect inputs: sources and assets."""
    deliveries: list[ServedInterval]
    next: str | None


@command("consumer", SEE, of="name", http="GET /consumers/{name} consumer")
def consumer(
    session: ProjectSession,
    name: str,
    *,
    cursor: str | None = None,
    limit: Annotated[int, Meta(ge=1, le=400)] = 30,
    ledgers: Annotated[int, Meta(ge=0, le=60)] = 10,
) -> ConsumerResponse:
    """Return a consumer with its newest intervals, the first `ledgers` of them with delay ledgers.

    Raise UnknownName for an unknown consumer.
    """
    project = session.project()
    declared = targets.consumer_of(project, name)
    row = of_consumer(session, name)
    page, more = _deliveries(
        session, name, None if cursor is None else place(cursor, str), limit, ledgers
    )
    return ConsumerResponse(
        now=session.now(),
        consumer=row,
        per=declared.per.value,
        timezone=declared.timezone or project.settings.timezone,
        description=declared.description,
        domain=declared.domain,
        importance=declared.importance,
        file=declared.place.file,
        upstream=_upstream(session, name),
        deliveries=page,
        next=cursor_text(page[-1].interval) if more else None,
    )


def _upstream(session: ProjectSession, name: str) -> list[str]:
    if session.compiled is None:
        return []
    upstream = node_graph(session, session.compiled).upstream([name])
    return [other for other in upstream if other != name]


def _deliveries(
    session: ProjectSession, name: str, before: str | None, limit: int, ledgers: int
) -> tuple[list[ServedInterval], bool]:
    if session.store is None or session.compiled is None:
        return [], False
    compiled, now_us = session.compiled, session.clock.now_us()
    window = (window_began(WINDOW, now_us, session.timezone), now_us)
    with project_state(session, now_us) as snapshot:
        terms = next(
            consumer
            for consumer in snapshot.context.declared.consumers
            if consumer.consumer == name
        )
        delivered = snapshot.evaluation(session, window).deliveries(name)
        newest = [
            obligation
            for obligation in reversed(delivered)
            if before is None or obligation.interval < before
        ]
        page, books = (
            newest[:limit],
            Ledgers(session, snapshot.tx, compiled, snapshot.context, now_us),
        )
        rows = [
            _interval_row(
                session,
                obligation,
                books.of_consumer(terms, obligation.interval) if n < ledgers else None,
                now_us,
            )
            for n, obligation in enumerate(page)
        ]
    return rows, len(newest) > len(page)


def _interval_row(
    session: ProjectSession, obligation: Obligation, ledger: LedgerRow | None, now_us: int
) -> ServedInterval:
    return ServedInterval(
        interval=obligation.interval,
        due_at=session.instant(obligation.due_at_us),
        met_at=None if obligation.met_at_us is None else session.instant(obligation.met_at_us),
        state=delivery_state(obligation, now_us),
        late_seconds=late_seconds(obligation, now_us),
        ledger=ledger,
    )


def late_seconds(obligation: Obligation, now_us: int) -> float | None:
    """Return by how much an interval was met after its deadline, negative before it.

    Of a missing interval it is the time since the deadline; None before that, and if waived.
    """
    if obligation.met_at_us is not None:
        return (obligation.met_at_us - obligation.due_at_us) / 1_000_000
    if now_us > obligation.due_at_us and not obligation.waived:
        return (now_us - obligation.due_at_us) / 1_000_000
    return None


def delivery_state(obligation: Obligation, now_us: int) -> str:
    """Return `met`, `late`, `waived`, `missing` or `due`, as `ServedInterval` has it."""
    if obligation.met_at_us is not None:
        return "met" if obligation.met_at_us <= obligation.due_at_us else "late"
    return "waived" if obligation.waived else "missing" if now_us > obligation.due_at_us else "due"
