"""Code that can't work in any partition fails once; the others fail without an attempt, until
somebody asks again.
"""

from __future__ import annotations

from driver import Driver, asset, source

from headrace.scheduler import (
    AttemptUnsuccessful,
    ClockAdvanced,
    FailureKind,
    Graph,
    Loaded,
    LoadedPartition,
    PartitionState,
    Target,
)
from headrace.scheduler.attempts import INSTALLED_WAIT_US
from headrace.scheduler.events import FailsAlike

D = [f"2013-02-{d:02}" for d in range(1, 9)]
S = PartitionState
SAID = "no function nope"


def started() -> Driver:
    """All days of `a` are there, and nothing of `b`."""
    tracked_partitions = [
        LoadedPartition(node="a", key=day, state=S.PUBLISHED, published=True) for day in D
    ]
    tracked_partitions += [LoadedPartition(node="b", key=day, state=S.WAITING) for day in D]
    d = Driver(source("a"), asset("b", "a"), tracked_partitions=tuple(tracked_partitions), slots=2)
    d.at("2013-02-09 06:00")
    d.ask()
    return d


def fail(d: Driver, *, everywhere: bool = True, machine: bool = False) -> None:
    attempt = next(iter(d.running))
    d.running.pop(attempt)
    kind = FailureKind.DETERMINISTIC
    d.give(
        AttemptUnsuccessful(attempt, S.FAILED, SAID, kind, everywhere=everywhere, machine=machine)
    )


def test_the_others_say_like_which_and_take_no_attempt() -> None:
    d = started()
    assert len(d.running) == 2, (
        "of code that never worked no more is given out than there are workers"
    )
    fail(d)
    fail(d)
    assert not d.running
    assert {day: d.state("b", day) for day in D} == dict.fromkeys(D, S.FAILED)
    reasons = {
        mark.key: mark.reason for mark in d.marks if mark.node == "b" and mark.state is S.FAILED
    }
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


def test_what_was_never_attempted_is_tried_once_the_code_works() -> None:
    """It stayed failed, with nothing due and no incident, although its sibling had succeeded."""
    d = started()
    fail(d)
    fail(d)
    d.ask(Target("b", D[3], D[3]), retry=frozenset({"b"}))
    d.publish(next(iter(d.running)))
    assert {d.state("b", day) for day in (*D[2:3], *D[4:])} == {S.WAITING}, "due again"
    d.ask()
    for _ in D:
        for attempt in list(d.running):
            d.publish(attempt)
    assert {d.state("b", day) for day in D[2:]} == {S.PUBLISHED}
    assert {d.state("b", day) for day in D[:2]} == {S.FAILED}, "these have failures of their own"


def test_a_core_that_starts_anew_tries_them_too() -> None:
    rows = [LoadedPartition(node="a", key=day, state=S.PUBLISHED, published=True) for day in D]
    rows += [
        LoadedPartition(node="b", key=day, state=S.FAILED, reason=f"fails like {D[0]}: {SAID}")
        for day in D[:3]
    ]
    rows += [LoadedPartition(node="b", key=day, state=S.WAITING) for day in D[3:]]
    d = Driver(source("a"), asset("b", "a"), slots=1)
    d.at("2013-02-09 06:00")
    d.give(Loaded(Graph(d.nodes), tuple(rows)))
    d.ask()
    for _ in D:
        for attempt in list(d.running):
            d.publish(attempt)
    assert {d.state("b", day) for day in D} == {S.PUBLISHED}


def restarted(until: int | None) -> Driver:
    """A core that starts from a store in which the first day has failed as all would."""
    tracked_partitions = [
        LoadedPartition(node="a", key=day, state=S.PUBLISHED, published=True) for day in D
    ]
    tracked_partitions += [LoadedPartition(node="b", key=D[0], state=S.FAILED, failures=1)]
    tracked_partitions += [LoadedPartition(node="b", key=day, state=S.WAITING) for day in D[1:]]
    d = Driver(source("a"), asset("b", "a"), slots=2)
    d.at("2013-02-09 06:00")
    alike = (FailsAlike("b", D[0], SAID, None if until is None else d.now + until),)
    d.give(Loaded(Graph(d.nodes), tuple(tracked_partitions), alike=alike))
    d.ask()
    return d


def test_a_core_that_starts_anew_spends_no_attempt_more() -> None:
    d = restarted(None)
    assert not d.running
    assert {d.state("b", day) for day in D} == {S.FAILED}


def test_what_may_have_been_installed_meanwhile_is_tried_by_the_next_partition() -> None:
    d = restarted(-1)
    assert len(d.running) == 2
    fail(d, machine=True)
    fail(d, machine=True)
    assert d.state("b", D[-1]) is S.FAILED, "the others say so for an hour"
    d.now += INSTALLED_WAIT_US
    d.give(ClockAdvanced())
    d.arrive("a", "2013-02-09")
    d.ask()
    d.publish(next(iter(d.running)))
    d.ask()
    assert [dispatch.keys for dispatch in d.running.values()] == [("2013-02-09",)]
