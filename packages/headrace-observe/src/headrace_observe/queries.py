"""What collectors read: ended attempts for OpenLineage, runs and attempts for traces, counts for
metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from headrace.store import Transaction
from headrace.store.queries.ledger import ATTEMPT, AttemptRecord
from headrace.store.queries.publications import HAS_ITS_ROWS
from headrace.store.queries.telemetry import (
    LineageCursor,
    lineage_cursor,
    save_lineage_cursor,
)

# Attempts in the order in which they ended, for OpenLineage events.

_COLUMNS = (
    "a.epoch, a.n, a.run_id, a.node, a.kind, a.partitions, a.state, a.version, a.delivery_id,"
    " coalesce(a.dispatched_at, a.queued_at), a.queued_at, a.finished_at, a.error, r.kind,"
    " r.started_at"
)
_FROM = "from attempt a join run r on r.id = a.run_id"


class LineageAttempt(msgspec.Struct, frozen=True):
    """The fields of an attempt in lineage events. Times are microseconds of the store's clock.

    `finished_at` is None while the attempt runs.
    """

    epoch: int
    n: int
    run_id: int
    node: str
    kind: str
    partitions: tuple[str, ...]
    state: str
    version: int | None
    delivery_id: int | None
    begun_at: int
    queued_at: int
    finished_at: int | None
    error: dict[str, Any] | None
    run_kind: str
    run_started_at: int

    @property
    def id(self) -> tuple[int, int]:
        """Epoch and number."""
        return self.epoch, self.n


class Checked(msgspec.Struct, frozen=True):
    """What one check of an attempt came to, over all its partitions."""

    name: str
    kind: str
    severity: str
    rows: int
    failing: int
    failed: bool


class AttemptSummary(msgspec.Struct, frozen=True):
    """What an attempt came to: rows, bytes and newest snapshot of what it made visible (None for
    nothing), its checks, and of what was looked at how many rows there were and how many values
    each column had."""

    rows: int | None
    bytes: int | None
    snapshot: int | None
    checks: tuple[Checked, ...] = ()
    audited: int | None = None
    columns: dict[str, dict[str, int]] = {}


def begin_lineage(tx: Transaction) -> None:
    """Start lineage events with attempts that end from now on, unless they have already started."""
    row = tx.execute(
        "select max(finished_at) from attempt where finished_at is not null"
    ).fetchone()
    if lineage_cursor(tx) is None:
        save_lineage_cursor(tx, LineageCursor(int(row[0] or 0), epoch=1 << 62))


def ended_attempts(tx: Transaction, after: LineageCursor, limit: int) -> list[LineageAttempt]:
    """The next attempts that have ended, in the order of their ends."""
    rows = tx.execute(
        f"select {_COLUMNS} {_FROM} where a.finished_at >= :at and (a.finished_at > :at or a.epoch"
        " > :epoch or (a.epoch = :epoch and a.n > :n)) order by a.finished_at, a.epoch, a.n limit"
        " :limit",
        {"at": after.at, "epoch": after.epoch, "n": after.n, "limit": limit},
    )
    return _lineage_attempts(rows)


def attempts_under_way(tx: Transaction, limit: int) -> list[LineageAttempt]:
    """Attempts that run."""
    rows = tx.execute(
        f"select {_COLUMNS} {_FROM} where a.state = 'running' order by a.epoch, a.n limit :limit",
        {"limit": limit},
    )
    return _lineage_attempts(rows)


def attempt_summary(tx: Transaction, attempt: LineageAttempt) -> AttemptSummary:
    """What an attempt came to; without its rows if some were removed since then (retention)."""
    row = tx.execute(
        f"select case when min(case when {HAS_ITS_ROWS} then 1 else 0 end) = 1 then sum(rows) end,"
        " sum(bytes), max(snapshot) from publication where epoch = ? and n = ?",
        attempt.id,
    ).fetchone()
    rows, size, snapshot = (None if value is None else int(value) for value in row)
    audited, columns = _profiled(tx, attempt)
    return AttemptSummary(rows, size, snapshot, tuple(_checked(tx, *attempt.id)), audited, columns)


class _Counts(msgspec.Struct):
    rows: int
    nulls: int


def _profiled(
    tx: Transaction, attempt: LineageAttempt
) -> tuple[int | None, dict[str, dict[str, int]]]:
    """Rows, and values and nulls by column, over all partitions; counts alone, so that no value
    leaves.
    """
    rows: int | None = None
    columns: dict[str, dict[str, int]] = {}
    for (encoded,) in tx.execute(
        "select columns from profile where epoch = ? and n = ?", attempt.id
    ):
        results = msgspec.json.decode(encoded, type=dict[str, _Counts])
        rows = (rows or 0) + max((column.rows for column in results.values()), default=0)
        for name, column in results.items():
            counts = columns.setdefault(name, {"nullCount": 0, "count": 0})
            counts["nullCount"] += column.nulls
            counts["count"] += column.rows - column.nulls
    return rows, columns


def _checked(tx: Transaction, epoch: int, n: int) -> list[Checked]:
    """The checks of an attempt that looked at rows, by name."""
    rows = tx.execute(
        "select name, min(kind), min(severity), sum(rows), sum(failing), max(case when outcome ="
        " 'failed' then 1 else 0 end) from check_result where epoch = :epoch and n = :n and outcome"
        " in ('passed', 'failed') group by name order by name",
        {"epoch": epoch, "n": n},
    )
    return [Checked(row[0], row[1], row[2], int(row[3]), int(row[4]), bool(row[5])) for row in rows]


def _lineage_attempts(rows: Iterable[tuple[Any, ...]]) -> list[LineageAttempt]:
    return [_lineage_attempt(row) for row in rows]


def _lineage_attempt(row: tuple[Any, ...]) -> LineageAttempt:
    values = list(row)
    values[5] = tuple(msgspec.json.decode(values[5]))
    values[12] = None if values[12] is None else msgspec.json.decode(values[12])
    return LineageAttempt(*values)


# Runs and attempts in the order in which they ended, for collectors of traces.


class Ran(NamedTuple):
    """A run. Times are microseconds of the store's clock; `finished_at` is None while
    it goes on.
    """

    id: int
    kind: str
    state: str
    started_at: int
    finished_at: int | None


def newest_end(tx: Transaction) -> int:
    """When the newest attempt ended; 0 for none."""
    return int(
        tx.execute(
            "select coalesce(max(finished_at), 0) from attempt where finished_at is not null"
        ).fetchone()[0]
    )


def ended_of_epoch(
    tx: Transaction, epoch: int, after: tuple[int, int], limit: int
) -> list[tuple[str, AttemptRecord]]:
    """The next attempts of a leader that have ended after a time and number, each with its node, in
    the order of their ends.
    """
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.finished_at >= :at and (a.finished_at >"
        " :at or a.n > :n) and a.epoch = :epoch order by a.finished_at, a.epoch, a.n limit :limit",
        {"epoch": epoch, "at": after[0], "n": after[1], "limit": limit},
    )
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def traced_run(tx: Transaction, number: int) -> Ran | None:
    """One run, whether it goes on or not."""
    row = tx.execute(
        "select id, kind, state, started_at, finished_at from run where id = :id", {"id": number}
    ).fetchone()
    return None if row is None else Ran(*row)


# Counts for `/metrics`. Each is read from an index of what is open, so that none grows with the
# history.


class OpenWork(msgspec.Struct, frozen=True):
    """What is under way. `oldest_us` is when the oldest attempt of it was queued, None where there
    is none.
    """

    attempts: dict[str, int]
    oldest_us: int | None
    requests: int


class LastObservation(msgspec.Struct, frozen=True):
    """The newest look at a source, in microseconds of the store's clock."""

    at: int
    failed: bool


def open_work(tx: Transaction, nodes: Collection[str] | None = None) -> OpenWork:
    """Attempts that are queued or running, and requests that nobody has answered.

    With `nodes`, the attempts of these nodes.
    """
    rows = tx.execute(
        "select node, state, count(*), min(queued_at) from attempt where state in ('queued',"
        " 'running') group by node, state"
    ).fetchall()
    rows = [row for row in rows if nodes is None or row[0] in nodes]
    requests = tx.execute(
        "select count(*) from request where state in ('waiting', 'taken')"
    ).fetchone()[0]
    results = {"queued": 0, "running": 0}
    for _, state, count, _ in rows:
        results[str(state)] += int(count)
    return OpenWork(results, min((int(row[3]) for row in rows), default=None), int(requests))


def partitions_open(tx: Transaction, nodes: Collection[str] | None = None) -> dict[str, int]:
    """State → how many partitions are in it, of those that aren't published.

    With `nodes`, the partitions of these nodes.
    """
    return _counted(
        tx.execute(
            "select node, state, count(*) from partition where state <> 'published' group by node,"
            " state order by state, node"
        ),
        nodes,
    )


def incidents_open(tx: Transaction, nodes: Collection[str] | None = None) -> dict[str, int]:
    """Kind → how many incidents of it aren't resolved; with `nodes`, those of these nodes."""
    return _counted(
        tx.execute(
            "select node, kind, count(*) from incident where state <> 'resolved' group by node,"
            " kind order by kind, node"
        ),
        nodes,
    )


def _counted(rows: Iterable[tuple[Any, ...]], nodes: Collection[str] | None) -> dict[str, int]:
    """Return value → count of rows of (node, value, count), over the nodes (None: all)."""
    results: dict[str, int] = {}
    for node, value, count in rows:
        if nodes is None or node in nodes:
            results[str(value)] = results.get(str(value), 0) + int(count)
    return results


def last_observations(tx: Transaction, sources: Iterable[str]) -> dict[str, LastObservation]:
    """Source → its newest look; sources that haven't been observed aren't in it."""
    observations = {}
    for source in sources:
        row = tx.execute(
            "select at, error from look where source = :source order by at desc limit 1",
            {"source": source},
        ).fetchone()
        if row is not None:
            observations[source] = LastObservation(int(row[0]), row[1] is not None)
    return observations
