"""Looks under way: local folders at once, everything else by workers, whose answers come among the news."""

from __future__ import annotations

import time
from collections.abc import Iterable

from headrace.connect.kinds import name_of, routed
from headrace.model import Project, Source
from headrace.run.executors import Executor, Lost, News, Saw
from headrace.run.folders import Folders
from headrace.run.known import KnownFiles
from headrace.run.looking import Seen, look_at, record
from headrace.run.looking_far import look_seconds_max, question, seen_by
from headrace.run.messages import LookAt
from headrace.schedule import Arrived, AttemptId
from headrace.store import Store, Transaction


class Look:
    """One look at some sources. `run` waits for it."""

    def __init__(self, run: int, began: int) -> None:
        self.run, self.began = run, began
        self.seen: list[Seen] = []
        self.passed_over: list[str] = []
        self.asked: dict[AttemptId, LookAt] = {}
        self.deadline = 0.0

    @property
    def done(self) -> bool:
        """Whether all sources have been looked at."""
        return not self.asked

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        said = (f"{one.source.name}: {note}" for one in self.seen for note in (*one.notes, *((one.error,) if one.error else ())))
        return (*self.passed_over, *said)


class Looks:
    """Begins looks and takes answers in. Numbers of looks are those of epoch 0, in which no attempt ever is."""

    def __init__(self, store: Store, executor: Executor, folders: Folders) -> None:
        self._store, self._executor, self._folders = store, executor, folders
        self._last = 0
        self._known = KnownFiles()
        self._under_way: list[Look] = []
        self._unsettled: dict[str, float] = {}
        """Source → when its files are quiet, by the monotonic clock, if nobody writes on."""

    def begin(self, run: int, project: Project, sources: Iterable[Source], now: int, *, patient: bool) -> Look:
        """Look at sources; what lies elsewhere is asked of workers. A `patient` look waits a little for files that are being written."""
        look = Look(run, now)
        sources = list(sources)
        near = [s for s in sources if name_of(s) is None]
        with self._store.read() as tx:
            self._known.read(tx, project, near)
        seen = look_at(self._folders.project, near, self._known.of, patient=patient)
        self._remember(seen)
        split = {one.source.name: one for one in seen if one.found and routed(one.source)}
        look.seen = [one for one in seen if one.source.name not in split]
        look.passed_over = [f"{name}: {note}" for name, one in split.items() for note in one.notes]
        far = [(s, ()) for s in sources if name_of(s) is not None] + [(one.source, one.found) for one in split.values()]
        with self._store.read() as tx:
            for source, files in far:
                self._ask(tx, look, project, source, now, files)
        look.deadline = time.monotonic() + max(map(look_seconds_max, look.asked.values()), default=0.0)
        self._under_way.append(look)
        return look

    def _remember(self, seen: Iterable[Seen]) -> None:
        """Which sources have files that may still be being written."""
        for one in seen:
            self._unsettled.pop(one.source.name, None)
            if one.settles is not None:
                self._unsettled[one.source.name] = time.monotonic() + one.settles

    def settled(self) -> tuple[set[str], float | None]:
        """The sources whose files have had their time to become quiet since they were looked at, and in how many seconds the next
        ones will have (None: there are none)."""
        now = time.monotonic()
        due = {name for name, at in self._unsettled.items() if at <= now}
        later = [at - now for name, at in self._unsettled.items() if name not in due]
        return due, min(later, default=None)

    def _ask(self, tx: Transaction, look: Look, project: Project, source: Source, now: int, files: tuple[object, ...]) -> None:
        self._last += 1
        asked = question(tx, project, source, now, number=self._last, files=files)  # type: ignore[arg-type]
        if asked is None:
            look.seen.append(Seen(source, (), (), None))  # all that may be there is known
            return
        look.asked[AttemptId(0, self._last)] = asked
        self._executor.submit(AttemptId(0, self._last), asked)

    def record(self, news: Iterable[News]) -> None:
        """Answers of workers. What waited behind a look that had to be ended is asked again."""
        for one in news:
            for look in self._under_way:
                if isinstance(one, Saw) and one.attempt in look.asked:
                    look.seen.append(seen_by(look.asked.pop(one.attempt), one.looked))
                elif isinstance(one, Lost):
                    self._lost(look, one)

    def _lost(self, look: Look, lost: Lost) -> None:
        if lost.running in look.asked:
            look.seen.append(Seen(look.asked.pop(lost.running).source, (), (), f"the look {lost.reason}", "source_unavailable"))
        for number in lost.queued:
            if number in look.asked:
                self._executor.submit(number, look.asked[number])

    def overdue(self) -> None:
        """End what takes too long."""
        for look in self._under_way:
            if look.asked and time.monotonic() > look.deadline:
                for number in look.asked:
                    self._executor.kill(number, "was ended: it took too long")
                look.deadline = time.monotonic() + max(map(look_seconds_max, look.asked.values()))

    def ended(self) -> list[Look]:
        """The looks that have come to their end since this was asked last."""
        done = [look for look in self._under_way if look.done]
        self._under_way = [look for look in self._under_way if not look.done]
        return done

    @property
    def at(self) -> set[str]:
        """The sources that a worker looks at now."""
        return {question.source.name for look in self._under_way for question in look.asked.values()}


def recorded(tx: Transaction, look: Look, now: int, every_us: int | None = None) -> list[Arrived]:
    """Write what was observed; what arrived, as events for the core. `every_us` is how often the
    project is run, where that is declared."""
    return record(tx, look.seen, now, look.began, every_us)
