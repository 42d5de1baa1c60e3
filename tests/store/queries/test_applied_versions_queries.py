"""Applied versions, their files, and the partitions that a code change invalidates."""

from __future__ import annotations

from typing import Any

from stored_rows import insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import applied_versions, partition_states
from headrace.store.queries.applied_versions import FileVersion, Heading, Version

STATES = (
    "missing",
    "waiting",
    "running",
    "published",
    "held",
    "rejected",
    "failed",
    "withdrawn",
    "waived",
)


def _add(
    tx: Transaction, number: int, manifest: str, actor: str, *, classifies: bool = False
) -> int:
    return applied_versions.add_version(
        tx,
        digest=f"hash {number}",
        manifest=manifest,
        compiled=bytes([number]),
        classifies=classifies,
        plan_id=f"plan {number}",
        steps="[]",
        actor=actor,
        now=100 * number,
    )


def test_versions_are_read_with_their_content(store: Store) -> None:
    """The oldest version taken for the applied one; a version with another's content."""
    with store.write(None) as tx:
        assert applied_versions.newest_id(tx) == 0
        assert applied_versions.newest(tx) is None
        assert applied_versions.first(tx) is None
        assert applied_versions.headings(tx) == []
        ids = [
            _add(tx, 1, '{"a.sql": "a1"}', "ann"),
            _add(tx, 2, '{"a.sql": "a2", "b.sql": "b1"}', "bob"),
            _add(tx, 3, '{"b.sql": "b1"}', "cem"),
        ]
        versions = [
            Version(ids[0], "hash 1", {"a.sql": "a1"}, b"\1", 100, "ann", "plan 1"),
            Version(ids[1], "hash 2", {"a.sql": "a2", "b.sql": "b1"}, b"\2", 200, "bob", "plan 2"),
            Version(ids[2], "hash 3", {"b.sql": "b1"}, b"\3", 300, "cem", "plan 3"),
        ]
        assert ids == sorted(ids)
        assert applied_versions.newest_id(tx) == ids[2]
        assert [applied_versions.get(tx, number) for number in ids] == versions
        assert applied_versions.get(tx, ids[2] + 1) is None
        assert applied_versions.first(tx) == versions[0]
        assert applied_versions.newest(tx) == versions[2]
        headings = [
            Heading(item.id, item.manifest, item.applied_at, item.actor, item.plan_id)
            for item in reversed(versions)
        ]
        assert applied_versions.headings(tx) == headings
        assert applied_versions.headings(tx, ids[1]) == [headings[1]]
        assert applied_versions.file_versions(tx, "a.sql", 2) == [
            FileVersion(ids[2], 300, "cem", None, "plan 3"),
            FileVersion(ids[1], 200, "bob", "a2", "plan 2"),
        ]
        assert applied_versions.file_changes(tx, "b.sql", 3) == [
            FileVersion(ids[1], 200, "bob", "b1", "plan 2"),
        ]


def test_a_classification_is_remembered_by_all_later_versions(store: Store) -> None:
    """Would catch: a classification that a later version forgets; a version without a record taken
    for one that classifies nothing."""
    with store.write(None) as tx:
        assert not applied_versions.ever_classified(tx)
        _add(tx, 1, "{}", "ann")
        assert not applied_versions.ever_classified(tx)
        _add(tx, 2, "{}", "ann", classifies=True)
        assert applied_versions.ever_classified(tx)
        _add(tx, 3, "{}", "ann")
        assert applied_versions.ever_classified(tx)
        tx.execute("update version set ever_classified = null where id > 1")
        assert applied_versions.ever_classified(tx)
        _add(tx, 4, "{}", "ann")
        assert applied_versions.ever_classified(tx)


def test_files_are_stored_once_by_their_content(store: Store) -> None:
    """A content that a second version with the same file can't store; bytes that are no text
    returned as text."""
    with store.write(None) as tx:
        applied_versions.keep_content(tx, [("a1", "select 'ü'".encode()), ("b1", b"\xff\xfe")])
        applied_versions.keep_content(tx, [("a1", b"other"), ("c1", b"")])
        assert applied_versions.file_text(tx, "a1") == "select 'ü'"
        assert applied_versions.file_text(tx, "b1") is None
        assert applied_versions.file_text(tx, "c1") == ""
        assert applied_versions.file_text(tx, "d1") is None
        manifest = {"a.sql": "a1", "b.bin": "b1", "copy.sql": "a1"}
        assert applied_versions.contents(tx, manifest) == {
            "a.sql": "select 'ü'".encode(),
            "b.bin": b"\xff\xfe",
            "copy.sql": "select 'ü'".encode(),
        }


def test_visible_publications_are_found_by_version(store: Store) -> None:
    """A publication that was replaced, or one of another node, counted as visible."""
    with store.write(None) as tx:
        publication(tx, 1, "2025-01-01", version=1)
        publication(tx, 2, "2025-01-03", version=1)
        publication(tx, 3, "2025-01-02", version=2)
        publication(tx, 4, "2025-01-05", version=3, ended_snapshot=9)
        publication(tx, 5, "2025-01-04", version=4, node="other")
        days = [f"2025-01-0{day}" for day in range(1, 6)]
        assert applied_versions.published_versions(tx, "orders") == [1, 2]
        assert applied_versions.published_versions(tx, "orders", past=True) == [1, 2, 3]
        assert applied_versions.published_keys(tx, "orders", [2, 1, 3, 4]) == [
            days[1],
            days[0],
            days[2],
        ]
        assert applied_versions.published_range(tx, "orders") == (days[0], days[2], 3)
        assert applied_versions.published_range(tx, "orders", besides=[days[2], days[4]]) == (
            days[0],
            days[1],
            2,
        )
        assert applied_versions.published_range(tx, "orders", besides=days) is None
        assert applied_versions.published_range(tx, "never") is None


def test_withdrawn_partitions_are_those_that_nobody_can_read(store: Store) -> None:
    """A partition that was published again still taken for withdrawn, or named twice."""
    with store.write(None) as tx:
        for number, day in enumerate(("2025-01-03", "2025-01-01", "2025-01-02"), start=1):
            publication(tx, number, day, ended_snapshot=5)
            insert(tx, "withdrawal", node="orders", partition=day, at=10 + number)
        insert(tx, "withdrawal", node="orders", partition="2025-01-03", at=20)
        insert(tx, "withdrawal", node="other", partition="2025-01-09", at=20)
        publication(tx, 4, "2025-01-02")
        assert applied_versions.withdrawn_keys(tx, "orders") == ["2025-01-01", "2025-01-03"]
        insert(tx, "partition", node="orders", partition="2025-01-01", state="missing")
        assert applied_versions.has_partitions(tx, "orders")
        assert not applied_versions.has_partitions(tx, "other")


def test_a_node_may_reshape_until_its_table_is_reshaped(store: Store) -> None:
    """A second change of a node's code that fails, or columns that may change for ever."""
    with store.write(None) as tx:
        assert applied_versions.reshaping(tx) == set()
        applied_versions.may_reshape(tx, ["orders", "daily"])
        applied_versions.may_reshape(tx, ["weekly", "orders"])
        assert applied_versions.reshaping(tx) == {"orders", "daily", "weekly"}
        applied_versions.reshaped(tx, ["orders", "never"])
        assert applied_versions.reshaping(tx) == {"daily", "weekly"}


# What a code change does to partitions


def _every_state(tx: Transaction, node: str) -> None:
    """A published and an unpublished partition in each state, at revisions 1 to 18."""
    for number, state in enumerate(STATES):
        for published in (False, True):
            insert(
                tx,
                "partition",
                node=node,
                partition=f"{state} {'published' if published else 'never'}",
                state=state,
                publication_id=100 + number if published else None,
                stale=int(state == "published"),
                proposed=int(state == "published"),
                failures=3,
                not_before=50,
                reason="why",
                since=10,
                revision=1 + number,
            )


def _changed(tx: Transaction, node: str) -> dict[str, tuple[Any, ...]]:
    """Partition → (state, stale, proposed, failures, not before, reason, since, revision), of what
    `_every_state` didn't write."""
    rows = tx.execute(
        "select partition, state, stale, proposed, failures, not_before, reason, since, revision"
        " from partition where node = ? and revision > 9",
        (node,),
    )
    return {partition: tuple(values) for partition, *values in rows}


AFFECTED = ("published", "failed", "rejected", "held", "waiting")


def test_a_changed_node_is_computed_again(store: Store) -> None:
    """A failed partition that waits for its next try although its code is mended; a partition that
    a user has withdrawn computed again."""
    with store.write(None) as tx:
        _every_state(tx, "orders")
        insert(tx, "partition", node="other", partition="x", revision=30)
        assert applied_versions.stale_node(tx, "orders", 77) == 10
        assert _changed(tx, "orders") == {
            f"{state} {word}": ("waiting", stale, 0, 0, None, None, 77, 31)
            for state in AFFECTED
            for word, stale in (("published", 1), ("never", 0))
        }
        assert [item[-1] for item in _changed(tx, "other").values()] == [30]


def test_a_changed_node_is_computed_on_request_only(store: Store) -> None:
    """With `ask`, months that are computed again at once; unpublished days that wait for somebody
    to ask for them."""
    with store.write(None) as tx:
        _every_state(tx, "orders")
        assert applied_versions.stale_node(tx, "orders", 77, ask=True) == 10
        assert _changed(tx, "orders") == {
            f"{state} {word}": values
            for state in AFFECTED
            for word, values in (
                ("published", ("published", 1, 1, 0, None, None, 77, 10)),
                ("never", ("waiting", 0, 0, 0, None, None, 77, 10)),
            )
        }


def test_only_published_partitions_are_marked_as_fresh(store: Store) -> None:
    """A partition without data that counts as published."""
    with store.write(None) as tx:
        _every_state(tx, "orders")
        keys = ["published published", "failed published", "waiting never", "nowhere"]
        applied_versions.mark_fresh(tx, "orders", keys, 77)
        assert _changed(tx, "orders") == dict.fromkeys(
            keys[:2], ("published", 0, 0, 0, None, None, 77, 10)
        )


def test_only_unpublished_partitions_are_tried_with_new_code(store: Store) -> None:
    with store.write(None) as tx:
        _every_state(tx, "orders")
        applied_versions.try_unpublished(tx, "orders", 77)
        assert _changed(tx, "orders") == {
            f"{state} never": ("waiting", 0, 0, 0, None, None, 77, 10)
            for state in ("failed", "held", "rejected", "waiting")
        }


# Sources whose data means something else now


def test_deliveries_of_a_source_are_found_by_their_outcome(store: Store) -> None:
    """A dropped delivery ingested again, which a user has thrown away."""
    with store.write(None) as tx:
        for state in STATES:
            insert(tx, "partition", node="src", partition=state, state=state)
        insert(tx, "partition", node="src", partition="a dropped", state="held")
        insert(tx, "partition", node="other", partition="a failed", state="failed")
        for key, state in (("held", "held"), ("rejected", "rejected"), ("a dropped", "dropped")):
            insert(tx, "quarantine", node="src", partition=key, state=state)
        assert applied_versions.delivered_keys(tx, "src") == [
            "a dropped",
            "failed",
            "held",
            "published",
            "rejected",
        ]
        assert applied_versions.withheld_keys(tx, "src") == ["failed", "held", "rejected"]


def _delivery_states(tx: Transaction) -> list[str]:
    return [state for (state,) in tx.execute("select state from delivery order by id")]


def test_the_newest_delivery_is_ingested_again(store: Store) -> None:
    """An older delivery ingested over a newer one; one of an earlier partitioning."""
    with store.write(None) as tx:
        for number, (key, state) in enumerate(
            [
                ("2025-01-01", "superseded"),
                ("2025-01-01", "published"),
                ("2025-01-01", "recut"),
                ("2025-01-02", "failed"),
                ("2025-01-03", "published"),
            ],
            start=1,
        ):
            insert(tx, "delivery", id=number, source="src", partition=key, state=state)
        insert(tx, "delivery", id=6, source="other", partition="2025-01-01")
        _every_state(tx, "src")
        insert(tx, "partition", node="src", partition="2025-01-01", publication_id=7, failures=2)
        insert(tx, "partition", node="src", partition="2025-01-02", state="failed", reason="why")
        applied_versions.reingest_partitions(tx, "src", ["2025-01-01", "2025-01-02"], 77)
        assert _delivery_states(tx) == [
            "superseded",
            "waiting",
            "recut",
            "waiting",
            "published",
            "published",
        ]
        assert _changed(tx, "src") == {
            "2025-01-01": ("waiting", 1, 0, 0, None, None, 77, 10),
            "2025-01-02": ("waiting", 0, 0, 0, None, None, 77, 10),
        }


def test_an_unpublished_node_leaves_nothing_visible(store: Store) -> None:
    """A publication that readers still see; a scheduler that starts with deleted partitions; a file
    that is taken for known after the source's partitioning has changed."""
    with store.write(None) as tx:
        publication(tx, 1, "2025-01-01", node="src", ended_snapshot=2, ended_at=20)
        publication(tx, 2, "2025-01-01", node="src")
        publication(tx, 3, "2025-01-02", node="src")
        publication(tx, 4, "2025-01-03", node="other")
        for node, key in (("src", "2025-01-01"), ("src", "2025-01-09"), ("other", "2025-01-03")):
            insert(tx, "partition", node=node, partition=key)
            insert(tx, "delivery", source=node, partition=key)
        partition_states.save_checkpoint(tx, 1, b"c", 5)
        keys = applied_versions.unpublish_node(tx, "src", 900, 77)
        assert sorted(keys) == ["2025-01-01", "2025-01-02"]
        ends = tx.execute("select ended_snapshot, ended_at from publication order by id").fetchall()
        assert [tuple(row) for row in ends] == [(2, 20), (900, 77), (900, 77), (None, None)]
        assert not applied_versions.has_partitions(tx, "src")
        assert applied_versions.has_partitions(tx, "other")
        assert partition_states.checkpoint(tx) is None
        assert _delivery_states(tx) == ["recut", "recut", "published"]
