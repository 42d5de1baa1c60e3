"""Code that can't work in any partition fails once; the others fail without an attempt, until somebody asks again."""

from __future__ import annotations

from driver import Driver, asset, source

from headrace.schedule import Ended, FailureKind, LoadedCell, PartitionState, Target

D = [f"2013-02-{d:02}" for d in range(1, 9)]
S = PartitionState
SAID = "no function nope"


def started() -> Driver:
    """All days of `a` are there, and nothing of `b`."""
    cells = [LoadedCell(node="a", key=day, state=S.PUBLISHED, published=True) for day in D]
    cells += [LoadedCell(node="b", key=day, state=S.WAITING) for day in D]
    d = Driver(source("a"), asset("b", "a"), cells=tuple(cells), slots=2)
    d.at("2013-02-09 06:00")
    d.ask()
    return d


def fail(d: Driver, *, everywhere: bool = True) -> None:
    attempt = next(iter(d.running))
    d.running.pop(attempt)
    d.give(Ended(attempt, S.FAILED, SAID, FailureKind.DETERMINISTIC, everywhere=everywhere))


def test_the_others_say_like_which_and_take_no_attempt() -> None:
    d = started()
    assert len(d.running) == 2, "of code that never worked no more is given out than there are workers"
    fail(d)
    fail(d)
    assert not d.running
    assert {day: d.state("b", day) for day in D} == dict.fromkeys(D, S.FAILED)
    reasons = {mark.key: mark.reason for mark in d.marks if mark.node == "b" and mark.state is S.FAILED}
    assert reasons[D[-1]] == f"fails like {D[0]}: {SAID}"
    assert sum(reason == SAID for reason in reasons.values()) == 2


def test_other_failures_say_nothing_about_the_others() -> None:
    d = started()
    fail(d, everywhere=False)
    assert len(d.running) == 2


def test_who_asks_again_sees_it_tried_again() -> None:
    d = started()
    fail(d)
    fail(d)
    d.ask(Target("b", D[3], D[3]), retry=frozenset({"b"}))
    assert [dispatch.keys for dispatch in d.running.values()] == [(D[3],)]
    d.publish(next(iter(d.running)))
    assert d.state("b", D[3]) is S.PUBLISHED
