"""Acts in their threads: what is known of them while they run, afterwards, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.model import HeadraceError, Refused, StoreError, UnknownName, UsageError
from headrace.project.session import ProjectSession
from headrace.web import acts as acts_module
from headrace.web.acts import ACT_NOTES_MAX, Acts, RunningAction, visible_progress
from headrace.web.http import HttpProblem, problem_of


def run(work: Callable[[Acts], Awaitable[Any]]) -> Any:
    async def begun() -> Any:
        return await work(Acts())

    return asyncio.run(begun())


def test_progress_is_that_of_the_phase_and_ends_with_a_document() -> None:
    """Would catch: steps not counted, or those of the phase before; an act that is done and says
    that it runs."""

    async def work() -> None:
        act = RunningAction(7, "backfill")
        act.start("planning", 3)
        act.advance()
        act.advance(2)
        act.ahead("two more")
        shown = act.as_response()
        assert (shown.id, shown.act, shown.state) == ("7", "backfill", "running")
        assert (shown.what, shown.done, shown.total, shown.ahead) == ("planning", 3, 3, "two more")
        act.finish()
        act.start("writing", None)
        for number in range(ACT_NOTES_MAX + 2):
            act.note(f"note {number}")
        shown = act.as_response()
        assert (shown.what, shown.done, shown.total, shown.ahead) == ("writing", 0, None, "")
        assert shown.notes == [f"note {number}" for number in range(2, ACT_NOTES_MAX + 2)]
        act.document = {}
        assert act.as_response().state == "done"
        act.problem = HttpProblem(409, "changed meanwhile")
        failed = act.as_response()
        assert failed.state == "failed" and failed.problem is not None
        assert (failed.problem.status, failed.problem.detail) == (409, "changed meanwhile")

    asyncio.run(work())


def test_an_act_fails_with_its_own_problem_and_tells_nothing_of_others() -> None:
    """Would catch: an act that fails and never ends; the text of an internal error told to who
    asks over a network."""

    async def work(acts: Acts) -> list[Any]:
        def failing(error: Exception) -> Callable[[RunningAction], Any]:
            def do(_: RunningAction) -> Any:
                raise error

            return do

        errors = (UnknownName("no `x`", hint="y"), ValueError("a password"))
        begun = [acts.begin("pause", failing(error)) for error in errors]
        for act in begun:
            await asyncio.wait_for(act.over.wait(), 20)
        return [acts.get(act.id).as_response() for act in begun]

    own, other = run(work)
    assert (own.state, own.problem.status, own.problem.detail) == ("failed", 404, "no `x`")
    assert own.problem.hint == "y"
    assert (other.state, other.problem.status) == ("failed", 500)
    assert "password" not in other.problem.detail + other.problem.hint


def test_no_more_acts_run_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: threads without end, or a place that isn't free again after an act."""
    assert acts_module.RUNNING_ACTS_MAX == 16
    monkeypatch.setattr(acts_module, "RUNNING_ACTS_MAX", 2)
    go = threading.Event()

    async def work(acts: Acts) -> None:
        begun = [acts.begin("wait", lambda _: go.wait(60)) for _ in range(2)]
        with pytest.raises(HttpProblem) as refused:
            acts.begin("wait", lambda _: 1)
        assert refused.value.status == 503
        go.set()
        for act in begun:
            await asyncio.wait_for(act.over.wait(), 20)
        assert acts.begin("wait", lambda _: 1).id == "3"

    run(work)


def test_the_oldest_acts_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: memory that grows with each act; an act forgotten while it runs."""
    monkeypatch.setattr(acts_module, "FINISHED_ACTS_MAX", 2)
    go = threading.Event()

    async def work(acts: Acts) -> None:
        running = acts.begin("wait", lambda _: go.wait(60))
        over = []
        for number in range(4):
            over.append(acts.begin(f"quick {number}", lambda _: 1))
            await asyncio.wait_for(over[-1].over.wait(), 20)
        last = acts.begin("quick", lambda _: 1)
        for act in over[:2]:
            with pytest.raises(HttpProblem) as unknown:
                acts.get(act.id)
            assert unknown.value.status == 404
        assert [acts.get(act.id) for act in (running, *over[2:], last)] == [
            running,
            *over[2:],
            last,
        ]
        go.set()
        await asyncio.wait_for(running.over.wait(), 20)

    run(work)


class LimitedSession:
    """What `visible_progress` asks of a session."""

    visible = frozenset({"revenue"})

    def project(self) -> LimitedSession:
        return self

    def nodes(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in ("revenue", "salaries")]

    def shows(self, node: str) -> bool:
        return node in self.visible


def test_the_progress_of_an_act_names_no_hidden_node() -> None:
    """Would catch: the steps of an act on a visible node, which also name what waits for it."""
    act = RunningAction(7, "do_backfill", "token:ci")
    act.start("computing salaries", 3)
    act.ahead("salaries and revenue")
    act.note("salaries@2025-03-01 failed")
    shown = visible_progress(cast("ProjectSession", LimitedSession()), act)
    assert (shown.what, shown.ahead) == ("computing …", "… and revenue")
    assert "salaries" not in str(shown) and shown.state == "running"
    act.problem = HttpProblem(409, "changed meanwhile")
    assert visible_progress(cast("ProjectSession", LimitedSession()), act).state == "failed"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownName("x"), 404),
        (UsageError("x"), 400),
        (Refused("x"), 409),
        (StoreError("x"), 503),
        (HeadraceError("x"), 500),
    ],
)
def test_a_problem_has_the_status_of_its_kind(error: HeadraceError, status: int) -> None:
    """Would catch: a client that tries again what never works, or gives up what soon works."""
    assert (problem_of(error).status, problem_of(error).detail) == (status, "x")
