"""Background workers let other processes read first, but hold nobody up while they sync."""

from __future__ import annotations

import threading

import pytest

from headrace.runtime.disk_priority import IDLE, disk_priority, give_way, in_usual_class

pytestmark = pytest.mark.skipif(disk_priority() is None, reason="the system has no such priorities")


def test_a_thread_that_gave_way_has_the_usual_class_while_it_syncs() -> None:
    """In a thread of its own: the priority is one thread's, and that of those that it starts."""
    seen: list[int | None] = []

    def work() -> None:
        give_way()
        seen.append(disk_priority())
        with in_usual_class():
            seen.append(disk_priority())
        seen.append(disk_priority())
        inner = threading.Thread(target=lambda: seen.append(disk_priority()))
        inner.start()
        inner.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[1] != IDLE
    assert (seen[0], *seen[2:]) == (IDLE, IDLE, IDLE)


def test_a_thread_that_did_not_give_way_keeps_its_priority() -> None:
    before = disk_priority()
    with in_usual_class():
        assert disk_priority() == before != IDLE
    assert disk_priority() == before
