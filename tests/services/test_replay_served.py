"""A replay that is served stands where its work has brought it, however long the server waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from serve_lab import headrace, project, response

from headrace.acts.command_context import CommandContext
from headrace.project.session import ProjectSession, Silent
from headrace.runtime.leader import Leader
from headrace.serving.serving import Serving, Stop
from headrace.store import clock

HOUR_US = 3_600_000_000
TURNS = 5


class _HoursGoBy:
    """Beside a server: an hour passes with each turn of its loop, and after a few it is told to
    stop.
    """

    def __init__(self, stop: Stop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stop, self._turns = stop, 0
        elapsed = clock.Machine.elapsed_us
        monkeypatch.setattr(
            clock.Machine, "elapsed_us", lambda machine: elapsed(machine) + self._turns * HOUR_US
        )

    def after_iteration(self, _context: CommandContext, _leader: Leader) -> None:
        self._turns += 1
        self._stop.asked = self._turns == TURNS


@pytest.mark.system
@pytest.mark.long
def test_a_replay_does_not_move_while_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a server that moves a replay by the time served, written when it stops; what the
    project says (how long who was late, the availability) then differs at each start."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", "2026-03-03T06:00:00+01:00")
    before = _now(root)
    for _ in range(2):
        stop, session = Stop(), ProjectSession.open(root, "prod", None, "tester")
        with stop.listening():
            beside = _HoursGoBy(stop, monkeypatch)
            Serving(session, stop, lambda _: None, Silent(), beside).run(lambda _: None)
        session.close()
    assert _now(root) - before < timedelta(hours=1)


def _now(root: Path) -> datetime:
    return datetime.fromisoformat(response(root, "status")["now"])
