"""Which bytes outside of the lake the state still needs, and which it doesn't any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.store.database import Transaction


class RetainedDelivery(NamedTuple):
    """A delivery whose bytes are kept."""

    source: str
    sha256: str
    arrived_at: int


def deliveries(tx: Transaction) -> list[RetainedDelivery]:
    """All deliveries whose bytes were kept by content, with their times in microseconds."""
    return [
        RetainedDelivery(*row) for row in tx.execute("select source, sha256, arrived_at from delivery where sha256 is not null").fetchall()
    ]


def quarantined_paths(tx: Transaction) -> set[str]:
    """What waits in quarantine: paths relative to the data folder."""
    rows = tx.execute("select path from quarantine where state in ('held', 'rejected') and path is not null").fetchall()
    return {path for (path,) in rows}


def published_files(tx: Transaction, ended_after_us: int) -> dict[str, Mapping[str, Any]]:
    """Path relative to the data folder → its entry (`size`, `sha256`) for files that publications without a table consist of: of those
    that readers see, and of those that ended later than this."""
    rows = tx.execute(
        "select manifest from publication where manifest is not null and (ended_snapshot is null or ended_at > ?)", (ended_after_us,)
    ).fetchall()
    # what was exported is listed as well, by its target: that isn't ours to keep
    return {str(entry["path"]): entry for (text,) in rows for entry in msgspec.json.decode(text) if "path" in entry}


def digests_in_use(tx: Transaction) -> set[str]:
    """The versions whose code may run: the newest, and those of attempts that haven't ended."""
    rows = tx.execute(
        "select hash from version where id = (select max(id) from version) or id in"
        " (select version from attempt where state in ('queued', 'running'))"
    ).fetchall()
    return {digest for (digest,) in rows}


def expiring_snapshots(tx: Transaction, before: str) -> int:
    """How many snapshots of the lake were replaced before a time (text of the catalog): the one that readers saw then is kept."""
    row = tx.execute(
        "select count(*) from ducklake_snapshot where snapshot_id < "
        "(select max(snapshot_id) from ducklake_snapshot where snapshot_time <= :before)",
        {"before": before},
    ).fetchone()
    return int(row[0])
