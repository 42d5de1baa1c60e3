"""Workers and a leader that exist in numbers only: how long a core's decisions take to be carried out.

The core is the real one, so order, batches, pools and what is given out ahead are as they will be. Time is virtual: nothing is waited for.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from headrace.schedule.commands import Dispatch
from headrace.schedule.core import Core
from headrace.schedule.events import AttemptPublished, Event, Loaded, Requested, SchedulerCheckpoint, Target
from headrace.schedule.graph import Graph

BEGIN_US = 4_102_444_800_000_000
"""The virtual clock begins in 2100: no interval that is planned now hasn't ended then."""
COMMIT_US = 3_000
"""What a leader's turn costs besides what it has to write of each attempt: one transaction."""
ATTEMPT_US = 3_000
"""What an attempt costs the leader. It does this for one after the other, while workers go on with what they have at hand."""

Takes = Callable[[str, int], float]
"""Node, and how many of its partitions an attempt computes → seconds that a worker is at it."""


class VirtualRunResult(NamedTuple):
    """`seconds` until all was published, for so many of which workers were at it in all, `busy`; `published` are partitions."""

    seconds: float
    busy: float
    published: int


def played(graph: Graph, checkpoint: SchedulerCheckpoint, takes: Takes, slots: int) -> VirtualRunResult:
    """What becomes of all that `kept` says to wait, if every attempt succeeds."""
    world = _World(takes, slots)
    core = Core(epoch=1, slots=slots)
    targets = tuple(Target(node.name) for node in graph.nodes)
    world.give(core, (Loaded(graph, checkpoint=checkpoint), Requested(targets, run=1)))
    while world.happenings:
        world.go_on(core)
    return VirtualRunResult((world.ended_at - BEGIN_US) / 1_000_000, world.busy, world.published)


class _World:
    """What is under way. `happenings` are the ends of attempts and of the leader's turns, by their time."""

    def __init__(self, takes: Takes, slots: int) -> None:
        self._takes, self._free = takes, slots
        self._pipe: deque[Dispatch] = deque()
        """Given out, and no worker has come to it."""
        self._inbox: list[Event] = []
        """Results that the leader hasn't seen, because it is at others."""
        self._deciding = False
        self._decided: list[Dispatch] = []
        self._count = 0
        self.now = self.ended_at = BEGIN_US
        self.happenings: list[tuple[int, int, Dispatch | None]] = []
        self.published, self.busy = 0, 0.0

    def go_on(self, core: Core) -> None:
        """The next thing happens: an attempt ends, or the leader has written what it decided."""
        self.now, _, ended = heapq.heappop(self.happenings)
        if ended is None:
            self._deciding, self.ended_at = False, self.now
            self._send()
        else:
            self._free += 1
            self.published += len(ended.keys)
            self._inbox.append(
                AttemptPublished(ended.attempt, tuple((key, False) for key in ended.keys), self._takes(ended.node, len(ended.keys)))
            )
            self._work()
        if self._inbox and not self._deciding:
            events, self._inbox = tuple(self._inbox), []
            self.give(core, events)

    def give(self, core: Core, events: tuple[Event, ...]) -> None:
        """The leader takes its turn: workers hear of it when that is written."""
        made = core.handle_all(events, self.now)
        self._decided = [command for command in made if isinstance(command, Dispatch)]
        self._deciding = True
        self._happens(COMMIT_US + ATTEMPT_US * len(events), None)

    def _send(self) -> None:
        self._pipe += self._decided
        self._decided = []
        self._work()

    def _work(self) -> None:
        while self._free and self._pipe:
            dispatch = self._pipe.popleft()
            self._free -= 1
            seconds = self._takes(dispatch.node, len(dispatch.keys))
            self.busy += seconds
            self._happens(int(seconds * 1_000_000), dispatch)

    def _happens(self, after_us: int, what: Dispatch | None) -> None:
        self._count += 1
        heapq.heappush(self.happenings, (self.now + after_us, self._count, what))
