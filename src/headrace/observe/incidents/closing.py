"""Incidents end when nothing of their evidence stands, no backfill still computes their partitions, and
those whom they affected are served, as `status` evaluates it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from headrace.model.required import SEPARATOR
from headrace.observe.blockage import Blockage, Blocked, BlockReason
from headrace.observe.declared_promises import WHOLE, Terms
from headrace.observe.diagnosis.causes import HEADRACE, CauseKind
from headrace.observe.evaluation import Evaluation
from headrace.observe.incidents import endings
from headrace.observe.incidents.rebuilding import is_made_of, rebuilding
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries import news, obligations, quarantine, restatements
from headrace.store.queries.incidents import Happened, Incident

SHOWN_US = 24 * 3_600_000_000
"""What kept nothing from readers is shown as open for so long after it was seen last: whoever looks once a day sees it."""
UNMET_ASKED = 50
"""How many of a consumer's unmet obligations are asked at most what they wait for."""
REPLACED_ASKED = 10_000
"""How many publications are searched at most for when readers had a restatement's figures."""
AGAIN_US = 30 * 24 * 3_600_000_000
"""How long after an incident's end the same wrong rows are recognised when they are published again."""


def close(tx: Transaction, context: EvaluationContext, blockage: Blockage, evaluation: Evaluation, now: int) -> None:
    """Follow each open incident to its end: recovering when its evidence is gone, resolved when its
    partitions are published and `status` finds nobody wrong or unserved through it."""
    for incident in stored.open_ones(tx):
        if incident.kind == CauseKind.DATA_CORRUPTED and not stored_evidence.stands(tx, incident.id):
            stored.sound_again(tx, incident.id, now)  # its files are there again, or were replaced
        stored_evidence.end(tx, _let_go(tx, incident, evaluation), now)
        if stored_evidence.stands(tx, incident.id):
            continue
        if stored.still_read(tx, incident.id):
            if incident.state == "recovering":
                _open_again(tx, incident, now)
            continue
        warned = stored_evidence.warned_last(tx, incident.id)
        if incident.id in evaluation.behind or _unserved(tx, context, blockage, incident, now):
            _recovering(tx, incident, "its cause is gone; those affected aren't all served yet", now)
        elif warned is not None and now - warned < SHOWN_US:
            continue
        elif repair := rebuilding(tx, context, incident):
            _recovering(tx, incident, repair, now)
        elif not _superseded(context, incident, evaluation):
            _resolved(tx, context, incident, evaluation, now)


def reopen(tx: Transaction, now: int) -> None:
    """Open those again whose wrong rows readers see again, though they were resolved."""
    for incident in stored.read_again(tx, now - AGAIN_US):
        _open_again(tx, incident, now)


def _open_again(tx: Transaction, incident: Incident, now: int) -> None:
    stored.write(tx, msgspec.structs.replace(incident, state="open", restored_at=None, resolved_at=None, updated_at=now))
    stored.happened(tx, incident.id, [Happened(now, "opened again: the same rows were published again", HEADRACE)])


def _recovering(tx: Transaction, incident: Incident, why: str, now: int) -> None:
    if incident.state != "recovering":
        stored.write(tx, msgspec.structs.replace(incident, state="recovering", updated_at=now))
        stored.happened(tx, incident.id, [Happened(now, why, HEADRACE)])


def _resolved(tx: Transaction, context: EvaluationContext, incident: Incident, evaluation: Evaluation, now: int) -> None:
    served = _restored_at(tx, context, incident, evaluation, min(now, stored_evidence.warned_last(tx, incident.id) or now))
    text, acted_us = endings.ending(tx, context, incident, evaluation, now)
    restored = max(served, min(acted_us, now))  # nothing is over before the act that ended it
    stored.write(tx, msgspec.structs.replace(incident, state="resolved", restored_at=restored, resolved_at=now, updated_at=now))
    stored.happened(tx, incident.id, [Happened(now, f"{endings.RESOLVED}{text}", HEADRACE)])


def _let_go(tx: Transaction, incident: Incident, evaluation: Evaluation) -> list[str]:
    """The evidence of deliveries that somebody dropped and nobody waits for: every promise that
    needs the interval was waived or is met."""
    return [
        id_
        for node, key in stored.partitions_of(tx, incident.id)
        if quarantine.dropped(tx, node, key or WHOLE) is not None and news.newest_withheld(tx, node, key or WHOLE) is None
        if all(_settled(tx, name, key) for name in evaluation.consumers_of(node))
        for id_, _, held in stored_evidence.standing_at(tx, node, key)
        if held
    ]


def _settled(tx: Transaction, consumer: str, key: str) -> bool:
    obligation = obligations.get(tx, consumer, key.partition(SEPARATOR)[0])
    return obligation is not None and (obligation.met_at is not None or obligation.waived_at is not None)


def _superseded(context: EvaluationContext, incident: Incident, evaluation: Evaluation) -> bool:
    """Whether readers still see what a vendor's restatement superseded, because nobody has asked
    for it to be recomputed."""
    if incident.kind != CauseKind.RESTATEMENT:
        return False
    restated = frozenset(incident.affected.partitions)
    return any(
        node in incident.affected.assets and is_made_of(context, node, key, incident.node, restated) for node, key in evaluation.superseded
    )


def _unserved(tx: Transaction, context: EvaluationContext, blockage: Blockage, incident: Incident, now: int) -> bool:
    """Whether an affected consumer has an obligation that is due, isn't met, and isn't held back by something else."""
    affected = set(incident.affected.consumers)
    if not affected:
        return False
    others = (_places(tx, other.id) for other in stored.open_ones(tx) if other.id != incident.id and stored_evidence.stands(tx, other.id))
    places = _places(tx, incident.id).difference(*others)
    return any(t.consumer in affected and _waits(tx, blockage, t, places, now) for t in context.declared.consumers)


def _places(tx: Transaction, number: int) -> set[tuple[str, str]]:
    """The partitions at which an incident was seen."""
    return {(node, key or WHOLE) for node, key in stored.partitions_of(tx, number)}


def _waits(tx: Transaction, blockage: Blockage, terms: Terms, places: Collection[tuple[str, str]], now: int) -> bool:
    for obligation in obligations.unmet(tx, terms.consumer, limit=UNMET_ASKED):
        if obligation.due_at <= now and not _held_elsewhere(blockage.of(terms, obligation.interval), places):
            return True
    return False


def _held_elsewhere(results: Iterable[Blocked], places: Collection[tuple[str, str]]) -> bool:
    """Whether something holds an interval back that doesn't go on by itself, elsewhere than where this incident, and no other, was seen."""
    return any(item.block is not BlockReason.WAITING and (item.node, item.partition) not in places for item in results)


def _restored_at(tx: Transaction, context: EvaluationContext, incident: Incident, evaluation: Evaluation, now: int) -> int:
    """When the last of those affected was served again, or had a restatement's new figures, never before it was opened last; where nobody
    was affected, when its evidence was gone. A deadline that couldn't be met fits again with the first interval that is in time."""
    opened = endings.opened_last_at(tx, incident)
    since = incident.began_at if opened == incident.opened_at else opened
    fits = incident.kind == CauseKind.DEADLINE_INFEASIBLE
    met = [
        obligation.met_at
        for consumer in incident.affected.consumers
        for obligation in obligations.newest(tx, consumer)
        if obligation.met_at is not None and (fits or obligation.met_at > obligation.due_at) and since < obligation.met_at <= now
    ]
    replaced = evaluation.replaced_at(incident.id)
    again = [] if replaced is None or replaced < since else [replaced]
    return max(max([*met, *again, *_recomputed(tx, context, incident)], default=now), opened)


def _recomputed(tx: Transaction, context: EvaluationContext, incident: Incident) -> Iterator[int]:
    """When what is made of a vendor's restatement was published with its figures."""
    if incident.kind == CauseKind.RESTATEMENT:
        restated = frozenset(incident.affected.partitions)
        for row in restatements.replaced(tx, incident.began_at, REPLACED_ASKED):
            if row.node in incident.affected.assets and is_made_of(context, row.node, row.partition, incident.node, restated):
                yield row.at
