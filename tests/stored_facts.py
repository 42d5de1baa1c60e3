"""Writes a small world into a store, as the leader would have."""

from __future__ import annotations

from small_facts import SmallFacts

from headrace.store import Transaction


def write_facts(tx: Transaction, facts: SmallFacts) -> None:
    """Everything of the world but its obligations; what was there before is replaced."""
    for table in ("publication", "partition", "attempt", "run", "delivery", "look", "quarantine"):
        tx.execute(f"delete from {table}")
    tx.execute(
        "insert into run (id, kind, request, actor, state, started_at) values (1, 'tick', '{}',"
        " 't', 'succeeded', 0)"
    )
    ids = _write_publications(tx, facts)
    for (node, partition), item in facts.partition_states.items():
        tx.execute(
            "insert into partition (node, partition, state, stale, publication_id, reason, since)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            (
                node,
                partition,
                item.state,
                int(item.stale or node in facts.stale),
                ids.get((node, partition)),
                item.reason or None,
                item.since_us,
            ),
        )
        if item.state in ("held", "rejected"):
            tx.execute(
                "insert into quarantine (node, partition, epoch, n, state, reason, at) values (?,"
                " ?, 1, 0, ?, ?, ?)",
                (node, partition, item.state, item.reason, item.since_us),
            )
    for source, partition in facts.delivered.items():
        tx.execute(
            "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
            " observed_at, arrived_at, state) values (?, ?, 'x', 0, 0, 0, 0, 0, 'published')",
            (source, partition),
        )
    for source, observations in facts.looked.items():
        tx.executemany(
            "insert into look (source, at, found) values (?, ?, 0)",
            [(source, at) for at in set(observations)],
        )


def _write_publications(tx: Transaction, facts: SmallFacts) -> dict[tuple[str, str], int]:
    ids: dict[tuple[str, str], int] = {}
    for number, item in enumerate(
        sorted(facts.publications, key=lambda one: (one.at_us, one.snapshot)), start=1
    ):
        tx.execute(
            "update publication set ended_snapshot = ?, ended_at = ? where node = ? and partition ="
            " ? and ended_snapshot is null",
            (item.snapshot, item.at_us, item.node, item.partition),
        )
        tx.execute(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, snapshot_read,"
            " queued_at) values (1, ?, 1, ?, 'produce', '[]', 'published', ?, 0)",
            (number, item.node, item.read),
        )
        tx.execute(
            "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows,"
            " bytes, verdict, version) values (?, ?, ?, 1, ?, ?, ?, ?, 0, ?, 1)",
            (
                number,
                item.node,
                item.partition,
                number,
                item.snapshot,
                item.at_us,
                item.rows,
                item.verdict,
            ),
        )
        ids[item.node, item.partition] = number
    return ids
