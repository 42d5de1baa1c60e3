"""Failures: failed and not yet published partitions, and lost or slow attempts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.store.queries import attempts
from headrace.store.queries.quarantine import dropped_partitions
from headrace.store.transaction import Transaction

# Partitions whose newest attempt failed, was rejected or was lost: the ones that `retry` starts
# again.

WITHOUT_DATA = ("failed", "rejected", "lost")
"""States of attempts that failed, whatever the reason."""
WITH_RESULT = ("published", "held", *WITHOUT_DATA)
"""States of attempts that came to an end by themselves."""

_KEYS = msgspec.json.Decoder(list[str])


def failed_in_run(tx: Transaction, run_id: int) -> list[tuple[str, str]]:
    """Return (node, partition) failed, rejected or lost in a run, and not published since.

    What somebody dropped isn't among them.
    """
    rows = tx.execute(
        "select node, partitions from attempt where run_id = :run and state in ('failed',"
        " 'rejected', 'lost') order by epoch, n",
        {"run": run_id},
    ).fetchall()
    results = dict.fromkeys((node, key) for node, keys in rows for key in _KEYS.decode(keys))
    return _without_dropped(tx, filter(_still_failed(tx, run_id).__contains__, results))


def failed_at_node(
    tx: Transaction, node: str, partition: str | None = None
) -> list[tuple[str, str]]:
    """Return a node's (node, partition) that failed, were rejected, or wait for a retry.

    Those whose newest attempt failed, was rejected or lost before `apply` let them wait for new
    code are included. What somebody dropped isn't.
    """
    item = "" if partition is None else " and partition = :partition"
    rows = tx.execute(
        "select partition, state = 'waiting' and failures = 0 from partition where node = :node and"
        f" state <> 'published' and state in ('failed', 'rejected', 'waiting'){item} order by"
        " partition",
        {"node": node, "partition": partition},
    ).fetchall()
    waiting = [(node, key) for key, waits in rows if waits]
    tried = attempts.newest_at(tx, waiting, WITH_RESULT) if waiting else {}
    failed = {place for place, attempt in tried.items() if attempt.state in WITHOUT_DATA}
    results = [(node, key) for key, waits in rows if not waits or (node, key) in failed]
    return _without_dropped(tx, results)


def _without_dropped(tx: Transaction, places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    failed = list(places)
    dropped = dropped_partitions(tx, failed) if failed else ()
    return [place for place in failed if place not in dropped]


def _still_failed(tx: Transaction, run_id: int) -> set[tuple[str, str]]:
    """Return the partitions without a later result of all nodes that failed in a run."""
    rows = tx.execute(
        "select node, partition from partition where state <> 'published' and state in ('failed',"
        " 'rejected', 'waiting', 'missing') and node in (select node from attempt where run_id = ?"
        " and state in ('failed', 'rejected', 'lost'))",
        (run_id,),
    )
    return {(node, key) for node, key in rows}


def failing_nodes(tx: Transaction) -> list[str]:
    """Return the nodes with failed partitions that weren't published since, by name."""
    return [
        node
        for (node,) in tx.execute(
            "select distinct node from partition where state <> 'published' and state = 'failed'"
            " order by node"
        )
    ]


class NodeFailure(msgspec.Struct, frozen=True):
    """A node's newest attempt, which failed. `finished_at` is in microseconds.

    `partition` is the first of its partitions; `error` is JSON.
    """

    node: str
    partition: str
    reason: str
    error: str
    finished_at: int


def newest_failures(tx: Transaction, version: int) -> list[NodeFailure]:
    """Return each node's newest attempt if it failed at this version and its partition still is."""
    failures = []
    for node in failing_nodes(tx):
        row = tx.execute(
            "select state, version, partitions, coalesce(reason, ''), error, finished_at from"
            " attempt where node = ? order by epoch desc, n desc limit 1",
            (node,),
        ).fetchone()
        if row is None or row[0] != "failed" or row[1] != version or row[4] is None:
            continue
        key = msgspec.json.decode(row[2])[0]
        state = tx.execute(
            "select state from partition where node = ? and partition = ?", (node, key)
        ).fetchone()
        if state is not None and state[0] == "failed":
            failures.append(NodeFailure(node, key, *row[3:]))
    return failures


def unpublished_partitions(tx: Transaction, node: str) -> list[str]:
    """Return a node's partitions that are stale, or in any state other than `published`."""
    rows = tx.execute(
        "select partition from partition where node = ? and (state <> 'published' or stale <> 0)",
        (node,),
    )
    return [key for (key,) in rows.fetchall()]


def failed_held_or_rejected(tx: Transaction, limit: int) -> list[tuple[str, str, str]]:
    """Return (node, partition, state) of failed, held and rejected partitions, in order."""
    return tx.execute(
        "select node, partition, state from partition where state <> 'published' and state in"
        " ('failed', 'held', 'rejected') order by node, partition limit ?",
        (limit,),
    ).fetchall()


# Attempts that were lost, lacked memory or disk space, or took long. Evidence for incidents is
# gathered from these.

TROUBLED_MAX = 5_000
"""At most this number of attempts is returned at once."""
_COLUMNS = (
    "epoch, n, node, partitions, state, coalesce(reason, ''), error, started_at, finished_at,"
    " measures"
)
INPUTS_WINDOW = 50
"""Number of a node's newest successful attempts whose inputs and durations are read."""
SEARCHED_MAX = 4 * INPUTS_WINDOW
"""Number of newest attempts to search for them."""


class Working(msgspec.Struct, frozen=True, gc=False):
    """A started attempt. Times are microseconds; `finished_at` is None while it runs."""

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
    """Seconds for which it waited for a processor used by other programs."""


class InputTotals(msgspec.Struct, frozen=True, gc=False):
    """Total inputs of an attempt."""

    partitions: int
    rows: int
    bytes: int


def seconds_of_node(tx: Transaction, node: str) -> list[tuple[str, float]]:
    """Return (attempt, seconds) of a node's newest successful attempts, newest first.

    Waits for a processor are subtracted.
    """
    newest = _newest_succeeded(tx, node)
    return [
        (f"{epoch}.{n}", max(0, us) / 1_000_000 - _processor_wait(measures))
        for epoch, n, us, _, measures in newest
    ]


def _newest_succeeded(tx: Transaction, node: str) -> list[tuple[int, int, int, str, str | None]]:
    """Return (epoch, n, microseconds, partitions, measures) of successful attempts, newest first.

    Only the newest attempts are searched, to limit the cost of nodes that always fail.
    """
    return tx.execute(
        "select epoch, n, finished_at - started_at, partitions, measures from (select * from"
        " attempt where node = :node order by epoch desc, n desc limit :searched) as newest where"
        " state in ('published', 'staged') and started_at is not null and finished_at is not null"
        " order by epoch desc, n desc limit :window",
        {"node": node, "window": INPUTS_WINDOW, "searched": SEARCHED_MAX},
    ).fetchall()


def _processor_wait(measures: str | None) -> float:
    return msgspec.json.decode(measures, type=_Measures).processor_wait_seconds if measures else 0.0


class _Measures(msgspec.Struct, frozen=True, gc=False):
    rows_in: int = 0
    bytes_in: int = 0
    processor_wait_seconds: float = 0.0


def inputs_of_node(tx: Transaction, node: str) -> list[InputTotals]:
    """Return the total inputs of a node's newest successful attempts, newest first."""
    return [
        _inputs(keys, measures)
        for _, _, _, keys, measures in _newest_succeeded(tx, node)
        if measures
    ]


def _inputs(partitions: str, measures: str) -> InputTotals:
    result = msgspec.json.decode(measures, type=_Measures)
    keys = msgspec.json.decode(partitions, type=tuple[str, ...])
    return InputTotals(len(keys), result.rows_in, result.bytes_in)


def ended_up_to(tx: Transaction) -> tuple[int, int]:
    """Return the newest attempt up to which all attempts have ended."""
    row = tx.execute(
        "select epoch, n from attempt where state in ('queued', 'running') order by epoch, n"
        " limit 1"
    ).fetchone()
    if row is not None:
        return int(row[0]), int(row[1]) - 1
    row = tx.execute("select epoch, n from attempt order by epoch desc, n desc limit 1").fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def lost_or_short(tx: Transaction, after: tuple[int, int]) -> list[Working]:
    """Return the attempts after one that were lost, or ran out of memory or disk space."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where (epoch, n) > (?, ?) and (state = 'lost' or (state ="
        " 'failed' and error like ?)) order by epoch, n limit ?",
        (*after, '%"resources"%', TROUBLED_MAX),
    ).fetchall()
    return [_working(row) for row in rows]


def long_running(tx: Transaction, after: tuple[int, int], least: int, now: int) -> list[Working]:
    """Return attempts after one that took more than `least` microseconds, or have so far."""
    rows = tx.execute(
        f"select {_COLUMNS} from attempt where (epoch, n) > (?, ?) and started_at is not null"
        " and state in ('published', 'staged', 'held', 'rejected', 'running')"
        " and coalesce(finished_at, ?) - started_at > ? order by epoch, n limit ?",
        (*after, now, least, TROUBLED_MAX),
    ).fetchall()
    return [_working(row) for row in rows]


def _working(row: tuple[object, ...]) -> Working:
    epoch, n, node, partitions, state, reason, error, started, finished, measures = row
    keys = msgspec.json.decode(str(partitions), type=tuple[str, ...])
    ended = str(measures) if measures and finished else None
    inputs = None if ended is None else _inputs(str(partitions), ended)
    at = f"{epoch}.{n}", str(node), keys, str(state), str(reason)
    times = started or 0, finished
    return Working(*at, error, *times, inputs, _processor_wait(ended))  # type: ignore[arg-type]
