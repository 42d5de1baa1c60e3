"""Deliveries as they are recorded, waited for and settled, and how their attempts ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from table_rows import add

from headrace.store import Store, Transaction
from headrace.store.queries import ingestion
from headrace.store.queries.ingestion import DeliveryRecord, LastEnded, RecordedDelivery


def delivered(source: str, partition: str, path: str, **changes: Any) -> DeliveryRecord:
    record = DeliveryRecord(source, partition, path, 11, 12, 13, 14, 15)
    return msgspec.structs.replace(record, **changes)


# Deliveries
# --------------------------------------------------------------------------------------------------


def test_a_delivery_supersedes_one_that_waits(store: Store) -> None:
    """Would catch: an interval that is ingested twice, or another source's delivery superseded."""
    given = delivered(
        "s", "d1", "new.csv", version="v2", parts='["a"]', bundle="b.zip", received='{"by": "ann"}'
    )
    with store.write(None) as tx:
        first = [delivered("s", "d2", "d2.csv"), delivered("s", "d1", "old.csv")]
        ingestion.record_deliveries(tx, [*first, delivered("t", "d1", "t.csv")])
        ingestion.record_deliveries(tx, [given])
        assert ingestion.newest_delivery(tx, "s", "d1") == RecordedDelivery(
            4, "d1", "new.csv", 11, 12, "v2", '["a"]', "b.zip", None
        )
        assert ingestion.newest_delivery(tx, "s", "d3") is None
        rows = tx.execute(
            "select claimed_at, observed_at, arrived_at, received from delivery where id = 4"
        ).fetchall()
        assert [tuple(row) for row in rows] == [(13, 14, 15, '{"by": "ann"}')]
        states = tx.execute("select state from delivery order by id").fetchall()
        assert [state for (state,) in states] == ["waiting", "superseded", "waiting", "waiting"]
        assert ingestion.waiting_deliveries(tx) == [
            ("s", "d2", ""),
            ("t", "d1", ""),
            ("s", "d1", "b.zip"),
        ]
        assert ingestion.waiting_since(tx)["s", "d1"] == 14
        assert ("s", "d3") not in ingestion.waiting_since(tx)


def test_what_is_known_of_a_sources_files(store: Store) -> None:
    """Would catch: a file whose older size is compared, so that it is ingested again and again; one
    of an earlier partitioning; a position that goes back to the beginning."""
    with store.write(None) as tx:
        add(
            tx,
            "delivery",
            {"id": 1, "source": "s", "partition": "d1", "path": "a", "size_bytes": 21},
            {"id": 2, "source": "s", "partition": "d2", "path": "b", "version": "v2"},
            {"id": 3, "source": "t", "partition": "d9", "path": "a"},
            {"id": 4, "source": "s", "partition": "d0", "path": "c", "state": "recut"},
            {
                "id": 5,
                "source": "s",
                "partition": "d1",
                "path": "a",
                "size_bytes": 25,
                "modified_us": 35,
                "version": "v5",
                "observed_at": 45,
            },
            {"id": 6, "source": "t", "partition": "d8", "path": "a"},
        )
        assert ingestion.known_files(tx, "s") == ({"a": (25, 35), "b": (1, 1)}, 5)
        assert ingestion.known_files(tx, "s", after=2) == ({"a": (25, 35)}, 5)
        assert ingestion.known_files(tx, "s", after=1)[0].keys() == {"a", "b"}
        assert ingestion.known_files(tx, "s", after=5) == ({}, 5)
        assert ingestion.known_versions(tx, "s") == {
            "d1": ("a", "v5", 45),
            "d2": ("b", "v2", 1),
            "*": ("a", "v5", 45),
        }
        assert ingestion.known_versions(tx, "u") == {}
        assert ingestion.oldest_deliveries(tx, ["s", "u"]) == {"s": "d1", "u": None}


def test_the_next_key_of_a_source_with_a_partition_per_delivery(store: Store) -> None:
    """Would catch: a number that an earlier partitioning has used up, or one given twice."""
    with store.write(None) as tx:
        assert ingestion.next_delivery_key(tx, "s") == "000000000001"
        row = {"source": "s"}
        add(
            tx, "delivery", row | {"partition": "000000000041"}, row | {"partition": "000000000009"}
        )
        add(tx, "delivery", row | {"partition": "000000000077", "state": "recut"})
        assert ingestion.next_delivery_key(tx, "s") == "000000000042"


def test_deliveries_that_may_be_read_again(store: Store) -> None:
    """Would catch: a delivery that is read again before its time, one with change detection, one
    that a newer delivery has replaced."""
    with store.write(None) as tx:
        for key, state, at, version in (
            ("d1", "failed", 50, "v"),
            ("d2", "failed", 51, ""),
            ("d3", "rejected", 30, ""),
            ("d4", "rejected", 31, ""),
            ("d5", "rejected", 30, "v"),
            ("d6", "failed", 1, ""),
            ("d6", "published", 2, ""),
            ("d7", "held", 1, ""),
        ):
            row = {"source": "s", "partition": key, "state": state}
            add(tx, "delivery", row | {"observed_at": at, "version": version})
        add(tx, "delivery", {"source": "t", "partition": "d1", "state": "failed"})
        keys = ingestion.given_up(tx, "s", failed_by=50, rejected_by=30)
        assert sorted(keys) == ["d1", "d3"]


def test_deliveries_of_shared_files(store: Store) -> None:
    """Would catch: a file that is ingested for partitions which a newer file has replaced."""
    with store.write(None) as tx:
        for number, (source, key, bundle) in enumerate(
            (
                ("s", "d1", "a.zip"),
                ("s", "d2", "a.zip"),
                ("s", "d3", "a.zip"),
                ("s", "d4", "a.zip"),
                ("s", "d2", "b.zip"),
                ("s", "d1", "b.zip"),
                ("s", "d3", ""),
                ("t", "d4", "c.zip"),
                ("s", "d4", "a.zip"),
            ),
            start=1,
        ):
            add(
                tx, "delivery", {"id": number, "source": source, "partition": key, "bundle": bundle}
            )
        assert ingestion.bundled(tx, "s", "a.zip", ["d1", "d4", "d9"]) == {"d1": 1, "d4": 9}
        assert ingestion.bundled(tx, "t", "a.zip", ["d1"]) == {}
        assert ingestion.newest_bundles(tx, "s") == {
            "d1": "b.zip",
            "d2": "b.zip",
            "d4": "a.zip",
        }
        assert ingestion.replaced_in(tx, "s", "a.zip") == ["d1", "d2", "d3"]
        assert ingestion.replaced_in(tx, "s", "b.zip") == []


def test_a_sample_of_waiting_deliveries(store: Store) -> None:
    """Would catch: a sample from the beginning only, one larger than its limit, the delivery itself
    as an example of others."""
    with store.write(None) as tx:
        for number in range(1, 9):
            add(tx, "delivery", {"id": number, "source": "s", "partition": f"d{number}"})
        add(tx, "delivery", {"id": 9, "source": "s", "partition": "d9", "state": "published"})
        add(tx, "delivery", {"id": 10, "source": "t", "partition": "d1"})

        def ids(limit: int) -> list[int]:
            return [item.id for item in ingestion.other_waiting(tx, "s", 2, limit)]

        assert ids(3) == [1, 4, 6]
        assert ids(2) == [1, 5]
        assert ids(7) == ids(8) == [1, 3, 4, 5, 6, 7, 8]
        assert ids(4) == [1, 3, 4, 5]
        first = RecordedDelivery(1, "d1", "f.csv", 1, 1, "", None, "", None)
        assert ingestion.other_waiting(tx, "s", 2, 1) == [first]


def test_the_outcome_of_deliveries(store: Store) -> None:
    """Would catch: a hash that a later outcome without one deletes, an observed size that is
    overwritten, and a version that only the bytes told and that a later outcome deletes."""
    with store.write(None) as tx:
        row = {"source": "s", "partition": "d1", "version": "asked"}
        add(tx, "delivery", row | {"id": 1, "size_bytes": -1}, row | {"id": 2, "size_bytes": 20})
        ingestion.settle_deliveries(
            tx,
            [
                ("failed", "bad", "aa", "told", "bb", 31, 1),
                ("published", None, "cc", None, None, 32, 2),
            ],
        )
        ingestion.settle_deliveries(tx, [("held", None, None, None, None, 33, 1)])
        rows = tx.execute(
            "select state, reason, sha256, version, fingerprint, size_bytes from delivery order by"
            " id"
        ).fetchall()
        assert [tuple(values) for values in rows] == [
            ("held", None, "aa", "told", "bb", 31),
            ("published", None, "cc", "asked", None, 20),
        ]
        assert ingestion.newest_state(tx, "s") == "published"
        assert ingestion.newest_state(tx, "nobody") is None


def test_sizes_of_other_deliveries(store: Store) -> None:
    """Would catch: a size that isn't known, or one of a delivery that couldn't be read, as the
    largest that could; a file that is compared with itself."""
    with store.write(None) as tx:
        assert ingestion.sizes_read(tx, "s", 1) == (0, 0)
        for number, (state, size) in enumerate(
            (
                ("published", 500),
                ("published", 10),
                ("held", 30),
                ("published", -1),
                ("failed", 90),
                ("waiting", 70),
                ("published", 0),
            ),
            start=1,
        ):
            row = {"id": number, "source": "s", "partition": "d1", "path": f"{number}.csv"}
            add(tx, "delivery", row | {"state": state, "size_bytes": size})
        assert ingestion.sizes_read(tx, "s", 1) == (3, 30)
        assert ingestion.as_large_elsewhere(tx, "s", "1.csv", 90)
        assert not ingestion.as_large_elsewhere(tx, "s", "1.csv", 91)
        assert ingestion.as_large_elsewhere(tx, "s", "5.csv", 70)
        assert not ingestion.as_large_elsewhere(tx, "s", "5.csv", 71)
        assert not ingestion.as_large_elsewhere(tx, "t", "5.csv", 1)


# Attempts at deliveries
# --------------------------------------------------------------------------------------------------


def _attempts(tx: Transaction, *rows: dict[str, Any]) -> None:
    add(tx, "run", {"id": 1})
    for number in (1, 2, 3):
        add(tx, "delivery", {"id": number, "source": "s", "partition": "d1"})
    add(tx, "attempt", *({"delivery_id": 1} | row for row in rows))


def test_deaths_of_workers_since_a_deliverys_last_outcome(store: Store) -> None:
    """Would catch: a delivery that is given up because of ends which its own data didn't cause, or
    of those before it could be read."""
    exited = "its worker exited with code 3"
    with store.write(None) as tx:
        _attempts(
            tx,
            {"n": 1, "state": "lost", "reason": exited},
            {"n": 2, "state": "lost", "reason": "its worker was ended by SIGKILL"},
            {"n": 3, "state": "lost", "reason": "its worker was ended after its time-out"},
            {"n": 4, "state": "lost", "reason": "the leader ended while it ran"},
            {"n": 5, "state": "cancelled"},
            {"n": 6, "state": "running"},
            {"n": 7, "state": "lost", "reason": exited, "delivery_id": 2},
            {"n": 8, "state": "failed", "delivery_id": 3},
        )
        by_signal = "was ended by SIGKILL"
        assert ingestion.worker_deaths(tx, 1) == ["exited with code 3", by_signal]
        assert ingestion.worker_deaths(tx, 3) == []
        add(tx, "attempt", {"n": 9, "state": "failed", "delivery_id": 1})
        assert ingestion.worker_deaths(tx, 1) == []
        row = {"n": 2, "epoch": 2, "state": "lost", "delivery_id": 1}
        add(tx, "attempt", row | {"reason": "its worker exited with code 4"})
        assert ingestion.worker_deaths(tx, 1) == ["exited with code 4"]


def test_the_last_outcome_of_a_delivery(store: Store) -> None:
    """Would catch: an attempt without an outcome, or an older one, that decides what is done
    next."""
    with store.write(None) as tx:
        _attempts(
            tx,
            {"n": 9, "state": "failed", "error": '{"code": "x"}', "reason": "bad"},
            {"epoch": 2, "n": 3, "state": "cancelled"},
            {"epoch": 2, "n": 2, "state": "lost"},
            {"epoch": 2, "n": 4, "state": "queued"},
            {"n": 10, "state": "skipped", "delivery_id": 2},
        )
        assert ingestion.last_ended(tx, 1) == LastEnded("lost", "", {})
        tx.execute("delete from attempt where state = 'lost'")
        assert ingestion.last_ended(tx, 1) == LastEnded("failed", "bad", {"code": "x"})
        assert ingestion.last_ended(tx, 2) is None


def test_failures_in_a_row(store: Store) -> None:
    """Would catch: failures before a success, or with another code, in the number that delays the
    next try."""
    failed = {"state": "failed", "error": '{"code": "x"}'}
    with store.write(None) as tx:
        _attempts(
            tx,
            failed | {"n": 1},
            {"n": 2, "state": "published"},
            failed | {"n": 3},
            failed | {"n": 4},
            {"n": 5, "state": "cancelled"},
            {"n": 6, "state": "failed", "error": '{"code": "y"}', "delivery_id": 2},
            {"n": 7, "state": "lost", "error": '{"code": "x"}', "delivery_id": 3},
        )
        assert ingestion.failures_in_a_row(tx, 1, "x") == 2
        assert ingestion.failures_in_a_row(tx, 1, "y") == 0
        assert [ingestion.failures_in_a_row(tx, n, "x") for n in (2, 3)] == [0, 0]
        assert ingestion.failures_in_a_row(tx, 2, "y") == 1
        add(tx, "attempt", *(failed | {"n": n, "delivery_id": 1} for n in range(11, 21)))
        assert ingestion.failures_in_a_row(tx, 1, "x") == 10


# Observations and schemas
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (None, None, "read"),
        ("503", "source_unavailable", "failed"),
        ("503", None, "failed"),
        ("429", "source_throttled", "throttled"),
        ("429", "throttled_too_long", "throttled"),
    ],
)
def test_outcomes_of_observations(error: str | None, code: str | None, outcome: str) -> None:
    assert ingestion.observation_outcome(error, code) == outcome


def test_where_a_source_was_observed_last(store: Store) -> None:
    """Would catch: an observation at an earlier place that counts as one of the present place."""
    with store.write(None) as tx:
        assert ingestion.last_place(tx, "s") == ingestion.last_place_read(tx, "s") == ""
        assert ingestion.last_observation(tx, "s", "here") is None
        ingestion.record_observation(tx, "s", 10, 4, None, place="here")
        ingestion.record_observation(tx, "s", 20, 0, "404", "not_found", "there")
        ingestion.record_observation(tx, "t", 30, 0, None, place="elsewhere")
        assert ingestion.last_place(tx, "s") == "there"
        assert ingestion.last_place_read(tx, "s") == "here"
        assert ingestion.last_observation(tx, "s", "here") == 10
        assert ingestion.last_observation(tx, "s", "there") == 20
        ingestion.record_observation(tx, "s", 15, 0, None)
        assert ingestion.last_observation(tx, "s", "here") == 15
        ingestion.record_observation(tx, "s", 20, 7, None, None, "again")
        rows = tx.execute("select found, error, code, place from look where at = 20").fetchall()
        assert [tuple(row) for row in rows] == [(7, None, None, "again")]


def test_sources_that_fail_now(store: Store) -> None:
    """Would catch: a source that has recovered, failures of an earlier outage in the present one, a
    pause that continues an outage."""
    with store.write(None) as tx:
        for source, at, error, code in (
            ("a", 10, "503", None),
            ("a", 20, None, None),
            ("a", 35, "504", "source_unavailable"),
            ("a", 55, "505", None),
            ("b", 10, "503", None),
            ("b", 20, None, None),
            ("c", 10, "503", None),
            ("c", 25, "429", "source_throttled"),
            ("d", 40, "503", "source_unavailable"),
            ("e", 40, None, None),
        ):
            ingestion.record_observation(tx, source, at, 0, error, code)
        assert ingestion.failing_source(tx, "a") == ingestion.Failing(
            "a", at=55, error="505", code=None, since=35, times=2, gap=20
        )
        assert sorted(ingestion.failing_sources(tx), key=lambda item: item.source)[1:] == [
            ingestion.Failing("c", 25, "429", "source_throttled", 25, 1, 15),
            ingestion.Failing("d", 40, "503", "source_unavailable", 40, 1, None),
        ]
        assert [ingestion.failing_source(tx, name) for name in ("b", "e", "f")] == [None] * 3


def test_sources_that_wait_for_the_end_of_a_pause(store: Store) -> None:
    """Would catch: a source that waits for another reason, or whose pause is over."""
    throttled = '{"kind": "throttled"}'
    with store.write(None) as tx:
        add(tx, "run", {"id": 1})
        for node, key, not_before, since, failures in (
            ("c", "d1", 101, 9, 0),
            ("c", "d2", 101, 7, 0),
            ("c", "d3", 100, 1, 0),
            ("b", "d1", 101, 3, 0),
            ("d", "d1", 100, 3, 0),
            ("e", "d1", 101, 3, 1),
            ("f", "d1", 101, 3, 0),
            ("a", "d1", 101, 4, 0),
        ):
            row = {"node": node, "partition": key, "state": "waiting", "since": since}
            add(tx, "partition", row | {"not_before": not_before, "failures": failures})
        for n, (node, error) in enumerate(
            (
                ("c", throttled),
                ("b", '{"kind": "unavailable"}'),
                ("d", throttled),
                ("e", throttled),
                ("a", throttled),
            )
        ):
            row = {"n": n, "node": node, "state": "failed", "finished_at": 9}
            add(tx, "attempt", row | {"error": error})
        add(tx, "attempt", {"n": 10, "node": "b", "error": "{}", "finished_at": 9})
        assert ingestion.throttled_sources(tx, 100) == [("a", 4), ("c", 7)]
        add(tx, "attempt", {"n": 11, "node": "a", "finished_at": 9})
        assert ingestion.throttled_sources(tx, 100) == [("c", 7)]


def test_loaded_intervals(store: Store) -> None:
    """Would catch: an interval that is known and not loaded in the number of the loaded ones."""
    with store.write(None) as tx:
        assert ingestion.loaded_intervals(tx, "s") == (0, 0, None)
        for key, publication in (("d3", 1), ("d2", None), ("d1", None), ("d4", 2), ("d5", None)):
            row = {"node": "s", "partition": key, "state": "waiting"}
            add(tx, "partition", row | {"publication_id": publication})
        assert ingestion.loaded_intervals(tx, "s") == (2, 5, "d1")


def test_a_pinned_schema_is_replaced_and_deleted(store: Store) -> None:
    with store.write(None) as tx:
        assert ingestion.pinned_schema(tx, "s") is None
        for source, schema, at in (("s", "[1]", 1), ("t", "[2]", 2), ("u", "[3]", 3)):
            ingestion.pin_schema(tx, source, schema, at)
        ingestion.pin_schema(tx, "s", "[4]", 40)
        rows = tx.execute("select source, pinned_at from source_schema order by 1").fetchall()
        assert [tuple(row) for row in rows] == [("s", 40), ("t", 2), ("u", 3)]
        ingestion.unpin(tx, ["t", "u", "never"])
        pinned = [ingestion.pinned_schema(tx, source) for source in ("s", "t", "u")]
        assert pinned == ["[4]", None, None]
