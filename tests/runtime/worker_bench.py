"""One worker without its process: real tasks, files and DuckDB, no leader and no store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headrace.engine import AttemptScope, InputData
from headrace.engine.logs import OutputPipes
from headrace.lake import ColumnLookup, FileRef
from headrace.lake.row_routing import bounds_of, key_expression
from headrace.lake.schema import TargetTable
from headrace.lake.staging import KeyExpression, stage
from headrace.model import CheckSpec, Grain, Place, SqlBody
from headrace.model.intervals import interval_of
from headrace.runtime.folders import Folders
from headrace.runtime.messages import BatchPartition, ComputeTask, TaskOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

ZONE = "UTC"
NOW_US = 1_760_000_000_000_000


class WorkerBench:
    """A worker at home in `root`, whose asset is called `daily` and is partitioned by the days of its
    column `day`.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.folders = Folders(str(root), str(root / ".headrace"))
        self._channel = OutputPipes.open()
        self.context = WorkerContext(WorkerSettings(self.folders, 2, 1, None), self._channel)
        self._n = 0

    def close(self) -> None:
        self._channel.close()
        self.context.close()

    def rows(self, name: str, select: str, key: str = "*") -> InputData:
        """Rows of a node as they would have been published, all in one partition."""
        staged, table = stage(
            self.context.session(ZONE), select, target=TargetTable(name), partition=key
        )
        return InputData(
            name, (FileRef(staged.path, lookup=ColumnLookup.SAME),), table.columns[1:], staged.rows
        )

    def days(
        self, name: str, select: str, keys: tuple[str, ...]
    ) -> tuple[InputData, dict[str, str]]:
        """Rows with a column `day` as they would have been published by a batch, and the content
        hash of each partition.
        """
        partition = KeyExpression(
            key_expression("day", [bounds_of(key, Grain.DAY, ZONE, "DATE") for key in keys]), keys
        )
        staged, table = stage(
            self.context.session(ZONE), select, target=TargetTable(name), partition=partition
        )
        data = InputData(
            name, (FileRef(staged.path, lookup=ColumnLookup.SAME),), table.columns[1:], staged.rows
        )
        return data, {part.key: str(part.content_hash) for part in staged.partitions}

    def scope(self, keys: tuple[str, ...]) -> AttemptScope:
        first, last = interval_of(keys[0], Grain.DAY, ZONE), interval_of(keys[-1], Grain.DAY, ZONE)
        return AttemptScope(
            "daily",
            keys,
            "day",
            first.start.isoformat(),
            last.end.isoformat(),
            ZONE,
            f"1.{self._n}",
        )

    def task(self, sql: str, keys: tuple[str, ...], *inputs: InputData, **more: Any) -> ComputeTask:
        """A task as a leader would send it: what it proves is the day in the middle."""
        self._n += 1
        task = ComputeTask(
            scope=self.scope(keys),
            body=SqlBody(text=sql, file="assets/daily.sql", line=1),
            sql=sql,
            code=None,
            inputs=inputs,
            materialize="table",
            partition_column="day",
            table=None,
            evolve=False,
            checks=more.pop("checks", ()),
            on_fail="reject",
            now_us=NOW_US,
        )
        return msgspec.structs.replace(task, **more)

    def proving(
        self, sql: str, keys: tuple[str, ...], of_all: InputData, of_one: InputData, **more: Any
    ) -> ComputeTask:
        """A batch that is proven: `of_one` is what the day in the middle reads alone."""
        task = self.task(sql, keys, of_all, **more)
        return msgspec.structs.replace(
            task, alone=BatchPartition(self.scope((keys[len(keys) // 2],)), (of_one,))
        )

    def perform(self, task: ComputeTask) -> TaskOutcome:
        outcome = perform(task, self.context)
        assert isinstance(outcome, TaskOutcome)
        return outcome

    def left_behind(self) -> list[str]:
        """Files in the asset's folder of the lake."""
        return sorted(path.name for path in (self.folders.lake / "main/daily").glob("*"))


def unique(*columns: str) -> CheckSpec:
    return CheckSpec(
        kind="unique",
        name="unique",
        arguments={"columns": list(columns)},
        place=Place(file="assets/daily.sql", line=1),
    )
