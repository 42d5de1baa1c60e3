"""The scheduler: `Core.handle(event, now) -> commands`, a function of its state, the event and the time.

The runtime gives it every event, commits what the commands need, and only then acts. Nothing here reads a clock,
a file or a database, and the only randomness is a generator seeded by the attempt's own name.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from headrace.model.times import Duration
from headrace.schedule.admission import Durations, admits
from headrace.schedule.asking import unprompted
from headrace.schedule.board import Board, Cell, bounds, ended, span_of
from headrace.schedule.commands import WAITING_SHOWN_MAX, Command, Dispatch, Kill, Mark, Settled, Waiting
from headrace.schedule.demands import WAITED_US, Demand, Demands
from headrace.schedule.events import (
    Arrived,
    AttemptId,
    Cancelled,
    Clock,
    Ended,
    Event,
    Loaded,
    Published,
    Refreshed,
    Requested,
    WorkerLost,
)
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.needs import Needs
from headrace.schedule.network import Network
from headrace.schedule.readiness import WHOLE, Link, delivery_key
from headrace.schedule.retry import draw, retry_after_us
from headrace.schedule.states import Change, FailureKind, PartitionState, step

__all__ = ["Core", "Running", "Waiting"]

_STOPPED = (PartitionState.FAILED, PartitionState.REJECTED, PartitionState.HELD)


class Running(NamedTuple):
    """A slot that is taken, until `expires_at` at the latest."""

    node: str
    keys: tuple[str, ...]
    expires_at: int


class Core:
    """`slots` attempts run at once (a few more are given out ahead). `epoch` is the leader's; attempts are numbered
    within it, `after` the last one."""

    def __init__(self, *, epoch: int, slots: int, after: int = 0) -> None:
        self._epoch, self._slots = epoch, slots
        self._last_n = after
        self._ready: list[tuple[int, str, int, str]] = []
        self._later: list[tuple[int, str, str]] = []
        self._alarms: list[tuple[int, str, str]] = []
        """Partitions that only time makes ready."""
        self._running: dict[AttemptId, Running] = {}
        self._durations = Durations()
        self._timed_out: set[AttemptId] = set()
        self._cancelled: set[AttemptId] = set()
        self._gathering: dict[tuple[str, str], None] = {}
        """Partitions that run once their ancestors are at rest."""
        self._commands: list[Command] = []
        self._now = 0
        self._build(Graph(()))

    # What the runtime asks

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take one event in and say what is to be done. `now` is in microseconds."""
        self._commands, self._now = [], now
        match event:
            case Loaded():
                self._load(event)
            case Arrived():
                self._arrived(event)
            case Refreshed():
                self._refreshed(event)
            case Requested():
                self._request(event)
            case Cancelled():
                self._cancel(event)
            case Published():
                self._published(event)
            case Ended():
                self._ended(event)
            case WorkerLost():
                self._lost(event)
            case Clock():
                self._tick()
        self._reconsider_gathers()
        if not isinstance(event, Arrived):  # what a look found is admitted together, by the event after it
            self._admit()
            self._settle()
        return self._commands

    def idle(self) -> bool:
        """True when nothing runs and nothing may run before `next_try`."""
        return not self._running and not self._ready

    def next_try(self) -> int | None:
        """When the next partition that backs off may be tried again, in microseconds; None if there is none."""
        return self._later[0][0] if self._later else None

    def next_event(self) -> int | None:
        """When time alone changes something next, in microseconds: a try, a time-out, an interval that ends."""
        times = [r.expires_at for attempt, r in self._running.items() if attempt not in self._timed_out]
        times += [heap[0][0] for heap in (self._later, self._alarms) if heap]
        return min(times, default=None)

    def running(self) -> dict[AttemptId, Running]:
        """The attempts that hold a slot."""
        return dict(self._running)

    def ahead(self) -> int:
        """How many attempts lie in the pipes of workers that are at another one."""
        return len(self._running) - self._slots

    def state_of(self, node: str, key: str) -> PartitionState:
        """Where a partition stands; `missing` for one that nothing was ever heard of."""
        cell = self._board.get(node, key) if node in self._nodes else None
        return cell.state if cell else PartitionState.MISSING

    def waiting(self, now: int, run: int | None = None) -> Iterator[tuple[str, str]]:
        """What is wanted, by one run or any, and waits for something else than a slot, though its interval has ended."""
        for name, cells in self._cells.items():
            node = self._nodes[name]
            for key, cell in cells.items():
                if cell.state is not PartitionState.WAITING or cell.queued or not self._demands.wanted(name, key, run):
                    continue
                if self._needs.expected(node, key) and ended(node, key, now):
                    yield name, key

    def waiting_for(self, node: str, key: str) -> list[Waiting]:
        """What keeps a partition from running, in the order of its inputs; empty if nothing does."""
        return list(self._needs.missing(self._nodes[node], key, self._now))

    def proposed(self) -> list[tuple[str, str]]:
        """The partitions that are stale and wait for a person to ask."""
        return [(name, key) for name, cells in self._cells.items() for key, cell in cells.items() if cell.proposed]

    # Events

    def _build(self, graph: Graph) -> None:
        self._nodes = {n.name: n for n in graph.nodes}
        self._board = Board(self._nodes)
        self._cells = self._board.cells
        self._network = Network(graph, self._board)
        self._demands = Demands(self._board)
        self._needs = Needs(self._board, self._network, self._demands.wanted)

    def _load(self, event: Loaded) -> None:
        self._build(event.graph)
        for row in event.cells:
            if row.node not in self._nodes:
                continue
            cell = Cell(PartitionState.WAITING if row.state is PartitionState.RUNNING else row.state)
            cell.stale, cell.failures, cell.not_before, cell.proposed = row.stale, row.failures, row.not_before, row.proposed
            cell.published, cell.hash, cell.publication = row.published, row.hash, row.publication
            if row.published:
                self._board.visible.add(row.node)
            if cell.stale and not cell.proposed and cell.state is PartitionState.PUBLISHED:
                cell.state = PartitionState.WAITING
            self._add(row.node, row.key, cell)
            if cell.not_before is not None:
                heapq.heappush(self._later, (cell.not_before, row.node, row.key))
        for one in event.running:
            self._running[one.attempt] = Running(one.node, one.keys, one.expires_at)
            for key in one.keys:
                self._cell_waiting(self._nodes[one.node], key)
                self._cells[one.node][key].state = PartitionState.RUNNING
                self._begin(one.node, key)
        for node in event.graph.nodes:
            if not node.is_source:
                self._expect(node)

    def _expect(self, node: GraphNode) -> None:
        """The partitions of an asset that its inputs' publications make expected, and that nothing was heard of."""
        if not node.inputs and node.partition.whole:
            self._cell_waiting(node, WHOLE)  # nothing announces it, and nothing asks for it by name
        for link in self._network.links[node.name]:
            for key, cell in self._cells[link.input.name].items():
                if cell.published:
                    for wanted in self._announced(link, key, cell):
                        if self._needs.expected(node, wanted):
                            self._cell_waiting(node, wanted)

    def _announced(self, link: Link, key: str, cell: Cell) -> Iterable[str]:
        if not link.delivers:
            return link.touches(key)
        return (delivery_key(cell.publication),) if cell.publication else ()

    def _cell_waiting(self, node: GraphNode, key: str) -> None:
        if key not in self._cells[node.name]:
            self._add(node.name, key, Cell(PartitionState.WAITING))

    def _add(self, node: str, key: str, cell: Cell) -> None:
        if self._board.add(node, key, cell):
            self._needs.forget_starts()
        for child in self._network.heirs[node]:
            if self._needs.expected(child, key):
                self._cell_waiting(child, key)

    def _arrived(self, event: Arrived) -> None:
        node, known = self._nodes[event.source], self._board.newest.get(event.source)
        if event.key not in self._cells[node.name]:
            self._add(node.name, event.key, Cell())
        cell = self._cells[node.name][event.key]
        if cell.bundle:
            self._board.bundles[node.name, cell.bundle].discard(event.key)
        cell.bundle = event.bundle
        if event.bundle:
            self._board.bundles.setdefault((node.name, event.bundle), set()).add(event.key)
        self._want(node, event.key, force=True)
        if node.watermark and known is not None and known != self._board.newest[node.name]:
            self._completed(node, known[1])

    def _completed(self, node: GraphNode, newest: str) -> None:
        """What was delivered of a source for the newest interval until now is complete: another one has come."""
        for key in self._board.beside(node, newest):
            for child, link in self._network.children[node.name]:
                for wanted in link.touches(key):
                    self._consider(child, wanted)

    def _refreshed(self, event: Refreshed) -> None:
        """A publication that isn't ours to make: what reads it may run now, or is stale."""
        if event.key not in self._cells[event.node]:
            self._add(event.node, event.key, Cell(PartitionState.PUBLISHED))
        cell = self._cells[event.node][event.key]
        changed, restated = not cell.published or event.hash is None or event.hash != cell.hash, cell.published
        cell.state, cell.published, cell.hash = PartitionState.PUBLISHED, True, event.hash
        self._board.visible.add(event.node)
        self._wave(self._nodes[event.node], event.key, cell, changed=changed, restated=restated)

    def _request(self, event: Requested) -> None:
        demand = Demand(event, self._board)
        self._demands.add(demand)
        demand.active = sum(1 for node, key in self._under_way() if demand.covers(self._board, node, key))
        for target in event.targets:
            node = self._nodes[target.node]
            span = span_of(node, target)
            for key in unprompted(node, target, self._now, self._network, self._needs):
                self._cell_waiting(node, key)
            for key, cell in self._oldest_first(node):
                if span.covers(self._board.order(node, key)):
                    self._request_cell(event, node, key, cell)

    def _under_way(self) -> Iterator[tuple[str, str]]:
        """What is queued or running."""
        for running in self._running.values():
            yield from ((running.node, key) for key in running.keys)
        for *_, rank, key in self._ready:
            name = self._network.order[rank]
            if self._cells[name][key].queued:
                yield name, key

    def _begin(self, node: str, key: str) -> None:
        """A partition is queued."""
        self._board.busy[node] = self._board.busy.get(node, 0) + 1
        self._demands.begun(node, key)

    def _rest(self, node: str, *keys: str) -> None:
        """Partitions are neither queued nor running any more."""
        self._board.rest(node, len(keys))
        for key in keys:
            self._demands.rested(node, key)

    def _cancel(self, event: Cancelled) -> None:
        """What only this run wanted is put back, and its attempts are ended."""
        self._demands.remove(event.run)
        for name, key in list(self._under_way()):
            cell = self._cells[name][key]
            if cell.queued and not self._demands.wanted(name, key):
                cell.queued = False
                self._board.rest(name, 1)
        for attempt, running in self._running.items():
            if not any(self._demands.wanted(running.node, key) for key in running.keys):
                self._cancelled.add(attempt)
                self._commands.append(Kill(attempt, "was cancelled"))

    def _settle(self) -> None:
        """Tell which runs have come to their end: nothing of them is under way, nor will be soon."""
        for demand in self._demands.at_rest():
            soon = (one for one in self._later if one[0] <= self._now + WAITED_US)
            if not any(demand.covers(self._board, node, key) for _, node, key in soon):
                waiting = self.waiting(self._now, demand.run)
                blocked = ((name, key, why) for name, key in waiting for why in self.waiting_for(name, key)[:1])
                self._commands.append(Settled(demand.run, tuple(islice(blocked, WAITING_SHOWN_MAX))))
                self._demands.remove(demand.run)

    def _oldest_first(self, node: GraphNode) -> list[tuple[str, Cell]]:
        """A node's partitions; in the order of time where that matters, for a source's first delivery is taken in alone."""
        cells = list(self._cells[node.name].items())
        if node.is_source and node.name not in self._board.visible:
            cells.sort(key=lambda item: self._board.order(node, item[0]))
        return cells

    def _request_cell(self, event: Requested, node: GraphNode, key: str, cell: Cell) -> None:
        stopped = cell.state in _STOPPED or cell.proposed
        if (node.name in event.retry and stopped) or (node.name in event.again and cell.state is PartitionState.PUBLISHED):
            cell.failures, cell.not_before = 0, None
            cell.late, cell.proposed = cell.proposed, False
            self._want(node, key, force=True)
        else:
            self._consider(node, key)

    def _published(self, event: Published) -> None:
        running = self._running.pop(event.attempt)
        node = self._nodes[running.node]
        self._rest(node.name, *running.keys)
        if event.seconds is not None:
            self._durations.add(node.name, event.seconds)
        first = node.name not in self._board.visible
        self._board.visible.add(node.name)
        for place, (key, new_hash) in enumerate(event.hashes):
            cell = self._cells[node.name][key]
            restated = cell.published
            changed = not cell.published or new_hash is None or new_hash != cell.hash
            cell.state = step(cell.state, Change.PUBLISHED)
            cell.published, cell.hash, cell.stale, cell.proposed = True, new_hash, False, False
            cell.failures, cell.not_before, cell.reason, cell.bundle = 0, None, "", ""
            if changed and event.publications:
                cell.publication = event.publications[place]
            if cell.dirty:
                self._want(node, key, force=True, stale=True)
            self._wave(node, key, cell, changed=changed, restated=restated)
        for follower in self._network.followers[node.name]:
            for key in self._cells[follower]:
                self._consider(self._nodes[follower], key)
        if first:
            self._next_delivery(node)
            for child, _ in self._network.children[node.name]:
                self._reference_moved(child, stales=False)

    def _wave(self, node: GraphNode, key: str, cell: Cell, *, changed: bool, restated: bool) -> None:
        """Tell the partitions that read this one: they may run now, or are stale. What comes for the first time isn't too late,
        but for those that were made without it."""
        too_late = self._too_late(node, key)
        late = cell.late or (restated and too_late)
        cell.late = False
        for child, link in self._network.children[node.name]:
            if link.delivers:
                if changed:
                    self._delivered(child, delivery_key(cell.publication))
                continue
            for wanted in link.touches(key):
                self._touch(child, wanted, link, changed=changed, late=late or (link.optional and too_late))
            if link.newest and not link.gathers:
                self._reference_moved(child, stales=changed and link.stales)
        if node.chained and (following := self._needs.after(node, key)) is not None:
            # what is made of it stands on something that isn't there any more: it is never left to somebody to ask for
            self._touch(node, following, None, changed=changed, late=False)

    def _touch(self, child: GraphNode, key: str, link: Link | None, *, changed: bool, late: bool) -> None:
        cell = self._cells[child.name].get(key)
        if cell is None:
            if self._needs.expected(child, key):
                self._cell_waiting(child, key)
                self._consider(child, key)
        elif not changed or not (link is None or link.stales):
            self._consider(child, key)
        elif cell.published and (late or child.tells) and cell.state not in (PartitionState.WAITING, PartitionState.RUNNING):
            self._propose(child, key, cell)
        elif link is not None or cell.published or cell.state in _STOPPED:
            cell.late = False
            self._want(child, key, force=True, stale=cell.published)
        else:
            self._consider(child, key)

    def _propose(self, node: GraphNode, key: str, cell: Cell) -> None:
        """It is stale, and isn't computed again without asking."""
        cell.late = True
        if self._demands.named(node.name, key):
            self._want(node, key, force=True, stale=True)
        elif not cell.proposed:
            cell.stale, cell.proposed = True, True
            self._mark(node.name, key, cell)

    def _too_late(self, node: GraphNode, key: str) -> bool:
        """Whether what is delivered now is older than what is computed again without asking."""
        if node.restate_within is None or node.partition.grain is None:
            return False
        return self._now > Duration.parse(node.restate_within).after_us(bounds(node, key)[1], node.timezone)

    def _delivered(self, node: GraphNode, key: str) -> None:
        """A whole input has another content, which is a partition of its own here: it reads the input as of that publication, so
        what still waits for older ones isn't lost. It is marked, because only the newest could be told from the input after a restart."""
        self._cell_waiting(node, key)
        self._mark(node.name, key, self._cells[node.name][key])
        self._consider(node, key)

    def _reference_moved(self, child: GraphNode, *, stales: bool) -> None:
        """What every partition of a node refers to has a new publication."""
        for key, cell in list(self._cells[child.name].items()):
            if stales and cell.published:
                self._want(child, key, force=True, stale=True)
            elif cell.state is PartitionState.WAITING:
                self._consider(child, key)

    def _ended(self, event: Ended) -> None:
        running = self._running.pop(event.attempt)
        node = self._nodes[running.node]
        self._rest(node.name, *running.keys)
        change = {PartitionState.HELD: Change.HELD, PartitionState.REJECTED: Change.REJECTED}.get(event.state, Change.FAILED)
        for key in running.keys:
            cell = self._cells[node.name][key]
            cell.reason = event.reason
            if cell.dirty:
                cell.state = step(cell.state, Change.PUT_BACK)
                cell.dirty = False
                self._mark(node.name, key, cell)
                self._consider(node, key)
            elif change is Change.FAILED:
                self._failed(node, key, cell, event.kind or FailureKind.DETERMINISTIC, running.keys[0])
            else:
                cell.state = step(cell.state, change)
                self._mark(node.name, key, cell)
        for child, link in self._network.children[node.name]:
            if (link.newest and not link.gathers) or node.name not in self._board.visible:
                self._reference_moved(child, stales=False)  # what waited for it to end reads the older publication
        if node.name not in self._board.visible:
            self._next_delivery(node)

    def _failed(self, node: GraphNode, key: str, cell: Cell, kind: FailureKind, first: str) -> None:
        """`first` is the first of the attempt's partitions: all of them are tried again at the same time."""
        cell.failures += 1
        wait = retry_after_us(kind, cell.failures, node.attempts_max, draw(node.name, first, cell.failures))
        if wait is None:
            cell.state, cell.not_before = step(cell.state, Change.FAILED), None
        else:
            cell.state = step(cell.state, Change.PUT_BACK)
            cell.not_before = self._now + wait if wait else None
        self._mark(node.name, key, cell)
        if cell.not_before is not None:
            heapq.heappush(self._later, (cell.not_before, node.name, key))
        elif cell.state is PartitionState.WAITING:
            self._consider(node, key)

    def _lost(self, event: WorkerLost) -> None:
        for attempt in event.queued:  # it never started: no failure of its own
            running = self._running.pop(attempt)
            self._rest(running.node, *running.keys)
            for key in running.keys:
                cell = self._cells[running.node][key]
                cell.state = step(cell.state, Change.PUT_BACK)
                self._consider(self._nodes[running.node], key)
        if event.running is not None:
            kind = FailureKind.RESOURCES if event.running in self._timed_out else FailureKind.LOST_WORKER
            kind = FailureKind.CANCELLED if event.running in self._cancelled else kind
            self._timed_out.discard(event.running)
            self._cancelled.discard(event.running)
            self._ended(Ended(event.running, PartitionState.FAILED, event.reason, kind))

    def _tick(self) -> None:
        while self._later and self._later[0][0] <= self._now:
            _, node, key = heapq.heappop(self._later)
            self._cells[node][key].not_before = None
            self._consider(self._nodes[node], key)
        while self._alarms and self._alarms[0][0] <= self._now:
            _, node, key = heapq.heappop(self._alarms)
            self._consider(self._nodes[node], key)
        for attempt, running in self._running.items():
            if running.expires_at <= self._now and attempt not in self._timed_out:
                self._timed_out.add(attempt)
                self._commands.append(Kill(attempt, "was ended because it ran past its timeout"))

    # Policies

    def _want(self, node: GraphNode, key: str, *, force: bool = False, stale: bool = False) -> None:
        cell = self._cells[node.name][key]
        if cell.state is PartitionState.RUNNING:
            cell.dirty = True
            return
        if force or cell.state is PartitionState.MISSING:
            known = cell.state is not PartitionState.MISSING
            moved = cell.state is not PartitionState.WAITING
            news = moved or cell.proposed or (stale and not cell.stale)
            cell.state = step(cell.state, Change.WANTED)
            cell.dirty = cell.proposed = False
            cell.stale = cell.stale or stale
            if moved:
                cell.failures, cell.not_before = 0, None
            if known and news:
                self._mark(node.name, key, cell)
        self._consider(node, key)

    def _mark(self, node: str, key: str, cell: Cell) -> None:
        self._commands.append(Mark(node, key, cell.state, cell.stale, cell.failures, cell.not_before, cell.reason, cell.proposed))

    def _consider(self, node: GraphNode, key: str) -> None:
        """Queue a partition if it waits, was asked for, and nothing it needs is missing."""
        cell = self._cells[node.name].get(key)
        if cell is None or cell.queued or cell.state is not PartitionState.WAITING or cell.not_before is not None:
            return
        if self._first_alone(node) or not self._demands.wanted(node.name, key) or not self._needs.expected(node, key):
            return
        missing = next(self._needs.missing(node, key, self._now), None)
        if missing is not None:
            self._set_alarm(node.name, key, cell, missing.until)
            if node.name in self._network.gathers:
                self._gathering[node.name, key] = None
            return
        cell.queued, cell.queued_at = True, self._now
        self._begin(node.name, key)
        heapq.heappush(self._ready, (*self._priority(node, key), key))

    def _set_alarm(self, node: str, key: str, cell: Cell, at: int | None) -> None:
        if at is not None and at != cell.alarm:
            cell.alarm = at
            heapq.heappush(self._alarms, (at, node, key))

    def _first_alone(self, node: GraphNode) -> bool:
        """A source's first delivery is taken in by itself: it may set what the others are held to."""
        return node.is_source and node.name not in self._board.visible and bool(self._board.busy.get(node.name))

    def _next_delivery(self, node: GraphNode) -> None:
        """A source's first delivery is done with, which the others waited for."""
        if node.is_source:
            for key in sorted(self._cells[node.name], key=lambda key: self._board.order(node, key)):
                self._consider(node, key)

    def _priority(self, node: GraphNode, key: str) -> tuple[int, str, int]:
        """What everything refers to first, then the oldest interval, then what others wait for."""
        rank = self._network.rank[node.name]
        if not node.partition.whole:
            return 1, self._board.order(node, key), rank
        return (2 if node.name in self._network.gathers else 0), "", rank

    def _reconsider_gathers(self) -> None:
        for name, key in list(self._gathering):
            cell = self._cells[name][key]
            if cell.state is not PartitionState.WAITING:
                del self._gathering[name, key]
            elif not cell.queued:
                self._consider(self._nodes[name], key)

    def _admit(self) -> None:
        """Give what is most urgent out, as far as there is room."""
        while self._ready:
            *_, rank, key = self._ready[0]
            node = self._nodes[self._network.order[rank]]
            if not admits(node.name, (r.node for r in self._running.values()), len(self._running), self._slots, self._durations):
                return
            heapq.heappop(self._ready)
            cell = self._cells[node.name][key]
            if not cell.queued:
                continue  # it went out with its bundle
            cell.queued = False
            wanted = cell.state is PartitionState.WAITING and self._demands.wanted(node.name, key)
            if not wanted or next(self._needs.missing(node, key, self._now), None) is not None:
                self._rest(node.name, key)
                if node.name in self._network.gathers:
                    self._gathering[node.name, key] = None
                continue
            self._dispatch(node, (key, *self._bundled(node, key, cell)), cell.queued_at)

    def _bundled(self, node: GraphNode, key: str, cell: Cell) -> list[str]:
        """The other partitions that came in the same file and wait as well."""
        found = []
        for other in self._board.bundles.get((node.name, cell.bundle), ()) if cell.bundle else ():
            one = self._cells[node.name][other]
            if (
                other == key
                or one.state is not PartitionState.WAITING
                or one.not_before is not None
                or not self._demands.wanted(node.name, other)
            ):
                continue
            if not one.queued:
                self._begin(node.name, other)
            one.queued = False
            found.append(other)
        return found

    def _without(self, node: GraphNode, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(found for key in keys for found in self._needs.done_without(node, key, self._now))

    def _dispatch(self, node: GraphNode, keys: tuple[str, ...], queued_at: int) -> None:
        keys = tuple(sorted(keys, key=lambda key: self._board.order(node, key)))
        self._last_n += 1
        attempt = AttemptId(self._epoch, self._last_n)
        for key in keys:
            cell = self._cells[node.name][key]
            cell.state = step(cell.state, Change.DISPATCHED)
            cell.dirty = False
        self._running[attempt] = Running(node.name, keys, self._now + node.timeout_us)
        runs = sorted({demand.run for key in keys for demand in self._demands.wanting(node.name, key)}, reverse=True)
        self._commands.append(Dispatch(attempt, node.name, keys, queued_at, self._without(node, keys), tuple(runs)))
