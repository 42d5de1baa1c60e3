"""Histories: they survive being kept, and another decision is seen."""

from __future__ import annotations

import subprocess
import sys

import pytest
from driver import WHOLE, asset, reads, source

from headrace.model import PartitionSpec
from headrace.model.times import DaysOff
from headrace.scheduler import (
    AttemptPublished,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Graph,
    Loaded,
    Requested,
    Target,
)
from headrace.scheduler.core import (
    LeaderHistory,
    LoopIteration,
    commands_digest,
    decode_events,
    encode_events,
    replay,
)
from headrace.scheduler.events import Dispatch, Event

GRAPH = Graph(
    (
        source("a"),
        source("b", PartitionSpec(key="region")),
        asset(
            "c",
            "a",
            reads("b", optional=True),
            days_off=DaysOff(dates=frozenset({"2013-01-01", "2013-01-02"})),
        ),
        asset("d", reads("c", lookback="2d"), partition=WHOLE),
    )
)


def recorded() -> LeaderHistory:
    """Two turns that load and deliver, then whatever is dispatched is published; loaded again in
    the middle."""
    core, turns = Core(epoch=3, slots=2), []
    pending: list[Event] = [
        Loaded(GRAPH, ()),
        Requested((Target("a"), Target("c"), Target("d")), run=7, standing=True),
    ]
    pending += [DeliveryArrived("a", f"2013-03-0{day}") for day in range(1, 8)] + [ClockAdvanced()]
    now = 1_400_000_000_000_000
    for _ in range(40):
        commands = core.handle_all(pending, now)
        turns.append(LoopIteration(now, tuple(pending), commands_digest(commands)))
        given = [command for command in commands if isinstance(command, Dispatch)]
        pending = [
            AttemptPublished(item.attempt, tuple((key, True) for key in item.keys))
            for item in given
        ]
        now += 1_000
        if not pending:
            break
    return LeaderHistory(3, 2, tuple(turns))


def test_a_history_replays_to_the_same_decisions() -> None:
    history = recorded()
    assert sum(len(turn.events) for turn in history.turns) > 20
    assert replay(history) == []


def test_another_decision_is_seen() -> None:
    """A replay that compares nothing would pass everything."""
    history = recorded()
    more = LeaderHistory(history.epoch, history.slots + 1, history.turns)
    assert any(item.commands for item in replay(more))


def test_an_event_that_cannot_be_handled_ends_the_replay_with_its_error() -> None:
    history = recorded()
    broken = LeaderHistory(history.epoch, history.slots, (history.turns[0], *history.turns[2:]))
    assert replay(broken)[-1].error


@pytest.mark.parametrize("turn", range(2))
def test_events_survive_being_kept(turn: int) -> None:
    events = recorded().turns[turn].events
    assert decode_events(encode_events(events)) == events


def test_the_same_events_are_the_same_bytes_in_every_process() -> None:
    """The order of sets differs from process to process."""
    program = (
        "import sys; sys.path.insert(0, 'tests/scheduler');from headrace.scheduler import"
        " Requested, Target; from headrace.scheduler.core import"
        " encode_events;print(encode_events([Requested((Target('a'),), retry=frozenset({'a', 'b',"
        " 'c', 'dd', 'eee'}))]).hex())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
