"""Deliveries of sources: what arrived when, what was done with it, and what is new in it."""

from __future__ import annotations

from typing import Any

import pytest
from state_kinds import ONLY_SQLITE
from stored_rows import insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import deliveries
from headrace.store.queries.deliveries import (
    Delivery,
    DeliveryOutcome,
    Mapped,
    ObservationTime,
    RepeatedDelivery,
)
from headrace.store.transaction import insertion

DAY = "2025-01-01"


def _deliver(tx: Transaction, number: int, partition: str, **columns: Any) -> None:
    """A delivery whose times tell it from others."""
    times = {
        "claimed_at": 100 + number,
        "arrived_at": 200 + number,
        "observed_at": 300 + number,
    }
    insert(
        tx,
        "delivery",
        **{"id": number, "source": "src", "partition": partition, **times, **columns},
    )


def test_a_delivery_is_read_with_all_its_columns(store: Store) -> None:
    with store.write(None) as tx:
        insert(
            tx,
            "delivery",
            id=3,
            source="src",
            partition=DAY,
            path="in/x.csv",
            size_bytes=4,
            modified_us=5,
            claimed_at=6,
            observed_at=7,
            arrived_at=8,
            sha256="s",
            fingerprint="f",
            state="held",
            reason="why",
        )
        _deliver(tx, 4, DAY)
        assert deliveries.get(tx, 3) == Delivery(
            3, "src", DAY, "in/x.csv", 4, 5, 6, 7, 8, "s", "f", "held", "why"
        )
        assert deliveries.get(tx, 9) is None


def test_files_found_since_a_time(store: Store) -> None:
    """A file that is found again because its version was read as another."""
    with store.write(None) as tx:
        file = {"path": "a.csv", "size_bytes": 4, "modified_us": 5}
        _deliver(tx, 1, "1", observed_at=9, **file)
        _deliver(tx, 2, "2", observed_at=10, **file)
        _deliver(tx, 3, "3", observed_at=11, version="v", **file)
        _deliver(tx, 4, "4", observed_at=11, source="other", **file)
        assert deliveries.found_since(tx, "src", 10) == {
            ("2", "a.csv", 4, 5, ""),
            ("3", "a.csv", 4, 5, "v"),
        }


# Arrivals with their outcomes


def test_arrivals_have_their_own_outcomes(store: Store) -> None:
    """The rows of another delivery of the same interval; a dropped delivery that still waits for a
    decision; a publication from before the delivery was observed."""
    with store.write(None) as tx:
        _deliver(tx, 1, "1")
        _deliver(tx, 2, "2", size_bytes=7, sha256="s", reason="why", parts="[1]", received="{}")
        _deliver(tx, 3, "2", state="rejected")
        _deliver(tx, 4, "3", state="held")
        _deliver(tx, 5, "3", state="held")
        _deliver(tx, 6, "3", state="failed")
        _deliver(tx, 7, "4", source="other")
        for number, (key, delivery, at, rows, verdict) in enumerate(
            [
                ("1", 1, 300, 10, "passed"),
                ("2", 2, 302, 20, "passed"),
                ("2", 2, 400, 21, "warned"),
                ("2", 9, 401, 22, "passed"),
                ("3", 2, 402, 23, "passed"),
            ],
            start=1,
        ):
            publication(
                tx,
                number,
                key,
                node="src",
                delivery_id=delivery,
                published_at=at,
                rows=rows,
                verdict=verdict,
                ended_snapshot=9,
            )
        for key, delivery, state, rows in (
            ("2", 3, "superseded", 30),
            ("2", 3, "rejected", 31),
            ("2", 2, "superseded", 32),
            ("3", 4, "dropped", 40),
            ("3", 5, "held", 50),
            ("3", 6, "held", 60),
        ):
            columns = {"partition": key, "delivery_id": delivery, "state": state, "rows": rows}
            insert(tx, "quarantine", node="src", **columns)
        arrivals = deliveries.arrivals(tx, "src", limit=9)
        assert [(item.partition, item.arrived_at, item.state, item.rows) for item in arrivals] == [
            ("3", 206, "failed", None),
            ("3", 205, "held", 50),
            ("3", 204, "dropped", 40),
            ("2", 203, "rejected", 31),
            ("2", 202, "published", 21),
            ("1", 201, "published", None),
        ]
        assert arrivals[4] == DeliveryOutcome(
            "src",
            "2",
            "x.csv",
            7,
            102,
            302,
            202,
            "s",
            "published",
            "why",
            "[1]",
            "{}",
            21,
            "warned",
        )
        assert deliveries.arrivals(tx, "src", limit=2) == arrivals[:2]


def test_a_touched_file_is_the_same_delivery(store: Store) -> None:
    """A delivery that seems to be late because its file was touched; two files with the same
    content that count as one."""
    with store.write(None) as tx:
        for number, (key, path, sha) in enumerate(
            [
                ("1", "a.csv", "s1"),
                ("1", "a.csv", "s1"),
                ("1", "a.csv", "s2"),
                ("1", "b.csv", "s2"),
                ("2", "b.csv", "s2"),
                ("2", "b.csv", None),
                ("2", "b.csv", None),
                ("3", "c.csv", "s3"),
                ("3", "c.csv", "s3"),
                ("3", "c.csv", "s3"),
                ("3", "c.csv", "s4"),
            ],
            start=1,
        ):
            _deliver(tx, number, key, path=path, sha256=sha, size_bytes=number)
        arrivals = deliveries.arrivals(tx, "src", limit=99)
        assert [
            (item.size_bytes, item.claimed_at, item.arrived_at, item.observed_at)
            for item in arrivals
        ] == [
            (size, 100 + first, 200 + first, 300 + first)
            for size, first in ((11, 11), (10, 8), (7, 7), (6, 6), (5, 5), (4, 4), (3, 3), (2, 1))
        ]


def test_deliveries_since_a_time_know_earlier_ones(store: Store) -> None:
    """A touched file that counts as a redelivery; a day that another day's key begins with."""
    with store.write(None) as tx:
        file = {"path": "a.csv", "sha256": "s"}
        _deliver(tx, 1, "day1", observed_at=9)
        _deliver(tx, 2, "day1", observed_at=10, **file)
        _deliver(tx, 3, "day1", observed_at=11, **file)
        _deliver(tx, 4, "day1/eu", observed_at=12, **file)
        _deliver(tx, 5, "day10", observed_at=12)
        _deliver(tx, 6, "day2", observed_at=8)
        _deliver(tx, 7, "day1/us", observed_at=13)
        _deliver(tx, 8, "day1", observed_at=14, path="b.csv", sha256="s")
        _deliver(tx, 9, "day3", observed_at=14)
        _deliver(tx, 10, "day1", observed_at=14, source="other")
        _deliver(tx, 11, "day2", observed_at=15)
        assert deliveries.since(tx, "src", ["day2", "day1"], 10) == [
            RepeatedDelivery("day1", 102, 202, 10, again=True),
            RepeatedDelivery("day1/eu", 104, 204, 12, again=False),
            RepeatedDelivery("day1/us", 107, 207, 13, again=False),
            RepeatedDelivery("day1", 108, 208, 14, again=True),
            RepeatedDelivery("day2", 111, 211, 15, again=True),
        ]


# Times


def test_the_first_times_of_a_source(store: Store) -> None:
    """A source that seems to be declared since its newest observation; one of another source."""
    with store.write(None) as tx:
        assert deliveries.first_applied(tx) is None
        assert deliveries.declared_since(tx, "src") is None
        assert deliveries.first_observation(tx, "src") is None
        insert(tx, "version", id=1, applied_at=70)
        insert(tx, "version", id=2, applied_at=60)
        assert deliveries.first_applied(tx) == 60
        insert(tx, "look", source="src", at=41)
        insert(tx, "look", source="src", at=40)
        insert(tx, "look", source="other", at=10)
        assert deliveries.declared_since(tx, "src") == 40
        for number, (key, observed) in enumerate(
            [("b", 31), ("a", 30), ("c", 30), ("a", 30), ("d", 32)], start=1
        ):
            _deliver(tx, number, key, observed_at=observed)
        _deliver(tx, 9, "e", observed_at=5, source="other")
        assert deliveries.declared_since(tx, "src") == 30
        assert deliveries.first_observation(tx, "src") == (30, 2)


def test_first_arrivals_are_of_the_newest_partitions(store: Store) -> None:
    with store.write(None) as tx:
        for number, (key, arrived, observed) in enumerate(
            [("2", 50, 60), ("3", 51, 61), ("1", 52, 62), ("3", 40, 63), ("2", 53, 59)], start=1
        ):
            _deliver(tx, number, key, arrived_at=arrived, observed_at=observed)
        _deliver(tx, 9, "4", source="other")
        assert deliveries.first_arrivals(tx, "src", 2) == [("3", 40, 61), ("2", 50, 59)]


def test_an_interval_has_arrived_with_any_of_its_data_keys(store: Store) -> None:
    with store.write(None) as tx:
        for number, key in enumerate(("day1", "day2/eu", "day30"), start=1):
            _deliver(tx, number, key)
        _deliver(tx, 9, "day4", source="other")
        found = {f"day{n}": deliveries.has_arrived(tx, "src", f"day{n}") for n in range(1, 5)}
        assert found == {"day1": True, "day2": True, "day3": False, "day4": False}


def test_the_last_observations_are_all_that_are_kept_of_each(store: Store) -> None:
    with store.write(None) as tx:
        for at in range(1, 54):
            insert(tx, "look", source="src", at=at, found=at + 100)
        insert(tx, "look", source="src", at=60, found=0, error="refused", code="no_access")
        insert(tx, "look", source="other", at=31)
        newest = deliveries.observations(tx, "src")
        assert newest[:2] == [
            ObservationTime("src", 60, 0, "refused", "no_access"),
            ObservationTime("src", 53, 153, None, None),
        ]
        assert [item.at for item in newest] == [60, *range(53, 4, -1)]
        assert deliveries.observations(tx, "src", limit=1) == newest[:1]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("after", "until", "observed"),
    [
        (19, 20, True),
        (20, 29, False),
        (20, 30, True),
        (30, 99, False),
        (0, 19, None),
        (0, 20, True),
    ],
)
def test_whether_a_source_was_observed_is_sometimes_unknown(
    store: Store, after: int, until: int, observed: bool | None
) -> None:
    """A source called unobserved at a time whose observations were deleted."""
    with store.write(None) as tx:
        for source, at in (("src", 20), ("src", 30), ("other", 10), ("other", 25)):
            insert(tx, "look", source=source, at=at)
        assert deliveries.observed_between(tx, "src", after, until) is observed


def test_ends_of_gaps(store: Store) -> None:
    with store.write(None) as tx:
        for source, began, ended in (("src", 1, 5), ("src", 8, 9), ("other", 1, 7)):
            insert(tx, "look_gap", source=source, from_at=began, until_at=ended)
        assert deliveries.observation_gap_ends(tx, "src") == {5, 9}
        assert deliveries.observed_between(tx, "src", 5, 9) is None


# Changes that a policy allowed


def _drift(tx: Transaction, number: int, **columns: Any) -> None:
    """A renamed column in delivery `number`, which has a partition of its own."""
    insert(
        tx,
        "drift",
        **{
            "id": number,
            "source": "src",
            "partition": f"{number}",
            "delivery_id": number,
            "n": number,
            "kind": "renamed",
            "column_name": "a",
            "to_name": "b",
            **columns,
        },
    )


def _mapped_ids(tx: Transaction, after: int = 0) -> list[int]:
    changes, _ = deliveries.mapped_changes(tx, after)
    return [item.id for item in changes]


def test_a_mapped_change_is_read_with_its_delivery(store: Store) -> None:
    with store.write(None) as tx:
        assert deliveries.mapped_changes(tx, 0) == ([], 0)
        assert deliveries.mapped_changes(tx, 9) == ([], 9)
        _deliver(tx, 4, DAY)
        _drift(tx, 3, partition=DAY, delivery_id=4, epoch=5, n=6, evidence='["x", "y"]', at=7)
        _drift(tx, 4, kind="format", column_name="c", to_name=None, at=8)
        _drift(tx, 5, kind="dropped")
        _drift(tx, 6, policy="allow")
        first = Mapped(3, "src", DAY, "5.6", "renamed", "a", "b", "x; y", 7, 204)
        second = Mapped(4, "src", "4", "1.4", "format", "c", None, "", 8, 204)
        assert deliveries.mapped_changes(tx, 0) == ([first, second], 6)
        assert deliveries.mapped_changes(tx, 3) == ([second], 6)
        assert deliveries.mapped_changes(tx, 4) == ([], 6)


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("score", "new"), [(None, True), ("0.999", True), ("1.000", False), ("1.5", False)]
)
def test_certain_names_are_not_told(store: Store, score: str | None, new: bool) -> None:
    with store.write(None) as tx:
        _drift(tx, 1, score=score)
        _drift(tx, 2, kind="format", column_name="c", score=score)
        assert _mapped_ids(tx) == ([1, 2] if new else [2])


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("earlier", "new"),
    [
        ({}, False),
        ({"policy": "allow"}, False),
        ({"policy": "block"}, True),
        ({"policy": "warn"}, True),
        ({"source": "other"}, True),
        ({"kind": "format"}, True),
        ({"column_name": "z"}, True),
        ({"to_name": "z"}, True),
        ({"to_name": None}, True),
        ({"epoch": 1, "n": 10}, True),
        ({"epoch": 2, "n": 10}, False),
    ],
)
def test_a_change_is_told_once(store: Store, earlier: dict[str, Any], new: bool) -> None:
    """A renamed column that is told every day; a new one hidden by another's change."""
    with store.write(None) as tx:
        for number in (9, 10):
            _deliver(tx, number, f"{number}")
        _drift(tx, 9, **earlier)
        _drift(tx, 10)
        assert _mapped_ids(tx, 9) == ([10] if new else [])


def test_a_change_that_was_away_is_told_again(store: Store) -> None:
    """A change that came back after deliveries without it; an interval's two deliveries that count
    as two."""
    with store.write(None) as tx:
        for number, key in enumerate(("1", "2", "2", "3"), start=1):
            _deliver(tx, number, key)
        _deliver(tx, 5, "x", source="other")
        _drift(tx, 1)
        _drift(tx, 2, delivery_id=3)
        assert _mapped_ids(tx) == [1, 2], "delivery 4 is another interval's"
        tx.execute("delete from delivery where id = 4")
        assert _mapped_ids(tx) == [1]
        _deliver(tx, 6, "4")
        _drift(tx, 6)
        assert _mapped_ids(tx) == [1, 2]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("held", "new"),
    [
        ({}, False),
        ({"kind": "format"}, False),
        ({"kind": "nested"}, False),
        ({"kind": "dropped"}, True),
        ({"policy": "warn"}, True),
        ({"delivery_id": 8}, True),
        ({"partition": "8"}, True),
        ({"column_name": "z"}, True),
        ({"source": "other"}, True),
        ({"id": 11}, True),
    ],
)
def test_a_change_that_a_user_released_is_not_told(
    store: Store, held: dict[str, Any], new: bool
) -> None:
    with store.write(None) as tx:
        blocked = {"partition": "10", "delivery_id": 10, "kind": "type", "policy": "block", **held}
        _drift(tx, **{"number": 9, **blocked})
        _drift(tx, 10)
        assert _mapped_ids(tx) == ([10] if new else [])


@ONLY_SQLITE
def test_mapped_changes_are_read_in_parts(store: Store) -> None:
    """Changes beyond a limit that are passed over for ever."""
    columns = {
        "source": "src", "partition": DAY, "kind": "renamed", "column_name": "a", "score": "1",
        "epoch": 1, "evidence": "[]", "policy": "map", "used_by": "[]", "at": 1,
    }  # fmt: skip
    with store.write(None) as tx:
        tx.executemany(
            insertion("drift", ["id", "n", *columns]),
            [[number, number, *columns.values()] for number in range(1, 5002)],
        )
        _drift(tx, 5002, kind="dropped")
        assert deliveries.mapped_changes(tx, 0) == ([], 5000)
        assert deliveries.mapped_changes(tx, 1) == ([], 5001)
        assert deliveries.mapped_changes(tx, 2) == ([], 5002)
        assert deliveries.mapped_changes(tx, 5000) == ([], 5002)


# Published data, for comparison with a new delivery


def test_visible_contents_are_those_of_the_asked_partitions(store: Store) -> None:
    """Data that was accepted as an exception taken for what is usual; a replaced publication."""
    with store.write(None) as tx:
        _deliver(tx, 5, "1", sha256="s5")
        _deliver(tx, 6, "2", sha256=None)
        for number, (node, key, delivery, ended) in enumerate(
            [
                ("src", "1", 5, 9),
                ("src", "1", 5, None),
                ("src", "2", 6, None),
                ("src", "3", 6, None),
                ("src", "4", 5, None),
                ("src", "5", 5, None),
                ("src", "6", None, None),
                ("other", "1", 5, None),
            ],
            start=1,
        ):
            publication(
                tx,
                number,
                key,
                node=node,
                delivery_id=delivery,
                ended_snapshot=ended,
                rows=10 * number,
                content_hash=f"c{number}",
                epoch=2,
                n=number,
            )
        for number, ended in ((5, None), (6, 7)):
            insert(
                tx,
                "accepted",
                node="src",
                partition="x",
                quarantine_id=1,
                publication_id=number,
                actor="ann",
                reason="",
                at=1,
                ended_at=ended,
            )
        contents = deliveries.visible_contents(tx, "src", ["6", "5", "4", "2", "1"])
        assert contents == {
            "1": (20, "c2", "s5", "2.2"),
            "2": (30, "c3", None, "2.3"),
            "5": (60, "c6", "s5", "2.6"),
        }
        assert not deliveries.redelivered_since(tx, "src", "2")
        assert deliveries.visible_contents(tx, "src", ["2"]) == {"2": contents["2"]}


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("changes", "redelivered"),
    [
        ("", True),
        ("update publication set partition = '2025-01-09' where partition = '2025-01-01'", False),
        ("update publication set ended_snapshot = 9 where id = 3", False),
        ("update publication set ended_snapshot = 9 where id = 2", False),
        ("update publication set id = 9 where id = 2", False),
        ("delete from publication where id = 1", False),
        ("update publication set node = 'other' where id = 3", False),
    ],
)
def test_an_earlier_interval_was_redelivered(store: Store, changes: str, redelivered: bool) -> None:
    """A first delivery that arrives late taken for a redelivery."""
    with store.write(None) as tx:
        publication(tx, 1, "2025-01-01", node="src", ended_snapshot=5)
        publication(tx, 2, "2025-01-02", node="src")
        publication(tx, 3, "2025-01-01", node="src")
        if changes:
            tx.execute(changes)
        assert deliveries.redelivered_since(tx, "src", "2025-01-02") is redelivered


def test_withheld_deliveries_of_a_size_are_of_newest_intervals(store: Store) -> None:
    """The wrong day's file looked for in ten years of deliveries."""
    with store.write(None) as tx:
        _deliver(tx, 1, "000", size_bytes=7, sha256="too old", state="held")
        for number, (size, sha, state) in enumerate(
            [
                (7, "s2", "held"),
                (7, "s3", "rejected"),
                (7, "s4", "published"),
                (7, None, "held"),
                (8, "s6", "held"),
                (7, "s7", "held"),
            ],
            start=2,
        ):
            _deliver(tx, number, f"{number:03}", size_bytes=size, sha256=sha, state=state)
        for number in range(8, 102):
            _deliver(tx, number, f"{number:03}")
        _deliver(tx, 999, "999", size_bytes=7, sha256="s", state="held", source="other")
        found = deliveries.withheld_of_size(tx, "src", "007", 7)
        assert sorted(found) == [("002", "s2"), ("003", "s3")]
        tx.execute("delete from delivery where id = 50")
        assert len(deliveries.withheld_of_size(tx, "src", "007", 7)) == 3
