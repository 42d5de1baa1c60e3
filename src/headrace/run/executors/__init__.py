"""Where attempts are worked at. One small interface, one file a kind: warm processes on this machine, this process, Dask."""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.model import HeadraceError
from headrace.run.messages import SourceObserved, Task, TaskOutcome
from headrace.schedule import AttemptId
from headrace.store.wake import WakeListener

__all__ = ["Executor", "LostWorker", "News", "ObservationFinished", "TaskFinished", "WorkersBroken"]


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
            hint="python -m headrace.run.fork_server must be able to start: look at memory limits and at the installation",
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
