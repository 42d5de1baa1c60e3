"""What a plan had made and is gone: nothing that was made of it is kept, and no more than that is
made again.
"""

from __future__ import annotations

from driver import WHOLE, Driver, asset, reads, source

from headrace.model import InputMode
from headrace.scheduler import GivenUp, GraphNode, LoadedPartition, PartitionState, Refreshed

D = [f"2013-02-{d:02}" for d in range(1, 4)]
S = PartitionState


def plan(*nodes: GraphNode, made: tuple[tuple[str, str], ...] = (), **unmade: str) -> Driver:
    """A plan's core over `a`, which isn't the plan's. What was made is staged; what wasn't stands
    as it is said, or waits.
    """
    there = [("a", day) for day in D] + list(made)
    waiting = [
        (node.name, key)
        for node in nodes
        for key in (D if node.partition.grain else ["*"])
        if (node.name, key) not in made
    ]
    tracked_partitions = [
        LoadedPartition(node=name, key=key, state=S.PUBLISHED, published=True)
        for name, key in there
    ]
    tracked_partitions += [
        LoadedPartition(node=name, key=key, state=S(unmade.get(name, "waiting")))
        for name, key in waiting
    ]
    d = Driver(source("a"), *nodes, tracked_partitions=tuple(tracked_partitions), slots=6)
    d.at("2013-03-01 06:00")
    d.ask()
    return d


def restated(d: Driver, key: str, failing: str) -> None:
    """`a` changes; one that is made of it can't be made any more."""
    d.give(Refreshed("a", key))
    d.end(d.attempt(failing, key), S.HELD)


def give_up(d: Driver) -> list[tuple[str, str]]:
    """What a plan that has come to rest gives up; what is made because of that, until
    nothing is.
    """
    gone = d.core.outdated()
    d.give(GivenUp(tuple(gone)))
    return gone


def test_what_was_made_of_it_goes_step_by_step() -> None:
    """Catches a partial plan that publishes `d`, made of `c`, made of a `b` that nobody will ever
    see.
    """
    d = plan(asset("b", "a"), asset("c", "b"), asset("d", "c"))
    d.work()
    assert d.core.outdated() == []
    restated(d, D[1], "b")
    assert (d.state("c", D[1]), d.state("d", D[1])) == (S.PUBLISHED, S.PUBLISHED), (
        "it may come to the same yet"
    )
    d.marks.clear()
    assert give_up(d) == [("b", D[1])]
    assert [(mark.node, mark.key, mark.state, mark.stale) for mark in d.marks] == [
        ("c", D[1], S.WAITING, True)
    ]
    assert give_up(d) == [("c", D[1])]
    assert give_up(d) == [("d", D[1])]
    assert d.core.outdated() == []
    assert not d.running
    assert [reason.text for reason in d.core.why("c", D[1])] == [
        f"waits for b {D[1]}, which is held: it was held"
    ]
    d.give(Refreshed("a", D[1]))
    assert d.work() == [(name, D[1]) for name in "bcd"], (
        "all of it comes back with what it is made of"
    )


def test_what_was_at_it_when_it_went_is_given_up_as_well() -> None:
    """Catches an attempt that read what is gone and ends after its input came to nothing."""
    d = plan(asset("b", "a"), asset("c", "b"))
    for day in D:
        d.publish(d.attempt("b", day))
    reading = d.attempt("c", D[0])
    restated(d, D[0], "b")
    d.publish(reading)
    d.work()
    assert d.state("c", D[0]) is S.PUBLISHED
    assert give_up(d) == [("b", D[0])]
    assert d.state("c", D[0]) is S.WAITING


def test_what_comes_to_the_same_again_is_left_as_it_is() -> None:
    """Catches plans that make everything below again for nothing."""
    d = plan(asset("b", "a"), asset("c", "b"))
    d.work()
    d.give(Refreshed("a", D[1]))
    assert d.work() == [("b", D[1])]
    assert d.core.outdated() == []


def test_what_can_do_without_it_is_made_again_without_it() -> None:
    """Catches a plan that publishes less than it can, and one that never comes to its end: it is
    made again once.
    """
    d = plan(
        asset("b", "a"),
        asset("c", "a", reads("b", optional=True)),
        asset("all", "b", partition=WHOLE),
    )
    d.work()
    restated(d, D[1], "b")
    d.work()  # c reads a as well
    give_up(d)
    assert {item.node: item.without for item in d.running.values()} == {
        "c": (("b", D[1]),),
        "all": (),
    }
    assert sorted(d.work()) == [("all", "*"), ("c", D[1])]
    assert d.core.outdated() == []


def test_what_refers_to_it_is_made_again_with_what_there_is() -> None:
    """Catches names out of a reference that nobody will ever see."""
    d = plan(asset("b", "a"), asset("c", "a", reads("b", mode=InputMode.ALL)))
    d.work()
    restated(d, D[1], "b")
    d.work()
    give_up(d)
    assert sorted(d.work()) == [("c", day) for day in D]


def test_of_what_nobody_knows_whether_it_was_made_only_what_needs_it_is_given_up() -> None:
    """A leader before this one may have had it. Catches what it made of that, and a restart after
    which all is made again that only refers to something that failed."""
    made = tuple((name, day) for name in "cd" for day in D)
    d = plan(
        asset("b", "a"),
        asset("c", "b"),
        asset("d", "a", reads("b", mode=InputMode.ALL)),
        made=made,
        b="held",
    )
    assert not d.running
    assert d.core.outdated() == []
    d.give(GivenUp((("b", D[1]), ("d", D[2]), ("gone", D[0]), ("b", "2099-01-01"))))
    assert d.state("c", D[1]) is S.WAITING
    assert {d.state("d", day) for day in D} == {S.PUBLISHED}
    assert not d.running
