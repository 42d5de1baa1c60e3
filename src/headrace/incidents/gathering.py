"""Gathers all new and ended evidence since the last evaluation.

Cursors say up to which row of each kind evidence was gathered.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from headrace.incidents import commands
from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.evidence import arrivals, attempts, changes, deadlines, downtime, people
from headrace.incidents.evidence.records import Gathered
from headrace.incidents.updates import IncidentUpdates
from headrace.model import Project
from headrace.model.causes import HEADRACE, Cause, CauseKind
from headrace.slo.blockage import Blockage
from headrace.slo.incident_impact import DownstreamIndex
from headrace.slo.obligations import EvaluationContext
from headrace.store.queries import evidence as stored
from headrace.store.queries import incidents
from headrace.store.transaction import Transaction

# A failure of the diagnosis itself is an incident of Headrace's own. It is over with the next
# diagnosis that succeeds.

FAULT_KIND = "judging"
EXACT_NATS = 12.0
SAID_MAX = 300


def keep_fault(tx: Transaction, keeping: IncidentUpdates, error: Exception, now: int) -> None:
    """Record that the diagnosis failed; the next one that succeeds ends this incident."""
    what = type(error).__name__
    seen = Evidence(
        id=f"{FAULT_KIND}:{what}",
        node=HEADRACE,
        family=Family.ERROR,
        kind=CauseKind.CODE_ERROR.value,
        expected="causes are evaluated",
        observed=f"{what}: {error}"[:SAID_MAX],
        strength=EXACT_NATS,
        at_us=now,
        detail=what,
    )
    result = Gathered()
    result.add(seen)
    result.write(tx, now)
    cause = Cause(
        kind=CauseKind.CODE_ERROR,
        node=HEADRACE,
        detail=what,
        summary="causes can't be judged: what waits isn't attributed to any",
        began_us=now,
        confidence=1.0,
        own=(seen.id,),
        explains=(seen.id,),
    )
    keeping.keep([cause], {seen.id: seen})


WARNED_US = 3 * 86_400_000_000
"""A warning about a publication may explain its effects for three days."""
CHANGED_US = 40 * 86_400_000_000
"""A changed version may explain later evidence for 40 days."""
KEPT_US = 90 * 86_400_000_000
"""Ended evidence without an incident is deleted after 90 days."""


class Cursors(msgspec.Struct, frozen=True, omit_defaults=True):
    """Up to which row of each kind evidence was gathered."""

    fact: int = 0
    revision: int = -1
    attempt: tuple[int, int] = (0, 0)
    version: int = 0
    gap: int = 0
    drift: int = 0
    trail: int = -1


def gather(
    tx: Transaction,
    project: Project,
    blockage: Blockage,
    reach: DownstreamIndex,
    now: int,
) -> Gathered:
    """Gather and store new and ended evidence, and return it."""
    stored_cursors = stored.cursors(tx)
    cursors = (
        Cursors()
        if stored_cursors is None
        else msgspec.json.decode(stored_cursors[1], type=Cursors)
    )
    result = Gathered()
    after, outages = _news(tx, result, project, blockage, reach, cursors, now)
    _present(tx, result, project, blockage, reach, outages, now)
    if after.version != cursors.version:
        _removed(tx, result, blockage.context)
        _unchecked(tx, result, changes.dropped_checks(tx, cursors.version), now)
    result.write(tx, now)
    if result.touched:
        stored.grow_old(tx, now, warned=WARNED_US, changed=CHANGED_US, retained=KEPT_US)
    if stored_cursors is None or after != cursors:
        stored.set_cursors(tx, now, msgspec.json.encode(after).decode())
    return result


def note_commands(tx: Transaction, blockage: Blockage, now: int) -> None:
    """Add new commands to the timelines of incidents, without an evaluation."""
    stored_cursors = stored.cursors(tx)
    cursors = (
        Cursors()
        if stored_cursors is None
        else msgspec.json.decode(stored_cursors[1], type=Cursors)
    )
    last = commands.note_actions(tx, blockage, cursors.trail)
    if last != cursors.trail:
        stored.set_cursors(
            tx, now, msgspec.json.encode(msgspec.structs.replace(cursors, trail=last)).decode()
        )


def _news(
    tx: Transaction,
    result: Gathered,
    project: Project,
    blockage: Blockage,
    reach: DownstreamIndex,
    cursors: Cursors,
    now: int,
) -> tuple[Cursors, list[Evidence]]:
    """Gather evidence from new rows; return the new cursors and all outages of Headrace."""
    trail = commands.note_actions(tx, blockage, cursors.trail)
    drift = people.gather_mapped_columns(tx, result, cursors.drift)
    fact, revision = attempts.gather(
        tx, partial(downtime.host_at, project), result, cursors.fact, cursors.revision
    )
    attempt = attempts.gather_lost_and_slow(tx, result, cursors.attempt, now)
    changed, version = changes.gather(tx, cursors.version)
    ended_outages, gap = downtime.gather_outages(tx, blockage, reach, cursors.gap)
    exports = blockage.context.declared.exports
    for node, id_ in changes.outlived(tx, exports):
        result.end(node, [id_])
    for evidence in changed:
        over = evidence.node in exports and changes.proven(tx, evidence)
        result.add(evidence, over=now if over else None)
    for item in changes.computed_since(tx, changed, _lost_workers(tx, result)):
        result.add(item)
    for piece in changes.taken_back(tx, changed):
        if changes.matters_still(tx, piece):
            result.add(msgspec.structs.replace(piece, taken_back_us=piece.taken_back_us or now))
        else:
            result.add(piece, over=now)
    for piece in ended_outages:
        result.add(piece, over=now)
    return Cursors(fact, revision, attempt, version, gap, drift, trail), [
        *downtime.known_outages(tx),
        *ended_outages,
    ]


def _lost_workers(tx: Transaction, result: Gathered) -> set[str]:
    """Return the nodes with active or new evidence of lost workers."""
    contents = [
        *stored.active_of(tx, "attempt").values(),
        *stored.active_of(tx, attempts.BACKFILLS).values(),
    ]
    before = (msgspec.msgpack.decode(content, type=Evidence) for _, content in contents)
    return {
        evidence.node
        for evidence in (*before, *result.seen.values())
        if evidence.family is Family.LOST
    }


def _removed(tx: Transaction, result: Gathered, context: EvaluationContext) -> None:
    """End the evidence of nodes that are no longer declared."""
    for node in stored.active_nodes(tx) - {
        HEADRACE,
        *context.declared.nodes,
        *context.declared.exports,
    }:
        result.end(node, stored.active_ids(tx, node))


def _unchecked(
    tx: Transaction, result: Gathered, dropped: Mapping[str, set[str]], now: int
) -> None:
    """End the evidence of incidents about failed checks that are all no longer declared.

    Readers see the rows that these checks were about.
    """
    for incident in incidents.open_incidents(tx):
        check_labels = {f"check {name}" for name in dropped.get(incident.node, ())}
        if (
            check_labels
            and incident.evidence
            and all(seen.what in check_labels for seen in incident.evidence)
        ):
            result.end(incident.node, stored.of_incident(tx, incident.id))
            incidents.sound_again(tx, incident.id, now)


def _present(
    tx: Transaction,
    result: Gathered,
    project: Project,
    blockage: Blockage,
    reach: DownstreamIndex,
    outages: list[Evidence],
    now: int,
) -> None:
    """Gather evidence of the current state, whenever it began."""
    context = blockage.context
    waiting = arrivals.waiting_intervals(tx, blockage, now)
    result.now(tx, FAULT_KIND, ())  # the diagnosis succeeded this time
    result.now(tx, downtime.WORKERS_KIND, downtime.without_workers(tx))
    result.now(tx, downtime.LAKE_KIND, downtime.without_lake(tx))
    late = list(arrivals.gather(tx, blockage, reach, arrivals.missed_partitions(waiting), now))
    overdue = {evidence.node for evidence in late if evidence.observed == arrivals.THROTTLED}
    result.now(tx, "look", downtime.gather_failed_observations(tx, project, overdue))
    result.now(tx, arrivals.KIND, late)
    failed = attempts.of_backfills(tx, partial(downtime.host_at, project))
    result.now(
        tx,
        attempts.BACKFILLS,
        [evidence for evidence, _ in failed],
        {item.id: attempt for item, attempt in failed},
    )
    damaged = list(downtime.gather_damaged_files(tx, context))
    result.now(
        tx,
        downtime.DAMAGE_KIND,
        [evidence for evidence, _ in damaged],
        {item.id: attempt for item, attempt in damaged},
    )
    for kind, excepted in changes.gather_exceptions(tx, context, now, now - WARNED_US).items():
        result.now(tx, kind, excepted)
    result.now(tx, "act", people.gather_pauses_and_withdrawals(tx, waiting, now))
    result.now(tx, "plan", people.gather_pending_approvals(tx, waiting, now))
    missing = {(evidence.node, evidence.partition) for evidence in late}
    result.now(tx, "deadline", deadlines.gather(tx, context, waiting, missing, outages, now))
