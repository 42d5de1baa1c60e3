"""Tasks done in this process, one after the other, by a function that is given: for tests.

It isn't for production: a body could end, block or change the leader's process, and real ones need DuckDB, which the leader must never
load. So what does a task isn't chosen here (docs/decisions/0029-workers-are-forked.md).
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from typing import Self

from headrace.run.executors import LostWorker, News, ObservationFinished, TaskFinished
from headrace.run.messages import Answer, SourceObserved, Task
from headrace.schedule import AttemptId
from headrace.store.wake import WakeListener

Perform = Callable[[Task], Answer]


class InProcess:
    """Does one task each time that it is waited for. Use it as a context manager."""

    def __init__(self, perform: Perform, slots: int = 1) -> None:
        """`slots` is how many tasks it takes at once, to be done in their order."""
        self._perform, self._slots = perform, slots
        self._queue: deque[tuple[AttemptId, Task]] = deque()
        self._background: deque[tuple[AttemptId, Task]] = deque()
        self._news: list[News] = []
        self._selector = selectors.DefaultSelector()

    @property
    def slots(self) -> int:
        """How many tasks it takes at once."""
        return self._slots

    @property
    def background_slots(self) -> int:
        """How many tasks of the background it takes at once."""
        return self._slots

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, listener: WakeListener) -> None:
        """Let `wait` return early when somebody wakes the leader."""
        self._selector.register(listener, selectors.EVENT_READ, listener.drain)

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:
        """Queue a task; `wait` does it, those of the background when there are no others."""
        (self._background if background else self._queue).append((attempt, task))

    def send(self) -> None:
        """Nothing: whoever does it is the one who waits."""

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """Take an attempt out of the queue: whatever has begun is done before anybody can ask."""
        for queue in (self._queue, self._background):
            for item in [one for one in queue if one[0] == attempt]:
                queue.remove(item)
                self._news.append(LostWorker(attempt, (), reason))

    def wait(self, seconds: float | None) -> list[News]:
        """Do the next task. Where there is none, and no news, wait up to `seconds` to be woken."""
        if not self._news and (queue := self._queue or self._background):
            attempt, task = queue.popleft()
            answer = self._perform(task)
            self._news.append(ObservationFinished(attempt, answer) if isinstance(answer, SourceObserved) else TaskFinished(attempt, answer))
        for key, _ in self._selector.select(0 if self._news else seconds):
            key.data()
        news, self._news = self._news, []
        return news

    def stop(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        self._background.clear()
        self._selector.close()
