"""A run that is taken back: what it asked for ends, what others asked for goes on."""

from __future__ import annotations

from driver import WHOLE, Driver, asset

from headrace.scheduler import Cancelled, PartitionState, Requested, Target, WorkerLost


def running(d: Driver) -> list[str]:
    return sorted(item.node for item in d.running.values())


def asked(d: Driver, run: int, *nodes: str) -> None:
    d.give(
        Requested(
            tuple(map(Target, nodes)), retry=frozenset(nodes), again=frozenset(nodes), run=run
        )
    )


def project() -> Driver:
    return Driver(*(asset(name, partition=WHOLE) for name in "abc"), slots=2)


def test_what_only_the_run_wanted_isnt_started_and_its_attempts_are_ended() -> None:
    d = project()
    asked(d, 1, "a", "b", "c")
    assert running(d) == ["a", "b"]
    d.give(Cancelled(1))
    assert sorted(d.running[kill.attempt].node for kill in d.kills) == ["a", "b"]
    for attempt in [kill.attempt for kill in d.kills]:
        d.running.pop(attempt)
        d.give(WorkerLost(attempt, (), "its worker was cancelled"))
    assert running(d) == []
    assert (
        d.core.state_of("a", "*") is PartitionState.FAILED
    )  # it isn't begun again before somebody asks


def test_what_another_person_asked_for_goes_on() -> None:
    d = project()
    asked(d, 1, "a", "b")
    asked(d, 2, "b")
    d.give(Cancelled(1))
    assert [d.running[kill.attempt].node for kill in d.kills] == ["a"]


def test_an_attempt_ends_though_a_server_would_have_run_it_by_itself() -> None:
    """Catches `cancel` that changes a document and ends nothing: a server wants
    everything, always."""
    d = project()
    d.ask()
    d.work()
    asked(d, 1, "a")
    assert running(d) == ["a"]
    d.give(Cancelled(1))
    assert [d.running[kill.attempt].node for kill in d.kills] == ["a"]


def test_what_a_server_began_by_itself_isnt_ended_with_a_run_that_came_later() -> None:
    d = project()
    d.ask(Target("a"))
    assert running(d) == ["a"]
    asked(d, 1, "a")
    d.give(Cancelled(1))
    assert d.kills == []
