"""The order in which answers about a source's deliveries are recorded.

Deliveries that are ingested at the same time are evaluated without knowing each other. If two have
the same rows, the one that is recorded first is published, and the other is held as a copy. So a
batch waits for attempts at earlier intervals, and attempts at later intervals wait for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.runtime.executors import LostWorker, TaskFinished
from headrace.runtime.executors import News as Answered
from headrace.runtime.messages import IngestBatchTask, IngestTask
from headrace.runtime.runs import RunningAttempt
from headrace.scheduler.events import AttemptId


class DeliveryOrder:
    """Keeps answers until those before them are there."""

    def __init__(self) -> None:
        self._waiting: list[TaskFinished] = []

    def ready(
        self, news: Sequence[Answered], running: Mapping[AttemptId, RunningAttempt]
    ) -> list[Answered]:
        """Return the answers that can be recorded now: of `news`, and of those that waited.

        `running` are the attempts whose end isn't recorded yet.
        """
        answers = [*self._waiting, *news]
        deliveries = _deliveries(answers, running)
        self._waiting = []
        if not deliveries:
            return answers
        others = [
            item
            for item in answers
            if not isinstance(item, TaskFinished) or item.attempt not in deliveries
        ]
        lost = _lost(others)
        left = {id_: attempt for id_, attempt in running.items() if id_ not in lost}
        recorded = list[Answered]()
        for id_ in sorted(deliveries, key=lambda id_: running[id_].keys[0]):
            if any(_precedes(other, running[id_]) for other in left.values()):
                self._waiting.append(deliveries[id_])
            else:
                left.pop(id_, None)
                recorded.append(deliveries[id_])
        return [*others, *recorded]


def _deliveries(
    answers: Sequence[Answered], running: Mapping[AttemptId, RunningAttempt]
) -> dict[AttemptId, TaskFinished]:
    """Return the answers of attempts at deliveries."""
    finished = {item.attempt: item for item in answers if isinstance(item, TaskFinished)}
    return {
        id_: item
        for id_, item in finished.items()
        if id_ in running and isinstance(running[id_].prepared.task, IngestTask | IngestBatchTask)
    }


def _lost(answers: Sequence[Answered]) -> set[AttemptId]:
    """Return the attempts that ended with their workers."""
    losses = [item for item in answers if isinstance(item, LostWorker)]
    return {
        attempt
        for loss in losses
        for attempt in (loss.running, *loss.queued)
        if attempt is not None
    }


def _precedes(other: RunningAttempt, attempt: RunningAttempt) -> bool:
    """Whether an attempt has to be recorded first."""
    return (
        other.node == attempt.node
        and other.keys[0] < attempt.keys[0]
        and any(isinstance(item.prepared.task, IngestBatchTask) for item in (other, attempt))
    )
