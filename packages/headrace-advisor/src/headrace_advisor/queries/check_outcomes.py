"""What checks came to over all their evaluations."""

from __future__ import annotations

from headrace.store import Transaction


def check_counts(tx: Transaction) -> dict[tuple[str, str], int]:
    """Return the number of evaluations on rows, by (node, check)."""
    rows = tx.execute(
        "select node, name, count(*) from check_result where outcome <> 'unchecked' group by node,"
        " name"
    ).fetchall()
    return {(row[0], row[1]): int(row[2]) for row in rows}


def check_flips(tx: Transaction) -> dict[tuple[str, str], list[str]]:
    """Return partitions where a check both passed and failed on the same data, by (node, check).

    The version is the same, and so are the delivered bytes, the published content, or the snapshot
    of an asset's inputs. `freshness` is excluded, because ages grow.
    """
    same = "coalesce(d.sha256, p.content_hash)"
    results: dict[tuple[str, str], dict[str, None]] = {}
    for identity, kind in (
        (same, "take_in"),
        (same, "produce"),
        ("cast(a.snapshot_read as text)", "produce"),
    ):
        rows = tx.execute(
            "select c.node, c.name, c.partition from check_result c join attempt a on a.epoch ="
            " c.epoch and a.n = c.n left join publication p on p.epoch = c.epoch and p.n = c.n and"
            " p.partition = c.partition left join delivery d on d.id = a.delivery_id where"
            " c.outcome in ('passed', 'failed') and c.kind <> 'freshness' and a.kind = :kind and"
            f" {identity} is not null group by c.node, c.name, c.partition, a.version, {identity}"
            " having count(distinct c.outcome) > 1 order by c.node, c.name, c.partition",
            {"kind": kind},
        )
        for node, name, partition in rows:
            results.setdefault((node, name), {})[partition] = None
    return {key: list(partitions) for key, partitions in results.items()}
