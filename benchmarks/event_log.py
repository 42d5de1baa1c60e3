"""What the event log costs: 1,000 tasks that do nothing, with it and without it, in turn, on fresh
projects of the same files.

Without: the process that leads runs transactions that note nothing and append no record (a module
that Python loads at its start exchanges the class; the product has no such switch). Each pair
begins with the other side than the one before. A rate is that between the first task's end and the
last commit. The cost is the median over the pairs of what the rate with the log lacks to that
without; its range of 95 % is drawn from the pairs. Run it on a machine that does nothing else:
`load_before` says whether it did.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import noops, postgres
from benchmarks.harness import Figure, Measured, main
from benchmarks.headrace_cli import run
from benchmarks.ours import between_ends, times_of

Fresh = Callable[[], contextlib.AbstractContextManager[str]]
"""Makes a fresh database and gives its address."""
PAIRS, TASKS = 15, 1000
GOAL_PERCENT = 5.0
DRAWS = 10_000
SEED = 1
WITHOUT = """
import headrace.store.engines.postgresql as postgresql
import headrace.store.engines.sqlite as sqlite


class Sqlite(sqlite.SqliteTransaction):
    def __init__(self, connection, recorder):
        super().__init__(connection)


class Postgresql(postgresql.PostgresqlTransaction):
    def __init__(self, connection, recorder):
        super().__init__(connection)

    def record(self, last):
        pass


sqlite.SqliteRecording, postgresql.PostgresqlRecording = Sqlite, Postgresql
"""


def measure(*, quick: bool, pairs: int, tasks: int, postgresql: bool) -> Measured:
    """Both sides, in turn."""
    pairs, tasks = (2, 40) if quick else (pairs, tasks)
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        (folder / "without").mkdir()
        (folder / "without/sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
        figures = _figures("", _in_turn(folder, pairs, tasks, None))
        if postgresql:
            with postgres.cluster() as fresh:
                figures += _figures("_postgresql", _in_turn(folder, pairs, tasks, fresh))
    notes = {
        "sides": (
            "the same command on the same files; PostgreSQL's side without still asks for the"
            " newest record's hash"
        )
    }
    return Measured(figures, notes)


class Sides:
    """The rates of both sides, pair by pair, and what the log took."""

    def __init__(self) -> None:
        self.log: list[float] = []
        self.none: list[float] = []
        self.bytes_per_task: list[float] = []


def _in_turn(folder: Path, pairs: int, tasks: int, fresh: Fresh | None) -> Sides:
    result = Sides()
    for number in range(pairs):
        for with_log in (True, False) if number % 2 == 0 else (False, True):
            rate, size = _side(folder, tasks, fresh, with_log=with_log)
            (result.log if with_log else result.none).append(rate)
            if with_log:
                result.bytes_per_task.append(size / tasks)
        cost = 100 * (1 - result.log[-1] / result.none[-1])
        said = f"{result.log[-1]:,.0f}/s with, {result.none[-1]:,.0f}/s without: {cost:+.1f} %"
        print(f"  pair {number + 1} of {pairs}: {said}", flush=True, file=sys.stderr)
    return result


def _side(folder: Path, tasks: int, fresh: Fresh | None, *, with_log: bool) -> tuple[float, int]:
    """Tasks a second, and the bytes of the log. AssertionError where the side isn't the one that it
    should be.
    """
    project = folder / "project"
    environment = {} if with_log else {"PYTHONPATH": str(folder / "without")}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, project, ignore_errors=True)
        store = stack.enter_context(fresh()) if fresh is not None else None
        noops.write(project, noops.independent(tasks), store=store)
        run(project, "run", environment=environment)
        ended = times_of(project, store)
        assert len(ended) == tasks, f"{len(ended)} of {tasks} tasks came to their end"
        records, size = (0, 0) if store is not None else _log(project)
        assert store is not None or (records > 1) == with_log, (
            f"{records} records, with_log {with_log}"
        )
        return (tasks - 1) / between_ends(ended), size


def _log(project: Path) -> tuple[int, int]:
    sql = "select count(*), coalesce(sum(length(content) + length(hash)), 0) from event_log"
    with contextlib.closing(sqlite3.connect(project / ".headrace/state.db")) as connection:
        records, size = connection.execute(sql).fetchone()
    return int(records), int(size)


def _figures(suffix: str, sides: Sides) -> list[Figure]:
    costs = [100 * (1 - log / none) for log, none in zip(sides.log, sides.none, strict=True)]
    low, high = _range(costs)
    against: Mapping[str, float] = {"95 % from": low, "95 % to": high}
    figures = [
        Figure(
            name=f"event_log_cost{suffix}",
            value=statistics.median(costs),
            unit="%",
            goal=None if suffix else GOAL_PERCENT,
            runs=costs,
            against=dict(against),
        ),
        Figure(
            name=f"with{suffix}",
            value=statistics.median(sides.log),
            unit="/s",
            goal=None,
            runs=sides.log,
        ),
        Figure(
            name=f"without{suffix}",
            value=statistics.median(sides.none),
            unit="/s",
            goal=None,
            runs=sides.none,
        ),
    ]
    if not suffix:
        size = statistics.median(sides.bytes_per_task)
        figures.append(
            Figure(
                name="event_log_bytes_per_task",
                value=size,
                unit="B",
                goal=None,
                runs=sides.bytes_per_task,
            )
        )
    return figures


def _range(costs: Sequence[float]) -> tuple[float, float]:
    """The range that holds 95 % of the medians of pairs drawn again from these."""
    chance = random.Random(SEED)
    medians = sorted(statistics.median(chance.choices(costs, k=len(costs))) for _ in range(DRAWS))
    return medians[int(0.025 * DRAWS)], medians[int(0.975 * DRAWS)]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help="how many times both sides are run"
    )
    parser.add_argument("--tasks", type=int, default=TASKS, help="tasks of each run")
    parser.add_argument(
        "--postgresql", action="store_true", help="with the state in PostgreSQL, too"
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
