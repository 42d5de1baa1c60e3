"""The facts that open items and the headline are made of, read in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import Grain, Project, Source
from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.required import SEPARATOR
from headrace.observe.evaluation import NAMED
from headrace.observe.open_items import (
    ConsumerFact,
    EnvironmentDamage,
    IncidentFact,
    NodeQuarantine,
    OpenFacts,
    Superseded,
    Throttled,
    explained_by,
    headline,
    open_items,
)
from headrace.observe.states import ConsumerStatus
from headrace.operations.responses import HoldingRow, OpenRow, ProposedRow
from headrace.store import Transaction
from headrace.store.queries import attending, failed_observations, failures, incidents, plans, quarantine, throttling
from headrace.store.queries.arriving import THROTTLED
from headrace.store.queries.incidents import Incident

HOUR_US = 3_600_000_000


def facts(
    tx: Transaction,
    project: Project,
    consumers: Sequence[ConsumerStatus],
    proposed: Sequence[ProposedRow],
    *,
    now_us: int,
    not_applied: int | None,
    damaged: EnvironmentDamage | None = None,
) -> OpenFacts:
    """What is open now; `consumers` are those that the view shows."""
    failing = failed_observations.failing(tx)
    broken, closed = attending.broken(tx), attending.closed(tx)
    return OpenFacts(
        now_us=now_us,
        timezone=project.settings.timezone,
        consumers=[_consumer(project, row) for row in consumers],
        incidents=[_incident(tx, incident) for incident in incidents.open_ones(tx)],
        held={node: NodeQuarantine(*counts) for node, counts in quarantine.by_node(tx).items() if project.node(node) is not None},
        failing=[node for node in failures.failing_nodes(tx) if project.node(node) is not None],
        unobserved={item.source: item.since for item in failing if item.source in project.sources and item.code not in THROTTLED},
        throttled=_throttled(tx, project, failing, now_us),
        superseded=[_superseded(project, row) for row in proposed],
        approvals=[plan.id for plan in plans.awaiting(tx)],
        damaged=damaged,
        broken_since=None if broken is None else broken.since,
        closed_since=None if closed is None else closed.since,
        not_applied=not_applied,
    )


def _throttled(tx: Transaction, project: Project, failing: Sequence[failed_observations.Failing], now_us: int) -> list[Throttled]:
    """The sources whose servers asked for a pause: at the newest look, or when a delivery was fetched."""
    since = {item.source: item.since for item in failing if item.code in THROTTLED}
    for source, at in throttling.waiting(tx, now_us):
        since[source] = min(at, since.get(source, at))
    results = []
    for name, at in sorted(since.items()):
        if name in project.sources:
            loaded, known, oldest = throttling.loaded(tx, name)
            expected = _expected(project, project.sources[name], oldest, now_us)
            results.append(Throttled(name, at, loaded, max(known, expected)))
    return results


def _expected(project: Project, source: Source, oldest: str | None, now_us: int) -> int:
    """How many intervals of a source there should be by now, from its start or its oldest delivery to the last that has ended; those
    that were never asked for are among them. 0 where that isn't known."""
    grain, zone = source.partition.grain, source.timezone or project.settings.timezone
    first = source.start or (oldest.partition(SEPARATOR)[0] if oldest is not None else None)
    if grain is None or source.partition.key is not None or first is None:
        return 0
    current = key_at_us(now_us, grain, zone)
    last = current if bounds_us(current, grain, zone)[1] <= now_us else previous_key(current, grain, zone)
    if grain is Grain.HOUR:
        hours = (bounds_us(last, grain, zone)[1] - bounds_us(first, grain, zone)[0]) // HOUR_US
        return max(hours, 0)
    return sum(1 for _ in keys_between(first, last, grain, zone)) if first <= last else 0


def _incident(tx: Transaction, incident: Incident) -> IncidentFact:
    return IncidentFact(
        incident.shown,
        incident.node,
        incident.kind,
        frozenset({incident.node, *incidents.nodes_of(tx, incident.id), *incident.affected.assets}),
    )


def _consumer(project: Project, status: ConsumerStatus) -> ConsumerFact:
    declared = project.consumers.get(status.name)
    per = declared.per.value if declared is not None else "day"
    return ConsumerFact(status.name, status.state.value, status.backlog, per)


def _superseded(project: Project, row: ProposedRow) -> Superseded:
    grain = project.assets[row.node].partition.grain
    unit = grain.value if grain is not None else "partition"
    return Superseded(row.node, row.partitions, row.from_, row.to, unit, row.command, own_code=row.own_code)


def rows(facts: OpenFacts) -> list[OpenRow]:
    """The open items as documents have them."""
    return [
        OpenRow(kind=item.kind.value, count=item.count, nodes=list(item.nodes), text=item.text, command=item.command)
        for item in open_items(facts)
    ]


def summed_up(
    facts: OpenFacts,
    consumers: Sequence[ConsumerStatus],
    causes: Sequence[Incident],
    holding: HoldingRow | None,
    *,
    wrong_visible: bool,
) -> str:
    """The headline. What the causes of `holding` explain isn't said twice, and neither is an
    incident that is the reason why a consumer isn't served."""
    named = frozenset(consumer.incident for consumer in consumers if consumer.incident and consumer.state in NAMED)
    named |= {cause.shown for cause in causes}
    return headline(facts, _causes(holding), explained_by(facts, named), wrong_visible=wrong_visible)


def _causes(holding: HoldingRow | None) -> str | None:
    """How much the causes hold back that consumers wait for."""
    if holding is None:
        return None
    counts = ((holding.assets, "asset"), (holding.consumers, "consumer"))
    held = [f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    causes = "1 cause holds" if holding.causes == 1 else f"{holding.causes:,} causes hold"
    return f"{causes} {' and '.join(held)}."
