"""Looks under way: local folders at once, everything else by workers, whose answers come among the news."""

from __future__ import annotations

import time
from collections.abc import Iterable

from headrace.connect.kinds import name_of, routed
from headrace.model import Project, Source
from headrace.run.executors import Executor, LostWorker, News, ObservationFinished
from headrace.run.folders import Folders
from headrace.run.known import KnownFiles
from headrace.run.messages import ObserveTask
from headrace.run.observing import SourceObservation, look_at, record
from headrace.run.polling import observe_seconds_max, question, seen_by
from headrace.schedule import AttemptId, DeliveryArrived
from headrace.store import Store, Transaction


class PendingObservation:
    """One look at some sources. `run` waits for it."""

    def __init__(self, run: int, began: int) -> None:
        self.run, self.began = run, began
        self.seen: list[SourceObservation] = []
        self.passed_over: list[str] = []
        self.asked: dict[AttemptId, ObserveTask] = {}
        self.deadline = 0.0

    @property
    def done(self) -> bool:
        """Whether all sources have been looked at."""
        return not self.asked

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        said = (
            f"{observation.source.name}: {note}"
            for observation in self.seen
            for note in (*observation.notes, *((observation.error,) if observation.error else ()))
        )
        return (*self.passed_over, *said)


class PendingObservations:
    """Begins looks and takes answers in. Numbers of looks are those of epoch 0, in which no attempt ever is."""

    def __init__(self, store: Store, executor: Executor, folders: Folders) -> None:
        self._store, self._executor, self._folders = store, executor, folders
        self._last = 0
        self._known = KnownFiles()
        self._under_way: list[PendingObservation] = []
        self._unsettled: dict[str, float] = {}
        """Source → when its files are quiet, by the monotonic clock, if nobody writes on."""

    def begin(self, run: int, project: Project, sources: Iterable[Source], now: int, *, patient: bool) -> PendingObservation:
        """Observe sources; workers observe remote ones. A `patient` observation waits for files that are being written."""
        observation = PendingObservation(run, now)
        sources = list(sources)
        near = [s for s in sources if name_of(s) is None]
        with self._store.read() as tx:
            self._known.read(tx, project, near)
        seen = look_at(self._folders.project, near, self._known.of, patient=patient)
        self._remember(seen)
        split = {observation.source.name: observation for observation in seen if observation.found and routed(observation.source)}
        observation.seen = [observation for observation in seen if observation.source.name not in split]
        observation.passed_over = [f"{name}: {note}" for name, observation in split.items() for note in observation.notes]
        far = [(s, ()) for s in sources if name_of(s) is not None] + [
            (observation.source, observation.found) for observation in split.values()
        ]
        with self._store.read() as tx:
            for source, files in far:
                self._ask(tx, observation, project, source, now, files)
        observation.deadline = time.monotonic() + max(map(observe_seconds_max, observation.asked.values()), default=0.0)
        self._under_way.append(observation)
        return observation

    def _remember(self, seen: Iterable[SourceObservation]) -> None:
        """Which sources have files that may still be being written."""
        for observation in seen:
            self._unsettled.pop(observation.source.name, None)
            if observation.settles is not None:
                self._unsettled[observation.source.name] = time.monotonic() + observation.settles

    def settled(self) -> tuple[set[str], float | None]:
        """The sources whose files have had their time to become quiet since they were looked at, and in how many seconds the next
        ones will have (None: there are none)."""
        now = time.monotonic()
        due = {name for name, at in self._unsettled.items() if at <= now}
        later = [at - now for name, at in self._unsettled.items() if name not in due]
        return due, min(later, default=None)

    def _ask(
        self, tx: Transaction, observation: PendingObservation, project: Project, source: Source, now: int, files: tuple[object, ...]
    ) -> None:
        self._last += 1
        task = question(tx, project, source, now, number=self._last, files=files)  # type: ignore[arg-type]
        if task is None:
            observation.seen.append(SourceObservation(source, (), (), None))  # all that may be there is known
            return
        observation.asked[AttemptId(0, self._last)] = task
        self._executor.submit(AttemptId(0, self._last), task)

    def record(self, news: Iterable[News]) -> None:
        """Answers of workers. What waited behind a look that had to be ended is asked again."""
        for item in news:
            for observation in self._under_way:
                if isinstance(item, ObservationFinished) and item.attempt in observation.asked:
                    observation.seen.append(seen_by(observation.asked.pop(item.attempt), item.looked))
                elif isinstance(item, LostWorker):
                    self._lost(observation, item)

    def _lost(self, observation: PendingObservation, lost: LostWorker) -> None:
        if lost.running in observation.asked:
            observation.seen.append(
                SourceObservation(observation.asked.pop(lost.running).source, (), (), f"the look {lost.reason}", "source_unavailable")
            )
        for number in lost.queued:
            if number in observation.asked:
                self._executor.submit(number, observation.asked[number])

    def overdue(self) -> None:
        """End what takes too long."""
        for observation in self._under_way:
            if observation.asked and time.monotonic() > observation.deadline:
                for number in observation.asked:
                    self._executor.kill(number, "was ended: it took too long")
                observation.deadline = time.monotonic() + max(map(observe_seconds_max, observation.asked.values()))

    def ended(self) -> list[PendingObservation]:
        """The looks that have come to their end since this was asked last."""
        done = [observation for observation in self._under_way if observation.done]
        self._under_way = [observation for observation in self._under_way if not observation.done]
        return done

    @property
    def at(self) -> set[str]:
        """The sources that a worker looks at now."""
        return {question.source.name for observation in self._under_way for question in observation.asked.values()}


def recorded(tx: Transaction, observation: PendingObservation, now: int, every_us: int | None = None) -> list[DeliveryArrived]:
    """Write what was observed; what arrived, as events for the core. `every_us` is how often the
    project is run, where that is declared."""
    return record(tx, observation.seen, now, observation.began, every_us)
