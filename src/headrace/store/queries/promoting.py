"""Publications that an environment made and production takes over: the attempt's row, and what the audit came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.database import Transaction

FIRST = 900_000_000
"""Numbers of attempts from here on are of what was brought in, and not computed here."""


def add_attempt(tx: Transaction, *, epoch: int, run_id: int, node: str, keys: Sequence[str], version: int, reason: str, now: int) -> int:
    """A row for what is brought in of a node, so that its publications belong to something; its number. It took no time of its own."""
    row = tx.execute("select max(n) from attempt where epoch = ? and n >= ? and n < ?", (epoch, FIRST, FIRST + FIRST // 9)).fetchone()
    n = FIRST if row is None or row[0] is None else int(row[0]) + 1
    tx.execute(
        "insert into attempt (epoch, n, run_id, node, kind, partitions, state, version, queued_at, finished_at, published_at, reason)"
        " values (?, ?, ?, ?, 'produce', ?, 'published', ?, ?, ?, ?, ?)",
        (epoch, n, run_id, node, msgspec.json.encode(list(keys)).decode(), version, now, now, now, reason),
    )
    return n


def checks_of(tx: Transaction, epoch: int, n: int, node: str, partition: str) -> list[tuple[Any, ...]]:
    """(name, kind, severity, outcome, rows, failing, detail) of the checks that an attempt made of a partition."""
    return tx.execute(
        "select name, kind, severity, outcome, rows, failing, detail from check_result"
        " where epoch = ? and n = ? and node = ? and partition = ? order by name",
        (epoch, n, node, partition),
    ).fetchall()


def profile_of(tx: Transaction, epoch: int, n: int, partition: str) -> str | None:
    """The profile that an attempt took of a partition, as JSON."""
    row = tx.execute("select columns from profile where epoch = ? and n = ? and partition = ?", (epoch, n, partition)).fetchone()
    return None if row is None else str(row[0])


def mark_verdicts(tx: Transaction, rows: Iterable[tuple[str, int, int]]) -> None:
    """(verdict, epoch, n) of attempts."""
    tx.executemany("update attempt set verdict = ? where epoch = ? and n = ?", rows)
