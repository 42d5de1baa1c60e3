"""Defects of the core that the simulator found, each as small as it gets; the seeds are in tests/simulation/seeds.txt."""

from __future__ import annotations

import msgspec
from driver import WHOLE, Driver, asset, reads, source

from headrace.model import InputMode
from headrace.schedule import Arrived, Cancelled, Clock, Graph, Loaded, PartitionState, Paused, Requested, Target, Trigger

D = [f"2013-02-{d:02}" for d in range(1, 29)]


def test_what_was_delivered_of_before_the_start_blocks_nothing() -> None:
    """SEMANTICS §2: partitions before an input's start count as present and empty, delivered or not. It is never taken in, so
    what was made of the day before waited for it for ever."""
    prices = msgspec.structs.replace(source("prices"), start=D[1])
    d = Driver(prices, source("flights"), asset("a", "flights", reads("prices", mode=InputMode.PREVIOUS)))
    d.ask()
    d.arrive("prices", D[0], D[1])
    d.arrive("flights", D[1])
    assert d.work() == [("prices", D[1]), ("flights", D[1]), ("a", D[1])]


def test_what_waits_for_something_that_is_passed_over_runs_without_it() -> None:
    """A waived partition counts as present and empty; nobody told what waited for it, which then waited for nothing."""
    mondays = Trigger(cron="0 6 * * 1", latest=True)
    d = Driver(source("flights"), asset("a", "flights", trigger=mondays), asset("b", "flights", "a"))
    d.now = 1_359_955_800_000_000  # Monday, 2013-02-04, at 05:30
    d.give(Loaded(Graph(d.nodes), ()))
    d.ask()
    d.arrive("flights", D[1], D[2])
    assert d.work() == [("flights", D[1]), ("flights", D[2])]
    d.now += 3_600_000_000
    d.give(Clock())
    assert sorted(d.work()) == [("a", D[2]), ("b", D[1]), ("b", D[2])]
    assert d.state("a", D[1]) is PartitionState.WAIVED


def test_a_link_of_a_chain_that_runs_for_the_first_time_is_made_again_when_the_one_before_it_changes() -> None:
    """It was computed from the earlier content of the one before it, and nothing ever said so."""
    d = Driver(source("flights"), asset("chain", "flights", chained=True))
    d.ask()
    d.arrive("flights", D[0], D[1])
    while ("chain", D[1]) not in {(one.node, one.keys[0]) for one in d.running.values()}:
        d.publish(next(iter(d.running)))
    d.arrive("flights", D[0], content="restated")
    d.content["chain", D[0]] = "changed"
    d.publish(d.attempt("flights", D[0]))
    d.publish(d.attempt("chain", D[0]))
    assert d.work() == [("chain", D[1]), ("chain", D[1])]


def test_what_lies_before_the_start_is_not_taken_in_with_its_bundle() -> None:
    """It was, though it never is where it comes in a file of its own: what looks back over it was another."""
    prices = msgspec.structs.replace(source("prices"), start=D[1])
    d = Driver(prices)
    d.ask()
    d.give(Arrived("prices", D[0], bundle="all"))
    d.give(Arrived("prices", D[1], bundle="all"))
    d.give(Arrived("prices", D[2], bundle="all"))
    d.give(Clock())
    assert [one.keys for one in d.running.values()] == [(D[1], D[2])]


def test_what_was_published_before_a_source_began_is_made_use_of_once_it_has() -> None:
    """Until the first delivery of all sources nobody knows where an asset begins; what had been published by then was never looked
    at again, but by the next leader."""
    d = Driver(source("a"), source("b"), asset("of_b", "b"), asset("both", "a", reads("of_b", mode=InputMode.PREVIOUS)))
    d.ask()
    d.arrive("a", D[1])
    d.work()
    d.arrive("b", D[1])
    assert sorted(d.work()) == [("b", D[1]), ("both", D[1]), ("of_b", D[1])]


def test_what_failed_and_is_asked_for_again_while_its_node_is_paused_lets_others_read_the_older_publication() -> None:
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
    """While somebody wants a stale publication made again, what reads it waits for that; when nobody does any more, it reads the
    older one: nobody told it."""
    d = Driver(source("a"), source("x"), asset("b", "a"), asset("c", "b"))
    d.arrive("a", D[0])
    d.give(Requested(tuple(Target(name) for name in ("a", "b", "c")), run=1))
    assert d.work() == [("a", D[0]), ("b", D[0]), ("c", D[0])]
    d.give(Requested((Target("c"),), run=2, standing=True))
    d.arrive("a", D[0], content="restated")
    d.give(Requested((Target("a"), Target("b")), again=frozenset({"b"}), run=3))
    d.give(Requested((Target("c"),), again=frozenset({"c"}), run=4))
    assert [one.node for one in d.running.values()] == ["a"]
    d.end(d.attempt("a", D[0]), PartitionState.HELD)
    assert d.work() == [("c", D[0])]


def test_what_runs_for_the_first_time_is_made_again_when_a_reference_that_rebuilds_changes() -> None:
    """Only what was published already was told; what had begun with the older reference kept it."""
    d = Driver(source("a"), source("names", WHOLE), asset("b", "a", "names", rebuild_on_reference=True))
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
    """An attempt at an optional input is waited for; when it failed nobody told what had waited, and no alarm was set."""
    promised = msgspec.structs.replace(source("late"), expect_by="06:00")
    d = Driver(source("a"), promised, asset("b", "a", reads("late", optional=True)))
    d.now = 1_362_000_000_000_000  # weeks after it was promised
    d.ask()
    d.arrive("late", D[0])
    d.arrive("a", D[0])
    d.publish(d.attempt("a", D[0]))
    assert ("b", D[0]) not in {(one.node, one.keys[0]) for one in d.running.values()}
    d.end(d.attempt("late", D[0]), PartitionState.HELD)
    assert d.work() == [("b", D[0])]


def test_what_waits_for_something_that_is_queued_goes_on_when_that_is_cancelled() -> None:
    """It waited for the end of what was only queued, which was taken back without anybody's telling it."""
    a, x = (msgspec.structs.replace(source(name), priority=priority) for name, priority in (("a", 5), ("x", 3)))
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
    assert {one.node for one in d.running.values()} == {"x"}, "names is queued behind it"
    d.give(Cancelled(3))
    assert ("b", D[0]) in d.work()


def test_what_only_a_person_had_made_before_its_trigger_is_waited_for_no_longer_when_that_run_ends() -> None:
    """A server wants the node as well, but only when its trigger fires: until then what reads it takes the older publication."""
    d = Driver(source("a"), asset("b", "a", trigger=Trigger(outside=True)), asset("c", "b"), slots=1)
    served = tuple(Target(name) for name in ("a", "b", "c"))
    d.arrive("a", D[0])
    d.give(Requested(served, run=1, standing=True))
    d.work()
    d.give(Requested((Target("b"),), retry=frozenset({"b"}), run=2))
    assert d.work() == [("b", D[0]), ("c", D[0])]
    d.arrive("a", D[0], content="restated")
    d.give(Requested(served, again=frozenset({"b", "c"}), retry=frozenset({"b", "c"}), run=3))
    assert [one.node for one in d.running.values()] == ["a"]
    d.give(Cancelled(3))
    assert "c" in {one.node for one in d.running.values()}
