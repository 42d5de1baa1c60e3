"""24 simulated hours on PostgreSQL, beside a reader that holds a snapshot all the time.

While a snapshot is held, PostgreSQL can't remove old versions of rows. A queue in which workers
search for the next row that nobody has locked slows down then, because each search passes all old
versions of the rows that were done. Headrace's leader decides from its memory; this shows whether
its statements still find more and more old versions.

Each hour, `headrace tick --now` runs no-ops that a trigger fires, and the lease is renewed as often
as a server renews it in an hour. The same day runs in a second database without a reader. Both take
turns, hour by hour. The figure is the rate of the last hours with the reader to that without it,
divided by the same ratio of the first hours, so the machine's own drift doesn't count.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import noops, postgres
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import run
from benchmarks.ours import schema_of_attempts
from headrace.store.lease import LEASE_SECONDS

HOURS, HOURS_QUICK = 24, 3
TASKS, TASKS_QUICK = 1000, 20
COMPARED = 4
"""Hours at the begin and at the end whose rates are compared."""
RENEWALS = int(3600 / (LEASE_SECONDS / 3))
"""Renewals of the lease in an hour of a server."""
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
GOAL = 0.9
ENDS = "select finished_at from attempt where state = 'published' and queued_at >= %s"


def measure(*, quick: bool) -> Measured:
    """The rate that is left after a day."""
    hours, tasks = (HOURS_QUICK, TASKS_QUICK) if quick else (HOURS, TASKS)
    compared = 1 if quick else COMPARED
    try:
        with postgres.cluster() as fresh, tempfile.TemporaryDirectory() as name:
            held, alone = _days(Path(name), fresh, hours, tasks)
    except postgres.Missing as error:
        return Measured([], {"PostgreSQL": f"not measured: {error}"})
    ratios = [a / b for a, b in zip(held, alone, strict=True)]
    first, last = statistics.median(ratios[:compared]), statistics.median(ratios[-compared:])
    return Measured(
        [
            Figure(
                name="rate left beside a held snapshot",
                value=last / first,
                unit="×",
                goal=GOAL,
                compare=">=",
                runs=ratios,
                against={
                    "no-ops/s in the last hours": statistics.median(held[-compared:]),
                    "without the reader": statistics.median(alone[-compared:]),
                },
            )
        ],
        {
            "day": f"{hours} hours of {tasks} no-ops and {RENEWALS} renewals of the lease",
            "runs": "each hour's rate beside the reader, divided by the rate without it",
        },
    )


def _days(folder: Path, fresh: Any, hours: int, tasks: int) -> tuple[list[float], list[float]]:
    """Rates of each hour, beside a reader that holds a snapshot and without one."""
    with fresh() as with_reader, fresh() as without_reader:
        stores = {"held": with_reader, "alone": without_reader}
        for name, store in stores.items():
            bodies = [
                noops.NOTHING.format(name=f"a{n:05}", more=', trigger={"interval": "1h"}')
                for n in range(tasks)
            ]
            noops.write(folder / name, bodies, store=store)
            run(folder / name, "tick", "--now", FIRST.isoformat())  # applies the project
        rates: dict[str, list[float]] = {name: [] for name in stores}
        with _snapshot(with_reader):
            for hour in range(1, hours + 1):
                print(f"  hour {hour} of {hours} …", file=sys.stderr, flush=True)
                for name, store in stores.items():
                    rates[name].append(_hour(folder / name, store, hour, tasks))
    return rates["held"], rates["alone"]


def _hour(project: Path, store: str, hour: int, tasks: int) -> float:
    """Run the no-ops of an hour; return how many per second, from the first end to the last."""
    now = FIRST + timedelta(hours=hour)
    with _connected(store) as connection:
        for _ in range(RENEWALS):
            connection.execute("update lease set expires_at = expires_at + 1 where id = 1")
    run(project, "tick", "--now", now.isoformat())
    with _connected(store) as connection:
        rows = connection.execute(ENDS, [int(now.timestamp() * 1_000_000)]).fetchall()
    ends = [row[0] for row in rows]
    if len(ends) != tasks:
        raise SystemExit(f"hour {hour}: {len(ends)} of {tasks} no-ops ran")
    return float((len(ends) - 1) * 1_000_000 / (max(ends) - min(ends)))


@contextlib.contextmanager
def _connected(store: str) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute(f'set search_path = "{schema_of_attempts(connection)}"'.encode())
        yield connection


@contextlib.contextmanager
def _snapshot(store: str) -> Iterator[None]:
    """Hold a snapshot, as a report that runs all day does."""
    import psycopg

    with psycopg.connect(store) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("select count(*) from pg_class")
        yield


if __name__ == "__main__":
    main(__doc__, measure)
