"""Causes that are in a partition itself: it runs, is stopped, paused, undelivered, or may begin."""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import NamedTuple

import msgspec

from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR, WHOLE, command_line
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.repairs.broken_partitions import BROKEN, OPEN_MAX, broken_of, with_incident
from headrace.repairs.repairs import of_withdrawn, repairs
from headrace.responses import RepairRow
from headrace.responses.interventions import WaitingRow
from headrace.runtime.recomputation import unchanged
from headrace.scheduler import AwaitedPartition, GraphNode
from headrace.slo.blockage import not_observed_since, promised_by, unobserved
from headrace.slo.broken_facts import BrokenFacts
from headrace.slo.known_partitions import KnownPartitions
from headrace.slo.obligations import EvaluationContext
from headrace.slo.times import ago, time_text
from headrace.standing.wait_core import load_core
from headrace.store import Transaction
from headrace.store.lease import holder
from headrace.store.queries import (
    attempts,
    failures,
    incidents,
    ingestion,
    lake_maintenance,
    scheduling,
)
from headrace.store.queries.attempts import Attempt
from headrace.store.queries.partition_states import KnownPartition

RUNNING_SHOWN_MAX = 3
_STOPPED = {
    "held": ("is held since", "headrace quarantine {at}"),
    "rejected": ("was rejected", "headrace quarantine {at}"),
    "failed": ("failed", "headrace retry {at}"),
    "withdrawn": ("was withdrawn", "headrace deliveries {node}"),
    "waived": ("was passed over", "headrace run {node} --partition {key}"),
}
"""States that require an action: the phrase, and the command."""


class WaitCause(NamedTuple):
    """Why a partition isn't available, if the cause is in the partition itself."""

    row: WaitingRow
    clause: str
    """Text after the partition's name, such as `, which failed: division by zero`."""


class WaitCauses:
    """Finds the cause in one partition at one point in time.

    It loads the nodes upstream of one node or consumer, and the running attempts.
    """

    def __init__(
        self,
        session: ProjectSession,
        tx: Transaction,
        compiled: Compiled,
        context: EvaluationContext,
        now_us: int,
        subject: str,
    ) -> None:
        self._session, self._tx, self._context, self._now = session, tx, context, now_us
        self._zone, self._project, self._compiled = session.timezone, compiled.project, compiled
        self._running = attempts.running(tx)
        names = (subject, *(attempt.node for attempt in self._running))
        loaded = load_core(session, tx, compiled, names, now_us)
        self.core, self.graph, self._arrived = loaded
        self.nodes: dict[str, GraphNode] = {node.name: node for node in self.graph.nodes}
        self._partitions = KnownPartitions(tx)
        self._partitions.expected = list(self.nodes)
        self._paused = {pause.node: pause for pause in scheduling.pauses_in_force(tx, now_us)}
        self._led = holder(tx) is not None
        self._closed = lake_maintenance.problem(tx, lake_maintenance.LAKE)

    def cause(self, node: str, key: str) -> WaitCause | None:
        """Return the cause in a partition itself; None if it is available or waits for others."""
        partition = self._partitions.get(node, key)
        if partition is not None and partition.state == "published" and not partition.stale:
            return None
        attempt = self._running_attempt(node, key)
        if attempt is not None:
            return self._being_made(attempt, key)
        if partition is not None:
            dropped = self._dropped(partition)
            if dropped is not None:
                return dropped
            if partition.state in _STOPPED:
                return None if self._waits_above(partition) else self._stopped(partition)
        return self._before_it_runs(node, key, partition)

    def _before_it_runs(
        self, node: str, key: str, partition: KnownPartition | None
    ) -> WaitCause | None:
        """Return why an attempt hasn't begun yet; None if the partition waits for others."""
        state = "missing" if partition is None else partition.state
        if node in self._paused:
            return self._held_back(node, key, state)
        if self.nodes[node].is_source and state == "missing" and (node, key) not in self._arrived:
            return self.undelivered(node, key)
        if partition is not None and (partition.not_before or 0) > self._now:
            return self._backs_off(partition)
        if self._ends_at(node, key) > self._now:
            return self._not_ended(node, key, state)
        waiting = self.core.waiting_for(node, key)
        for awaited in waiting:
            if (awaited.node, awaited.key) == (node, key):
                return self._gated(awaited, state)
        return None if waiting else self._ready(node, key, partition)

    def _running_attempt(self, node: str, key: str) -> Attempt | None:
        running = (it for it in self._running if it.node == node and key in it.partitions)
        return next(running, None)

    def _being_made(self, attempt: Attempt, key: str) -> WaitCause:
        began = attempt.started_at or attempt.queued_at
        took = attempts.durations_of_node(self._tx, attempt.node)
        since = time_text(began, self._now, self._zone)
        verb = (
            "ingested"
            if attempt.kind == "take_in"
            else "exported"
            if attempt.kind == "export"
            else "computed"
        )
        text = f"is being {verb} since {since} (attempt {attempt.id}, {ago(self._now - began)})"
        row = self.row(
            "running",
            attempt.node,
            key,
            text,
            state="running",
            since=began,
        )
        row = msgspec.structs.replace(
            row,
            attempt=attempt.id,
            seconds=max(0, self._now - began) / 1_000_000,
            next=f"headrace logs {attempt.id}",
            p50_seconds=took.p50 if took else None,
            p95_seconds=took.p95 if took else None,
            until=(
                None if took is None else self._session.instant(began + int(took.p95 * 1_000_000))
            ),
        )
        return WaitCause(row, f", which {text}")

    def _dropped(self, partition: KnownPartition) -> WaitCause | None:
        """Return the cause for dropped data: another delivery, or a run, ends the wait."""
        stood = self._context.facts.partition_state(partition.node, partition.partition)
        if stood is None or stood.dropped_us is None:
            return None
        since = stood.dropped_us
        at = time_text(since, self._now, self._zone)
        text = f"has nothing since {at}: {stood.reason or 'dropped'}"
        row = self.row(
            "stopped",
            partition.node,
            partition.partition,
            text,
            state="dropped",
            since=since,
        )
        command = command_line("deliveries", partition.node)
        if not self.nodes[partition.node].is_source:
            command = command_line(
                "run",
                partition.node,
                *(() if partition.partition == WHOLE else ("--partition", partition.partition)),
                *("--again", "--reason", "TEXT"),
            )
        row = msgspec.structs.replace(row, next=command, repair=self._repair(partition))
        return WaitCause(row, f", which {text}")

    def _waits_above(self, partition: KnownPartition) -> bool:
        """Whether a withdrawn partition can't be recomputed yet, because its inputs are missing.

        They may have been withdrawn as well.
        """
        if partition.state != "withdrawn" or self.nodes[partition.node].is_source:
            return False
        waiting = self.core.waiting_for(partition.node, partition.partition)
        return any((it.node, it.key) != (partition.node, partition.partition) for it in waiting)

    def _stopped(self, partition: KnownPartition) -> WaitCause:
        verb, command = _STOPPED[partition.state]
        why = f": {partition.reason}" if partition.reason else ""
        text = f"{verb} {time_text(partition.since, self._now, self._zone)}{why}"
        command = command.format(
            at=shlex.quote(partition_target(partition.node, partition.partition)),
            node=partition.node,
            key=shlex.quote(partition.partition),
        )
        row = self.row(
            "stopped",
            partition.node,
            partition.partition,
            text,
            state=partition.state,
            since=partition.since,
        )
        repair = self._repair(partition)
        if repair is not None and repair.incident is not None:
            command = f"headrace incident {repair.incident}"
        elif repair is not None and partition.state == "withdrawn":
            command = repair.commands[0]
        return WaitCause(
            msgspec.structs.replace(row, next=command, repair=repair), f", which {text}"
        )

    def _repair(self, partition: KnownPartition) -> RepairRow | None:
        if partition.state == "withdrawn":
            incident = incidents.open_at(
                self._tx,
                partition.node,
                "" if partition.partition == WHOLE else partition.partition,
            )
            row = of_withdrawn(
                self._project,
                partition.node,
                partition.partition,
                same=self._comes_out_the_same(partition),
            )
            return msgspec.structs.replace(
                row, incident=None if incident is None else incident.label
            )
        if partition.state not in BROKEN:
            return None
        because = f"repair of {partition_target(partition.node, partition.partition)}"
        place = partition.node, partition.partition
        known = self._broken if place in self._broken.places else BrokenFacts(self._tx, [place])
        broken = with_incident(known, broken_of(known, *place, partition.state))
        return repairs(self._project, [broken], because)[0]

    @cached_property
    def _broken(self) -> BrokenFacts:
        broken = failures.failed_held_or_rejected(self._tx, OPEN_MAX)
        return BrokenFacts(self._tx, ((node, key) for node, key, _ in broken if node in self.nodes))

    def _comes_out_the_same(self, partition: KnownPartition) -> bool:
        """Whether neither code nor inputs have changed since the withdrawn rows were computed."""
        return partition.node in self._project.assets and bool(
            unchanged(self._tx, self._compiled, partition.node, [partition.partition])
        )

    def _held_back(self, node: str, key: str, state: str) -> WaitCause:
        pause = self._paused[node]
        until = (
            f", until {time_text(pause.until, self._now, self._zone)}"
            if pause.until is not None
            else ""
        )
        text = f"is paused: {pause.reason} (by {pause.actor}{until})"
        row = self.row(
            "paused",
            node,
            key,
            text,
            state=state,
            since=pause.since,
            until=pause.until,
        )
        return WaitCause(
            msgspec.structs.replace(row, next=f"headrace resume {node}"), f", which {text}"
        )

    def undelivered(self, node: str, key: str) -> WaitCause:
        """Return the cause for a source without a delivery for `key`."""
        if not self._context.facts.observations(node):
            text = f"isn't known yet: {node} hasn't been observed"
            row = self.row("delivery", node, key, text, state="missing")
            row = msgspec.structs.replace(row, next="headrace tick")
            return WaitCause(row, ", which hasn't been observed yet")
        failing = ingestion.failing_source(self._tx, node)
        if failing is not None:
            return self._unreachable(failing, key)
        declared = self._context.declared.nodes.get(node)
        by = None if declared is None else promised_by(declared, key)
        observed_us = (
            None
            if declared is None
            else not_observed_since(self._context, declared, key, self._now)
        )
        if observed_us is not None:
            return self._not_observed(node, key, by, observed_us)
        if why := self.nodes[node].second_hour_reason(key):
            return self._unnameable(node, key, by, why)
        if by is None:
            clause = ", of which nothing was delivered yet"
        else:
            late = f", which is {ago(self._now - by)} ago" if by <= self._now else ""
            clause = f", expected by {time_text(by, self._now, self._zone)}{late}"
        text = f"hasn't been delivered{clause.replace(', of which nothing was delivered yet', '')}"
        row = self.row("delivery", node, key, text, state="missing", until=by)
        return WaitCause(msgspec.structs.replace(row, next=f"headrace deliveries {node}"), clause)

    def _unnameable(self, node: str, key: str, by: int | None, why: str) -> WaitCause:
        """Return the cause for an hour that comes twice, named or timed without an offset."""
        text = f"hasn't been delivered: {why}"
        row = self.row("delivery", node, key, text, state="missing", until=by)
        command = (
            f"headrace receive {node} FILE --for {shlex.quote(key)} --reason TEXT"
            if self._project.sources[node].partition.column is None
            else f"headrace deliveries {node}"
        )
        clause = f", which hasn't arrived: {why}"
        return WaitCause(msgspec.structs.replace(row, next=command), clause)

    def _not_observed(self, node: str, key: str, by: int | None, observed_us: int) -> WaitCause:
        """Return the cause for a source that wasn't observed since its deadline.

        It is unknown then whether a delivery arrived.
        """
        promised = "" if by is None else f", expected by {time_text(by, self._now, self._zone)}"
        since = f"since {time_text(observed_us, self._now, self._zone)}{promised}"
        text = f"isn't known yet: {node} hasn't been observed {since}"
        row = self.row("delivery", node, key, text, state="missing", until=by)
        return WaitCause(
            msgspec.structs.replace(row, next="headrace tick"),
            f", which hasn't been observed {since}",
        )

    def _unreachable(self, failing: ingestion.Failing, key: str) -> WaitCause:
        """Return the cause for a source that can't be observed.

        It is unknown then whether a delivery arrived.
        """
        node = failing.source
        text = unobserved(failing.since, failing.error, self._now, self._zone)
        row = self.row(
            "delivery",
            node,
            key,
            text,
            state="missing",
            since=failing.since,
        )
        incident = incidents.open_at(self._tx, node, key)
        command = "headrace tick" if incident is None else f"headrace incident {incident.label}"
        return WaitCause(msgspec.structs.replace(row, next=command), f", which {text}")

    def _backs_off(self, partition: KnownPartition) -> WaitCause:
        assert partition.not_before is not None
        again = time_text(partition.not_before, self._now, self._zone)
        failed = len(attempts.failed_in_a_row(self._tx, partition.node, partition.partition))
        after = (
            f", after {failed} failed attempt{'s' if failed != 1 else ''}" if failed else ""
        )  # an environment's failure is no attempt
        text = f"is tried again at {again}{after}: {partition.reason or 'lost'}"
        row = self.row(
            "backoff",
            partition.node,
            partition.partition,
            text,
            state=partition.state,
            until=partition.not_before,
        )
        return WaitCause(
            msgspec.structs.replace(
                row,
                next=(
                    "headrace retry"
                    f" {shlex.quote(partition_target(partition.node, partition.partition))}"
                ),
            ),
            f", which {text}",
        )

    def _not_ended(self, node: str, key: str, state: str) -> WaitCause:
        ends = self._ends_at(node, key)
        text = f"covers an interval that ends at {time_text(ends, self._now, self._zone)}"
        return WaitCause(
            self.row("time", node, key, text, state=state, until=ends),
            f", which {text}",
        )

    def _gated(self, gate: AwaitedPartition, state: str) -> WaitCause:
        """Return the cause for a partition that waits for its own trigger."""
        until = (
            ""
            if gate.until is None
            else f", which fires at {time_text(gate.until, self._now, self._zone)}"
        )
        row = self.row(
            "trigger",
            gate.node,
            gate.key,
            f"{gate.reason}{until}",
            state=state,
            until=gate.until,
        )
        return WaitCause(
            msgspec.structs.replace(row, next=f"headrace run {gate.node}"),
            f", which {gate.reason}{until}",
        )

    def _ready(self, node: str, key: str, partition: KnownPartition | None) -> WaitCause:
        """Return the cause for a partition that could run now."""
        state = "missing" if partition is None else partition.state
        kind, text, command = self._start_obstacle(node, key)
        if partition is not None and partition.state == "waiting" and partition.reason:
            text = f"{text}; its last attempt ended with: {partition.reason}"
        row = self.row(kind, node, key, text, state=state)
        return WaitCause(msgspec.structs.replace(row, next=command), f", which {text}")

    def _start_obstacle(self, node: str, key: str) -> tuple[str, str, str]:
        """Return what prevents a ready partition from starting: kind, clause and command."""
        full = self._full_pool(self.nodes[node])
        workers = self._session.settings.workers
        if self.core.is_proposed(node, key):
            return (
                "decision",
                "is stale, and is recomputed only on request",
                f"headrace run {node} --partition {shlex.quote(key)}",
            )
        if self._closed is not None:
            return (
                "leader",
                f"could begin, and nothing can run: {self._closed.why}",
                "headrace incidents",
            )
        if not self._led:
            return (
                "leader",
                "could begin now, and nothing runs it: the runtime is stopped",
                "headrace tick",
            )
        if full is not None:
            return "pool", full, "headrace runs"
        if len(self._running) >= workers:
            return (
                "slot",
                f"waits for a worker: {self._busy(self._running, workers)}",
                "headrace runs",
            )
        return (
            "decision",
            "could begin now, and no run that is under way wants it",
            f"headrace run {node}",
        )

    def _full_pool(self, node: GraphNode) -> str | None:
        """Return the full pool that a node waits for, and the attempts that hold it."""
        for take in node.takes:
            held = [
                (attempt, slots)
                for attempt in self._running
                if (slots := self._taken(attempt.node, take.pool))
            ]
            used, size = sum(slots for _, slots in held), self.graph.pools.get(take.pool)
            if size is not None and held and used + take.slots > size:
                return (
                    f"waits for pool {take.pool}:"
                    f" {self._busy([attempt for attempt, _ in held], size, used)}"
                )
        return None

    def _taken(self, node: str, pool: str) -> int:
        graph_node = self.nodes.get(node)
        return (
            sum(take.slots for take in graph_node.takes if take.pool == pool)
            if graph_node is not None
            else 0
        )

    def _busy(self, held: list[Attempt], size: int, used: int | None = None) -> str:
        names = [f"run {attempt.run_id} ({attempt.node})" for attempt in held[:RUNNING_SHOWN_MAX]]
        more = f" and {len(held) - RUNNING_SHOWN_MAX} more" if len(held) > RUNNING_SHOWN_MAX else ""
        return f"{len(held) if used is None else used} of {size}, held by {', '.join(names)}{more}"

    def _ends_at(self, node: str, key: str) -> int:
        spec = self.nodes[node].partition
        return (
            0
            if spec.grain is None
            else bounds_us(key.partition(SEPARATOR)[0], spec.grain, self.nodes[node].timezone)[1]
        )

    def row(
        self,
        kind: str,
        node: str,
        key: str,
        text: str,
        *,
        state: str,
        since: int | None = None,
        until: int | None = None,
    ) -> WaitingRow:
        return WaitingRow(
            kind=kind,
            node=node,
            partition=key,
            state=str(state),
            text=text,
            waiter=partition_target(node, key),
            since=None if since is None else self._session.instant(since),
            until=None if until is None else self._session.instant(until),
        )


def partition_target(node: str, key: str) -> str:
    """Return `clean@2013-02-11`; only the name for an unpartitioned node."""
    return node if key == "*" else f"{node}@{key}"


def partition_words(node: str, key: str) -> str:
    """Return `flights 2013-02-11`; only the name for an unpartitioned node."""
    return node if key == "*" else f"{node} {key}"
