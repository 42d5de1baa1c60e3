"""The rows of the delay ledger as the store has them, and those of an environment.

All answers come from one transaction; each is read from the store once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from headrace.ledger.act_approvals import approvals_of
from headrace.ledger.records import (
    OPEN,
    ActApproval,
    CurrentLeader,
    Dropped,
    LedgerBackfill,
    LedgerDelivery,
    LedgerIncident,
    LedgerPublication,
    Standstill,
    Try,
    Unread,
)
from headrace.model.partitions import WHOLE
from headrace.plan.backfills import Backfill
from headrace.slo.facts import StateFacts
from headrace.slo.obligations import EvaluationContext
from headrace.slo.read_together import ReadTogether
from headrace.slo.stored_facts import EnvironmentFacts
from headrace.slo.timeline import EVER
from headrace.slo.unsound import Carrying, lineage_of, spread_taints, unsound_taints
from headrace.store.lease import holder
from headrace.store.queries import attempts, ledger, scheduling
from headrace.store.queries import exceptions as stored
from headrace.store.queries.ingestion import OBSERVATIONS_MAX
from headrace.store.queries.ledger import AROUND_MAX, AttemptRecord, ObservationRow, Place
from headrace.store.queries.partition_states import keys_around, span_read
from headrace.store.transaction import Transaction

if TYPE_CHECKING:
    from headrace.plan import Compiled


# Publications that incidents name as wrong, and everything made from them: they didn't serve a
# consumer soundly.

Wrongs = dict[tuple[str, str], dict[int, int]]
"""(node, partition) → publication time of wrong data → the incident that names it."""


def wrong_publications(
    tx: Transaction, compiled: Compiled, context: EvaluationContext, from_us: int
) -> Wrongs:
    """Return the wrong publications, as known now, of incidents not resolved before a time."""
    roots = unsound_taints(stored.named_wrong(tx, from_us))
    results: Wrongs = {}
    for taints in (
        spread_taints(tx, context, roots, Carrying(lineage_of(compiled))).values() if roots else ()
    ):
        for taint in taints:
            if taint.withdrawn_us == EVER and taint.incident is not None:
                results.setdefault((taint.node, taint.partition), {}).setdefault(
                    taint.from_us, taint.incident
                )
    return results


_EVER = 1 << 62
HELD = {"held", "rejected"}
"""States of attempts whose data somebody may drop."""
FIRST_MAX = 64
"""At most this many partitions are read first on either side of the one that is asked for."""
NODES_MAX = 16
"""At most this many nodes that will be asked for are read first, besides the one asked for."""
OLDER_UNKNOWN = "older outages aren't kept"


Row = TypeVar("Row")


class _Groups:
    """The partitions in groups, which are read together: each is twice as large as the one before
    of its node, so that a glance reads little, and a long history needs few statements. The first
    groups of several nodes are one."""

    def __init__(self, tx: Transaction) -> None:
        self._tx, self._more = tx, NODES_MAX
        self._groups: dict[Place, Sequence[Place]] = {}
        self._read: dict[str, list[tuple[str, str]]] = {}
        """The spans of each node's keys of which all known ones were read."""
        self.expected: Sequence[str] = ()
        """Keys that will be asked for, also of nodes that don't have them yet."""
        self.nodes: Sequence[str] = ()
        """The nodes whose partitions will be asked for."""

    def of(self, node: str, partition: str) -> Sequence[Place]:
        """Return the group of a partition, which it is in."""
        if (node, partition) not in self._groups:
            keys: dict[str, Sequence[str]] = {node: ()}
            if not any(first <= partition <= last for first, last in self._read.get(node, ())):
                keys = self._around(node, partition)
            more = (partition, *self.expected)
            places = {(name, key) for name, known in keys.items() for key in (*known, *more)}
            group = sorted(places - self._groups.keys())
            self._groups |= dict.fromkeys(group, group)
        return self._groups[node, partition]

    def _around(self, node: str, partition: str) -> dict[str, Sequence[str]]:
        """Read the known keys around a partition, and note which span that covers.

        The first time, they are also read of other nodes that will be asked for.
        """
        names, limit = {node: None}, FIRST_MAX << len(self._read.get(node, ()))
        if node not in self._read and partition != WHOLE:
            others = (name for name in self.nodes if name not in self._read)
            names |= dict.fromkeys(islice(others, self._more))
            self._more = min(2 * self._more, attempts.NODES_MAX - 1)
        keys = keys_around(self._tx, list(names), partition, limit)
        for name, known in keys.items():
            self._read.setdefault(name, []).append(span_read(known, partition, limit))
        return dict(keys)


class _ByPartition(Generic[Row]):
    """Rows of partitions: `read` reads those of a group."""

    def __init__(
        self, groups: _Groups, read: Callable[[Sequence[Place]], Mapping[Place, Row]]
    ) -> None:
        self._groups, self._read = groups, read
        self._rows: dict[Place, Row] = {}

    def of(self, node: str, partition: str) -> Row:
        """Return the rows of a partition."""
        if (node, partition) not in self._rows:
            self._rows |= self._read(self._groups.of(node, partition))
        return self._rows[node, partition]


class StoreRecords:
    """Implements `records.LedgerRecords` over a transaction, as of one point in time."""

    def __init__(self, tx: Transaction, now_us: int, wrongs: Wrongs | None = None) -> None:
        self._tx, self._now, self._groups = tx, now_us, _Groups(tx)
        self._tries = _ByPartition(self._groups, self._read_tries)
        self._arrivals = _ByPartition(self._groups, self._read_arrivals)
        self.know(wrongs or {})
        self._pauses = ReadTogether(self._read_pauses)
        self._observations = ReadTogether(lambda sources: ledger.observations(tx, sources, now_us))
        self._moved: dict[str, list[_Move]] = {}
        self._unread: dict[str, list[Unread]] = {}
        self._durations = ReadTogether(partial(attempts.durations_of_nodes, tx))
        self._slots: dict[int, int | None] = {}
        self._around: dict[tuple[int, int], list[tuple[int, int, int, int | None]]] = {}
        self.owners: dict[int, str] = {}
        """Number → owner of the incidents that were named."""

    def know(self, wrongs: Wrongs) -> None:
        """Take notice of the publications that are known to be wrong."""
        self._wrongs = wrongs
        self._shown = _ByPartition(self._groups, self._read_publications)
        self._named = _ByPartition(self._groups, self._read_incidents)

    def expect(self, keys: Sequence[str], nodes: Sequence[str]) -> None:
        """Take notice of the keys, and the nodes, that will be asked for."""
        self._groups.expected, self._groups.nodes = keys, nodes
        for each in (self._pauses, self._observations, self._durations):
            each.expected = nodes

    @property
    def now_us(self) -> int:
        """The time as of which the rows are read."""
        return self._now

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """Return the attempts at a partition."""
        return self._tries.of(node, partition)

    def _read_tries(self, places: Sequence[Place]) -> dict[Place, list[Try]]:
        """Return the attempts at partitions, with the decisions not to publish their data."""
        rows = ledger.attempts(self._tx, places)
        held = [place for place, each in rows.items() if {row.state for row in each} & HELD]
        decisions = {
            attempt: Dropped(*decision)
            for attempt, decision in (ledger.dropped(self._tx, held) if held else {}).items()
            if decision[0] <= self._now
        }
        return {
            place: [
                msgspec.structs.replace(
                    try_of(place[0], row, self._now, self._leader),
                    dropped=decisions.get((place, row.epoch, row.n)),
                )
                for row in each
                if row.queued_at <= self._now
            ]
            for place, each in rows.items()
        }

    @cached_property
    def _leader(self) -> int | None:
        leader = holder(self._tx)
        return None if leader is None else leader.epoch

    def publications_of(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """Return the publications of a partition."""
        return self._shown.of(node, partition)

    def _read_publications(self, places: Sequence[Place]) -> dict[Place, list[LedgerPublication]]:
        results = {}
        for place, rows in ledger.publications(self._tx, places).items():
            wrong = self._wrongs.get(place, {})
            results[place] = [
                LedgerPublication(*row, unsound=row[0] in wrong, because=wrong.get(row[0], 0))
                for row in rows
                if row[0] <= self._now
            ]
        return results

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """Return the deliveries of an interval."""
        return self._arrivals.of(source, partition)

    def _read_arrivals(self, places: Sequence[Place]) -> dict[Place, list[LedgerDelivery]]:
        return {
            place: [
                LedgerDelivery(*row, placed_us=self._placed_us(place[0], row[2]))
                for row in rows
                if row[2] <= self._now
            ]
            for place, rows in ledger.arrivals(self._tx, places).items()
        }

    def _placed_us(self, source: str, at_us: int) -> int | None:
        """Return since when a source has been observed at the place where it was at a time.

        It is the first `apply` after the last observation at another place, else the observation
        after it. None if all observations were at the same place.
        """
        moves = [move for move in self._moves(source) if move.at_us <= at_us]
        elsewhere_us = moves[-1].elsewhere_us if moves else None
        if elsewhere_us is None:
            return None
        applied = (at for at in self._applied if elsewhere_us < at <= at_us)
        return next(applied, moves[-1].next_us)

    def _moves(self, source: str) -> list[_Move]:
        if source not in self._moved:
            self._moved[source] = list(_moves(self._observed(source)))
        return self._moved[source]

    @cached_property
    def _applied(self) -> list[int]:
        return ledger.applied_times(self._tx)

    def _observed(self, source: str) -> list[ObservationRow]:
        return self._observations.of(source)

    def pauses(self, node: str) -> Sequence[Standstill]:
        """Return the pauses of a node."""
        return self._pauses.of(node)

    def _read_pauses(self, nodes: Sequence[str]) -> dict[str, list[Standstill]]:
        pauses = scheduling.pauses_between(self._tx, nodes, 0, self._now)
        return {
            node: [
                Standstill(
                    row.since,
                    None if row.until is not None and row.until > self._now else row.until,
                    row.reason,
                    row.actor,
                )
                for row in rows
            ]
            for node, rows in pauses.items()
        }

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """Return the incidents that name a partition as wrong or hold it."""
        incidents = self._named.of(node, partition)
        self.owners |= {incident.id: incident.owner for incident in incidents}
        return incidents

    def _read_incidents(self, places: Sequence[Place]) -> dict[Place, list[LedgerIncident]]:
        """Return the incidents about partitions and those that name publications as wrong."""
        at = ledger.incidents_at(self._tx, places)
        for place, named in at.items():
            for number in self._wrongs.get(place, {}).values():
                named.setdefault(number, False)
        numbers = {number for named in at.values() for number in named}
        rows = ledger.incidents(self._tx, numbers) if numbers else {}
        evidence: dict[tuple[int, Place], set[tuple[int, int]]] = {}
        for number, place, attempt in ledger.explained(self._tx, places, rows) if rows else ():
            evidence.setdefault((number, place), set()).add(attempt)
        return {
            place: [
                LedgerIncident(
                    *rows[number],
                    of_node=of_node,
                    attempts=frozenset(
                        evidence.get((number, place), set())
                        | evidence.get((number, (place[0], "")), set())
                    ),
                )
                for number, of_node in sorted(named.items())
                if number in rows
            ]
            for place, named in at.items()
        }

    @cached_property
    def _awaiting(self) -> list[tuple[LedgerBackfill, Backfill]]:
        return [
            (
                LedgerBackfill(number, created, None, needs),
                msgspec.msgpack.decode(content, type=Backfill),
            )
            for number, created, needs, content in ledger.awaiting(self._tx)
        ]

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        """Return the backfills that would recompute a partition and wait for approval."""
        backfills = []
        for plan, content in self._awaiting:
            spans = [
                span for chosen in content.chosen if chosen.node == node for span in chosen.spans
            ]
            if any(span.first <= partition <= span.last for span in spans):
                backfills.append(plan)
        return backfills

    @cached_property
    def _acts(self) -> list[ledger.ActRecord]:
        return ledger.act_approvals(self._tx)

    def approvals(self, node: str, partition: str) -> Sequence[ActApproval]:
        """Return when acts other than backfills that a partition waits for weren't approved."""
        return list(approvals_of(self._acts, node, partition, self._now))

    def newest_before(
        self, node: str, at_us: int, epoch: int | None, n: int | None
    ) -> tuple[str, int] | None:
        """Return the partition of a node that was published last before a time, and when.

        `epoch` and `n` limit it to publications before that attempt. None if there is none.
        """
        return ledger.newest_published(self._tx, node, at_us, epoch, n)

    def free(
        self, item: Try, from_us: int, to_us: int, *, begun: bool
    ) -> Sequence[tuple[int, int]]:
        """Return the known spans between two times in which a slot was free.

        A slot is free if no attempt is dispatched to it or, with `begun`, if no attempt runs in it.
        """
        if to_us <= from_us or item.plan is not None:
            return []
        if item.epoch not in self._slots:
            self._slots[item.epoch] = ledger.slots(self._tx, item.epoch)
        slots = self._slots[item.epoch]
        if slots is None:
            return []
        busy = [
            (started if begun else dispatched, _EVER if ended is None else ended)
            for dispatched, started, ended in self._earlier(item)
        ]
        return idle(
            [(since, until) for since, until in busy if since < to_us and until > from_us],
            slots,
            from_us,
            to_us,
        )

    def _earlier(self, item: Try) -> Iterator[tuple[int, int, int | None]]:
        """Yield times of the AROUND_MAX attempts before one, of the same leader (`around`)."""
        part = item.n // AROUND_MAX
        for number in (part - 1, part):
            key = item.epoch, number
            if key not in self._around:
                self._around[key] = ledger.around(self._tx, item.epoch, number * AROUND_MAX)
            for n, dispatched, began, ended in self._around[key]:
                if item.n - AROUND_MAX <= n < item.n:
                    yield dispatched, began, ended

    def applied_us(self, version: int) -> int | None:
        """Return when a version was applied."""
        return ledger.applied_at(self._tx, version)

    def unread(self, source: str) -> Sequence[Unread]:
        """Return the spans in which a source couldn't be read."""
        if source not in self._unread:
            observations = self._observed(source)
            unreads = _outages(observations)
            # a source that often fails: its oldest observations were deleted
            if unreads and len(observations) >= OBSERVATIONS_MAX:
                unreads[0] = unreads[0]._replace(reason=f"{unreads[0].reason} ({OLDER_UNKNOWN})")
            self._unread[source] = unreads
        return self._unread[source]

    def observed_us(self, source: str) -> int | None:
        """Return when a source was last observed; None if it never was."""
        observations = self._observed(source)
        return observations[-1].at if observations else None

    def typical_us(self, node: str) -> int | None:
        """Return the median duration of an attempt at a node in microseconds; None if unknown."""
        statistics = self._durations.of(node)
        return None if statistics is None else int(statistics.p50 * 1_000_000)

    def led(self) -> CurrentLeader | None:
        """Return the current leader with its running attempts; None if none leads."""
        return self._led

    @cached_property
    def _led(self) -> CurrentLeader | None:
        if self._leader is None or (known := ledger.leads(self._tx, self._leader)) is None:
            return None
        return CurrentLeader(
            known[1], known[0], ledger.under_way(self._tx, self._leader, self._now)
        )


class _Move(NamedTuple):
    """The first of some observations at one place.

    `elsewhere_us` is the last observation at another known place before, or None, and `next_us`
    the one that follows it.
    """

    at_us: int
    elsewhere_us: int | None
    next_us: int


def _moves(observations: Sequence[ObservationRow]) -> Iterator[_Move]:
    """Yield where observations, oldest first, change their place."""
    last: dict[str, int] = {}
    current: str | None = None
    for number, row in enumerate(observations):
        if row.place != current:
            current = row.place
            others = [at for place, at in last.items() if place not in (current, "")]
            if current and others:
                before = max(others)
                yield _Move(row.at, observations[before].at, observations[before + 1].at)
            else:
                yield _Move(row.at, None, row.at)
        last[row.place] = number


def _outages(observations: Iterable[ObservationRow]) -> list[Unread]:
    """Return the spans of failed observations, which are oldest first."""
    unreads: list[Unread] = []
    for at_us, error, _ in observations:
        is_open = bool(unreads) and unreads[-1].to_us is None
        if error is None and is_open:
            unreads[-1] = unreads[-1]._replace(to_us=at_us)
        elif error is not None and not is_open:
            unreads.append(Unread(at_us, None, error))
    return unreads


def idle(
    busy: Sequence[tuple[int, int]], slots: int, from_us: int, to_us: int
) -> list[tuple[int, int]]:
    """Return the spans from `from_us` to `to_us` with fewer than `slots` busy spans at once."""
    edges = sorted({from_us, to_us, *(at for span in busy for at in span if from_us < at < to_us)})
    results: list[tuple[int, int]] = []
    for start, end in pairwise(edges):
        if sum(1 for began, ended in busy if began <= start and ended >= end) < slots:
            if results and results[-1][1] == start:
                results[-1] = (results[-1][0], end)
            else:
                results.append((start, end))
    return results


def try_of(node: str, row: AttemptRecord, now_us: int, leader: int | None) -> Try:
    """Return an attempt as known at `now_us`, while `leader` (its epoch) leads."""
    measures: dict[str, Any] = msgspec.json.decode(row.measures) if row.measures else {}
    error: dict[str, Any] = msgspec.json.decode(row.error) if row.error else {}
    state, open_ = row.state, row.finished_at is None or row.finished_at > now_us
    if row.state in OPEN and row.epoch != leader:
        state, open_ = "lost", True
    elif open_:
        state = "running"
    plan = None
    if row.plan_id is not None:
        plan = LedgerBackfill(
            row.plan_id, row.planned_at or row.queued_at, row.begun_at, row.needs or ""
        )
    return Try(
        epoch=row.epoch,
        n=row.n,
        node=node,
        kind=row.kind,
        state=state,
        queued_us=row.queued_at,
        dispatched_us=max(row.queued_at, row.dispatched_at),
        finished_us=None if open_ else row.finished_at,
        run_us=_us(measures, "seconds"),
        audit_us=_us(measures, "audit_seconds"),
        publish_us=_us(measures, "publish_seconds"),
        environment_us=_us(measures, "environment_seconds"),
        error=str(error.get("kind", "")),
        reason=row.reason or "",
        delivery=row.delivery_id,
        version=row.version,
        plan=plan,
        asked_us=row.asked_at,
        run=row.run_id,
    )


def _us(measures: dict[str, Any], name: str) -> int:
    return max(0, round(float(measures.get(name, 0.0)) * 1_000_000))


# Rows of an environment: nodes that it borrows are read from production's store, all other nodes
# from its own.


class EnvironmentRecords:
    """Implements `records.LedgerRecords` over the stores of an environment and of production."""

    def __init__(
        self, records: StoreRecords, production: StoreRecords, borrowed: frozenset[str]
    ) -> None:
        self._own, self._production, self._borrowed = records, production, borrowed

    def know(self, wrongs: Wrongs) -> None:
        """Take notice of the publications of the environment that are known to be wrong."""
        self._own.know(wrongs)

    def expect(self, keys: Sequence[str], nodes: Sequence[str]) -> None:
        """Take notice of the keys, and the nodes, that will be asked for."""
        self._own.expect(keys, nodes)
        self._production.expect(keys, nodes)

    def _of(self, node: str) -> StoreRecords:
        return self._production if node in self._borrowed else self._own

    @property
    def now_us(self) -> int:
        """The time as of which the rows are read."""
        return self._own.now_us

    @property
    def owners(self) -> dict[int, str]:
        """Number → owner of the incidents that were named."""
        return {**self._production.owners, **self._own.owners}

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """Return the attempts at a partition."""
        return self._of(node).tries(node, partition)

    def publications_of(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """Return the publications of a partition."""
        return self._of(node).publications_of(node, partition)

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """Return the deliveries of an interval."""
        return self._of(source).arrivals(source, partition)

    def pauses(self, node: str) -> Sequence[Standstill]:
        """Return the pauses of a node."""
        return self._of(node).pauses(node)

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """Return the incidents that name a partition as wrong or hold it."""
        return self._of(node).incidents(node, partition)

    def awaiting(self, node: str, partition: str) -> Sequence[LedgerBackfill]:
        """Return the backfills that would recompute a partition and wait for approval."""
        return self._of(node).awaiting(node, partition)

    def approvals(self, node: str, partition: str) -> Sequence[ActApproval]:
        """Return when acts other than backfills that a partition waits for weren't approved."""
        return self._of(node).approvals(node, partition)

    def newest_before(
        self, node: str, at_us: int, epoch: int | None, n: int | None
    ) -> tuple[str, int] | None:
        """Return the partition of a node that was published last before a time, and when.

        `epoch` and `n` count only for nodes of this environment.
        """
        bound = (None, None) if node in self._borrowed else (epoch, n)
        return self._of(node).newest_before(node, at_us, *bound)

    def free(
        self, item: Try, from_us: int, to_us: int, *, begun: bool
    ) -> Sequence[tuple[int, int]]:
        """Return the known spans between two times in which a slot was free.

        A slot is free if no attempt is dispatched to it or, with `begun`, if no attempt runs in it.
        """
        return self._of(item.node).free(item, from_us, to_us, begun=begun)

    def applied_us(self, version: int) -> int | None:
        """Return when a version was applied in this environment."""
        return self._own.applied_us(version)

    def unread(self, source: str) -> Sequence[Unread]:
        """Return the spans in which a source couldn't be read."""
        return self._of(source).unread(source)

    def observed_us(self, source: str) -> int | None:
        """Return when a source was last observed; None if it never was."""
        return self._of(source).observed_us(source)

    def typical_us(self, node: str) -> int | None:
        """Return the median duration of an attempt at a node in microseconds; None if unknown."""
        return self._of(node).typical_us(node)

    def led(self) -> CurrentLeader | None:
        """Return the leader of this environment; None if none leads."""
        return self._own.led()


def records_of(
    tx: Transaction, facts: StateFacts, now_us: int
) -> StoreRecords | EnvironmentRecords:
    """Return the rows from the store, or the stores, that the facts read."""
    if isinstance(facts, EnvironmentFacts):
        return EnvironmentRecords(
            StoreRecords(tx, now_us), StoreRecords(facts.production, now_us), facts.borrowed
        )
    return StoreRecords(tx, now_us)
