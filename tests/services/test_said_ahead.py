"""While something is worked at, how long it still takes is said now and then."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.acts import commands
from headrace.acts.commands import PendingRun, RequestHandler, work_until_done
from headrace.project.session import Silent


class _Leader:
    """A run that takes so many turns."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def begin(self, order: object, report: object) -> int:
        return 1

    def step(self) -> None:
        self.turns -= 1

    def result(self, run: int) -> str | None:
        return None if self.turns else "ended"


def _said(turns: int) -> int:
    count = itertools.count()

    def ahead() -> str:
        time.sleep(0.001)
        return f"{next(count)}"

    work = PendingRun(
        cast("Any", _Leader(turns)), cast("Any", None), "work", cast("Any", str), ahead=ahead
    )
    assert (
        str(
            work_until_done(
                work, cast("RequestHandler", SimpleNamespace(has_requests=lambda: False)), Silent()
            )
        )
        == "ended"
    )
    return next(count)


def test_nobody_finds_out_how_long_it_takes_once_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch: a simulation between the last publication and the answer."""
    monkeypatch.setattr(commands, "AHEAD_SECONDS", 0.0)
    monkeypatch.setattr(commands, "AHEAD_TIMES", 0)
    assert _said(3) == 3


def test_who_leads_spends_little_on_saying_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch: a leader that mostly finds out how long it takes, where that is much to
    simulate, and lets workers wait."""
    monkeypatch.setattr(commands, "AHEAD_SECONDS", 0.0)
    monkeypatch.setattr(commands, "AHEAD_TIMES", 1e9)
    assert _said(5) == 1
