"""Incidents as they are written, listed and found again, and what they name as wrong."""

from __future__ import annotations

from typing import Any

import msgspec
from state_kinds import ONLY_SQLITE
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import evidence, exceptions, incidents
from headrace.store.queries.incidents import (
    Affected,
    Happened,
    Incident,
    IncidentEvidence,
    Symptom,
)

FIRST = Incident(
    id=1,
    state="open",
    kind="late",
    detail="of the vendor",
    node="a",
    partition="d1",
    columns=("x", "y"),
    fingerprint="f1",
    owner="ann",
    summary="a is late",
    confidence=0.875,
    evidence=(IncidentEvidence(what="delivery", expected="07:00", at=11, id="e:1"),),
    affected=Affected(("b",), ("c",), ("d1", "d2")),
    began_at=11,
    opened_at=12,
    restored_at=13,
    resolved_at=None,
    updated_at=14,
    recurrence_of=None,
    opened_in=41,
)


def incident(number: int, **changes: Any) -> Incident:
    return msgspec.structs.replace(FIRST, id=number, **changes)


def write(tx: Transaction, *items: Incident) -> None:
    for item in items:
        incidents.write(tx, item)


# Incidents
# --------------------------------------------------------------------------------------------------


def test_an_incident_is_read_as_it_was_written(store: Store) -> None:
    """Would catch: a column that takes another one's value, an update that leaves one as it was."""
    with store.write(None) as tx:
        assert (incidents.next_id(tx), incidents.count(tx)) == (1, 0)
        assert incidents.get(tx, 1) is None
        second = incident(2, confidence=0.12345, recurrence_of=1, columns=(), evidence=())
        write(tx, FIRST, second)
        assert incidents.get(tx, 1) == FIRST
        assert incidents.get(tx, 2) == msgspec.structs.replace(second, confidence=0.123)
        changed = Incident(
            id=1,
            state="resolved",
            kind="missing",
            detail="",
            node="b",
            partition="d3",
            columns=("z",),
            fingerprint="f2",
            owner="bob",
            summary="b is missing",
            confidence=0.5,
            evidence=(),
            affected=Affected(),
            began_at=21,
            opened_at=22,
            restored_at=23,
            resolved_at=25,
            updated_at=24,
            recurrence_of=2,
            opened_in=None,
        )
        write(tx, changed)
        assert incidents.get(tx, 1) == changed
        assert (incidents.count(tx), incidents.count_open(tx), incidents.next_id(tx)) == (2, 1, 3)
    assert FIRST.label == incidents.display_id(1) == "INC-1"


def test_lists_of_incidents(store: Store) -> None:
    """Would catch: an incident resolved at the very time that is asked for, a limit that takes the
    oldest, a recurrence of an incident that is still open."""
    resolved = {"state": "resolved"}
    with store.write(None) as tx:
        write(
            tx,
            incident(1, resolved_at=150, fingerprint="f", **resolved),
            incident(2, resolved_at=130, fingerprint="f", opened_in=42, **resolved),
            incident(3, resolved_at=140, fingerprint="g", node="b", **resolved),
            incident(4, state="recovering", fingerprint="f"),
            incident(5, opened_in=None),
            incident(6, resolved_at=100, **resolved),
        )

        def ids(items: list[Incident]) -> list[int]:
            return [item.id for item in items]

        assert ids(incidents.open_incidents(tx)) == [4, 5]
        assert ids(incidents.resolved_since(tx, 100)) == [1, 3, 2]
        assert ids(incidents.resolved_since(tx, 99, limit=3)) == [1, 3, 2]
        assert ids(incidents.resolved_since(tx, 99)) == [1, 3, 2, 6]
        assert ids(incidents.newest(tx)) == [6, 5, 4, 3, 2, 1]
        assert ids(incidents.newest(tx, limit=2)) == [6, 5]
        assert ids(incidents.resolved_at_node(tx, "a", 2)) == [6, 2]
        assert ids(incidents.resolved_at_node(tx, "b", 2)) == [3]
        before = incidents.same_before(tx, "f")
        assert before is not None
        assert before.id == 2
        assert incidents.same_before(tx, "never") is None
        assert incidents.found_in(tx, 41) == [1, 3, 4, 6]
        assert incidents.found_in(tx, 43) == []


def test_where_an_incident_is_seen_and_what_happened(store: Store) -> None:
    """Would catch: another incident's rows, ones in the order in which they were written, a second
    word about the same place that fails or moves its time."""
    with store.write(None) as tx:
        write(tx, FIRST, incident(2))
        incidents.seen_at(tx, 1, [("b", "d2"), ("a", "d9"), ("b", "d1")], 50)
        incidents.seen_at(tx, 1, [("a", "d9"), ("a", "d8")], 60)
        incidents.seen_at(tx, 2, [("c", "d1")], 50)
        assert incidents.partitions_of(tx, 1) == [
            ("a", "d8"),
            ("a", "d9"),
            ("b", "d1"),
            ("b", "d2"),
        ]
        assert incidents.nodes_of(tx, [1, 3]) == {1: {"a", "b"}, 3: set()}

        late, early = Symptom("b", "d1", "late", 70), Symptom("c", "d1", "late", 60)
        incidents.attach(tx, 1, [late, early, Symptom("b", "d1", "late", 80)])
        incidents.attach(tx, 2, [Symptom("x", "d1", "late", 1)])
        assert incidents.symptoms_of(tx, 1) == [early, late]
        assert incidents.symptoms_of(tx, 1, limit=1) == [early]

        opened = Happened(70, "opened", "headrace")
        retried = Happened(90, "retried", "ann", "retry")
        incidents.happened(tx, 1, [retried, opened])
        incidents.happened(tx, 2, [Happened(1, "released", "bob", "release")])
        assert incidents.timeline_of(tx, 1) == [opened, retried]
        assert incidents.timeline_of(tx, 1, limit=1) == [retried]
        assert incidents.acted(tx, 1, "retry")
        assert not incidents.acted(tx, 1, "release")


def test_a_long_timeline_loses_its_oldest_lines_but_no_beginning_and_no_end(store: Store) -> None:
    """Would catch: lines by people that push out those of repairs, or the other way round; the
    newest lines left out; an incident whose beginning or end is."""
    begins = Happened(70, "opened: x", "headrace")
    tried = [Happened(80 + at, f"try {at}", "headrace", "run_again") for at in range(3)]
    notes = [Happened(85 + at, f"note: {at}", "ann") for at in range(3)]
    assigned = Happened(88, "assigned to ann", "bob", "assignee")
    ends = [Happened(90, "resolved: y", "headrace"), Happened(95, "opened again: z", "headrace")]
    with store.write(None) as tx:
        write(tx, FIRST)
        incidents.happened(tx, 1, [begins, *tried, *notes, assigned, *ends])
        lines = incidents.timeline_of(tx, 1, limit=2)
        assert lines == [begins, *tried[1:], notes[2], assigned, *ends]
        assert incidents.state_changes_of(tx, 1) == [begins, *ends]


@ONLY_SQLITE
def test_at_most_500_symptoms_are_listed(store: Store) -> None:
    with store.write(None) as tx:
        write(tx, FIRST)
        incidents.attach(tx, 1, [Symptom("b", f"{n}", "late", n) for n in range(501)])
        assert len(incidents.symptoms_of(tx, 1)) == 500


def test_an_incident_as_it_was_reported(store: Store) -> None:
    """Would catch: what is known today in a report of last week, or a row for each update."""
    with store.write(None) as tx:
        write(tx, msgspec.structs.replace(FIRST, updated_at=10))
        incidents.seen_at(tx, 1, [("a", "d1")], 10)
        write(tx, msgspec.structs.replace(FIRST, updated_at=20))
        now = incident(1, updated_at=30, kind="missing", node="b", summary="b is missing")
        write(tx, now)
        incidents.seen_at(tx, 1, [("a", "d2")], 30)
        rows = tx.execute("select at from incident_said order by at").fetchall()
        assert [at for (at,) in rows] == [10, 30]

        was = msgspec.structs.replace(
            now,
            kind="late",
            node="a",
            summary="a is late",
            affected=Affected(("b",), ("c",), ("d1",)),
        )
        reported = [incidents.as_reported(tx, now, at) for at in (9, 10, 29, 30)]
        assert reported == [now, was, was, now]


# Evidence
# --------------------------------------------------------------------------------------------------


def _evidence(
    tx: Transaction, name: str, number: int | None, partition: str, attempt: str | None = None
) -> None:
    row = evidence.StoredEvidence(name, "a", partition, number, attempt, True, b"", 1)
    evidence.keep(tx, [row])


def test_kinds_of_open_incidents_besides_a_delivery(store: Store) -> None:
    """Would catch: an incident about the delivery that is being read, which keeps its own repair
    from being published; one about other data that doesn't."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(
            tx,
            "delivery",
            *({"id": n, "source": "a", "partition": "d1"} for n in (51, 52)),
        )
        add(
            tx,
            "attempt",
            {"n": 1, "delivery_id": 51},
            {"n": 2, "delivery_id": 52},
            {"n": 3},
            {"epoch": 2, "n": 1, "delivery_id": 51},
        )
        kinds = ("own", "other", "node", "resolved", "elsewhere", "no_attempt")
        for number, kind in enumerate(kinds, start=1):
            write(tx, incident(number, kind=kind, state="open" if kind != "resolved" else kind))
        _evidence(tx, "e1", 1, "d1", "1.1")
        _evidence(tx, "e2", 2, "d1", "1.2")
        _evidence(tx, "e3", 3, "", "1.3")
        _evidence(tx, "e4", 4, "d1", "1.2")
        _evidence(tx, "e5", 5, "d2", "1.2")
        _evidence(tx, "e6", 6, "d1")
        assert incidents.open_kinds_at(tx, "a", "d1", "2.1") == {"other", "node"}
        assert incidents.open_kinds_at(tx, "a", "d1", "1.2") == {"own", "node"}
        assert incidents.open_kinds_at(tx, "a", "d1", "1.3") == {"own", "other", "node"}
        assert incidents.open_kinds_at(tx, "a", "d1", "9.9") == {"own", "other", "node"}
        assert incidents.open_kinds_at(tx, "b", "d1", "9.9") == set()
        assert incidents.of_evidence(tx, "e3") == 3
        assert incidents.of_evidence(tx, "e9") is None


def test_the_open_incident_at_a_partition(store: Store) -> None:
    """Would catch: an incident of the whole node before one of the partition, one that recovers
    before one that doesn't, one whose evidence has ended."""
    with store.write(None) as tx:
        write(
            tx,
            incident(1, state="recovering"),
            incident(2),
            incident(3),
            incident(4),
            incident(5, state="resolved"),
            incident(6),
        )
        incidents.seen_at(tx, 1, [("a", "d1")], 1)
        incidents.seen_at(tx, 2, [("a", ""), ("b", "d1")], 1)
        _evidence(tx, "e3", 3, "d1")
        incidents.seen_at(tx, 4, [("a", "d1")], 1)
        incidents.seen_at(tx, 5, [("c", "d1")], 1)
        _evidence(tx, "e6", 6, "d2")

        def found(node: str, partition: str) -> int | None:
            result = incidents.open_at(tx, node, partition)
            assert incidents.OpenIncidents(tx).at(node, partition) == result
            return None if result is None else result.id

        assert (found("a", "d1"), found("a", "d3"), found("a", "d2")) == (3, 2, 6)
        assert (found("b", "d1"), found("c", "d1")) == (2, None)
        tx.execute("update evidence set ended_at = 9 where id = 'e3'")
        assert found("a", "d1") == 4
        tx.execute("update incident set state = 'resolved' where id in (2, 4)")
        assert found("a", "d1") == 1


def test_consumers_of_a_column(store: Store) -> None:
    """Would catch: consumers of the oldest incident, of another column or of another partition."""
    with store.write(None) as tx:
        write(
            tx,
            incident(1, columns=("x",), affected=Affected(consumers=("old",))),
            incident(2, columns=("y", "x"), affected=Affected(consumers=("new", "newer"))),
            incident(3, columns=("y",), affected=Affected(consumers=("other",))),
            incident(4, columns=("x",), affected=Affected(consumers=("elsewhere",)), node="b"),
        )
        for number in (1, 2, 3, 4):
            incidents.seen_at(tx, number, [("a", "d1")], 1)
        assert incidents.users_of_column(tx, "a", "d1", "x") == ("new", "newer")
        assert incidents.users_of_column(tx, "a", "d1", "y") == ("other",)
        assert incidents.users_of_column(tx, "a", "d1", "z") is None
        assert incidents.users_of_column(tx, "a", "d2", "x") is None
        write(tx, incident(5, columns=("",)))
        incidents.seen_at(tx, 5, [("a", "d1")], 1)
        assert incidents.users_of_column(tx, "a", "d1", "") is None


# Wrong publications
# --------------------------------------------------------------------------------------------------


def test_wrong_publications_that_are_still_visible(store: Store) -> None:
    """Would catch: an incident that ends while its rows are still there under a newer number, or
    one that never ends because of data that turned out right."""
    over = {"ended_snapshot": 5, "ended_at": 5}
    with store.write(None) as tx:
        add(
            tx,
            "publication",
            {"id": 1, "node": "b", "content_hash": "h"} | over,
            {"id": 2, "node": "b", "content_hash": "h"},
            {"id": 3, "node": "a", "partition": "d2"},
            {"id": 4, "node": "a", "partition": "d1"},
            {"id": 5, "node": "c", "content_hash": "k"} | over,
            {"id": 6, "node": "c", "content_hash": "l"},
            {"id": 7, "node": "d"},
        )
        write(
            tx,
            FIRST,
            incident(2),
            incident(3, state="resolved", resolved_at=100),
            incident(4, state="resolved", resolved_at=100),
        )
        assert incidents.OpenIncidents(tx).wrong == []
        incidents.name_wrong(tx, 1, [1, 3, 4], ["x"], 20)
        incidents.name_wrong(tx, 2, [5], [], 20)
        incidents.name_wrong(tx, 3, [7], [], 20)
        incidents.name_wrong(tx, 4, [5], [], 20)
        assert incidents.wrong_keys(tx, 1) == [("a", "d1"), ("a", "d2"), ("b", "d1")]
        assert incidents.wrong_keys(tx, 2) == []
        assert [incidents.still_read(tx, number) for number in (1, 2, 3)] == [True, False, True]
        wrong = [row[:3] for row in incidents.OpenIncidents(tx).wrong]
        assert wrong == [(1, "a", "d1"), (1, "a", "d2"), (1, "b", "d1")]
        assert incidents.read_again(tx, 99) == [incidents.get(tx, 3)]
        assert incidents.read_again(tx, 100) == []

        incidents.sound_again(tx, 1, 30)
        assert not incidents.still_read(tx, 1)
        assert incidents.wrong_keys(tx, 1) == []
        assert incidents.OpenIncidents(tx).wrong == []  # incident 3 is resolved


def test_since_when_a_publication_is_known_to_be_wrong(store: Store) -> None:
    """Would catch: a publication that is named again and so looks as if it had just become wrong;
    one that was right for a while and keeps its first time."""
    with store.write(None) as tx:
        write(tx, FIRST, incident(2))
        incidents.name_wrong(tx, 1, [7, 8], ["x"], 20)
        incidents.name_wrong(tx, 2, [7], [], 21)
        incidents.sound_again(tx, 1, 30)
        incidents.name_wrong(tx, 1, [8, 9], ["x"], 40)
        incidents.name_wrong(tx, 1, [8, 9], ["x"], 50)
        incidents.sound_again(tx, 2, 35)
        incidents.sound_again(tx, 2, 36)
        rows = tx.execute(
            "select incident_id, publication_id, columns, known_at, until_at from unsound order by"
            " 1, 2"
        ).fetchall()
        assert [tuple(row) for row in rows] == [
            (1, 7, '["x"]', 20, 30),
            (1, 8, '["x"]', 40, None),
            (1, 9, '["x"]', 40, None),
            (2, 7, "[]", 21, 35),
        ]


def test_publications_of_evidence(store: Store) -> None:
    """Would catch: evidence about a whole node that names nothing, an accepted publication that is
    named as wrong."""
    with store.write(None) as tx:
        add(
            tx,
            "publication",
            {"id": 11, "node": "a", "epoch": 2, "n": 17},
            {"id": 12, "node": "a", "partition": "*", "epoch": 2, "n": 18},
            {"id": 13, "node": "a", "partition": "d2", "epoch": 2, "n": 19, "ended_snapshot": 4},
            {"id": 14, "node": "a", "partition": "d3", "epoch": 2, "n": 20},
        )
        given = exceptions.Acceptance(1, 14, "ann", "known", 1, None)
        exceptions.accept_exception(tx, "a", "d3", given)
        _evidence(tx, "e1", None, "d1", "2.17")
        _evidence(tx, "e2", None, "", "2.18")
        _evidence(tx, "e3", None, "d2", "2.19")
        _evidence(tx, "e4", None, "d3", "2.20")
        _evidence(tx, "e5", None, "d1")
        _evidence(tx, "e6", None, "d1", "2.18")
        names = ["e9", "e5", "e4", "e6", "e3", "e2", "e1"]
        assert incidents.publications_of(tx, names) == [13, 12, 11]
        tx.execute("update accepted set ended_at = 5")
        assert incidents.publications_of(tx, ["e4"]) == [14]
