"""What the delay ledger reads of attempts, deliveries, observations, incidents and obligations."""

from __future__ import annotations

from typing import Any

from table_rows import add

from headrace.ledger.stored_records import StoreRecords
from headrace.store import Store, Transaction
from headrace.store.queries import ledger
from headrace.store.queries.ledger import ActRecord, AttemptRecord, IncidentRecord


def _runs(tx: Transaction) -> None:
    """Run 1, and run 2 of the backfill 4."""
    add(tx, "plan", {"id": 4, "created_at": 44, "started_at": 45, "needs": "policy"})
    add(tx, "run", {"id": 1, "started_at": 11}, {"id": 2, "started_at": 22, "plan_id": 4})


def _numbers(records: list[AttemptRecord]) -> list[tuple[int, int]]:
    return [(record.epoch, record.n) for record in records]


# Attempts
# --------------------------------------------------------------------------------------------------


def test_attempts_at_a_partition(store: Store) -> None:
    """Would catch: another partition's attempts, one named twice, a batch that is left out, an
    order by number although the older one was queued later."""
    with store.write(None) as tx:
        _runs(tx)
        add(tx, "delivery", {"id": 9, "source": "a", "partition": "d1"})
        texts = {"reason": "r", "measures": "{}", "error": "[]"}
        add(
            tx,
            "attempt",
            {"n": 1, "queued_at": 90, "dispatched_at": 91, "started_at": 92, "finished_at": 93},
            {"epoch": 2, "n": 1, "queued_at": 50, "started_at": 52, "run_id": 2, "version": 7}
            | {"delivery_id": 9, "kind": "take_in", "state": "held"}
            | texts,
            {"epoch": 2, "n": 2, "queued_at": 60, "partitions": '["d0","d1"]'},
            {"epoch": 2, "n": 3, "queued_at": 55, "partitions": '["d2","d3"]'},
            {"epoch": 2, "n": 4, "queued_at": 56, "partitions": '["d2"]'},
            {"epoch": 2, "n": 5, "queued_at": 57, "node": "b"},
            {"epoch": 2, "n": 6, "queued_at": 50, "partitions": '["*"]'},
        )
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "epoch": 2, "n": 6},
            {"id": 2, "node": "a", "epoch": 1, "n": 1, "ended_snapshot": 3},
            {"id": 3, "node": "b", "epoch": 2, "n": 5},
        )
        records = ledger.attempts(tx, [("a", "d1")])["a", "d1"]
        assert _numbers(records) == [(2, 1), (2, 6), (2, 2), (1, 1)]
        assert records[0] == AttemptRecord(
            *(2, 1, "take_in", "held", 50, 52, None),
            *("r", "{}", "[]", 9, 7, 2, 22, 4, 44, 45, "policy", '["d1"]'),
        )
        assert records[3] == AttemptRecord(
            *(1, 1, "produce", "published", 90, 91, 93),
            *(None, None, None, None, None, 1, 11, None, None, None, None, '["d1"]'),
        )
        assert records[2].dispatched_at == 60  # when it was queued, as it hasn't begun


def test_the_newest_attempts_are_read(store: Store) -> None:
    """Would catch: the oldest attempts in place of the newest, or all of ten years."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(tx, "attempt", *({"n": n} for n in range(1, 202)))
        alone = ledger.attempts(tx, [("a", "d1")])["a", "d1"]
        assert _numbers(alone) == [(1, n) for n in range(2, 202)]
        several = {"node": "b", "partitions": '["d1","d2"]'}
        add(tx, "attempt", *(several | {"n": n} for n in range(301, 362)))
        assert _numbers(ledger.attempts(tx, [("b", "d2")])["b", "d2"]) == [
            (1, n) for n in range(302, 362)
        ]


def test_the_newest_publication_before_an_attempt(store: Store) -> None:
    """Would catch: a publication after the attempt that waited for it, or the first partition of a
    batch as its last."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        add(
            tx,
            "attempt",
            {"n": 5, "published_at": 50, "partitions": '["d4", "d5"]'},
            {"epoch": 2, "n": 1, "published_at": 60, "partitions": '["d6"]'},
            {"epoch": 2, "n": 2, "published_at": 70, "partitions": '["d7"]'},
            {"epoch": 2, "n": 3, "state": "failed"},
            {"epoch": 2, "n": 4, "published_at": 65, "node": "b"},
        )
        assert ledger.newest_published(tx, "a", 99, None, None) == ("d7", 70)
        assert ledger.newest_published(tx, "a", 70, None, None) == ("d7", 70)
        assert ledger.newest_published(tx, "a", 69, None, None) == ("d6", 60)
        assert ledger.newest_published(tx, "a", 99, 2, 2) == ("d6", 60)
        assert ledger.newest_published(tx, "a", 99, 2, 1) == ("d5", 50)
        assert ledger.newest_published(tx, "a", 99, 1, 5) is None


def test_attempts_around_another(store: Store) -> None:
    """Would catch: work of another leader as the reason for a wait, a search through all of a
    leader's attempts."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        for epoch, n, dispatched, started, finished in (
            (1, 100, None, 1, 2),
            (1, 99, None, 3, 4),
            (1, 200, 5, 7, 9),
            (1, 300, 6, 8, None),
            (1, 400, None, None, None),
            (1, 499, 11, 12, 13),
            (1, 500, 11, 12, 13),
            (2, 499, 14, 15, 16),
        ):
            row = {"epoch": epoch, "n": n, "dispatched_at": dispatched}
            add(tx, "attempt", row | {"started_at": started, "finished_at": finished})
        assert sorted(ledger.around(tx, 1, 100)) == [
            (100, 1, 1, 2),
            (200, 5, 7, 9),
            (300, 6, 8, None),
            (499, 11, 12, 13),
        ]


def test_a_leaders_slots_and_open_attempts(store: Store) -> None:
    """Would catch: the newest journal entry as a leader's start, another leader's attempts."""
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        for seq, epoch, slots, at, plan in (
            (0, 2, 1, 45, 7),  # an isolated backfill's, whose workers are its own
            (1, 1, 4, 40, 0),
            (2, 2, 8, 50, 0),
            (3, 2, 9, 60, 0),
        ):
            row = {"seq": seq, "epoch": epoch, "slots": slots, "at": at, "plan_id": plan}
            add(tx, "journal", row | {"events": b"", "decisions": b""})
        add(
            tx,
            "attempt",
            {"epoch": 2, "n": 2, "node": "a", "state": "running", "queued_at": 70},
            {"epoch": 2, "n": 1, "node": "b", "state": "queued", "queued_at": 69},
            {"epoch": 2, "n": 3, "node": "c", "state": "queued", "queued_at": 71},
            {"epoch": 2, "n": 4, "node": "d", "state": "lost"},
            {"epoch": 1, "n": 1, "node": "e", "state": "running"},
        )
        assert [ledger.slots(tx, epoch) for epoch in (1, 2, 3)] == [4, 8, None]
        assert [ledger.leads(tx, epoch) for epoch in (1, 2, 3)] == [(4, 40), (8, 50), None]
        assert ledger.under_way(tx, 2, 70) == ["b", "a"]


# Publications, deliveries and observations
# --------------------------------------------------------------------------------------------------


def test_publications_and_dropped_data_of_a_partition(store: Store) -> None:
    """Would catch: an order by number in place of the time, data that waits for a decision as
    dropped."""
    with store.write(None) as tx:
        add(
            tx,
            "publication",
            {"id": 1, "node": "a", "published_at": 52, "epoch": 3, "n": 4},
            {"id": 2, "node": "a", "published_at": 41, "ended_at": 52, "ended_snapshot": 9, "n": 7},
            {"id": 3, "node": "a", "partition": "d2", "published_at": 60},
        )
        assert ledger.publications(tx, [("a", "d1")])["a", "d1"] == [
            (41, 52, 1, 7),
            (52, None, 3, 4),
        ]
        dropped = {"node": "a", "partition": "d1", "state": "dropped"}
        add(
            tx,
            "quarantine",
            dropped | {"epoch": 2, "n": 5, "decided_at": 71, "decided": "test data"},
            dropped | {"n": 6, "decided_at": 72},
            dropped | {"n": 7},
            dropped | {"n": 8, "state": "held", "decided_at": 74},
            dropped | {"n": 9, "partition": "d2", "decided_at": 75},
        )
        assert ledger.dropped(tx, [("a", "d1"), ("a", "d0")]) == {
            (("a", "d1"), 2, 5): (71, "test data"),
            (("a", "d1"), 1, 6): (72, "dropped"),
        }


def test_arrivals_of_an_interval(store: Store) -> None:
    """Would catch: a delivery that was observed before it arrived, or an order by number."""
    with store.write(None) as tx:
        for number, key, arrived, observed, claimed in (
            (1, "d1", 50, 55, 45),
            (2, "d1", 40, 35, 30),
            (3, "d2", 10, 10, 10),
            (4, "d1", 40, 47, 31),
        ):
            row = {"id": number, "source": "s", "partition": key, "arrived_at": arrived}
            add(tx, "delivery", row | {"observed_at": observed, "claimed_at": claimed})
        assert ledger.arrivals(tx, [("s", "d1")])["s", "d1"] == [
            (2, 40, 40, 30),
            (4, 40, 47, 31),
            (1, 50, 55, 45),
        ]


def test_at_most_200_rows_of_a_partition_are_read(store: Store) -> None:
    with store.write(None) as tx:
        row = {"source": "s", "partition": "d1"}
        add(tx, "delivery", *(row | {"arrived_at": n} for n in range(201)))
        assert [item[1] for item in ledger.arrivals(tx, [("s", "d1")])["s", "d1"]] == [*range(200)]


def test_since_when_a_source_is_observed_at_its_place(store: Store) -> None:
    """Would catch: a delay that is explained by observations of another place."""
    with store.write(None) as tx:
        for at, place in ((10, ""), (20, "old"), (30, ""), (40, "new"), (50, "new"), (60, "third")):
            add(tx, "look", {"at": at, "place": place})
        add(tx, "look", {"source": "t", "at": 45, "place": "elsewhere"})
        for at in (9, 10, 20, 30, 40, 59, 60):
            add(tx, "delivery", {"id": at, "source": "s", "partition": str(at), "observed_at": at})

        def placed(*times: int) -> list[int | None]:
            records = StoreRecords(tx, 99)
            return [records.arrivals("s", str(at))[0].placed_us for at in times]

        assert placed(9, 10, 20, 30, 40, 59, 60) == [None] * 4 + [30, 30, 60]
        add(tx, "version", *({"applied_at": at} for at in (20, 26, 28, 51)))
        assert placed(59, 60) == [26, 51]


def test_observations_up_to_a_time(store: Store) -> None:
    with store.write(None) as tx:
        for at, error in ((30, None), (10, "503"), (20, None), (31, "504")):
            add(tx, "look", {"at": at, "error": error})
        add(tx, "look", {"source": "t", "at": 15})
        assert ledger.observations(tx, ["s"], 30)["s"] == [
            (10, "503", ""),
            (20, None, ""),
            (30, None, ""),
        ]


def test_when_a_version_was_applied(store: Store) -> None:
    with store.write(None) as tx:
        add(tx, "version", {"id": 1, "applied_at": 71}, {"id": 2, "applied_at": 72})
        assert [ledger.applied_at(tx, number) for number in (1, 2, 3)] == [71, 72, None]


# Incidents
# --------------------------------------------------------------------------------------------------


def test_incidents_at_a_partition(store: Store) -> None:
    """Would catch: an incident of the whole node that looks as if it was seen at the partition, or
    the time at which it was resolved in place of the one at which it ended."""
    with store.write(None) as tx:
        texts = {"kind": "late", "summary": "a is late", "owner": "ann"}
        add(
            tx,
            "incident",
            texts | {"id": 1, "node": "a", "partition": "d1", "began_at": 21, "resolved_at": 31},
            texts | {"id": 2, "node": "s", "began_at": 22, "restored_at": 32, "resolved_at": 42},
            texts | {"id": 3, "node": "t", "began_at": 23},
            texts | {"id": 4, "node": "u", "began_at": 24},
            texts | {"id": 5, "node": "a", "partition": "d2", "began_at": 25},
            texts | {"id": 6, "node": "v", "began_at": 26},
        )
        seen = {"at": 1}
        add(
            tx,
            "incident_partition",
            seen | {"incident_id": 2, "node": "a", "partition": ""},
            seen | {"incident_id": 2, "node": "s", "partition": "d1"},
            seen | {"incident_id": 3, "node": "a", "partition": "d1"},
            seen | {"incident_id": 6, "node": "a", "partition": "d3"},
        )
        add(
            tx,
            "symptom",
            seen | {"incident_id": 4, "node": "a", "partition": "d1", "what": "late"},
        )
        first = IncidentRecord(1, "a", "late", "a is late", "ann", 21, 31, 0)
        second = IncidentRecord(2, "s", "late", "a is late", "ann", 22, 32, 2)
        assert ledger.incidents_at(tx, [("a", "d1"), ("a", "d2"), ("a", "d9")]) == {
            ("a", "d1"): {1: False, 2: True, 3: False, 4: False},
            ("a", "d2"): {2: True, 5: False},
            ("a", "d9"): {2: True},
        }
        listed = ledger.incidents(tx, [1, 2, 3, 9])
        assert (listed[1], listed[2], listed[3].places, list(listed)) == (
            first,
            second,
            1,
            [1, 2, 3],
        )


def test_attempts_that_an_incident_explains(store: Store) -> None:
    """Would catch: evidence that held nothing back, or of another partition, as an explanation."""
    with store.write(None) as tx:
        add(tx, "incident", {"id": 1}, {"id": 2}, {"id": 3})
        add(
            tx,
            "evidence",
            {"id": "e1", "incident_id": 1, "attempt": "3.17"},
            {"id": "e2", "incident_id": 1, "attempt": "3.17"},
            {"id": "e3", "incident_id": 1, "attempt": "4.18", "partition": ""},
            {"id": "e4", "incident_id": 1, "attempt": "3.19", "held": 0},
            {"id": "e5", "incident_id": 1, "attempt": "3.20", "partition": "d2"},
            {"id": "e6", "incident_id": 1},
            {"id": "e7", "incident_id": 2, "attempt": "3.21"},
            {"id": "e8", "incident_id": 3, "attempt": "3.22"},
        )
        explained = ledger.explained(tx, [("a", "d1")], [1, 2, 9])
        assert sorted(explained) == [
            (1, ("a", ""), (4, 18)),
            (1, ("a", "d1"), (3, 17)),
            (2, ("a", "d1"), (3, 21)),
        ]


def test_backfills_that_await_an_approval(store: Store) -> None:
    with store.write(None) as tx:
        waits = {"state": "awaiting_approval"}
        add(
            tx,
            "plan",
            waits | {"id": 7, "created_at": 70, "content": b"\x07"},
            waits | {"id": 4, "created_at": 90, "needs": "policy", "content": b"\x04"},
            {"id": 5},
        )
        assert ledger.awaiting(tx) == [(4, 90, "policy", b"\x04"), (7, 70, "", b"\x07")]


# Obligations and reads
# --------------------------------------------------------------------------------------------------


def test_obligations_and_their_frozen_ledgers(store: Store) -> None:
    """Would catch: a ledger that is frozen while it can still change, or twice."""
    with store.write(None) as tx:
        add(tx, "promise", {"id": 1, "terms": '{"reads": ["a", "b"], "due": "07:00"}'})
        for interval, due, met, waived in (
            ("d1", 52, 53, None),
            ("d2", 50, None, 54),
            ("d3", 51, None, None),
            ("d4", 50, 49, None),
            ("d5", 59, 60, None),
            ("d6", 60, 50, None),
            ("d7", 59, 59, 99),
        ):
            row = {"interval": interval, "due_at": due, "met_at": met, "waived_at": waived}
            add(tx, "obligation", row)
        add(tx, "obligation", {"consumer": "x", "interval": "d1", "due_at": 1, "met_at": 1})
        assert ledger.obligations(tx, "c", ["d7", "d2", "d9"]) == {
            "d7": (59, 99, 59, ("a", "b")),
            "d2": (None, 54, 50, ("a", "b")),
            "d9": (None, None, None, None),
        }
        settled = ["d2", "d4", "d1", "d7"]
        assert ledger.to_freeze(tx, "c", 60, 9) == settled
        assert ledger.to_freeze(tx, "c", 60, 2) == settled[:2]
        ledger.freeze(tx, [("c", "d2", "{2}", "h2", 90), ("x", "d4", "{4}", "h4", 90)])
        assert ledger.to_freeze(tx, "c", 60, 9) == settled[1:]
        assert ledger.frozen(tx, "c", ["d2", "d4"]) == {"d2": ("{2}", "h2")}


def test_reads_around_a_time(store: Store) -> None:
    """Would catch: an export that counts as somebody's read, the last of several nodes' reads in
    place of the first one since then."""
    with store.write(None) as tx:
        assert ledger.read_between(tx, ["a", "b"], 50) == (None, None)
        given: dict[str, Any] = {"reads": 1}
        for node, reader, via, at in (
            ("a", "ann", "sql", 50),
            ("a", "bob", "sql", 60),
            ("a", "cy", "read", 49),
            ("b", "ann", "sql", 55),
            ("b", "bob", "sql", 30),
            ("b", "bi", "export", 51),
            ("b", "bi2", "export", 48),
            ("c", "ann", "sql", 49),
        ):
            row = {"node": node, "reader": reader, "via": via, "day": "2026-03-01"}
            add(tx, "usage", given | row | {"last_at": at})
        assert ledger.read_between(tx, ["a", "b"], 50) == (50, 49)
        assert ledger.read_between(tx, ["b"], 50) == (55, 30)
        assert ledger.read_between(tx, ["c", "b"], 56) == (None, 55)
        assert ledger.read_between(tx, ["d"], 50) == (None, None)


# Approvals of acts
# --------------------------------------------------------------------------------------------------


def _request(tx: Transaction, number: int, **fields: Any) -> None:
    row = {
        "id": number,
        "kind": "release",
        "plan_id": f"p-{number}",
        "actor": "ann",
        "reason": "r",
        "command": f"headrace release {number}",
        "needs": "{}",
        "created_at": number * 10,
        "spans": '[["a","d1","d1"]]',
    } | fields
    names = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    tx.execute(f"insert into approval_request ({names}) values ({places})", row)


def test_approvals_of_acts_are_those_that_partitions_wait_for(store: Store) -> None:
    """Would catch: an approval that nothing waits for, answers of another one or in any order, and
    a request that was asked for again, or that another version has ended, without that time."""
    with store.write(None) as tx:
        add(tx, "version", {"id": 1, "applied_at": 5}, {"id": 2, "applied_at": 77})
        _request(tx, 1, version=2, used_at=90)
        _request(tx, 2, spans="[]")
        _request(tx, 3, version=1, command="headrace release x")
        _request(tx, 4, version=1, command="headrace release x")
        _request(tx, 5, version=2, kind="apply")
        for number, request, answer in ((1, 3, "approved"), (2, 1, "rejected"), (3, 1, "approved")):
            tx.execute(
                "insert into approval_answer (id, request_id, answer, actor, reason, answered_at)"
                " values (:id, :request, :answer, 'bob', 'r', :at)",
                {"id": number, "request": request, "answer": answer, "at": number},
            )
        records = ledger.act_approvals(tx)
    assert [record.id for record in records] == [5, 4, 3, 1]
    assert records[3] == ActRecord(
        id=1,
        kind="release",
        created_at=10,
        used_at=90,
        needs="{}",
        spans='[["a","d1","d1"]]',
        replaced_at=None,
        answers=[("rejected", "bob", "[]", 2), ("approved", "bob", "[]", 3)],
    )
    assert [record.replaced_at for record in records] == [None, 77, 40, None]
