"""Why an interval isn't there: from what a consumer reads up to the most upstream node that holds it back. Pure."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from headrace.model import InputMode
from headrace.model.intervals import bounds_us
from headrace.model.required import SEPARATOR, required
from headrace.model.times import Offset
from headrace.observe.obligations import Scene, counts_as_empty, covered, needed, paced_inputs
from headrace.observe.watched import WHOLE, Node, Terms
from headrace.observe.wording import moment


class Block(enum.IntEnum):
    """How a partition is held back, most telling first."""

    QUARANTINED = 1
    FAILED = 2
    WITHDRAWN = 3
    PAUSED = 4
    MISSING = 5
    WAITING = 6


class Blocked(NamedTuple):
    """One partition that holds others back. `since_us` None: it was never heard of."""

    block: Block
    since_us: int | None
    node: str
    partition: str
    state: str
    reason: str


def blocking(terms: Terms, interval: str, scene: Scene, now_us: int) -> list[Blocked]:
    """The most upstream partitions that keep an interval of a consumer from being met, most telling first, then
    the one that has blocked for longest."""
    walk = _Walk(terms, interval, scene, now_us)
    for node in scene.awaited(terms):
        walk.read(node)
    return sorted(walk.found, key=lambda one: (one.block, one.since_us or 0, one.node, one.partition))


class _Walk:
    def __init__(self, terms: Terms, interval: str, scene: Scene, now_us: int) -> None:
        self.found: list[Blocked] = []
        self._terms, self._interval, self._scene, self._now = terms, interval, scene, now_us
        self._seen: set[tuple[str, str]] = set()

    def read(self, node: Node) -> bool:
        """Visit what the interval requires of a node; True if it isn't all there."""
        if covered(node, self._terms, self._interval, self._scene) is not None:
            return False
        keys = needed(node, self._terms, self._interval, self._scene)
        if keys is not None:
            return _any(self._partition(node, key) for key in keys)
        if _any(self.read(source) for source in paced_inputs(node, self._scene)):
            return True
        return self._partition(node, WHOLE, even_if_published=True)

    def _partition(self, node: Node, key: str, *, even_if_published: bool = False) -> bool:
        """Visit a partition and what it requires; True if it isn't there."""
        standing = self._scene.world.standing(node.name, key)
        if standing is not None and standing.published and not even_if_published:
            return False
        if (node.name, key) in self._seen:
            return True
        self._seen.add((node.name, key))
        if not _any(self._input(node, key, source, newest) for source, newest in self._inputs(node)):
            self.found.append(self._blocked(node, key))
        return True

    def _inputs(self, node: Node) -> list[tuple[Node, bool]]:
        nodes = self._scene.declared.nodes
        return [(nodes[spec.node], spec.mode is InputMode.ALL) for spec in node.inputs if spec.node in nodes and not spec.optional]

    def _input(self, node: Node, key: str, source: Node, newest: bool) -> bool:
        """Visit what a partition requires of one input; True if it isn't all there."""
        keys = None
        if not newest:
            spec = next(spec for spec in node.inputs if spec.node == source.name)
            seen = partial(self._scene.world.keys, source.name)
            keys = required(node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen).keys
        if keys is None:
            return self._scene.world.newest(source.name) is None and self._partition(source, WHOLE)
        return _any(self._partition(source, one) for one in keys if not counts_as_empty(source, one, self._scene))

    def _blocked(self, node: Node, key: str) -> Blocked:
        standing = self._scene.world.standing(node.name, key)
        state = "missing" if standing is None else standing.state
        pause = self._scene.world.pauses().get(node.name)
        if pause is not None and pause.holds(self._now) and state in ("missing", "waiting"):
            return Blocked(Block.PAUSED, None, node.name, key, state, pause.said(self._now, self._scene.declared.timezone))
        if state == "missing":
            return Blocked(Block.MISSING if node.is_source else Block.WAITING, None, node.name, key, state, "")
        assert standing is not None
        if node.exported_to and state == "waiting" and standing.reason:  # it is tried again and again, and fails
            return Blocked(Block.FAILED, standing.since_us, node.name, key, "failed", standing.reason)
        return Blocked(_BLOCKS.get(state, Block.WAITING), standing.since_us, node.name, key, state, standing.reason)


_BLOCKS = {"held": Block.QUARANTINED, "rejected": Block.QUARANTINED, "failed": Block.FAILED, "withdrawn": Block.WITHDRAWN}


def _any(visited: Iterable[bool]) -> bool:
    """Whether one is true, after all were visited."""
    return sum(visited) > 0


def told(blocked: Blocked, scene: Scene, now_us: int) -> str:
    """One clause: `flights: 2 columns renamed, held since Tue 02-12 04:40`."""
    zone = scene.declared.timezone
    node = scene.node(blocked.node)
    if node.exported_to:
        return _told_of_export(node, blocked, now_us, zone)
    at = f"@{blocked.partition}" if blocked.partition != WHOLE else ""
    match blocked.block:
        case Block.PAUSED:
            return f"{blocked.node}: {blocked.reason}"
        case Block.QUARANTINED | Block.FAILED | Block.WITHDRAWN:
            since = "" if blocked.since_us is None else f" since {moment(blocked.since_us, now_us, zone)}"
            reason = f"{_clause(blocked.reason)}, " if blocked.reason else ""
            return f"{blocked.node}: {reason}{blocked.state}{since}"
        case Block.MISSING:
            by = promised_by(node, blocked.partition)
            promised = "" if by is None else f", promised by {moment(by, now_us, zone)}"
            return f"{blocked.node}{at}: nothing was delivered{promised}"
        case Block.WAITING:
            verb = "taken in" if node.is_source else "computed"
            doing = f"is being {verb}" if blocked.state == "running" else f"isn't {verb} yet"
            return f"{blocked.node}{at}: {doing}"


def _told_of_export(node: Node, blocked: Blocked, now_us: int, zone: str) -> str:
    target = node.target(blocked.partition)
    if blocked.block is Block.PAUSED:
        return f"the export to {target} is {blocked.reason}"
    if blocked.block is Block.FAILED:
        since = "" if blocked.since_us is None else f", since {moment(blocked.since_us, now_us, zone)}"
        return f"export to {target} failed: {_clause(blocked.reason)}{since}"
    return f"the export to {target} is being written" if blocked.state == "running" else f"the export to {target} isn't written yet"


def next_command(blocked: Blocked) -> str:
    """What to type next about it."""
    subject = shlex.quote(blocked.node if blocked.partition == WHOLE else f"{blocked.node}@{blocked.partition}")
    match blocked.block:
        case Block.QUARANTINED:
            return f"headrace quarantine {subject}"
        case Block.FAILED:
            return f"headrace logs {subject}"
        case Block.WITHDRAWN:
            at = "" if blocked.partition == WHOLE else f" --partition {shlex.quote(blocked.partition)}"
            return f"headrace run {shlex.quote(blocked.node)}{at}"
        case Block.PAUSED:
            return f"headrace resume {shlex.quote(blocked.node)}"
        case Block.MISSING | Block.WAITING:
            return "headrace tick"


def promised_by(node: Node, partition: str) -> int | None:
    """Until when a source's partition was promised; None if that wasn't said."""
    if node.expect_by is None or node.partition.grain is None:
        return None
    end = bounds_us(partition.partition(SEPARATOR)[0], node.partition.grain, node.timezone)[1]
    return Offset.parse(node.expect_by).after_us(end, node.timezone, node.no_data.holds)


def _clause(reason: str) -> str:
    """A reason without its particulars, which `quarantine` and `logs` have: up to the first bracket or the second sentence."""
    return reason.partition(" (")[0].partition("; ")[0]
