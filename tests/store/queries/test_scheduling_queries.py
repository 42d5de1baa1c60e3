"""What outlives a leader: its event log, pauses and the firings of triggers."""

from __future__ import annotations

import random

from headrace.store import Store
from headrace.store.queries import scheduling
from headrace.store.queries.scheduling import JournalRow, Pause


def test_events_come_back_in_order_of_one_leader_and_plan(store: Store) -> None:
    """Would catch: events of another leader, which a replay can't follow; bytes that were
    compressed, or not, and come back otherwise."""
    noise = random.Random(5)
    bulky = bytes([0x91]) * 4097
    rows = [
        JournalRow(1, 4, 10, b"\x90", b"first"),
        JournalRow(1, 4, 11, bulky, b"second"),
        JournalRow(1, 5, 12, b"\x91" + noise.randbytes(9000), b"third", 7),
        JournalRow(2, 4, 13, bulky[:4096], b"fourth"),
        JournalRow(1, 4, 14, b"", b"fifth"),
    ]
    with store.write(None) as tx:
        scheduling.append_events(tx, rows[:4])
        scheduling.append_events(tx, rows[4:])
        assert list(scheduling.events_of_epoch(tx, 1)) == [rows[0], rows[1], rows[4]]
        assert list(scheduling.events_of_epoch(tx, 1, 7)) == [rows[2]]
        assert list(scheduling.events_of_epoch(tx, 2)) == [rows[3]]
        assert list(scheduling.events_of_epoch(tx, 3)) == []
        lengths = tx.execute("select length(events) from journal order by seq").fetchall()
        assert lengths[0] == (1,)
        assert lengths[1][0] < 100
        assert lengths[3] == (4096,)


def test_a_pause_holds_until_its_end() -> None:
    """Would catch: a pause that holds at the time at which it ends."""
    assert Pause("a", "", "ann", 1, 10).holds(9)
    assert not Pause("a", "", "ann", 1, 10).holds(10)
    assert Pause("a", "", "ann", 1, None).holds(10)


def test_pauses_that_are_over_are_kept_with_their_end(store: Store) -> None:
    """Would catch: a delay that nobody can explain because the pause behind it is gone; one that
    lasted until it was ended, although it had ended by itself before."""
    vendor = Pause("a", "vendor", "ann", 10, 100)
    with store.write(None) as tx:
        scheduling.put_pauses(
            tx, [Pause("c", "x", "cy", 10, None), vendor, Pause("b", "y", "bob", 20, 40)]
        )
        assert [item.node for item in scheduling.all_pauses(tx)] == ["a", "b", "c"]
        scheduling.end_expired_pauses(tx, 40)
        assert scheduling.all_pauses(tx) == [vendor, Pause("c", "x", "cy", 10, None)]
        scheduling.end_pauses(tx, ["a"], 60)
        scheduling.end_pauses(tx, ["c"], 70)
        assert scheduling.all_pauses(tx) == []
        first = Pause("a", "vendor", "ann", 10, 60)
        assert scheduling.pauses_between(tx, ["a"], 0, 99)["a"] == [first]
        assert scheduling.pauses_between(tx, ["b"], 0, 99)["b"] == [Pause("b", "y", "bob", 20, 40)]
        assert scheduling.pauses_between(tx, ["c"], 0, 99)["c"] == [Pause("c", "x", "cy", 10, 70)]
        scheduling.put_pauses(tx, [Pause("a", "again", "bob", 80, 90)])
        scheduling.end_pauses(tx, ["a"], 95)
        second = Pause("a", "again", "bob", 80, 90)
        third = Pause("a", "now", "ann", 200, None)
        scheduling.put_pauses(tx, [third])
        assert scheduling.pauses_between(tx, ["a"], 0, 999)["a"] == [first, second, third]
        assert scheduling.pauses_between(tx, ["a"], 60, 200)["a"] == [second]
        assert scheduling.pauses_between(tx, ["a"], 59, 201)["a"] == [first, second, third]
        assert scheduling.pauses_between(tx, ["a"], 90, 200)["a"] == []


def test_the_last_end_of_a_pause_is_known(store: Store) -> None:
    """Would catch: an end in the future; another node's; a pause that expired and wasn't ended."""
    with store.write(None) as tx:
        assert scheduling.last_pause_end(tx, "a", 999) is None
        scheduling.put_pauses(tx, [Pause("a", "", "ann", 10, None), Pause("b", "", "ann", 10, 70)])
        scheduling.end_pauses(tx, ["a"], 30)
        scheduling.put_pauses(tx, [Pause("a", "", "ann", 40, 50)])
        assert scheduling.last_pause_end(tx, "a", 49) == 30
        assert scheduling.last_pause_end(tx, "a", 50) == 50
        assert scheduling.last_pause_end(tx, "b", 69) is None
        assert scheduling.last_pause_end(tx, "b", 999) == 70


def test_the_last_firing_of_a_trigger_counts(store: Store) -> None:
    """Would catch: a trigger that fires again after a restart, for a time that is over."""
    with store.write(None) as tx:
        assert scheduling.last_firings(tx) == []
        scheduling.record_firings(tx, [("b", 10), ("a", 20), ("b", 15)])
        assert scheduling.last_firings(tx) == [("a", 20), ("b", 15)]
        scheduling.record_firings(tx, [("b", 40)])
        assert scheduling.last_firings(tx) == [("a", 20), ("b", 40)]
