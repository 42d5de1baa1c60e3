"""Executors: where attempts run.

One small interface, implemented by warm processes of this machine, by this process, and on a Dask cluster.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from typing import Protocol, Self

import msgspec

from headrace.model import HeadraceError
from headrace.runtime.messages import Answer, SourceObserved, Task, TaskOutcome
from headrace.scheduler import AttemptId
from headrace.store.requests import WakeListener


class TaskFinished(msgspec.Struct, frozen=True, gc=False):
    """The answer to one task."""

    attempt: AttemptId
    outcome: TaskOutcome


class ObservationFinished(msgspec.Struct, frozen=True, gc=False):
    """The answer to a look."""

    attempt: AttemptId
    looked: SourceObserved


class LostWorker(msgspec.Struct, frozen=True, gc=False):
    """A worker is gone: `running` is what it was at, `queued` what it hadn't begun, `reason` how it ended."""

    running: AttemptId | None
    queued: tuple[AttemptId, ...]
    reason: str


News = TaskFinished | ObservationFinished | LostWorker


class WorkersBroken(HeadraceError):
    """Workers die before they are ready: something in the environment keeps them from starting."""

    def __init__(self, times: int, how: str) -> None:
        super().__init__(
            f"workers died {times} times before they were ready; the last one {how}",
            hint="python -m headrace.runtime.fork_server must be able to start: look at memory limits and at the installation",
        )


class Executor(Protocol):
    """Takes tasks and tells what became of them. Whatever happens to its workers is news; it raises only if it can't work at all."""

    @property
    def slots(self) -> int:
        """How many attempts it works at at once."""

    @property
    def background_slots(self) -> int:
        """How many attempts of the background it works at at once, beside those."""

    def watch(self, listener: WakeListener) -> None:
        """Let `wait` return early when somebody wakes the leader."""

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:
        """Take a task. One of the background gets what the others leave: it never takes a slot of theirs, and is slower beside them."""

    def send(self) -> None:
        """Have workers begin what was submitted, if they have room for it; `wait` does so as well."""

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """End whatever works at this attempt; `wait` tells of the loss."""

    def wait(self, seconds: float | None) -> list[News]:
        """What happened, waiting up to `seconds` (None: until something does) for the first of it."""

    def stop(self) -> None:
        """End everything that works for this executor."""


# No executor: a leader that can't publish anything still observes, evaluates and notifies, and
# starts no attempt.


class NullExecutor:
    """Has no slots, so it is given no attempt."""

    slots = 0
    background_slots = 0

    def watch(self, listener: WakeListener) -> None:
        """Nothing wakes it."""

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:  # noqa: ARG002
        """Nothing may be given to it."""
        raise AssertionError(f"{attempt} was given out, and nobody works")

    def send(self) -> None:
        """Nothing was submitted."""

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """Nothing runs."""

    def wait(self, seconds: float | None) -> list[News]:  # noqa: ARG002
        """Nothing happens."""
        return []

    def stop(self) -> None:
        """Nothing to end."""


# Runs tasks in this process, one after the other, by a given function: for tests. Not for
# production: asset code could end, block or change the leader's process, and real tasks need
# DuckDB, which the leader must never load. Therefore the function isn't chosen here
# (docs/decisions/0029-workers-are-forked.md).

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
