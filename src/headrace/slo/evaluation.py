"""The evaluation of a project at one time: the only source of states, totals and their sentences.

`status`, the pages, the digest, mails, metrics and the end of incidents render an `Evaluation` and
derive nothing themselves. Each answer is computed on first use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from headrace.slo.availability import (
    AvailabilityFigures,
    AvailabilityScore,
    AvailabilityTotals,
    figures,
    score,
    totals,
)
from headrace.slo.blockage import Blockage, BlockReason
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus, Status, Wronged
from headrace.slo.declared_promises import WHOLE, Terms
from headrace.slo.freshness import NodeStates, node_states, undelivered
from headrace.slo.incident_impact import DownstreamIndex, holding_incident, holding_incidents
from headrace.slo.obligations import EvaluationContext, Obligation
from headrace.slo.service_history import Gathering
from headrace.slo.status import evaluate_in_context
from headrace.slo.timeline import ServiceHistory
from headrace.slo.unsound import Carry
from headrace.slo.wrong_periods import Speaks, Wrongness
from headrace.store.queries import (
    applied_versions,
    exceptions,
    incidents,
    partition_states,
    publications,
)
from headrace.store.queries.incidents import Incident, OpenIncidents
from headrace.store.transaction import Transaction

SERVED = (ConsumerState.SERVED, ConsumerState.AT_RISK)
WAITING = (ConsumerState.LATE, ConsumerState.NEVER)
NAMED = (*WAITING, ConsumerState.WRONG)
"""States whose reason names the incident that causes them, if there is one."""
SINCE_US = 90 * 86_400_000_000
"""Lookback (90 days) for wrong data before the start of the current state."""
PROPOSED_MAX = 10_000
_EXPORTS_NAMED_MAX = 3


class EvaluationFacts(NamedTuple):
    """The inputs of an evaluation, within one transaction.

    `from_us` is the start of the window for availability figures (None: none are needed); `nodes`
    are the states of all nodes, if already known.
    """

    tx: Transaction
    context: EvaluationContext
    carry: Carry
    speaks: Speaks
    from_us: int | None = None
    nodes: NodeStates | None = None


def evaluate(facts: EvaluationFacts, now_us: int) -> Evaluation:
    """Return the evaluation at `now_us`, with service figures for the window that ends then."""
    return Evaluation(facts, now_us)


class Evaluation:
    """The evaluation of one transaction at one time."""

    def __init__(self, facts: EvaluationFacts, now_us: int) -> None:
        self._tx, self._context, self._now = facts.tx, facts.context, now_us
        self._from = now_us if facts.from_us is None else facts.from_us
        self._known_nodes, self._speaks = facts.nodes, facts.speaks
        self._carry = facts.carry
        self._wrongness = Wrongness(facts.tx, facts.context, facts.carry, self._from, now_us)

    # Current states

    @cached_property
    def status(self) -> Status:
        """The states of all consumers, and how many assets are in each state."""
        result = evaluate_in_context(self._context, self._now, self.wronged, self._nodes)
        rows = tuple(self._completed(consumer) for consumer in result.consumers)
        return msgspec.structs.replace(result, consumers=rows)

    def consumer(self, name: str) -> ConsumerStatus | None:
        """Return the status of one consumer; None if it is no longer declared."""
        if "status" in self.__dict__:
            return next(
                (consumer for consumer in self.status.consumers if consumer.name == name), None
            )
        status = evaluate_in_context(
            self._context, self._now, self.wronged, self._nodes, only=name
        ).consumers
        return self._completed(status[0]) if status else None

    def unserved(self, consumers: Iterable[str]) -> list[ConsumerStatus]:
        """Return the status of those of these consumers that aren't served."""
        result = (self.consumer(name) for name in consumers)
        return [status for status in result if status is not None and status.state not in SERVED]

    def causes(self, consumers: Sequence[ConsumerStatus]) -> list[Incident]:
        """Return the incidents that consumers wait for, each once.

        Incidents that `status` names come first, then those of everything else that is due. The
        result is empty if any of these consumers waits for something without an incident.
        """
        waiting = [consumer for consumer in consumers if consumer.state in WAITING]
        if any(status.incident is None for status in waiting):
            return []
        results = [cause for status in waiting for cause in self._all_holding(status)]
        named = [status.incident for status in waiting]
        return sorted(
            {incident.id: incident for incident in results}.values(),
            key=lambda item: item.label not in named,
        )

    def _all_holding(self, status: ConsumerStatus) -> list[Incident]:
        """Return the open incidents behind all that is due, the one it waits for first."""
        named = self._waited_for(status)
        others = holding_incidents(
            self.opened, self._context, self._terms[status.name], status.obligations, self._now
        )
        return others if named is None else [named, *others]

    @cached_property
    def wronged(self) -> Mapping[str, Wronged]:
        """Consumer → the wrong data that it can read now."""
        return self._wrongness.now()

    def wrong_intervals(self, status: ConsumerStatus) -> list[str]:
        """Return the intervals affected by what makes a consumer wrong, oldest first.

        The list is empty if the consumer isn't wrong.
        """
        wronged = self.wronged.get(status.name)
        return (
            []
            if wronged is None
            else self._wrongness.intervals(self._terms[status.name], status.obligations, wronged)
        )

    @cached_property
    def behind(self) -> frozenset[int]:
        """The incidents that make wrong what any consumer can read now."""
        return self._wrongness.behind()

    def replaced_at(self, incident: int) -> int | None:
        """Return when readers last got a replacement for wrong data of an incident.

        None if nothing was replaced.
        """
        return self._wrongness.replaced_at(incident)

    def unsound(self) -> set[tuple[str, str, int]]:
        """Return (node, partition, publication time) of everything known now to be unsound."""
        return self._wrongness.unsound()

    @cached_property
    def _nodes(self) -> NodeStates:
        return self._known_nodes or node_states(self._context, self._now)

    def _completed(self, consumer_status: ConsumerStatus) -> ConsumerStatus:
        """Add the incident that the consumer waits for, and facts that only the store has."""
        status = self._with_since(self._with_exports(consumer_status))
        if consumer_status.name in self._superseded:
            status = msgspec.structs.replace(
                status, states=(*consumer_status.states, ConsumerState.SUPERSEDED_UPSTREAM)
            )
        if consumer_status.state is ConsumerState.SERVED or not self.opened.all:
            return status
        incident = self._waited_for(consumer_status)
        if incident is None:
            return status
        reason = status.reason
        if consumer_status.state in WAITING and incident.state == "recovering":
            reason = f"{status.reason} ({incident.label} held it back; its cause is gone)"
        elif consumer_status.state in WAITING:
            reason = f"{incident.label} {incident.node}: {incident.summary}"
        return msgspec.structs.replace(status, incident=incident.label, reason=reason)

    def _with_since(self, status: ConsumerStatus) -> ConsumerStatus:
        """Correct the start of the state by the spans in which data was wrong.

        Data may have been wrong before the current cause began, and a consumer is served only since
        the last wrong data was replaced.
        """
        since = status.since_us
        if since is None:
            return status
        if status.state is ConsumerState.WRONG:
            lasting = [began for began, ended in self._wrong_spans(status) if ended > self._now]
            since = min(lasting, default=since)
        elif status.state in SERVED and self._replaced_last > since:
            over = [ended for _, ended in self._wrong_spans(status) if ended <= self._now]
            since = max((since, *over))
        return msgspec.structs.replace(status, since_us=since)

    def _wrong_spans(self, status: ConsumerStatus) -> list[tuple[int, int]]:
        """Return the spans in which a consumer's data was wrong that have begun."""
        spans = self._long_wrongness.spans(status.name)
        return [(began, ended) for began, ended in spans if began <= self._now]

    @cached_property
    def _replaced_last(self) -> int:
        return exceptions.replaced_last(self._tx)

    @cached_property
    def _long_wrongness(self) -> Wrongness:
        """Wrong data over a fixed window, so that state starts don't depend on the caller."""
        return Wrongness(self._tx, self._context, self._carry, self._now - SINCE_US, self._now)

    def _with_exports(self, status: ConsumerStatus) -> ConsumerStatus:
        """Add the intervals that were corrected or withdrawn after their export."""
        keys = (
            partition_states.stale_keys(self._tx, status.name) if status.export is not None else []
        )
        if not keys:
            return status
        withdrawn = [key for key in keys if self._reads_withdrawn(status, key)]
        corrected = [key for key in keys if key not in withdrawn]
        reasons = [status.reason]
        if corrected:
            reasons.append(f"corrected since it was exported: {_few(corrected)}")
        if withdrawn:
            reasons.append(f"withdrawn since it was exported: {_few(withdrawn)}")
        again = f"headrace run {status.name}" if corrected else None
        return msgspec.structs.replace(
            status, superseded=tuple(keys), reason="; ".join(reasons), next=status.next or again
        )

    def _reads_withdrawn(self, status: ConsumerStatus, key: str) -> bool:
        """Return whether an input of an exported interval is withdrawn and not replaced."""
        interval = status.due_interval if key == WHOLE else key
        if interval is None:
            return False
        held = Blockage(self._context, self._now).of(self._terms[status.name], interval)
        return any(each.block is BlockReason.WITHDRAWN for each in held)

    @cached_property
    def _superseded(self) -> frozenset[str]:
        """The consumers of intervals that a vendor restated too late to recompute unasked.

        A node whose own code changed isn't among them.
        """
        code = applied_versions.fingerprints_once(self._tx)
        applied = code(applied_versions.newest_id(self._tx)) if self.superseded else {}
        nodes = [
            node
            for node, key in dict(reversed(self.superseded)).items()
            if (newest := publications.computed(self._tx, node, key)) is None
            or code(newest.version).get(node) == applied.get(node)
        ]
        return frozenset(name for node in nodes for name in self._reach.consumers(node))

    @cached_property
    def superseded(self) -> tuple[tuple[str, str], ...]:
        """The partitions with superseded figures for which nobody has requested a recomputation."""
        return tuple(publications.proposed_recomputations(self._tx, PROPOSED_MAX))

    @cached_property
    def opened(self) -> OpenIncidents:
        """The open incidents."""
        return OpenIncidents(self._tx)

    def _waited_for(self, status: ConsumerStatus) -> Incident | None:
        if status.risk is not None and status.state is ConsumerState.AT_RISK:
            partition = "" if status.risk.partition == WHOLE else status.risk.partition
            return self.opened.at(status.risk.node, partition)
        if status.state is ConsumerState.WRONG:
            wronged = self.wronged.get(status.name)
            number = None if wronged is None else wronged.incident
            return None if number is None else incidents.get(self._tx, number)
        holding = holding_incident(
            self.opened, self._context, self._terms[status.name], status.obligations, self._now
        )
        failed = status.export is not None and status.export.state == "failed"
        return self.opened.at(status.name, "") if holding is None and failed else holding

    @cached_property
    def _terms(self) -> dict[str, Terms]:
        return {terms.consumer: terms for terms in self._context.declared.consumers}

    # Service over the window

    @property
    def window(self) -> tuple[int, int]:
        """Start and end of the window of the availability figures, in microseconds."""
        return self._from, self._now

    def pasts(self, consumers: Collection[str] | None = None) -> list[ServiceHistory]:
        """Return the service history of these consumers.

        None: of all consumers, including those removed within the window.
        """
        histories = [
            self._past(name) for name in self._terms if consumers is None or name in consumers
        ]
        return histories if consumers is not None else [*histories, *self._removed]

    def scores(self, consumers: Collection[str] | None = None) -> list[AvailabilityScore]:
        """Return the availability of the same consumers, in microseconds."""
        return [self._score(past) for past in self.pasts(consumers)]

    def totals(self, consumers: Collection[str] | None = None) -> AvailabilityTotals:
        """Return the rounded figures of all these consumers together."""
        return totals(self.scores(consumers))

    def undelivered(self, consumers: Collection[str]) -> list[str]:
        """Return the sources whose first delivery decides what is due to these consumers."""
        terms = [self._terms[name] for name in consumers if name in self._terms]
        reads = [node for each in terms for node in self._context.known_reads(each)]
        return undelivered(reads, self._context)

    def figures(self, consumer: str) -> AvailabilityFigures:
        """Return the rounded figures of one consumer."""
        return figures(self._score(self._past(consumer)))

    def removed(self) -> dict[str, AvailabilityFigures]:
        """Return the rounded figures of the consumers that were removed within the window."""
        return {past.consumer: figures(self._score(past)) for past in self._removed}

    def scores_of(self, node: str, consumers: Collection[str]) -> list[AvailabilityScore]:
        """Return how a node provided what each of these consumers needs of it.

        Consumers that aren't downstream of the node are left out.
        """
        below = set(self._reach.consumers(node)) & set(consumers)
        declared = self._context.declared.nodes[node]
        downstream_terms = [terms for name, terms in self._terms.items() if name in below]
        return [
            self._score(self._gathering.of_node(declared, terms, self._obligations(terms.consumer)))
            for terms in downstream_terms
        ]

    def deliveries(self, consumer: str) -> list[Obligation]:
        """Return a consumer's intervals, oldest first, each with the time when sound data met it.

        Soundness is as known now.
        """
        terms = self._terms[consumer]
        return [
            msgspec.structs.replace(
                obligation, met_at_us=self._gathering.soundly_met_at(terms, obligation)
            )
            for obligation in self._obligations(consumer)
        ]

    def consumers_of(self, node: str) -> Sequence[str]:
        """Return the consumers that read a node or anything derived from it."""
        return self._reach.consumers(node)

    def assets_of(self, node: str) -> Sequence[str]:
        """Return the assets that are derived from a node, directly or not."""
        return self._reach.assets(node)

    def _past(self, consumer: str) -> ServiceHistory:
        if consumer not in self._pasts:
            terms = self._terms[consumer]
            self._pasts[consumer] = self._gathering.past(terms, self._obligations(consumer))
        return self._pasts[consumer]

    def _obligations(self, consumer: str) -> Sequence[Obligation]:
        status = self.consumer(consumer)
        assert status is not None
        return status.obligations

    def _score(self, past: ServiceHistory) -> AvailabilityScore:
        return score(past, self._from, self._now)

    @cached_property
    def _pasts(self) -> dict[str, ServiceHistory]:
        return {}

    @cached_property
    def _removed(self) -> list[ServiceHistory]:
        return self._gathering.removed()

    @cached_property
    def _reach(self) -> DownstreamIndex:
        return DownstreamIndex(self._context.declared)

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(
            self._tx, self._context, self._wrongness, self._speaks, self._from, self._now
        )


def _few(keys: Sequence[str]) -> str:
    return f"{', '.join(keys[:_EXPORTS_NAMED_MAX])}{' …' if len(keys) > _EXPORTS_NAMED_MAX else ''}"


def clause(status: ConsumerStatus) -> str:
    """Return a clause such as `report is wrong`: only names and states, so messages may hold it."""
    state = (
        "has never been served"
        if status.state is ConsumerState.NEVER
        else f"is {status.state.value.replace('_', ' ')}"
    )
    return f"{status.name} {state}"
