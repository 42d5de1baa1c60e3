"""The scheduler: `Core.handle(event, now) -> commands`, and replays of its history.

The commands are a function of the core's state, the event and the time.

The runtime gives the core every event, commits what the commands need, and only then acts. The core reads no clock, file or database, and
its only randomness is derived from the attempt's own name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from headrace.scheduler.attempts import ENVIRONMENT_WAIT_US, Dispatcher, Endings
from headrace.scheduler.checkpoints import begin_earlier, start_from_store, take_checkpoint
from headrace.scheduler.events import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    AwaitedPartition,
    Cancelled,
    ClockAdvanced,
    Command,
    DeliveryArrived,
    Dispatch,
    Elsewhere,
    Event,
    Fired,
    GivenUp,
    Loaded,
    LoadedRunning,
    PartitionOvertaken,
    Paused,
    Promoted,
    Refreshed,
    Requested,
    Resumed,
    SchedulerCheckpoint,
    TakenBack,
    WorkerLost,
)
from headrace.scheduler.graph import Graph, Takes
from headrace.scheduler.publications import Promotions, Propagation, Withdrawals
from headrace.scheduler.requests import Passing, Reason, Releases, Requests, why
from headrace.scheduler.state import Queue, Running, SchedulerState
from headrace.scheduler.states import PartitionState


class Core:
    """`slots` attempts run at once (a few more are given out ahead). `epoch` is the leader's; attempts are numbered
    within it, `after` the last one. It starts from the event `Loaded`, which comes first and once."""

    def __init__(self, *, epoch: int, slots: int, after: int = 0) -> None:
        self._epoch, self._slots, self._after = epoch, slots, after
        self._build(Graph(()))

    def _build(self, graph: Graph) -> None:
        self._all = SchedulerState(graph)
        self._partition_states = self._all.partition_states
        self._queue = Queue(self._all)
        self._waves = Propagation(self._all, self._queue)
        self._endings = Endings(self._all, self._queue, self._waves)
        self._promotions = Promotions(self._all, self._queue, self._waves)
        self._requests = Requests(self._all, self._queue)
        self._releases = Releases(self._all, self._queue)
        self._withdrawals = Withdrawals(self._all, self._queue)
        self._passing = Passing(self._all, self._queue)
        self._dispatcher = Dispatcher(self._all, epoch=self._epoch, slots=self._slots, after=self._after)
        self._takers: dict[type[Event], Callable[[Any], None]] = {
            DeliveryArrived: self._waves.arrived,
            Refreshed: self._refreshed,
            PartitionOvertaken: self._waves.overtaken,
            Promoted: self._promoted,
            Elsewhere: self._elsewhere,
            Requested: self._requests.request,
            Cancelled: self._requests.cancel,
            Paused: self._releases.pause,
            Resumed: self._releases.resume,
            Fired: self._releases.fired,
            TakenBack: self._withdrawals.take_back,
            GivenUp: self._withdrawals.give_up,
            AttemptPublished: self._published,
            AttemptUnsuccessful: self._endings.ended,
            WorkerLost: self._endings.lost,
            ClockAdvanced: self._clock,
        }

    # What the runtime asks

    def handle(self, event: Event, now: int) -> list[Command]:
        """Take one event in and say what is to be done. `now` is in microseconds."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Sequence[Event], now: int) -> list[Command]:
        """Record what came at once, in its order: slots are given out when all of it is known, and once."""
        commands: list[Command] = []
        for event in events:
            if isinstance(event, Loaded):
                self._build(event.graph)
            self._all.commands, self._all.now = commands, now
            self._record(event)
        self._queue.reconsider_gathers()
        if not all(isinstance(event, DeliveryArrived) for event in events):  # what a look found is admitted by what comes after it
            begin_earlier(self._all, self._queue)
            self._admit()
            if self._requests.settle():
                self._admit()  # what waited for nothing but what only they wanted
        return commands

    def idle(self) -> bool:
        """True when nothing runs and nothing may run before `next_try`."""
        return not self._all.running and not self._all.ready

    def next_try(self) -> int | None:
        """When the next partition that backs off may be tried again, in microseconds; None if there is none."""
        return self._all.later[0][0] if self._all.later else None

    def waits_for_machine(self, name: str, key: str) -> bool:
        """Whether a partition was put back without a failure being counted, and is tried again in a few seconds."""
        tracked = self._partition_states.get(name, key)
        return (
            tracked is not None
            and tracked.state is PartitionState.WAITING
            and tracked.not_before is not None
            and tracked.failures == 0
            and tracked.not_before - self._all.now <= ENVIRONMENT_WAIT_US
        )

    def next_event(self) -> int | None:
        """When time alone changes something next, in microseconds: a try, a time-out, an interval that ends, a firing."""
        times = [r.expires_at for attempt, r in self._all.running.items() if attempt not in self._all.timed_out]
        times += self._all.lapses()
        times += [heap[0][0] for heap in (self._all.later, self._all.alarms) if heap]
        gates = self._all.gates
        own = (gates.pauses.next_event(), gates.firings.next_event(), self._passing.next_event())
        times += [at for at in own if at is not None]
        return min(times, default=None)

    def running(self) -> dict[AttemptId, Running]:
        """The attempts that hold a slot."""
        return dict(self._all.running)

    def handed_over(self) -> list[LoadedRunning]:
        """The attempts that hold a slot, as another core takes them over."""
        return [
            LoadedRunning(number, item.node, item.keys, item.expires_at, self._dirty(item)) for number, item in self._all.running.items()
        ]

    def ahead(self) -> int:
        """How many attempts lie in the pipes of workers that are at another one."""
        return self._dispatcher.ahead()

    def held(self) -> Takes:
        """What its attempts hold of pools: pool and slots. Another core that takes of them is told so (`Elsewhere`)."""
        return self._all.held()

    def short(self) -> tuple[str, ...]:
        """The pools in which something that is ready would have room, if nobody else took of them."""
        return self._all.short()

    def state_of(self, node: str, key: str) -> PartitionState:
        """Where a partition stands; `missing` for one that nothing was ever heard of."""
        tracked = self._partition_states.get(node, key) if node in self._all.nodes else None
        return tracked.state if tracked else PartitionState.MISSING

    def waiting(self, now: int, run: int | None = None) -> Iterator[tuple[str, str]]:
        """What is wanted, by one run or any, and waits for something else than a slot, though its interval has ended."""
        return self._requests.waiting(now, run)

    def waiting_for(self, node: str, key: str) -> list[AwaitedPartition]:
        """What keeps a partition from running, in the order of its inputs; empty if nothing does."""
        return list(self._all.blocked(self._all.nodes[node], key))

    def why(self, node: str, key: str) -> list[Reason]:
        """Why a partition isn't running, one clause for each thing that keeps it; as of the last event."""
        return why(self._all, self._all.nodes[node], key, self._slots)

    def proposed(self) -> list[tuple[str, str]]:
        """The partitions that are stale and wait for a person to ask."""
        return [(name, key) for name in self._all.nodes for key, tracked in self._partition_states.open(name) if tracked.proposed]

    def outdated(self) -> list[tuple[str, str]]:
        """The partitions that were made once and wait to be made again, or came to nothing since."""
        opened = ((name, key, tracked) for name in self._all.nodes for key, tracked in self._partition_states.open(name))
        return [(name, key) for name, key, tracked in opened if tracked.published and tracked.state is not PartitionState.PUBLISHED]

    def checkpoint(self) -> SchedulerCheckpoint:
        """What is known of all partitions: another core that starts from it decides as this one would."""
        return take_checkpoint(self._partition_states, self._all.durations)

    def unsettled(self) -> int:
        """How many partitions aren't at rest: something is to be done, or to be said, about them."""
        return sum(map(len, self._partition_states.tracked_partitions.values()))

    def _dirty(self, item: Running) -> tuple[str, ...]:
        return tuple(key for key in item.keys if (tracked := self._partition_states.get(item.node, key)) is not None and tracked.dirty)

    # Events

    def _admit(self) -> None:
        """Give out slots. What was queued and isn't to run after all isn't waited for any longer, which may let others run."""
        while rested := self._dispatcher.admit():
            for name in rested:
                self._queue.at_rest(name)
            self._queue.reconsider_gathers()

    def _record(self, event: Event) -> None:
        if isinstance(event, Loaded):
            start_from_store(self._all, self._queue, event)
            self._releases.begin(event)
            self._passing.begin()
            return
        self._releases.wake()
        self._passing.wake()
        self._takers[type(event)](event)

    def _published(self, event: AttemptPublished) -> None:
        node = self._all.running[event.attempt].node
        self._waves.published(event)
        self._releases.published(node)

    def _refreshed(self, event: Refreshed) -> None:
        self._waves.refreshed(event)
        self._releases.published(event.node)

    def _promoted(self, event: Promoted) -> None:
        for node in self._promotions.promote(event):
            self._releases.published(node)

    def _elsewhere(self, event: Elsewhere) -> None:
        self._all.elsewhere = event.taken

    def _clock(self, event: ClockAdvanced) -> None:
        del event
        self._queue.wake()
        self._endings.time_out()


# Histories: the events that a core handled and what it decided, so that a later core can be
# compared with it. For each loop iteration a leader records the events in order and a digest of
# the resulting commands. Replaying the events with another core must give the same digests; a
# different digest means that a decision has changed.

DIGEST_BYTES = 16

_encoder = msgspec.msgpack.Encoder()
_deterministic_encoder = msgspec.msgpack.Encoder(order="deterministic")  # events hold sets, whose order isn't the same in every process
_events_decoder = msgspec.msgpack.Decoder(tuple[Event, ...])


class LoopIteration(msgspec.Struct, frozen=True, array_like=True):
    """At `now` a core was told `events`, all at once (`Core.handle_all`); `digest` is that of all commands that came of them."""

    now: int
    events: tuple[Event, ...]
    digest: bytes


class LeaderHistory(msgspec.Struct, frozen=True):
    """The turns of one leader, from its first `Loaded` on. `slots` are the workers that it had."""

    epoch: int
    slots: int
    turns: tuple[LoopIteration, ...]
    after: int = 0
    """The number that those of its attempts come after: a plan's core has its own."""


class ReplayDifference(msgspec.Struct, frozen=True):
    """A turn that comes to something else now. `commands` are what it comes to; `error` is why the core couldn't go on."""

    turn: int
    now: int
    events: tuple[Event, ...]
    commands: tuple[Command, ...]
    error: str = ""


def encode_events(events: Sequence[Event]) -> bytes:
    """The events of one turn, in order, as the journal keeps them; the same bytes in every process."""
    return _deterministic_encoder.encode(events)


def decode_events(events: bytes) -> tuple[Event, ...]:
    """The inverse of `encode`; msgspec.DecodeError for anything else."""
    return _events_decoder.decode(events)


def commands_digest(commands: Sequence[Command]) -> bytes:
    """What all commands of one turn are compared by, in DIGEST_BYTES bytes."""
    return hashlib.blake2b(_encoder.encode(commands), digest_size=DIGEST_BYTES).digest()


def replay(history: LeaderHistory) -> list[ReplayDifference]:
    """The turns in which today's core decides otherwise; none if it decides as it did. It ends at an event that the core
    can't handle any more, for that follows from an earlier difference."""
    differences: list[ReplayDifference] = []
    player = _Player(history.epoch, history.slots, history.after)
    for number, turn in enumerate(history.turns):
        try:
            commands = player.play(turn.events, turn.now)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            return [*differences, ReplayDifference(number, turn.now, turn.events, (), f"{type(error).__name__}: {error}")]
        if commands_digest(commands) != turn.digest:
            differences.append(ReplayDifference(number, turn.now, turn.events, tuple(commands)))
    return differences


class _Player:
    """Hands events to a core as a leader does, those of a turn at once: what is loaded anew goes to a new one, whose attempts are
    numbered on."""

    def __init__(self, epoch: int, slots: int, after: int) -> None:
        self._epoch, self._slots, self._last_n = epoch, slots, after
        self._core: Core | None = None

    def play(self, events: Sequence[Event], now: int) -> list[Command]:
        if self._core is None or any(isinstance(event, Loaded) for event in events):
            self._core = Core(epoch=self._epoch, slots=self._slots, after=self._last_n)
        made = self._core.handle_all(events, now)
        self._last_n = max([self._last_n, *(dispatch.attempt.n for dispatch in made if isinstance(dispatch, Dispatch))])
        return made
