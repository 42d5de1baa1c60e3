"""Pending observations, and the watcher of local folders."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from headrace.connect.connectors import connector_name, is_routed_by_rows
from headrace.connect.patterns import compile_pattern
from headrace.model import HeadraceError, Project, Source
from headrace.model.file_names import visible_text
from headrace.model.files import DECLARATION_FOLDERS
from headrace.runtime.executors import Executor, LostWorker, News, ObservationFinished
from headrace.runtime.folders import Folders
from headrace.runtime.inotify import (
    CLOSE_WRITE,
    CREATE,
    IS_FOLDER,
    MOVED_TO,
    FileEvent,
    Inotify,
    is_written_to,
)
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
"""Time over which events are collected: copying a thousand files causes one observation."""
STEP_MS = 100
"""Interval at which the watching thread checks for events; it bounds their delay."""
STOP_MS = 2_000
CLOSED_SECONDS = 0.04
"""Time after which a file that its writer has closed counts as written, if nothing follows."""
AGAIN_SECONDS = 3.0
"""A file that is closed again within this time is written in pieces."""
FINISHED_SECONDS = 10.0
"""Time for which finished files are remembered; then they count as quiet anyway."""


class WatchedFolder:
    """A folder to watch; `deep` includes all subfolders."""

    def __init__(self, folder: Path, *, deep: bool) -> None:
        self.folder, self.deep = folder, deep

    def holds(self, folder: Path) -> bool:
        """Whether the watch covers this folder."""
        return folder == self.folder or (self.deep and folder.is_relative_to(self.folder))


def declaration_folders(root: Path) -> dict[str, WatchedFolder]:
    """Return the project's folder, and the folders with declarations that there are."""
    folders = {
        name: WatchedFolder(root / name, deep=True)
        for name in DECLARATION_FOLDERS
        if (root / name).is_dir()
    }
    return {"": WatchedFolder(root, deep=False), **folders}


def place_of(root: Path, source: Source) -> WatchedFolder | None:
    """Return the folder in which a source's files arrive.

    None if it can't be watched: the source isn't local, or the folder doesn't exist (yet).
    """
    if source.files is None or connector_name(source) is not None:
        return None
    try:
        pattern = compile_pattern(
            source.files,
            source.partition.grain,
            rows_have_partition=source.partition.column is not None,
        )
    except HeadraceError:
        return None  # the observation reports the error
    folder, rest = root, list(pattern.components)
    while len(rest) > 1 and rest[0].fixed is not None:
        folder /= rest.pop(0).fixed or ""
    return WatchedFolder(folder, deep=len(rest) > 1) if folder.is_dir() else None


def places(root: Path, data: Path, sources: Iterable[Source]) -> dict[str, WatchedFolder]:
    """Return source → the folder in which its files arrive.

    Folders that contain the data folder are left out: Headrace's own files would cause events
    without end. Their sources are observed in rounds only.
    """
    folders = {
        source.name: place for source in sources if (place := place_of(root, source)) is not None
    }
    return {
        name: place
        for name, place in folders.items()
        if not (place.deep and data.is_relative_to(place.folder))
    }


class Closes:
    """Files that their writers have closed, or moved into a folder.

    A file is finished if it is unchanged CLOSED_SECONDS after it was closed and nobody has it open
    for writing. A file that is closed again soon is written in pieces: it must become quiet
    (`connect.files`). If it counted as finished before that, so must all later files of its folder.
    Times are those of the monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Path, tuple[int, int]]] = deque()
        self._closed: dict[Path, float] = {}
        self._finished: dict[Path, tuple[float, tuple[int, int]]] = {}
        self._in_pieces: set[Path] = set()

    def note(self, path: Path, now: float, *, moved: bool) -> None:
        """Note that a file was closed after writing, or moved here."""
        again = path in self._closed and now - self._closed.pop(path) < AGAIN_SECONDS
        self._closed[path] = now
        while now - self._closed[oldest := next(iter(self._closed))] >= AGAIN_SECONDS:
            del self._closed[oldest]
        if self._finished.pop(path, None) and again and not moved:
            self._in_pieces.add(path.parent)
        in_pieces = not moved and (again or path.parent in self._in_pieces)
        signature = _signature(path)
        if signature is not None and not in_pieces:
            self._waiting.append((now if moved else now + CLOSED_SECONDS, path, signature))

    def next_check(self) -> list[float]:
        """Return when `check` is due; empty if nothing waits."""
        return [self._waiting[0][0]] if self._waiting else []

    def check(self, now: float) -> list[Path]:
        """Return the files that are finished since the last call."""
        results = []
        while self._waiting and self._waiting[0][0] <= now:
            _, path, signature = self._waiting.popleft()
            if _signature(path) == signature and not is_written_to(path):
                self._finished[path] = (now, signature)
                results.append(path)
        return results

    def finished_below(self, root: Path, now: float) -> dict[str, tuple[int, int]]:
        """Return path below `root` → size in bytes, modification time in µs."""
        self._finished = {
            path: item for path, item in self._finished.items() if now - item[0] < FINISHED_SECONDS
        }
        return {
            path.relative_to(root).as_posix(): signature
            for path, (_, signature) in self._finished.items()
            if path.is_relative_to(root)
        }


def _signature(path: Path) -> tuple[int, int] | None:
    """Return the file's size in bytes and modification time in µs; None if it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns // 1000


class FolderWatcher:
    """Watches folders in its own threads, from `watch` to `close`.

    These threads call `ring` when something has changed.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watched_folders: frozenset[tuple[str, Path, bool]] = frozenset()
        self._inotify: Inotify | None = None
        self._closes = Closes()

    def watch(self, folders: Mapping[str, WatchedFolder]) -> bool:
        """Watch these folders from now on; return whether they differ from the previous ones."""
        watched_folders = frozenset(
            (name, place.folder, place.deep) for name, place in folders.items()
        )
        if watched_folders == self._watched_folders:
            return False
        self.close()
        self._watched_folders, self._stop = watched_folders, threading.Event()
        if folders and self._notified(folders):
            return True
        for deep in (False, True):
            chosen = {name: place for name, place in folders.items() if place.deep is deep}
            if chosen:
                thread = threading.Thread(
                    target=self._follow,
                    args=(chosen, deep, self._stop),
                    name="headrace watch",
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()
        return True

    def changed(self) -> set[str]:
        """Return the sources whose folders had an event since the last call."""
        with self._lock:
            results, self._changed = self._changed, set()
        return results

    def finished(self, root: Path) -> dict[str, tuple[int, int]]:
        """Return the files below `root` that their writers have finished."""
        with self._lock:
            return self._closes.finished_below(root, time.monotonic())

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._inotify is not None:
            self._inotify.wake()
        for thread in self._threads:
            thread.join(STOP_MS / 1000)
        self._threads.clear()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watched_folders = frozenset()

    def _notified(self, folders: Mapping[str, WatchedFolder]) -> bool:
        """Watch with inotify, in one thread; return whether the system has it."""
        try:
            inotify = Inotify()
        except OSError:
            return False
        try:
            for place in folders.values():
                inotify.add(place.folder, deep=place.deep)
        except OSError:  # no watches are left, or a folder is gone
            inotify.close()
            return False
        self._inotify = inotify
        thread = threading.Thread(
            target=self._follow_inotify,
            args=(inotify, folders, self._stop),
            name="headrace watch",
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()
        return True

    def _follow_inotify(
        self, inotify: Inotify, chosen: Mapping[str, WatchedFolder], stop: threading.Event
    ) -> None:
        # Events from before the watch began are lost, so all sources are observed once.
        self._add_changed(set(chosen))
        due: dict[str, float] = {}  # source → when it is to be observed
        observed: dict[str, float] = {}  # source → when it last was
        while not stop.is_set():
            inotify.wait(self._seconds_until_due(due))
            now = time.monotonic()
            self._take_events(inotify, chosen, due, now)
            with self._lock:
                finished = self._closes.check(now)
            for path in finished:  # many files that land at once still cause one observation
                for name in self._holding(chosen, path):
                    due[name] = max(now, observed.get(name, 0.0) + DEBOUNCE_MS / 1000)
            ripe = {name for name, at in due.items() if at <= now}
            for name in ripe:
                del due[name]
                observed[name] = now
            self._add_changed(ripe)

    def _seconds_until_due(self, due: Mapping[str, float]) -> float | None:
        """Return how long nothing is to be done but for events; None if nothing is due."""
        with self._lock:
            times = [*due.values(), *self._closes.next_check()]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _take_events(
        self,
        inotify: Inotify,
        chosen: Mapping[str, WatchedFolder],
        due: dict[str, float],
        now: float,
    ) -> None:
        """Note what happened to files, and in `due` when their sources are to be observed."""
        for event in inotify.events():
            if event.path is None:  # events were lost
                self._watched_folders = frozenset()  # the next round watches again
                due |= dict.fromkeys(chosen, now)
                continue
            names = self._holding(chosen, event.path)
            self._note(inotify, event, event.path, now)
            for name in names:
                due.setdefault(name, now + DEBOUNCE_MS / 1000)

    @staticmethod
    def _holding(chosen: Mapping[str, WatchedFolder], path: Path) -> list[str]:
        return [name for name, place in chosen.items() if place.holds(path.parent)]

    def _note(self, inotify: Inotify, event: FileEvent, path: Path, now: float) -> None:
        """Watch a new folder below a deep one, and note that a file was closed or moved here."""
        if event.mask & IS_FOLDER:
            deep = any(
                below and path.is_relative_to(folder) for _, folder, below in self._watched_folders
            )
            if deep and event.mask & (CREATE | MOVED_TO):
                with suppress(OSError):  # it is gone, or no watches are left: rounds continue
                    inotify.add(path, deep=True)
        elif event.mask & (CLOSE_WRITE | MOVED_TO):
            with self._lock:
                self._closes.note(path, now, moved=bool(event.mask & MOVED_TO))

    def _follow(
        self, chosen: Mapping[str, WatchedFolder], deep: bool, stop: threading.Event
    ) -> None:
        from watchfiles import watch  # imported here: it loads asyncio, which only servers need

        folders = sorted({str(place.folder) for place in chosen.values()})
        known = False
        try:
            for changes in watch(
                *folders,
                watch_filter=None,
                recursive=deep,
                debounce=DEBOUNCE_MS,
                step=STEP_MS,
                rust_timeout=STOP_MS,
                stop_event=stop,
                raise_interrupt=False,
                yield_on_timeout=True,
            ):
                touched = {Path(path).parent for _, path in changes}
                # Events from before the watch began are lost, so all sources are observed once.
                self._add_changed(
                    {
                        name
                        for name, place in chosen.items()
                        if not known or any(map(place.holds, touched))
                    }
                )
                known = True
        except (OSError, RuntimeError):
            return  # the folder is gone or no watches are left: rounds continue

    def _add_changed(self, names: set[str]) -> None:
        if names:
            with self._lock:
                self._changed |= names
            self._ring()


# Observations that have begun and not ended. The leader observes local folders at once; workers
# observe all other sources, and their answers arrive among those of attempts.


class PendingObservation:
    """One observation of some sources; `run` waits for it."""

    def __init__(self, run: int, began: int, project: Project) -> None:
        self.run, self.began, self._project = run, began, project
        self.seen: list[SourceObservation] = []
        self.passed_over: list[str] = []
        self.asked: dict[AttemptId, ObserveTask] = {}
        self.deadline = 0.0

    @property
    def done(self) -> bool:
        """Whether all sources have been observed."""
        return not self.asked

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings and errors for users."""
        messages = (
            self._visible(observation.source.name, note)
            for observation in self.seen
            for note in (
                *observation.warnings,
                *((observation.error,) if observation.error else ()),
            )
        )
        return (*self.passed_over, *messages)

    def pass_over(self, name: str, notes: Iterable[str]) -> None:
        """Add warnings about a source's files."""
        self.passed_over += [self._visible(name, note) for note in notes]

    def _visible(self, name: str, note: str) -> str:
        return f"{name}: {visible_text(self._project, name, note)}"


class PendingObservations:
    """Begins observations and processes their answers.

    They are numbered in epoch 0, which no attempt uses.
    """

    def __init__(self, store: Store, executor: Executor, folders: Folders) -> None:
        self._store, self._executor, self._folders = store, executor, folders
        self._last = 0
        self._known = KnownFiles()
        self._under_way: list[PendingObservation] = []
        self._unsettled: dict[str, float] = {}
        """Source → when its files are quiet if unchanged, by the monotonic clock in seconds."""

    def begin(
        self,
        run: int,
        project: Project,
        sources: Iterable[Source],
        now: int,
        *,
        patient: bool,
        finished: Mapping[str, tuple[int, int]],
    ) -> PendingObservation:
        """Observe sources; workers observe remote ones.

        A `patient` observation waits for files that are being written; `finished` ones aren't.
        """
        observation = PendingObservation(run, now, project)
        sources = list(sources)
        near = [s for s in sources if connector_name(s) is None]
        with self._store.read() as tx:
            self._known.read(tx, project, near)
        seen = observe_folders(
            self._folders.project, near, self._known.of, patient=patient, finished=finished
        )
        self._remember(seen)
        split = {
            observation.source.name: observation
            for observation in seen
            if observation.deliveries and is_routed_by_rows(observation.source)
        }
        observation.seen = [
            observation for observation in seen if observation.source.name not in split
        ]
        for name, each in split.items():
            observation.pass_over(name, each.warnings)
        far = [(s, ()) for s in sources if connector_name(s) is not None] + [
            (observation.source, observation.deliveries) for observation in split.values()
        ]
        with self._store.read() as tx:
            for source, files in far:
                self._ask(tx, observation, project, source, now, files)
        observation.deadline = time.monotonic() + max(
            map(observe_seconds_max, observation.asked.values()), default=0.0
        )
        self._under_way.append(observation)
        return observation

    def _remember(self, seen: Iterable[SourceObservation]) -> None:
        """Remember the sources with files that may still be written to."""
        for observation in seen:
            self._unsettled.pop(observation.source.name, None)
            if observation.settles is not None:
                self._unsettled[observation.source.name] = time.monotonic() + observation.settles

    def settled(self) -> tuple[set[str], float | None]:
        """Return sources whose files should be quiet by now, and seconds until the next ones are.

        None if there are no next ones.
        """
        now = time.monotonic()
        due = {name for name, at in self._unsettled.items() if at <= now}
        later = [at - now for name, at in self._unsettled.items() if name not in due]
        return due, min(later, default=None)

    def _ask(
        self,
        tx: Transaction,
        observation: PendingObservation,
        project: Project,
        source: Source,
        now: int,
        files: tuple[object, ...],
    ) -> None:
        self._last += 1
        task = observe_task(tx, project, source, now, number=self._last, files=files)  # type: ignore[arg-type]
        if task is None:
            # every interval is known already
            observation.seen.append(SourceObservation(source, (), (), None))
            return
        observation.asked[AttemptId(0, self._last)] = task
        self._executor.submit(AttemptId(0, self._last), task)

    def record(self, news: Iterable[News]) -> None:
        """Process answers of workers.

        Observations queued behind one that had to be ended are sent again.
        """
        for item in news:
            for observation in self._under_way:
                if isinstance(item, ObservationFinished) and item.attempt in observation.asked:
                    observation.seen.append(
                        observation_of(observation.asked.pop(item.attempt), item.looked)
                    )
                elif isinstance(item, LostWorker):
                    self._lost(observation, item)

    def _lost(self, observation: PendingObservation, lost: LostWorker) -> None:
        if lost.running in observation.asked:
            observation.seen.append(
                SourceObservation(
                    observation.asked.pop(lost.running).source,
                    (),
                    (),
                    f"the observation {lost.reason}",
                    "source_unavailable",
                )
            )
        for number in lost.queued:
            if number in observation.asked:
                self._executor.submit(number, observation.asked[number])

    def overdue(self) -> None:
        """End observations that take too long."""
        for observation in self._under_way:
            if observation.asked and time.monotonic() > observation.deadline:
                for number in observation.asked:
                    self._executor.kill(number, "was ended: it took too long")
                observation.deadline = time.monotonic() + max(
                    map(observe_seconds_max, observation.asked.values())
                )

    def ended(self) -> list[PendingObservation]:
        """Return the observations that have ended since the last call."""
        done = [observation for observation in self._under_way if observation.done]
        self._under_way = [observation for observation in self._under_way if not observation.done]
        return done

    @property
    def at(self) -> set[str]:
        """The sources that workers are observing now."""
        return {
            question.source.name
            for observation in self._under_way
            for question in observation.asked.values()
        }


def recorded(
    tx: Transaction, observation: PendingObservation, now: int, every_us: int | None = None
) -> list[DeliveryArrived]:
    """Store what was observed; return the arrivals as events for the core.

    `every_us` is the interval at which the project is declared to run, in microseconds, if it is.
    """
    return record_observations(tx, observation.seen, now, observation.began, every_us)
