"""Defects that the simulator has to find: each breaks one thing, in the core or in what stands
around it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from headrace.model.intervals import next_key
from headrace.scheduler import (
    Core,
    DeliveryArrived,
    FailureKind,
    PartitionState,
    PartitionUpdate,
    Settled,
)
from headrace.scheduler.attempts import Batches, Endings, retry_after_us
from headrace.scheduler.capacity import ReadyEntry
from headrace.scheduler.dependencies import InputLink
from headrace.scheduler.events import CANCELLED, Command, Kill
from headrace.scheduler.gates import Pauses
from headrace.scheduler.graph import PoolCapacity
from headrace.scheduler.publications import Promotions, Propagation
from headrace.scheduler.readiness import Needs
from headrace.scheduler.state import Queue
from headrace.scheduler.states import PartitionTransition
from simulation import workers
from simulation.backfills import SimulatedBackfill
from simulation.leader import SimulatedLeader
from simulation.simulator import Simulation
from simulation.store import Lake, SimulatedStore
from simulation.workers import Preparing

Plant = Callable[[pytest.MonkeyPatch], type[SimulatedLeader]]
PLANTED: dict[str, Plant] = {}


def planted(plant: Plant) -> Plant:
    """Registers a defect by the name of its function."""
    PLANTED[plant.__name__] = plant
    return plant


def everywhere(patch: pytest.MonkeyPatch, old: Any, new: Any) -> None:
    """Replace a function wherever it was imported to."""
    for name, module in list(sys.modules.items()):
        if name.startswith("headrace.scheduler"):
            for attribute, value in list(vars(module).items()):
                if value is old:
                    patch.setattr(module, attribute, new)


def with_core(
    change: Callable[[Any, list[Command]], list[Command]], **how: Any
) -> type[SimulatedLeader]:
    """A leader whose core's commands are changed after each event; `how` adds to what it is made
    with."""

    class Other(Core):
        def __init__(self, *, epoch: int, slots: int, after: int = 0) -> None:
            super().__init__(
                epoch=epoch,
                slots=slots + how.get("slots", 0),
                after=0 if how.get("numbers") else after,
            )

        def handle_all(self, events: Any, now: int) -> list[Command]:
            return change(events, super().handle_all(events, now))

    class WithOther(SimulatedLeader):
        core_type = Other

    return WithOther


# Around the core


@planted
def claims_unchecked(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """An attempt that was given up is remembered, and publishes when its answer comes at last."""

    class Forgiving(SimulatedLeader):
        def holds_claim(self, attempt: Any, node: str, key: str) -> bool:
            return True

        def _lose(self, tx: Any, gone: Any) -> Any:
            kept = dict(self.attempts)
            event = super()._lose(tx, gone)
            self.attempts.update(
                {item: kept[item] for item in (gone.running, *gone.queued) if item in kept}
            )
            return event

        def _release(self, attempt: Any, row: Any) -> None:
            return

    return Forgiving


@planted
def acted_on_before_the_commit(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Attempts are sent as soon as they are decided on."""

    class Hasty(SimulatedLeader):
        def _start(self, tx: Any, preparing: Any, command: Any) -> Any:
            task = super()._start(tx, preparing, command)
            self.world.watch.submitted(self, task)
            return task

    return Hasty


@planted
def epoch_ignored(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A leader that has lost its lease still commits."""
    patch.setattr(SimulatedStore, "check", lambda self, epoch: None)
    return SimulatedLeader


@planted
def epoch_not_raised(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A new leader takes the lease under the same epoch: its attempts have the numbers
    of others.
    """

    class Same(SimulatedLeader):
        def take_over(self) -> Generator[Any, None, None]:
            single = self.store.tables["single"]
            single["epoch"] = max(0, single["epoch"] - 1)
            yield from super().take_over()

    return Same


@planted
def delivery_lost_on_a_crash(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What was delivered and not ingested is forgotten with the leader."""
    patch.setattr(workers, "waiting_deliveries", lambda store: [])
    return SimulatedLeader


@planted
def waiting_forgotten_on_a_restart(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What is stale stands as published for the next leader."""
    tracked_partitions = workers._tracked_partitions

    def forgetful(store: Any) -> Iterator[Any]:
        import msgspec

        for tracked in tracked_partitions(store):
            stale = tracked.state is PartitionState.WAITING and tracked.published
            yield (
                msgspec.structs.replace(tracked, state=PartitionState.PUBLISHED, stale=False)
                if stale
                else tracked
            )

    patch.setattr(workers, "_tracked_partitions", forgetful)
    return SimulatedLeader


@planted
def moves_not_written(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """The store isn't told of what failed and is tried again."""

    class Silent(SimulatedLeader):
        def _write(self, tx: Any, commands: Any) -> None:
            super()._write(
                tx,
                [
                    command
                    for command in commands
                    if not (isinstance(command, PartitionUpdate) and command.failures)
                ],
            )

    return Silent


@planted
def files_not_synced(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What is published may be gone after a power cut."""
    patch.setattr(Lake, "sync", lambda self, file: None)
    return SimulatedLeader


@planted
def clock_set_back(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """The store's clock is the wall's."""

    def mark(self: Any, tx: Any, wall: int) -> int:
        tx.put("single", "clock", wall)
        return wall

    patch.setattr(SimulatedStore, "mark", mark)
    return SimulatedLeader


@planted
def another_content_said_to_be_the_same(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Contents are compared by their last digit."""
    patch.setattr(SimulatedLeader, "_hash", lambda self, row, place: f"{row.contents[place]:x}"[-1])
    return SimulatedLeader


@planted
def runs_settled_twice(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A run's end is told twice."""
    return with_core(
        lambda events, commands: [
            *commands,
            *(command for command in commands if isinstance(command, Settled)),
        ]
    )


# In the core


@planted
def numbered_anew(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Another version begins to count its attempts from one again."""
    return with_core(lambda events, commands: commands, numbers=True)


@planted
def slots_counted_wrongly(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """One attempt more than there are slots."""
    return with_core(lambda events, commands: commands, slots=1)


@planted
def cancelled_goes_on(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a cancelled run alone wanted isn't ended."""
    return with_core(
        lambda events, made: [
            item for item in made if not (isinstance(item, Kill) and item.reason == CANCELLED)
        ]
    )


@planted
def timeouts_ignored(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What hangs is never ended."""
    return with_core(
        lambda events, made: [
            item for item in made if not isinstance(item, Kill) or item.reason == CANCELLED
        ]
    )


@planted
def staleness_dropped(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What was made of something that has changed isn't made again."""

    def touch(self: Any, child: Any, key: str, link: Any, *, changed: bool, late: bool) -> None:
        if self._partition_states.get(child.name, key) is None and self._all.needs.expected(
            child, key
        ):
            self._queue.expect(child, key)
        self._queue.consider(child, key)

    patch.setattr(Propagation, "_touch", touch)
    return SimulatedLeader


@planted
def dirty_flag_lost(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What changes while an attempt runs that reads it isn't noticed."""
    want = Queue.want

    def forgetful(self: Any, node: Any, key: str, **how: Any) -> None:
        if self._partition_states.tracked(node.name, key).state is not PartitionState.RUNNING:
            want(self, node, key, **how)

    patch.setattr(Queue, "want", forgetful)
    return SimulatedLeader


def _retrying(
    patch: pytest.MonkeyPatch, kind: FailureKind, wait: int | None
) -> type[SimulatedLeader]:
    def other(result: FailureKind, failures: int, attempts_max: int, draw: float) -> int | None:
        return wait if result is kind else retry_after_us(result, failures, attempts_max, draw)

    everywhere(patch, retry_after_us, other)
    return SimulatedLeader


@planted
def deterministic_retried(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What fails for ever is tried for ever."""
    return _retrying(patch, FailureKind.DETERMINISTIC, 1_000_000)


@planted
def lost_worker_not_retried(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A dead worker is its body's fault at once."""
    return _retrying(patch, FailureKind.LOST_WORKER, None)


@planted
def backoff_ignored(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What fails for a moment is tried again at once."""
    return _retrying(patch, FailureKind.TRANSIENT, 0)


@planted
def poison_not_seen(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A partition over which every worker dies is tried for ever."""
    return _retrying(patch, FailureKind.LOST_WORKER, 0)


@planted
def pools_counted_without_weights(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Each attempt takes one slot of a pool, whatever it weighs."""
    patch.setattr(
        PoolCapacity,
        "short",
        lambda self, takes: [
            pool for pool, _ in takes if self._taken.get(pool, 0) + 1 > self._pools[pool]
        ],
    )
    return SimulatedLeader


@planted
def pause_ignored(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Paused nodes go on."""
    patch.setattr(Pauses, "of", lambda self, node: None)
    return SimulatedLeader


def _blind_to(patch: pytest.MonkeyPatch, state: PartitionState) -> type[SimulatedLeader]:
    blocked = Needs._blocked

    def blind(self: Any, node: Any, key: str, now: int) -> Any:
        result = blocked(self, node, key, now)
        return None if result is not None and result.state is state else result

    patch.setattr(Needs, "_blocked", blind)
    return SimulatedLeader


@planted
def run_before_its_inputs(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What waits counts as there."""
    return _blind_to(patch, PartitionState.WAITING)


@planted
def held_is_read(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What waits for a decision counts as there."""
    return _blind_to(patch, PartitionState.HELD)


@planted
def wrong_edge_of_a_lookback(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """The oldest of what is looked back at isn't waited for."""
    needs = InputLink.needs

    def shorter(self: Any, key: str) -> tuple[str, ...]:
        result = needs(self, key)
        return result[1:] if len(result) > 1 else result

    patch.setattr(InputLink, "needs", shorter)
    return SimulatedLeader


@planted
def wakes_lost(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What is to be tried again later never is."""
    patch.setattr(Queue, "wake", lambda self: (self._all.later.clear(), self._all.alarms.clear()))
    return SimulatedLeader


@planted
def restatements_lost(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Every second delivery of what is published isn't told."""

    class Deaf(Core):
        heard = 0

        def handle_all(self, events: Any, now: int) -> list[Command]:
            return super().handle_all([event for event in events if not self._missed(event)], now)

        def _missed(self, event: Any) -> bool:
            again = (
                isinstance(event, DeliveryArrived)
                and self.state_of(event.source, event.key) is PartitionState.PUBLISHED
            )
            self.heard += again
            return bool(again and self.heard % 2)

    class WithDeaf(SimulatedLeader):
        core_type = Deaf

    return WithDeaf


# In batches


@planted
def a_batch_fails_all_of_its_days(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What several partitions at once come to is taken for each one's own."""
    patch.setattr(Endings, "_together_ended", Endings._each_ended)
    return SimulatedLeader


@planted
def batches_never_halved(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What came to nothing is tried again as it was."""
    halved = Endings._together_ended

    def whole(self: Any, node: Any, keys: tuple[str, ...], event: Any) -> None:
        halved(self, node, keys, event)
        for key in keys:
            self._partition_states.tracked(node.name, key).cap = 0

    patch.setattr(Endings, "_together_ended", whole)
    return SimulatedLeader


@planted
def not_separable_forgotten(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What was seen to come to something else is computed together again."""
    patch.setattr(Batches, "_one_by_one", lambda self, node: node.batch_max <= 1)
    return SimulatedLeader


@planted
def given_back_deliveries_forgotten(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a batch of deliveries gives back waits, and nobody queues it."""

    def forget(self: Any, node: Any, keys: Any) -> None:
        for key in keys:
            tracked = self._partition_states.tracked(node.name, key)
            tracked.step(PartitionTransition.PUT_BACK)

    patch.setattr(Propagation, "_give_back", forget)
    return SimulatedLeader


@planted
def given_back_deliveries_together_again(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a batch of deliveries gives back is sent as it was."""
    give_back = Propagation._give_back

    def together(self: Any, node: Any, keys: Any) -> None:
        give_back(self, node, keys)
        for key in keys:
            self._partition_states.tracked(node.name, key).cap = 0

    patch.setattr(Propagation, "_give_back", together)
    return SimulatedLeader


@planted
def given_back_deliveries_published(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a batch of deliveries gives back is taken to be published with the others."""

    def published(self: Any, node: Any, keys: Any) -> None:
        for key in keys:
            self._published(node, key, other=True, publication=0)

    patch.setattr(Propagation, "_give_back", published)
    return SimulatedLeader


@planted
def young_sources_in_batches(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """The first deliveries of a source come together."""
    patch.setattr(Batches, "young", lambda self, node: False)
    return SimulatedLeader


@planted
def batches_replace_publications(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A delivery that comes again is ingested with new ones."""
    together = Batches._together

    def any_of(self: Any, node: Any, key: str, tracked: Any) -> bool:
        return (node.is_source and tracked.cap != 1) or together(self, node, key, tracked)

    patch.setattr(Batches, "_together", any_of)
    return SimulatedLeader


@planted
def batches_never_proven(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Nobody compares several partitions at once with one alone."""
    prepare = Preparing.prepare

    def trusting(self: Any, command: Any) -> Any:
        self._tx.put("batching", command.node, (self._world.versions.get(command.node, 0), True))
        return prepare(self, command)

    patch.setattr(Preparing, "prepare", trusting)
    return SimulatedLeader


@planted
def batches_over_gaps(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Days are computed together that don't follow each other."""
    following = Batches.following

    def farther(self: Any, node: Any, key: str) -> Any:
        result = following(self, node, key)
        return (
            result
            if result is not None
            else following(self, node, next_key(key, node.partition.grain, node.timezone))
        )

    patch.setattr(Batches, "following", farther)
    return SimulatedLeader


@planted
def batches_without_inputs(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """Days that something isn't there for are computed with others."""
    together = Batches._together

    def without_inputs(self: Any, node: Any, key: str, tracked: Any) -> bool:
        if node.is_source:
            return together(self, node, key, tracked)
        return not tracked.failures and tracked.cap != 1

    patch.setattr(Batches, "_together", without_inputs)
    return SimulatedLeader


# In backfills


@planted
def promotions_tell_nobody(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What reads something that a plan replaced isn't made again."""
    patch.setattr(Promotions, "_spread", lambda self, node, key, **how: None)
    return SimulatedLeader


@planted
def promotions_are_stale_at_once(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a plan made together is made again, one after the other."""
    promote = Promotions.promote

    class Apart(frozenset[Any]):
        def __contains__(self, one: object) -> bool:
            return False

    def forgetful(self: Any, event: Any) -> Any:
        self._waves.__class__.together = property(lambda waves: Apart(), lambda waves, value: None)
        try:
            return promote(self, event)
        finally:
            del self._waves.__class__.together

    patch.setattr(Promotions, "promote", forgetful)
    return SimulatedLeader


@planted
def plans_hear_nothing(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What production publishes meanwhile isn't told to a plan."""
    patch.setattr(SimulatedBackfill, "_translated", lambda self, event: iter(()))
    return SimulatedLeader


@planted
def pools_not_shared(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What a plan's attempts hold of pools isn't known to production, nor the other way round."""
    patch.setattr(Core, "_elsewhere", lambda self, event: None)
    return SimulatedLeader


@planted
def staged_files_swept(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """A new leader takes what a plan has staged for orphans."""
    patch.setattr(
        Simulation,
        "sweep",
        lambda self: self.lake.sweep(
            {row.file for row in self.store.tables["publication"].values()}
        ),
    )
    return SimulatedLeader


@planted
def the_newest_go_first(patch: pytest.MonkeyPatch) -> type[SimulatedLeader]:
    """What waits is passed by all that comes later."""
    entry = Queue._entry

    def newest(self: Queue, node: Any, key: str) -> ReadyEntry:
        return entry(self, node, key)._replace(urgency=-self._all.now)

    patch.setattr(Queue, "_entry", newest)
    return SimulatedLeader
