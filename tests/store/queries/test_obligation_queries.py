"""Obligations by consumer, the promises they are due by, and take-overs of export targets."""

from __future__ import annotations

from state_kinds import ONLY_SQLITE
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import obligations
from headrace.store.queries.obligations import Promise, PromiseStart, StoredObligation


def _obligations(tx: Transaction, consumer: str, *rows: tuple[str, int | None, int | None]) -> None:
    """(interval, met, waived); each is due at 100 + its position."""
    for position, (interval, met, waived) in enumerate(rows):
        row = {"consumer": consumer, "interval": interval, "due_at": 100 + position}
        add(tx, "obligation", row | {"met_at": met, "waived_at": waived})


def _intervals(items: list[StoredObligation]) -> list[str]:
    return [item.interval for item in items]


def test_obligations_of_a_consumer(store: Store) -> None:
    """Would catch: a waived obligation that counts as open, another consumer's, the oldest met one
    as the newest."""
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1})
        _obligations(
            tx, "c", ("d1", 71, None), ("d2", None, None), ("d3", 73, 83), ("d4", None, 84)
        )
        _obligations(tx, "c", ("d5", None, None), ("d6", None, None))
        _obligations(tx, "x", ("d7", 77, None), ("d8", None, None))
        assert _intervals(obligations.newest(tx, "c")) == ["d6", "d5", "d4", "d3", "d2", "d1"]
        assert _intervals(obligations.newest(tx, "c", limit=2)) == ["d6", "d5"]
        third = StoredObligation("c", "d3", 102, 1, 73, 83)
        assert third == obligations.get(tx, "c", "d3")
        known = obligations.recorded(tx, ["c", "x", "z"], limit=1)
        assert third in known["c"]
        assert {name: sorted(_intervals(items)) for name, items in known.items()} == {
            "c": ["d2", "d3", "d5", "d6"],
            "x": ["d7", "d8"],
            "z": [],
        }
        assert obligations.get(tx, "c", "d7") is None
        assert _intervals(obligations.unmet(tx, "c")) == ["d2", "d5", "d6"]
        assert _intervals(obligations.unmet(tx, "c", limit=2)) == ["d2", "d5"]


def test_a_waived_obligation_keeps_the_time_at_which_it_was_met(store: Store) -> None:
    """Would catch: all intervals, or all consumers, waived at once."""
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1})
        for consumer in ("c", "x"):
            _obligations(tx, consumer, ("d1", 71, None), ("d2", None, None))
        obligations.waive(tx, "c", "d1", 90)
        assert obligations.get(tx, "c", "d1") == StoredObligation("c", "d1", 100, 1, 71, 90)
        assert obligations.any_waived(tx, ["x", "c"], "d1")
        assert not obligations.any_waived(tx, ["x"], "d1")
        assert not obligations.any_waived(tx, ["x", "c"], "d2")
        assert not obligations.any_waived(tx, [], "d1")


def test_open_obligations_of_all_consumers(store: Store) -> None:
    """Would catch: a limit over all consumers, one that takes the oldest, what isn't due yet."""
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1})
        open_, met, waived = (None, None), (70, None), (None, 80)
        days = ("d1", *open_), ("d2", *open_), ("d3", *met), ("d4", *waived), ("d5", *open_)
        _obligations(tx, "x", *days, ("d6", *open_))
        _obligations(tx, "c", ("d1", *open_), ("d2", *met))
        _obligations(tx, "z", ("d1", *met))
        result = obligations.all_unmet(tx, 104, each=2)
        assert {name: _intervals(items) for name, items in result.items()} == {
            "c": ["d1"],
            "x": ["d2", "d5"],
        }
        assert list(result) == ["c", "x"]
        assert result["c"] == [StoredObligation("c", "d1", 100, 1, None, None)]
        assert _intervals(obligations.all_unmet(tx, 105, each=9)["x"]) == ["d1", "d2", "d5", "d6"]


@ONLY_SQLITE
def test_how_many_obligations_are_returned_at_most(store: Store) -> None:
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1})
        tx.executemany(
            "insert into obligation (consumer, interval, due_at, promise_id) values ('c', ?, 1, 1)",
            [(f"{n:05}",) for n in range(10_001)],
        )
        assert len(obligations.newest(tx, "c")) == 100
        assert len(obligations.unmet(tx, "c")) == 10_000
        known = obligations.recorded(tx, ["c"], limit=1)["c"]
        assert sorted(_intervals(known)) == [f"{n:05}" for n in range(10_001)]


STARTS: dict[str, tuple[list[tuple[int, int | None, int]], PromiseStart | None]] = {
    "none": ([], None),
    "first": ([(10, None, 10)], PromiseStart(10, 10)),
    "over": ([(10, 20, 10)], None),
    "changed": ([(10, 20, 10), (20, None, 20)], PromiseStart(20, 10)),
    "after a gap": ([(10, 20, 10), (25, None, 25)], PromiseStart(25, 25)),
    "the first never began": ([(10, 20, 30), (20, None, 40)], PromiseStart(40, 40)),
    "the first just began": ([(10, 20, 20), (20, None, 40)], PromiseStart(40, 20)),
    "reaches back": ([(10, 20, 10), (20, None, 5)], PromiseStart(5, 5)),
    "changed twice": ([(10, 20, 10), (20, 30, 20), (30, None, 30)], PromiseStart(30, 10)),
    "changed, then a gap": ([(10, 20, 10), (20, 30, 20), (40, None, 40)], PromiseStart(40, 40)),
}
"""Promises as (from, until, begins), and the start of the one in force."""


def test_the_start_of_a_promise(store: Store) -> None:
    """Would catch: a promise that is broken by a change of its terms, or one that reaches back
    before a gap."""
    with store.write(None) as tx:
        for consumer, (promises, _) in STARTS.items():
            for from_at, until_at, begins_at in promises:
                row = {"consumer": consumer, "from_at": from_at}
                add(tx, "promise", row | {"until_at": until_at, "begins_at": begins_at})
        starts = {consumer: start for consumer, (_, start) in STARTS.items()}
        assert obligations.promise_starts(tx, list(STARTS)) == starts


def test_the_promise_in_force(store: Store) -> None:
    """Would catch: a promise that has ended, or another consumer's."""
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1, "terms": '{"due": "07:00"}', "until_at": 21})
        assert obligations.promise_in_force(tx, "c") is None
        add(tx, "promise", {"id": 2, "terms": '{"due": "08:00"}', "from_at": 21, "begins_at": 9})
        add(tx, "promise", {"id": 3, "consumer": "x", "from_at": 31})
        terms = {"due": "08:00"}
        assert obligations.promise_in_force(tx, "c") == Promise(2, "c", terms, 21, None, 9)


def test_each_take_over_has_a_name_of_its_own(store: Store) -> None:
    """Would catch: a target that two states write, because a take-over leaves no trace."""
    with store.write(None) as tx:
        assert obligations.newest_take_over(tx, "c") == ""
        obligations.record_take_over(tx, "c")
        first = obligations.newest_take_over(tx, "c")
        assert first
        assert obligations.newest_take_over(tx, "x") == ""
        obligations.record_take_over(tx, "x")
        obligations.record_take_over(tx, "c")
        names = {first, *(obligations.newest_take_over(tx, name) for name in ("c", "x"))}
        assert len(names) == 3
