"""Compute partitions of an asset: run its code, stage, audit, compare with published rows."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.checks import Audit, CheckState, Verdict
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.audit import AuditRequest, TableContents, audit
from headrace.checks.placement import PartitionCheck
from headrace.compiler.installed import current_environment
from headrace.engine import sandbox
from headrace.engine.attempts import BodyError, ErrorKind, Measures, as_said, is_called_each
from headrace.engine.command import command_access, programs_of_command
from headrace.engine.compute import AssetOutput
from headrace.engine.compute import compute as run_body
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.isolation import Capture
from headrace.engine.landlock import Access
from headrace.engine.logs import LogFile, WorkerClock, read
from headrace.engine.macros import lent
from headrace.faults import FaultPoint, reached
from headrace.lake import LakeTable, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.model import CommandBody, Grain, SqlBody
from headrace.model.errors import UNRESOLVED
from headrace.model.nodes import Severity
from headrace.plan.impact import ALL_COLUMNS
from headrace.runtime.messages import (
    ComputeTask,
    FailedOutcome,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.steps.anomalies import EvaluatedAudit, LargerSample, evaluated_audit
from headrace.runtime.steps.attempt_environments import in_environment
from headrace.runtime.steps.attempt_hosts import declared_hosts
from headrace.runtime.steps.checks import (
    DeclaredChecks,
    EarlierPartition,
    blocking,
    with_own_checks,
    with_views,
    without_faulty_rows,
)
from headrace.runtime.steps.row_changes import compared
from headrace.runtime.steps.separability import prove
from headrace.runtime.steps.worker_context import LARGE_ROWS, WorkerContext


def compute(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    """Run one attempt at partitions of an asset: staged, held, rejected or failed."""
    if task.lock is None or (task.handed is not None and task.handed.missing):
        return _computed(task, context)
    log = _log(task, context)
    try:
        placed, seconds = in_environment(task, context.folders, log)
    except BodyFailed as failure:
        error = failure.error
        return FailedOutcome(attempt=task.scope.attempt, measures=Measures(), error=error)
    outcome = _computed(placed, context)
    measures = msgspec.structs.replace(outcome.measures, environment_seconds=seconds)
    lines = outcome.log_lines + log.lines
    return msgspec.structs.replace(outcome, measures=measures, log_lines=lines)


def _computed(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    if isinstance(task.body, CommandBody):
        # read first: the command may replace these programs
        ran = _programs(task, task.body, context)
        return msgspec.structs.replace(_attempted(task, context), environment=ran)
    if isinstance(task.body, SqlBody):
        return context.in_query_thread(lambda: _attempted(task, context))
    outcome = _attempted(task, context)
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
    log = _log(task, context)
    try:
        if task.handed is not None and task.handed.unreachable:
            raise failed(task.handed.missing, code="source_unavailable", kind=ErrorKind.TRANSIENT)
        if task.handed is not None and task.handed.missing:
            raise failed(f"{UNRESOLVED}: {task.handed.missing}", code="configuration_error")
        produced = _run(task, context, log)
        _prove(task, context, produced)
    except BodyFailed as failure:
        error = _explained(task, context, failure.error, log)
        return FailedOutcome(
            attempt=task.scope.attempt,
            measures=failure.measures,
            error=error,
            log_lines=log.lines,
        )
    reached(FaultPoint.FILE_STAGED)
    outcome = _outcome(task, produced, log)
    # checks are SQL of the project as well
    return context.in_query_thread(lambda: _finished(task, context, outcome, produced))


def _log(task: ComputeTask, context: WorkerContext) -> LogFile:
    path = context.folders.log(*_attempt(task))
    return LogFile(path, WorkerClock(task.now_us), context.secrets.redactor)


def _explained(
    task: ComputeTask, context: WorkerContext, error: BodyError, log: LogFile
) -> BodyError:
    """Return a failure with the limit, or the path out of reach, that its texts name."""
    texts = [line.text for line in read(log.path)]
    error = as_said(error, texts)
    if isinstance(task.body, SqlBody) or not sandbox.is_restricted(task):
        return error
    with contextlib.suppress(BodyFailed):
        explained = sandbox.explained(
            error, texts, _access(task, context), context.folders.lake.parent
        )
        if explained.message != error.message:
            log.say("warning", f"{explained.message.removeprefix(f'{error.message}: ')}")
            log.close()
        return explained
    return error


def _access(task: ComputeTask, context: WorkerContext) -> Access:
    code_root = context.folders.code / (task.code or "")
    if isinstance(task.body, CommandBody):
        own_folders = (context.folders.temporary,)
        return command_access(task, task.body, context.folders, code_root, own_folders)
    return sandbox.access_of(task, context.folders, read=(code_root,), write=())


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
    with declared_hosts(task, log) as task_over_proxy:
        return _run_code(task_over_proxy, context, log)


def _run_code(task: ComputeTask, context: WorkerContext, log: LogFile) -> AssetOutput:
    if task.sandbox.python and sandbox.available():
        return context.compute_restricted(task, log, large=_is_large(task))
    session = _session(task, context)
    # a query prints nothing, so capturing output would be wasted
    if isinstance(task.body, SqlBody):
        return run_body(task, session, context.folders, log=log)
    if is_called_each(task):
        captured = functools.partial(_captured, context, log)
        return run_body(task, session, context.folders, log=log, captured=captured)
    with Capture(context.channel, log, context.listener):
        return run_body(task, session, context.folders, log=log)


@contextlib.contextmanager
def _captured(context: WorkerContext, log: LogFile, place: int, partition: str) -> Iterator[None]:
    """Capture the output of one call in a batch, and count its lines as the attempt's."""
    call_log = log.of_call(place, partition)
    try:
        with Capture(context.channel, call_log, context.listener):
            yield
    finally:
        log.lines += call_log.lines


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
    return context.session(task.scope.timezone, large=_is_large(task))


def _is_large(task: ComputeTask) -> bool:
    return sum(data.rows or 0 for data in task.inputs) >= LARGE_ROWS


def _attempt(task: ComputeTask) -> tuple[int, int]:
    epoch, _, n = task.scope.attempt.partition(".")
    return int(epoch), int(n)


def _hash_of(produced: AssetOutput) -> str | None:
    """Return the hash of the files' names and contents, independent of their folder."""
    if produced.manifest is None:
        return None
    entries = sorted((Path(file["path"]).name, file["sha256"]) for file in produced.manifest)
    return hashlib.sha256(msgspec.json.encode(entries)).hexdigest()


def _audited(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome, produced: AssetOutput
) -> StagedOutcome | WithheldOutcome:
    with lent(_session(task, context), task.macros if task.checks else {}):
        return _evaluated(task, context, outcome, produced)


def _classified(task: ComputeTask, table: LakeTable) -> tuple[str, ...]:
    """Return the columns of which no value may be stored."""
    if ALL_COLUMNS in task.classified:
        return tuple(column.name for column in table.columns)
    return task.classified


def _evaluated(
    task: ComputeTask, context: WorkerContext, outcome: StagedOutcome, produced: AssetOutput
) -> StagedOutcome | WithheldOutcome:
    assert produced.staged is not None
    assert produced.table is not None
    whole = _whole(task, produced)
    only_changes = produced.replacement is not None and whole is None
    session, table = _session(task, context), produced.table
    request = AuditRequest(
        checks=task.checks,
        now_us=task.now_us,
        partition_check=None if only_changes else _routing(task),
        partitions=() if only_changes else task.scope.partitions,
        key=_key(task),
        references=task.check_data.references,
        timezone=task.scope.timezone,
        on_fail=blocking(task.on_fail),
        waived=task.waived,
        classified=_classified(task, table),
    )

    def audited(file: StagedFile) -> Audit:
        return audit(session, file, table, request, whole=whole)

    alone = produced.replacement is None and len(task.scope.partitions) == 1
    on_fail = task.on_fail if alone else blocking(task.on_fail)
    row_split = without_faulty_rows(session, produced.staged, table, request, audited, on_fail)
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
    strange = _strange(task, context, produced.staged, produced.table, result)
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
                    r.summary
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


def _strange(
    task: ComputeTask,
    context: WorkerContext,
    staged: StagedFile,
    table: LakeTable,
    result: Audit,
) -> EvaluatedAudit:
    """Evaluate the partitions for anomalies.

    Rows that are merged into a table are no partition of it, so no history applies.
    """
    grain = Grain(task.scope.grain) if task.scope.grain is not None and task.merge is None else None
    larger = LargerSample(
        _session(task, context), staged, table, task.scope.timezone, _classified(task, table)
    )
    keys = task.scope.partitions
    return evaluated_audit(
        result,
        staged,
        keys,
        task.around,
        MetricHistory(task.history, grain),
        larger,
        inputs=dict(zip(keys, task.call_inputs or (task.inputs,) * len(keys), strict=True)),
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
