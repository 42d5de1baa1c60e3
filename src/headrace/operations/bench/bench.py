"""The bench itself: a folder that goes away afterwards, workers, and one asset computed at a time from given rows."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import msgspec

from headrace.engine import InputData, logs
from headrace.lake import FileRef, LakeTable
from headrace.lake.session import DuckDBSession as DuckDB
from headrace.model import CheckSpec, CommandBody, PythonBody
from headrace.model.required import WHOLE
from headrace.operations.bench.given import BadRows, TypedTableBuilder
from headrace.plan import Compiled
from headrace.run.executors import LostWorker, TaskFinished
from headrace.run.executors.choosing import worker_settings
from headrace.run.executors.pool import Pool
from headrace.run.folders import Folders
from headrace.run.messages import ComputeTask, TaskOutcome
from headrace.run.tasks.compute import scope_of
from headrace.schedule import AttemptId

EPOCH = 0
"""No leader ever has it."""


class ComputeRequest(msgspec.Struct, frozen=True):
    """What is to be computed: one partition of one asset, of these rows. `given` is as `Desk.input` takes it."""

    asset: str
    partition: str = WHOLE
    given: dict[str, Any] = {}


class ComputeResult(msgspec.Struct, frozen=True):
    """What came of it. `data` is None where there are no rows: the body failed, or its worker ended (`lost`)."""

    outcome: TaskOutcome | None
    data: InputData | None
    lost: str | None
    log: tuple[str, ...]
    unread: tuple[str, ...]
    """Checks that read what wasn't given, and so weren't made."""


class Bench:
    """Computes assets of one compiled project. A context manager: workers run and a folder exists only within.

    `desk` is for rows that aren't an input, those expected for instance."""

    def __init__(self, compiled: Compiled, root: Path, *, workers: int = 1, timezone: str = "UTC") -> None:
        self._compiled, self._root, self._workers, self._timezone = compiled, root, workers, timezone
        self._numbers = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        data = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        self._folders = Folders(str(self._root), str(data))
        for folder in (self._folders.lake, self._folders.temporary):
            folder.mkdir()
        self._pool = self._stack.enter_context(Pool(worker_settings(self._folders, self._workers), self._workers))
        readable = [self._folders.temporary, self._root, self._folders.quarantine]
        self._duckdb = self._stack.enter_context(
            DuckDB(self._folders.lake, readable=readable, timezone=self._timezone, threads=1, ordered=True)
        )
        self.desk = TypedTableBuilder(self._duckdb, self._folders.temporary)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def compute(self, requests: Sequence[ComputeRequest]) -> Iterator[tuple[int, ComputeResult | BadRows]]:
        """All of them, each with its place in `wanted`, as they are done."""
        waiting: dict[AttemptId, tuple[int, ComputeTask]] = {}
        unread: dict[int, tuple[str, ...]] = {}
        for index, request in enumerate(requests):
            attempt = self._attempt()
            try:
                task, unread[index] = self._task(request, attempt)
            except BadRows as error:
                yield index, error
                continue
            waiting[attempt] = index, task
            self._pool.submit(attempt, task)
        while waiting:
            for news in self._pool.wait(None):
                if isinstance(news, TaskFinished):
                    index, _ = waiting.pop(news.attempt)
                    yield index, self._computed(news.attempt, news.outcome, None, unread[index])
                elif isinstance(news, LostWorker):
                    if news.running is not None:
                        index, _ = waiting.pop(news.running)
                        yield index, self._computed(news.running, None, news.reason, unread[index])
                    for attempt in news.queued:
                        self._pool.submit(attempt, waiting[attempt][1])

    def rows(self, data: InputData, columns: Sequence[str] | None = None, limit: int | None = None) -> tuple[dict[str, Any], ...]:
        """Rows as values that JSON holds, in their order."""
        from headrace.lake.reading import read

        table = LakeTable(data.name, data.columns)
        return read(
            self._folders.lake, _absolute(data, self._folders.lake), table, columns=columns, limit=limit, timezone=self._timezone
        ).rows

    def arrow(self, data: InputData) -> Any:
        """Rows as a `pyarrow.Table`."""
        from headrace.lake.session import relation_sql

        return self._duckdb.connection.execute(relation_sql(data.files, data.columns)).to_arrow_table()

    def _attempt(self) -> AttemptId:
        self._numbers += 1
        return AttemptId(EPOCH, self._numbers)

    def _computed(self, attempt: AttemptId, outcome: TaskOutcome | None, lost: str | None, unread: tuple[str, ...]) -> ComputeResult:
        path = self._folders.log(*attempt)
        log = tuple(line.text for line in logs.read(path)) if path.exists() else ()
        return ComputeResult(outcome, self._result(outcome), lost, log, unread)

    def _result(self, outcome: TaskOutcome | None) -> InputData | None:
        """The staged file, or the one that the audit put into quarantine."""
        if outcome is None or outcome.staged is None:
            return None
        table = outcome.table or LakeTable("result", outcome.staged.columns)
        path = outcome.staged.path
        if outcome.quarantined is not None:
            path = f"{outcome.staged.path}.rejected"
            shutil.move(Path(self._folders.data, outcome.quarantined), self._folders.lake / path)
        return InputData("result", (FileRef(path),), tuple(c for c in table.columns if c.name != "_partition"), outcome.staged.rows)

    def _task(self, request: ComputeRequest, attempt: AttemptId) -> tuple[ComputeTask, tuple[str, ...]]:
        asset, node = self._compiled.project.assets[request.asset], self._compiled.nodes[request.asset]
        given = {name.lower(): rows for name, rows in request.given.items()}
        reads = [spec.node for spec in node.inputs] + ([asset.name] if node.uses_self else [])
        references = [name for name in node.check_references if name not in reads and name.lower() in given]
        if stranger := [name for name in request.given if name.lower() not in {each.lower() for each in [*reads, *references]}]:
            raise BadRows(f"`{asset.name}` doesn't read `{stranger[0]}`", hint=f"it reads {', '.join(reads) or 'nothing'}")
        tables = {name: self._given(name, given.get(name.lower(), [])) for name in [*reads, *references]}
        checks = [check for check in asset.checks if _reads(check) <= {name.lower() for name in tables}]
        task = ComputeTask(
            scope=scope_of(self._compiled.project, asset, (request.partition,), attempt),
            body=asset.body,
            sql=node.sql,
            code=str(self._root) if isinstance(asset.body, PythonBody | CommandBody) else None,
            inputs=tuple(tables[name] for name in reads),
            materialize=asset.materialize if asset.materialize in ("files", "none") else "table",
            partition_column=node.partition_column,
            table=None,
            evolve=False,
            checks=tuple(checks),
            on_fail=asset.on_fail if asset.on_fail in ("reject", "hold", "warn") else "reject",
            references=tuple(tables[name] for name in tables if name in node.check_references),
            now_us=time.time_ns() // 1000,
            key_column=asset.partition.key,
            macros=self._compiled.project.macros,
            environment=asset.environment,
            pass_environment=self._compiled.project.settings.pass_environment,
            secrets=asset.secrets,
        )
        return task, tuple(check.name for check in asset.checks if check not in checks)

    def _given(self, name: str, rows: object) -> InputData:
        node = self._compiled.nodes[name]
        names = None if node.column_names is None else [(column, None) for column in node.column_names]
        return self.desk.input(name, rows, node.columns or names)


def _absolute(data: InputData, lake: Path) -> list[FileRef]:
    return [msgspec.structs.replace(file, path=str(lake / file.path)) for file in data.files]


def _reads(check: CheckSpec) -> set[str]:
    """The nodes, in lower case, that a check reads besides the rows that it is about."""
    if check.kind == "references":
        return {str(check.arguments["to"]).partition(".")[0].lower()}
    if check.kind != "sql":
        return set()
    from headrace.sql.analyse import analyse

    analysis = analyse(str(check.arguments["query"]), file=check.place.file, line=check.place.line, name=check.name)
    return {name.lower() for name in analysis.inputs}
