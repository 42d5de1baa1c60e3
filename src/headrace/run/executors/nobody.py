"""No executor: a leader that can't publish anything looks, evaluates and tells, and gives out nothing."""

from __future__ import annotations

from headrace.run.executors import News
from headrace.run.messages import Task
from headrace.schedule import AttemptId
from headrace.store.wake import WakeListener


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
