"""What attempts at single partitions took and read, and when schemas changed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.store.transaction import Transaction

ATTEMPTS_MAX = 500
"""At most this many of a node's newest attempts are compared."""
SEARCHED_MAX = 2_000
"""They are searched among this many of its newest ones."""


class AttemptDuration(NamedTuple):
    """One attempt at one partition. Times are microseconds; durations are the worker's."""

    epoch: int
    n: int
    partition: str
    finished_at: int
    version: int | None
    rows_in: int
    run_us: int
    processor_wait_us: int
    environment: str | None


class _Measures(msgspec.Struct):
    rows_in: int = 0
    seconds: float = 0.0
    audit_seconds: float = 0.0
    processor_wait_seconds: float = 0.0
    environment: str | None = None


def of_single_partitions(
    tx: Transaction, node: str, from_us: int, until_us: int
) -> list[AttemptDuration]:
    """Return a node's newest attempts with a result that ended in a window, oldest first.

    Backfills and attempts at several partitions are left out, since they aren't comparable.
    """
    rows = tx.execute(
        "select a.epoch, a.n, a.partitions, a.finished_at, a.version, a.measures from"
        " (select * from attempt where node = :node order by epoch desc, n desc limit :searched) a"
        " join run r on r.id = a.run_id where a.kind <> 'export' and a.state in ('published',"
        " 'held', 'rejected') and a.finished_at > :since and a.finished_at <= :until and r.plan_id"
        " is null and a.partitions not like '%,%' and a.measures is not null order by a.epoch desc,"
        " a.n desc limit :limit",
        {
            "node": node,
            "since": from_us,
            "until": until_us,
            "limit": ATTEMPTS_MAX,
            "searched": SEARCHED_MAX,
        },
    ).fetchall()
    durations = []
    for epoch, n, partitions, finished_at, version, content in reversed(rows):
        measures = msgspec.json.decode(content, type=_Measures)
        durations.append(
            AttemptDuration(
                epoch,
                n,
                str(msgspec.json.decode(partitions)[0]),
                finished_at,
                version,
                measures.rows_in,
                round(measures.seconds * 1e6),
                round(measures.processor_wait_seconds * 1e6),
                measures.environment,
            )
        )
    return durations


class SchemaChange(NamedTuple):
    """A delivery whose schema wasn't the expected one. `at` is in microseconds."""

    source: str
    partition: str
    at: int
    column: str
    kind: str


def schema_changes(tx: Transaction, source: str, from_us: int, until_us: int) -> list[SchemaChange]:
    """Return the first schema change of each delivery of a source in a window, oldest first."""
    rows = tx.execute(
        "select source, partition, at, column_name, kind from drift where source = :source and at >"
        " :since and at <= :until order by at, id limit :limit",
        {"source": source, "since": from_us, "until": until_us, "limit": ATTEMPTS_MAX},
    ).fetchall()
    return [SchemaChange(*row) for row in rows]
