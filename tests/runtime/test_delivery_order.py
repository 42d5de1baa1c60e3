"""Answers about a source's deliveries are recorded in the order of their intervals, as far as
batches are among them.
"""

from __future__ import annotations

from typing import Any

from headrace.engine import Measures
from headrace.runtime.delivery_order import DeliveryOrder
from headrace.runtime.executors import LostWorker, TaskFinished
from headrace.runtime.messages import IngestBatchTask, IngestTask, StagedOutcome
from headrace.runtime.runs import RunningAttempt
from headrace.runtime.tasks import PreparedTask
from headrace.scheduler.events import AttemptId

NOTHING: Any = None


def single() -> IngestTask:
    return IngestTask("1.1", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, False, True)


def batch() -> IngestBatchTask:
    return IngestBatchTask("1.1", single(), (), ())


class Leader:
    """Attempts that run, and the order in which their answers are recorded."""

    def __init__(self) -> None:
        self.order, self.running = DeliveryOrder(), dict[AttemptId, RunningAttempt]()

    def sent(self, node: str, first: str, task: IngestTask | IngestBatchTask) -> AttemptId:
        number = AttemptId(1, len(self.running) + 1)
        prepared = PreparedTask(task, "take_in", 1, None)
        self.running[number] = RunningAttempt(number, node, (first,), prepared, 0, ())
        return number

    def recorded(self, *news: AttemptId | LostWorker) -> list[AttemptId]:
        answers = [
            item
            if isinstance(item, LostWorker)
            else TaskFinished(item, StagedOutcome(attempt=str(item), measures=Measures()))
            for item in news
        ]
        ready = self.order.ready(answers, self.running)
        return [item.attempt for item in ready if isinstance(item, TaskFinished)]


def test_a_batch_waits_for_the_one_before_it() -> None:
    """Would catch: copies in a later batch that are published, so that the rows that came first are
    held."""
    leader = Leader()
    first, second = (leader.sent("o", key, batch()) for key in ("2025-01-01", "2025-01-17"))
    assert leader.recorded(second) == []
    assert leader.recorded() == []
    assert leader.recorded(first) == [first, second]
    assert leader.recorded() == []


def test_answers_of_one_iteration_are_in_order() -> None:
    """Would catch: two batches that end at once and are recorded as they were heard of."""
    leader = Leader()
    first, second = (leader.sent("o", key, batch()) for key in ("2025-01-01", "2025-01-17"))
    assert leader.recorded(second, first) == [first, second]


def test_single_deliveries_and_batches_wait_for_each_other() -> None:
    """Would catch: one delivery that overtakes the batch before it, or is overtaken by one."""
    leader = Leader()
    before = leader.sent("o", "2025-01-01", single())
    between = leader.sent("o", "2025-01-02", batch())
    after = leader.sent("o", "2025-01-18", single())
    assert leader.recorded(after, between) == []
    assert leader.recorded(before) == [before, between, after]


def test_single_deliveries_and_other_sources_wait_for_nobody() -> None:
    """Would catch: large files that are recorded one after another, and sources held by others."""
    leader = Leader()
    leader.sent("o", "2025-01-01", single())
    later = leader.sent("o", "2025-01-02", single())
    leader.sent("p", "2025-01-01", batch())
    other = leader.sent("q", "2025-01-17", batch())
    assert leader.recorded(later, other) == [later, other]


def test_a_lost_worker_and_an_ended_attempt_release_those_that_wait() -> None:
    """Would catch: a batch that is never recorded, because the one before it has no answer."""
    leader = Leader()
    first, second, third = (
        leader.sent("o", key, batch()) for key in ("2025-01-01", "2025-01-17", "2025-02-02")
    )
    assert leader.recorded(third) == []
    assert leader.recorded(LostWorker(None, (first,), "was killed")) == []
    del leader.running[first], leader.running[second]
    assert leader.recorded() == [third]
