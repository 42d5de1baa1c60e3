"""Results of audits: check outcomes, drift, anomalies and published content."""

from __future__ import annotations

import msgspec
from written_rows import check, published, quarantined

from headrace.store import Store, Transaction
from headrace.store.queries import quality
from headrace.store.queries.quality import CheckOutcome, DriftRow, FactRow


def test_outcomes_of_checks_are_found_by_attempt_and_by_check(store: Store) -> None:
    """Would catch: outcomes of another attempt, node or check; the oldest instead of the newest; a
    view's checks searched under its own name, where none are."""
    with store.write(None) as tx:
        check(tx, 1, key="d2", name="b")
        check(tx, 1, key="d2", name="a")
        check(
            tx,
            1,
            key="d1",
            name="b",
            kind="range",
            severity="warning",
            outcome="failed",
            rows=9,
            failing=4,
            detail="4 rows",
            at=5,
        )
        check(tx, 2, key="d0", name="b", at=5)
        check(tx, 2, key="d3", name="b", at=6)
        check(tx, 3, "c", name="b", at=7)
        check(tx, 3, "c", name="a.b", at=8)
        check(tx, 4, "d", name="a.b", key="d2", at=8)
        outcomes = quality.checks_of_attempt(tx, 1, 1)
        assert [(item.partition, item.name) for item in outcomes] == [
            ("d1", "b"),
            ("d2", "a"),
            ("d2", "b"),
        ]
        assert outcomes[0] == CheckOutcome(
            1, 1, "a", "d1", "b", "range", "warning", "failed", 9, 4, "4 rows", 5
        )
        history = [(item.n, item.partition) for item in quality.check_history(tx, "a", "b")]
        assert history == [(2, "d3"), (1, "d1"), (2, "d0"), (1, "d2")]
        assert quality.outcomes_of_check(
            tx, "a", "b", view=False, limit=1
        ) == quality.check_history(tx, "a", "b", limit=1)
        of_view = quality.outcomes_of_check(tx, "a", "b", view=True, limit=9)
        assert [item.node for item in of_view] == ["d", "c"]
        assert len(quality.outcomes_of_check(tx, "a", "b", view=True, limit=1)) == 1


def test_at_most_100_outcomes_of_a_check_are_listed(store: Store) -> None:
    """Would catch: a page that lists all evaluations of years."""
    with store.write(None) as tx:
        for number in range(1, 102):
            check(tx, number)
        history = quality.check_history(tx, "a", "unique")
        assert [item.n for item in history] == list(range(101, 1, -1))


# Drift


def drifted(n: int, **changes: object) -> DriftRow:
    row = DriftRow(
        "s", "d1", 8, 1, n, "renamed", "qty", "amount", "0.9", "[]", "block", "[]", 50 + n, "{}"
    )
    return msgspec.structs.replace(row, **changes)


def test_drift_of_the_newest_delivery_is_shown(store: Store) -> None:
    """Would catch: changes of an earlier delivery, or of another interval; columns in exchange."""
    with store.write(None) as tx:
        first = drifted(1)
        second = drifted(2, partition="d2", column="old", delivery_id=None, measured=None)
        both = [second, msgspec.structs.replace(second, column="price", kind="dropped", to=None)]
        quality.write_drift(tx, [first, *both])
        assert quality.newest_drift(tx, "s") == both
        assert quality.newest_drift(tx, "s", "d1") == [first]
        assert quality.newest_drift(tx, "s", "d3") == []
        assert quality.newest_drift(tx, "t") == []


def test_a_delivery_waits_for_its_renames_until_they_are_accepted(store: Store) -> None:
    """Would catch: a delivery that was dropped, replaced or accepted and still waits."""
    with store.write(None) as tx:
        quality.write_drift(tx, [drifted(1), drifted(1, column="price")])
        assert not quality.renames_wait(tx, "s", "d1")
        quarantined(tx, 1, "s", "d1")
        assert quality.renames_wait(tx, "s", "d1")
        assert not quality.renames_wait(tx, "s", "d2")
        quality.accept_renames(tx, "s", ["d1", "d2"], ["qty"], by="ann", now=90)
        assert quality.renames_wait(tx, "s", "d1")
        quality.accept_renames(tx, "s", ["d1"], ["qty", "price"], by="bob", now=91)
        assert not quality.renames_wait(tx, "s", "d1")
        accepted = "select column_name, accepted_by, accepted_at from drift order by column_name"
        assert tx.execute(accepted).fetchall() == [("price", "bob", 91), ("qty", "ann", 90)]
        quality.write_drift(tx, [drifted(2)])
        quarantined(tx, 2, "s", "d1")
        assert quality.renames_wait(tx, "s", "d1")
        quality.write_drift(tx, [drifted(3, kind="added", policy="allow")])
        assert not quality.renames_wait(tx, "s", "d1")


def test_a_published_delivery_that_lacks_columns_is_known(store: Store) -> None:
    """Would catch: a rename that blocks, was accepted or is of a replaced delivery."""
    with store.write(None) as tx:
        published(tx, 1, "s")
        quality.write_drift(tx, [drifted(1)])
        assert not quality.renames_published(tx, "s", "d1")
        quality.write_drift(tx, [drifted(1, column="price", policy="warn")])
        assert quality.renames_published(tx, "s", "d1")
        assert not quality.renames_published(tx, "s", "d2")
        published(tx, 2, "s")
        assert not quality.renames_published(tx, "s", "d1")


# Anomalies


def fact(n: int, **changes: object) -> FactRow:
    row = FactRow(
        "a", "d1", 1, n, 8, "null_spike", "qty", "warn", "0.1 %", "9 %", "5.5", "why", 50 + n
    )
    return msgspec.structs.replace(row, **changes)


def test_anomalies_of_a_partition_are_of_all_its_attempts(store: Store) -> None:
    """Would catch: columns in exchange; anomalies of another partition; a question without numbers
    that fails."""
    with store.write(None) as tx:
        rows = [fact(2), fact(1, severity="hold"), fact(3, partition="d2"), fact(3, node="b")]
        quality.write_facts(tx, rows)
        assert quality.facts_of(tx, "a", "d1") == rows[:2]
        assert quality.facts(tx, [4, 1]) == [rows[0], rows[3]]
        assert quality.facts(tx, []) == []
        assert quality.facts(tx, [9]) == []


def _visible(tx: Transaction) -> None:
    published(tx, 1)
    published(tx, 2, partition="d2")
    published(tx, 3, partition="d3/EWR")
    published(tx, 4, "b", "d2")


def test_of_a_visible_column_the_least_probable_anomaly_is_shown(store: Store) -> None:
    """Would catch: the most probable one; a warning of a check; an anomaly of what was replaced or
    is held; strengths compared as text."""
    with store.write(None) as tx:
        published(tx, 9, "b", "d2")
        _visible(tx)
        quality.write_facts(
            tx,
            [
                fact(1, strength="9.5"),
                fact(1, strength="10.5", observed="12 %"),
                fact(1, strength="9.9"),
                fact(1, column="", kind="volume_anomaly", expected="7", observed="3"),
                fact(2, partition="d2", severity="hold"),
                fact(2, partition="d2", detail="check unique: 3 rows"),
                fact(2, partition="d2", kind="schema"),
                fact(9, node="b", partition="d2"),
            ],
        )
        assert sorted(quality.unusual(tx)) == [
            ("a", "d1", "", "volume_anomaly: 3, expected 7", 5.5, 10),
            ("a", "d1", "qty", "null_spike: qty: 12 %, expected 0.1 %", 10.5, 10),
        ]


def test_only_the_newest_500_anomalies_are_searched(store: Store) -> None:
    """Would catch: a page whose cost grows with each anomaly of ten years."""
    with store.write(None) as tx:
        published(tx, 1)
        quality.write_facts(tx, [fact(1, column=f"c{number:03}") for number in range(501)])
        assert sorted(row[2] for row in quality.unusual(tx)) == [f"c{n:03}" for n in range(1, 501)]


def test_columns_and_partitions_with_anomalies_are_found_in_a_range(store: Store) -> None:
    """Would catch: another node's; a bound that counts or doesn't; finer partitions of the last
    interval left out; any kind where some are wanted."""
    with store.write(None) as tx:
        _visible(tx)
        quality.write_facts(
            tx,
            [
                fact(1),
                fact(1),
                fact(2, partition="d2", column=""),
                fact(2, partition="d2", kind="volume_anomaly", column=""),
                fact(3, partition="d3/EWR", kind="duplicate_rows"),
                fact(3, partition="d3/EWR", column="price"),
                fact(4, node="b", partition="d2", column="other"),
            ],
        )
        assert sorted(quality.emptied(tx, ["a"], "d1", "d3")) == [
            ("a", "d1", "qty"),
            ("a", "d3/EWR", "price"),
        ]
        assert quality.emptied(tx, ["a", "b"], "d2", "d2") == [("b", "d2", "other")]
        assert sorted(quality.unusual_partitions(tx, ["a", "b"], "d1", "d3")) == [
            "d1",
            "d2",
            "d3/EWR",
        ]
        assert quality.unusual_partitions(tx, ["a"], "d2", "d3", quality.ROW_KINDS[1:2]) == [
            "d3/EWR"
        ]
        assert quality.unusual_partitions(tx, ["a"], "d2", "d2", ["stale_data"]) == []
        assert quality.unusual_partitions(tx, [], "d1", "d3") == []


# Metrics and content


def test_an_exception_is_marked_among_the_metrics(store: Store) -> None:
    """Would catch: a level that was accepted once taken for a sound one."""
    with store.write(None) as tx:
        for number in (1, 2, 3):
            published(tx, number, partition=f"d{number}")
            quality.write_metrics(tx, [(1, number, "a", f"d{number}", b"%d" % number)])
        tx.execute(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at) values ('a', 'd2', 1, 2, 'ann', 'known', 1)"
        )
        assert quality.metrics_before(tx, "a", "d3", 9) == [
            ("d1", b"1", False, ()),
            ("d2", b"2", True, ()),
        ]
        assert quality.metrics_of_attempt(tx, 1, 2, "d2") == b"2"
        assert quality.metrics_of_attempt(tx, 1, 2, "d1") is None


def test_published_content_is_listed_newest_first(store: Store) -> None:
    """Would catch: empty publications, which all have the same content; replaced ones left out."""
    with store.write(None) as tx:
        published(tx, 1, partition="d2")
        published(tx, 2)
        published(tx, 3)
        published(tx, 4, partition="d3", rows=0)
        published(tx, 5, partition="d4", content_hash=None)
        published(tx, 6, "b", "d5", content_hash="h2")
        assert quality.published_versions(tx, "a") == [("d2", "h1"), ("d1", "h3"), ("d1", "h2")]
        assert quality.published_lately(tx, "a", "h2") == ["d1"]
        assert quality.published_lately(tx, "b", "h2") == ["d5"]
        assert quality.published_lately(tx, "a", "h9") == []


def test_comparisons_are_bounded(store: Store) -> None:
    """Would catch: a delivery that is compared with every publication there ever was."""
    keys = [f"d{number:03}" for number in range(1, 502)]
    with store.write(None) as tx:
        tx.executemany(
            "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows,"
            " bytes, verdict, version, content_hash) values (?, 'a', ?, 1, 1, 1, 1, 1, 1, 'passed',"
            " 1, 'same')",
            list(enumerate(keys, 1)),
        )
        compared = quality.published_versions(tx, "a")
        assert [key for key, _ in compared] == keys[:0:-1]
        assert sorted(quality.published_lately(tx, "a", "same")) == keys[-256:]


def test_rows_until_a_partition_come_oldest_first(store: Store) -> None:
    """Would catch: a trend that lacks its last day, runs backwards or begins with the oldest."""
    with store.write(None) as tx:
        for number in (1, 2, 3, 4):
            published(tx, number, partition=f"d{number}")
        published(tx, 5, partition="d2")
        assert quality.rows_until(tx, "a", "d3", 2) == [("d2", 500), ("d3", 300)]
        assert quality.rows_until(tx, "a", "d0", 2) == []
