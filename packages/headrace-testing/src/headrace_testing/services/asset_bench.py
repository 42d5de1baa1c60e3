"""A bench for asset code: computes given rows in a worker with the production engine.

It needs no lake and no state.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import msgspec

from headrace.checks.audit import ON_FAIL
from headrace.engine import InputData, logs
from headrace.extension import (
    AttemptId,
    Folders,
    HeadraceError,
    LostWorker,
    Pool,
    TaskFinished,
    UsageError,
    did_you_mean,
    first_line,
    literal,
    lock_path,
    quote,
    worker_settings,
)
from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn, LakeTable
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.session import DuckDBSession as DuckDB
from headrace.lake.staging import stage
from headrace.lake.tables import ColumnLookup
from headrace.model import CheckSpec, CommandBody, PythonBody
from headrace.model.check_kinds import CommonCheck
from headrace.model.nodes import MaterializationKind
from headrace.model.partitions import WHOLE
from headrace.plan import Compiled
from headrace.runtime.messages import (
    CheckData,
    CodeEnvironment,
    ComputeTask,
    FailedOutcome,
    TaskOutcome,
)
from headrace.runtime.tasks.kinds import scope_of

# Rows that a person wrote in a declaration or a file, as a typed table.

ROWS_MAX = 1_000_000
Types = Sequence[tuple[str, str]]
"""(name, DuckDB type) of each column."""
Known = Sequence[tuple[str, str | None]]
"""(name, DuckDB type) of each column; None for an unknown type."""
ANY_TYPE = '"NULL"'
"""The type of a column with an unknown type and no rows; it is compatible with every type."""
UNTYPED = "INTEGER"
"""The type of a null of unknown type, as in DuckDB."""
_READERS = {
    ".csv": "read_csv({path}, hive_partitioning = false, header = true{columns})",
    ".json": "read_json({path}, hive_partitioning = false{columns})",
    ".jsonl": (
        "read_json({path}, hive_partitioning = false, format = 'newline_delimited'{columns})"
    ),
    ".parquet": "read_parquet({path}, hive_partitioning = false)",
}
_NO_TABLE = (MaterializationKind.FILES, MaterializationKind.NONE)
_TYPED = {".csv": ", types = ", ".json": ", columns = ", ".jsonl": ", columns = "}


class BadRows(HeadraceError):
    """Rows that can't be read, or that don't fit their columns."""


class InputRelation(msgspec.Struct, frozen=True):
    """A SELECT over rows, and its columns."""

    sql: str
    columns: tuple[tuple[str, str], ...]


class TypedTableBuilder:
    """Turns rows into typed tables.

    `session` computes, `temporary` is a folder that it may read.
    """

    def __init__(self, session: DuckDBSession, temporary: Path) -> None:
        self._session, self._temporary = session, temporary

    def input(self, name: str, rows: object, known: Known | None) -> InputData:
        """Return rows as an input of asset code. Raise BadRows if they can't be read.

        Known columns get their types, and missing ones are null; without known columns, types are
        inferred. `rows` is a list of mappings, a path to a CSV, JSON, JSON lines or Parquet file,
        or anything that DuckDB can scan (an Arrow table, a data frame).
        """
        if known is None and isinstance(rows, list) and not rows:
            raise BadRows(
                f"the columns of `{name}` aren't known",
                hint=f"give at least one row of `{name}`, or write a contract",
            )
        if known is not None and isinstance(rows, list) and not rows:
            columns = tuple(
                LakeColumn(column, kind or ANY_TYPE, number)
                for number, (column, kind) in enumerate(known, 2)
            )
            return InputData(name=name, files=(), columns=columns, rows=0)
        relation = self.relation(name, rows, known or ())
        selected = relation.sql if known is None else _complete(relation, known)
        return self._stage_query(name, selected)

    def relation(self, name: str, rows: object, known: Known) -> InputRelation:
        """Return rows with the columns that they name, typed as `known` columns of those names."""
        if isinstance(rows, Path):
            return self._file(name, rows, known)
        if isinstance(rows, list):
            return self._written(name, rows, known)
        return self._scanned(name, rows, known)

    def stage_relation(self, name: str, relation: InputRelation) -> InputData:
        """Stage the rows of a relation in a file, to be read back."""
        return self._stage_query(name, relation.sql)

    def _written(self, name: str, rows: Sequence[Mapping[str, Any]], known: Known) -> InputRelation:
        if not all(isinstance(row, Mapping) for row in rows):
            raise BadRows(
                f"the rows of `{name}` aren't mappings of column to value",
                hint="write [{column: value}, …]",
            )
        if len(rows) > ROWS_MAX:
            raise BadRows(
                f"{len(rows):,} rows of `{name}` are too many", hint="give a Parquet file"
            )
        if not any(rows):
            return _empty(known)
        path = self._temporary / f"{uuid.uuid4()}.jsonl"
        path.write_text(
            "".join(json.dumps(dict(row), default=str) + "\n" for row in rows), encoding="utf-8"
        )
        return self._file(name, path, known)

    def _file(self, name: str, path: Path, known: Known) -> InputRelation:
        ending = path.suffix.lower()
        reader = _READERS.get(ending)
        if reader is None:
            raise BadRows(
                f"{path.name} is no file that rows can be read from",
                hint=f"one of {', '.join(_READERS)}",
            )
        if not path.is_file():
            raise BadRows(
                f"there is no file {path}",
                hint="paths are those beside the test's file, or relative to the project",
            )
        plain = f"SELECT * FROM {reader.format(path=literal(str(path)), columns='')}"
        results = self._described(name, plain)
        target_types = _types(name, results, known)
        typed = _TYPED.get(ending)
        if typed is None:
            return InputRelation(_cast(plain, results, target_types), tuple(target_types))
        as_wanted = [
            (column, kind) for (column, _), (_, kind) in zip(results, target_types, strict=True)
        ]
        types = ", ".join(f"{literal(column)}: {literal(kind)}" for column, kind in as_wanted)
        read = (
            f"SELECT * FROM {reader.format(path=literal(str(path)), columns=f'{typed}{{{types}}}')}"
        )
        return InputRelation(_cast(read, as_wanted, target_types), tuple(target_types))

    def _scanned(self, name: str, rows: object, known: Known) -> InputRelation:
        view = f"__given_{uuid.uuid4().hex}__"
        try:
            self._session.connection.register(view, rows)
        except Exception as error:
            raise UsageError(
                f"the rows of `{name}` are {type(rows).__name__}",
                hint="a list of mappings, a path, an Arrow table or a data frame",
            ) from error
        plain = f"SELECT * FROM {quote(view)}"
        results = self._described(name, plain)
        target_types = _types(name, results, known)
        return InputRelation(_cast(plain, results, target_types), tuple(target_types))

    def _described(self, name: str, sql: str) -> list[tuple[str, str]]:
        import duckdb

        try:
            return [
                (row[0], row[1])
                for row in self._session.connection.execute(f"DESCRIBE {sql}").fetchall()
            ]
        except duckdb.Error as error:
            raise BadRows(f"the rows of `{name}` can't be read: {_first_line(error)}") from error

    def _stage_query(self, name: str, sql: str) -> InputData:
        import duckdb

        try:
            staged, table = stage(
                self._session, sql, target=TargetTable(name), partition="*", hashed=False
            )
        except duckdb.Error as error:
            raise BadRows(
                f"the rows of `{name}` don't fit their types: {_first_line(error)}"
            ) from error
        columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        return InputData(
            name=name,
            files=(FileRef(staged.path, lookup=ColumnLookup.SAME),),
            columns=columns,
            rows=staged.rows,
        )


def _types(name: str, results: Types, known: Known) -> list[tuple[str, str]]:
    """Return the present columns in their known spelling and type."""
    canonical = {column.lower(): (column, kind) for column, kind in known}
    if known and (unknown := [column for column, _ in results if column.lower() not in canonical]):
        names = [column for column, _ in known]
        hint = did_you_mean(unknown[0], names) or f"its columns are: {', '.join(names[:12])}"
        raise BadRows(f"`{name}` has no column `{unknown[0]}`", hint=hint)
    return [
        (name, known_kind or kind)
        for column, kind in results
        for name, known_kind in [canonical.get(column.lower(), (column, None))]
    ]


def _cast(sql: str, results: Types, target_types: Types) -> str:
    casts = [
        f"{quote(was)} AS {quote(column)}"
        if has == kind
        else f"CAST({quote(was)} AS {kind}) AS {quote(column)}"
        for (was, has), (column, kind) in zip(results, target_types, strict=True)
    ]
    return f"SELECT {', '.join(casts)} FROM ({sql}) AS given"


def _complete(relation: InputRelation, known: Known) -> str:
    there = {column.lower() for column, _ in relation.columns}
    every = [
        quote(column) if column.lower() in there else _null(column, kind) for column, kind in known
    ]
    return f"SELECT {', '.join(every)} FROM ({relation.sql}) AS given"


def _empty(known: Known) -> InputRelation:
    nulls = ", ".join(_null(column, kind) for column, kind in known) or "NULL AS nothing"
    return InputRelation(
        f"SELECT {nulls} WHERE false", tuple((column, kind or UNTYPED) for column, kind in known)
    )


def _null(column: str, kind: str | None) -> str:
    return f"CAST(NULL AS {kind or UNTYPED}) AS {quote(column)}"


def _first_line(error: Exception) -> str:
    return re.sub(r' in file "[^"]*"', "", first_line(error))


# The bench: a temporary folder, workers, and one asset computed at a time.

EPOCH = 0
"""An epoch that no leader ever has."""


class ComputeRequest(msgspec.Struct, frozen=True):
    """One partition of one asset, to be computed from `given` rows.

    `TypedTableBuilder.input` describes `given`.
    """

    asset: str
    partition: str = WHOLE
    given: dict[str, Any] = {}


class ComputeResult(msgspec.Struct, frozen=True):
    """The result of a ComputeRequest.

    `data` is None if there are no rows: the asset code failed, or its worker ended (`lost` holds
    the reason).
    """

    outcome: TaskOutcome | None
    data: InputData | None
    lost: str | None
    log: tuple[str, ...]
    unread: tuple[str, ...]
    """Checks that were not run, because they read inputs that weren't given."""


class Bench:
    """Computes assets of one compiled project.

    A context manager: workers and the temporary folder exist only within. `desk` types rows that
    aren't an input, such as expected rows.
    """

    def __init__(
        self, compiled: Compiled, root: Path, *, workers: int = 1, timezone: str = "UTC"
    ) -> None:
        self._compiled, self._root, self._workers, self._timezone = (
            compiled,
            root,
            workers,
            timezone,
        )
        self._numbers = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        data = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-"))
        )
        self._folders = Folders(str(self._root), str(data))
        for folder in (self._folders.lake, self._folders.temporary):
            folder.mkdir()
        if any(asset.requirements for asset in self._compiled.project.assets.values()):
            # those of attempts: making them takes longer than most tests
            used = Folders.of(self._root, self._compiled.project.settings).environments
            used.mkdir(parents=True, exist_ok=True)
            self._folders.environments.symlink_to(used)
        self._pool = self._stack.enter_context(
            Pool(worker_settings(self._folders, self._workers), self._workers)
        )
        readable = [self._folders.temporary, self._root, self._folders.quarantine]
        self._duckdb = self._stack.enter_context(
            DuckDB(
                self._folders.lake,
                readable=readable,
                timezone=self._timezone,
                threads=1,
                ordered=True,
            )
        )
        self.desk = TypedTableBuilder(self._duckdb, self._folders.temporary)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def compute(  # complexipy: ignore (a table of what a pool reports)
        self, requests: Sequence[ComputeRequest]
    ) -> Iterator[tuple[int, ComputeResult | BadRows]]:
        """Compute all requests; yield each result with its index in `requests`, as it completes."""
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

    def rows(
        self, data: InputData, columns: Sequence[str] | None = None, limit: int | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Return rows as JSON-compatible values, in their order."""
        from headrace.lake.reading import read

        table = LakeTable(data.name, data.columns)
        return read(
            self._folders.lake,
            _absolute(data, self._folders.lake),
            table,
            columns=columns,
            limit=limit,
            timezone=self._timezone,
        ).rows

    def arrow(self, data: InputData) -> Any:
        """Return rows as a `pyarrow.Table`."""
        from headrace.lake.sqltext import relation_sql

        return self._duckdb.connection.execute(
            relation_sql(data.files, data.columns)
        ).to_arrow_table()

    def _attempt(self) -> AttemptId:
        self._numbers += 1
        return AttemptId(EPOCH, self._numbers)

    def _computed(
        self,
        attempt: AttemptId,
        outcome: TaskOutcome | None,
        lost: str | None,
        unread: tuple[str, ...],
    ) -> ComputeResult:
        path = self._folders.log(*attempt)
        log = tuple(line.text for line in logs.read(path)) if path.exists() else ()
        return ComputeResult(outcome, self._result(outcome), lost, log, unread)

    def _result(self, outcome: TaskOutcome | None) -> InputData | None:
        """Return the staged file, or the quarantined one."""
        if outcome is None or isinstance(outcome, FailedOutcome) or outcome.staged is None:
            return None
        table = outcome.table or LakeTable("result", outcome.staged.columns)
        path = outcome.staged.path
        if outcome.quarantined is not None:
            path = f"{outcome.staged.path}.rejected"
            shutil.move(Path(self._folders.data, outcome.quarantined), self._folders.lake / path)
        return InputData(
            "result",
            (FileRef(path),),
            tuple(c for c in table.columns if c.name != "_partition"),
            outcome.staged.rows,
        )

    def _task(
        self, request: ComputeRequest, attempt: AttemptId
    ) -> tuple[ComputeTask, tuple[str, ...]]:
        asset, node = (
            self._compiled.project.assets[request.asset],
            self._compiled.nodes[request.asset],
        )
        rows_by_name = {name.lower(): rows for name, rows in request.given.items()}
        reads = [spec.node for spec in node.inputs] + ([asset.name] if node.uses_self else [])
        references = [
            name
            for name in node.check_references
            if name not in reads and name.lower() in rows_by_name
        ]
        if stranger := [
            name
            for name in request.given
            if name.lower() not in {each.lower() for each in [*reads, *references]}
        ]:
            raise BadRows(
                f"`{asset.name}` doesn't read `{stranger[0]}`",
                hint=f"it reads {', '.join(reads) or 'nothing'}",
            )
        tables = {
            name: self._input_data(name, rows_by_name.get(name.lower(), []))
            for name in [*reads, *references]
        }
        checks = [
            check for check in asset.checks if _reads(check) <= {name.lower() for name in tables}
        ]
        task = ComputeTask(
            scope=scope_of(self._compiled.project, asset, (request.partition,), attempt),
            body=asset.body,
            sql=node.sql,
            code=str(self._root) if isinstance(asset.body, PythonBody | CommandBody) else None,
            inputs=tuple(tables[name] for name in reads),
            materialize=asset.materialize
            if asset.materialize in _NO_TABLE
            else MaterializationKind.TABLE,
            partition_column=node.partition_column,
            table=None,
            evolve=False,
            checks=tuple(checks),
            on_fail=asset.on_fail if asset.on_fail in ON_FAIL else "reject",
            check_data=CheckData(
                references=tuple(tables[name] for name in tables if name in node.check_references)
            ),
            now_us=time.time_ns() // 1000,
            key_column=asset.partition.key,
            macros=self._compiled.project.macros,
            environment=CodeEnvironment(
                asset.environment, self._compiled.project.settings.pass_environment, asset.secrets
            ),
            lock=lock_path(asset.name) if asset.requirements else None,
        )
        return task, tuple(check.name for check in asset.checks if check not in checks)

    def _input_data(self, name: str, rows: object) -> InputData:
        node = self._compiled.nodes[name]
        names = (
            None if node.column_names is None else [(column, None) for column in node.column_names]
        )
        return self.desk.input(name, rows, node.columns or names)


def _absolute(data: InputData, lake: Path) -> list[FileRef]:
    return [msgspec.structs.replace(file, path=str(lake / file.path)) for file in data.files]


def _reads(check: CheckSpec) -> set[str]:
    """Return the nodes, in lower case, that a check reads in addition to the checked rows."""
    if check.kind == CommonCheck.REFERENCES:
        return {str(check.arguments["to"]).partition(".")[0].lower()}
    if check.kind != CommonCheck.SQL:
        return set()
    from headrace.sql.analysis import analyse

    analysis = analyse(
        str(check.arguments["query"]), file=check.place.file, line=check.place.line, name=check.name
    )
    return {name.lower() for name in analysis.inputs}
