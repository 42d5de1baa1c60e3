"""Producing partitions of an asset: run its body, stage what it gives, audit it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import msgspec

from headrace.engine.capture import Capture
from headrace.engine.command import ran_by
from headrace.engine.compute import AssetOutput
from headrace.engine.compute import compute as run_body
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.limits import as_said
from headrace.engine.logs import LogFile, WorkerClock, read
from headrace.engine.macros import lent
from headrace.faults import FaultPoint, reached
from headrace.lake import StagedFile
from headrace.lake.session import DuckDBSession
from headrace.model import CommandBody, Grain, PythonBody, SqlBody
from headrace.model.clauses import UNRESOLVED
from headrace.plan.packages import environment
from headrace.quality import Audit, Verdict
from headrace.quality.audit import PartitionCheck, TableContents, audit
from headrace.run.messages import ComputeTask, TaskOutcome
from headrace.run.steps.comparing import compared
from headrace.run.steps.oddities import EvaluatedAudit, oddities
from headrace.run.steps.own_checks import DeclaredChecks, EarlierPartition, with_own_checks
from headrace.run.steps.proving import prove
from headrace.run.steps.row_quarantine import blocking, without_faulty_rows
from headrace.run.steps.views import with_views
from headrace.run.steps.worker_context import LARGE_ROWS, WorkerContext


def compute(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    """One attempt at partitions of an asset, as far as it gets: staged, held, rejected or failed."""
    if isinstance(task.body, CommandBody):
        ran = _programs(task, task.body, context)  # before it runs: it may replace them
        return msgspec.structs.replace(_attempted(task, context), environment=ran)
    outcome = _attempted(task, context)
    if not isinstance(task.body, PythonBody):
        return outcome
    return msgspec.structs.replace(outcome, environment=_environment(task.packages, task.code_packages))


def _programs(task: ComputeTask, body: CommandBody, context: WorkerContext) -> bytes:
    """What a command runs with. That it can't be found out is no reason not to run it."""
    try:
        return msgspec.json.encode(ran_by(task, body, context.folders))
    except (OSError, ValueError, LookupError, ImportError):
        return b""


@functools.lru_cache(maxsize=256)
def _environment(imported: tuple[str, ...], named: tuple[str, ...]) -> bytes:
    """What this worker runs code with, read once for each set of packages: what is imported stays as it was then."""
    return msgspec.json.encode(environment(imported, named))


def _attempted(task: ComputeTask, context: WorkerContext) -> TaskOutcome:
    log = LogFile(context.folders.log(*_attempt(task)), WorkerClock(task.now_us), context.secrets.redactor)
    try:
        if task.handed is not None and task.handed.missing:
            raise failed(f"{UNRESOLVED}: {task.handed.missing}", code="configuration_error")
        produced = _run(task, context, log)
        _prove(task, context, produced)
    except BodyFailed as failure:
        error = as_said(failure.error, (line.text for line in read(log.path)))
        return TaskOutcome(attempt=task.scope.attempt, state="failed", measures=failure.measures, error=error, log_lines=log.lines)
    reached(FaultPoint.FILE_STAGED)
    return _finished(task, context, _outcome(task, produced, log), produced)


def _finished(task: ComputeTask, context: WorkerContext, outcome: TaskOutcome, produced: AssetOutput) -> TaskOutcome:
    if produced.staged is None:
        return outcome
    outcome = _audited(task, context, outcome, produced)
    if task.previous is None or outcome.state != "staged" or outcome.staged is None:
        return outcome
    try:
        return msgspec.structs.replace(outcome, changed=compared(task, outcome.staged, _session(task, context)))
    except BodyFailed as failure:
        (context.folders.lake / outcome.staged.path).unlink(missing_ok=True)
        return TaskOutcome(outcome.attempt, "failed", outcome.measures, error=failure.error, log_lines=outcome.log_lines)


def _outcome(task: ComputeTask, produced: AssetOutput, log: LogFile) -> TaskOutcome:
    return TaskOutcome(
        attempt=task.scope.attempt,
        state="staged",
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
    if isinstance(task.body, SqlBody):  # it prints nothing, so it needn't pay for being heard
        return run_body(task, session, context.folders, log=log)
    with Capture(context.channel, log, context.listener):
        return run_body(task, session, context.folders, log=log)


def _prove(task: ComputeTask, context: WorkerContext, produced: AssetOutput) -> None:
    if not task.prove or task.alone is None or produced.staged is None:
        return
    try:
        prove(task, task.alone, produced, _session(task, context), context)
    except BodyFailed as failure:
        (context.folders.lake / produced.staged.path).unlink()
        failure.measures = produced.measures
        raise


def _session(task: ComputeTask, context: WorkerContext) -> DuckDBSession:
    return context.session(task.scope.timezone, large=sum(data.rows or 0 for data in task.inputs) >= LARGE_ROWS)


def _attempt(task: ComputeTask) -> tuple[int, int]:
    epoch, _, n = task.scope.attempt.partition(".")
    return int(epoch), int(n)


def _hash_of(produced: AssetOutput) -> str | None:
    """Of files: what their contents come to, whatever their folder is called."""
    if produced.manifest is None:
        return None
    told = sorted((Path(file["path"]).name, file["sha256"]) for file in produced.manifest)
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _audited(task: ComputeTask, context: WorkerContext, outcome: TaskOutcome, produced: AssetOutput) -> TaskOutcome:
    with lent(_session(task, context), task.macros if any(check.kind == "sql" for check in task.checks) else {}):
        return _judged(task, context, outcome, produced)


def _judged(task: ComputeTask, context: WorkerContext, outcome: TaskOutcome, produced: AssetOutput) -> TaskOutcome:
    assert produced.staged is not None
    assert produced.table is not None
    whole = _whole(task, produced)
    only_changes = produced.replacement is not None and whole is None
    session, table = _session(task, context), produced.table

    def audited(file: StagedFile) -> Audit:
        return audit(
            session, file, table, task.checks,
            partition_check=None if only_changes else _routing(task), references=task.references, now_us=task.now_us,
            partitions=() if only_changes else task.scope.partitions, timezone=task.scope.timezone, on_fail=blocking(task.on_fail),
            whole=whole, key=_key(task), classified=task.classified,
        )  # fmt: skip

    alone = produced.replacement is None and len(task.scope.partitions) == 1
    row_split = without_faulty_rows(
        session, produced.staged, table, task.checks, audited, task.references, task.scope.timezone,
        on_fail=task.on_fail if alone else blocking(task.on_fail),
    )  # fmt: skip
    produced = msgspec.structs.replace(produced, staged=row_split.staged)
    return row_split.settle(_concluded(task, context, outcome, produced, row_split.audit), context)


def _concluded(task: ComputeTask, context: WorkerContext, outcome: TaskOutcome, produced: AssetOutput, result: Audit) -> TaskOutcome:
    assert produced.staged is not None
    assert produced.table is not None
    if task.without:
        result = result.with_warning()
    result = with_views(result, task.views, _session(task, context), produced.staged, produced.table, task.now_us, produced.files)
    measures = msgspec.structs.replace(outcome.measures, audit_seconds=result.seconds)
    strange = _strange(task, produced.staged, result)
    result = strange.audit
    facts = strange.facts
    if result.verdict in (Verdict.HELD, Verdict.REJECTED):
        earlier = EarlierPartition(task.earlier, task.earlier_failed, task.scope.partitions, task.scope.timezone, task.earlier_as_of_us)
        facts = with_own_checks(
            facts, result, DeclaredChecks(task.checks), earlier, _session(task, context), produced.staged, produced.table
        )
    outcome = msgspec.structs.replace(outcome, audit=result, measures=measures, staged=_hashed(produced.staged, result), facts=facts)
    if result.verdict not in (Verdict.HELD, Verdict.REJECTED):
        rewritten = context.rewrite(task.shared, produced.table, task.scope.partitions, task.scope.timezone)
        return msgspec.structs.replace(outcome, rewritten=rewritten, reason="; ".join(filter(None, [_done_without(task), strange.reason])))
    reason = "; ".join(
        filter(None, [*(r.said for r in result.results if r.outcome == "failed" and r.severity == "blocking"), strange.reason])
    )
    context.discard(produced.replacement)
    if len(task.scope.partitions) > 1:  # they are tried again, fewer at once: only a partition alone is quarantined
        (context.folders.lake / produced.staged.path).unlink()
        return msgspec.structs.replace(outcome, state=result.verdict.value, reason=reason)
    quarantined = context.quarantine(produced.staged)
    return msgspec.structs.replace(outcome, state=result.verdict.value, reason=reason, quarantined=quarantined)


def _strange(task: ComputeTask, staged: StagedFile, result: Audit) -> EvaluatedAudit:
    """What is odd about the partitions. Rows that only change a table aren't a partition of it, so that they are like no other."""
    grain = Grain(task.scope.grain) if task.scope.grain is not None and task.merge is None else None
    return oddities(result, staged, task.scope.partitions, task.around, task.history, grain, inputs=task.inputs)


def _hashed(staged: StagedFile, result: Audit) -> StagedFile:
    """With the content hashes that the audit's scan took."""
    return staged.hashed(result.content_hash).hashed_each(result.hashes())


def _whole(task: ComputeTask, produced: AssetOutput) -> TableContents | None:
    """What checks are about: of a merge the table as it will be, not only what changes in it. Without checks it isn't read."""
    if produced.replacement is None or not task.checks:
        return None
    return TableContents(produced.files, produced.replacement.rows, task.scope.partitions[0])


def _routing(task: ComputeTask) -> PartitionCheck | None:
    if task.scope.grain is None:
        return None
    if task.merge is not None:  # its rows live across partitions
        return (None, Grain(task.scope.grain), task.scope.timezone)
    return (task.partition_column, Grain(task.scope.grain), task.scope.timezone)


def _key(task: ComputeTask) -> tuple[str, str] | None:
    """The column of the rows' key, and the key that they must have."""
    return None if task.key_column is None or task.scope.data_key is None else (task.key_column, task.scope.data_key)


def _done_without(task: ComputeTask) -> str:
    """What a partition that was made without an optional input has to say for itself."""
    return f"computed without {', '.join(task.without)}, which hasn't come" if task.without else ""
