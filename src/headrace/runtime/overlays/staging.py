"""The results of a backfill's attempts, stored and hidden from readers until it publishes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.checks import Verdict
from headrace.engine import ErrorKind
from headrace.faults import FaultPoint, reached
from headrace.runtime.messages import (
    ComputeTask,
    FailedOutcome,
    RowChangeCounts,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.overlays.partitions import (
    STAGED,
    OverlayPartitions,
)
from headrace.runtime.publishing import Batch
from headrace.runtime.runs import (
    LeaderClaims,
    News,
    NewsState,
    RunningAttempt,
    as_failed,
    contents,
    size_bytes_of,
    verdict_of,
)
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    AttemptId,
    AttemptPublished,
)
from headrace.store import Transaction
from headrace.store.queries import leader_writes
from headrace.store.queries.backfill_plans import OverlayRow


class Staging(Batch):
    """The ended attempts of a backfill in one commit.

    They aren't quarantined, published or audited: the backfill reports them.
    """

    def __init__(
        self,
        tx: Transaction,
        tasks: TaskBuilder,
        claims: LeaderClaims,
        staged: OverlayPartitions,
        *,
        now: int,
        version: int,
    ) -> None:
        super().__init__(tx, tasks, claims, now=now, version=version, publication_id=0)
        self._staged = staged
        self.stopped: dict[tuple[str, str], tuple[AttemptId, str | None]] = {}
        """Partition that failed → its attempt and some of its rows."""

    def write(self, snapshot_author: str = "") -> None:
        """Write everything recorded so far."""
        del snapshot_author
        self._records.write_hidden(self._tx)
        reached(FaultPoint.OVERLAY_STAGED)

    def _publish(
        self, attempt: RunningAttempt, outcome: StagedOutcome
    ) -> StagedOutcome | FailedOutcome:
        """Stage an attempt's file and return its outcome.

        The outcome is a failed one if its columns don't fit those staged before.
        """
        file, task = outcome.staged, attempt.prepared.task
        if file is None or outcome.replacement is not None or not isinstance(task, ComputeTask):
            return as_failed(
                outcome, "what it makes can't wait alongside production", ErrorKind.DETERMINISTIC
            )
        table, known = outcome.table or task.table, self._staged.tables.get(attempt.node)
        if known is not None and (table is None or known.columns != table.columns):
            return as_failed(
                outcome, "its columns were set by another attempt meanwhile", ErrorKind.TRANSIENT
            )
        hashes, counts = contents(attempt, outcome)
        before = leader_writes.published_hashes(self._tx, attempt.node, attempt.keys)
        changed = {
            key: _difference(outcome, key, before, hashes[key], counts[key]) for key in attempt.keys
        }
        rows = [
            self._row(attempt, outcome, key, hashes[key], counts[key], changed[key])
            for key in attempt.keys
        ]
        partition_changes = tuple(
            (row.partition, self._staged.other(row.node, row.partition, row.content_hash))
            for row in rows
        )
        self._staged.add(
            self._tx, attempt.id, attempt.node, outcome, rows, table if known is None else None
        )
        self.events.append(
            AttemptPublished(
                attempt.id,
                partition_changes,
                outcome.measures.seconds + outcome.measures.audit_seconds,
            )
        )
        verdict = outcome.audit.verdict if outcome.audit else Verdict.UNCHECKED
        self._records.end(attempt, outcome, outcome.state, verdict)
        self.news += [
            News(row.node, row.partition, NewsState.STAGED, row.verdict, "", row.rows, attempt.runs)
            for row in rows
        ]
        return outcome

    def _stop(self, attempt: RunningAttempt, outcome: WithheldOutcome | FailedOutcome) -> None:
        """Record an unsuccessful attempt in the backfill's result."""
        super()._stop(attempt, outcome)
        for key in attempt.keys:
            self.stopped[attempt.node, key] = attempt.id, self._sample(outcome)

    def _sample(self, outcome: TaskOutcome) -> str | None:
        rows = (
            [row for result in outcome.audit.results for row in result.sample]
            if outcome.audit is not None
            else []
        )
        return msgspec.json.encode(rows).decode() if rows else None

    def _row(
        self,
        attempt: RunningAttempt,
        outcome: StagedOutcome,
        key: str,
        content_hash: str | None,
        rows: int,
        changed: RowChangeCounts,
    ) -> OverlayRow:
        return OverlayRow(
            self._staged.plan,
            attempt.node,
            key,
            *attempt.id,
            STAGED,
            rows,
            size_bytes_of(outcome, rows),
            content_hash,
            verdict_of(outcome, key),
            None,
            None if changed == RowChangeCounts() else msgspec.json.encode(changed).decode(),
        )


def _difference(
    outcome: StagedOutcome,
    key: str,
    before: Mapping[str, str | None],
    content_hash: str | None,
    rows: int,
) -> RowChangeCounts:
    """Return the difference of a partition from its published rows, whose hashes are `before`."""
    if key not in before:
        return RowChangeCounts(added=rows)
    if content_hash is not None and before[key] == content_hash:
        return RowChangeCounts()
    return outcome.changed.get(key, RowChangeCounts())
