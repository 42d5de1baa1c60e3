"""What the audit of a delivery decides: published, held or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headrace.checks import Audit, CheckState, Verdict
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import IGNORE, summary_clause
from headrace.checks.drift import changes_text, facts_of
from headrace.checks.facts import Fact, FactSeverity, Policy
from headrace.connect.prepared import PreparedDelivery, fingerprint
from headrace.connect.raw_files import RawCopy
from headrace.engine import Measures
from headrace.lake import LakeTable, StagedFile
from headrace.lake.row_routing import NOWHERE
from headrace.lake.session import DuckDBSession
from headrace.model import Source
from headrace.model.nodes import Severity
from headrace.runtime.messages import (
    IngestTask,
    StagedOutcome,
    WithheldOutcome,
)
from headrace.runtime.steps.anomalies import EvaluatedAudit, LargerSample, evaluated_audit, hash_of
from headrace.runtime.steps.drift import Drifting
from headrace.runtime.steps.expected_schemas import of_file
from headrace.runtime.steps.restatements import cut_off, restatements
from headrace.runtime.steps.sources import (
    texts_for_a_few_values,
    unexpected_rows,
    withdrawn_rows,
)
from headrace.runtime.steps.worker_context import WorkerContext

PUBLISHABLE = (Verdict.PASSED, Verdict.WARNED, Verdict.UNCHECKED)


class _Decision(NamedTuple):
    """The verdict on a delivery beyond its checks, with the facts that decided it."""

    verdict: Verdict
    facts: tuple[Fact, ...]
    withdrawn: list[Fact]
    """Facts of partitions with exactly the rows that a user withdrew."""
    unexpected: str
    """Why the row count needs a decision; empty if it needs none."""
    shorter: str
    """A clause on a delivery that is truncated; empty if it isn't."""


def _decision(
    task: IngestTask, staged: StagedFile, evaluated: EvaluatedAudit, shorter: Sequence[Fact]
) -> _Decision:
    """Return the stricter of the audit's verdict and what is known besides.

    `shorter` are the facts of a file that was delivered again, but truncated.
    """
    verdict, facts, clause = evaluated.audit.verdict, evaluated.facts, ""
    if verdict is Verdict.WARNED and _has_rows_of_none(staged):
        verdict = Verdict.REJECTED
    withdrawn = [
        withdrawn_rows(key, reason)
        for key, content, reason in task.known.withdrawn
        if hash_of(key, evaluated.audit, staged) == content
    ]
    if withdrawn and verdict is not Verdict.REJECTED:
        verdict, facts = Verdict.HELD, (*facts, *withdrawn)
    unexpected = unexpected_row_count(
        task.source, staged.rows, history_has_rows=task.history_has_rows
    )
    if unexpected and verdict in PUBLISHABLE:
        verdict, facts = Verdict.HELD, (*facts, unexpected_rows(unexpected, staged.rows))
    if shorter and verdict in PUBLISHABLE:
        held = shorter[0].severity is FactSeverity.HOLD
        verdict, facts = Verdict.HELD if held else Verdict.WARNED, (*facts, *shorter)
        clause = summary_clause(shorter, shorter[0].severity, named=False)
    return _Decision(verdict, facts, withdrawn, unexpected, clause)


def _has_rows_of_none(staged: StagedFile) -> bool:
    """Whether rows belong to no partition: they can't be published."""
    return any(part.key == NOWHERE for part in staged.partitions)


class ReadDelivery(NamedTuple):
    """A delivery's stored bytes, what was read of them, and how that differs from the agreement."""

    copy: RawCopy
    prepared: PreparedDelivery
    drifting: Drifting


def concluded(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    delivery: ReadDelivery,
    staged: StagedFile,
    table: LakeTable,
    result: Audit,
) -> StagedOutcome | WithheldOutcome:
    """Return the outcome of a delivery that was read, staged and audited."""
    copy, prepared, drifting = delivery
    around = msgspec.structs.replace(task.around, of_columns=_decided(task, drifting))
    larger = LargerSample(session, staged, table, task.source.timezone, task.classified)
    history = MetricHistory(task.history, task.source.partition.grain)
    evaluated = evaluated_audit(result, staged, task.keys, around, history, larger)
    shorter = cut_off(task, staged, copy, context.folders.raw)
    decision = _decision(task, staged, evaluated, shorter)
    result = msgspec.structs.replace(evaluated.audit, verdict=decision.verdict)
    changes = drifting.changes(prepared)
    warned = [change for change in changes if change.policy is Policy.WARN]
    learnt = drifting.to_pin(prepared)
    first = learnt.lesson if learnt is not None and task.pinned is None else None
    lessons = first.warnings if first is not None else ()
    if warned or lessons:
        result = result.with_warning()
    warnings = [changes_text(warned), *lessons, evaluated.reason, decision.shorter]
    outcome = StagedOutcome(
        attempt=task.attempt,
        measures=Measures(),
        staged=staged.hashed(result.content_hash),
        table=table if table != task.table else None,
        audit=result,
        learnt=learnt,
        fingerprint=fingerprint(of_file(prepared), copy.sha256),
        drift=changes,
        facts=(
            *facts_of(changes),
            *texts_for_a_few_values(prepared.schema, task.promised or ()),
            *decision.facts,
        ),
        reason="; ".join(filter(None, warnings)),
        acceptable=not _has_rows_of_none(staged),
    )
    if decision.verdict in (Verdict.HELD, Verdict.REJECTED):
        reasons = [
            _failures(result),
            decision.unexpected,
            *(fact.observed for fact in decision.withdrawn),
            evaluated.reason,
            decision.shorter,
        ]
        return outcome.withheld(
            decision.verdict,
            reason="; ".join(filter(None, reasons)),
            quarantined=context.quarantine(staged),
        )
    if not staged.rows and task.pinned is None and not task.promised:
        return _without_columns(outcome, context)
    rewritten = context.rewrite(task.shared, table, task.keys, task.source.timezone)
    restated = restatements(
        task, outcome.staged or staged, context.session(task.source.timezone), copy.sha256
    )
    used = task.around.used
    apart = ", ".join(restated.ignored)
    text = f"as published before, but for {apart}" if restated.alike else ""
    return msgspec.structs.replace(
        outcome,
        rewritten=rewritten,
        facts=(*outcome.facts, *restated.facts),
        alike=() if used is None or set(restated.ignored) & set(used) else restated.alike,
        reason="; ".join(filter(None, (outcome.reason, text))),
    )


def _decided(task: IngestTask, drifting: Drifting) -> dict[str, str]:
    """Return `on_anomaly` by column, with the columns that are decided already.

    Values accepted as they are from an interval within the history only warn; a missing column that
    nobody uses is ignored.
    """
    since = task.history[0].partition if task.history else ""
    as_is = [name for name, first in drifting.as_is.items() if since < first]
    declared = dict(task.around.of_columns)
    decided = dict.fromkeys(as_is, "warn") | dict.fromkeys(drifting.unmissed, IGNORE)
    return decided | declared


def _without_columns(outcome: StagedOutcome, context: WorkerContext) -> StagedOutcome:
    """Return the outcome of a first delivery with a lone header: 0 rows, no types, no table."""
    assert outcome.staged is not None
    (context.folders.lake / outcome.staged.path).unlink()
    return msgspec.structs.replace(outcome, staged=None, table=None, learnt=None)


def unexpected_row_count(source: Source, rows: int, *, history_has_rows: bool) -> str:
    """Return why the row count needs a decision, though no check failed; empty if it needs none."""
    low, high = source.expect.rows_min, source.expect.rows_max
    if rows == 0 and history_has_rows:
        return "it has no rows, where earlier deliveries had some"
    if (low is not None and rows < low) or (high is not None and rows > high):
        return (
            f"it has {rows} rows,"
            f" {low if low is not None else 0}..{high if high is not None else ''} are expected"
        )
    return ""


def _failures(result: Audit) -> str:
    return "; ".join(
        r.summary
        for r in result.results
        if r.outcome is CheckState.FAILED and r.severity is Severity.BLOCKING
    )
