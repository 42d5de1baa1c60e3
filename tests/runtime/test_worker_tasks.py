"""How a worker takes its tasks: one at a time, and what it hasn't begun can be taken back whatever
it is at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from headrace.engine import AttemptScope
from headrace.model import PythonBody
from headrace.runtime.messages import ComputeTask
from headrace.runtime.worker import TaskPipe
from headrace.runtime.worker_protocol import encode_frame, write_all

PATIENCE = 60.0
"""Seconds: more than any machine needs, and less than a test may take."""


class Leader:
    """The end of the pipe that a leader has, and the worker's tasks."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.tasks = TaskPipe(self.read)

    def say(self, *numbers: int, cut: int | None = None) -> bytes:
        """Send these tasks; with `cut` only so many bytes of them. What is left."""
        data = b"".join(encode_frame(_task(f"1.{number}")) for number in numbers)
        write_all(self.write, data[:cut])
        return data[len(data[:cut]) :]

    def close(self) -> None:
        for descriptor in {self.read, self.write}:
            os.close(descriptor)


def _task(attempt: str) -> ComputeTask:
    scope = AttemptScope("asset", ("*",), None, None, None, "UTC", attempt)
    return ComputeTask(
        scope,
        PythonBody(file="b.py", function="f", takes_context=False),
        None,
        "v1",
        (),
        "none",
        None,
        None,
        False,
        (),
        "reject",
    )


@pytest.fixture
def leader() -> Iterator[Leader]:
    made = Leader()
    yield made
    made.close()


def _next(leader: Leader) -> str | None:
    task = leader.tasks.take()
    assert task is None or isinstance(task, ComputeTask)
    return None if task is None else task.scope.attempt


def test_tasks_come_one_by_one_in_their_order(leader: Leader) -> None:
    """Would catch: one that is lost where several were read at once, or done twice."""
    leader.say(1, 2, 3)
    assert [_next(leader) for _ in range(3)] == ["1.1", "1.2", "1.3"]


def test_what_has_not_begun_is_given_back_and_never_begun(leader: Leader) -> None:
    """Would catch: a task that two workers do; one that lies in the pipe, unread because a body
    runs, and isn't given back.
    """
    leader.say(1, 2)
    assert _next(leader) == "1.1"
    leader.say(3, 4)
    assert leader.tasks.take_back() == ("1.2", "1.3", "1.4")
    assert leader.tasks.take_back() == ()
    leader.say(5)
    assert _next(leader) == "1.5"


def test_a_task_that_has_come_in_half_is_not_given_back(leader: Leader) -> None:
    """Would catch: a thread that is stuck in a half message, and bytes of the next one that are
    taken for its rest."""
    rest = leader.say(1, 2, cut=-10)
    assert _next(leader) == "1.1"
    assert leader.tasks.take_back() == ()
    write_all(leader.write, rest)
    assert _next(leader) == "1.2"


def test_who_waits_for_a_task_gets_it_though_all_are_asked_back(leader: Leader) -> None:
    """Would catch: a worker that takes nothing any more because two threads read its pipe."""
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.append(_next(leader)))
    waiting.start()
    back: list[tuple[str, ...]] = []
    asking = threading.Thread(target=lambda: back.append(leader.tasks.take_back()))
    asking.start()
    leader.say(1)
    asking.join(PATIENCE)
    taken_back = back[0] if back else ()
    if taken_back:  # it was asked before it waited
        leader.say(2)
    waiting.join(PATIENCE)
    assert [*taken_back, *got] == (["1.1", "1.2"] if taken_back else ["1.1"])


@pytest.mark.parametrize("said", [b"", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xc1"])
def test_a_leader_that_is_gone_or_says_what_is_no_task_is_the_end(
    leader: Leader, said: bytes
) -> None:
    """Would catch: a worker that stays for ever, and one that goes on with what it doesn't
    understand."""
    write_all(leader.write, said)
    os.close(leader.write)
    leader.write = leader.read
    assert _next(leader) is None
