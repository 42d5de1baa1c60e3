"""Which incident it is that a consumer waits for, or that makes what it reads wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from headrace.observe.blockage import HOLDS, Blockage
from headrace.observe.obligations import Scene
from headrace.observe.watched import WHOLE, Terms
from headrace.store.database import Transaction
from headrace.store.queries import incidents as stored
from headrace.store.queries import obligations, publications
from headrace.store.queries.incidents import Incident

UNMET_ASKED = 50
"""So many of a consumer's unmet obligations are asked what they wait for."""


def holding(tx: Transaction, scene: Scene, terms: Terms, now_us: int) -> Incident | None:
    """The open incident that holds back the newest interval of a consumer that is due, else the newest before it that one holds, else
    one that keeps what it reads from ever being published. Of several at one interval it is the one that its delay ledger names."""
    found = stored.open_ones(tx)
    mine = [one for one in found if terms.consumer in one.affected.consumers]
    if not mine:
        return None
    unmet = [one for one in obligations.unmet(tx, terms.consumer) if one.due_at <= now_us][-UNMET_ASKED:]
    blockage, wrong = Blockage(scene, now_us), _wrong(tx, mine)
    for one in reversed(unmet):
        held = [*_blocking(tx, blockage, terms, one.interval), *_wrong_above(blockage, terms, one.interval, wrong)]
        if held:
            return min(held, key=lambda each: each[0])[1]
    return _keeps_empty(found, scene, terms)


_Order: TypeAlias = tuple[int, int, str, str]
"""What waits to be mended first, then what began first: as the ledger has it (`ledger.causes`)."""


def _blocking(tx: Transaction, blockage: Blockage, terms: Terms, interval: str) -> Iterator[tuple[_Order, Incident]]:
    """What isn't there, with the open incident of each."""
    for n, blocked in enumerate(blockage.of(terms, interval)):
        incident = stored.open_at(tx, blocked.node, "" if blocked.partition == WHOLE else blocked.partition)
        if incident is not None:
            order = (0, blocked.since_us or 0) if blocked.block in HOLDS else (1, n)
            yield (*order, blocked.node, blocked.partition), incident


def _wrong(tx: Transaction, found: Sequence[Incident]) -> Mapping[tuple[str, str], tuple[int, Incident]]:
    """Node and partition of what incidents make wrong and readers see → since when, and the incident."""
    wrong: dict[tuple[str, str], tuple[int, Incident]] = {}
    for one in found:
        for place in stored.wrong_keys(tx, one.id):
            if (shown := publications.current(tx, *place)) is not None:
                wrong.setdefault(place, (shown.published_at, one))
    return wrong


def _wrong_above(
    blockage: Blockage, terms: Terms, interval: str, wrong: Mapping[tuple[str, str], tuple[int, Incident]]
) -> Iterator[tuple[_Order, Incident]]:
    """What is there of all that an interval is made of, and is wrong."""
    for place in blockage.above(terms, interval) if wrong else ():
        if place in wrong:
            since, incident = wrong[place]
            yield (0, since, *place), incident


def _keeps_empty(found: Sequence[Incident], scene: Scene, terms: Terms) -> Incident | None:
    """The oldest open incident of a node above the consumer of which nothing was ever published: before the first
    deadline, and where no interval is known yet, no obligation leads to it."""
    for one in sorted(found, key=lambda each: (each.began_at, each.id)):
        if terms.consumer in one.affected.consumers and one.node in scene.declared.nodes and scene.world.newest(one.node) is None:
            return one
    return None
