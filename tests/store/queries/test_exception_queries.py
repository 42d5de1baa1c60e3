"""Exceptions from their start to their end, and publications that are wrong or were accepted."""

from __future__ import annotations

import pytest
from table_rows import add

from headrace.store import Store
from headrace.store.queries import exceptions
from headrace.store.queries.exceptions import (
    Acceptance,
    AcceptedPublication,
    ExceptionRecord,
    PublicationProvenance,
    Unsound,
)

LATE = Acceptance(7, None, "ann", "late vendor", 100, 900)


# Exceptions
# --------------------------------------------------------------------------------------------------


def test_an_exception_waits_for_its_publication(store: Store) -> None:
    """Would catch: a second exception that leaves the first one waiting too, a publication that is
    attached to another partition's exception, one attached twice."""
    with store.write(None) as tx:
        exceptions.attach_publications(tx, [("a", "d1", 30)])  # nobody waits
        exceptions.accept_exception(tx, "a", "d1", LATE)
        exceptions.accept_exception(tx, "a", "d2", LATE)
        exceptions.accept_exception(tx, "b", "d1", Acceptance(8, 5, "bob", "known", 101, None))
        assert exceptions.expected_exceptions(tx, "a") == {"d1", "d2"}
        assert exceptions.expected_exceptions(tx, "b") == set()

        exceptions.accept_exception(tx, "a", "d1", Acceptance(9, None, "cy", "again", 150, 950))
        again = ExceptionRecord(4, "a", "d1", 9, None, "cy", "again", 150, 950, None)
        ended = ExceptionRecord(1, "a", "d1", 7, None, "ann", "late vendor", 100, 900, 150)
        assert exceptions.exceptions_of_partition(tx, "a", "d1") == [again, ended]
        assert exceptions.is_exception_expected(tx, "a", "d1")
        assert not exceptions.is_exception_expected(tx, "a", "d3")
        assert not exceptions.is_exception_expected(tx, "b", "d1")

        exceptions.attach_publications(tx, [("a", "d1", 31), ("a", "d3", 33)])
        exceptions.attach_publications(tx, [("a", "d1", 32)])
        assert not exceptions.is_exception_expected(tx, "a", "d1")
        publications = [
            item.publication_id for item in exceptions.exceptions_of_partition(tx, "a", "d1")
        ]
        assert publications == [31, None]

        assert exceptions.give_up_exception(tx, "a", "d2", 200)
        assert not exceptions.give_up_exception(tx, "a", "d2", 201)
        assert exceptions.exceptions_of_partition(tx, "a", "d2")[0].ended_at == 200
        assert exceptions.expected_exceptions(tx, "a") == set()


def test_an_exception_lapses_at_its_end() -> None:
    record = ExceptionRecord(1, "a", "d1", 7, None, "ann", "late", 100, 900, None)
    assert [record.lapsed(now) for now in (899, 900, 901)] == [False, True, True]
    assert not ExceptionRecord(1, "a", "d1", 7, None, "ann", "late", 100, None, None).lapsed(9**9)


def test_exceptions_in_force_are_those_of_visible_publications(store: Store) -> None:
    """Would catch: an exception in force for data that nobody sees any more, or one that ended."""
    with store.write(None) as tx:
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "ended_snapshot": 5, "ended_at": 5},
            {"id": 2, "node": "a"},
            {"id": 3, "node": "a", "partition": "d2"},
            {"id": 4, "node": "c"},
            {"id": 5, "node": "b"},
        )
        for node, key, publication in (
            ("c", "d1", 4),
            ("a", "d1", 1),
            ("a", "d2", 3),
            ("a", "d1", 2),
            ("b", "d1", None),
        ):
            given = Acceptance(7, publication, "ann", "known", 100, 900)
            exceptions.accept_exception(tx, node, key, given)
        in_force = exceptions.exceptions_in_force(tx)
        assert [(item.node, item.partition, item.publication_id) for item in in_force] == [
            ("a", "d1", 2),
            ("a", "d2", 3),
            ("c", "d1", 4),
        ]
        assert exceptions.nodes_with_exceptions(tx, "d0", "d1") == {"a", "c"}
        assert exceptions.nodes_with_exceptions(tx, "d2", "d9") == {"a"}

        renewal = Acceptance(7, 4, "bob", "longer", 300, None)
        exceptions.renew_exception(tx, in_force[2], renewal)
        assert exceptions.exceptions_of_partition(tx, "c", "d1") == [
            ExceptionRecord(6, "c", "d1", 7, 4, "bob", "longer", 300, None, None),
            ExceptionRecord(1, "c", "d1", 7, 4, "ann", "known", 100, 900, 300),
        ]
        assert exceptions.nodes_with_exceptions(tx, "d1", "d1") == {"a", "c"}
        assert [item.id for item in exceptions.exceptions_in_force(tx)] == [4, 3, 6]


def test_a_renewal_continues_the_exception_before_it(store: Store) -> None:
    """Would catch: a lapse whose beginning is the last renewal, or one before a time without an
    end."""
    ends = [(10, 50), (40, 90), (60, None), (70, 200), (80, 300)]
    with store.write(None) as tx:
        for at, until in ends:
            exceptions.accept_exception(tx, "a", "d1", Acceptance(7, 5, "ann", "", at, until))
        exceptions.accept_exception(tx, "a", "d2", Acceptance(7, 6, "ann", "", 5, 95))
        newest_first = exceptions.exceptions_of_partition(tx, "a", "d1")
        since = [exceptions.lapsing_since(tx, record) for record in reversed(newest_first)]
        assert since == [10, 10, 10, 70, 70]
        waiting = ExceptionRecord(9, "a", "d1", 7, None, "ann", "", 123, 900, None)
        assert exceptions.lapsing_since(tx, waiting) == 123


def test_exceptions_with_usual_columns_and_their_attempts(store: Store) -> None:
    """Would catch: a partition with a changed schema as an example of the usual one, because of
    another attempt's drift; the newest exception's attempt instead of the first one's."""
    with store.write(None) as tx:
        for number, key in enumerate(("d1", "d2", "d3", "d4"), start=1):
            row = {"id": number, "node": "s", "partition": key, "epoch": 3, "n": 16 + number}
            add(tx, "publication", row)
            add(tx, "quarantine", {"id": number, "node": "s", "partition": key, "epoch": 2, "n": 5})
            given = Acceptance(number, number, "ann", "known", 100, None)
            exceptions.accept_exception(tx, "s", key, given)
        exceptions.accept_exception(tx, "s", "d1", Acceptance(4, 1, "ann", "again", 101, None))
        drift = {"source": "s", "epoch": 3}
        add(
            tx,
            "drift",
            drift | {"partition": "d1", "n": 17, "kind": "added"},
            drift | {"partition": "d2", "n": 18, "kind": "type"},
            drift | {"partition": "d3", "n": 18, "kind": "renamed"},
        )
        assert exceptions.exceptions_of_usual_names(tx, "s") == {"d2", "d3", "d4"}
        assert exceptions.exceptions_of_usual_names(tx, "t") == set()
        tx.execute("update quarantine set n = 6 where id = 4")
        assert exceptions.accepted_attempt(tx, "s", "d1", "3.17") == "2.5"
        assert exceptions.accepted_attempt(tx, "s", "d4", "3.20") == "2.6"
        assert exceptions.accepted_attempt(tx, "s", "d1", "3.18") is None
        assert exceptions.accepted_attempt(tx, "s", "d2", "3.17") is None


# Wrong and accepted publications
# --------------------------------------------------------------------------------------------------


def test_wrong_rows_that_were_published_again_are_wrong_too(store: Store) -> None:
    """Would catch: the same rows, recomputed, that count as right; and accepted ones, or ones that
    replace a damaged file, that count as wrong."""
    with store.write(None) as tx:
        over = {"ended_snapshot": 5, "ended_at": 50}
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "content_hash": "h", "published_at": 11} | over,
            {"id": 2, "node": "a", "content_hash": "h", "snapshot": 5, "published_at": 50},
            {"id": 3, "node": "b", "published_at": 13, "snapshot": 3},
            {"id": 4, "node": "c", "content_hash": "h", "published_at": 14} | over,
            {"id": 5, "node": "c", "content_hash": "h", "published_at": 50},
            {"id": 6, "node": "e", "content_hash": "k", "published_at": 16} | over,
            {"id": 7, "node": "e", "content_hash": "k", "published_at": 50},
        )
        add(
            tx,
            "incident",
            {"id": 1},
            {"id": 2, "state": "resolved", "resolved_at": 100},
            {"id": 3, "kind": "data_corrupted"},
            {"id": 4},
        )
        add(
            tx,
            "unsound",
            {"incident_id": 1, "publication_id": 1, "columns": '["x", "y"]', "known_at": 71},
            {"incident_id": 2, "publication_id": 3, "columns": "[]", "known_at": 72},
            {"incident_id": 3, "publication_id": 4, "columns": "[]", "known_at": 73},
            {
                "incident_id": 4,
                "publication_id": 6,
                "columns": "[]",
                "known_at": 74,
                "until_at": 77,
            },
        )
        exceptions.accept_exception(tx, "e", "d1", Acceptance(1, 7, "ann", "", 1, None))
        columns = ("x", "y")
        still_open = [
            Unsound(1, columns, 71, None, "a", "d1", 1, 5, 11, 50),
            Unsound(1, columns, 71, None, "a", "d1", 5, None, 50, None),
            Unsound(3, (), 73, None, "c", "d1", 1, 5, 14, 50, damaged_at=73),
            Unsound(4, (), 74, 77, "e", "d1", 1, 5, 16, 50),
        ]
        resolved = Unsound(2, (), 72, None, "b", "d1", 3, None, 13, None)
        assert exceptions.named_wrong(tx, 100) == still_open
        assert exceptions.named_wrong(tx, 99) == [*still_open[:2], resolved, *still_open[2:]]


def test_accepted_publications_that_matter_since_a_time(store: Store) -> None:
    """Would catch: data of a lapsed exception that is forgotten while its incident is open, an
    incident of exception 12 that is taken for one of exception 1."""
    with store.write(None) as tx:
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "ended_snapshot": 5, "ended_at": 50, "published_at": 11},
            {"id": 2, "node": "a", "snapshot": 5, "published_at": 50},
            {"id": 3, "node": "b", "ended_snapshot": 6, "ended_at": 60, "published_at": 13},
        )
        given = {"node": "x", "partition": "x", "actor": "ann", "reason": "known", "at": 9}
        add(
            tx,
            "accepted",
            given | {"id": 1, "quarantine_id": 1, "publication_id": 1, "until": 40},
            given | {"id": 2, "quarantine_id": 1, "publication_id": 2, "ended_at": 55},
            given | {"id": 12, "quarantine_id": 1, "publication_id": 3, "until": 41},
            given | {"id": 13, "quarantine_id": 1},
        )
        first = AcceptedPublication(1, "ann", "known", 40, None, "a", "d1", 1, 5, 11, 50)
        second = AcceptedPublication(2, "ann", "known", None, 55, "a", "d1", 5, None, 50, None)
        twelfth = AcceptedPublication(12, "ann", "known", 41, None, "b", "d1", 1, 6, 13, 60)
        assert exceptions.accepted_exceptions(tx, 49) == [twelfth, second, first]
        assert exceptions.accepted_exceptions(tx, 50) == [twelfth, second]
        assert exceptions.accepted_exceptions(tx, 60) == [second]
        assert exceptions.accepted_exceptions(tx, 0, limit=2) == [twelfth, second]

        add(tx, "incident", {"id": 31}, {"id": 32, "state": "resolved"})
        add(
            tx,
            "evidence",
            {"id": "lapsed:12:0", "incident_id": 31},
            {"id": "lapsed:1:0", "incident_id": 32},
            {"id": "stale:1:0", "incident_id": 31},
        )
        assert exceptions.accepted_exceptions(tx, 60) == [twelfth._replace(incident=31), second]
        tx.execute("update incident set state = 'recovering' where id = 32")
        assert [item.incident for item in exceptions.accepted_exceptions(tx, 60)] == [31, None, 32]


def test_at_most_500_accepted_publications_are_returned(store: Store) -> None:
    with store.write(None) as tx:
        add(tx, "publication", {"id": 1, "node": "a"})
        tx.executemany(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at) values ('a', 'd1', 1, 1, 'ann', '', ?)",
            [(at,) for at in range(501)],
        )
        assert len(exceptions.accepted_exceptions(tx, 0)) == 500


def test_publications_that_may_have_read_an_input(store: Store) -> None:
    """Would catch: a backfill's publication that is left out since it read its own overlay, an
    attempt that read nothing as one that read the newest snapshot."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1}, {"id": 2, "plan_id": 4})
        add(
            tx,
            "attempt",
            {"n": 1, "snapshot_read": 19},
            {"n": 2, "snapshot_read": 20},
            {"n": 3, "snapshot_read": 21, "run_id": 2},
            {"n": 4, "run_id": 2},
        )
        for n in (1, 2, 3, 4):
            row = {"id": n, "node": "a", "partition": f"d{n}", "n": n, "snapshot": 20 + n}
            add(tx, "publication", row | {"published_at": 30 + n, "identical": int(n == 3)})
        add(tx, "publication", {"id": 5, "node": "b", "n": 2, "snapshot": 22})
        tx.execute("update publication set ended_snapshot = 29, ended_at = 39 where id = 2")
        computed = exceptions.computed_since(tx, "a", 20)
        assert sorted(computed) == [
            PublicationProvenance("d2", 22, 29, 32, 39, 20, identical=False, planned=False),
            PublicationProvenance("d3", 23, None, 33, None, 21, identical=True, planned=True),
            PublicationProvenance("d4", 24, None, 34, None, 0, identical=False, planned=True),
        ]
        later = exceptions.computed_since(tx, "a", 23)
        assert [item.partition for item in sorted(later)] == ["d3", "d4"]


@pytest.mark.parametrize(
    ("planned", "snapshot", "read", "saw"),
    [
        (False, 40, 9, False),
        (False, 40, 10, True),
        (False, 40, 19, True),
        (False, 40, 20, False),
        (False, 10, 5, False),  # only a backfill sees what is published with it
        (True, 10, 5, True),
        (True, 20, 15, False),
        (True, 15, 12, True),
        (True, 15, 5, False),
    ],
)
def test_an_input_was_seen_while_it_was_visible(
    planned: bool, snapshot: int, read: int, saw: bool
) -> None:
    """An input visible from snapshot 10 until 20. Would catch: a backfill's publication that counts
    as computed from the data which it replaced."""
    item = PublicationProvenance("d1", snapshot, None, 1, None, read, False, planned)
    assert item.saw(10, 20) is saw


def test_when_wrong_data_was_replaced_last(store: Store) -> None:
    """Would catch: a cause of wrong data whose replacement isn't noticed."""
    with store.write(None) as tx:
        assert exceptions.replaced_last(tx) == 0
        over = {"ended_snapshot": 9}
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "ended_at": 110} | over,
            {"id": 2, "node": "b", "ended_at": 130} | over,
            {"id": 3, "node": "c", "ended_at": 140} | over,
        )
        add(tx, "publication", {"id": 4, "node": "d", "published_at": 160})
        add(tx, "incident", {"id": 1})
        add(tx, "unsound", {"incident_id": 1, "publication_id": 1, "columns": "[]", "known_at": 1})
        assert exceptions.replaced_last(tx) == 110
        tx.execute("update unsound set until_at = 120")
        assert exceptions.replaced_last(tx) == 120
        exceptions.accept_exception(tx, "c", "d1", Acceptance(1, 3, "ann", "", 1, None))
        assert exceptions.replaced_last(tx) == 120  # it never lapses
        exceptions.accept_exception(tx, "b", "d1", Acceptance(1, 2, "ann", "", 1, 99))
        assert exceptions.replaced_last(tx) == 130
        tx.execute("update accepted set ended_at = 135 where publication_id = 2")
        assert exceptions.replaced_last(tx) == 135
        add(tx, "withdrawal", {"node": "x", "partition": "d1", "at": 150})
        assert exceptions.replaced_last(tx) == 160  # the newest publication may replace it
        add(tx, "withdrawal", {"node": "x", "partition": "d1", "at": 170})
        assert exceptions.replaced_last(tx) == 170
