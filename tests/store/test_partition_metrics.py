"""What partitions measured, as it is found for the ones after them."""

from __future__ import annotations

from headrace.store import Store, Transaction
from headrace.store.queries import quality

COLUMNS = (
    "id, node, partition, epoch, n, snapshot, ended_snapshot, published_at, rows, bytes, verdict,"
    " version"
)


def published(
    tx: Transaction,
    number: int,
    partition: str,
    *,
    rows: int = 5,
    ended: int | None = None,
    vector: bytes | None = None,
) -> None:
    tx.execute(
        f"insert into publication ({COLUMNS}) values (?, 'a', ?, 1, ?, 1, ?, 0, ?, 1, 'passed', 1)",
        (number, partition, number, ended, rows),
    )
    quality.write_metrics(tx, [(1, number, "a", partition, vector or partition.encode())])


def test_what_readers_see_before_an_interval_is_found_oldest_first(store: Store) -> None:
    """Would catch: a superseded version, an empty partition or the future among the history; the
    oldest instead of the newest.
    """
    with store.write(None) as tx:
        for day in range(1, 8):
            published(tx, day, f"2024-01-0{day}")
        published(tx, 20, "2024-01-05", ended=3, vector=b"superseded")
        published(tx, 21, "2023-12-31", rows=0)
        quality.write_metrics(tx, [(1, 99, "a", "2024-01-04", b"held")])
        result = quality.metrics_before(tx, "a", "2024-01-06", 3)
        assert [(item[0], item[1]) for item in result] == [
            (key, key.encode()) for key in ("2024-01-03", "2024-01-04", "2024-01-05")
        ]
        assert [item[0] for item in quality.metrics_before(tx, "a", "2024-01-02", 56)] == [
            "2024-01-01"
        ]
        assert quality.metrics_of_attempt(tx, 1, 99, "2024-01-04") == b"held"


def test_partitions_of_another_key_are_no_history(store: Store) -> None:
    """Would catch: a small airport judged by a large one; a key that ends like another."""
    with store.write(None) as tx:
        for number, key in enumerate(
            (
                "2024-01-01/EWR",
                "2024-01-01/JFK",
                "2024-01-02/EWR",
                "2024-01-02/N/EWR",
                "2024-01-03/EWR",
            ),
            1,
        ):
            published(tx, number, key)
        assert [item[0] for item in quality.metrics_before(tx, "a", "2024-01-03/EWR", 56)] == [
            "2024-01-01/EWR",
            "2024-01-02/EWR",
        ]
