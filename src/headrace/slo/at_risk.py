"""What puts a served consumer at risk: its next deadline, an exception, an anomaly. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from headrace.model.errors import LAKE_CLOSED
from headrace.model.intervals import bounds_us
from headrace.slo.blockage import (
    HOLDS,
    Blockage,
    Blocked,
    BlockReason,
    blockage_clause,
    in_repair_order,
    promised_by,
)
from headrace.slo.consumer_states import AtRisk, LatestExport, most_unusual
from headrace.slo.declared_promises import WHOLE, Terms
from headrace.slo.facts import AcceptedPartition
from headrace.slo.freshness import next_pass, sources_of
from headrace.slo.obligations import EvaluationContext, Obligation
from headrace.slo.risk import Outlooks
from headrace.slo.times import time_text


class Risks:
    """The risks of one consumer at one time."""

    def __init__(
        self,
        terms: Terms,
        context: EvaluationContext,
        now_us: int,
        outlooks: Outlooks,
        blockage: Blockage,
        results: Sequence[Obligation],
    ) -> None:
        self._terms, self._context, self._now = terms, context, now_us
        self._outlooks, self._blockage = outlooks, blockage
        self._all = results
        self._due = [obligation for obligation in results if obligation.due_at_us <= now_us]

    def deadline(self) -> AtRisk | None:
        """Return the risk of the next interval that has ended, isn't due yet, and will be missed.

        It is held back, nothing runs it, or the remaining work takes too long.
        """
        for obligation in self._all:
            ended = self._ended(obligation) <= self._now
            if (
                obligation.due_at_us > self._now
                and ended
                and not obligation.settled
                and (
                    risk := self._held_back(obligation)
                    or self._nothing_runs_it(obligation)
                    or self._too_slow(obligation)
                )
            ):
                return risk
        return None

    def _held_back(self, obligation: Obligation) -> AtRisk | None:
        """Return the risk from a known blocker.

        It needs a person, is an overdue delivery, or is a source that can't be read.
        """
        for results in in_repair_order(self._blockage.of(self._terms, obligation.interval)):
            if (
                results.block in HOLDS
                or self._overdue(results)
                or results.unreadable_us is not None
            ):
                at = time_text(obligation.due_at_us, self._now, self._context.declared.timezone)
                clause = blockage_clause(results, self._context, self._now)
                text = f"late at {at}: {clause}"
                since = max(
                    self._ended(obligation),
                    results.since_us or results.unreadable_us or self._promised_for(results) or 0,
                )
                withdrawn = results.reason if results.block is BlockReason.WITHDRAWN else ""
                return AtRisk(
                    obligation.interval,
                    obligation.due_at_us,
                    results.node,
                    results.partition,
                    text,
                    self._blockage.next_command(results),
                    since,
                    withdrawn=withdrawn,
                )
        return None

    def _nothing_runs_it(self, obligation: Obligation) -> AtRisk | None:
        """Return the risk from ready work that no leader runs before the next, too late pass.

        That happens after somebody accepted or corrected something since the last pass.
        """
        if self._context.facts.is_led() or self._next_pass() <= obligation.due_at_us:
            return None
        blocked = in_repair_order(self._blockage.of(self._terms, obligation.interval))
        if not blocked or any(
            results.block is not BlockReason.WAITING or results.reason.startswith(LAKE_CLOSED)
            for results in blocked
        ):
            return None
        results = blocked[0]
        at = time_text(obligation.due_at_us, self._now, self._context.declared.timezone)
        clause = blockage_clause(results, self._context, self._now)
        text = f"late at {at}: {clause}, and nothing runs it"
        since = max(self._ended(obligation), results.since_us or 0)
        return AtRisk(
            obligation.interval,
            obligation.due_at_us,
            results.node,
            results.partition,
            text,
            "headrace tick",
            since,
        )

    def _next_pass(self) -> int:
        """Return when the consumer's sources are usually observed next; now if none ever was."""
        observations = [
            self._context.facts.observations(node.name)
            for node in sources_of(self._context.known_reads(self._terms), self._context)
        ]
        every_us = self._context.declared.tick_every_us
        return max(
            (next_pass(observation, every_us) for observation in observations if observation),
            default=self._now,
        )

    def _too_slow(self, obligation: Obligation) -> AtRisk | None:
        """Return the risk that the remaining work takes longer than the remaining time."""
        risk = self._outlooks.risk(self._terms, obligation)
        if risk is None:
            return None
        pause = self._context.facts.pauses().get(risk.node)
        held = pause is not None and pause.holds(self._now)
        command = (
            f"headrace resume {shlex.quote(risk.node)}"
            if held
            else f"headrace why {shlex.quote(self._terms.consumer)}"
        )
        began = risk.since_us or (pause.since_us if pause is not None and held else None) or 0
        since = max(self._ended(obligation), began)
        return AtRisk(
            obligation.interval,
            obligation.due_at_us,
            risk.node,
            risk.partition,
            risk.clause,
            command,
            since,
            risk.predicted_us,
        )

    def _ended(self, obligation: Obligation) -> int:
        """Return when an interval ended: before that, none of its data is expected."""
        return bounds_us(obligation.interval, self._terms.per, self._terms.timezone)[1]

    def _overdue(self, results: Blocked) -> bool:
        by = self._promised_for(results)
        return by is not None and by <= self._now

    def _promised_for(self, results: Blocked) -> int | None:
        """Return the promised time of a missing delivery; None for other blockers."""
        if results.block is not BlockReason.MISSING:
            return None
        return promised_by(self._context.declared.nodes[results.node], results.partition)

    def lapsing(self, excepted: Sequence[AcceptedPartition]) -> AtRisk | None:
        """Return the risk of the exception that lapses first."""
        for partition in excepted:
            if partition.until_us is not None and not partition.lapsed(self._now):
                zone = self._context.declared.timezone
                until = time_text(partition.until_us, self._now, zone)
                text = (
                    f"{place_of(partition)} is an exception of {partition.by} that lapses at"
                    f" {until}: {partition.reason}"
                )
                command = f"headrace quarantine {shlex.quote(place_of(partition))}"
                return AtRisk(
                    partition.partition,
                    partition.until_us,
                    partition.node,
                    partition.partition,
                    text,
                    command,
                    self._first_read(partition),
                    partition.until_us,
                )
        return None

    def _first_read(self, partition: AcceptedPartition) -> int | None:
        """Return when data that relies on an exception was first readable.

        That is when the first interval after the exception was met, else the time of the exception.
        """
        if partition.at_us is None:
            return None
        met = (
            it.met_at_us
            for it in self._all
            if it.met_at_us is not None and it.met_at_us >= partition.at_us
        )
        return min(met, default=partition.at_us)

    def unexported(self, export: LatestExport | None, old_since_us: int | None) -> AtRisk | None:
        """Return the risk from a failing export of data without a rhythm.

        No interval waits for it: the consumer is late only once what was exported is too old, at
        `old_since_us`.
        """
        results = self.failed_export(export)
        if results is None:
            return None
        return AtRisk(
            results.partition,
            old_since_us,
            results.node,
            results.partition,
            blockage_clause(results, self._context, self._now),
            self._blockage.next_command(results),
            results.since_us,
        )

    def failed_export(self, export: LatestExport | None) -> Blocked | None:
        """Return the failing export of data without a rhythm; None if there is none."""
        if export is None or export.state != "failed" or self._context.has_rhythm(self._terms):
            return None
        node = self._context.declared.exports[self._terms.consumer]
        partition = export.interval or WHOLE
        facts = self._context.facts.partition_state(node.name, partition)
        assert facts is not None, "a failed export has a state"
        return Blocked(
            BlockReason.FAILED, facts.since_us, node.name, partition, "failed", facts.reason
        )

    def anomalous(self) -> AtRisk | None:
        """Return the risk from an anomalous partition behind the newest interval that is served."""
        served = [obligation for obligation in self._due if obligation.met_at_us is not None][-1:]
        results = most_unusual(self._terms, served, self._context)
        if results is None:
            return None
        place = f"{results.node}@{results.partition}"
        text = f"{place} is unusual: {results.clause}"
        since = max(served[0].due_at_us, served[0].met_at_us or 0, results.at_us or 0)
        command = f"headrace why {shlex.quote(place)}"
        return AtRisk(
            served[0].interval,
            served[0].due_at_us,
            results.node,
            results.partition,
            text,
            command,
            since,
        )


def place_of(partition: AcceptedPartition) -> str:
    """Return `clean@2013-02-11`; only the name for an unpartitioned node."""
    return (
        partition.node
        if partition.partition == WHOLE
        else f"{partition.node}@{partition.partition}"
    )
