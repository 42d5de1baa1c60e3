"""Incidents end when nothing of their evidence stands and those whom they affected are served again."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.observe.blockage import Block, Blockage, Blocked
from headrace.observe.diagnosis.causes import HEADRACE
from headrace.observe.obligations import Scene
from headrace.observe.watched import Terms
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries import obligations
from headrace.store.queries.incidents import Happened, Incident

SHOWN_US = 24 * 3_600_000_000
"""What kept nothing from readers is shown as open for so long after it was seen last: whoever looks once a day sees it."""
UNMET_ASKED = 50
"""So many of a consumer's unmet obligations are asked what they wait for."""


def close(tx: Transaction, scene: Scene, blockage: Blockage, now: int) -> None:
    """Follow each open incident to its end: recovering when its evidence is gone, resolved when those affected are served."""
    for one in stored.open_ones(tx):
        if stored_evidence.stands(tx, one.id) or stored.still_read(tx, one.id):
            continue
        warned = stored_evidence.warned_last(tx, one.id)
        if _unserved(tx, scene, blockage, one, now):
            _recovering(tx, one, now)
        elif warned is not None and now - warned < SHOWN_US:
            continue
        else:
            _resolved(tx, one, now)


def _recovering(tx: Transaction, one: Incident, now: int) -> None:
    if one.state != "recovering":
        stored.write(tx, msgspec.structs.replace(one, state="recovering", updated_at=now))
        stored.happened(tx, one.id, [Happened(now, "its cause is gone; those affected aren't all served yet", HEADRACE)])


def _resolved(tx: Transaction, one: Incident, now: int) -> None:
    restored = _restored_at(tx, one, min(now, stored_evidence.warned_last(tx, one.id) or now))
    stored.write(tx, msgspec.structs.replace(one, state="resolved", restored_at=restored, resolved_at=now, updated_at=now))
    stored.happened(tx, one.id, [Happened(now, "resolved: all whom it affected are served again", HEADRACE)])


def _unserved(tx: Transaction, scene: Scene, blockage: Blockage, one: Incident, now: int) -> bool:
    """Whether an affected consumer has an obligation that is due, isn't met, and isn't held back by another incident."""
    affected = set(one.affected.consumers)
    return any(t.consumer in affected and _waits(tx, blockage, t, now) for t in scene.declared.consumers)


def _waits(tx: Transaction, blockage: Blockage, terms: Terms, now: int) -> bool:
    for one in obligations.unmet(tx, terms.consumer, limit=UNMET_ASKED):
        if one.due_at <= now and not _held_elsewhere(blockage.of(terms, one.interval)):
            return True
    return False


def _held_elsewhere(found: Iterable[Blocked]) -> bool:
    """Whether something holds an interval back that doesn't go on by itself: this incident's evidence is gone, so it isn't this one's."""
    return any(one.block is not Block.WAITING for one in found)


def _restored_at(tx: Transaction, one: Incident, now: int) -> int:
    """When the last of those affected was served again; where nobody was, when its evidence was gone."""
    met = [
        kept.met_at
        for consumer in one.affected.consumers
        for kept in obligations.newest(tx, consumer)
        if kept.met_at is not None and kept.met_at > kept.due_at and one.began_at < kept.met_at <= now
    ]
    return max(met, default=now)
