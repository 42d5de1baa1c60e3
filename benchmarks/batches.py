"""What an attempt of one worker costs at one day, a week, a month and 64 days: small days, where
what is fixed counts.

Two assets of the daily project of the acceptance tests: one that casts and checks each row of a
source, whose deliveries lie in a file each, and one that sums up what a batch has written into one
file. Everything that a worker does for an attempt is counted: body, COPY, audit (checks, profiles,
content hashes), and the message that tells of it; nothing of the leader.
"""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, main
from headrace.engine import AttemptScope, InputData
from headrace.engine.logs import OutputPipes
from headrace.lake import ColumnLookup, FileRef, LakeTable
from headrace.lake.schema import TargetTable
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import KeyExpression, stage
from headrace.model import CheckSpec, Grain, Place, SqlBody
from headrace.model.intervals import interval_of
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask, StagedOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings, encode_frame

SIZES = (1, 7, 30, 64)
ROWS = 1_000
ROUNDS = 25
ROUNDS_QUICK = 2
ZONE = "UTC"
FIRST = dt.date(2024, 1, 1)
PLACE = Place(file="assets/a.sql", line=1)
CHECKS = (
    CheckSpec(kind="unique", name="unique", arguments={"columns": ["order_id"]}, place=PLACE),
    CheckSpec(kind="not_null", name="not_null", arguments={"columns": ["customer"]}, place=PLACE),
)
ROW_BY_ROW = (
    "select order_id, customer, cast(amount as decimal(18,2)) as amount, cast(day as date) as day"
    " from orders where day >= $partition_start and day < $partition_end and amount is not null"
)
SUMMED = (
    "select day, customer, sum(amount) as total, count(*) as n from orders "
    "where day >= $partition_start and day < $partition_end group by all"
)


class Worker:
    """A worker in this process, with a source's days in files."""

    def __init__(self, root: Path, days: int) -> None:
        self._channel = OutputPipes.open()
        self.context = WorkerContext(
            WorkerSettings(Folders(str(root), str(root / ".headrace")), 2, 1, None), self._channel
        )
        self.keys = [(FIRST + dt.timedelta(days=day)).isoformat() for day in range(days)]
        self._orders = [self._delivered(day, key) for day, key in enumerate(self.keys)]
        self._columns = self._orders[0][1].columns[1:]
        self._together = self._batch()
        self._n = 0

    def close(self) -> None:
        """Give everything back."""
        self._channel.close()

    def _delivered(self, day: int, key: str) -> tuple[FileRef, LakeTable]:
        rows = (
            f"SELECT {day * ROWS} + i AS order_id, 'c' || (i % 50) AS customer, i * 7919 % 99991 /"
            f" 100 AS amount, DATE '{key}' AS day FROM range({ROWS}) r(i)"
        )
        staged, table = stage(
            self.context.session(ZONE), rows, target=TargetTable("orders"), partition=key
        )
        return FileRef(staged.path, lookup=ColumnLookup.SAME), table

    def _batch(self) -> str:
        """All days in one file, as an attempt at all of them leaves them."""
        every = KeyExpression("CAST(day AS VARCHAR)", tuple(self.keys))
        rows = relation_sql([file for file, _ in self._orders], self._columns)
        staged, _ = stage(
            self.context.session(ZONE), rows, target=TargetTable("orders"), partition=every
        )
        return staged.path

    def _files(self, keys: tuple[str, ...], together: bool) -> tuple[FileRef, ...]:
        if together:
            return (FileRef(self._together, keys, lookup=ColumnLookup.SAME),)
        return tuple(file for file, _ in self._orders[: len(keys)])

    def attempt(
        self, sql: str, checks: tuple[CheckSpec, ...], size: int, known: LakeTable | None
    ) -> tuple[float, StagedOutcome]:
        """One attempt at so many days; seconds."""
        keys = tuple(self.keys[:size])
        files = self._files(keys, together=not checks)
        first, last = interval_of(keys[0], Grain.DAY, ZONE), interval_of(keys[-1], Grain.DAY, ZONE)
        self._n += 1
        task = ComputeTask(
            scope=AttemptScope(
                "a",
                keys,
                "day",
                first.start.isoformat(),
                last.end.isoformat(),
                ZONE,
                f"1.{self._n}",
            ),
            body=SqlBody(text=sql, file="assets/a.sql", line=1),
            sql=sql,
            code=None,
            inputs=(InputData("orders", files, self._columns, ROWS * size),),
            materialize="table",
            partition_column="day",
            table=known,
            evolve=False,
            checks=checks,
            on_fail="reject",
        )
        began = time.perf_counter()
        outcome = perform(task, self.context)
        encode_frame(outcome)
        taken = time.perf_counter() - began
        assert isinstance(outcome, StagedOutcome), outcome
        assert outcome.staged is not None
        (self.context.folders.lake / outcome.staged.path).unlink()
        return taken, outcome


def measure(*, quick: bool) -> list[Figure]:
    """Each asset at each size, turn by turn."""
    rounds = ROUNDS_QUICK if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="headrace-batches-") as name:
        worker = Worker(Path(name), SIZES[-1])
        figures = [
            figure
            for asset, sql, checks in (("row_by_row", ROW_BY_ROW, CHECKS), ("summed", SUMMED, ()))
            for figure in _figures(asset, _rounds(worker, sql, checks, rounds))
        ]
        worker.close()
    return figures


def _rounds(
    worker: Worker, sql: str, checks: tuple[CheckSpec, ...], rounds: int
) -> dict[int, list[float]]:
    _, first = worker.attempt(sql, checks, 1, None)
    result: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size in SIZES:
            result[size].append(worker.attempt(sql, checks, size, first.table)[0])
    return result


def _figures(asset: str, result: dict[int, list[float]]) -> list[Figure]:
    item = statistics.median(result[1])
    ratios = [seconds / item for seconds in result[30]]
    return [
        Figure(
            name=f"{asset}_month_over_day",
            value=statistics.median(ratios),
            unit="×",
            goal=3.0,
            runs=ratios,
        ),
        *(
            Figure(
                name=f"{asset}_{size}_days",
                value=statistics.median(runs) * 1e3,
                unit="ms",
                goal=None,
                runs=[1e3 * run for run in runs],
            )
            for size, runs in result.items()
        ),
    ]


if __name__ == "__main__":
    main(__doc__, measure)
