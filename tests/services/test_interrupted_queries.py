"""Ctrl+C while a query of `headrace sql` begins, runs, or has ended."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.services.sql import _interruptible


class Connection:
    """Like DuckDB's, an interrupt ends the query that runs, and is forgotten without one."""

    def __init__(self) -> None:
        self.runs, self.ended = threading.Event(), threading.Event()
        self.interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.runs.is_set():
            self.ended.set()

    def query(self, begins_after_s: float) -> str:
        time.sleep(begins_after_s)
        self.runs.set()
        if not self.ended.wait(20):
            raise AssertionError("the query went on")
        raise RuntimeError("INTERRUPT Error: Interrupted!")


def interrupted(monkeypatch: pytest.MonkeyPatch, begins_after_s: float) -> Connection:
    """Send Ctrl+C at once; return the connection, whose query has ended."""
    from concurrent.futures import Future

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", stop)
    connection = Connection()
    with pytest.raises(KeyboardInterrupt):
        _interruptible(
            cast("Any", SimpleNamespace(connection=connection)),
            lambda: connection.query(begins_after_s),
        )
    return connection


@pytest.mark.parametrize("begins_after_s", [0.0, 0.5])
def test_a_query_that_begins_after_the_signal_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, begins_after_s: float
) -> None:
    """Would catch: one interrupt, which DuckDB forgets if the query begins a moment later."""
    began = time.monotonic()
    connection = interrupted(monkeypatch, begins_after_s)
    assert connection.ended.is_set()
    assert time.monotonic() - began < 15
