"""Producing partitions of an asset: run its body, stage what it gives, audit it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from headrace.engine.failures import BodyFailed
from headrace.engine.logs import Capture, Clock, LogFile
from headrace.engine.produce import Produced
from headrace.engine.produce import produce as run_body
from headrace.lake.session import Session
from headrace.model import Grain, SqlBody
from headrace.quality import Audit, Verdict
from headrace.quality.audit import PartitionCheck, audit
from headrace.run.messages import Outcome, Produce
from headrace.run.steps.workshop import LARGE_ROWS, Workshop


def produce(task: Produce, workshop: Workshop) -> Outcome:
    """One attempt at partitions of an asset, as far as it gets: staged, held, rejected or failed."""
    log = LogFile(workshop.folders.log(*_attempt(task)), Clock(task.now_us))
    try:
        produced = _run(task, workshop, log)
    except BodyFailed as failure:
        return Outcome(attempt=task.scope.attempt, state="failed", measures=failure.measures, error=failure.error, log_lines=log.lines)
    outcome = Outcome(
        attempt=task.scope.attempt,
        state="staged",
        measures=produced.measures,
        staged=produced.staged,
        table=produced.table if produced.table != task.table else None,
        manifest=produced.manifest,
        sha256=_hash_of(produced),
        log_lines=log.lines,
    )
    return outcome if produced.staged is None else _audited(task, workshop, outcome, produced)


def _run(task: Produce, workshop: Workshop, log: LogFile) -> Produced:
    session = _session(task, workshop)
    if isinstance(task.body, SqlBody):  # it prints nothing, so it needn't pay for being heard
        return run_body(task, session, workshop.folders, log=log)
    with Capture(workshop.channel, log):
        return run_body(task, session, workshop.folders, log=log)


def _session(task: Produce, workshop: Workshop) -> Session:
    return workshop.session(task.scope.timezone, large=sum(data.rows or 0 for data in task.inputs) >= LARGE_ROWS)


def _attempt(task: Produce) -> tuple[int, int]:
    epoch, _, n = task.scope.attempt.partition(".")
    return int(epoch), int(n)


def _hash_of(produced: Produced) -> str | None:
    """Of files: what their contents come to, whatever their folder is called."""
    if produced.manifest is None:
        return None
    told = sorted((Path(file["path"]).name, file["sha256"]) for file in produced.manifest)
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _audited(task: Produce, workshop: Workshop, outcome: Outcome, produced: Produced) -> Outcome:
    assert produced.staged is not None
    assert produced.table is not None
    found: Audit = audit(
        _session(task, workshop), produced.staged, produced.table, task.checks, partition_check=_routing(task),
        references=task.references, now_us=task.now_us, partitions=task.scope.partitions, timezone=task.scope.timezone,
        on_fail=task.on_fail,
    )  # fmt: skip
    measures = msgspec.structs.replace(outcome.measures, audit_seconds=found.seconds)
    outcome = msgspec.structs.replace(outcome, audit=found, measures=measures, staged=produced.staged.hashed(found.content_hash))
    if found.verdict not in (Verdict.HELD, Verdict.REJECTED):
        rewritten = workshop.rewrite(task.shared, produced.table, task.scope.partitions, task.scope.timezone)
        return msgspec.structs.replace(outcome, rewritten=rewritten)
    reason = "; ".join(r.detail or r.name for r in found.results if r.outcome == "failed" and r.severity == "blocking")
    quarantined = workshop.quarantine(produced.staged)
    return msgspec.structs.replace(outcome, state=found.verdict.value, reason=reason, quarantined=quarantined)


def _routing(task: Produce) -> PartitionCheck | None:
    if task.scope.grain is None:
        return None
    return (task.partition_column, Grain(task.scope.grain), task.scope.timezone)
