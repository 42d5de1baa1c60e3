"""Publications: what is visible, what it replaced, and what was withdrawn."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from written_rows import attempt, delivery, partition, published, run

from headrace.store import Store, Transaction
from headrace.store.queries import partition_states, publications
from headrace.store.queries.publications import (
    AccumulatedPartition,
    ComparedPublication,
    NewestPublication,
    Publication,
    Replaced,
    Withdrawn,
)

FILES = ({"path": "x.html", "size": 1, "sha256": "00"},)
FIRST = Publication(
    1, "a", "d1", 1, 1, 1, 4, 10, 40, 100, 1000, "passed", "h1", False, 1, None, None
)
FOURTH = Publication(
    4, "a", "d1", 1, 4, 4, None, 40, None, 400, 4000, "warned", "h4", True, 2, 8, FILES
)


@pytest.fixture
def filled(store: Store) -> Store:
    """`a` has d1 (published twice), d2 and d3; `b` has d2 and d3, the last without rows."""
    with store.write(None) as tx:
        delivery(tx, 8)
        published(tx, 1)
        published(tx, 2, partition="d2")
        published(tx, 3, partition="d3", version=3)
        published(
            tx,
            4,
            verdict="warned",
            identical=True,
            version=2,
            delivery_id=8,
            manifest=msgspec.json.encode(FILES).decode(),
        )
        published(tx, 5, "b", "d2", rows=50)
        published(tx, 6, "b", "d3", rows=0)
    return store


def test_the_visible_publication_has_the_values_of_its_own_row(filled: Store) -> None:
    """Would catch: the publication that was replaced; flags and manifests as the database has
    them."""
    with filled.read() as tx:
        assert publications.current(tx, "a", "d1") == FOURTH
        assert publications.current(tx, "a", "d9") is None
        newest = publications.newest(tx, "a")
        assert newest is not None and newest.id == 3
        assert publications.newest(tx, "c") is None


def test_publications_of_a_node_come_newest_first_within_their_bounds(filled: Store) -> None:
    """Would catch: replaced publications in a list; a bound that counts or doesn't."""

    def listed(tx: Transaction, **bounds: object) -> list[int]:
        return [item.id for item in publications.of_node(tx, "a", **bounds)]  # type: ignore[arg-type]

    with filled.read() as tx:
        assert publications.of_node(tx, "a")[2] == FOURTH
        assert listed(tx) == [3, 2, 4]
        assert listed(tx, first="d2") == [3, 2]
        assert listed(tx, last="d2") == [2, 4]
        assert listed(tx, first="d2", last="d2") == [2]
        assert listed(tx, limit=1) == [3]
        assert publications.count_between(tx, "a", "d1", "d2") == 2
        assert publications.count_between(tx, "a", "d4", "d9") == 0


def test_finer_partitions_count_to_their_interval(store: Store) -> None:
    """Would catch: a day whose airports aren't listed; the next day's among them."""
    keys = ("d1", "d1/EWR", "d2/EWR", "d2/JFK", "d3/EWR")
    with store.write(None) as tx:
        for number, key in enumerate(keys, 1):
            published(tx, number, "a", key)
        published(tx, 9, "b", "d2/EWR")
        shown = publications.shown_between(tx, "a", "d1/", "d2", limit=9)
        assert [item.partition for item in shown] == ["d1/EWR", "d2/EWR", "d2/JFK"]
        shown = publications.shown_between(tx, "a", "d1", "d2", limit=2)
        assert [item.id for item in shown] == [1, 2]


def test_of_a_run_all_publications_are_listed(filled: Store) -> None:
    """Would catch: publications of another run, or only those that are still visible."""
    with filled.write(None) as tx:
        run_id, other = run(tx), run(tx)
        attempt(tx, 4, run_id=run_id)
        attempt(tx, 1, run_id=run_id)
        attempt(tx, 2, run_id=other)
        assert list(publications.of_run(tx, run_id)) == [
            (p.node, p.partition, p.rows, p.snapshot, p.verdict, p.identical)
            for p in (FIRST, FOURTH)
        ]
        assert publications.ids_of_run(tx, run_id) == {FIRST.id, FOURTH.id}
        assert list(publications.of_run(tx, 99)) == []
        assert publications.ids_of_run(tx, 99) == set()


ANSWERS: list[tuple[Callable[[Transaction], object], object]] = [
    (lambda tx: publications.any_of(tx, "b"), True),
    (lambda tx: publications.any_of(tx, "c"), False),
    (lambda tx: publications.any_since_version(tx, "a", 3), True),
    (lambda tx: publications.any_since_version(tx, "a", 4), False),
    (lambda tx: publications.any_since_version(tx, "b", 1, 2), True),
    (lambda tx: publications.any_since_version(tx, "b", 1, 1), False),
    (lambda tx: publications.newest_id(tx, "a", None), 4),
    (lambda tx: publications.newest_id(tx, "a", ["d2", "d9"]), 2),
    (lambda tx: publications.newest_id(tx, "a", []), 0),
    (lambda tx: publications.newest_id(tx, "c", None), 0),
    (publications.last_id, 6),
    (lambda tx: publications.verdicts_of(tx, 1, 4), {"d1": "warned"}),
    (lambda tx: publications.verdicts_of(tx, 1, 9), {}),
    (lambda tx: publications.snapshot_of(tx, "a", 1), 1),
    (lambda tx: publications.snapshot_of(tx, "b", 1), None),
    (lambda tx: publications.first_published(tx, "a", "d1"), (10, 1)),
    (lambda tx: publications.first_published(tx, "a", "d9"), None),
    (lambda tx: publications.newest_at(tx, 5), 50),
    (lambda tx: publications.newest_at(tx, 0), None),
    (lambda tx: publications.next_with_rows(tx, "a", "d1"), "d2"),
    (lambda tx: publications.next_with_rows(tx, "b", "d2"), None),
    (lambda tx: publications.times(tx, "a", "d1"), [10, 40]),
    (lambda tx: publications.newest_accumulated_snapshot(tx, "a"), 4),
    (lambda tx: publications.newest_accumulated_snapshot(tx, "c"), 0),
    (lambda tx: publications.hashes(tx, "a", ["d1", "d2", "d9"]), {"d1": "h4", "d2": "h2"}),
    (
        lambda tx: publications.by_version(tx, "a"),
        [(1, 1, "d2", "d2"), (2, 1, "d1", "d1"), (3, 1, "d3", "d3")],
    ),
]


def test_short_answers(filled: Store) -> None:
    """Would catch: an answer about another node, a replaced publication or a bound next to it."""
    with filled.read() as tx:
        for number, (query, expected) in enumerate(ANSWERS):
            assert query(tx) == expected, number


def test_a_new_store_has_no_publications(store: Store) -> None:
    """Would catch: a first publication with a number that isn't 1."""
    with store.read() as tx:
        assert publications.last_id(tx) == 0
        assert publications.newest_at(tx, 9) is None


def test_ratios_are_of_the_newest_earlier_partitions(store: Store) -> None:
    """Would catch: a ratio upside down; one by an input without rows, or of the partition itself."""
    with store.write(None) as tx:
        for number, (node, key, rows) in enumerate(
            (
                ("in", "d1", 10),
                ("in", "d2", 20),
                ("in", "d3", 0),
                ("in", "d4", 40),
                ("out", "d1", 1),
                ("out", "d2", 3),
                ("out", "d3", 5),
                ("out", "d4", 7),
            ),
            1,
        ):
            published(tx, number, node, key, rows=rows)
        assert publications.rows_each(tx, "out", "in", "d4", 9) == [0.15, 0.1]
        assert publications.rows_each(tx, "out", "in", "d9", 1) == [0.175]


def test_a_partition_is_read_from_the_snapshot_of_its_inputs(filled: Store) -> None:
    """Would catch: a publication that had read an older snapshot, or one from before."""
    with filled.write(None) as tx:
        run(tx)
        attempt(tx, 1, snapshot=70)
        attempt(tx, 4, snapshot=80)
        assert publications.first_reading(tx, "a", "d1", 70, 0) == (10, 1)
        assert publications.first_reading(tx, "a", "d1", 71, 0) == (40, 4)
        assert publications.first_reading(tx, "a", "d1", 70, 11) == (40, 4)
        assert publications.first_reading(tx, "a", "d1", 81, 0) is None


def test_the_newest_publication_tells_what_it_read_and_whether_by_a_backfill(
    filled: Store,
) -> None:
    """Would catch: a backfill's publication taken for an ordinary one; an older publication's
    inputs; an attempt that read no snapshot and stops the leader."""
    with filled.write(None) as tx:
        run(tx)
        backfill = run(tx, "backfill", plan=7)
        attempt(tx, 1, snapshot=70)
        attempt(tx, 4, snapshot=80, run_id=backfill)
        attempt(tx, 2, keys=["d2"])
        tx.execute("update attempt set snapshot_read = null where n = 2")
        assert publications.computed(tx, "a", "d1") == NewestPublication("d1", 2, 4, 80, True)
        assert publications.computed(tx, "a", "d2") == NewestPublication("d2", 1, 2, 0, False)
        assert publications.computed(tx, "a", "d9") is None


def test_deliveries_before_a_publication_include_replaced_ones(store: Store) -> None:
    """Would catch: the publication's own delivery among those before it."""
    with store.write(None) as tx:
        for number in (3, 5, 6):
            delivery(tx, number)
        for number, item in enumerate((3, None, 5, 5, 6), 1):
            published(tx, number, delivery_id=item)
        assert publications.deliveries_before(tx, "a", "d1", 5) == {3, 5}
        assert publications.deliveries_before(tx, "a", "d1", 1) == set()


def test_what_changed_since_a_snapshot(filled: Store) -> None:
    """Would catch: an identical publication as a change; the own publication, which `besides` is
    there for; the snapshot itself."""
    with filled.read() as tx:
        assert publications.changed_since(tx, "a", 1, besides=None) == {"d2", "d3"}
        assert publications.changed_since(tx, "a", 0, besides=3) == {"d1", "d2"}
        assert publications.changed_since(tx, "a", 3, besides=None) == set()


def test_what_a_snapshot_shows(filled: Store) -> None:
    """Would catch: a publication visible in the snapshot that ended it, or before its own."""
    with filled.read() as tx:
        read = publications.visible(tx, "a", 4)
        first, second = publications.visible(tx, "a", 2)["d1"], read["d2"]
        third, fourth = read["d3"], read["d1"]
        assert [item.id for item in (first, second, third, fourth)] == [1, 2, 3, 4]
        assert (fourth.rows, fourth.content_hash, fourth.ended_at) == (400, "h4", None)
        assert first.ended_at == fourth.published_at
        assert publications.visible(tx, "a", 2) == {"d1": first, "d2": second}
        assert publications.visible(tx, "a", 3) == {"d1": first, "d2": second, "d3": third}
        assert publications.visible(tx, "a", 4) == {"d1": fourth, "d2": second, "d3": third}


def test_a_history_has_all_publications_by_partition(filled: Store) -> None:
    """Would catch: a history of what is visible; rows and bytes in exchange."""
    with filled.read() as tx:
        history = publications.history_of(tx, "a")
        assert [item.id for item in history] == [1, 4, 2, 3]
        assert history[0] == ComparedPublication("d1", 1, 1, 1, 1, 4, 100, 1000, "passed", "h1", 1)
        assert sorted(publications.accumulated(tx, "b"), key=lambda item: item.partition) == [
            AccumulatedPartition("d2", 5, "h5", 50),
            AccumulatedPartition("d3", 6, "h6", 0),
        ]
        assert {item.partition for item in publications.accumulated(tx, "a")} == {"d1", "d2", "d3"}
        assert len(publications.accumulated(tx, "a")) == 3


# Withdrawn publications


def test_a_withdrawn_partition_shows_nothing_and_says_why(filled: Store) -> None:
    """Would catch: a withdrawal after which rows are still read; one that changes another
    partition; a waived partition that is waited for again."""
    with filled.write(None) as tx:
        partition(tx, "a", "d2", "published", stale=True, failures=2, not_before=9, proposed=True)
        revision = partition_states.last_revision(tx)
        publications.withdraw(tx, "a", "d2", snapshot=7, now=70, reason="test rows")
        state = partition_states.get(tx, "a", "d2")
        assert state == partition_states.Partition(
            "a", "d2", "withdrawn", False, 0, None, None, "test rows", 70
        )
        assert partition_states.last_revision(tx) == revision + 1
        assert publications.current(tx, "a", "d2") is None
        (ended,) = [item for item in publications.history_of(tx, "a") if item.id == 2]
        assert ended.ended_snapshot == 7
        assert publications.current(tx, "a", "d1") == FOURTH
        partition(tx, "a", "d3", "waived")
        publications.withdraw(tx, "a", "d3", snapshot=8, now=80, reason="wrong")
        waived = partition_states.get(tx, "a", "d3")
        assert waived is not None and waived.state == "waived"
        assert publications.withdrawn(tx) == {("a", "d2"), ("a", "d3")}
        published(tx, 9, partition="d2")
        assert publications.withdrawn(tx) == {("a", "d3")}


def test_withdrawn_rows_stay_withdrawn_until_they_are_accepted(filled: Store) -> None:
    """Would catch: rows that were withdrawn and come back without a word; all withdrawals of the
    same rows under different numbers; a publication of other rows that isn't told."""
    with filled.write(None) as tx:
        publications.withdraw(tx, "a", "d2", snapshot=7, now=70, reason="test rows")
        second = Withdrawn(2, "a", "d2", 70, "test rows", 2, 7, "h2", False)
        assert publications.all_withdrawn(tx) == [second]
        published(tx, 8, partition="d2", content_hash="other", published_at=80)
        assert publications.all_withdrawn(tx) == [second._replace(replaced=True)]
        publications.withdraw(tx, "a", "d1", snapshot=9, now=90, reason="wrong")
        publications.withdraw(tx, "b", "d2", snapshot=9, now=91, reason="wrong too")
        assert [item.partition for item in publications.all_withdrawn(tx)] == ["d2", "d1", "d2"]
        assert publications.withdrawn_of(tx, "a", ["d0", "d2"]) == [second._replace(replaced=True)]
        assert [item.rows for item in publications.withdrawn_of(tx, "a", ["d1", "d2"])] == [2, 4]
        published(tx, 11, partition="d2", content_hash="h2", published_at=110)
        assert publications.withdrawn_of(tx, "a", ["d2"]) == []
        publications.withdraw(tx, "a", "d2", snapshot=12, now=120, reason="again")
        assert [(item.rows, item.at) for item in publications.withdrawn_of(tx, "a", ["d2"])] == [
            (2, 70),
            (2, 120),
        ]


# Restatements


def test_a_restatement_tells_both_publications(store: Store) -> None:
    """Would catch: rows before and after in exchange; an identical publication or one after a
    withdrawal as a restatement; the oldest few where the newest are wanted."""
    with store.write(None) as tx:
        delivery(tx, 8)
        delivery(tx, 9)
        published(tx, 1, delivery_id=8)
        published(tx, 2, version=2, delivery_id=8)
        published(tx, 3, delivery_id=9)
        published(tx, 4, identical=True)
        publications.withdraw(tx, "a", "d1", snapshot=5, now=45, reason="wrong")
        published(tx, 5)
        published(tx, 6, "b", "*")
        published(tx, 7, "b", "*")
        published(tx, 10, "c")
        mark_as_exception(tx, 10)
        published(tx, 11, "c")
        first = Replaced("a", "d1", 100, 200, 20, 1, 2, 2, False, "h1", "h2", True, 10)
        second = Replaced("a", "d1", 200, 300, 30, 2, 1, 3, False, "h2", "h3", False, 20)
        third = Replaced("c", "d1", 1000, 1100, 110, 1, 1, 11, True, "h10", "h11", False, 100)
        assert publications.replaced_since(tx, 20, 9) == [first, second, third]
        assert publications.replaced_since(tx, 21, 9) == [second, third]
        assert publications.replaced_since(tx, 0, 2) == [second, third]
        tx.execute("update publication set rows = 0, content_hash = null where node = 'c'")
        removed = [item.was_removed for item in publications.replaced_since(tx, 0, 9)]
        assert removed == [False, False, True]


def mark_as_exception(tx: Transaction, publication: int) -> None:
    """Mark a publication as an exception."""
    tx.execute(
        "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason, at)"
        " values ('c', 'd1', 1, ?, 'ann', 'known', 1)",
        (publication,),
    )


def test_recomputations_on_request_are_listed_by_key(store: Store) -> None:
    """Would catch: a partition that is recomputed anyway; a list without an order or a limit."""
    with store.write(None) as tx:
        partition(tx, "b", "d1", "waiting", stale=True, proposed=True)
        partition(tx, "a", "d2", "waiting", stale=True, proposed=True)
        partition(tx, "a", "d1", "waiting", stale=True, proposed=True)
        partition(tx, "a", "d3", "waiting", stale=True)
        partition(tx, "a", "d4", "waiting", proposed=True)
        every = [("a", "d1"), ("a", "d2"), ("b", "d1")]
        assert publications.proposed_recomputations(tx, 9) == every
        assert publications.proposed_recomputations(tx, 2) == every[:2]
