"""The scheduler: `Core.handle(event, now) -> commands`, a function of its state, the event and the time.

The runtime gives it every event, commits what the commands need, and only then acts. Nothing here reads a clock,
a file or a database, and the only randomness is a generator seeded by the attempt's own name.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key, start_us
from headrace.schedule.admission import Durations, admits
from headrace.schedule.commands import Command, Dispatch, Kill, Mark
from headrace.schedule.events import (
    Arrived,
    AttemptId,
    Clock,
    Ended,
    Event,
    Loaded,
    Published,
    Refreshed,
    Requested,
    Target,
    WorkerLost,
)
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.readiness import WHOLE, Link
from headrace.schedule.retry import retry_after_us
from headrace.schedule.states import Change, FailureKind, PartitionState, step


class Cell:
    """One partition of one node, as the core keeps it."""

    __slots__ = ("dirty", "failures", "hash", "not_before", "published", "queued", "queued_at", "reason", "stale", "state")

    def __init__(self, state: PartitionState = PartitionState.MISSING) -> None:
        self.state = state
        self.stale = False
        self.failures = 0
        self.not_before: int | None = None
        self.published = False
        self.hash: str | None = None
        self.reason = ""
        self.dirty = False
        """An input changed while an attempt was running: it is stale as soon as it ends."""
        self.queued = False
        """It stands in the ready queue, since `queued_at`."""
        self.queued_at = 0


class Running(NamedTuple):
    """A slot that is taken, until `expires_at` at the latest."""

    node: str
    keys: tuple[str, ...]
    expires_at: int


class Waiting(NamedTuple):
    """What a partition waits for: another partition, and where that stands."""

    node: str
    key: str
    state: PartitionState
    reason: str


class Core:
    """`slots` attempts run at once (a few more are given out ahead). `epoch` is the leader's; attempts are numbered
    within it, `after` the last one."""

    def __init__(self, *, epoch: int, slots: int, after: int = 0) -> None:
        self._epoch, self._slots = epoch, slots
        self._last_n = after
        self._nodes: dict[str, GraphNode] = {}
        self._order: tuple[str, ...] = ()
        self._rank: dict[str, int] = {}
        self._links: dict[str, tuple[Link, ...]] = {}
        self._children: dict[str, list[tuple[GraphNode, Link]]] = {}
        self._followers: dict[str, list[str]] = {}
        self._gathers: dict[str, frozenset[str]] = {}
        """Whole nodes over partitioned inputs -> their ancestors: they run when those are at rest, not once a partition."""
        self._cells: dict[str, dict[str, Cell]] = {}
        self._first: dict[str, str] = {}
        """Node -> its oldest partition that was ever heard of."""
        self._starts: dict[str, float] = {}
        self._visible: set[str] = set()
        """Nodes of which something is published."""
        self._targets: dict[str, list[Target]] = {}
        self._ready: list[tuple[int, str, int, str]] = []
        self._later: list[tuple[int, str, str]] = []
        self._running: dict[AttemptId, Running] = {}
        self._durations = Durations()
        self._timed_out: set[AttemptId] = set()
        self._busy: dict[str, int] = {}
        """Node -> its partitions that are queued or running."""
        self._commands: list[Command] = []
        self._now = 0

    # What the runtime asks

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take one event in and say what is to be done. `now` is in microseconds."""
        self._commands, self._now = [], now
        match event:
            case Loaded():
                self._load(event)
            case Arrived():
                self._want(event.source, event.key, force=True)
            case Refreshed():
                self._refreshed(event)
            case Requested():
                self._request(event, now)
            case Published():
                self._published(event)
            case Ended():
                self._ended(event, now)
            case WorkerLost():
                self._lost(event, now)
            case Clock():
                self._tick(now)
        self._reconsider_gathers()
        self._admit(now)
        return self._commands

    def idle(self) -> bool:
        """True when nothing runs and nothing may run before `next_try`."""
        return not self._running and not self._ready

    def next_try(self) -> int | None:
        """When the next partition that backs off may be tried again, in microseconds; None if there is none."""
        return self._later[0][0] if self._later else None

    def next_expiry(self) -> int | None:
        """When the next running attempt times out, in microseconds."""
        return min((r.expires_at for r in self._running.values()), default=None)

    def running(self) -> dict[AttemptId, Running]:
        """The attempts that hold a slot."""
        return dict(self._running)

    def ahead(self) -> int:
        """How many attempts lie in the pipes of workers that are at another one."""
        return len(self._running) - self._slots

    def state_of(self, node: str, key: str) -> PartitionState:
        """Where a partition stands; `missing` for one that nothing was ever heard of."""
        cell = self._cells.get(node, {}).get(key)
        return cell.state if cell else PartitionState.MISSING

    def waiting(self, now: int) -> Iterator[tuple[str, str]]:
        """The targeted partitions that wait for something else than a slot, though their interval has ended."""
        for name, cells in self._cells.items():
            node = self._nodes[name]
            for key, cell in cells.items():
                if cell.state is not PartitionState.WAITING or cell.queued or not self._targeted(name, key):
                    continue
                if self._expected(node, key) and _ended(node, key, now):
                    yield name, key

    def waiting_for(self, node: str, key: str) -> list[Waiting]:
        """What keeps a partition from running, in the order of its inputs; empty if nothing does."""
        return list(self._missing(self._nodes[node], key))

    # Events

    def _load(self, event: Loaded) -> None:
        self._build(event.graph)
        for row in event.cells:
            if row.node not in self._nodes:
                continue
            cell = Cell(PartitionState.WAITING if row.state is PartitionState.RUNNING else row.state)
            cell.stale, cell.failures, cell.not_before = row.stale, row.failures, row.not_before
            cell.published, cell.hash = row.published, row.hash
            if row.published:
                self._visible.add(row.node)
            if cell.stale and cell.state is PartitionState.PUBLISHED:
                cell.state = PartitionState.WAITING
            self._add(row.node, row.key, cell)
        for node in event.graph.nodes:
            if not node.is_source:
                self._expect(node)

    def _build(self, graph: Graph) -> None:
        self._nodes = {n.name: n for n in graph.nodes}
        self._order = tuple(self._nodes)
        self._rank = {name: i for i, name in enumerate(self._order)}
        self._cells = {n.name: {} for n in graph.nodes}
        self._children = {n.name: [] for n in graph.nodes}
        self._followers = {n.name: [] for n in graph.nodes}
        ancestors: dict[str, set[str]] = {}
        for node in graph.nodes:
            links = tuple(Link(node, spec, self._nodes[spec.node]) for spec in node.inputs)
            self._links[node.name] = links
            for link in links:
                self._children[link.input.name].append((node, link))
            for name in node.depends:
                self._followers[name].append(node.name)
            if any(link.newest for link in links) and node.partition.whole:
                self._gathers[node.name] = frozenset(self._ancestors(node, ancestors))

    def _ancestors(self, node: GraphNode, known: dict[str, set[str]]) -> set[str]:
        if node.name not in known:
            known[node.name] = set()
            for name in (*(spec.node for spec in node.inputs), *node.depends):
                known[node.name] |= {name} | self._ancestors(self._nodes[name], known)
        return known[node.name]

    def _expect(self, node: GraphNode) -> None:
        """The partitions of an asset that its inputs' publications make expected, and that nothing was heard of."""
        if not node.inputs and node.partition.whole:
            self._cell_waiting(node.name, WHOLE)  # nothing announces it, and nothing asks for it by name
        for link in self._links[node.name]:
            for key, cell in self._cells[link.input.name].items():
                if cell.published:
                    for wanted in link.touches(key):
                        if self._expected(node, wanted):
                            self._cell_waiting(node.name, wanted)

    def _cell_waiting(self, node: str, key: str) -> None:
        if key not in self._cells[node]:
            self._add(node, key, Cell(PartitionState.WAITING))

    def _add(self, node: str, key: str, cell: Cell) -> None:
        self._cells[node][key] = cell
        if node not in self._first or key < self._first[node]:
            self._first[node] = key
            self._starts.clear()

    def _request(self, event: Requested, now: int) -> None:
        self._targets = {}
        for target in event.targets:
            self._targets.setdefault(target.node, []).append(target)
        for target in event.targets:
            node = self._nodes[target.node]
            for key in self._unprompted(node, target, now):
                self._cell_waiting(node.name, key)
            for key, cell in self._cells[target.node].items():
                if target.covers(key):
                    self._request_cell(event, target.node, key, cell)

    def _request_cell(self, event: Requested, node: str, key: str, cell: Cell) -> None:
        stopped = cell.state in (PartitionState.FAILED, PartitionState.REJECTED, PartitionState.HELD)
        if (node in event.retry and stopped) or (node in event.again and cell.state is PartitionState.PUBLISHED):
            cell.failures, cell.not_before = 0, None
            self._want(node, key, force=True)
        else:
            self._consider(self._nodes[node], key)

    def _unprompted(self, node: GraphNode, target: Target, now: int) -> Iterable[str]:
        """Partitions that no input announced: those of an asset without inputs, and those that were asked for by name,
        so that it can be said what they wait for."""
        if node.is_source:
            return ()
        grain, zone = node.partition.grain, node.timezone
        if grain is None:
            return () if node.inputs or node.partition.key is None else node.partition.values or ()
        first = target.first or (None if node.inputs else node.start)
        last = target.last or (None if node.inputs else _newest_ended(node, now))
        if first is None or last is None or last < first:
            return ()
        return [key for key in keys_between(first, last, grain, zone) if self._expected(node, key)]

    def _published(self, event: Published) -> None:
        running = self._running.pop(event.attempt)
        node = self._nodes[running.node]
        self._rest(node.name, len(running.keys))
        if event.seconds is not None:
            self._durations.add(node.name, event.seconds)
        first = node.name not in self._visible
        self._visible.add(node.name)
        for key, new_hash in event.hashes:
            cell = self._cells[node.name][key]
            changed = not cell.published or new_hash is None or new_hash != cell.hash
            cell.state = step(cell.state, Change.PUBLISHED)
            cell.published, cell.hash, cell.stale = True, new_hash, False
            cell.failures, cell.not_before, cell.reason = 0, None, ""
            if cell.dirty:
                self._want(node.name, key, force=True, stale=True)
            self._wave(node.name, key, changed)
        for follower in self._followers[node.name]:
            for key in self._cells[follower]:
                self._consider(self._nodes[follower], key)
        if first:
            self._next_delivery(node)

    def _refreshed(self, event: Refreshed) -> None:
        """A publication that isn't ours to make: what reads it may run now, or is stale."""
        if event.key not in self._cells[event.node]:
            self._add(event.node, event.key, Cell(PartitionState.PUBLISHED))
        cell = self._cells[event.node][event.key]
        changed = not cell.published or event.hash is None or event.hash != cell.hash
        cell.state, cell.published, cell.hash = PartitionState.PUBLISHED, True, event.hash
        self._visible.add(event.node)
        self._wave(event.node, event.key, changed)

    def _wave(self, name: str, key: str, changed: bool) -> None:
        """Tell the partitions that read this one: they may run now, or are stale."""
        for child, link in self._children[name]:
            for wanted in link.touches(key):
                cell = self._cells[child.name].get(wanted)
                if cell is None:
                    if self._expected(child, wanted):
                        self._cell_waiting(child.name, wanted)
                        self._consider(child, wanted)
                elif changed and link.stales:
                    self._want(child.name, wanted, force=True, stale=cell.published)
                else:
                    self._consider(child, wanted)
            if link.newest and not child.partition.whole:
                self._reference_moved(child, stales=changed and link.stales)

    def _reference_moved(self, child: GraphNode, *, stales: bool) -> None:
        """What every partition of a node refers to has a new publication."""
        for key, cell in self._cells[child.name].items():
            if stales and cell.published:
                self._want(child.name, key, force=True, stale=True)
            elif cell.state is PartitionState.WAITING:
                self._consider(child, key)

    def _ended(self, event: Ended, now: int) -> None:
        running = self._running.pop(event.attempt)
        self._rest(running.node, len(running.keys))
        change = {PartitionState.HELD: Change.HELD, PartitionState.REJECTED: Change.REJECTED}.get(event.state, Change.FAILED)
        for key in running.keys:
            cell = self._cells[running.node][key]
            cell.reason = event.reason
            if cell.dirty:
                cell.state = step(cell.state, Change.PUT_BACK)
                cell.dirty = False
                self._mark(running.node, key, cell)
                self._consider(self._nodes[running.node], key)
            elif change is Change.FAILED:
                self._failed(running.node, key, cell, event.kind or FailureKind.DETERMINISTIC, now)
            else:
                cell.state = step(cell.state, change)
                self._mark(running.node, key, cell)
        if running.node not in self._visible:
            self._next_delivery(self._nodes[running.node])

    def _failed(self, node: str, key: str, cell: Cell, kind: FailureKind, now: int) -> None:
        cell.failures += 1
        wait = retry_after_us(kind, cell.failures, self._nodes[node].attempts_max, _draw(node, key, cell.failures))
        if wait is None:
            cell.state, cell.not_before = step(cell.state, Change.FAILED), None
        else:
            cell.state = step(cell.state, Change.PUT_BACK)
            cell.not_before = now + wait if wait else None
        self._mark(node, key, cell)
        if cell.not_before is not None:
            heapq.heappush(self._later, (cell.not_before, node, key))
        elif cell.state is PartitionState.WAITING:
            self._consider(self._nodes[node], key)

    def _lost(self, event: WorkerLost, now: int) -> None:
        for attempt in event.queued:  # it never started: no failure of its own
            running = self._running.pop(attempt)
            self._rest(running.node, len(running.keys))
            for key in running.keys:
                cell = self._cells[running.node][key]
                cell.state = step(cell.state, Change.PUT_BACK)
                self._consider(self._nodes[running.node], key)
        if event.running is not None:
            kind = FailureKind.RESOURCES if event.running in self._timed_out else FailureKind.LOST_WORKER
            self._timed_out.discard(event.running)
            self._ended(Ended(event.running, PartitionState.FAILED, event.reason, kind), now)

    def _tick(self, now: int) -> None:
        while self._later and self._later[0][0] <= now:
            _, node, key = heapq.heappop(self._later)
            self._cells[node][key].not_before = None
            self._consider(self._nodes[node], key)
        for attempt, running in self._running.items():
            if running.expires_at <= now and attempt not in self._timed_out:
                self._timed_out.add(attempt)
                self._commands.append(Kill(attempt, "was ended because it ran past its timeout"))

    # Policies

    def _want(self, node: str, key: str, *, force: bool = False, stale: bool = False) -> None:
        if key not in self._cells[node]:
            self._add(node, key, Cell())
        cell = self._cells[node][key]
        if cell.state is PartitionState.RUNNING:
            cell.dirty = True
            return
        if force or cell.state is PartitionState.MISSING:
            known = cell.state is not PartitionState.MISSING
            moved = cell.state is not PartitionState.WAITING
            news = moved or (stale and not cell.stale)
            cell.state = step(cell.state, Change.WANTED)
            cell.dirty = False
            cell.stale = cell.stale or stale
            if moved:
                cell.failures, cell.not_before = 0, None
            if known and news:
                self._mark(node, key, cell)
        self._consider(self._nodes[node], key)

    def _mark(self, node: str, key: str, cell: Cell) -> None:
        self._commands.append(Mark(node, key, cell.state, cell.stale, cell.failures, cell.not_before, cell.reason))

    def _consider(self, node: GraphNode, key: str) -> None:
        """Queue a partition if it waits, was asked for, and nothing it needs is missing."""
        cell = self._cells[node.name].get(key)
        if cell is None or cell.queued or cell.state is not PartitionState.WAITING or cell.not_before is not None:
            return
        if self._first_alone(node) or not self._targeted(node.name, key) or not self._expected(node, key):
            return
        if next(self._missing(node, key), None) is not None:
            return
        cell.queued, cell.queued_at = True, self._now
        self._busy[node.name] = self._busy.get(node.name, 0) + 1
        heapq.heappush(self._ready, (*self._priority(node, key), key))

    def _first_alone(self, node: GraphNode) -> bool:
        """A source's first delivery is taken in by itself: it may set what the others are held to."""
        return node.is_source and node.name not in self._visible and bool(self._busy.get(node.name))

    def _next_delivery(self, node: GraphNode) -> None:
        """A source's first delivery is done with, which the others waited for."""
        if node.is_source:
            for key in sorted(self._cells[node.name]):
                self._consider(node, key)

    def _priority(self, node: GraphNode, key: str) -> tuple[int, str, int]:
        """What everything refers to first, then the oldest interval, then what others wait for."""
        rank = self._rank[node.name]
        if not node.partition.whole:
            return 1, key, rank
        return (2 if node.name in self._gathers else 0), "", rank

    def _targeted(self, node: str, key: str) -> bool:
        return any(t.covers(key) for t in self._targets.get(node, ()))

    def _missing(self, node: GraphNode, key: str) -> Iterator[Waiting]:
        """What a partition still needs. An input's partition that will run in this pass must be done first."""
        for link in self._links[node.name]:
            if link.optional:
                continue
            name = link.input.name
            cells = self._cells[name]
            if link.newest:
                if not any(c.published for c in cells.values()):
                    yield Waiting(name, WHOLE, PartitionState.MISSING, "")
                elif node.name not in self._gathers and self._busy.get(name):
                    yield Waiting(name, WHOLE, PartitionState.RUNNING, "")
            for needed in link.needs(key):
                if (waiting := self._blocked(link.input, needed)) is not None:
                    yield waiting
        for name in node.depends:
            if (waiting := self._blocked_by_order(self._nodes[name], key)) is not None:
                yield waiting
        for name in self._gathers.get(node.name, ()):
            if self._busy.get(name):
                yield Waiting(name, WHOLE, PartitionState.RUNNING, "")

    def _blocked(self, node: GraphNode, key: str) -> Waiting | None:
        cell = self._cells[node.name].get(key)
        if cell is None:
            if self._before_start(node, key):
                return None
            return Waiting(node.name, key, PartitionState.MISSING, "")
        if cell.state is PartitionState.PUBLISHED or (
            cell.published and cell.state is PartitionState.WAITING and not self._targeted(node.name, key)
        ):
            return None
        return Waiting(node.name, key, cell.state, cell.reason)

    def _blocked_by_order(self, node: GraphNode, key: str) -> Waiting | None:
        cells = self._cells[node.name]
        if key in cells or not cells:
            return self._blocked(node, key)
        if self._busy.get(node.name) or not any(c.published for c in cells.values()):
            return Waiting(node.name, key, PartitionState.WAITING, "")
        return None

    def _starts_us(self, node: GraphNode) -> float:
        """When a node's first partition starts, in microseconds: declared, else that of the oldest delivery, else the
        latest start of the required inputs. Infinite where something required never arrived, minus infinite for no bound."""
        known = self._starts.get(node.name)
        if known is None:
            known = self._starts[node.name] = self._find_start(node)
        return known

    def _find_start(self, node: GraphNode) -> float:
        if node.partition.grain is None:
            return -math.inf
        first = node.start or (self._first.get(node.name) if node.is_source else None)
        if first is not None:
            return start_us(first, node.partition.grain, node.timezone)
        if node.is_source:
            return math.inf
        required = (link.input for link in self._links[node.name] if not link.newest and not link.optional)
        return max(map(self._starts_us, required), default=-math.inf)

    def _before_start(self, node: GraphNode, key: str) -> bool:
        """Partitions before an input's start count as present and empty; of an input that never came, none does."""
        return not self._expected(node, key) and self._starts_us(node) < math.inf

    def _expected(self, node: GraphNode, key: str) -> bool:
        """Whether a partition ends after its node starts."""
        if node.partition.grain is None:
            return True
        return bounds_us(key, node.partition.grain, node.timezone)[1] > self._starts_us(node)

    def _reconsider_gathers(self) -> None:
        for name in self._gathers:
            cell = self._cells[name].get(WHOLE)
            if cell is not None and cell.state is PartitionState.WAITING and not cell.queued:
                self._consider(self._nodes[name], WHOLE)

    def _rest(self, node: str, count: int) -> None:
        self._busy[node] = self._busy.get(node, 0) - count

    def _admit(self, now: int) -> None:
        """Give what is most urgent out, as far as there is room."""
        while self._ready:
            *_, rank, key = self._ready[0]
            node = self._nodes[self._order[rank]]
            if not admits(node.name, (r.node for r in self._running.values()), len(self._running), self._slots, self._durations):
                return
            heapq.heappop(self._ready)
            cell = self._cells[node.name][key]
            cell.queued = False
            if cell.state is not PartitionState.WAITING or next(self._missing(node, key), None) is not None:
                self._rest(node.name, 1)
                continue
            self._last_n += 1
            attempt = AttemptId(self._epoch, self._last_n)
            cell.state = step(cell.state, Change.DISPATCHED)
            cell.dirty = False
            self._running[attempt] = Running(node.name, (key,), now + node.timeout_us)
            self._commands.append(Dispatch(attempt, node.name, (key,), cell.queued_at))


def _ended(node: GraphNode, key: str, now: int) -> bool:
    grain = node.partition.grain
    return grain is None or bounds_us(key, grain, node.timezone)[1] <= now


def _newest_ended(node: GraphNode, now: int) -> str:
    """The newest partition of a node whose interval has ended."""
    grain = node.partition.grain
    assert grain is not None
    current = key_at_us(now, grain, node.timezone)
    return current if bounds_us(current, grain, node.timezone)[1] <= now else previous_key(current, grain, node.timezone)


def _draw(node: str, key: str, failures: int) -> float:
    """A number in [0, 1) that is the same for the same try: replaying a history waits the same."""
    digest = hashlib.blake2b(f"{node}\0{key}\0{failures}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
