"""Runs as other tools count them: those that started, and those of them in which nothing failed.

A `tick` or `run` with nothing due starts nothing: it isn't counted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from headrace.store.database import Transaction

GOOD = (
    "coalesce(r.good, case when r.cancelled_at is null and (r.state = 'succeeded'"
    " or (r.state in ('failed', 'partial') and not exists (select 1 from attempt a where a.run_id = r.id"
    " and a.state in ('failed', 'rejected', 'lost')))) then 1 else 0 end)"
)
"""A run that was cancelled or lost didn't succeed; of one that came to less than it was asked for, one did in which no attempt failed,
was rejected or lost."""
STATE = "case when r.cancelled_at is null then r.state else 'cancelled' end"


class Started(NamedTuple):
    """How many runs started in a window, and how many of those ended in success. Held work never
    started; what is still going on isn't counted, nor is what had nothing due."""

    runs: int
    succeeded: int


class RunCounts(NamedTuple):
    """Runs of one kind and state (`cancelled` for those taken back)."""

    kind: str
    state: str
    runs: int
    succeeded: int


def started(tx: Transaction, from_us: int, until_us: int) -> Started:
    """The runs of a window."""
    counts = by_state(tx, from_us, until_us)
    return Started(sum(run_counts.runs for run_counts in counts), sum(item.succeeded for item in counts))


def by_state(tx: Transaction, from_us: int, until_us: int) -> list[RunCounts]:
    """The runs of a window by kind and state; those that retention has taken count by whole days."""
    rows = tx.execute(
        "select kind, state, sum(runs), sum(good) from ("
        f"select r.kind as kind, {STATE} as state, 1 as runs, {GOOD} as good"
        " from run r where r.started_at > :since and r.started_at <= :until and r.state <> 'running'"
        " union all select kind, state, runs, succeeded from run_day where day >= :first and day <= :last"
        ") counted where state <> 'nothing_due' group by kind, state order by kind, state",
        {"since": from_us, "until": until_us, "first": _day(from_us), "last": _day(until_us)},
    )
    return [RunCounts(kind, state, int(count), int(good)) for kind, state, count, good in rows.fetchall()]


def keep(tx: Transaction, epoch: int, n: int) -> None:
    """Note of an attempt's run whether nothing in it failed, before the attempt goes."""
    tx.execute(
        f"update run as r set good = {GOOD} where r.good is null and r.state <> 'running'"
        " and r.id = (select run_id from attempt where epoch = ? and n = ?)",
        (epoch, n),
    )


def summarise(tx: Transaction, number: int) -> None:
    """Add a run to what is kept of its day, before it goes."""
    row = tx.execute(f"select r.started_at, r.kind, {STATE}, {GOOD} from run r where r.id = ?", (number,)).fetchone()
    if row is not None:
        tx.execute(
            "insert into run_day (day, kind, state, runs, succeeded) values (?, ?, ?, 1, ?) on conflict (day, kind, state) do update"
            " set runs = run_day.runs + 1, succeeded = run_day.succeeded + excluded.succeeded",
            (_day(row[0]), row[1], row[2], row[3]),
        )


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).date().isoformat()
