"""Reading the audit trail: entries as they are kept, newest first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import partial

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


def commands(tx: Transaction, after: int, actions: Sequence[str], limit: int) -> list[tuple[int, int, str]]:
    """(seq, at, event as canonical JSON) of the entries with these actions after one, oldest first."""
    begins = [f'{{"action":"{action}"%' for action in actions]
    which = " or ".join("event like ?" for _ in begins)
    rows = tx.execute(f"select seq, at, event from audit where seq > ? and ({which}) order by seq limit ?", (after, *begins, limit))
    return [(int(seq), int(at), str(event)) for seq, at, event in rows]


def commands_between(tx: Transaction, first_us: int, last_us: int, actions: Sequence[str], limit: int) -> list[tuple[int, int, str]]:
    """(seq, at, event as canonical JSON) of the newest entries with these actions between two times, oldest first."""
    numbers = range(1, last_seq(tx) + 1)
    first, end = bisect_left(numbers, first_us, key=partial(_at, tx)), bisect_right(numbers, last_us, key=partial(_at, tx))
    begins = [f'{{"action":"{action}"%' for action in actions]
    which = " or ".join("event like ?" for _ in begins)
    rows = tx.execute(
        f"select seq, at, event from audit where seq > ? and seq <= ? and ({which}) order by seq desc limit ?",
        (first, end, *begins, limit),
    )
    return [(int(seq), int(at), str(event)) for seq, at, event in rows][::-1]


def _at(tx: Transaction, seq: int) -> int:
    """When an entry was written: never before the one with the number before."""
    return int(tx.execute("select at from audit where seq = ?", (seq,)).fetchone()[0])


def command(tx: Transaction, seq: int) -> tuple[int, int, str] | None:
    """(seq, at, event as canonical JSON) of one entry."""
    row = tx.execute("select seq, at, event from audit where seq = ?", (seq,)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]), str(row[2]))
