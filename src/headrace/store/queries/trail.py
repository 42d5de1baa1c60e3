"""Reading the audit trail: entries as they are kept, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterator

from headrace.store.database import Transaction


def entries(tx: Transaction, *, since_us: int | None) -> Iterator[tuple[int, str, str]]:
    """(seq, event as canonical JSON, hash), newest first, of those written at or after `since_us`."""
    rows = tx.execute("select seq, event, hash from audit where at >= ? order by seq desc", (0 if since_us is None else since_us,))
    return ((seq, event, digest) for seq, event, digest in rows)


def entry(tx: Transaction, seq: int) -> tuple[int, str, str] | None:
    """One entry by its number."""
    row = tx.execute("select seq, event, hash from audit where seq = ?", (seq,)).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def seq_of(tx: Transaction, digest: str) -> int | None:
    """Which entry has this hash."""
    row = tx.execute("select seq from audit where hash = ?", (digest,)).fetchone()
    return None if row is None else int(row[0])


def last_seq(tx: Transaction) -> int:
    """The number of the newest entry, 0 for none."""
    return int(tx.execute("select coalesce(max(seq), 0) from audit").fetchone()[0])


def waiver_of(tx: Transaction, consumer: str, interval: str, at_us: int) -> str | None:
    """The id of the actor who waived an obligation at that time; None where no entry says so."""
    rows = tx.execute(
        "select event from audit where at = ? and event like ? order by seq desc",
        (at_us, '{"action":"obligation.waived"%'),
    ).fetchall()
    for (text,) in rows:
        event = json.loads(text)
        if event["object"]["id"] == f"{consumer}@{interval}":
            return str(event["actor"]["id"])
    return None
