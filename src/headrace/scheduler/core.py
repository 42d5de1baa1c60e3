"""The scheduler: `Core.handle(event, now) -> commands`, and replays of recorded histories.

The commands are a function of the core's state, the event and the time.

The runtime passes every event to the core, commits what the commands need, and only then acts on
them. The core reads no clock, file or database, and its only randomness is derived from the
attempt's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
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
from headrace.scheduler.ranges import PartitionSet
from headrace.scheduler.requests import Passing, Reason, Releases, Requests, why
from headrace.scheduler.state import Queue, Running, SchedulerState
from headrace.scheduler.states import PartitionState


class Core:
    """The scheduler core of one leader.

    Its first event is `Loaded`, which comes once. `slots` attempts run at once; a few more may be
    dispatched ahead. `epoch` is the leader's epoch. Attempt numbers within the epoch start at
    `after` + 1.
    """

    def __init__(self, *, epoch: int, slots: int, after: int = 0) -> None:
        self.epoch, self.slots, self._after = epoch, slots, after
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
        self._dispatcher = Dispatcher(
            self._all, epoch=self.epoch, slots=self.slots, after=self._after
        )
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

    # Interface for the runtime

    def handle(self, event: Event, now: int) -> list[Command]:
        """Handle one event and return the resulting commands; `now` is in microseconds."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Sequence[Event], now: int) -> list[Command]:
        """Handle simultaneous events in order and return the resulting commands.

        The core assigns slots once, after it has recorded all events. `now` is in microseconds.
        """
        commands: list[Command] = []
        for event in events:
            if isinstance(event, Loaded):
                self._build(event.graph)
            self._all.commands, self._all.now = commands, now
            self._record(event)
        self._queue.reconsider_gathers()
        if not all(
            isinstance(event, DeliveryArrived) for event in events
        ):  # deliveries are admitted with the next event
            begin_earlier(self._all, self._queue)
            self._admit()
            if self._requests.settle():
                # partitions that waited only for partitions that the settled runs wanted
                self._admit()
        return commands

    def idle(self) -> bool:
        """Return whether nothing runs and nothing is ready; `next_try` says when a backoff ends."""
        return not self._all.running and not self._all.ready

    def next_try(self) -> int | None:
        """Return when the next backoff ends, in microseconds; None if no partition backs off."""
        return self._all.later[0][0] if self._all.later else None

    def waits_for_machine(self, name: str, key: str) -> bool:
        """Return whether a partition was put back without a counted failure.

        It is retried within a few seconds.
        """
        tracked = self._partition_states.get(name, key)
        return (
            tracked is not None
            and tracked.state is PartitionState.WAITING
            and tracked.not_before is not None
            and tracked.failures == 0
            and tracked.not_before - self._all.now <= ENVIRONMENT_WAIT_US
        )

    def next_event(self) -> int | None:
        """Return when time alone next changes something, in microseconds; None for never.

        Such changes are retries, time-outs, ends of intervals, lapsing pool leases, ends of pauses,
        and firing triggers.
        """
        timed_out = self._all.timed_out
        times = [
            r.expires_at
            for attempt, r in self._all.running.items()
            if not timed_out or attempt not in timed_out
        ]
        times += self._all.lapses()
        times += [heap[0][0] for heap in (self._all.later, self._all.alarms) if heap]
        gates = self._all.gates
        gate_times = (
            gates.pauses.next_event(),
            gates.firings.next_event(),
            self._passing.next_event(),
        )
        times += [at for at in gate_times if at is not None]
        return min(times, default=None)

    def running(self) -> dict[AttemptId, Running]:
        """Return the attempts that hold a slot."""
        return dict(self._all.running)

    def handed_over(self) -> list[LoadedRunning]:
        """Return the attempts that hold a slot, in the form in which another core loads them."""
        return [
            LoadedRunning(number, item.node, item.keys, item.expires_at, self._dirty(item))
            for number, item in self._all.running.items()
        ]

    def ahead(self) -> int:
        """Return the number of attempts queued in the pipes of busy workers."""
        return self._dispatcher.ahead()

    def held(self) -> Takes:
        """Return the slots that this core's attempts hold, by pool.

        A core that shares these pools gets them as the event `Elsewhere`.
        """
        return self._all.held()

    def short(self) -> tuple[str, ...]:
        """Return the pools whose slots held by other cores keep a ready partition from running."""
        return self._all.short()

    def state_of(self, node: str, key: str) -> PartitionState:
        """Return a partition's state; `missing` if the core doesn't know the partition."""
        tracked = self._partition_states.get(node, key) if node in self._all.nodes else None
        return tracked.state if tracked else PartitionState.MISSING

    def waiting(self, now: int, run: int | None = None) -> Iterator[tuple[str, str]]:
        """Return wanted partitions of ended intervals that wait for something other than a slot.

        `run` restricts the result to the partitions that this run wants. `now` is in microseconds.
        """
        return self._requests.waiting(now, run)

    def waiting_of(self, node: str, now: int) -> PartitionSet:
        """Return the partitions of one node that `waiting` returns.

        The cost grows with ranges, not with partitions, while a run wants all of the node.
        """
        return self._requests.waiting_of(node, now)

    def waiting_for(self, node: str, key: str) -> list[AwaitedPartition]:
        """Return what blocks a partition, in the order of its inputs; empty if nothing does."""
        return list(self._all.blocked(self._all.nodes[node], key))

    def why(self, node: str, key: str) -> list[Reason]:
        """Return the reasons why a partition isn't running, as of the last event."""
        return why(self._all, self._all.nodes[node], key, self.slots)

    def proposed(self, most: int | None = None) -> list[tuple[str, str]]:
        """Return the stale partitions that are recomputed only on request, at most `most`."""
        partitions = (
            (name, key)
            for name in self._all.nodes
            for key, _ in self._partition_states.open(name, lambda tracked: tracked.proposed)
        )
        return list(islice(partitions, most))

    def is_proposed(self, node: str, key: str) -> bool:
        """Return whether a partition is stale and recomputed only on request."""
        tracked = self._partition_states.get(node, key) if node in self._all.nodes else None
        return tracked is not None and tracked.proposed

    def outdated(self) -> list[tuple[str, str]]:
        """Return the partitions that have a publication but aren't in state `published`."""
        return [
            (name, key)
            for name in self._all.nodes
            for key, _ in self._partition_states.open(
                name,
                lambda tracked: tracked.published and tracked.state is not PartitionState.PUBLISHED,
            )
        ]

    def checkpoint(self) -> SchedulerCheckpoint:
        """Return a checkpoint of all partitions.

        A core that starts from it makes the same decisions.
        """
        return take_checkpoint(self._partition_states, self._all.durations)

    def unsettled(self) -> int:
        """Return the number of partitions that still need work or a report."""
        return self._partition_states.unsettled()

    def _dirty(self, item: Running) -> tuple[str, ...]:
        return tuple(
            key
            for key in item.keys
            if (tracked := self._partition_states.get(item.node, key)) is not None and tracked.dirty
        )

    # Events

    def _admit(self) -> None:
        """Assign slots.

        Queued partitions that turn out not to run stop blocking their readers, so admission
        repeats.
        """
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
        self._queue.works(self._all.nodes[node])
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
_deterministic_encoder = msgspec.msgpack.Encoder(
    order="deterministic"
)  # events hold sets, whose order differs between processes
_events_decoder = msgspec.msgpack.Decoder(tuple[Event, ...])


class LoopIteration(msgspec.Struct, frozen=True, array_like=True):
    """The events that a core handled together at `now`, with a digest of their commands.

    `now` is in microseconds.
    """

    now: int
    events: tuple[Event, ...]
    digest: bytes


class LeaderHistory(msgspec.Struct, frozen=True):
    """The loop iterations of one leader, from its first `Loaded` on.

    `slots` is the leader's number of workers.
    """

    epoch: int
    slots: int
    turns: tuple[LoopIteration, ...]
    after: int = 0
    """The attempt number before the leader's first attempt; the core of a plan numbers its own."""


class ReplayDifference(msgspec.Struct, frozen=True):
    """A loop iteration whose commands differ from the recorded ones.

    `commands` are today's. `error` is the exception that stopped the core, or empty.
    """

    iteration: int
    now: int
    events: tuple[Event, ...]
    commands: tuple[Command, ...]
    error: str = ""


def encode_events(events: Sequence[Event]) -> bytes:
    """Return the encoded events of one loop iteration for the event log.

    The bytes are the same in every process.
    """
    return _deterministic_encoder.encode(events)


def decode_events(events: bytes) -> tuple[Event, ...]:
    """Return the events that `encode_events` encoded.

    Raises `msgspec.DecodeError` for other bytes.
    """
    return _events_decoder.decode(events)


def commands_digest(commands: Sequence[Command]) -> bytes:
    """Return a digest of all commands of one loop iteration, DIGEST_BYTES bytes long."""
    return hashlib.blake2b(_encoder.encode(commands), digest_size=DIGEST_BYTES).digest()


def replay(history: LeaderHistory) -> list[ReplayDifference]:
    """Return the loop iterations for which today's core decides differently.

    The replay ends at the first event that the core can't handle, because that follows from an
    earlier difference.
    """
    differences: list[ReplayDifference] = []
    player = _Player(history.epoch, history.slots, history.after)
    for number, iteration in enumerate(history.turns):
        try:
            commands = player.play(iteration.events, iteration.now)
        except Exception as error:  # noqa: BLE001 - any exception is a difference
            return [
                *differences,
                ReplayDifference(
                    number, iteration.now, iteration.events, (), f"{type(error).__name__}: {error}"
                ),
            ]
        if commands_digest(commands) != iteration.digest:
            differences.append(
                ReplayDifference(number, iteration.now, iteration.events, tuple(commands))
            )
    return differences


class _Player:
    """Passes events to a core as a leader does, those of one loop iteration at once.

    `Loaded` starts a new core, which continues the attempt numbers.
    """

    def __init__(self, epoch: int, slots: int, after: int) -> None:
        self._epoch, self._slots, self._last_n = epoch, slots, after
        self._core: Core | None = None

    def play(self, events: Sequence[Event], now: int) -> list[Command]:
        if self._core is None or any(isinstance(event, Loaded) for event in events):
            self._core = Core(epoch=self._epoch, slots=self._slots, after=self._last_n)
        commands = self._core.handle_all(events, now)
        self._last_n = max(
            [
                self._last_n,
                *(dispatch.attempt.n for dispatch in commands if isinstance(dispatch, Dispatch)),
            ]
        )
        return commands
