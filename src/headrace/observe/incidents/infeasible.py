"""Evidence that a deadline can't be met: what usually arrives when, and how long what follows usually takes, end after it."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from functools import cache

from headrace.model.intervals import bounds_us
from headrace.observe.blockage import Block, promised_by
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.incidents.arrivals import LEAST, delays
from headrace.observe.incidents.blocked import Waiting
from headrace.observe.obligations import Scene
from headrace.observe.watched import Terms
from headrace.observe.wording import moment
from headrace.store.database import Transaction
from headrace.store.queries import durations, obligations

NATS = 6.0
LATELY_US = 36 * 3_600_000_000
"""For so long what was met late is asked whether it could have been met in time."""
_HOLDS = (Block.MISSING, Block.WAITING)


def gather(tx: Transaction, scene: Scene, found: list[Waiting], late: Collection[tuple[str, str]], now: int) -> Iterator[Evidence]:
    """The consumers whose newest due interval waits, or waited, for nothing but what usually comes, or is computed, after it was due."""
    newest = {one.consumer: one for one in found}  # they come oldest first
    terms = {one.consumer: one for one in scene.declared.consumers}
    usual = _Usual(tx, scene)
    for name, consumer in terms.items():
        one = newest.get(name)
        if one is not None:
            if one.by and not any(b.block not in _HOLDS or (b.node, b.partition) in late for b in one.by):
                ends = max((usual.ends(consumer, b.node, b.partition) or 0 for b in one.by), default=0)
                yield from _of(scene, name, one.interval, one.due_at, ends, now)
        elif (met := obligations.newest_late(tx, name, now - LATELY_US)) is not None:
            ends = max((usual.ends(consumer, source, met.interval) or 0 for source in _sources(scene, consumer)), default=0)
            yield from _of(scene, name, met.interval, met.due_at, ends, now)


def _of(scene: Scene, consumer: str, interval: str, due: int, ends: int, now: int) -> Iterator[Evidence]:
    if ends <= due:
        return
    zone = scene.declared.timezone
    yield Evidence(
        id=f"deadline:{consumer}", node=consumer, partition=interval, family=Family.ARRIVAL, kind=CauseKind.DEADLINE_INFEASIBLE.value,
        expected=f"by {moment(due, now, zone)}", observed=f"with usual arrivals and durations at {moment(ends, now, zone)}",
        strength=NATS, at_us=now, began_us=due,
    )  # fmt: skip


def _sources(scene: Scene, terms: Terms) -> list[str]:
    """The sources with the consumer's own rhythm that it comes from."""
    waiting, found = list(terms.reads), dict.fromkeys(terms.reads)
    while waiting:
        node = scene.declared.nodes.get(waiting.pop())
        new = [spec.node for spec in node.inputs if spec.node not in found] if node is not None else []
        found |= dict.fromkeys(new)
        waiting += new
    nodes = (scene.declared.nodes[name] for name in found if name in scene.declared.nodes)
    return [node.name for node in nodes if node.is_source and node.partition.grain is terms.per]


class _Usual:
    """When things usually come, and how long they usually take; each is asked once."""

    def __init__(self, tx: Transaction, scene: Scene) -> None:
        self._tx, self._scene = tx, scene
        self._delay = cache(self._usual_delay)
        self._seconds = cache(self._usual_seconds)
        self._after = cache(self._longest_after)

    def ends(self, terms: Terms, name: str, key: str) -> int | None:
        """When what waits for one partition of a source is usually there; None where nothing says when."""
        source = self._scene.node(name)
        if not source.is_source or source.partition.grain is None:
            return None
        delay = self._delay(name)
        ended = bounds_us(key.partition("/")[0], source.partition.grain, source.timezone)[1]
        arrives = promised_by(source, key) if delay is None else ended + delay
        takes = max((found for read in terms.reads if (found := self._after(name, read)) is not None), default=0.0)
        return None if arrives is None else arrives + int(takes * 1_000_000)

    def _usual_delay(self, source: str) -> int | None:
        took = delays(self._tx, self._scene.node(source))
        return int(statistics.median(took)) if len(took) >= LEAST else None

    def _usual_seconds(self, node: str) -> float:
        found = durations.of_node(self._tx, node)
        return found.p50 if found is not None else 0.0

    def _longest_after(self, source: str, node: str) -> float | None:
        """How long the longest chain from a source to a node takes, in seconds; None where none leads there."""
        if node == source:
            return self._seconds(node)
        declared = self._scene.declared.nodes.get(node)
        above = [found for spec in declared.inputs if (found := self._after(source, spec.node)) is not None] if declared else []
        return max(above) + self._seconds(node) if above else None
