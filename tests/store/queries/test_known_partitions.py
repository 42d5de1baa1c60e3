"""An evaluation reads partitions in ranges: each is what its own rows say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from written_rows import partition, published, quarantined

from headrace.slo.known_partitions import KnownPartitions
from headrace.store import Store, Transaction
from headrace.store.queries import partition_states, publications, quarantine
from headrace.store.transaction import Cursor

DAYS = 60


class Counted(Transaction):
    """A transaction that counts its statements."""

    __slots__ = ("asked", "tx")

    def __init__(self, tx: Transaction) -> None:
        self.tx, self.asked = tx, 0

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """Count a statement, and run it."""
        self.asked += 1
        return self.tx.execute(sql, parameters)


@pytest.fixture
def filled(store: Store) -> Store:
    """Every third of the node's days is missing; the others are in all states."""
    with store.write(None) as tx:
        published(tx, 900, "other", "d01")
        for day in range(DAYS):
            key = f"d{day:02}"
            if day % 3 == 0:
                continue
            if day % 4:
                published(tx, 2 * day + 1, "a", key)
                published(tx, 2 * day + 2, "a", key)
            if day % 5 == 0:
                quarantined(tx, 1000 + day, "a", key)
                partition(tx, "a", key, "held", reason="boom", since=day, not_before=day)
            elif not day % 4:
                partition(tx, "a", key, "waiting", stale=True, since=day)
        numbers = [item.id for item in quarantine.waiting(tx)]
        quarantine.decide(tx, numbers[::2], "dropped", 78)
    return store


@pytest.mark.parametrize("seed", range(5))
def test_a_range_says_what_each_partition_says(filled: Store, seed: int) -> None:
    """Would catch: a partition at the end of a range, or of another node; the newest publication in
    place of the first; a drop that was replaced."""
    keys = [f"d{day:02}" for day in range(-1, DAYS + 2)] + ["", "*", "~"]
    random.Random(seed).shuffle(keys)
    with filled.read() as tx:
        counted = Counted(tx)
        known = KnownPartitions(counted)
        known.expected = ["other", "a"]
        for key in keys:
            row, found = partition_states.get(tx, "a", key), known.get("a", key)
            assert (row is None) == (found is None)
            if row is None or found is None:
                continue
            dropped = quarantine.dropped(tx, "a", key)
            first = publications.first_published(tx, "a", key)
            assert found == (
                "a",
                key,
                row.state,
                row.publication_id is not None,
                row.stale,
                row.reason or "",
                row.since,
                row.not_before,
                None if dropped is None else dropped.at,
                *(first or (None, None)),
            )
            assert known.get("other", "d01") is not None
        assert counted.asked <= 4
