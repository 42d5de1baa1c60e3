"""Evidence that Headrace itself wasn't there: what had arrived was found after it was due, though a look at the usual pace would
have found it in time.

A project that is looked at once a day on purpose isn't away in between: deadlines that its pace can't keep are `infeasible`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise

import msgspec

from headrace.model.intervals import bounds_us
from headrace.observe.blockage import Blockage, BlockReason
from headrace.observe.declared_promises import Node, Terms
from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.diagnosis.details import ENVIRONMENT, NO_WORKER, needed
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.reach import DownstreamIndex
from headrace.observe.obligations import EvaluationContext
from headrace.observe.observed import TOLERANCE_US, next_observation, usual_break
from headrace.observe.wording import dated
from headrace.store.database import Transaction
from headrace.store.queries import absences, attending
from headrace.store.queries import evidence as stored
from headrace.store.queries.absences import Due, Waited
from headrace.store.queries.evidence import GAP

NATS = 12.0
WORKERS = "workers"
"""What the id of evidence begins with that no worker starts."""
LAKE = "closed"
"""What the id of evidence begins with that the lake can't be written."""


def gather(
    tx: Transaction, context: EvaluationContext, blockage: Blockage, reach: DownstreamIndex, after: int
) -> tuple[list[Evidence], int]:
    """The outages that made somebody wait, of deliveries found after a time; and when the last of those was found."""
    results: dict[str, tuple[int, Evidence]] = {}
    last = after
    for node in context.declared.nodes.values():
        waited = absences.waited(tx, node.name, after) if node.is_source else []
        for seen_us, group in groupby(waited, key=lambda item: item.observed_at):
            last = max(last, seen_us)
            outages = _outages(tx, context, blockage, reach, node, list(group), seen_us)
            due_us, evidence = min(outages, key=lambda each: each[0], default=(0, None))
            if evidence is not None and (evidence.id not in results or due_us < results[evidence.id][0]):
                results[evidence.id] = due_us, evidence
    return [evidence for _, evidence in results.values()], last


def without_workers(tx: Transaction) -> Iterator[Evidence]:
    """That no worker starts: whoever looks then, nothing is computed."""
    problem = attending.broken(tx)
    if problem is not None:
        yield Evidence(
            id=f"{WORKERS}:broken", node=HEADRACE, family=Family.ABSENCE, kind=CauseKind.RUNTIME_DOWN.value, expected="workers start",
            observed=problem.why, strength=NATS, at_us=problem.seen, began_us=problem.since, detail=NO_WORKER,
        )  # fmt: skip


def without_lake(tx: Transaction) -> Iterator[Evidence]:
    """That the lake can't be written: nothing can be published, whatever runs."""
    problem = attending.closed(tx)
    if problem is not None:
        yield Evidence(
            id=f"{LAKE}:lake",
            node=HEADRACE,
            family=Family.RESOURCES,
            kind=CauseKind.RESOURCE_EXHAUSTED.value,
            expected=needed(problem.why),
            observed=problem.why,
            strength=NATS,
            at_us=problem.seen,
            began_us=problem.since,
            error_kind=ENVIRONMENT,
        )


def known(tx: Transaction) -> list[Evidence]:
    """The outages that were found before."""
    return [msgspec.msgpack.decode(item, type=Evidence) for item in stored.contents_of(tx, GAP)]


def _outages(
    tx: Transaction,
    context: EvaluationContext,
    blockage: Blockage,
    reach: DownstreamIndex,
    source: Node,
    waited: list[Waited],
    seen_us: int,
) -> Iterator[tuple[int, Evidence]]:
    """The outage that ended with a look at a source, with the first deadline of each consumer that
    was missed through it."""
    observations = absences.observations_before(tx, source.name, seen_us)
    if not observations or observations[0].failed:
        return  # nobody had looked before, or the source couldn't be read
    pace = context.declared.tick_every_us or usual_break(
        _breaks(tx, source.name, [observation.at for observation in observations], seen_us)
    )
    sources = [node.name for node in context.declared.nodes.values() if node.is_source]
    for consumer in reach.consumers(source.name):
        terms = next(terms for terms in context.declared.consumers if terms.consumer == consumer)
        for due in absences.missed(tx, consumer, observations[0].at, seen_us):
            arrived = min((item.arrived_at for item in waited if _is_of(source, item.partition, terms, due.interval)), default=due.due_at)
            if arrived >= due.due_at or any(item.block is not BlockReason.WAITING for item in blockage.of(terms, due.interval)):
                continue  # it would have been missed all the same
            last = _away_since(tx, sources, due.due_at, arrived, pace, seen_us)
            if last is not None:
                yield due.due_at, _evidence(context, terms, due, last, pace, seen_us)
                break


def _away_since(tx: Transaction, sources: list[str], due_us: int, arrived: int, pace: int, seen_us: int) -> int | None:
    """When Headrace did something last before it was away for so long that a deadline was missed, or that data
    was much later than it is by the pace alone; None where it wasn't away."""
    last = absences.last_sign(tx, sources, due_us)
    expected = next_observation(last, pace, arrived)
    if expected + TOLERANCE_US < due_us:
        return last
    late = expected + max(TOLERANCE_US, pace // 10)
    return last if late < seen_us and absences.last_sign(tx, sources, late) == last else None


def _breaks(tx: Transaction, source: str, observations: list[int], seen_us: int) -> dict[int, int]:
    """When each break between two looks ended → how long it was."""
    results = {until: until - began for began, until in absences.long_breaks(tx, source, seen_us)}
    return results | {later: later - earlier for later, earlier in pairwise(observations)}


def _is_of(source: Node, partition: str, terms: Terms, interval: str) -> bool:
    """Whether a delivery is for some of a consumer's interval."""
    grain = source.partition.grain
    if grain is None or source.partition.by_delivery:
        return True
    start, end = bounds_us(partition.partition("/")[0], grain, source.timezone)
    since, until = bounds_us(interval, terms.per, terms.timezone)
    return start < until and since < end


def _evidence(context: EvaluationContext, terms: Terms, due: Due, last: int, pace: int, seen_us: int) -> Evidence:
    zone = context.declared.timezone
    return Evidence(
        id=f"{GAP}:{last}", node=HEADRACE, family=Family.ABSENCE, kind=CauseKind.RUNTIME_DOWN.value,
        expected=f"a look before {dated(due.due_at, zone)}, when {terms.consumer} was due",
        observed=f"nobody looked from {dated(last, zone)} until {dated(seen_us, zone)}",
        strength=NATS, at_us=seen_us, began_us=last + pace,
    )  # fmt: skip
