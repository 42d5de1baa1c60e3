"""Quarantine: what waits, what was decided, and what is held only for its row count."""

from __future__ import annotations

import msgspec
from written_rows import attempt, check, delivery, partition, published, quarantined, run

from headrace.store import Store, Transaction
from headrace.store.queries import partition_states, quality, quarantine
from headrace.store.queries.quality import FactRow
from headrace.store.queries.quarantine import (
    HeldForRows,
    Quarantined,
    QuarantinedPartition,
    QuarantineTotals,
)

SAMPLE = ({"id": 1}, {"id": 2})


def _fill(tx: Transaction) -> None:
    """Two intervals of `a` wait, one of `b`; a third of `a` was dropped."""
    quarantined(tx, 1, "a", "d2", "rejected", delivery_id=5)
    quarantined(
        tx,
        2,
        "a",
        "d1",
        path="p/x",
        sample=msgspec.json.encode(SAMPLE).decode(),
        delivery_id=6,
        at=44,
    )
    quarantined(tx, 2, "b", "d1", rows=None)
    quarantined(tx, 3, "a", "d3", rows=1000, delivery_id=7)
    quarantine.decide(tx, [4], "dropped", 50, "ann: test rows")


HELD = Quarantined(2, "a", "d1", 1, 2, "held", "reason 2", "p/x", 20, SAMPLE, 6, 44)


def test_waiting_data_is_listed_by_node_and_partition(store: Store) -> None:
    """Would catch: decided data that still waits; a filter that is left out; a sample as text."""
    with store.write(None) as tx:
        _fill(tx)
        assert [item.id for item in quarantine.waiting(tx)] == [2, 1, 3]
        assert quarantine.waiting(tx, node="a", partition="d1") == [HELD]
        assert [item.id for item in quarantine.waiting(tx, node="a")] == [2, 1]
        assert [item.id for item in quarantine.waiting(tx, partition="d1")] == [2, 3]
        assert [item.id for item in quarantine.waiting(tx, limit=1)] == [2]
        assert [item.id for item in quarantine.of_attempt(tx, 1, 2)] == [2, 3]
        assert quarantine.of_attempt(tx, 1, 3) == []
        assert quarantine.nodes(tx) == {"a", "b"}


def test_totals_are_of_what_waits(store: Store) -> None:
    """Would catch: the rows of dropped data; rejected and held data under one number; nodes that
    nobody can decide about."""
    with store.write(None) as tx:
        _fill(tx)
        assert quarantine.by_node(tx) == {"a": (2, 30, 1), "b": (1, 0, 0)}
        assert quarantine.totals(tx, lambda name: name) == QuarantineTotals(2, 3, 30)
        assert quarantine.totals(tx, lambda name: None if name == "a" else 1) == (
            QuarantineTotals(0, 1, 0)
        )


def test_at_most_1000_are_listed(store: Store) -> None:
    """Would catch: a page that lists all that a broken source brought in a year."""
    with store.write(None) as tx:
        tx.executemany(
            "insert into quarantine (node, partition, epoch, n, state, reason, at) values ('a', ?,"
            " 1, 1, 'held', '', 1)",
            [(f"d{number:04}",) for number in range(1001)],
        )
        assert [item.partition for item in quarantine.waiting(tx)] == [
            f"d{number:04}" for number in range(1000)
        ]


def test_a_decision_is_about_what_waits(store: Store) -> None:
    """Would catch: a decision that is overwritten by a later one; one without its author or time."""
    with store.write(None) as tx:
        _fill(tx)
        quarantine.decide(tx, [2, 4], "released", 60, "bob: fine")
        decided = tx.execute("select id, state, decided_at, decided from quarantine order by id")
        assert decided.fetchall()[1::2] == [
            (2, "released", 60, "bob: fine"),
            (4, "dropped", 50, "ann: test rows"),
        ]
        assert quarantine.get(tx, 2) == msgspec.structs.replace(HELD, state="released")
        assert quarantine.get(tx, 9) is None


def test_a_drop_counts_until_newer_data_comes(store: Store) -> None:
    """Would catch: the time of arrival as the time of the drop; an interval whose next delivery is
    there and that still counts as dropped; a drop of computed data that is no drop."""
    with store.write(None) as tx:
        _fill(tx)
        partition(tx, "a", "d3", "held")
        dropped = quarantine.dropped(tx, "a", "d3")
        assert dropped is not None and (dropped.id, dropped.at) == (4, 50)
        assert quarantine.dropped(tx, "a", "d1") is None
        assert quarantine.dropped(tx, "a", "d9") is None
        quarantined(tx, 4, "b", "d4")
        partition(tx, "b", "d4", "held")
        quarantine.decide(tx, [5], "dropped", 51)
        quarantined(tx, 5, "c", "d1", delivery_id=8)
        partition(tx, "c", "d1", "rejected")
        quarantine.decide(tx, [6], "dropped", 52)
        assert sorted(quarantine.dropped_partitions(tx)) == [
            ("a", "d3"),
            ("b", "d4"),
            ("c", "d1"),
        ]
        assert ("c", "d1") in quarantine.dropped_partitions(tx)
        quarantined(tx, 6, "c", "d1", delivery_id=9)
        assert ("c", "d1") not in quarantine.dropped_partitions(tx)
        assert quarantine.dropped(tx, "c", "d1") is None


def test_a_withheld_outcome_is_of_one_attempt(store: Store) -> None:
    """Would catch: another attempt's staged data published."""
    with store.write(None) as tx:
        quarantine.withhold(tx, [(1, 2, b"first"), (2, 1, b"second")])
        assert quarantine.withheld(tx, 1, 2) == b"first"
        assert quarantine.withheld(tx, 2, 1) == b"second"
        assert quarantine.withheld(tx, 2, 2) is None


def test_rows_of_an_attempt_are_of_all_its_partitions(store: Store) -> None:
    """Would catch: an unknown number of rows shown as 0; the rows of another node or attempt."""
    with store.write(None) as tx:
        quarantined(tx, 1, key="d1")
        quarantined(tx, 1, key="d2", rows=5)
        quarantined(tx, 2, key="d3", rows=None)
        quarantined(tx, 1, "b")
        assert quarantine.rows_of(tx, "a", 1, 1) == 15
        assert quarantine.rows_of(tx, "a", 1, 2) is None
        assert quarantine.rows_of(tx, "a", 2, 1) is None


def test_a_reason_is_set_where_readers_wait(store: Store) -> None:
    """Would catch: a published partition with a reason; a change that the next leader doesn't load;
    a reason at a delivery that was published."""
    with store.write(None) as tx:
        partition(tx, "a", "d1", "held")
        partition(tx, "a", "d2", "published")
        partition(tx, "a", "d3", "held")
        revision = partition_states.last_revision(tx)
        quarantine.say(tx, "a", "d1", "waits for ann")
        quarantine.say(tx, "a", "d2", "waits for ann")
        states = {row.partition: row.reason for row in partition_states.stored_states(tx)}
        assert states == {"d1": "waits for ann", "d2": "", "d3": ""}
        changed = [row.partition for row in partition_states.stored_states(tx, revision)]
        assert changed == ["d1"]
        for number, state in enumerate(("held", "rejected", "published", "held"), 1):
            delivery(tx, number, key=f"d{number}", state=state)
        quarantine.say_of_deliveries(tx, [1, 2, 3], "waits for bob")
        reasons = tx.execute("select reason from delivery order by id").fetchall()
        assert reasons == [("waits for bob",), ("waits for bob",), (None,), (None,)]


def _held(tx: Transaction, n: int, source: str, key: str, *kinds: tuple[str, str, str]) -> None:
    """A held delivery with facts of (kind, column, severity)."""
    quarantined(tx, n, source, key, delivery_id=n)
    quality.write_facts(
        tx,
        [
            FactRow(source, key, 1, n, n, kind, column, severity, "", "", "1", "", n)
            for kind, column, severity in kinds
        ],
    )


def test_deliveries_held_only_for_their_row_count_are_found(store: Store) -> None:
    """Would catch: a delivery that is held for something else too, or twice already, and is
    released without a word."""
    rows = ("volume_anomaly", "", "hold")
    with store.write(None) as tx:
        _held(tx, 1, "t", "d1", rows)
        _held(tx, 2, "s", "d2", rows, ("null_spike", "qty", "warn"))
        _held(tx, 3, "s", "d1", rows)
        _held(tx, 4, "u", "d1", rows, ("null_spike", "qty", "hold"))
        _held(tx, 5, "v", "d1", ("volume_anomaly", "qty", "hold"))
        _held(tx, 6, "w", "d1", ("volume_anomaly", "", "warn"))
        _held(tx, 7, "x", "d1", rows)
        quarantined(tx, 7, "x", "d1", delivery_id=7)
        _held(tx, 8, "y", "d1", rows)
        tx.execute("update quarantine set state = 'rejected' where node = 'y'")
        assert quarantine.held_for_rows(tx, {"d1", "d2"}) == [
            HeldForRows("s", "d1", 3),
            HeldForRows("s", "d2", 2),
            HeldForRows("t", "d1", 1),
        ]
        assert quarantine.held_for_rows(tx, {"d2"}) == [HeldForRows("s", "d2", 2)]


def test_a_held_delivery_is_compared_by_its_newest_metrics(store: Store) -> None:
    """Would catch: metrics of a delivery that was replaced or decided about."""
    with store.write(None) as tx:
        for n in (1, 2):
            quarantined(tx, n)
            quality.write_metrics(tx, [(1, n, "a", "d1", b"metrics %d" % n)])
        assert quarantine.measured_of_held(tx, "a", "d1") == b"metrics 2"
        assert quarantine.measured_of_held(tx, "a", "d2") is None
        quarantine.decide(tx, [2], "dropped", 1)
        assert quarantine.measured_of_held(tx, "a", "d1") is None


def test_a_delivery_is_ingested_again_on_request(store: Store) -> None:
    """Would catch: another delivery ingested again; an interval that is said to wait and doesn't."""
    with store.write(None) as tx:
        delivery(tx, 1)
        delivery(tx, 2, key="d2")
        assert not quarantine.is_delivery_awaited(tx, "s", "d1")
        quarantine.reingest(tx, 1)
        assert quarantine.is_delivery_awaited(tx, "s", "d1")
        assert not quarantine.is_delivery_awaited(tx, "s", "d2")
        assert not quarantine.is_delivery_awaited(tx, "t", "d1")


def test_what_a_check_of_another_node_rejected_is_found_again(store: Store) -> None:
    """Would catch: a rejected partition that stays rejected although the rows that it lacked are
    there; one that is tried again although no other node can help."""
    refused = {"outcome": "failed", "kind": "references"}
    with store.write(None) as tx:
        run(tx)
        for n, key, changes in (
            (1, "d2", refused),
            (2, "d1", refused | {"kind": "sql"}),
            (3, "d3", refused | {"kind": "unique"}),
            (4, "d4", refused | {"severity": "warning"}),
            (5, "d5", refused | {"outcome": "passed"}),
            (6, "d6", refused),
            (7, "d7", refused),
        ):
            attempt(tx, n, keys=[key], snapshot=n * 10)
            check(tx, n, key=key, name="known", **changes)
            quarantined(tx, n, key=key, state="rejected", delivery_id=n)
            partition(tx, "a", key, "rejected")
        quarantined(tx, 8, key="d6", state="rejected")  # its newest attempt failed otherwise
        partition(tx, "a", "d7", "waiting")
        second = QuarantinedPartition("a", "d1", 2, 20)
        assert quarantine.rejected_by_references(tx, "a") == [
            second,
            QuarantinedPartition("a", "d2", 1, 10),
        ]
        assert quarantine.rejected_by_references(tx, "b") == []
        published(tx, 20, "other")
        assert not quarantine.has_newer_rows(tx, "other", second)
        published(tx, 21, "other", identical=True)
        assert not quarantine.has_newer_rows(tx, "other", second)
        published(tx, 22, "other")
        assert quarantine.has_newer_rows(tx, "other", second)
        assert not quarantine.has_newer_rows(tx, "another", second)
