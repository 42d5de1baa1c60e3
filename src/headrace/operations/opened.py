"""The facts that open items and the headline are made of, read in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import Project
from headrace.observe.evaluation import WAITING
from headrace.observe.open_items import (
    ConsumerFact,
    Held,
    IncidentFact,
    OpenFacts,
    Superseded,
    Throttled,
    explained_by,
    headline,
    open_items,
)
from headrace.observe.states import ConsumerStatus
from headrace.operations.documents import HoldingRow, OpenRow, ProposedRow
from headrace.store import Transaction
from headrace.store.queries import failed_looks, failures, incidents, plans, quarantine, throttling

_THROTTLED = ("source_throttled", "throttled_too_long")
"""Codes of observations that a server answered with a request to wait; a long one is an incident besides."""


def facts(
    tx: Transaction,
    project: Project,
    consumers: Sequence[ConsumerStatus],
    proposed: Sequence[ProposedRow],
    *,
    now_us: int,
    not_applied: int | None,
) -> OpenFacts:
    """What is open now; `consumers` are those that the view shows."""
    failing = failed_looks.failing(tx)
    return OpenFacts(
        now_us=now_us,
        timezone=project.settings.timezone,
        consumers=[_consumer(project, row) for row in consumers],
        incidents=[
            IncidentFact(one.shown, one.node, one.kind, frozenset({one.node, *one.affected.assets})) for one in incidents.open_ones(tx)
        ],
        held={node: Held(*counts) for node, counts in quarantine.by_node(tx).items()},
        failing=failures.failing_nodes(tx),
        unreachable={one.source: one.since for one in failing if one.source in project.sources and one.code not in _THROTTLED},
        throttled=_throttled(tx, project, failing, now_us),
        superseded=[_superseded(project, row) for row in proposed],
        approvals=[plan.id for plan in plans.awaiting(tx)],
        not_applied=not_applied,
    )


def _throttled(tx: Transaction, project: Project, failing: Sequence[failed_looks.Failing], now_us: int) -> list[Throttled]:
    """The sources whose servers asked for a pause: at the newest look, or when a delivery was fetched."""
    since = {one.source: one.since for one in failing if one.code in _THROTTLED}
    for source, at in throttling.waiting(tx, now_us):
        since[source] = min(at, since.get(source, at))
    return [Throttled(source, at, *throttling.loaded(tx, source)) for source, at in sorted(since.items()) if source in project.sources]


def _consumer(project: Project, one: ConsumerStatus) -> ConsumerFact:
    declared = project.consumers.get(one.name)
    per = declared.per.value if declared is not None else "day"
    return ConsumerFact(one.name, one.state.value, one.backlog, per)


def _superseded(project: Project, row: ProposedRow) -> Superseded:
    grain = project.assets[row.node].partition.grain
    unit = grain.value if grain is not None else "partition"
    return Superseded(row.node, row.partitions, row.from_, row.to, unit, row.command)


def rows(found: OpenFacts) -> list[OpenRow]:
    """The open items as documents have them."""
    return [
        OpenRow(kind=one.kind.value, count=one.count, nodes=list(one.nodes), text=one.text, command=one.command)
        for one in open_items(found)
    ]


def summed_up(
    found: OpenFacts,
    consumers: Sequence[ConsumerStatus],
    holding: HoldingRow | None,
    *,
    wrong_visible: bool,
) -> str:
    """The headline. What the causes of `holding` explain isn't said twice."""
    waiting = frozenset(one.incident for one in consumers if one.incident and one.state in WAITING)
    return headline(found, _causes(holding), explained_by(found, waiting), wrong_visible=wrong_visible)


def _causes(holding: HoldingRow | None) -> str | None:
    """How much the causes hold back that consumers wait for."""
    if holding is None:
        return None
    counts = ((holding.assets, "asset"), (holding.consumers, "consumer"))
    held = [f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    causes = "1 cause holds" if holding.causes == 1 else f"{holding.causes:,} causes hold"
    return f"{causes} {' and '.join(held)}."
