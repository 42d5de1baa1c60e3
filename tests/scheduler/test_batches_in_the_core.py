"""Partitions that follow each other are computed together, as far as nobody waits for that and
nothing goes wrong.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from driver import Driver, asset, reads, source

from headrace.model import Grain
from headrace.model.intervals import keys_between
from headrace.scheduler import (
    AttemptPublished,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Dispatch,
    FailureKind,
    Graph,
    GraphNode,
    Loaded,
    LoadedPartition,
    PartitionState,
    Paused,
    Requested,
    Resumed,
    Target,
)
from headrace.scheduler.attempts import HISTORY_NEEDED, partitions_per_attempt
from headrace.scheduler.capacity import AHEAD, AttemptGroup
from headrace.scheduler.events import Event, Settled
from headrace.scheduler.partition_states import Covering, PartitionRange

DAYS = list(keys_between("2013-02-01", "2013-04-11", Grain.DAY, "America/New_York"))
S = PartitionState


def clean(name: str = "clean", *inputs: str, **fields: Any) -> GraphNode:
    return asset(name, *(inputs or ("flights",)), batch_max=64, **fields)


def ready(*nodes: GraphNode, days: int = 70, slots: int = 2) -> Driver:
    """The source's days are published, nothing else is, and everything is asked for."""
    flights = source("flights")
    d = Driver(
        flights, *nodes, slots=slots, tracked_partitions=tuple(_there(day) for day in DAYS[:days])
    )
    d.ask()
    return d


def _there(day: str) -> LoadedPartition:
    return LoadedPartition(node="flights", key=day, state=S.PUBLISHED, published=True)


def sizes(d: Driver) -> list[int]:
    return [len(item.keys) for item in d.running.values()]


def finish(d: Driver, seconds: float | None = None) -> int:
    """End all that runs, as long as there is something; how many attempts that were."""
    count = 0
    while d.running:
        attempt, item = next(iter(d.running.items()))
        del d.running[attempt]
        count += 1
        d.give(AttemptPublished(attempt, tuple((key, True) for key in item.keys), seconds))
    return count


def test_a_batch_is_what_follows_in_order_and_every_worker_has_one() -> None:
    """Catches one worker that is given everything, and gaps or disorder inside an attempt."""
    d = ready(clean(), days=20)
    assert [item.keys for item in d.running.values()] == [tuple(DAYS[:10]), tuple(DAYS[10:20])]


def test_a_node_that_never_ran_begins_with_few_and_goes_on_with_a_second_of_work() -> None:
    """Catches hours of work in one attempt, and attempts that stay small although they take a
    moment.
    """
    d = ready(clean(), slots=1)
    assert sizes(d)[0] == 16
    attempt, item = next(iter(d.running.items()))
    del d.running[attempt]
    d.give(AttemptPublished(attempt, tuple((key, True) for key in item.keys), 0.16 * 16))
    d.publish(next(iter(d.running)))
    assert sizes(d)[-1] in (6, 7)


def test_what_is_quick_is_computed_in_the_largest_batches() -> None:
    d = ready(clean(), slots=1)
    assert finish(d, 0.01) <= 4


def test_batches_are_given_out_ahead_by_their_partitions() -> None:
    """Catches two dozen large attempts in one iteration, for which production waits: preparing one
    takes the leader's time by its partitions."""
    days = list(keys_between("2003-01-01", "2012-12-31", Grain.DAY, "America/New_York"))
    d = Driver(source("flights"), clean(), tracked_partitions=tuple(_there(day) for day in days))
    d.ask()
    most = 0
    while d.running:
        attempt, item = next(iter(d.running.items()))
        del d.running[attempt]
        d.give(AttemptPublished(attempt, tuple((key, True) for key in item.keys), 0.01))
        most = max(most, len(d.running))
        assert len(d.running) <= 4 or sum(sizes(d)) < 2 * AHEAD + 64
    assert most == 4, "each worker has one ahead"


def test_where_beginning_is_what_costs_batches_are_as_large_as_pays() -> None:
    """Catches what an attempt costs in any case counted for each partition: batches that shrink to
    one where they pay most.
    """
    d = ready(clean(), slots=1)
    seen = []
    while d.running:
        attempt, item = next(iter(d.running.items()))
        del d.running[attempt]
        seen.append(len(item.keys))
        d.give(
            AttemptPublished(
                attempt, tuple((key, True) for key in item.keys), 3.0 + 0.05 * len(item.keys)
            )
        )
    assert max(seen[2:]) >= 20, seen


def test_two_are_tried_where_all_were_alone() -> None:
    """Catches a node that ran day by day and never learns that two days cost no more than one."""
    assert partitions_per_attempt([AttemptGroup(1, 2.0)], 64) == 2
    assert partitions_per_attempt([AttemptGroup(1, 2.0), AttemptGroup(2, 2.1)], 64) == 19
    assert partitions_per_attempt([AttemptGroup(1, 2.0), AttemptGroup(2, 4.0)], 64) == 1
    assert partitions_per_attempt([AttemptGroup(1, 3600.0)], 64) == 1, (
        "an hour isn't tried twice at once"
    )


def test_node_by_node_there_are_batches_after_what_has_none() -> None:
    """Catches a repair that goes day by day because one of its assets can't be computed several
    days at once.
    """
    sizes_of: dict[bool, list[int]] = {}
    for by_node in (False, True):
        d = Driver(source("flights"), asset("alone", "flights"), clean("after", "alone"), slots=2)
        d.give(Loaded(Graph(d.nodes, by_node=by_node), tuple(_there(day) for day in DAYS[:40])))
        d.ask()
        sizes_of[by_node] = []
        while d.running:
            attempt, item = next(iter(d.running.items()))
            if item.node == "after":
                sizes_of[by_node].append(len(item.keys))
            d.publish(attempt)
    assert len(sizes_of[True]) <= 9, sizes_of
    assert len(sizes_of[False]) > len(sizes_of[True])


def test_node_by_node_the_first_of_each_come_first() -> None:
    """Catches hours of work before the last asset's first day says that it fails, or how long it
    takes.
    """
    d = Driver(source("flights"), asset("a", "flights"), asset("b", "a"), asset("c", "b"), slots=1)
    d.give(Loaded(Graph(d.nodes, by_node=True), tuple(_there(day) for day in DAYS[:30])))
    d.ask()
    order = []
    while d.running:
        attempt, item = next(iter(d.running.items()))
        order.append(item.node)
        d.publish(attempt)
    assert order.index("c") <= 15, order
    assert order[-26:] == ["c"] * 26, order


def test_ranges_that_meet_are_asked_as_one() -> None:
    """Catches ranges that meet or overlap taken for something else."""
    draw = random.Random(5)
    letters = [f"{number:05}" for number in range(400)]
    for _ in range(200):
        spans = [PartitionRange(*sorted(draw.sample(letters, 2))) for _ in range(draw.randrange(6))]
        spans += [PartitionRange(None, draw.choice(letters))] * draw.randrange(2) + [
            PartitionRange(draw.choice(letters), None)
        ] * draw.randrange(2)
        draw.shuffle(spans)
        covering = Covering(spans)
        for order in draw.sample(letters, 60):
            assert covering.covers(order) == any(span.covers(order) for span in spans), (
                spans,
                order,
            )
    assert Covering([PartitionRange("b", "c"), PartitionRange(None, None)]).everything


def test_thousands_of_ranges_are_asked_at_once() -> None:
    """Catches one question that goes through all ranges of a plan: 200,000 of them are
    hours then."""
    many = Covering(
        [PartitionRange(f"{number:05}", f"{number:05}") for number in range(0, 20_000, 2)]
    )
    begun = time.process_time()
    assert sum(many.covers(f"{number:05}") for number in range(20_000)) == 10_000
    assert (
        time.process_time() - begun < 3
    )  # 0.02 s where nothing else runs; one by one it is minutes


def test_gaps_end_a_batch() -> None:
    """Catches a batch over a day that isn't there: `$partition_start` and `$partition_end` would
    span it.
    """
    tracked_partitions = tuple(_there(day) for day in DAYS[:5] + DAYS[6:9])
    d = Driver(source("flights"), clean(), slots=1, tracked_partitions=tracked_partitions)
    d.ask()
    assert [item.keys for item in d.running.values()] == [tuple(DAYS[:5]), tuple(DAYS[6:9])]


def test_what_does_without_an_input_is_alone() -> None:
    """Catches an optional input's absence that is told of all days of a batch, or of none."""
    weather = source("weather")
    node = asset("clean", "flights", reads("weather", optional=True), batch_max=64)
    there = tuple(
        LoadedPartition(node="weather", key=day, state=S.PUBLISHED, published=True)
        for day in DAYS[:6]
        if day != DAYS[2]
    )
    d = Driver(
        source("flights"),
        weather,
        node,
        slots=1,
        tracked_partitions=(*(_there(day) for day in DAYS[:6]), *there),
    )
    d.ask()
    seen = []
    while d.running:
        attempt, item = next(iter(d.running.items()))
        seen.append((item.keys, item.without))
        d.publish(attempt)
    assert seen == [
        (tuple(DAYS[:2]), ()),
        ((DAYS[2],), (("weather", DAYS[2]),)),
        (tuple(DAYS[3:6]), ()),
    ]


def test_while_more_is_about_to_be_ready_nothing_is_given_out_ahead() -> None:
    """Catches catching up day by day: each delivery that is ingested would be computed at once,
    behind others in the workers' pipes."""
    before = [
        f"2012-12-{day:02d}" for day in range(1, HISTORY_NEEDED + 1)
    ]  # a young source is ingested one by one
    tracked_partitions = [
        LoadedPartition(node=node, key=day, state=S.PUBLISHED, published=True)
        for day in before
        for node in ("flights", "clean")
    ]
    d = Driver(source("flights"), clean(), slots=2, tracked_partitions=tuple(tracked_partitions))
    d.ask()
    for _ in range(15):  # so that everything is known to take milliseconds
        d.arrive("flights", DAYS[0])
        finish(d, 0.001)
    for day in DAYS[1:41]:
        d.give(DeliveryArrived("flights", day))
    d.give(ClockAdvanced())
    assert len(d.running) == 40
    attempts = finish(d, 0.001)
    assert attempts <= 40 + 6


@pytest.mark.parametrize("kind", [FailureKind.DETERMINISTIC, FailureKind.RESOURCES])
def test_a_failure_of_many_is_halved_until_one_has_the_blame(kind: FailureKind) -> None:
    """Catches days that fail because of another one, halving that never ends, and failures that are
    counted for all."""
    bad = DAYS[11]
    d = ready(clean(), days=16, slots=1)
    ends = []
    while d.running:
        attempt, item = next(iter(d.running.items()))
        if bad in item.keys:
            ends.append(len(item.keys))
            d.end(attempt, S.FAILED, kind)
            if len(item.keys) == 1:
                break
        else:
            d.publish(attempt)
    assert ends == [16, 8, 4, 2, 1]
    finish(d)
    assert [day for day in DAYS[:16] if d.state("clean", day) is not S.PUBLISHED] == (
        [] if kind is FailureKind.RESOURCES else [bad]
    )


def test_what_passes_by_itself_is_waited_for_and_nothing_is_halved() -> None:
    """Catches a database that is away for a moment: all days of a year tried at once in ever
    smaller halves, and one by one after.
    """
    d = ready(clean(), days=16, slots=1)
    for tries in range(1, 4):
        assert sizes(d) == [16]
        d.end(next(iter(d.running)), S.FAILED, FailureKind.TRANSIENT)
        assert not d.running
        assert {mark.failures for mark in d.marks[-16:]} == {tries}
        at = d.core.next_try()
        assert at is not None and at > d.now
        d.now = at - 1_000_000
        d.give(ClockAdvanced())
    assert sizes(d) == [16]
    finish(d)
    assert {d.state("clean", day) for day in DAYS[:16]} == {S.PUBLISHED}


def test_what_never_passes_is_somebodys_in_the_end() -> None:
    """Catches a batch that is tried for ever, and days that are blamed for their neighbour's
    trouble.
    """
    d = ready(clean(attempts_max=3), days=8, slots=1)
    for _ in range(60):
        if not d.running:
            at = d.core.next_try()
            if at is None:
                break
            d.now = max(d.now, at)
            d.give(ClockAdvanced())
            continue
        attempt, item = next(iter(d.running.items()))
        if DAYS[3] in item.keys:
            d.end(attempt, S.FAILED, FailureKind.TRANSIENT)
        else:
            d.publish(attempt)
    assert [day for day in DAYS[:8] if d.state("clean", day) is not S.PUBLISHED] == [DAYS[3]]
    assert d.state("clean", DAYS[3]) is S.FAILED


def test_a_worker_lost_over_many_is_nobodys_loss_yet() -> None:
    d = ready(clean(), days=8, slots=1)
    attempt = next(iter(d.running))
    d.lose(attempt)
    assert sizes(d) == [4, 4]
    assert {mark.failures for mark in d.marks} == {0}


@pytest.mark.parametrize("state", [S.HELD, S.REJECTED])
def test_only_a_day_alone_is_held_or_rejected(state: PartitionState) -> None:
    d = ready(clean(), days=4, slots=1)
    d.end(next(iter(d.running)), state)
    assert {d.state("clean", day) for day in DAYS[:4]} <= {S.WAITING, S.RUNNING}
    finish(d)
    assert {d.state("clean", day) for day in DAYS[:4]} == {S.PUBLISHED}


def test_what_was_cancelled_isnt_tried_again_in_halves() -> None:
    """Catches a cancelled batch that comes back at once."""
    d = ready(clean(), days=4, slots=1)
    d.end(next(iter(d.running)), S.FAILED, FailureKind.CANCELLED)
    assert not d.running
    assert {d.state("clean", day) for day in DAYS[:4]} == {S.FAILED}


def test_a_body_that_isnt_separable_after_all_runs_one_by_one_from_then_on() -> None:
    """Catches wrong rows: two batches that may differ from what is right, after one was seen to."""
    d = ready(clean(), clean("other"), days=8, slots=1)
    attempt = next(a for a, item in d.running.items() if item.node == "clean")
    d.end(attempt, S.FAILED, FailureKind.NOT_SEPARABLE)
    alone: list[int] = []
    together: list[int] = []
    while d.running:
        attempt, item = next(iter(d.running.items()))
        (alone if item.node == "clean" else together).append(len(item.keys))
        d.publish(attempt)
    assert alone == [1] * 8
    assert together == [8]


def test_a_pause_and_a_batch_in_the_queue() -> None:
    """Catches days that went out with others and are given out once more when their
    node goes on.
    """
    d = ready(clean(), days=40, slots=1)
    d.give(Paused(("clean",), "because"))
    d.give(Resumed(("clean",)))
    done = d.work()
    assert sorted(done) == [("clean", day) for day in DAYS[:40]]


def test_a_run_ends_once_its_batches_have() -> None:
    """Catches partitions that are counted twice or never: a run that ends early, or that never
    does.
    """
    d = Driver(
        source("flights"),
        clean(),
        slots=2,
        tracked_partitions=tuple(_there(day) for day in DAYS[:30]),
    )
    d.ask()
    d.give(Paused(("clean",), "so that entries are left behind"))
    d.give(Resumed(("clean",)))
    settled: list[list[str]] = []
    told: Event = Requested(
        (Target("clean", DAYS[3], DAYS[20]),), retry=frozenset({"clean"}), run=7
    )
    for _ in range(50):
        for command in d.core.handle(told, d.now):
            if isinstance(command, Dispatch):
                d.running[command.attempt] = command
            elif isinstance(command, Settled) and command.run == 7:
                settled.append(
                    [day for day in DAYS[3:21] if d.state("clean", day) is not S.PUBLISHED]
                )
        if not d.running:
            break
        attempt, item = d.running.popitem()
        told = AttemptPublished(attempt, tuple((key, True) for key in item.keys))
    assert settled == [[]]


def test_batches_change_nothing_but_the_number_of_attempts() -> None:
    """The same histories with and without: whatever is restated, fails, or is late, the same is
    published in the end.
    """
    for seed in range(30):
        draw = random.Random(seed)
        order = draw.sample(DAYS[:30], 30)
        restated = draw.sample(DAYS[:30], 5)
        bad = set(draw.sample(DAYS[:30], 3))
        ends = {}
        for batch_max in (1, 64):
            nodes = (
                asset("clean", "flights", batch_max=batch_max),
                asset("total", "clean", batch_max=batch_max),
            )
            d = Driver(source("flights"), *nodes, slots=2)
            d.ask()
            for at, day in enumerate((*order, *restated)):
                d.give(DeliveryArrived("flights", day))
                d.give(ClockAdvanced())
                if at % 7 == seed % 7:
                    _some(d, bad)
            _some(d, bad)
            ends[batch_max] = {
                (node, day): d.state(node, day) for node in ("clean", "total") for day in DAYS[:30]
            }
        assert ends[1] == ends[64], f"seed {seed}"


def _some(d: Driver, bad: set[str]) -> None:
    while d.running:
        attempt, item = next(iter(d.running.items()))
        if item.node == "clean" and bad & set(item.keys):
            d.end(attempt, S.REJECTED)
        else:
            d.publish(attempt)


def test_a_checkpoint_keeps_paces_and_caps() -> None:
    """Catches a new leader that begins again with the batch that killed its workers, or with small
    ones.
    """
    d = ready(clean(), days=32, slots=2)
    first, second = list(d.running)
    d.lose(first)
    d.running.pop(second)
    d.give(AttemptPublished(second, tuple((day, True) for day in DAYS[16:32]), 0.16))
    kept = d.core.checkpoint()
    assert list(kept.paces["clean"]) == [(16, 0.16)]
    other = Core(epoch=2, slots=1)
    graph = Graph((source("flights"), clean()))
    commands = [
        *other.handle(Loaded(graph, checkpoint=kept), 1),
        *other.handle(Requested((Target("clean"),), standing=True), 2),
    ]
    assert next(len(command.keys) for command in commands if isinstance(command, Dispatch)) == 8
