"""Which incident it is that a consumer waits for, or that makes what it reads wrong."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.observe.blockage import Blockage
from headrace.observe.obligations import Scene
from headrace.observe.watched import WHOLE, Terms
from headrace.store.database import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import obligations
from headrace.store.queries.incidents import Incident

UNMET_ASKED = 50
"""So many of a consumer's unmet obligations are asked what they wait for."""


def holding(tx: Transaction, scene: Scene, terms: Terms, now_us: int) -> Incident | None:
    """The open incident that holds back the newest interval of a consumer that is due, else the newest before it that one holds, else
    one that keeps what it reads from ever being published."""
    found = stored.open_ones(tx)
    if not any(terms.consumer in one.affected.consumers for one in found):
        return None
    unmet = [one for one in obligations.unmet(tx, terms.consumer) if one.due_at <= now_us][-UNMET_ASKED:]
    blockage = Blockage(scene, now_us)
    for one in reversed(unmet):
        for blocked in blockage.of(terms, one.interval):
            incident = stored.open_at(tx, blocked.node, "" if blocked.partition == WHOLE else blocked.partition)
            if incident is not None:
                return incident
    return _keeps_empty(found, scene, terms)


def _keeps_empty(found: Sequence[Incident], scene: Scene, terms: Terms) -> Incident | None:
    """The oldest open incident of a node above the consumer of which nothing was ever published: before the first
    deadline, and where no interval is known yet, no obligation leads to it."""
    for one in sorted(found, key=lambda each: (each.began_at, each.id)):
        if terms.consumer in one.affected.consumers and one.node in scene.declared.nodes and scene.world.newest(one.node) is None:
            return one
    return None
