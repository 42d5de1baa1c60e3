"""Publishing: staged files become visible in the transaction that also changes the state.

`Batch` collects attempts that ended since the last commit, turns them into events for the core and
rows for the store, and writes the lake's catalog once for all of them. Nothing is visible before
the caller's transaction commits.
"""

from __future__ import annotations

import msgspec

from headrace.checks import Verdict
from headrace.checks.drift import with_users
from headrace.checks.facts import Policy
from headrace.engine import ErrorKind
from headrace.faults import FaultPoint, reached
from headrace.lake import reshaped
from headrace.lake.catalog import (
    CatalogChange,
    FileMoved,
    NeedsRewrite,
    TableMoved,
    shared_files,
)
from headrace.model import LakeError
from headrace.runtime.attempt_records import AttemptRecords
from headrace.runtime.messages import (
    ComputeTask,
    FailedOutcome,
    IngestTask,
    Prune,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.repeated_contents import repetition
from headrace.runtime.runs import (
    LeaderClaims,
    News,
    NewsState,
    RunningAttempt,
    as_failed,
    as_repeated,
    completed,
    contents,
    is_batch,
    size_bytes_of,
    verdict_of,
    warnings,
    withheld,
)
from headrace.runtime.table_writes import set_columns, write_partitions
from headrace.runtime.tasks import TaskBuilder
from headrace.runtime.tasks.deliveries import OUT_OF_MEMORY, TOO_LARGE, is_to_blame
from headrace.scheduler import (
    AttemptPublished,
    AttemptState,
    AttemptUnsuccessful,
    FailureKind,
    PartitionState,
    Refreshed,
)
from headrace.scheduler.states import WAITS
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append_all
from headrace.store import Transaction
from headrace.store.queries import (
    applied_versions,
    ingestion,
    leader_writes,
    publications,
    quarantine,
)
from headrace.store.queries.leader_writes import PublicationRecord, QuarantineRecord

# The batch of one commit.

HEADRACE = Actor(ActorType.SYSTEM, "headrace")
COPIED_MAX = 20
"""Most times that files shared with an attempt's partitions are copied before it is recomputed.

Each time, other attempts have published into these files in the meantime.
"""


INGESTED_ALONE = "the first of its deliveries has to be ingested alone"
"""Why a batch of deliveries published nothing."""


class _Crowded(Exception):
    """Files shared with other partitions have changed since they were copied for the attempt."""


class Batch:
    """The ended attempts of one commit.

    `version` is the applied version, `publication_id` the newest publication's number, `begun` the
    start of the loop iteration in microseconds.
    """

    def __init__(
        self,
        tx: Transaction,
        tasks: TaskBuilder,
        claims: LeaderClaims,
        *,
        now: int,
        version: int,
        publication_id: int,
        begun: int | None = None,
    ) -> None:
        self._tx, self._tasks, self._claims, self._now, self._version = (
            tx,
            tasks,
            claims,
            now,
            version,
        )
        publish_seconds = max(0, now - (now if begun is None else begun)) / 1_000_000
        self._records = AttemptRecords(now=now, publish_seconds=publish_seconds)
        self.publication_id = publication_id
        self.news: list[News] = []
        self.events: list[AttemptPublished | AttemptUnsuccessful] = []
        self._crowded: list[RunningAttempt] = []
        self._change: CatalogChange | None = None
        self._unchanged: dict[int, int] = {}
        """Publications of a merge with an unchanged table → the snapshot that holds it."""
        self._pending: list[PublicationRecord] = []
        self._quarantine: list[QuarantineRecord] = []
        self._replaced: list[tuple[str, str, int]] = []
        """Partitions of sources whose newest delivery failed.

        Their earlier quarantined deliveries need no decision any more.
        """
        self._withheld: list[tuple[int, int, bytes]] = []
        self._reshaped: list[str] = []
        self._audit: list[AuditEvent] = []

    @property
    def visible(self) -> list[Refreshed]:
        """The new publications, as events for a core that didn't run the attempts."""
        return [
            Refreshed(record.node, record.partition, not record.identical)
            for record in self._pending
        ]

    def add(self, attempt: RunningAttempt, outcome: TaskOutcome, wrong: str | None) -> None:
        """Add one ended attempt. `wrong` is the reason why its file can't be trusted."""
        outcome = self._unless_outdated(attempt, outcome, wrong)
        if isinstance(outcome, StagedOutcome) and outcome.given_back:
            attempt = self._without_given_back(attempt, outcome)
            if not attempt.keys:
                return
        if isinstance(outcome, StagedOutcome):
            complete = completed(attempt, outcome)
            try:
                outcome = self._publish(attempt, complete)
            except _Crowded:
                self._crowded.append(
                    msgspec.structs.replace(
                        attempt, staged_outcome=complete, copied=attempt.copied + 1
                    )
                )
                return
        if not isinstance(outcome, FailedOutcome) and outcome.drift:
            outcome = self._with_users(attempt, outcome)
        self._records.add_audit(attempt, outcome)
        self._records.add_facts(attempt, outcome)
        if not isinstance(outcome, StagedOutcome):
            self._stop(attempt, outcome)
        self._claims.release(attempt.id, attempt.node, attempt.keys)

    def _without_given_back(
        self, attempt: RunningAttempt, outcome: StagedOutcome
    ) -> RunningAttempt:
        """Return a batch of deliveries without the partitions that wait again.

        An attempt that publishes none of them is skipped.
        """
        self._claims.release(attempt.id, attempt.node, outcome.given_back)
        left = tuple(key for key in attempt.keys if key not in outcome.given_back)
        if left:
            attempt = msgspec.structs.replace(attempt, keys=left)
            self._records.narrow(attempt)
            return attempt
        self.events.append(AttemptPublished(attempt.id, ()))
        self._records.end(attempt, outcome, AttemptState.SKIPPED, None, INGESTED_ALONE)
        return msgspec.structs.replace(attempt, keys=())

    def _unless_outdated(
        self, attempt: RunningAttempt, outcome: TaskOutcome, wrong: str | None
    ) -> TaskOutcome:
        """Return the outcome, as failed if its data must not be published any more."""
        if wrong is not None:
            return as_failed(
                outcome,
                f"what was staged isn't there as it was staged: {wrong}",
                ErrorKind.TRANSIENT,
            )
        if not self._claims.held(attempt.id, attempt.node, attempt.keys):
            return as_failed(
                outcome, "another attempt has taken its partitions over", ErrorKind.CANCELLED
            )
        if not isinstance(outcome, StagedOutcome):
            return outcome
        if self._overtaken(attempt):
            return as_failed(
                outcome,
                "what its views read besides was published meanwhile: they are checked again",
                ErrorKind.TRANSIENT,
            )
        if repeated := repetition(self._tx, self._pending, attempt, outcome):
            return as_repeated(outcome, repeated)
        return outcome

    def lose(
        self, attempt: RunningAttempt, reason: str, *, begun: bool = True, cancelled: bool = False
    ) -> None:
        """Record an attempt whose worker ended; its delivery, if any, still waits.

        The limit on worker deaths over a delivery counts only attempts that had `begun`.
        """
        text = f"its worker {reason}" if begun else f"it hadn't begun when its worker {reason}"
        if not cancelled:
            self._records.lose(attempt, text)
        self._claims.release(attempt.id, attempt.node, attempt.keys)
        self.news += [
            News(attempt.node, key, NewsState.LOST, None, text, runs=attempt.runs)
            for key in attempt.keys
        ]

    def write(self, snapshot_author: str = "headrace") -> None:
        """Write everything recorded so far."""
        snapshot = (
            self._change.finish(author=snapshot_author, message="publish") if self._change else None
        )
        reached(FaultPoint.PUBLISH_REGISTERED)
        rows = [self._in_snapshot(row, snapshot) for row in self._pending]
        leader_writes.publish(self._tx, rows)
        leader_writes.superseded(self._tx, self._replaced)
        leader_writes.quarantine(self._tx, self._quarantine)
        quarantine.withhold(self._tx, self._withheld)
        self._records.write(self._tx)
        applied_versions.reshaped(self._tx, self._reshaped)
        if self._audit:
            append_all(self._tx, self._now, self._audit)

    def errands(self) -> list[tuple[RunningAttempt, Prune]]:
        """Return attempts that need copies of shared files, with the task that makes the copies.

        Call it after `write`. The copies leave out the attempt's partitions.
        """
        return [self._errand(attempt) for attempt in self._crowded]

    def _errand(self, attempt: RunningAttempt) -> tuple[RunningAttempt, Prune]:
        """Return the attempt with the copies that are still of use, and the task for the others."""
        known, outcome = self._tasks.lookup.table(self._tx, attempt.node), attempt.staged_outcome
        assert known is not None, "files are there, so it has columns"
        assert outcome is not None, "the copies are for what was staged"
        target = reshaped(known, outcome.table)
        files = shared_files(self._tx, attempt.node, attempt.keys, retyped=target.retyped)
        needed = {file.path: file for file in files}
        usable = tuple(copy for copy in outcome.rewritten if copy.path in needed)
        copied = {copy.path for copy in usable}
        missing = tuple(file for path, file in needed.items() if path not in copied)
        waiting = msgspec.structs.replace(
            attempt, staged_outcome=msgspec.structs.replace(outcome, rewritten=usable)
        )
        task = attempt.prepared.task
        return waiting, Prune(
            str(attempt.id),
            target,
            missing,
            without=(attempt.keys,) * len(missing),
            timezone=self._tasks.lookup.timezone(attempt.node),
            promised=(task.promised or ()) if isinstance(task, IngestTask) else (),
        )

    def _overtaken(self, attempt: RunningAttempt) -> bool:
        """Whether the checks of views missed rows published since or in this commit."""
        task = attempt.prepared.task
        for reads in task.check_data.beside if isinstance(task, ComputeTask | IngestTask) else ():
            if publications.newest_id(self._tx, reads.node, reads.keys) != reads.newest:
                return True
            if any(
                row.node == reads.node and (reads.keys is None or row.partition in reads.keys)
                for row in self._pending
            ):
                return True
        return False

    def _in_snapshot(self, row: PublicationRecord, snapshot: int | None) -> PublicationRecord:
        shown_in = self._unchanged.get(row.id, snapshot)
        return row if shown_in is None else msgspec.structs.replace(row, snapshot=shown_in)

    def _publish(
        self, attempt: RunningAttempt, outcome: StagedOutcome
    ) -> StagedOutcome | FailedOutcome:
        """Add an attempt's partitions to the snapshot and return its outcome.

        The outcome is a failed one if its columns don't fit the table.
        """
        try:
            self._add_to_lake(attempt, outcome)
        except (TableMoved, FileMoved, NeedsRewrite) as error:
            if self._can_be_copied(attempt, outcome, error):
                raise _Crowded from error
            return as_failed(outcome, str(error), ErrorKind.TRANSIENT)
        except LakeError as error:
            return as_failed(outcome, str(error), ErrorKind.DETERMINISTIC, error.code)
        if outcome.quarantined is not None and len(attempt.keys) == 1:
            self._quarantine.append(self._taken_out(attempt, outcome))
        records, rows = self._add_publications(attempt, outcome)
        verdict = outcome.audit.verdict if outcome.audit else Verdict.UNCHECKED
        seconds = outcome.measures.seconds + outcome.measures.audit_seconds
        partition_changes = tuple((record.partition, not record.identical) for record in records)
        self.events.append(
            AttemptPublished(
                attempt.id, partition_changes, seconds, tuple(record.id for record in records)
            )
        )
        self._records.end(attempt, outcome, AttemptState.PUBLISHED, verdict)
        self._records.deliver(attempt, outcome, PartitionState.PUBLISHED, None)
        self._audit.append(
            self._event(
                Action.PARTITION_PUBLISHED,
                attempt,
                {"verdict": verdict, "rows": rows},
            )
        )
        if attempt.prepared.evolves and self._tasks.lookup.reshaped(self._tx, attempt.node):
            self._reshaped.append(attempt.node)
        return outcome

    def _add_publications(
        self, attempt: RunningAttempt, outcome: StagedOutcome
    ) -> tuple[list[PublicationRecord], int]:
        """Add a publication and news for each of an attempt's partitions.

        Returns the publications, and the rows of all of them.
        """
        hashes, rows = contents(attempt, outcome)
        compared = [
            key
            for key in attempt.keys
            if hashes[key] is not None or outcome.replacement is not None
        ]
        before = leader_writes.published_each(self._tx, attempt.node, compared)
        records = []
        for key in attempt.keys:
            verdict, text = verdict_of(outcome, key), warnings(outcome, key)
            records.append(
                self._publication(
                    attempt, outcome, key, hashes[key], rows[key], verdict, before.get(key)
                )
            )
            self.news.append(
                News(attempt.node, key, NewsState.PUBLISHED, verdict, text, rows[key], attempt.runs)
            )
        self._pending += records
        return records, sum(rows.values())

    def _can_be_copied(
        self, attempt: RunningAttempt, outcome: StagedOutcome, error: LakeError
    ) -> bool:
        """Whether the staged rows can be published after a copy of the shared files.

        The copies leave out these partitions.
        """
        if isinstance(error, TableMoved) or outcome.replacement is not None:
            return False
        return attempt.copied < COPIED_MAX

    def _merged_alike(self, attempt: RunningAttempt, outcome: StagedOutcome) -> bool:
        """Whether a merge left its table unchanged; then later partitions of the table stay."""
        if outcome.replacement is None:
            return False
        before = leader_writes.published_of(self._tx, attempt.node, attempt.keys[0])
        return before is not None and before[1] == outcome.replacement.content_hash

    def _add_to_lake(self, attempt: RunningAttempt, outcome: StagedOutcome) -> None:
        """Add the staged file to the catalog, if there is one.

        Raises TableMoved, FileMoved or NeedsRewrite if the table has changed in the meantime, so
        that a retry fits, and LakeError for what can't be published.
        """
        staged = outcome.staged
        if staged is None or self._merged_alike(attempt, outcome):
            return
        if self._change is None:
            self._change = CatalogChange.begin(self._tx, self._now)
        is_new = self._change.table(attempt.node) is None
        if outcome.replacement is not None:
            if outcome.table is not None:
                set_columns(self._tx, self._change, outcome.table, attempt.keys)
            self._change.merge(attempt.node, staged, outcome.replacement)
        else:
            write_partitions(
                self._tx,
                self._change,
                attempt.node,
                attempt.keys,
                [staged],
                outcome.rewritten,
                outcome.table,
            )
        if outcome.table is not None:
            if not is_new:
                self._tasks.lookup.grown(self._tx, attempt.node)
            self._tasks.lookup.forget(attempt.node)
        if outcome.learnt is not None:
            ingestion.pin_schema(
                self._tx, attempt.node, msgspec.json.encode(outcome.learnt).decode(), self._now
            )

    def _publication(
        self,
        attempt: RunningAttempt,
        outcome: StagedOutcome,
        key: str,
        content_hash: str | None,
        rows: int,
        verdict: Verdict,
        before: leader_writes.PublishedContent | None,
    ) -> PublicationRecord:
        self.publication_id += 1
        if before is not None and self._merged_alike(attempt, outcome):
            self._unchanged[self.publication_id] = before[0]
        return PublicationRecord(
            id=self.publication_id,
            node=attempt.node,
            partition=key,
            epoch=attempt.id.epoch,
            n=attempt.id.n,
            snapshot=attempt.prepared.snapshot,
            published_at=self._now,
            rows=rows,
            size_bytes=size_bytes_of(outcome, rows),
            verdict=verdict,
            content_hash=content_hash,
            identical=key in outcome.alike
            or (before is not None and content_hash is not None and before[1] == content_hash),
            version=self._version,
            delivery_id=attempt.prepared.delivery_of(key),
            manifest=msgspec.json.encode(outcome.manifest).decode()
            if outcome.manifest is not None
            else None,
        )

    def _stop(self, attempt: RunningAttempt, outcome: WithheldOutcome | FailedOutcome) -> None:
        """Record an attempt that publishes nothing: held, rejected or failed."""
        match outcome:
            case FailedOutcome():
                self._fail(attempt, outcome)
            case withheld:
                self._withhold(attempt, withheld)

    def _withhold(self, attempt: RunningAttempt, outcome: WithheldOutcome) -> None:
        """Put an attempt's data in quarantine."""
        state, reason = PartitionState(outcome.state), outcome.reason
        self.events.append(AttemptUnsuccessful(attempt.id, state, reason))
        if is_batch(attempt):  # retried in smaller batches: it says nothing about one partition
            self._records.end(attempt, outcome, outcome.state, None, reason)
            return
        self._quarantine += [
            self._quarantined(attempt, outcome, key, state, reason) for key in attempt.keys
        ]
        if outcome.staged is not None and outcome.replacement is None:
            self._withheld.append((*attempt.id, withheld(outcome)))
        action = {
            PartitionState.HELD: Action.PARTITION_HELD,
            PartitionState.REJECTED: Action.PARTITION_REJECTED,
        }[state]
        self._audit.append(self._event(action, attempt, {"reason": reason[:1000]}))
        verdict = outcome.audit.verdict if outcome.audit else None
        self._records.end(attempt, outcome, outcome.state, verdict, reason)
        self._records.deliver(attempt, outcome, state, reason)
        self._add_news(attempt, NewsState(state), reason)

    def _fail(self, attempt: RunningAttempt, outcome: FailedOutcome) -> None:
        """Record a failure; one that waits for something outside doesn't count as an attempt."""
        if self._is_too_large(attempt, outcome):
            self._keep_only(attempt, outcome)
            return
        error, kind = outcome.error, FailureKind(outcome.error.kind.value)
        reason, after = error.message, error.after_seconds
        after_us = None if after is None else int(after * 1_000_000)
        self.events.append(
            AttemptUnsuccessful(
                attempt.id,
                PartitionState.FAILED,
                reason,
                kind,
                after_us,
                error.everywhere,
                error.machine,
            )
        )
        if kind in WAITS:  # a delivery still waits
            self._records.end(attempt, outcome, AttemptState.SKIPPED, None, reason)
            self._add_news(attempt, NewsState.WAITING, reason)
            return
        # retried in smaller batches: the outcome says nothing about one partition
        if is_batch(attempt) and not error.everywhere:
            self._records.end(attempt, outcome, outcome.state, None, reason)
            return
        state = outcome.state
        if kind is FailureKind.CANCELLED:
            state = AttemptState.CANCELLED
        else:
            self._supersede_deliveries(attempt)
        verdict = outcome.audit.verdict if outcome.audit else None
        self._records.end(attempt, outcome, state, verdict, reason)
        self._records.deliver(attempt, outcome, PartitionState.FAILED, reason)
        self._add_news(attempt, NewsState.FAILED, reason)

    def _supersede_deliveries(self, attempt: RunningAttempt) -> None:
        """End the quarantine of earlier deliveries of the attempt's partitions."""
        delivered = ((key, attempt.prepared.delivery_of(key)) for key in attempt.keys)
        self._replaced += [
            (attempt.node, key, number) for key, number in delivered if number is not None
        ]

    def _add_news(self, attempt: RunningAttempt, state: NewsState, reason: str) -> None:
        self.news += [
            News(attempt.node, key, state, None, reason, runs=attempt.runs) for key in attempt.keys
        ]

    def _is_too_large(self, attempt: RunningAttempt, outcome: FailedOutcome) -> bool:
        """Whether the delivery's size is to blame for running out of memory."""
        if outcome.error.code != OUT_OF_MEMORY:
            return False
        if not isinstance(attempt.prepared.task, IngestTask):
            return False
        return is_to_blame(self._tx, attempt.node, attempt.keys[0], attempt.queued_at)

    def _keep_only(self, attempt: RunningAttempt, outcome: FailedOutcome) -> None:
        """Send a delivery out again at once, to be kept and rejected without being read."""
        reason = outcome.error.message
        outcome = msgspec.structs.replace(
            outcome, error=msgspec.structs.replace(outcome.error, code=TOO_LARGE)
        )
        self.events.append(
            AttemptUnsuccessful(attempt.id, PartitionState.FAILED, reason, FailureKind.THROTTLED, 0)
        )
        self._records.end(attempt, outcome, outcome.state, None, reason)
        self._add_news(attempt, NewsState.WAITING, reason)

    def _quarantined(
        self,
        attempt: RunningAttempt,
        outcome: StagedOutcome | WithheldOutcome,
        key: str,
        state: PartitionState,
        reason: str,
    ) -> QuarantineRecord:
        sample = (
            [row for result in outcome.audit.results for row in result.sample]
            if outcome.audit
            else []
        )
        return QuarantineRecord(
            node=attempt.node,
            partition=key,
            epoch=attempt.id.epoch,
            n=attempt.id.n,
            state=state,
            reason=reason,
            path=outcome.quarantined,
            rows=outcome.rows_of(key),
            sample=msgspec.json.encode(sample).decode() if sample else None,
            delivery_id=attempt.prepared.delivery_of(key),
            at=self._now,
            acceptable=outcome.acceptable,
        )

    def _taken_out(self, attempt: RunningAttempt, outcome: StagedOutcome) -> QuarantineRecord:
        """Return the quarantine record of rows that broke a check; all others are published."""
        (key,) = attempt.keys
        reason = warnings(outcome, key)
        row = self._quarantined(attempt, outcome, key, PartitionState.REJECTED, reason)
        return msgspec.structs.replace(row, rows=outcome.quarantined_rows)

    def _with_users(
        self, attempt: RunningAttempt, outcome: StagedOutcome | WithheldOutcome
    ) -> StagedOutcome | WithheldOutcome:
        """Return the outcome with all users of the drifted columns.

        The reason names the users of blocking changes.
        """
        changes = self._tasks.reached(attempt.node, outcome.drift)
        stops = [change for change in changes if change.policy is Policy.BLOCK]
        return msgspec.structs.replace(
            outcome, drift=changes, reason=with_users(outcome.reason, stops)
        )

    def _event(
        self, action: Action, attempt: RunningAttempt, after: dict[str, object]
    ) -> AuditEvent:
        name = f"{attempt.node}@{attempt.keys[0]}" if len(attempt.keys) == 1 else attempt.node
        return AuditEvent(
            action=action,
            actor=HEADRACE,
            object=Object("partition", name, str(attempt.id)),
            after=after,
        )
