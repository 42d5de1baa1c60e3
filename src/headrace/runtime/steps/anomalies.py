"""Anomalies of staged rows, and their effect: the partition is held or published with a warning."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import msgspec

from headrace.checks import Audit, Verdict, metrics
from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.metric_anomalies import (
    EXACT,
    IGNORE,
    apply_policy,
    milder_for_computed,
    summary_clause,
    without_unread_columns,
)
from headrace.checks.anomalies.sampling import lacks_values, near_limit, sampled_rows
from headrace.checks.audit import AuditRequest, audit, described_again, facts_of_failed_checks
from headrace.checks.facts import DriftChange, Fact, FactSeverity, ValueDifferenceKind
from headrace.checks.metrics import StoredMetrics
from headrace.connect.connectors import is_routed_by_rows
from headrace.connect.deliveries import CannotRead
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import RawCopy
from headrace.connect.row_partitions import key_of_rows
from headrace.engine import InputData
from headrace.lake import LakeTable, StagedFile
from headrace.lake.row_routing import NOWHERE
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import LakeError
from headrace.model.errors import BESIDES, DELIVERED_AS, SIZE
from headrace.model.partitions import SEPARATOR
from headrace.runtime.messages import AnomalyContext, IngestTask
from headrace.runtime.steps.drift import Drifting
from headrace.runtime.steps.expected_schemas import target_of
from headrace.runtime.steps.repeated_rows import (
    StagedRows,
    with_copies,
    with_end,
    with_repeated,
    with_repeated_values,
)
from headrace.runtime.steps.sources import read_as
from headrace.runtime.steps.worker_context import WorkerContext

# Evaluate each partition against the history of those before it.

MORE_TIMES = 1.5
"""Changed code holds a partition from this multiple of the most rows per input row so far."""
MORE_ROWS_MIN = 20
"""Fewer rows than this are never held by MORE_TIMES."""


class EvaluatedAudit(msgspec.Struct, frozen=True):
    """The audit with its verdict, the facts, and a clause for users on the holds or warnings."""

    audit: Audit
    facts: tuple[Fact, ...] = ()
    reason: str = ""


class LargerSample:
    """Profiles of a staged file from more rows than the audit sampled, read once if asked for."""

    def __init__(
        self,
        session: DuckDBSession,
        staged: StagedFile,
        table: LakeTable,
        timezone: str,
        classified: Sequence[str],
    ) -> None:
        self._session, self._staged, self._table = session, staged, table
        self._timezone, self._classified = timezone, classified
        self._audit: Audit | None = None

    def audit(self, first: Audit) -> Audit:
        """Return the audit with profiles and metrics from the larger sample."""
        if self._audit is None:
            self._audit = described_again(
                first,
                self._session,
                self._staged,
                self._table,
                timezone=self._timezone,
                classified=self._classified,
            )
        return self._audit


def evaluated_audit(
    audit: Audit,
    staged: StagedFile,
    keys: Sequence[str],
    around: AnomalyContext,
    history: MetricHistory,
    larger: LargerSample,
    *,
    inputs: Mapping[str, Sequence[InputData]] | None = None,
) -> EvaluatedAudit:
    """Evaluate each partition against earlier ones, in the history and in the same file.

    An unpartitioned node has no earlier ones: its history has no grain. A partition that seems
    anomalous in the audit's sample, or nearly so, is evaluated by the `larger` one. `inputs` are
    the inputs that each partition was computed from; None for a delivery. Where only the inputs of
    a whole batch are known, a partition without rows counts as one whose inputs have rows: it is
    computed again alone, which shows whether they have.
    """
    withheld = _withheld(audit, staged)
    failed = tuple(
        fact
        for key in keys
        for fact in facts_of_failed_checks(audit.of(key).results, key, holds=withheld)
    )
    ignored = around.on_anomaly == IGNORE and not around.of_columns
    if ignored or history.grain is None:
        return EvaluatedAudit(audit, failed)
    audit, anomalies = _anomalies(audit, staged, keys, around, history, larger, inputs)
    evaluated_facts = tuple(apply_policy(anomalies, around.on_anomaly, around.of_columns))
    if not evaluated_facts:
        return EvaluatedAudit(audit, failed)
    held = any(fact.severity is FactSeverity.HOLD for fact in evaluated_facts)
    reason = summary_clause(
        evaluated_facts, FactSeverity.HOLD if held else FactSeverity.WARN, named=len(keys) > 1
    )
    return EvaluatedAudit(_with_verdict(audit, evaluated_facts), failed + evaluated_facts, reason)


def _anomalies(
    audit: Audit,
    staged: StagedFile,
    keys: Sequence[str],
    around: AnomalyContext,
    history: MetricHistory,
    larger: LargerSample,
    inputs: Mapping[str, Sequence[InputData]] | None,
) -> tuple[Audit, list[Fact]]:
    """Return the anomalies of the partitions, before the declared policies apply.

    The audit comes with them: it has the metrics that were evaluated.
    """
    facts: list[Fact] = []
    for key in _alike(keys):
        fed = _have_rows((inputs or {}).get(key))
        audit, of_partition = _of(key, audit, staged, around, history, larger, fed=fed)
        facts += of_partition
    if inputs is None:
        return audit, list(without_unread_columns(facts, around.used))
    facts = list(milder_for_computed(facts, around.unusual, around.emptied, around.more_rows))
    more = _more_of_each(keys, staged.rows, inputs, around)
    if more is None:
        return audit, facts
    return audit, [more, *(fact for fact in facts if fact.kind != more.kind)]


def _withheld(audit: Audit, staged: StagedFile) -> bool:
    """Whether the audit keeps the rows from readers.

    With `on_fail: warn` and for accepted deliveries it doesn't; but rows of no partition can't be
    published.
    """
    return audit.verdict in (Verdict.HELD, Verdict.REJECTED) or any(
        part.key == NOWHERE for part in staged.partitions
    )


def _have_rows(inputs: Sequence[InputData] | None) -> bool:
    return bool(inputs) and all(data.rows for data in inputs or ())


def _more_of_each(
    keys: Sequence[str],
    rows: int,
    inputs: Mapping[str, Sequence[InputData]],
    around: AnomalyContext,
) -> Fact | None:
    """Return a fact if changed code gives far more rows per input row than any partition so far.

    The variance of earlier partitions doesn't matter here.
    """
    of_first = inputs[keys[0]]
    read = of_first[0] if len(keys) == 1 == len(of_first) else None
    if read is None or not read.rows or not around.rows_each or rows < MORE_ROWS_MIN:
        return None
    most = around.rows_each * read.rows
    if rows < MORE_TIMES * most:
        return None
    return Fact(
        kind="volume_anomaly",
        severity=FactSeverity.HOLD,
        strength=EXACT,
        partition=keys[0],
        detail=f"× {rows / most:.3g}",
        expected=(
            f"at most {most:,.0f} rows made of {read.rows:,} rows of {read.name}, as by the code"
            " before"
        ),
        observed=f"{rows:,} rows",
    )


def _alike(keys: Sequence[str]) -> list[str]:
    """Return the partitions with the history's key, in order of time."""
    key = min(keys).partition(SEPARATOR)[2]
    return sorted(item for item in keys if item.partition(SEPARATOR)[2] == key)


def _of(
    key: str,
    audit: Audit,
    staged: StagedFile,
    around: AnomalyContext,
    history: MetricHistory,
    larger: LargerSample,
    *,
    fed: bool,
) -> tuple[Audit, tuple[Fact, ...]]:
    vector = audit.of(key).metrics
    if not vector:
        return audit, ()
    partition = EvaluatedPartition(
        key=key,
        metrics=metrics.decoded(vector),
        content_hash=hash_of(key, audit, staged),
        versions=around.versions,
        sources=around.sources,
        peers=around.peers,
        calendar=around.calendar,
        fed=fed,
    )
    facts = evaluate_partition(partition, history)
    profile = audit.of(key).profile
    sampled = sampled_rows(profile)
    if sampled and (facts or lacks_values(profile) or near_limit(partition, sampled, history)):
        audit = audit.with_profile_of(key, larger.audit(audit))
        vector = audit.of(key).metrics
        partition = msgspec.structs.replace(partition, metrics=metrics.decoded(vector))
        facts = evaluate_partition(partition, history)
    if partition.metrics.rows and not any(fact.severity is FactSeverity.HOLD for fact in facts):
        history.add(StoredMetrics(key, vector))
    return audit, facts


def hash_of(key: str, audit: Audit, staged: StagedFile) -> str | None:
    """Return the content hash of a staged partition; None if unknown."""
    known = audit.of(key).content_hash
    return known or next((part.content_hash for part in staged.partitions if part.key == key), None)


def _with_verdict(audit: Audit, facts: Sequence[Fact]) -> Audit:
    """Return the audit with `held` or `warned` where a fact says so.

    A delivery is held as a whole; rejected partitions stay rejected.
    """
    parts = {
        key: msgspec.structs.replace(
            part, verdict=_verdict(part.verdict, [fact for fact in facts if fact.partition == key])
        )
        for key, part in audit.partitions.items()
    }
    return msgspec.structs.replace(audit, verdict=_verdict(audit.verdict, facts), partitions=parts)


def _verdict(was: Verdict, facts: Sequence[Fact]) -> Verdict:
    if not facts or was in (Verdict.HELD, Verdict.REJECTED):
        return was
    return (
        Verdict.HELD
        if any(fact.severity is FactSeverity.HOLD for fact in facts)
        else Verdict.WARNED
    )


# Further anomalies of a delivery that is held for its column names: it is read once more as if the
# names were decided. A renamed column with other units, or a file that lacks a column and its
# second half, has two causes. Both are reported on the first day; otherwise the user who accepts
# the mapping meets the next fault only then.


def further_facts(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
) -> tuple[Fact, ...]:
    """Return the facts that would hold the delivery if its column names were decided.

    Empty if it can't be read with them either.
    """
    import duckdb

    if drifting.pinned is None or task.source.partition.grain is None or not task.history:
        return ()
    prepared = read_as(
        task, context, session, copy, name, pinned=drifting.pinned, adapt=drifting.as_if_decided
    )
    if not isinstance(prepared, PreparedDelivery):
        return ()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(prepared.discard)
        try:
            staged, table = stage(
                session,
                prepared.select_sql,
                target=target_of(task, prepared.schema),
                partition=key_of_rows(task.source, prepared.schema.columns, task.keys)
                if is_routed_by_rows(task.source)
                else task.found.partition,
            )
        except (CannotRead, LakeError, duckdb.ConversionException, duckdb.InvalidInputException):
            return ()  # the delivery has other faults that prevent reading
        cleanup.callback((context.folders.lake / staged.path).unlink)
        facts = _facts_as_if_decided(task, session, prepared, staged, table)
    results = [
        fact
        for fact in facts
        if fact.severity is FactSeverity.HOLD and fact.column not in drifting.missing_columns
    ]
    renamed = drifting.renamed
    return tuple(_told_beside(fact, renamed.get(fact.column)) for fact in results)


def _told_beside(fact: Fact, renamed: DriftChange | None) -> Fact:
    """Return the fact with the delivered name of its column.

    The proposed rename compares the column's size as well: both then report the same factor.
    """
    if renamed is None:
        return msgspec.structs.replace(fact, detail=f"{fact.detail}; {BESIDES}")
    detail = fact.detail
    scale = next(
        (differ for differ in renamed.differs if differ.kind is ValueDifferenceKind.SCALE), None
    )
    if scale is not None and detail.startswith(SIZE) and "?" not in detail:
        detail = f"{SIZE}{scale.times}"
    return msgspec.structs.replace(fact, detail=f"{detail}; {DELIVERED_AS}{renamed.to}; {BESIDES}")


def _facts_as_if_decided(
    task: IngestTask,
    session: DuckDBSession,
    prepared: PreparedDelivery,
    staged: StagedFile,
    table: LakeTable,
) -> tuple[Fact, ...]:
    source = task.source
    request = AuditRequest(
        checks=(),
        now_us=task.now_us,
        partitions=task.keys,
        timezone=source.timezone,
        classified=task.classified,
    )
    result = audit(session, staged, table, request)
    rows = StagedRows.whole(staged)
    result = with_end(with_repeated(result, session, rows, table), prepared)
    result = with_copies(result, session, rows, table)
    result = with_repeated_values(result, session, rows, table, task.neighbours)
    larger = LargerSample(session, staged, table, source.timezone, task.classified)
    history = MetricHistory(task.history, source.partition.grain)
    return evaluated_audit(result, staged, task.keys, task.around, history, larger).facts
