"""The runtime around the core, as `headrace.runtime.leader` is.

One loop iteration is one transaction, and nothing is acted on before the commit.

An iteration is a generator that stops at every named fault point, where the simulator may end or
stall the leader.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace.scheduler.core import Core, LoopIteration, commands_digest
from headrace.scheduler.events import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    ClockAdvanced,
    Command,
    DeliveryArrived,
    Dispatch,
    Elsewhere,
    Event,
    FiredAt,
    Kill,
    LoadedRunning,
    PartitionUpdate,
    Requested,
    Settled,
    Target,
    WorkerLost,
)
from headrace.scheduler.states import FailureKind, PartitionState
from simulation import workers
from simulation.backfills import (
    Deeds,
    SimulatedBackfill,
    SimulatedRequestEffects,
    table_rows,
)
from simulation.delivery_batches import AnswerOrder
from simulation.scenario import SimulatedFaultPoint
from simulation.store import (
    SimulatedAttemptRow,
    SimulatedDeliveryRow,
    SimulatedPartitionRow,
    SimulatedPublicationRow,
    SimulatedRunRow,
    SimulatedTransaction,
)
from simulation.workers import (
    Answer,
    Preparing,
    SimulatedLostWorker,
    SimulatedTaskFinished,
    SimulatedWorkers,
    Task,
)

if TYPE_CHECKING:
    from simulation.simulator import Simulation


LoopIterationSteps = Generator[SimulatedFaultPoint, None, None]


def _lost(answers: Sequence[Answer]) -> frozenset[AttemptId]:
    """Return the attempts that ended with their workers."""
    losses = [answer for answer in answers if isinstance(answer, SimulatedLostWorker)]
    return frozenset(
        attempt
        for loss in losses
        for attempt in (loss.running, *loss.queued)
        if attempt is not None
    )


class SimulatedLeader:
    """A process that leads, or believes that it does; `alive` until it ends for any reason."""

    core_type: type[Core] = Core

    def __init__(self, world: Simulation) -> None:
        self.world, self.store = world, world.store
        self.alive = True
        self.inbox: list[Answer] = []
        self.attempts: dict[AttemptId, SimulatedAttemptRow] = {}
        self.claims: dict[tuple[str, str], AttemptId] = {}
        self.runs: dict[int, Requested] = {}
        self.workers = SimulatedWorkers(world, world.scenario.slots, self)
        self.turns: list[LoopIteration] = []
        self.epoch = 0
        self.now = 0
        """Time of the current or the last transaction."""
        self._last_n = 0
        self.backfill: SimulatedBackfill | None = None
        """The current plan."""
        self.last_of_plans = 0
        self.was_at: dict[AttemptId, str] = {}
        """Attempts that ended in this loop iteration → their node."""
        self._elsewhere = Elsewhere()
        self._answer_order = AnswerOrder()
        self.core = self.core_type(epoch=0, slots=1)

    def hear(self, answer: Answer) -> None:
        """Receive a worker's answer."""
        self.inbox.append(answer)
        self.world.wake(self)

    @property
    def heard_of_something(self) -> bool:
        """Whether a worker has answered since the last loop iteration."""
        return bool(self.inbox or (self.backfill is not None and self.backfill.inbox))

    def stop(self) -> None:
        """End the leader and its workers."""
        self.workers.stop()
        if self.backfill is not None:
            self.backfill.workers.stop()

    def next_event(self) -> int | None:
        """Return when time alone next changes something of production or of the plan."""
        cores = [self.core] if self.backfill is None else [self.core, self.backfill.core]
        return min((at for core in cores if (at := core.next_event()) is not None), default=None)

    # Taking over

    def take_over(self) -> LoopIterationSteps:
        """Take the lease.

        Open work of an earlier leader is lost, and the core starts from the store.
        """
        tx = self.store.begin()
        self.epoch = self.store.epoch + 1
        tx.put("single", "epoch", self.epoch)
        self.now = self.store.mark(tx, self.world.wall)
        workers.lose_open_work(tx, self.store, self.epoch)
        self.store.commit(tx)
        self.world.took_over(self)
        yield SimulatedFaultPoint.LEASE_TAKEN
        self.store.check(self.epoch)
        self.world.sweep()
        yield from self.turn([*self.load(), self._standing()])

    def load(self, going: Sequence[LoadedRunning] = ()) -> list[Event]:
        """Create a new core from committed state; attempts in `going` continue."""
        self.core = self.core_type(
            epoch=self.epoch, slots=self.world.scenario.slots, after=self._last_n
        )
        self._elsewhere = Elsewhere()
        self.world.watch.loaded(self)
        return workers.load(self.world, going)

    def _standing(self) -> Event:
        number = self.world.number_run()
        return Requested(self.world.served(), run=number, standing=True)

    # One loop iteration

    def due(self) -> bool:
        """Return whether time alone requires a loop iteration."""
        at = self.next_event()
        return at is not None and at <= max(self.world.wall, self.store.tables["single"]["clock"])

    def turn(self, events: Sequence[Event] = ()) -> LoopIterationSteps:
        """Record everything that has happened in one transaction, then act."""
        yield SimulatedFaultPoint.TURN_BEGUN
        answers, self.inbox = self.inbox, []
        self.was_at.clear()
        finished = [
            a
            for a in answers
            if isinstance(a, SimulatedTaskFinished) and a.attempt in self.attempts
        ]
        finished = list({answer.attempt: answer for answer in finished}.values())
        finished = self._answer_order.ready(self.world, finished, _lost(answers), self.attempts)
        for file in (file for answer in finished for file in answer.files):
            self.world.lake.sync(file)
        yield SimulatedFaultPoint.TURN_SYNCED
        tx = self.store.begin(self.epoch)
        self.now = self.store.mark(tx, self.world.wall)
        heard = [self._record(tx, answer) for answer in finished]
        heard += [
            self._lose(tx, answer) for answer in answers if isinstance(answer, SimulatedLostWorker)
        ]
        yield SimulatedFaultPoint.PUBLISH_REGISTERED
        effects = Deeds(self, tx).taken()
        told = [*events, *heard, *self._looked(tx), *effects.events]
        if not told or self.due():
            told.append(ClockAdvanced())
        commands, starts = self._decide(tx, told)
        yield SimulatedFaultPoint.TURN_DECIDED
        self._write(tx, commands)
        self._beside(tx, told, commands, starts)
        yield SimulatedFaultPoint.TURN_COMMITTING
        self.store.commit(tx)
        self.world.watch.committed(self, tx, commands)
        yield SimulatedFaultPoint.TURN_COMMITTED
        yield from self._act(starts, commands)
        if effects.apply:
            yield from self._adopt(effects)
        yield SimulatedFaultPoint.TURN_DONE

    def _decide(
        self, tx: SimulatedTransaction, told: Sequence[Event]
    ) -> tuple[list[Command], list[Task]]:
        preparing, decided = Preparing(self.world, tx), list[Command]()
        starts: list[Task] = []
        for events in [told] if self.world.scenario.together else [[event] for event in told]:
            for event in events:
                self._note(tx, event)
                self.world.watch.before(self, event)
            commands = self.core.handle_all(events, self.now)
            self.world.watch.handled(self, tx, commands)
            self._journal(events, commands)
            decided += commands
            starts += [
                self._start(tx, preparing, command)
                for command in commands
                if isinstance(command, Dispatch)
            ]
        return decided, starts

    def _beside(
        self,
        tx: SimulatedTransaction,
        told: Sequence[Event],
        commands: list[Command],
        starts: list[Task],
    ) -> None:
        """Continue the plan.

        Production's core is informed of the plan's publications and the pool slots that it holds.
        """
        events = list[Event]()
        if self.backfill is None:
            running = [
                number
                for number, row in table_rows(tx, self.store, "plan").items()
                if row.state == "running"
            ]
            if running:
                self.backfill = SimulatedBackfill(
                    self,
                    min(running),
                    table_rows(tx, self.store, "plan")[min(running)],
                    self.core_type,
                )
                self.backfill.begin(tx)
        plan = self.backfill
        if plan is not None:
            plan.follow(tx, told)
            if plan.settled(tx):
                promoted = plan.conclude(tx)
                events += [] if promoted is None else [promoted]
                self._leave_plan()
            elif short := self.core.short():
                plan.give_way(short)
        held = (
            Elsewhere() if plan is None else Elsewhere(plan.core.held())
        )  # a cancelled plan holds nothing any more
        if held != self._elsewhere:
            self._elsewhere = held
            events.append(held)
        if events:
            more, begun = self._decide(tx, events)
            self._write(tx, more)
            commands += more
            starts += begun

    def _leave_plan(self) -> None:
        assert self.backfill is not None
        self.backfill.workers.stop()
        self.backfill = None
        self.world.wake(self)

    def drop_plan(self, tx: SimulatedTransaction, number: int) -> None:
        """Drop everything that a cancelled plan has staged."""
        tx.put(
            "plan",
            number,
            msgspec.structs.replace(table_rows(tx, self.store, "plan")[number], state="cancelled"),
        )
        for place in table_rows(tx, self.store, "overlay"):
            if place[0] == number:
                tx.put("overlay", place, None)
        if self.backfill is not None and self.backfill.number == number:
            self._leave_plan()

    def _note(self, tx: SimulatedTransaction, event: Event) -> None:
        if isinstance(event, Requested):
            self.runs[event.run] = event
            tx.put("run", event.run, SimulatedRunRow(event.targets, event.standing))
        elif isinstance(event, DeliveryArrived):
            self.world.rules.hear(
                event.source, event.key, tx.get("delivery", (event.source, event.key)).content
            )

    def _start(self, tx: SimulatedTransaction, preparing: Preparing, command: Dispatch) -> Task:
        self._last_n = command.attempt.n
        row = preparing.prepare(command)
        self.attempts[command.attempt] = row
        tx.put("attempt", command.attempt, row)
        self.claims.update(
            dict.fromkeys(((command.node, key) for key in command.keys), command.attempt)
        )
        return Task(command.attempt, command.node, command.keys, row.contents, row.prove, row.sent)

    def _act(self, starts: Sequence[Task], commands: Sequence[Command]) -> LoopIterationSteps:
        for task in starts:
            yield SimulatedFaultPoint.TASK_SENDING
            self.world.watch.submitted(self, task)
            self.workers.submit(task)
        for task in self.backfill.act() if self.backfill is not None else ():
            yield SimulatedFaultPoint.TASK_SENDING
            self.world.watch.submitted(self, task)
        for command in commands:
            if isinstance(command, Kill):
                self.workers.kill(command.attempt)

    def _journal(self, events: Sequence[Event], commands: Sequence[Command]) -> None:
        if self.world.journalled:
            self.turns.append(LoopIteration(self.now, tuple(events), commands_digest(commands)))
        self.world.told += len(events)

    # Workers' answers

    def _record(self, tx: SimulatedTransaction, answer: SimulatedTaskFinished) -> Event:
        row = self.attempts.pop(answer.attempt)
        self.was_at[answer.attempt] = row.node
        held = all(self.holds_claim(answer.attempt, row.node, key) for key in row.keys)
        self._release(answer.attempt, row)
        if not held or answer.state is not PartitionState.PUBLISHED:
            return self._stop(tx, answer, row)
        done = len(row.keys) - len(answer.given_back)
        row = msgspec.structs.replace(row, keys=row.keys[:done], files=row.files[:done])
        if done == 0:
            tx.put("attempt", answer.attempt, None)
            return AttemptPublished(answer.attempt, ())  # how long it took says nothing
        shown = [self._publish(tx, answer, row, place) for place in range(done)]
        self._end(tx, answer.attempt, row, "published")
        self._tried(tx, row, proven=True)
        contents = tuple((key, changed) for key, (_, changed) in zip(row.keys, shown, strict=True))
        return AttemptPublished(
            answer.attempt, contents, answer.seconds, tuple(number for number, _ in shown)
        )

    def holds_claim(self, attempt: AttemptId, node: str, key: str) -> bool:
        """Return whether no later attempt has taken a partition over."""
        return self.claims.get((node, key)) == attempt

    def _release(self, attempt: AttemptId, row: SimulatedAttemptRow) -> None:
        for key in row.keys:
            if self.holds_claim(attempt, row.node, key):
                del self.claims[row.node, key]

    def _hash(self, row: SimulatedAttemptRow, place: int) -> str | None:
        return None if row.node in self.world.scenario.hashless else f"{row.contents[place]:x}"

    def _publish(
        self,
        tx: SimulatedTransaction,
        answer: SimulatedTaskFinished,
        row: SimulatedAttemptRow,
        place: int,
    ) -> tuple[int, bool]:
        number = int(tx.get("single", "publication")) + 1
        tx.put("single", "publication", number)
        key, content, known = row.keys[place], row.contents[place], self._hash(row, place)
        before = tx.get("publication", (row.node, key))
        same = before is not None and known is not None and before.hash == known
        first = before.first if same else number
        tx.put(
            "publication",
            (row.node, key),
            SimulatedPublicationRow(
                number, content, known, answer.attempt, answer.files[place], first
            ),
        )
        tx.put("partition", (row.node, key), SimulatedPartitionRow(PartitionState.PUBLISHED))
        return number, not same

    def _stop(
        self, tx: SimulatedTransaction, answer: SimulatedTaskFinished, row: SimulatedAttemptRow
    ) -> AttemptUnsuccessful:
        fenced = answer.state is PartitionState.PUBLISHED
        state, kind = (
            (PartitionState.FAILED, FailureKind.CANCELLED)
            if fenced
            else (answer.state, answer.kind)
        )
        if row.sent is None:
            self._end(tx, answer.attempt, row, state)
        else:  # its end says nothing about one delivery
            tx.put("attempt", answer.attempt, None)
        if kind is FailureKind.NOT_SEPARABLE:
            self._tried(tx, row, proven=False)
        return AttemptUnsuccessful(answer.attempt, state, f"it was {answer.state}", kind)

    def _tried(self, tx: SimulatedTransaction, row: SimulatedAttemptRow, *, proven: bool) -> None:
        """Record whether a batch gave the same result as one partition computed alone."""
        if row.prove:
            tx.put("batching", row.node, (self.world.versions.get(row.node, 0), proven))

    def _end(
        self, tx: SimulatedTransaction, attempt: AttemptId, row: SimulatedAttemptRow, delivered: str
    ) -> None:
        tx.put("attempt", attempt, None)
        for key, file in zip(row.keys, row.files, strict=False):
            newest: SimulatedDeliveryRow = tx.get("delivery", (row.node, key))
            if newest.file == file:
                tx.put(
                    "delivery",
                    (row.node, key),
                    SimulatedDeliveryRow(file, newest.bundle, newest.content, delivered),
                )

    def _lose(self, tx: SimulatedTransaction, gone: SimulatedLostWorker) -> WorkerLost:
        known = [
            attempt_id
            for attempt_id in (gone.running, *gone.queued)
            if attempt_id is not None and attempt_id in self.attempts
        ]
        for attempt_id in known:
            row = self.attempts.pop(attempt_id)
            tx.put("attempt", attempt_id, None)
            self._release(attempt_id, row)
        running = gone.running if gone.running in known else None
        return WorkerLost(
            running,
            tuple(attempt_id for attempt_id in gone.queued if attempt_id in known),
            "its worker died",
        )

    # Other events

    def _looked(self, tx: SimulatedTransaction) -> list[Event]:
        """Return the new deliveries that an observation of the sources finds."""
        results: list[Event] = []
        seen = tx.get("single", "seen")
        for number, delivery in self.world.files(seen):
            bundle = f"file {number}" if len(delivery.keys) > 1 else ""
            for place, key in enumerate(delivery.keys):
                tx.put(
                    "delivery",
                    (delivery.source, key),
                    SimulatedDeliveryRow(number, bundle, delivery.content + place),
                )
                results.append(DeliveryArrived(delivery.source, key, bundle))
            tx.put("single", "seen", number)
        return [*results, ClockAdvanced()] if results else []

    def _write(self, tx: SimulatedTransaction, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case PartitionUpdate():
                    before: SimulatedPartitionRow | None = tx.get(
                        "partition", (command.node, command.key)
                    )
                    since = (
                        before.since
                        if before is not None and before.state is command.state
                        else self.now
                    )
                    row = SimulatedPartitionRow(
                        command.state,
                        command.stale,
                        command.failures,
                        command.not_before,
                        command.proposed,
                        since,
                    )
                    tx.put("partition", (command.node, command.key), row)
                case Settled():
                    self._close(tx, command.run, "settled")
                case FiredAt():
                    tx.put("firing", command.node, command.at)

    def _close(self, tx: SimulatedTransaction, run: int, state: str) -> None:
        row: SimulatedRunRow = tx.get("run", run)
        tx.put("run", run, SimulatedRunRow(row.targets, row.standing, state))
        self.runs.pop(run, None)

    # New version

    def _adopt(self, effects: SimulatedRequestEffects) -> LoopIterationSteps:
        """Continue with a new version; attempts at unchanged nodes go on."""
        running = self.core.handed_over()
        ended = [item.attempt for item in running if item.node in effects.changed]
        tx = self.store.begin(self.epoch)
        self.now = self.store.mark(tx, self.world.wall)
        tx.put("single", "version", 1)
        if self.backfill is not None:
            self.drop_plan(tx, self.backfill.number)
        for number in ended:
            row = self.attempts.pop(number, None)
            if row is not None:
                tx.put("attempt", number, None)
                self._release(number, row)
        yield SimulatedFaultPoint.TURN_COMMITTING
        self.store.commit(tx)
        self.world.apply()
        for number in ended:
            self.workers.kill(number)
        loaded = self.load([item for item in running if item.attempt in self.attempts])
        names = {target.node for target in self.world.everything()}
        again = [self._still_wanted(request, names) for request in self.runs.values()]
        yield from self.turn([*loaded, *again])

    def _still_wanted(self, request: Requested, names: set[str]) -> Requested:
        targets: tuple[Target, ...] = tuple(
            target for target in request.targets if target.node in names
        )
        return Requested(
            self.world.served() if request.standing else targets,
            run=request.run,
            standing=request.standing,
        )
