"""Bodies of which it was seen whether several partitions computed at once come to what one alone comes to."""

from __future__ import annotations

from headrace.store.database import Transaction


def record(tx: Transaction, node: str, fingerprint: str, *, proven: bool) -> None:
    """A body with that fingerprint was tried: `proven`, or seen to come to something else."""
    tx.execute(
        "insert into batching (node, fingerprint, proven) values (?, ?, ?)"
        " on conflict (node) do update set fingerprint = excluded.fingerprint, proven = excluded.proven",
        (node, fingerprint, int(proven)),
    )


def known(tx: Transaction) -> dict[str, tuple[str, bool]]:
    """Node → the fingerprint of the body that was tried last, and whether it was proven."""
    rows = tx.execute("select node, fingerprint, proven from batching").fetchall()
    return {str(node): (str(fingerprint), bool(proven)) for node, fingerprint, proven in rows}


def proven(tx: Transaction, node: str, fingerprint: str) -> bool:
    """Whether exactly this body was seen to come to the same."""
    row = tx.execute("select proven from batching where node = ? and fingerprint = ?", (node, fingerprint)).fetchone()
    return row is not None and bool(row[0])
