"""Observations under way, and the watcher of local folders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from headrace.connect.connectors import connector_name, is_routed_by_rows
from headrace.connect.patterns import compile_pattern
from headrace.model import HeadraceError, Project, Source
from headrace.runtime.executors import Executor, LostWorker, News, ObservationFinished
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ObserveTask
from headrace.runtime.observations import (
    KnownFiles,
    SourceObservation,
    observation_of,
    observe_folders,
    observe_seconds_max,
    observe_task,
    record_observations,
)
from headrace.scheduler import AttemptId, DeliveryArrived
from headrace.store import Store, Transaction

# Watches folders of sources on this machine, so that a new file is observed soon after it lands
# and not in the next round. An event is a hint without content: it names sources that are worth
# observing. A lost event (a network drive sends none) costs the time until the next round.

DEBOUNCE_MS = 250
"""So long events are gathered: a copy of a thousand files is one look."""
STEP_MS = 100
"""How often the watching thread asks whether there is anything; it also bounds how late an event is told."""
STOP_MS = 2_000


class WatchedFolder:
    """A folder that is watched: `deep` with all that lies below it."""

    def __init__(self, folder: Path, *, deep: bool) -> None:
        self.folder, self.deep = folder, deep

    def holds(self, folder: Path) -> bool:
        """Whether what happens in this folder is the place's."""
        return folder == self.folder or (self.deep and folder.is_relative_to(self.folder))


def place_of(root: Path, source: Source) -> WatchedFolder | None:
    """Where files of a source land; None where nothing can be watched: it lies elsewhere, or its folder isn't there (yet)."""
    if source.files is None or connector_name(source) is not None:
        return None
    try:
        pattern = compile_pattern(source.files, source.partition.grain, rows_tell=source.partition.column is not None)
    except HeadraceError:
        return None  # a look says what is wrong with it
    folder, rest = root, list(pattern.components)
    while len(rest) > 1 and rest[0].fixed is not None:
        folder /= rest.pop(0).fixed or ""
    return WatchedFolder(folder, deep=len(rest) > 1) if folder.is_dir() else None


def places(root: Path, data: Path, sources: Iterable[Source]) -> dict[str, WatchedFolder]:
    """Source → where its files land. A place that holds the data folder would tell of Headrace's own files without end: those sources
    are left to the rounds."""
    folders = {source.name: place for source in sources if (place := place_of(root, source)) is not None}
    return {name: place for name, place in folders.items() if not (place.deep and data.is_relative_to(place.folder))}


class FolderWatcher:
    """Watches places in threads of its own, from `watch` to `close`. `ring` is called from there when there is something new."""

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._declared_promises: frozenset[tuple[str, Path, bool]] = frozenset()

    def watch(self, folders: Mapping[str, WatchedFolder]) -> bool:
        """Watch these places from now on; whether that is a change."""
        declared_promises = frozenset((name, place.folder, place.deep) for name, place in folders.items())
        if declared_promises == self._declared_promises:
            return False
        self.close()
        self._declared_promises, self._stop = declared_promises, threading.Event()
        for deep in (False, True):
            chosen = {name: place for name, place in folders.items() if place.deep is deep}
            if chosen:
                thread = threading.Thread(target=self._follow, args=(chosen, deep, self._stop), name="headrace watch", daemon=True)
                self._threads.append(thread)
                thread.start()
        return True

    def changed(self) -> set[str]:
        """The names of places at which something happened since this was asked last."""
        with self._lock:
            results, self._changed = self._changed, set()
        return results

    def close(self) -> None:
        """Watch nothing any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_MS / 1000)
        self._threads.clear()
        self._declared_promises = frozenset()

    def _follow(self, chosen: Mapping[str, WatchedFolder], deep: bool, stop: threading.Event) -> None:
        from watchfiles import watch  # with asyncio: only who serves pays for it

        folders = sorted({str(place.folder) for place in chosen.values()})
        known = False
        try:
            for changes in watch(
                *folders, watch_filter=None, recursive=deep, debounce=DEBOUNCE_MS, step=STEP_MS, rust_timeout=STOP_MS, stop_event=stop,
                raise_interrupt=False, yield_on_timeout=True,
            ):  # fmt: skip
                touched = {Path(path).parent for _, path in changes}
                # What happened before the folders were watched is known to nobody: all are worth a look, once.
                self._tell({name for name, place in chosen.items() if not known or any(map(place.holds, touched))})
                known = True
        except (OSError, RuntimeError):
            return  # a folder that has gone, or no watches left: the rounds go on

    def _tell(self, names: set[str]) -> None:
        if names:
            with self._lock:
                self._changed |= names
            self._ring()


# Observations that have begun and haven't ended: local folders are observed at once, all other
# sources by workers, whose answers come among those of attempts.


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
        near = [s for s in sources if connector_name(s) is None]
        with self._store.read() as tx:
            self._known.read(tx, project, near)
        seen = observe_folders(self._folders.project, near, self._known.of, patient=patient)
        self._remember(seen)
        split = {
            observation.source.name: observation for observation in seen if observation.found and is_routed_by_rows(observation.source)
        }
        observation.seen = [observation for observation in seen if observation.source.name not in split]
        observation.passed_over = [f"{name}: {note}" for name, observation in split.items() for note in observation.notes]
        far = [(s, ()) for s in sources if connector_name(s) is not None] + [
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
        task = observe_task(tx, project, source, now, number=self._last, files=files)  # type: ignore[arg-type]
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
                    observation.seen.append(observation_of(observation.asked.pop(item.attempt), item.looked))
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
    return record_observations(tx, observation.seen, now, observation.began, every_us)
