"""How incidents end: when they recover, are resolved, and open again.

An incident ends when none of its evidence remains, no backfill still computes its partitions, and
`status` finds the affected consumers served.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from headrace.incidents.endings import ending, opened_last_at
from headrace.incidents.repairs import is_made_of, rebuilding_clause
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.partitions import SEPARATOR
from headrace.slo.blockage import Blockage, Blocked, BlockReason
from headrace.slo.declared_promises import WHOLE, Terms
from headrace.slo.evaluation import Evaluation
from headrace.slo.obligations import EvaluationContext
from headrace.store.queries import changes, obligations, publications, quarantine
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import RESOLVED, Happened, Incident
from headrace.store.transaction import Transaction

# Follows each open incident to its end, and reopens a resolved one when readers see its wrong rows
# again.

SHOWN_US = 24 * 3_600_000_000
"""A warning stays open for 24 h after it was last seen, so that a daily reader sees it."""
UNMET_ASKED = 50
"""At most this many of a consumer's unmet obligations are searched for blockers."""
REPLACED_ASKED = 10_000
"""At most this many publications are searched for a restatement's figures."""
AGAIN_US = 30 * 24 * 3_600_000_000
"""The same wrong rows reopen an incident within 30 days of its end."""


def close(
    tx: Transaction,
    context: EvaluationContext,
    blockage: Blockage,
    evaluation: Evaluation,
    now: int,
) -> None:
    """Move each open incident towards its end.

    It is recovering when its evidence is gone, and resolved when its partitions are published and
    `status` finds no consumer wrong or unserved because of it.
    """
    for incident in stored.open_incidents(tx):
        _end_evidence(tx, incident, evaluation, now)
        if not stored_evidence.is_active(tx, incident.id):
            _close_without_evidence(tx, context, blockage, evaluation, incident, now)


def _end_evidence(tx: Transaction, incident: Incident, evaluation: Evaluation, now: int) -> None:
    """End the evidence that nobody waits for, and the wrong publications of repaired files."""
    if incident.kind == CauseKind.DATA_CORRUPTED and not stored_evidence.is_active(tx, incident.id):
        stored.sound_again(tx, incident.id, now)  # its files are back or were replaced
    stored_evidence.end(tx, _let_go(tx, incident, evaluation), now)


def _close_without_evidence(
    tx: Transaction,
    context: EvaluationContext,
    blockage: Blockage,
    evaluation: Evaluation,
    incident: Incident,
    now: int,
) -> None:
    """Resolve an incident whose evidence is gone, or record what it still waits for."""
    if stored.still_read(tx, incident.id):
        if incident.state == "recovering":
            _open_again(tx, incident, now)
        return
    warned = stored_evidence.warned_last(tx, incident.id)
    if incident.id in evaluation.behind or _unserved(tx, context, blockage, incident, now):
        _recovering(tx, incident, "its cause is gone; those affected aren't all served yet", now)
    elif warned is not None and now - warned < SHOWN_US:
        return
    elif repair := rebuilding_clause(tx, context, incident):
        _recovering(tx, incident, repair, now)
    elif not _superseded(context, incident, evaluation):
        _resolved(tx, context, incident, evaluation, now)


def reopen(tx: Transaction, now: int) -> None:
    """Reopen resolved incidents whose wrong rows readers see again."""
    for incident in stored.read_again(tx, now - AGAIN_US):
        _open_again(tx, incident, now)


def _open_again(tx: Transaction, incident: Incident, now: int) -> None:
    stored.write(
        tx,
        msgspec.structs.replace(
            incident, state="open", restored_at=None, resolved_at=None, updated_at=now
        ),
    )
    stored.happened(
        tx,
        incident.id,
        [Happened(now, "opened again: the same rows were published again", HEADRACE)],
    )


def _recovering(tx: Transaction, incident: Incident, why: str, now: int) -> None:
    if incident.state != "recovering":
        stored.write(tx, msgspec.structs.replace(incident, state="recovering", updated_at=now))
        stored.happened(tx, incident.id, [Happened(now, why, HEADRACE)])


def _resolved(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    evaluation: Evaluation,
    now: int,
) -> None:
    served = _restored_at(
        tx,
        context,
        incident,
        evaluation,
        min(now, stored_evidence.warned_last(tx, incident.id) or now),
    )
    text, acted_us = ending(tx, context, incident, evaluation, now)
    # an incident isn't over before the command that ended it
    restored = max(served, min(acted_us, now))
    stored.write(
        tx,
        msgspec.structs.replace(
            incident, state="resolved", restored_at=restored, resolved_at=now, updated_at=now
        ),
    )
    stored.happened(tx, incident.id, [Happened(now, f"{RESOLVED}{text}", HEADRACE)])


def _let_go(tx: Transaction, incident: Incident, evaluation: Evaluation) -> list[str]:
    """Return the evidence of dropped deliveries that nobody waits for.

    Every obligation that needs the interval is waived or met.
    """
    return [
        id_
        for node, key in stored.partitions_of(tx, incident.id)
        if quarantine.dropped(tx, node, key or WHOLE) is not None
        and changes.newest_withheld(tx, node, key or WHOLE) is None
        if all(_settled(tx, name, key) for name in evaluation.consumers_of(node))
        for id_, _, held in stored_evidence.active_at(tx, node, key)
        if held
    ]


def _settled(tx: Transaction, consumer: str, key: str) -> bool:
    obligation = obligations.get(tx, consumer, key.partition(SEPARATOR)[0])
    return obligation is not None and (
        obligation.met_at is not None or obligation.waived_at is not None
    )


def _superseded(context: EvaluationContext, incident: Incident, evaluation: Evaluation) -> bool:
    """Return whether readers still see figures that a vendor's restatement superseded.

    Nobody has requested their recomputation.
    """
    if incident.kind != CauseKind.RESTATEMENT:
        return False
    restated = frozenset(incident.affected.partitions)
    return any(
        node in incident.affected.assets and is_made_of(context, node, key, incident.node, restated)
        for node, key in evaluation.superseded
    )


def _unserved(
    tx: Transaction, context: EvaluationContext, blockage: Blockage, incident: Incident, now: int
) -> bool:
    """Return whether an affected consumer has an overdue obligation.

    Obligations that something else holds back don't count.
    """
    affected = set(incident.affected.consumers)
    if not affected:
        return False
    others = (
        _places(tx, other.id)
        for other in stored.open_incidents(tx)
        if other.id != incident.id and stored_evidence.is_active(tx, other.id)
    )
    places = _places(tx, incident.id).difference(*others)
    return any(
        t.consumer in affected and _waits(tx, blockage, t, places, now)
        for t in context.declared.consumers
    )


def _places(tx: Transaction, number: int) -> set[tuple[str, str]]:
    """Return the partitions at which an incident was seen."""
    return {(node, key or WHOLE) for node, key in stored.partitions_of(tx, number)}


def _waits(
    tx: Transaction, blockage: Blockage, terms: Terms, places: Collection[tuple[str, str]], now: int
) -> bool:
    for obligation in obligations.unmet(tx, terms.consumer, limit=UNMET_ASKED):
        if obligation.due_at <= now and not _held_elsewhere(
            blockage.of(terms, obligation.interval), places
        ):
            return True
    return False


def _held_elsewhere(results: Iterable[Blocked], places: Collection[tuple[str, str]]) -> bool:
    """Return whether an interval has a blocker at other partitions that needs an action to end."""
    return any(
        item.block is not BlockReason.WAITING and (item.node, item.partition) not in places
        for item in results
    )


def _restored_at(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    evaluation: Evaluation,
    now: int,
) -> int:
    """Return when the last affected consumer was served again, or got a restatement's new figures.

    The result isn't before the incident was last opened. If no consumer was affected, it is when
    the evidence was gone. An infeasible deadline is feasible again with the first interval that is
    on time.
    """
    opened = opened_last_at(tx, incident)
    since = incident.began_at if opened == incident.opened_at else opened
    fits = incident.kind == CauseKind.DEADLINE_INFEASIBLE
    met = [
        obligation.met_at
        for consumer in incident.affected.consumers
        for obligation in obligations.newest(tx, consumer)
        if obligation.met_at is not None
        and (fits or obligation.met_at > obligation.due_at)
        and since < obligation.met_at <= now
    ]
    replaced = evaluation.replaced_at(incident.id)
    again = [] if replaced is None or replaced < since else [replaced]
    return max(max([*met, *again, *_recomputed(tx, context, incident)], default=now), opened)


def _recomputed(tx: Transaction, context: EvaluationContext, incident: Incident) -> Iterator[int]:
    """Yield when data derived from a vendor's restatement was republished."""
    if incident.kind == CauseKind.RESTATEMENT:
        restated = frozenset(incident.affected.partitions)
        for row in publications.replaced_since(tx, incident.began_at, REPLACED_ASKED):
            if row.node in incident.affected.assets and is_made_of(
                context, row.node, row.partition, incident.node, restated
            ):
                yield row.at
