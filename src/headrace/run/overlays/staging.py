"""What attempts of a plan made is written down beside what readers see."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.engine import ErrorKind
from headrace.faults import FaultPoint, reached
from headrace.quality import Verdict
from headrace.run.claims import LeaderClaims
from headrace.run.messages import ComputeTask, RowChangeCounts, TaskOutcome
from headrace.run.news import News
from headrace.run.overlays.staged import STAGED, OverlayPartitions
from headrace.run.steps.outcomes import RunningAttempt, contents, failed, size_bytes_of, verdict_of
from headrace.run.steps.publish import Batch
from headrace.run.tasks import TaskBuilder
from headrace.schedule import AttemptId, AttemptPublished
from headrace.store import Transaction
from headrace.store.queries import leading, metrics
from headrace.store.queries.plans import OverlayRow


class Staging(Batch):
    """One commit's worth of a plan's attempts that have ended. Nothing of it is quarantined, published or audited: the plan tells."""

    def __init__(
        self, tx: Transaction, tasks: TaskBuilder, claims: LeaderClaims, staged: OverlayPartitions, *, now: int, version: int
    ) -> None:
        super().__init__(tx, tasks, claims, now=now, version=version, publication_id=0)
        self._staged = staged
        self.stopped: dict[tuple[str, str], tuple[AttemptId, str | None]] = {}
        """Of what came to nothing: by which attempt, and some of its rows."""

    def write(self, snapshot_author: str = "") -> None:
        """Write everything that was recorded."""
        del snapshot_author
        leading.write_checks(self._tx, self._checks)
        leading.write_profiles(self._tx, self._profiles)
        metrics.write(self._tx, self._metrics)
        leading.end_attempts(self._tx, self._ends)
        reached(FaultPoint.OVERLAY_STAGED)

    def _publish(self, attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
        """Keep what was staged; gives back a failed outcome where its columns don't fit what the plan has."""
        file, task = outcome.staged, attempt.prepared.task
        if file is None or outcome.replacement is not None or not isinstance(task, ComputeTask):
            return failed(outcome, "what it makes can't wait beside production", ErrorKind.DETERMINISTIC)
        table, known = outcome.table or task.table, self._staged.tables.get(attempt.node)
        if known is not None and (table is None or known.columns != table.columns):
            return failed(outcome, "its columns were set by another attempt meanwhile", ErrorKind.TRANSIENT)
        hashes, counts = contents(attempt, outcome, file)
        before = leading.published_hashes(self._tx, attempt.node, attempt.keys)
        changed = {key: _difference(outcome, key, before, hashes[key], counts[key]) for key in attempt.keys}
        rows = [self._row(attempt, outcome, key, hashes[key], counts[key], changed[key]) for key in attempt.keys]
        told = tuple((row.partition, self._staged.other(row.node, row.partition, row.content_hash)) for row in rows)
        self._staged.add(self._tx, attempt.id, attempt.node, outcome, rows, table if known is None else None)
        self.events.append(AttemptPublished(attempt.id, told, outcome.measures.seconds + outcome.measures.audit_seconds))
        self._end(attempt, outcome, STAGED, outcome.audit.verdict if outcome.audit else Verdict.UNCHECKED)
        self.news += [News(row.node, row.partition, STAGED, row.verdict, "", row.rows, attempt.runs) for row in rows]
        return outcome

    def _stop(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """What came to nothing is looked at where its plan is."""
        super()._stop(attempt, outcome)
        for key in attempt.keys:
            self.stopped[attempt.node, key] = attempt.id, self._sample(outcome)

    def _sample(self, outcome: TaskOutcome) -> str | None:
        rows = [row for result in outcome.audit.results for row in result.sample] if outcome.audit is not None else []
        return msgspec.json.encode(rows).decode() if rows else None

    def _row(
        self, attempt: RunningAttempt, outcome: TaskOutcome, key: str, content_hash: str | None, rows: int, changed: RowChangeCounts
    ) -> OverlayRow:
        return OverlayRow(
            self._staged.plan, attempt.node, key, *attempt.id, STAGED, rows, size_bytes_of(outcome, rows), content_hash,
            verdict_of(outcome, key), None, None if changed == RowChangeCounts() else msgspec.json.encode(changed).decode(),
        )  # fmt: skip


def _difference(outcome: TaskOutcome, key: str, before: Mapping[str, str | None], content_hash: str | None, rows: int) -> RowChangeCounts:
    """How a partition differs from what readers see, whose content hashes are `before`."""
    if key not in before:
        return RowChangeCounts(added=rows)
    if content_hash is not None and before[key] == content_hash:
        return RowChangeCounts()
    return outcome.changed.get(key, RowChangeCounts())
