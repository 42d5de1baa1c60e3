"""Defects of the core that the simulator found, each as small as it gets; the seeds are in
tests/simulation/seeds.txt.
"""

from __future__ import annotations

import msgspec
import pytest
from driver import DAY, WHOLE, Driver, asset, reads, source

from headrace.model import InputMode, PartitionSpec
from headrace.scheduler import (
    Cancelled,
    ClockAdvanced,
    DeliveryArrived,
    FailureKind,
    Fired,
    Graph,
    GraphNode,
    Loaded,
    NodeTrigger,
    PartitionState,
    Paused,
    Refreshed,
    Requested,
    TakenBack,
    Target,
    WorkerLost,
)

D = [f"2013-02-{d:02}" for d in range(1, 29)]


def test_what_was_delivered_of_before_the_start_blocks_nothing() -> None:
    """SEMANTICS §2: partitions before an input's start count as present and empty, delivered or
    not. It is never ingested, so what was made of the day before waited for it for ever."""
    prices = msgspec.structs.replace(source("prices"), start=D[1])
    d = Driver(
        prices, source("flights"), asset("a", "flights", reads("prices", mode=InputMode.PREVIOUS))
    )
    d.ask()
    d.arrive("prices", D[0], D[1])
    d.arrive("flights", D[1])
    assert d.work() == [("prices", D[1]), ("flights", D[1]), ("a", D[1])]


def test_what_waits_for_something_that_is_passed_over_runs_without_it() -> None:
    """A waived partition counts as present and empty; nobody told what waited for it, which then
    waited for nothing.
    """
    mondays = NodeTrigger(cron="0 6 * * 1", latest=True)
    d = Driver(
        source("flights"), asset("a", "flights", trigger=mondays), asset("b", "flights", "a")
    )
    d.now = 1_359_955_800_000_000  # Monday, 2013-02-04, at 05:30
    d.give(Loaded(Graph(d.nodes), ()))
    d.ask()
    d.arrive("flights", D[1], D[2])
    assert d.work() == [("flights", D[1]), ("flights", D[2])]
    d.now += 3_600_000_000
    d.give(ClockAdvanced())
    assert sorted(d.work()) == [("a", D[2]), ("b", D[1]), ("b", D[2])]
    assert d.state("a", D[1]) is PartitionState.WAIVED


def test_a_link_of_a_chain_that_runs_for_the_first_time_is_made_again_when_the_one_before_it_changes() -> (
    None
):
    """It was computed from the earlier content of the one before it, and nothing ever said so."""
    d = Driver(source("flights"), asset("chain", "flights", chained=True))
    d.ask()
    d.arrive("flights", D[0], D[1])
    while ("chain", D[1]) not in {(item.node, item.keys[0]) for item in d.running.values()}:
        d.publish(next(iter(d.running)))
    d.arrive("flights", D[0], content="restated")
    d.content["chain", D[0]] = "changed"
    d.publish(d.attempt("flights", D[0]))
    d.publish(d.attempt("chain", D[0]))
    assert d.work() == [("chain", D[1]), ("chain", D[1])]


def test_what_lies_before_the_start_is_not_taken_in_with_its_bundle() -> None:
    """It was, though it never is where it comes in a file of its own: what looks back over it was
    another.
    """
    prices = msgspec.structs.replace(source("prices"), start=D[1])
    d = Driver(prices)
    d.ask()
    d.give(DeliveryArrived("prices", D[0], bundle="all"))
    d.give(DeliveryArrived("prices", D[1], bundle="all"))
    d.give(DeliveryArrived("prices", D[2], bundle="all"))
    d.give(ClockAdvanced())
    assert [item.keys for item in d.running.values()] == [(D[1], D[2])]


def test_what_was_published_before_a_source_began_is_made_use_of_once_it_has() -> None:
    """Until the first delivery of all sources nobody knows where an asset begins; what had been
    published by then was never looked at again, but by the next leader."""
    d = Driver(
        source("a"),
        source("b"),
        asset("of_b", "b"),
        asset("both", "a", reads("of_b", mode=InputMode.PREVIOUS)),
    )
    d.ask()
    d.arrive("a", D[1])
    d.work()
    d.arrive("b", D[1])
    assert sorted(d.work()) == [("b", D[1]), ("both", D[1]), ("of_b", D[1])]


def test_what_failed_and_is_asked_for_again_while_its_node_is_paused_lets_others_read_the_older_publication() -> (
    None
):
    """They waited for it while it was rejected, and then for nothing."""
    d = Driver(source("a"), asset("b", "a"), asset("c", "b"))
    d.ask()
    d.arrive("a", D[0])
    d.work()
    d.arrive("a", D[0], content="restated")
    d.publish(d.attempt("a", D[0]))
    d.end(d.attempt("b", D[0]), PartitionState.REJECTED)
    d.give(Requested((Target("c"),), again=frozenset({"c"}), run=1))
    assert not d.running
    d.give(Paused(("b",), "somebody said so"))
    d.give(Requested((Target("b"),), retry=frozenset({"b"}), run=2))
    assert d.work() == [("c", D[0])]


def test_what_only_a_run_that_has_ended_wanted_is_waited_for_no_longer() -> None:
    """While somebody wants a stale publication made again, what reads it waits for that; when
    nobody does any more, it reads the older one: nobody told it."""
    d = Driver(source("a"), source("x"), asset("b", "a"), asset("c", "b"))
    d.arrive("a", D[0])
    d.give(Requested(tuple(Target(name) for name in ("a", "b", "c")), run=1))
    assert d.work() == [("a", D[0]), ("b", D[0]), ("c", D[0])]
    d.give(Requested((Target("c"),), run=2, standing=True))
    d.arrive("a", D[0], content="restated")
    d.give(Requested((Target("a"), Target("b")), again=frozenset({"b"}), run=3))
    d.give(Requested((Target("c"),), again=frozenset({"c"}), run=4))
    assert [item.node for item in d.running.values()] == ["a"]
    d.end(d.attempt("a", D[0]), PartitionState.HELD)
    assert d.work() == [("c", D[0])]


def test_what_runs_for_the_first_time_is_made_again_when_a_reference_that_rebuilds_changes() -> (
    None
):
    """Only what was published already was told; what had begun with the older reference kept it."""
    d = Driver(
        source("a"), source("names", WHOLE), asset("b", "a", "names", rebuild_on_reference=True)
    )
    d.ask()
    d.arrive("names", "*")
    d.work()
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    running = d.attempt("b", D[0])
    d.arrive("names", "*", content="restated")
    d.publish(d.attempt("names", "*"))
    d.publish(running)
    assert d.work() == [("b", D[0])]


def test_what_can_do_without_an_input_runs_when_that_fails() -> None:
    """An attempt at an optional input is waited for; when it failed nobody told what had waited,
    and no alarm was set.
    """
    promised = msgspec.structs.replace(source("late"), expect_by="06:00")
    d = Driver(source("a"), promised, asset("b", "a", reads("late", optional=True)))
    d.now = 1_362_000_000_000_000  # weeks after it was promised
    d.ask()
    d.arrive("late", D[0])
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    assert ("b", D[0]) not in {(item.node, item.keys[0]) for item in d.running.values()}
    d.end(d.attempt("late", D[0]), PartitionState.HELD)
    assert d.work() == [("b", D[0])]


def test_what_waits_for_something_that_is_queued_goes_on_when_that_is_cancelled() -> None:
    """It waited for the end of what was only queued, which was taken back without anybody's telling
    it."""
    a, x = (
        msgspec.structs.replace(source(name), priority=priority)
        for name, priority in (("a", 5), ("x", 3))
    )
    d = Driver(a, x, source("names", WHOLE), asset("b", "a", "names"), slots=1)
    d.arrive("names", "*")
    d.give(Requested((Target("names"),), run=1))
    d.arrive("x", D[0])
    d.give(Requested((Target("a"), Target("x"), Target("b")), run=2, standing=True))
    d.work()
    d.arrive("a", D[0])
    d.arrive("x", D[1], D[2], D[3])
    d.give(Requested((Target("names"),), again=frozenset({"names"}), run=3))
    d.publish(d.attempt("a", D[0]))
    assert {item.node for item in d.running.values()} == {"x"}, "names is queued behind it"
    d.give(Cancelled(3))
    assert ("b", D[0]) in d.work()


def test_what_only_a_person_had_made_before_its_trigger_is_waited_for_no_longer_when_that_run_ends() -> (
    None
):
    """A server wants the node as well, but only when its trigger fires: until then what reads it
    takes the older publication.
    """
    d = Driver(
        source("a"), asset("b", "a", trigger=NodeTrigger(outside=True)), asset("c", "b"), slots=1
    )
    served = tuple(Target(name) for name in ("a", "b", "c"))
    d.arrive("a", D[0])
    d.give(Requested(served, run=1, standing=True))
    d.work()
    d.give(Requested((Target("b"),), retry=frozenset({"b"}), run=2))
    assert d.work() == [("b", D[0]), ("c", D[0])]
    d.arrive("a", D[0], content="restated")
    d.give(Requested(served, again=frozenset({"b", "c"}), retry=frozenset({"b", "c"}), run=3))
    assert [item.node for item in d.running.values()] == ["a"]
    d.give(Cancelled(3))
    assert "c" in {item.node for item in d.running.values()}


def test_what_a_cancelled_run_had_made_before_its_trigger_is_not_begun_any_more() -> None:
    """The server wants the node as well, but only once its trigger fires. What was queued by name
    began all the same, failed, and what reads it waited for nothing."""
    d = Driver(
        source("a"), asset("b", "a", trigger=NodeTrigger(outside=True)), asset("c", "b"), slots=1
    )
    served = tuple(Target(name) for name in ("a", "b", "c"))
    d.at("2013-03-01 06:00")
    d.arrive("a", *D[:8])
    d.give(Requested(served, run=1, standing=True))
    d.work()
    d.give(Fired("b"))
    d.work()
    named = frozenset({"b", "c"})
    d.give(Requested((Target("b"), Target("c")), again=named, retry=named, run=2))
    begun = {item.keys[0]: attempt for attempt, item in d.running.items()}
    rest = [day for day in D[:8] if day not in begun]
    assert {item.node for item in d.running.values()} == {"b"}
    assert rest
    d.give(Cancelled(2))
    assert {kill.attempt for kill in d.kills} == set(begun.values())
    assert [waiting.reason for waiting in d.core.waiting_for("b", rest[0])] == [
        "waits for its trigger"
    ]
    for attempt in begun.values():
        d.end(attempt, PartitionState.FAILED, FailureKind.CANCELLED)
    assert sorted(d.work()) == [("c", day) for day in rest], "of the older publications"


@pytest.mark.parametrize("how", ["fails for a while", "never begins"])
def test_what_comes_back_while_its_node_is_paused_lets_others_read_the_older_publication(
    how: str,
) -> None:
    """They waited for the attempt; when it came to nothing and its node had been paused meanwhile,
    nobody told them."""
    d = Driver(source("a"), asset("b", "a"), asset("c", "b"))
    d.ask()
    d.arrive("a", D[0])
    d.work()
    d.arrive("a", D[0], content="restated")
    d.publish(d.attempt("a", D[0]))
    d.give(Requested((Target("c"),), again=frozenset({"c"}), run=1))
    d.give(Paused(("b",), "somebody said so"))
    assert [item.node for item in d.running.values()] == ["b"]
    (attempt,) = d.running
    if how == "never begins":
        del d.running[attempt]
        d.give(WorkerLost(None, (attempt,), "it died"))
    else:
        d.end(attempt, PartitionState.FAILED, FailureKind.TRANSIENT)
    assert d.work() == [("c", D[0])]


def test_what_nobody_wants_any_more_and_failed_once_lets_others_read_the_older_publication() -> (
    None
):
    """It had failed, so they waited for it; then what it reads changed, and it only waited, for
    nobody wants it: nobody told them."""
    d = Driver(source("a"), asset("b", "a"), asset("c", "b"))
    d.arrive("a", D[0])
    d.give(Requested(tuple(Target(name) for name in ("a", "b", "c")), run=1))
    d.work()
    d.give(Requested((Target("a"), Target("c")), run=2, standing=True))
    d.give(Requested((Target("b"),), again=frozenset({"b"}), run=3))
    d.end(d.attempt("b", D[0]), PartitionState.FAILED, FailureKind.DETERMINISTIC)
    d.give(Requested((Target("c"),), again=frozenset({"c"}), run=4))
    assert not d.running
    d.arrive("a", D[0], content="restated")
    assert d.work() == [("a", D[0]), ("c", D[0])]


def test_what_comes_after_something_that_begins_later_runs_once_that_has_begun() -> None:
    """Until the first delivery nobody knows that there is nothing to wait for; what had waited
    until then was never looked at again.
    """
    d = Driver(source("a"), source("b"), asset("of_b", "b"), asset("last", "a", depends=("of_b",)))
    d.at("2013-03-01 06:00")
    d.ask()
    d.arrive("a", D[0], D[9])
    assert sorted(d.work()) == [("a", D[0]), ("a", D[9])]
    d.arrive("b", D[8])
    assert {(item.node, item.keys[0]) for item in d.running.values()} == {
        ("b", D[8]),
        ("last", D[0]),
    }


def test_what_runs_for_the_first_time_is_made_again_when_what_it_reads_is_taken_back() -> None:
    """Only what was published already was told; what had begun with the publication that was taken
    back kept it."""
    d = Driver(source("a"), asset("b", "a"), asset("c", "b"))
    d.ask()
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    d.publish(d.attempt("b", D[0]))
    d.give(TakenBack("b", D[0], "it was wrong"))
    d.publish(d.attempt("c", D[0]))
    assert d.state("c", D[0]) is PartitionState.WAITING
    assert not d.running
    d.give(Requested((Target("b"),), retry=frozenset({"b"}), run=1))
    assert d.work() == [("b", D[0]), ("c", D[0])]


def test_what_runs_for_the_first_time_is_made_again_when_a_reference_that_rebuilds_is_taken_back() -> (
    None
):
    """Only what was published already was told; what had begun with the reference that was taken
    back kept it.
    """
    d = Driver(
        source("a"), source("names", WHOLE), asset("b", "a", "names", rebuild_on_reference=True)
    )
    d.ask()
    d.arrive("names", "*")
    d.work()
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    running = d.attempt("b", D[0])
    d.give(TakenBack("names", "*", "it was wrong"))
    d.publish(running)
    assert d.state("b", D[0]) is PartitionState.WAITING
    assert not d.running
    d.arrive("names", "*", content="right")
    assert d.work() == [("names", "*"), ("b", D[0])]


def first(name: str, priority: int) -> GraphNode:
    """A source whose partitions come before those of lower priority."""
    return msgspec.structs.replace(source(name), priority=priority)


def test_what_waits_for_something_that_is_queued_goes_on_when_that_can_not_run_after_all() -> None:
    """An input failed while what is made of it was queued; that was put back when a slot was free,
    and nobody told what waited for it.
    """
    d = Driver(
        first("x", 5),
        first("a", 7),
        first("k", 7),
        asset("n", "a"),
        asset("b", "k", reads("n", mode=InputMode.ALL)),
        slots=1,
    )
    d.ask()
    d.arrive("a", D[0])
    d.work()
    d.arrive("x", *D[:4])
    d.arrive("a", D[1])
    d.arrive("k", D[0])
    while (d.state("k", D[0]), d.state("n", D[1])) != (
        PartitionState.PUBLISHED,
        PartitionState.WAITING,
    ):
        d.publish(next(iter(d.running)))
    d.arrive("a", D[1], content="restated")
    while d.state("a", D[1]) is not PartitionState.RUNNING:
        d.publish(next(iter(d.running)))
    assert [waiting.node for waiting in d.core.waiting_for("b", D[0])] == ["n"]
    d.end(d.attempt("a", D[1]), PartitionState.HELD)
    assert ("b", D[0]) in d.work()


@pytest.mark.parametrize("how", ["is taken back", "is cancelled"])
def test_the_second_delivery_of_a_source_runs_when_the_first_that_was_queued_does_not(
    how: str,
) -> None:
    """It waited for the first one to be ingested, which was put back without anybody's
    telling it.
    """
    d = Driver(first("x", 5), source("a"), slots=1)
    d.give(Requested((Target("x"), Target("a", D[1], D[9])), run=1, standing=True))
    d.arrive("x", D[0])
    d.work()
    d.arrive("x", D[1], D[2], D[3])
    d.arrive("a", D[0])
    d.give(Requested((Target("a", D[0], D[0]),), run=2))
    d.arrive("a", D[1])
    d.give(Cancelled(2) if how == "is cancelled" else TakenBack("a", D[0], "it was wrong"))
    assert ("a", D[1]) in d.work()


@pytest.mark.parametrize(
    "how", ["is cancelled while it backs off", "failed, and nobody wants it any more"]
)
def test_what_shows_a_whole_table_with_what_it_reads_goes_on_when_that_is_not_made_again(
    how: str,
) -> None:
    """An export waits for the table that it refers to; that it waits for nobody any more was told
    only those that are made of it.
    """
    names = asset("names", "s", partition=WHOLE)
    d = Driver(source("a"), source("s", WHOLE), names, asset("b", "a", "names", settled=True))
    d.arrive("s", "*")
    d.give(Requested((Target("s"), Target("names")), run=1))
    d.work()
    d.give(Requested((Target("a"), Target("b"), Target("s")), run=2, standing=True))
    d.give(Requested((Target("names"),), again=frozenset({"names"}), run=3))
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    assert [waiting.node for waiting in d.core.waiting_for("b", D[0])] == ["names"]
    if how == "is cancelled while it backs off":
        d.end(d.attempt("names", "*"), PartitionState.FAILED, FailureKind.TRANSIENT)
        d.now -= 1_000_000  # before it is tried again
        d.give(Cancelled(3))
    else:
        d.end(d.attempt("names", "*"), PartitionState.FAILED, FailureKind.DETERMINISTIC)
        d.arrive("s", "*", content="restated")
    assert ("b", D[0]) in d.work()


def test_what_comes_after_something_that_is_queued_and_paused_goes_on() -> None:
    """What reads a node was told that it is paused; what only comes after it waited on."""
    d = Driver(
        first("x", 5),
        first("a", 7),
        first("k", 6),
        asset("o", "a"),
        asset("f", "k", depends=("o",)),
        slots=1,
    )
    d.ask()
    d.arrive("a", D[0])
    d.work()
    d.arrive("x", *D[:8])
    d.arrive("a", D[0], content="restated")
    while d.state("o", D[0]) is not PartitionState.WAITING:
        d.publish(next(iter(d.running)))
    d.arrive("k", D[0])
    while d.state("k", D[0]) is not PartitionState.PUBLISHED:
        d.publish(next(iter(d.running)))
    assert [waiting.node for waiting in d.core.waiting_for("f", D[0])] == ["o"]
    d.give(Paused(("o",), "somebody said so"))
    assert ("f", D[0]) in d.work()


def test_what_comes_after_a_source_runs_once_a_later_delivery_makes_that_complete() -> None:
    """What reads the source was told; what only comes after it waited until the later delivery was
    ingested, which may be never.
    """
    marked = msgspec.structs.replace(source("marked"), watermark=True)
    d = Driver(source("a"), marked, asset("b", "a", depends=("marked",)))
    d.at(f"{D[2]} 06:00")
    d.give(
        Requested((Target("a"), Target("b"), Target("marked", D[0], D[0])), run=1, standing=True)
    )
    d.arrive("a", D[0])
    d.arrive("marked", D[0])
    d.work()
    assert [waiting.node for waiting in d.core.waiting_for("b", D[0])] == ["marked"]
    d.arrive("marked", D[1])
    assert d.work() == [("b", D[0])]


@pytest.mark.parametrize("cut", [DAY, WHOLE], ids=["days", "whole"])
def test_what_comes_after_something_that_is_made_elsewhere_runs_once_that_is_published(
    cut: PartitionSpec,
) -> None:
    """An environment's asset that only comes after one that it borrows waited for ever: only what
    reads that was told.
    """
    d = Driver(
        source("a"),
        source("s"),
        asset("borrowed", "s", partition=cut),
        asset("b", "a", depends=("borrowed",)),
    )
    d.give(Requested((Target("a"), Target("b")), run=1, standing=True))
    d.arrive("s", D[0])
    d.arrive("a", D[0])
    d.work()
    assert [waiting.node for waiting in d.core.waiting_for("b", D[0])] == ["borrowed"]
    d.give(Refreshed("borrowed", "*" if cut == WHOLE else D[0], changed=True))
    assert d.work() == [("b", D[0])]


def test_what_was_passed_over_since_it_was_taken_back_stays_so() -> None:
    """A plan that goes on is told once more what was taken back; of a partition that had been
    passed over since, the core raised."""
    mondays = NodeTrigger(cron="0 6 * * 1", latest=True)
    d = Driver(source("flights"), asset("a", "flights", trigger=mondays))
    d.at("2013-02-04 05:30")
    d.start()
    d.ask()
    d.arrive("flights", D[1], D[2])
    d.work()
    d.at("2013-02-04 06:30")
    d.work()
    assert d.state("a", D[1]) is PartitionState.WAIVED
    d.give(TakenBack("a", D[1], "withdrawn"))
    assert d.state("a", D[1]) is PartitionState.WAIVED


def test_what_comes_after_a_source_waits_for_nothing_before_that_source_s_declared_start() -> None:
    """Would catch: a day before the start that waits for the source's first publication, since an
    even earlier day was delivered in vain; and that isn't looked at when its own day is delivered
    in vain, too, so that it runs by chance or never."""
    later = msgspec.structs.replace(source("later"), start=D[5])
    d = Driver(source("a"), later, asset("b", "a", depends=("later",)))
    d.ask()
    d.arrive("later", D[0])
    d.arrive("a", D[1])
    assert d.work() == [("a", D[1]), ("b", D[1])]
    d.arrive("a", D[5])
    assert d.work() == [("a", D[5])]
    assert [waiting.node for waiting in d.core.waiting_for("b", D[5])] == ["later"]
    d.arrive("later", D[5])
    assert d.work() == [("later", D[5]), ("b", D[5])]
