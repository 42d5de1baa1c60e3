"""Runs, attempts, partitions and publications as a leader writes them, with a default for each value
that a test doesn't care about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.store import Transaction
from headrace.store.queries import leader_writes
from headrace.store.queries.leader_writes import (
    AttemptEnd,
    AttemptStart,
    PartitionRecord,
    PublicationRecord,
    QuarantineRecord,
)


def run(tx: Transaction, kind: str = "tick", *, now: int = 1, plan: int | None = None) -> int:
    """A run that goes on; its id."""
    return leader_writes.start_run(tx, kind=kind, request="{}", actor="ann", now=now, plan=plan)


def attempt(
    tx: Transaction,
    n: int,
    node: str = "a",
    keys: Sequence[str] = ("d1",),
    *,
    run_id: int = 1,
    epoch: int = 1,
    kind: str = "produce",
    version: int = 1,
    snapshot: int = 1,
    delivery: int | None = None,
    queued: int = 1,
    started: int = 2,
) -> None:
    """An attempt that runs."""
    leader_writes.start_attempts(
        tx,
        [
            AttemptStart(
                epoch,
                n,
                run_id,
                node,
                kind,
                tuple(keys),
                version,
                snapshot,
                delivery,
                queued,
                started,
            )
        ],
    )


def ended(
    tx: Transaction,
    n: int,
    state: str = "published",
    at: int = 10,
    *,
    epoch: int = 1,
    seconds: float = 0.0,
    measures: dict[str, float] | None = None,
    error: dict[str, str] | None = None,
) -> None:
    """The end of an attempt."""
    leader_writes.end_attempts(
        tx,
        [
            AttemptEnd(
                epoch,
                n,
                state,
                at,
                seconds,
                measures=None if measures is None else msgspec.json.encode(measures).decode(),
                error=None if error is None else msgspec.json.encode(error).decode(),
            )
        ],
    )


def published(
    tx: Transaction, number: int, node: str = "a", partition: str = "d1", **changes: Any
) -> None:
    """A publication, by the attempt of the same number; it replaces what was visible."""
    record = PublicationRecord(
        id=number,
        node=node,
        partition=partition,
        epoch=1,
        n=number,
        snapshot=number,
        published_at=number * 10,
        rows=number * 100,
        size_bytes=number * 1000,
        verdict="passed",
        content_hash=f"h{number}",
        identical=False,
        version=1,
        delivery_id=None,
        manifest=None,
    )
    leader_writes.publish(tx, [msgspec.structs.replace(record, **changes)])


def partition(
    tx: Transaction, node: str, key: str, state: str, *, since: int = 5, **changes: Any
) -> None:
    """A partition's state."""
    record = PartitionRecord(node, key, state, False, 0, None, "", since)
    leader_writes.mark_partitions(tx, [msgspec.structs.replace(record, **changes)])


def quarantined(
    tx: Transaction, n: int, node: str = "a", key: str = "d1", state: str = "held", **changes: Any
) -> int:
    """Data of an attempt in quarantine; its number. It supersedes what the partition had there."""
    record = QuarantineRecord(
        node, key, 1, n, state, f"reason {n}", None, n * 10, None, None, n * 100
    )
    leader_writes.quarantine(tx, [msgspec.structs.replace(record, **changes)])
    return int(tx.execute("select max(id) from quarantine").fetchone()[0])


def delivery(
    tx: Transaction, number: int, source: str = "s", key: str = "d1", **changes: Any
) -> None:
    """A delivery of one file."""
    row = {
        "id": number,
        "source": source,
        "partition": key,
        "path": f"{key}.csv",
        "size_bytes": 1,
        "modified_us": 2,
        "claimed_at": 3,
        "observed_at": number * 10,
        "arrived_at": number * 10 - 1,
        "state": "published",
    } | changes
    tx.execute(
        f"insert into delivery ({', '.join(row)}) values ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )


def check(
    tx: Transaction, n: int, node: str = "a", key: str = "d1", name: str = "unique", **changes: Any
) -> None:
    """The outcome of a check in an attempt."""
    row = {
        "epoch": 1,
        "n": n,
        "node": node,
        "partition": key,
        "name": name,
        "kind": "unique",
        "severity": "blocking",
        "outcome": "passed",
        "rows": 7,
        "failing": 0,
        "detail": "",
        "at": n,
    } | changes
    leader_writes.write_checks(tx, [tuple(row.values())])
