"""The rows of the delay ledger as the store has them, and those of an environment.

All answers come from one transaction; each is read from the store once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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
    LedgerRecords,
    Standstill,
    Try,
    Unread,
)
from headrace.plan.backfills import Backfill, plan_of_attempt
from headrace.scheduler import AttemptId
from headrace.slo.facts import StateFacts
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import EnvironmentFacts
from headrace.slo.timeline import EVER
from headrace.slo.unsound import Carrying, lineage_of, spread_taints, unsound_taints
from headrace.store.lease import holder
from headrace.store.queries import attempts, ledger, scheduling
from headrace.store.queries import exceptions as stored
from headrace.store.queries.ingestion import OBSERVATIONS_MAX
from headrace.store.queries.ledger import AttemptRecord, IncidentRecord
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
OLDER_UNKNOWN = "older outages aren't kept"


class StoreRecords:
    """Implements `records.LedgerRecords` over a transaction, as of one point in time."""

    def __init__(self, tx: Transaction, now_us: int, wrongs: Wrongs | None = None) -> None:
        self._tx, self._now, self._wrongs = tx, now_us, wrongs or {}
        self._tries: dict[tuple[str, str], list[Try]] = {}
        self._shown: dict[tuple[str, str], list[LedgerPublication]] = {}
        self._arrivals: dict[tuple[str, str], list[LedgerDelivery]] = {}
        self._pauses: dict[str, list[Standstill]] = {}
        self._unread: dict[str, list[Unread]] = {}
        self._named: dict[tuple[str, str], list[LedgerIncident]] = {}
        self._slots: dict[int, int | None] = {}
        self.owners: dict[int, str] = {}
        """Number → owner of the incidents that were named."""

    @property
    def now_us(self) -> int:
        """The time as of which the rows are read."""
        return self._now

    def tries(self, node: str, partition: str) -> Sequence[Try]:
        """Return the attempts at a partition."""
        if (node, partition) not in self._tries:
            rows = ledger.attempts(self._tx, node, partition)
            tries = [
                try_of(node, row, self._now, self._leader)
                for row in rows
                if row.queued_at <= self._now
            ]
            self._tries[node, partition] = self._with_decisions(node, partition, tries)
        return self._tries[node, partition]

    def _with_decisions(self, node: str, partition: str, tries: list[Try]) -> list[Try]:
        """Return the attempts at a partition, with the decisions not to publish their data."""
        if not any(item.state in ("held", "rejected") for item in tries):
            return tries
        known = {
            attempt: Dropped(*decision)
            for attempt, decision in ledger.dropped(self._tx, node, partition).items()
            if decision[0] <= self._now
        }
        return [
            msgspec.structs.replace(item, dropped=known[item.id]) if item.id in known else item
            for item in tries
        ]

    @cached_property
    def _leader(self) -> int | None:
        leader = holder(self._tx)
        return None if leader is None else leader.epoch

    def publications_of(self, node: str, partition: str) -> Sequence[LedgerPublication]:
        """Return the publications of a partition."""
        if (node, partition) not in self._shown:
            rows = ledger.publications(self._tx, node, partition)
            wrong = self._wrongs.get((node, partition), {})
            self._shown[node, partition] = [
                LedgerPublication(*row, unsound=row[0] in wrong, because=wrong.get(row[0], 0))
                for row in rows
                if row[0] <= self._now
            ]
        return self._shown[node, partition]

    def arrivals(self, source: str, partition: str) -> Sequence[LedgerDelivery]:
        """Return the deliveries of an interval."""
        if (source, partition) not in self._arrivals:
            rows = ledger.arrivals(self._tx, source, partition)
            self._arrivals[source, partition] = [
                LedgerDelivery(*row, placed_us=ledger.placed_at(self._tx, source, row[2]))
                for row in rows
                if row[2] <= self._now
            ]
        return self._arrivals[source, partition]

    def pauses(self, node: str) -> Sequence[Standstill]:
        """Return the pauses of a node."""
        if node not in self._pauses:
            rows = scheduling.pauses_of_node(self._tx, node, 0, self._now)
            standstills = (Standstill(row.since, row.until, row.reason, row.actor) for row in rows)
            self._pauses[node] = [
                standstill._replace(to_us=None)
                if standstill.to_us is not None and standstill.to_us > self._now
                else standstill
                for standstill in standstills
            ]
        return self._pauses[node]

    def incidents(self, node: str, partition: str) -> Sequence[LedgerIncident]:
        """Return the incidents that name a partition as wrong or hold it."""
        if (node, partition) not in self._named:
            rows = self._incident_rows(node, partition)
            explained = ledger.explained(self._tx, node, partition, rows)
            ledger_incidents = [
                LedgerIncident(*row, attempts=frozenset(explained.get(number, ())))
                for number, row in sorted(rows.items())
            ]
            self._named[node, partition] = ledger_incidents
            self.owners |= {incident.id: incident.owner for incident in ledger_incidents}
        return self._named[node, partition]

    def _incident_rows(self, node: str, partition: str) -> dict[int, IncidentRecord]:
        """Return the incidents about a partition and those that name its publications as wrong."""
        rows = {row.id: row for row in ledger.incidents(self._tx, node, partition)}
        for number in self._wrongs.get((node, partition), {}).values():
            row = ledger.incident(self._tx, number) if number not in rows else None
            if row is not None:
                rows[number] = row
        return rows

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
        rows = ledger.around(self._tx, item.epoch, item.n)
        busy = [
            (started if begun else dispatched, _EVER if ended is None else ended)
            for dispatched, started, ended in rows
        ]
        return idle(
            [(since, until) for since, until in busy if since < to_us and until > from_us],
            slots,
            from_us,
            to_us,
        )

    def applied_us(self, version: int) -> int | None:
        """Return when a version was applied."""
        return ledger.applied_at(self._tx, version)

    def unread(self, source: str) -> Sequence[Unread]:
        """Return the spans in which a source couldn't be read."""
        if source not in self._unread:
            observations = ledger.observations(self._tx, source, self._now)
            unreads = _outages(observations)
            # a source that often fails: its oldest observations were deleted
            if unreads and len(observations) >= OBSERVATIONS_MAX:
                unreads[0] = unreads[0]._replace(reason=f"{unreads[0].reason} ({OLDER_UNKNOWN})")
            self._unread[source] = unreads
        return self._unread[source]

    def observed_us(self, source: str) -> int | None:
        """Return when a source was last observed; None if it never was."""
        observations = ledger.observations(self._tx, source, self._now)
        return observations[-1][0] if observations else None

    def typical_us(self, node: str) -> int | None:
        """Return the median duration of an attempt at a node in microseconds; None if unknown."""
        statistics = attempts.durations_of_node(self._tx, node)
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


def _outages(observations: Iterable[tuple[int, str | None]]) -> list[Unread]:
    """Return the spans of failed observations, which are (time, error), oldest first."""
    unreads: list[Unread] = []
    for at_us, error in observations:
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
        error=str(error.get("kind", "")),
        reason=row.reason or "",
        delivery=row.delivery_id,
        version=row.version,
        plan=plan,
        asked_us=row.asked_at,
        run=row.run_id,
        staged=plan_of_attempt(AttemptId(row.epoch, row.n)) > 0,
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
    tx: Transaction, facts: StateFacts, now_us: int, wrongs: Wrongs | None = None
) -> LedgerRecords:
    """Return the rows from the store, or the stores, that the facts read."""
    if isinstance(facts, EnvironmentFacts):
        return EnvironmentRecords(
            StoreRecords(tx, now_us, wrongs), StoreRecords(facts.production, now_us), facts.borrowed
        )
    return StoreRecords(tx, now_us, wrongs)
