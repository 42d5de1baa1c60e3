"""Partition states as readers, calendars and the scheduler get them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from written_rows import attempt, ended, partition, published, quarantined, run

from headrace.store import Store
from headrace.store.queries import partition_states, quarantine
from headrace.store.queries.partition_states import (
    Brief,
    NodePublicationSummary,
    Partition,
    StoredCheckpoint,
    StoredPartitionState,
    VisibleExtent,
)


@pytest.fixture
def filled(store: Store) -> Store:
    """Node `a` has a partition of each state, `b` one published partition."""
    with store.write(None) as tx:
        published(tx, 1, "a", "d1")
        published(tx, 2, "a", "d2", verdict="warned")
        published(tx, 3, "a", "d3")
        published(tx, 4, "a", "d4")
        published(tx, 5, "b", "d1")
        partition(tx, "a", "d3", "published", stale=True, since=33)
        partition(tx, "a", "d4", "waiting", stale=True, proposed=True, since=44)
        partition(tx, "a", "d5", "waiting", reason="upstream late", since=55)
        partition(tx, "a", "d6", "failed", failures=2, not_before=99, reason="boom", since=66)
        quarantined(tx, 7, "a", "d7")
        partition(tx, "a", "d7", "held", since=77)
        quarantine.decide(tx, [1], "dropped", 78)
        quarantined(tx, 8, "a", "d8")
        partition(tx, "a", "d8", "held", since=88)
    return store


def test_a_partition_has_the_values_of_its_own_row(filled: Store) -> None:
    """Would catch: two columns in exchange; the publication of a partition that has none."""
    with filled.read() as tx:
        assert partition_states.get(tx, "a", "d6") == Partition(
            "a", "d6", "failed", False, 2, 99, None, "boom", 66
        )
        assert partition_states.get(tx, "a", "d3") == Partition(
            "a", "d3", "published", True, 0, None, 3, None, 30
        )
        assert partition_states.get(tx, "b", "d6") is None


def test_what_is_open_and_stale_is_told_by_node(filled: Store) -> None:
    """Would catch: an open partition of another node; a stale partition that was never published;
    the oldest stale partitions where the newest are wanted."""
    with filled.write(None) as tx:
        partition(tx, "c", "d1", "waiting", stale=True, reason="upstream of another")
        assert partition_states.oldest_open(tx, "a") == "d4"
        assert partition_states.oldest_open(tx, "b") is None
        assert partition_states.waiting_reasons(tx, "upstream") == {
            "upstream late",
            "upstream of another",
        }
        assert partition_states.waiting_reasons(tx, "upstream l") == {"upstream late"}
        assert partition_states.stale_nodes(tx) == {"a"}
        assert partition_states.stale_keys(tx, "a") == ["d3", "d4"]
        assert partition_states.stale_keys(tx, "a", limit=1) == ["d4"]
        assert partition_states.stale_keys(tx, "c") == []


def test_at_most_100_stale_partitions_are_listed(store: Store) -> None:
    """Would catch: a page that lists ten years of stale days."""
    keys = [f"d{number:03}" for number in range(101)]
    with store.write(None) as tx:
        for number, key in enumerate(keys, 1):
            published(tx, number, "a", key)
        tx.execute("update partition set stale = 1")
        assert partition_states.stale_keys(tx, "a") == keys[1:]


def test_an_extent_is_of_visible_publications(filled: Store) -> None:
    """Would catch: a withdrawn partition as the newest; the values of the oldest partition; two
    answers for the same node."""
    with filled.write(None) as tx:
        tx.execute("update publication set ended_snapshot = 9, ended_at = 9 where id = 4")
        of_a = NodePublicationSummary("a", "d1", "d3", 30, "passed", 300)
        of_b = NodePublicationSummary("b", "d1", "d1", 50, "passed", 500)
        assert partition_states.extent(tx, "a") == of_a
        assert partition_states.extent(tx, "c") is None
        assert partition_states.visible_extent(tx, "a") == VisibleExtent(of_a, 3)
        assert partition_states.visible_extent(tx, "c") is None
        assert partition_states.visible_extents(tx) == {
            "a": VisibleExtent(of_a, 3),
            "b": VisibleExtent(of_b, 1),
        }


def test_data_keys_are_of_one_interval(store: Store) -> None:
    """Would catch: the keys of the day whose name begins alike; a key that lost its first letter."""
    with store.write(None) as tx:
        for key in ("2024-01-1/JFK", "2024-01-1/EWR", "2024-01-10/LGA", "2024-01-1"):
            partition(tx, "a", key, "waiting")
        partition(tx, "b", "2024-01-1/SFO", "waiting")
        assert partition_states.data_keys(tx, "a", "2024-01-1") == ["EWR", "JFK"]
        assert partition_states.data_keys(tx, "b", "") == ["2024-01-1/SFO"]
        assert partition_states.data_keys(tx, "a", "2024-02-1") == []


def test_each_change_has_a_revision_above_all_before_it(filled: Store) -> None:
    """Would catch: a change without a revision, which the next leader's core doesn't load; a
    checkpoint that skips the change after it."""
    with filled.write(None) as tx:
        before = partition_states.last_revision(tx)
        assert partition_states.next_revision(tx) == before + 1
        assert partition_states.changed_nodes(tx, before) == []
        assert [item.partition for item in partition_states.stored_states(tx, before)] == []
        partition(tx, "b", "d2", "waiting")
        assert partition_states.last_revision(tx) == before + 1
        assert partition_states.changed_nodes(tx, before) == ["b"]
        assert set(partition_states.changed_nodes(tx, 0)) == {"a", "b"}
        assert [item.partition for item in partition_states.stored_states(tx, before)] == ["d2"]
        assert [keys for _, keys in partition_states.brief_runs(tx, before)] == [["d2"]]


def test_revisions_of_a_new_store_begin_at_1(store: Store) -> None:
    """Would catch: a first change that has the revision of rows from before there were any."""
    with store.read() as tx:
        assert partition_states.last_revision(tx) == 0
        assert partition_states.next_revision(tx) == 1
        assert partition_states.checkpoint(tx) is None


def test_a_core_loads_all_partitions_with_their_values(filled: Store) -> None:
    """Would catch: a state loaded without its failures, its reason or its publication; rows older
    than revisions that aren't loaded at all."""
    with filled.write(None) as tx:
        tx.execute("update partition set revision = 0 where partition = 'd6'")
        loaded = {(row.node, row.partition): row for row in partition_states.stored_states(tx)}
        assert len(loaded) == 9
        assert loaded["a", "d6"] == StoredPartitionState(
            "a", "d6", "failed", False, 2, 99, False, False, "boom", 66, 0
        )
        assert loaded["a", "d4"] == StoredPartitionState(
            "a", "d4", "waiting", True, 0, None, True, True, "", 44, 0
        )
        runs = list(partition_states.stored_runs(tx))
        assert {
            (run.node, key): replace(run, partition=key) for run, keys in runs for key in keys
        } == {
            place: row if row.state == "waiting" and not row.failures else replace(row, since=0)
            for place, row in loaded.items()
        }
        assert [(run.node, keys) for run, keys in partition_states.stored_runs(tx, "b")] == [
            ("b", ["d1"])
        ]


def test_rows_that_say_the_same_are_one_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: runs that reach over another state or another node, that forget the last row,
    or that grow without limit."""
    with store.write(None) as tx:
        for node in ("a", "b"):
            for day in range(5):
                state = "failed" if (node, day) == ("a", 3) else "published"
                partition(tx, node, f"d{day}", state)
    with store.read() as tx:
        assert [(run.node, run.state, keys) for run, keys in partition_states.stored_runs(tx)] == [
            ("a", "published", ["d0", "d1", "d2"]),
            ("a", "failed", ["d3"]),
            ("a", "published", ["d4"]),
            ("b", "published", ["d0", "d1", "d2", "d3", "d4"]),
        ]
        monkeypatch.setattr(partition_states, "RUN_MAX", 2)
        lengths = [len(keys) for _, keys in partition_states.brief_runs(tx)]
        assert lengths == [2, 1, 1, 1, 2, 2, 1]


def test_an_unpartitioned_node_is_loaded_with_the_first_publication_of_its_content(
    store: Store,
) -> None:
    """Would catch: an identical publication that makes everything downstream stale."""
    with store.write(None) as tx:
        published(tx, 1, "a", "*")
        published(tx, 2, "a", "*")
        published(tx, 3, "a", "*", identical=True)
        published(tx, 4, "b", "*")
        assert {row.node: row.publication for row in partition_states.stored_states(tx)} == {
            "a": 2,
            "b": 4,
        }


def test_short_forms_tell_what_is_stale_failing_and_published(filled: Store) -> None:
    """Would catch: one flag in the place of another; rows older than revisions left out."""
    with filled.write(None) as tx:
        tx.execute("update partition set revision = 0 where partition = 'd6'")
        tx.execute("update partition set stale = 0 where partition = 'd4'")
        runs = list(partition_states.brief_runs(tx))
        rows = [replace(run, partition=key) for run, keys in runs for key in keys]
        by_key = {row.partition: row for row in rows if row.node == "a"}
        assert [row.node for row in rows] == ["a"] * 8 + ["b"]
        assert by_key["d1"] == Brief("a", "d1", "published", False, False, True)
        assert by_key["d3"] == Brief("a", "d3", "published", True, False, True)
        assert by_key["d4"] == Brief("a", "d4", "waiting", True, False, True)
        assert by_key["d6"] == Brief("a", "d6", "failed", False, True, False)


def test_a_checkpoint_covers_the_changes_until_it(filled: Store) -> None:
    """Would catch: two checkpoints; one that covers a change that comes after it."""
    with filled.write(None) as tx:
        revision = partition_states.last_revision(tx)
        partition_states.save_checkpoint(tx, 3, b"first", 100)
        assert partition_states.checkpoint(tx) == StoredCheckpoint(3, revision, b"first")
        partition(tx, "b", "d2", "waiting")
        partition_states.save_checkpoint(tx, 4, b"second", 200)
        assert partition_states.checkpoint(tx) == StoredCheckpoint(4, revision + 1, b"second")
        assert tx.execute("select at from checkpoint").fetchall() == [(200,)]
        partition_states.drop_checkpoint(tx)
        assert partition_states.checkpoint(tx) is None


def test_what_failed_lately_includes_what_waits_since(store: Store) -> None:
    """Would catch: a failure that is forgotten while it waits for its retry, or because a newer
    version was applied; one named twice; a partition that waits and never failed."""
    with store.write(None) as tx:
        run(tx)
        partition(tx, "a", "failed", "failed", since=100)
        partition(tx, "a", "before", "failed", since=99)
        partition(tx, "b", "rejected", "rejected", since=100)
        partition(tx, "c", "retried", "waiting", failures=1, since=100)
        partition(tx, "d", "reset", "waiting", since=100)
        partition(tx, "d", "reset too", "waiting", since=100)
        partition(tx, "d", "reset earlier", "waiting", since=99)
        partition(tx, "d", "never tried", "waiting", since=100)
        attempt(tx, 1, "d", ["reset", "other"])
        ended(tx, 1, "failed", 100)
        attempt(tx, 2, "d", ["reset", "reset too", "reset earlier"])
        ended(tx, 2, "rejected", 101)
        attempt(tx, 3, "d", ["never tried"])
        ended(tx, 3, "failed", 99)
        attempt(tx, 4, "e", ["reset"])
        ended(tx, 4, "failed", 101)
        assert sorted(partition_states.failed_since(tx, 100)) == [
            ("a", "failed"),
            ("b", "rejected"),
            ("c", "retried"),
            ("d", "reset"),
            ("d", "reset too"),
        ]
        assert partition_states.failed_since(tx, 102) == []
