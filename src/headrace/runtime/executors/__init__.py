"""Executors: where attempts run.

One small interface. Headrace has warm processes on this machine; packages add other machines.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.model import HeadraceError
from headrace.runtime.messages import SourceObserved, Task, TaskOutcome
from headrace.scheduler import AttemptId
from headrace.store.requests import WakeListener


class TaskFinished(msgspec.Struct, frozen=True, gc=False):
    """The answer to an attempt's task."""

    attempt: AttemptId
    outcome: TaskOutcome


class ObservationFinished(msgspec.Struct, frozen=True, gc=False):
    """The answer to an observation."""

    attempt: AttemptId
    looked: SourceObserved


class LostWorker(msgspec.Struct, frozen=True, gc=False):
    """A worker that has ended.

    `running` is its current attempt, `queued` are those that it hadn't started, `reason` is how it
    ended.
    """

    running: AttemptId | None
    queued: tuple[AttemptId, ...]
    reason: str


News = TaskFinished | ObservationFinished | LostWorker


class WorkersBroken(HeadraceError):
    """Workers end before they are ready: something in the environment keeps them from starting."""

    def __init__(self, times: int, how: str) -> None:
        super().__init__(
            f"workers died {times} times before they were ready; the last one {how}",
            hint=(
                "python -m headrace.runtime.fork_server must be able to start: look at memory"
                " limits and at the installation"
            ),
        )


class Executor(Protocol):
    """Runs tasks and reports their outcomes.

    Failures of its workers are news; it raises only if it can't work at all.
    """

    @property
    def slots(self) -> int:
        """The number of attempts that run at once."""

    @property
    def background_slots(self) -> int:
        """The number of background attempts that run at once, in addition to `slots`."""

    def watch(self, listener: WakeListener) -> None:
        """Let `wait` return early when a process wakes the leader."""

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:
        """Take a task.

        Background tasks never take a slot of the others, and only get the processor time that these
        leave.
        """

    def send(self) -> None:
        """Let workers with room start submitted tasks; `wait` does so as well."""

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """End the worker of this attempt; `wait` reports the loss."""

    def wait(self, seconds: float | None) -> list[News]:
        """Return the news, waiting up to `seconds` for the first (None: without limit)."""

    def stop(self) -> None:
        """End all workers of this executor."""


# No executor: a leader that can't publish anything still observes, evaluates and notifies, and
# starts no attempt.


class NullExecutor:
    """Has no slots, so it gets no attempt."""

    slots = 0
    background_slots = 0

    def watch(self, listener: WakeListener) -> None:
        """Do nothing: `wait` returns at once."""

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:  # noqa: ARG002
        """Raise AssertionError: there are no slots."""
        raise AssertionError(f"{attempt} was dispatched, and there is no worker")

    def send(self) -> None:
        """Do nothing: no task was submitted."""

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """Do nothing: no attempt runs."""

    def wait(self, seconds: float | None) -> list[News]:  # noqa: ARG002
        """Return no news."""
        return []

    def stop(self) -> None:
        """Do nothing: there are no workers."""
