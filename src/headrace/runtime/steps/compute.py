"""Compute partitions of an asset: run its code, stage, audit, compare with published rows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.checks import Audit, CheckState, Verdict
from headrace.checks.audit import PartitionCheck, TableContents, audit
from headrace.compiler.installed import current_environment
from headrace.engine import BodyError, ErrorKind, InputData
from headrace.engine.attempts import as_said
from headrace.engine.command import programs_of_command
from headrace.engine.compute import AssetOutput
from headrace.engine.compute import compute as run_body
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.isolation import Capture
from headrace.engine.logs import LogFile, WorkerClock, read
from headrace.engine.macros import lent
from headrace.faults import FaultPoint, reached
from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote, relation_sql
from headrace.lake.staging import hash_partitions
from headrace.model import CheckSpec, CommandBody, Grain, PythonBody, SqlBody
from headrace.model.check_kinds import CommonCheck
from headrace.model.errors import UNRESOLVED
from headrace.model.nodes import Severity
from headrace.runtime.messages import (
    BatchPartition,
    ComputeTask,
    FailedOutcome,
    RowChangeCounts,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.steps.anomalies import EvaluatedAudit, evaluated_audit
from headrace.runtime.steps.checks import (
    DeclaredChecks,
    EarlierPartition,
    blocking,
    with_own_checks,
    with_views,
    without_faulty_rows,
)
from headrace.runtime.steps.worker_context import LARGE_ROWS, WorkerContext

# Row changes of an attempt: differences between the rows of each computed partition and its
# published rows.

_PARTITION = quote(PARTITION_COLUMN)


def compared(
    task: ComputeTask, staged: StagedFile, session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    """Return partition → differences from `task.previous`. Raises as `differences` does."""
    return (
        {}
        if task.previous is None
        else differences(task.checks, task.previous.data, task.previous.hashes, staged, session)
    )


def differences(
    checks: Sequence[CheckSpec],
    previous: InputData,
    hashes: Mapping[str, str],
    staged: StagedFile,
    session: DuckDBSession,
) -> dict[str, RowChangeCounts]:
    """Return partition → differences of its rows from those of `previous`.

    Partitions without differences are left out; those with an equal content hash aren't read. If
    DuckDB can't compare the columns, all rows count as removed and added.

    Raises `BodyFailed` (transient) if the published rows can't be read any more.
    """
    import duckdb

    keys = [
        part.key
        for part in staged.partitions
        if part.content_hash is None or hashes.get(part.key) != part.content_hash
    ]
    if not keys:
        return {}
    try:
        return _differences(checks, previous, staged, keys, session)
    except duckdb.IOException as error:
        raise failed(
            f"what is published can't be compared: {error}", kind=ErrorKind.TRANSIENT
        ) from error
    except duckdb.Error:
        return _all_rows(previous, staged, keys, session)


def _differences(
    checks: Sequence[CheckSpec],
    previous: InputData,
    staged: StagedFile,
    keys: Sequence[str],
    session: DuckDBSession,
) -> dict[str, RowChangeCounts]:
    columns = _columns(previous.columns, staged.columns)
    before, after = (
        _side(before_sql(previous, keys), columns, 0),
        _side(after_sql(staged, keys), columns, 1),
    )
    names = [both.name for both in columns]
    known = next((key for check in checks if (key := _key_columns(check, names))), None)
    if known and not any(_repeats(session, side, known) for side in (before, after)):
        counts = _by_key(session, before, after, known, names)
    else:
        counts = _as_multisets(session, before, after, names)
    return {key: changed for key, changed in counts.items() if changed != RowChangeCounts()}


class _Both:
    """A column that one or both sides have."""

    def __init__(self, name: str, before: LakeColumn | None, after: LakeColumn | None) -> None:
        self.name, self._sides = name.lower(), (before, after)
        self._as_text = before is not None and after is not None and before.type != after.type

    def of(self, side: int) -> str:
        """Return the column's SQL on a side: null if missing, text if its type has changed."""
        column = self._sides[side]
        if column is None:
            return f"NULL AS {quote(self.name)}"
        return (
            f"{f'CAST({quote(column.name)} AS VARCHAR)' if self._as_text else quote(column.name)}"
            f" AS {quote(self.name)}"
        )


def _columns(before: Sequence[LakeColumn], after: Sequence[LakeColumn]) -> list[_Both]:
    old, new = (
        {column.name.lower(): column for column in side if column.name != PARTITION_COLUMN}
        for side in (before, after)
    )
    return [_Both(name, old.get(name), new.get(name)) for name in {**old, **new}]


def before_sql(previous: InputData, keys: Sequence[str]) -> str:
    """Return a query for the published rows of these partitions."""
    listed = ", ".join(literal(key) for key in keys)
    return (
        f"SELECT * FROM ({relation_sql(previous.files, previous.columns, with_partition=True)})"
        f" WHERE {_PARTITION} IN ({listed})"
    )


def after_sql(staged: StagedFile, keys: Sequence[str]) -> str:
    """Return a query for the staged rows of these partitions."""
    return relation_sql(
        [FileRef(staged.path, tuple(keys), lookup=ColumnLookup.SAME)],
        staged.columns,
        with_partition=True,
    )


def _side(rows: str, columns: Sequence[_Both], side: int) -> str:
    return (
        f"SELECT {', '.join([_PARTITION, *(column.of(side) for column in columns)])} FROM ({rows})"
    )


def _key_columns(check: CheckSpec, names: Sequence[str]) -> list[str]:
    """Return the columns of a unique key; empty if this check declares none."""
    if check.kind != CommonCheck.UNIQUE or check.where is not None:
        return []
    key = [str(name).lower() for name in check.arguments["columns"]]
    return key if set(key) <= set(names) else []


def _repeats(session: DuckDBSession, side: str, key: Sequence[str]) -> bool:
    listed = ", ".join([_PARTITION, *map(quote, key)])
    query = f"SELECT 1 FROM ({side}) GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    return session.connection.execute(query).fetchone() is not None


def _by_key(
    session: DuckDBSession, before: str, after: str, key: Sequence[str], names: Sequence[str]
) -> dict[str, RowChangeCounts]:
    on = " AND ".join(
        f"b.{name} IS NOT DISTINCT FROM a.{name}" for name in (_PARTITION, *map(quote, key))
    )
    differs = (
        " OR ".join(
            f"b.{quote(name)} IS DISTINCT FROM a.{quote(name)}" for name in names if name not in key
        )
        or "false"
    )
    rows = session.connection.execute(
        f"SELECT coalesce(a.{_PARTITION}, b.{_PARTITION}), count(*) FILTER (b.{_PARTITION} IS"
        f" NULL), count(*) FILTER (a.{_PARTITION} IS NULL), count(*) FILTER (a.{_PARTITION} IS NOT"
        f" NULL AND b.{_PARTITION} IS NOT NULL AND ({differs})) FROM ({before}) b FULL JOIN"
        f" ({after}) a ON {on} GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2], changed=row[3]) for row in rows}


def _as_multisets(
    session: DuckDBSession, before: str, after: str, names: Sequence[str]
) -> dict[str, RowChangeCounts]:
    """Count differences without a key: a changed row counts as one removed and one added."""
    columns = ", ".join([_PARTITION, *map(quote, names)])

    def only(item: str, other: str) -> str:
        return f"SELECT {columns} FROM ({item}) EXCEPT ALL SELECT {columns} FROM ({other})"

    rows = session.connection.execute(
        f"SELECT {_PARTITION}, sum(new)::BIGINT, sum(gone)::BIGINT FROM (SELECT {_PARTITION}, 1 AS"
        f" new, 0 AS gone FROM ({only(after, before)}) UNION ALL SELECT {_PARTITION}, 0, 1 FROM"
        f" ({only(before, after)})) GROUP BY 1"
    ).fetchall()
    return {row[0]: RowChangeCounts(added=row[1], removed=row[2]) for row in rows}


def _all_rows(
    previous: InputData, staged: StagedFile, keys: Sequence[str], session: DuckDBSession
) -> dict[str, RowChangeCounts]:
    counted = f"SELECT {_PARTITION}, count(*) FROM ({before_sql(previous, keys)}) GROUP BY 1"
    removed: dict[str, int] = dict(session.connection.execute(counted).fetchall())
    added = {part.key: part.rows for part in staged.partitions}
    return {
        key: RowChangeCounts(added=added[key], removed=removed.get(key, 0))
        for key in keys
        if added[key] or removed.get(key)
    }


# Proof that an asset is separable: whether computing several partitions at once gives the same rows
# as computing one of them alone, checked once for each version of the code. Lineage proves it
# except for what DuckDB does with the query; this checks that proof on real rows.

DIGITS = 10
"""Significant digits of floating-point numbers that must agree: sums depend on the order."""
_INEXACT = ("FLOAT", "DOUBLE")


def prove(
    task: ComputeTask,
    alone: BatchPartition,
    output: AssetOutput,
    session: DuckDBSession,
    context: WorkerContext,
) -> None:
    """Compute one partition alone and compare it with its rows in the batch.

    Raises `BodyFailed` (`not_separable`) if they differ, or as the asset code does. The partition's
    file is deleted.
    """
    assert output.staged is not None
    assert output.table is not None
    (key,) = alone.scope.partitions
    single = msgspec.structs.replace(
        task,
        scope=alone.scope,
        inputs=alone.inputs,
        table=output.table,
        evolve=False,
        alone=None,
    )
    file = run_body(single, session, context.folders).staged
    assert file is not None
    try:
        if not _alike(session, file, output.staged, key, output.table.columns):
            raise BodyFailed(_not_separable(task, key, file, output.staged))
    finally:
        (context.folders.lake / file.path).unlink(missing_ok=True)


def _alike(
    session: DuckDBSession,
    file: StagedFile,
    batch: StagedFile,
    key: str,
    columns: tuple[LakeColumn, ...],
) -> bool:
    if file.rows != _rows_of(batch, key):
        return False
    alone, together = _file(file, key), _file(batch, key)
    if hash_partitions(session, [alone], columns) == hash_partitions(session, [together], columns):
        return True
    inexact = any(column.type in _INEXACT for column in columns)
    return inexact and not _differ(session, alone, together, columns)


def _file(staged: StagedFile, key: str) -> FileRef:
    return FileRef(staged.path, (key,), lookup=ColumnLookup.SAME)


def _differ(
    session: DuckDBSession, ref: FileRef, other: FileRef, columns: tuple[LakeColumn, ...]
) -> bool:
    """Whether some rows of two files with equal row counts differ.

    Floating-point numbers are compared by their first DIGITS digits.
    """
    text = ", ".join(_comparable(column) for column in columns if column.name != PARTITION_COLUMN)
    left, right = (f"SELECT {text} FROM ({relation_sql([file], columns)})" for file in (ref, other))
    return session.connection.execute(f"({left} EXCEPT ALL {right}) LIMIT 1").fetchone() is not None


def _comparable(column: LakeColumn) -> str:
    return (
        f"format('{{:.{DIGITS - 1}e}}', {quote(column.name)})"
        if column.type in _INEXACT
        else quote(column.name)
    )


def _rows_of(staged: StagedFile, key: str) -> int:
    return sum(part.rows for part in staged.partitions if part.key == key)


def _not_separable(task: ComputeTask, key: str, file: StagedFile, batch: StagedFile) -> BodyError:
    rows = (
        f"{file.rows} rows alone, {_rows_of(batch, key)} in the batch"
        if file.rows != _rows_of(batch, key)
        else "as many rows, other values"
    )
    return BodyError(
        ErrorKind.NOT_SEPARABLE,
        f"{key} computed together with others isn't what it is alone ({rows})",
        file=task.body.file,
        line=task.body.line,
        hint=(
            "its partitions are computed one by one from now on; `batch: off` says so in the asset"
        ),
        code="not_separable",
    )


# The attempt, from asset code to outcome.


def compute(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    """Run one attempt at partitions of an asset: staged, held, rejected or failed."""
    if isinstance(task.body, CommandBody):
        # read first: the command may replace these programs
        ran = _programs(task, task.body, context)
        return msgspec.structs.replace(_attempted(task, context), environment=ran)
    outcome = _attempted(task, context)
    if not isinstance(task.body, PythonBody):
        return outcome
    return msgspec.structs.replace(
        outcome, environment=_environment(task.packages.imported, task.packages.named)
    )


def _programs(task: ComputeTask, body: CommandBody, context: WorkerContext) -> bytes:
    """Return the programs that a command runs with; empty if unknown, so that it runs anyway."""
    try:
        return msgspec.json.encode(programs_of_command(task, body, context.folders))
    except (OSError, ValueError, LookupError, ImportError):
        return b""


@functools.lru_cache(maxsize=256)
def _environment(imported: tuple[str, ...], named: tuple[str, ...]) -> bytes:
    """Return the packages that this worker runs code with, read once per set of packages.

    Imported packages don't change while the worker lives.
    """
    return msgspec.json.encode(current_environment(imported, named))


def _attempted(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    log = LogFile(
        context.folders.log(*_attempt(task)), WorkerClock(task.now_us), context.secrets.redactor
    )
    try:
        if task.handed is not None and task.handed.missing:
            raise failed(f"{UNRESOLVED}: {task.handed.missing}", code="configuration_error")
        produced = _run(task, context, log)
        _prove(task, context, produced)
    except BodyFailed as failure:
        error = as_said(failure.error, (line.text for line in read(log.path)))
        return FailedOutcome(
            attempt=task.scope.attempt,
            measures=failure.measures,
            error=error,
            log_lines=log.lines,
        )
    reached(FaultPoint.FILE_STAGED)
    return _finished(task, context, _outcome(task, produced, log), produced)


def _finished(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome, produced: AssetOutput
) -> TaskOutcome:
    if produced.staged is None:
        return outcome
    match _audited(task, context, outcome, produced):
        case StagedOutcome(staged=StagedFile()) as audited if task.previous is not None:
            return _compared(task, context, audited)
        case audited:
            return audited


def _compared(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome
) -> StagedOutcome | FailedOutcome:
    """Return a backfill's outcome with its differences from the published rows."""
    assert outcome.staged is not None
    try:
        return msgspec.structs.replace(
            outcome, changed=compared(task, outcome.staged, _session(task, context))
        )
    except BodyFailed as failure:
        (context.folders.lake / outcome.staged.path).unlink(missing_ok=True)
        return FailedOutcome(
            attempt=outcome.attempt,
            measures=outcome.measures,
            error=failure.error,
            log_lines=outcome.log_lines,
        )


def _outcome(task: ComputeTask, produced: AssetOutput, log: LogFile) -> StagedOutcome:
    return StagedOutcome(
        attempt=task.scope.attempt,
        measures=produced.measures,
        staged=produced.staged,
        replacement=produced.replacement,
        table=produced.table if produced.table != task.table else None,
        manifest=produced.manifest,
        sha256=_hash_of(produced),
        log_lines=log.lines,
    )


def _run(task: ComputeTask, context: WorkerContext, log: LogFile) -> AssetOutput:
    session = _session(task, context)
    # a query prints nothing, so capturing output would be wasted
    if isinstance(task.body, SqlBody):
        return run_body(task, session, context.folders, log=log)
    with Capture(context.channel, log, context.listener):
        return run_body(task, session, context.folders, log=log)


def _prove(task: ComputeTask, context: WorkerContext, produced: AssetOutput) -> None:
    if task.alone is None or produced.staged is None:
        return
    try:
        prove(task, task.alone, produced, _session(task, context), context)
    except BodyFailed as failure:
        (context.folders.lake / produced.staged.path).unlink()
        failure.measures = produced.measures
        raise


def _session(task: ComputeTask, context: WorkerContext) -> DuckDBSession:
    return context.session(
        task.scope.timezone, large=sum(data.rows or 0 for data in task.inputs) >= LARGE_ROWS
    )


def _attempt(task: ComputeTask) -> tuple[int, int]:
    epoch, _, n = task.scope.attempt.partition(".")
    return int(epoch), int(n)


def _hash_of(produced: AssetOutput) -> str | None:
    """Return the hash of the files' names and contents, independent of their folder."""
    if produced.manifest is None:
        return None
    told = sorted((Path(file["path"]).name, file["sha256"]) for file in produced.manifest)
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _audited(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome, produced: AssetOutput
) -> StagedOutcome | WithheldOutcome:
    with lent(
        _session(task, context),
        task.macros if any(check.kind == CommonCheck.SQL for check in task.checks) else {},
    ):
        return _judged(task, context, outcome, produced)


def _judged(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome, produced: AssetOutput
) -> StagedOutcome | WithheldOutcome:
    assert produced.staged is not None
    assert produced.table is not None
    whole = _whole(task, produced)
    only_changes = produced.replacement is not None and whole is None
    session, table = _session(task, context), produced.table

    def audited(file: StagedFile) -> Audit:
        return audit(
            session,
            file,
            table,
            task.checks,
            partition_check=None if only_changes else _routing(task),
            references=task.check_data.references,
            now_us=task.now_us,
            partitions=() if only_changes else task.scope.partitions,
            timezone=task.scope.timezone,
            on_fail=blocking(task.on_fail),
            whole=whole,
            key=_key(task),
            classified=task.classified,
        )

    alone = produced.replacement is None and len(task.scope.partitions) == 1
    row_split = without_faulty_rows(
        session, produced.staged, table, task.checks, audited, task.check_data.references,
        task.scope.timezone,
        on_fail=task.on_fail if alone else blocking(task.on_fail),
    )  # fmt: skip
    produced = msgspec.structs.replace(produced, staged=row_split.staged)
    return row_split.settle(_concluded(task, context, outcome, produced, row_split.audit), context)


def _concluded(
    task: ComputeTask,
    context: WorkerContext,
    outcome: StagedOutcome,
    produced: AssetOutput,
    result: Audit,
) -> StagedOutcome | WithheldOutcome:
    assert produced.staged is not None
    assert produced.table is not None
    if task.without:
        result = result.with_warning()
    result = with_views(
        result,
        task.check_data.views,
        _session(task, context),
        produced.staged,
        produced.table,
        task.now_us,
        produced.files,
    )
    measures = msgspec.structs.replace(outcome.measures, audit_seconds=result.seconds)
    strange = _strange(task, produced.staged, result)
    result = strange.audit
    facts = strange.facts
    if result.verdict in (Verdict.HELD, Verdict.REJECTED):
        earlier = EarlierPartition(task.earlier, task.scope.partitions, task.scope.timezone)
        facts = with_own_checks(
            facts,
            result,
            DeclaredChecks(task.checks),
            earlier,
            _session(task, context),
            produced.staged,
            produced.table,
        )
    outcome = msgspec.structs.replace(
        outcome,
        audit=result,
        measures=measures,
        staged=_hashed(produced.staged, result),
        facts=facts,
    )
    if result.verdict not in (Verdict.HELD, Verdict.REJECTED):
        rewritten = context.rewrite(
            task.shared, produced.table, task.scope.partitions, task.scope.timezone
        )
        return msgspec.structs.replace(
            outcome,
            rewritten=rewritten,
            reason="; ".join(filter(None, [_done_without(task), strange.reason])),
        )
    reason = "; ".join(
        filter(
            None,
            [
                *(
                    r.said
                    for r in result.results
                    if r.outcome is CheckState.FAILED and r.severity is Severity.BLOCKING
                ),
                strange.reason,
            ],
        )
    )
    context.discard(produced.replacement)
    # batches are retried in smaller ones: only single partitions are quarantined
    if len(task.scope.partitions) > 1:
        (context.folders.lake / produced.staged.path).unlink()
        return outcome.withheld(result.verdict, reason=reason, quarantined=None)
    quarantined = context.quarantine(produced.staged)
    return outcome.withheld(result.verdict, reason=reason, quarantined=quarantined)


def _strange(task: ComputeTask, staged: StagedFile, result: Audit) -> EvaluatedAudit:
    """Evaluate the partitions for anomalies.

    Rows that are merged into a table are no partition of it, so no history applies.
    """
    grain = Grain(task.scope.grain) if task.scope.grain is not None and task.merge is None else None
    return evaluated_audit(
        result, staged, task.scope.partitions, task.around, task.history, grain, inputs=task.inputs
    )


def _hashed(staged: StagedFile, result: Audit) -> StagedFile:
    """Return the file with the content hashes from the audit's scan."""
    return staged.hashed(result.content_hash).hashed_each(result.hashes())


def _whole(task: ComputeTask, produced: AssetOutput) -> TableContents | None:
    """Return the merged table that checks apply to; None without a merge or checks."""
    if produced.replacement is None or not task.checks:
        return None
    return TableContents(produced.files, produced.replacement.rows, task.scope.partitions[0])


def _routing(task: ComputeTask) -> PartitionCheck | None:
    if task.scope.grain is None:
        return None
    if task.merge is not None:  # its rows belong to several partitions
        return (None, Grain(task.scope.grain), task.scope.timezone)
    return (task.partition_column, Grain(task.scope.grain), task.scope.timezone)


def _key(task: ComputeTask) -> tuple[str, str] | None:
    """Return the key column and the key that all rows must have."""
    return (
        None
        if task.key_column is None or task.scope.data_key is None
        else (task.key_column, task.scope.data_key)
    )


def _done_without(task: ComputeTask) -> str:
    """Return the warning of a partition computed without an optional input."""
    return f"computed without {', '.join(task.without)}, which hasn't come" if task.without else ""
