"""How attempts went: which were lost or lacked resources, and which took long."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

TAKEN_MAX = 5_000
"""So many are told of at once."""
_COLUMNS = "epoch, n, node, partitions, state, coalesce(reason, ''), error, started_at, finished_at, measures"
INPUTS_WINDOW = 50
"""Of so many of a node's newest attempts it is asked how much went into them, and how long they took, …"""
SEARCHED_MAX = 4 * INPUTS_WINDOW
"""… among so many of its newest."""


class Working(msgspec.Struct, frozen=True, gc=False):
    """An attempt that began. `finished_at` is None while it runs; microseconds."""

    attempt: str
    node: str
    partitions: tuple[str, ...]
    state: str
    reason: str
    error: str | None
    started_at: int
    finished_at: int | None
    took_in: InputTotals | None = None
    """None while it runs."""
    processor_wait_seconds: float = 0.0
    """How long it waited while other programs had the processors."""


class InputTotals(msgspec.Struct, frozen=True, gc=False):
    """How much went into an attempt."""

    partitions: int
    rows: int
    bytes: int


def seconds_of(tx: Transaction, node: str) -> list[tuple[str, float]]:
    """(attempt, seconds) of the newest attempts at a node that succeeded, newest first, without what each
    waited for a processor."""
    newest = _newest(tx, node)
    return [(f"{epoch}.{n}", max(0, us) / 1_000_000 - _waited(measures)) for epoch, n, us, _, measures in newest]


def _newest(tx: Transaction, node: str) -> list[tuple[int, int, int, str, str | None]]:
    """(epoch, n, microseconds, partitions, measures) of the newest attempts that succeeded, newest first;
    looked for among so few that a node which fails all the time costs no more."""
    return tx.execute(
        "select epoch, n, finished_at - started_at, partitions, measures from"
        " (select * from attempt where node = :node order by epoch desc, n desc limit :searched) as newest"
        " where state in ('published', 'staged') and started_at is not null and finished_at is not null"
        " order by epoch desc, n desc limit :window",
        {"node": node, "window": INPUTS_WINDOW, "searched": SEARCHED_MAX},
    ).fetchall()


def _waited(measures: str | None) -> float:
    return msgspec.json.decode(measures, type=_Measures).processor_wait_seconds if measures else 0.0


class _Measures(msgspec.Struct, frozen=True, gc=False):
    rows_in: int = 0
    bytes_in: int = 0
    processor_wait_seconds: float = 0.0


def inputs_of(tx: Transaction, node: str) -> list[InputTotals]:
    """How much went into the newest attempts at a node that succeeded, newest first."""
    result = (_inputs(keys, measures) for _, _, _, keys, measures in _newest(tx, node) if measures)
    return [totals for totals in result if totals is not None]


def _inputs(partitions: str, measures: str | None) -> InputTotals | None:
    if not measures:
        return None
    result = msgspec.json.decode(measures, type=_Measures)
    keys = msgspec.json.decode(partitions, type=tuple[str, ...])
    return InputTotals(len(keys), result.rows_in, result.bytes_in)


def known_up_to(tx: Transaction) -> tuple[int, int]:
    """The newest attempt before which all have ended."""
    row = tx.execute("select epoch, n from attempt where state in ('queued', 'running') order by epoch, n limit 1").fetchone()
    if row is not None:
        return int(row[0]), int(row[1]) - 1
    row = tx.execute("select epoch, n from attempt order by epoch desc, n desc limit 1").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def troubled(tx: Transaction, after: tuple[int, int]) -> list[Working]:
    """The attempts after one that were lost, or failed for want of memory or room."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where (epoch, n) > (?, ?) and (state = 'lost' or (state = 'failed' and error like ?))"
        " order by epoch, n limit ?",
        (*after, '%"resources"%', TAKEN_MAX),
    ).fetchall()
    return [_working(row) for row in rows]


def long_ones(tx: Transaction, after: tuple[int, int], least: int, now: int) -> list[Working]:
    """The attempts after one that have run for longer than `least` microseconds, those that still run included."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where (epoch, n) > (?, ?) and started_at is not null"
        " and state in ('published', 'staged', 'held', 'rejected', 'running')"
        " and coalesce(finished_at, ?) - started_at > ? order by epoch, n limit ?",
        (*after, now, least, TAKEN_MAX),
    ).fetchall()
    return [_working(row) for row in rows]


def _working(row: tuple[object, ...]) -> Working:
    epoch, n, node, partitions, state, reason, error, started, finished, measures = row
    keys = msgspec.json.decode(str(partitions), type=tuple[str, ...])
    ended = str(measures) if measures and finished else None
    at = f"{epoch}.{n}", str(node), keys, str(state), str(reason)
    return Working(*at, error, started or 0, finished, _inputs(str(partitions), ended), _waited(ended))  # type: ignore[arg-type]
