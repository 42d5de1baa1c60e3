"""Publishing: staged files become visible in the transaction that also changes the state.

`Batch` collects attempts that ended since the last commit, turns them into events for the core and
rows for the store, and writes the lake's catalog once for all of them. Nothing is visible before
the caller's transaction commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.checks import Verdict
from headrace.checks.anomalies.metric_anomalies import IGNORE
from headrace.checks.anomalies.row_anomalies import STALE_ROWS_MIN, PublishedContent, same_as
from headrace.checks.drift import with_users
from headrace.checks.facts import DriftChange, Fact, Policy, RenameFindings
from headrace.engine import ErrorKind
from headrace.faults import FaultPoint, reached
from headrace.lake import StagedFile
from headrace.lake.catalog import (
    CatalogChange,
    FileMoved,
    NeedsRewrite,
    Rewrite,
    TableMoved,
    shared_files,
)
from headrace.model import LakeError
from headrace.runtime.messages import ComputeTask, IngestTask, Prune, TaskOutcome
from headrace.runtime.runs import (
    LeaderClaims,
    News,
    RunningAttempt,
    as_failed,
    as_repeated,
    completed,
    contents,
    has_facts_to_keep,
    is_batch,
    size_bytes_of,
    verdict_of,
    warnings,
    withheld,
)
from headrace.runtime.tasks import TaskBuilder
from headrace.runtime.tasks.deliveries import OUT_OF_MEMORY, TOO_LARGE, is_to_blame
from headrace.scheduler import (
    AttemptId,
    AttemptPublished,
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
    quality,
    quarantine,
)
from headrace.store.queries.attempts import ENVIRONMENT
from headrace.store.queries.leader_writes import AttemptEnd, PublicationRecord, QuarantineRecord
from headrace.store.queries.quality import DriftRow, FactRow, write_drift, write_facts

# Changes and facts as rows of the store, with their delivery and their attempt.


def drift_row(
    node: str, key: str, number: int | None, attempt: AttemptId, change: DriftChange, now: int
) -> DriftRow:
    """Return the row that stores a drift change of a delivery."""
    score = None if change.score is None else f"{change.score:.4f}"
    evidence, users = (
        msgspec.json.encode(item).decode() for item in (change.evidence, change.used_by)
    )
    kind, policy = change.kind.value, change.policy.value
    findings = RenameFindings(change.candidates, change.differs)
    measured = None if findings == RenameFindings() else msgspec.json.encode(findings).decode()
    return DriftRow(
        node,
        key,
        number,
        *attempt,
        kind,
        change.column,
        change.to,
        score,
        evidence,
        policy,
        users,
        now,
        measured,
    )


def fact_row(
    node: str, key: str, number: int | None, attempt: AttemptId, fact: Fact, now: int
) -> FactRow:
    """Return the row that stores an anomaly."""
    strength, severity = f"{fact.strength:.3f}", fact.severity.value
    epoch, _, n = fact.of.partition(".")
    of = (int(epoch), int(n)) if fact.of else attempt
    return FactRow(
        node,
        key,
        *of,
        number,
        fact.kind,
        fact.column,
        severity,
        fact.expected,
        fact.observed,
        strength,
        fact.detail,
        now,
    )


# The batch of one commit.

HEADRACE = Actor(ActorType.SYSTEM, "headrace")
COPIED_MAX = 20
"""Most times that files shared with an attempt's partitions are copied before it is recomputed.

Each time, other attempts have published into these files in the meantime.
"""


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
        self._publish_seconds = max(0, now - (now if begun is None else begun)) / 1_000_000
        self.publication_id = publication_id
        self.news: list[News] = []
        self.events: list[AttemptPublished | AttemptUnsuccessful] = []
        self._crowded: list[RunningAttempt] = []
        self._change: CatalogChange | None = None
        self._unchanged: dict[int, int] = {}
        """Publications of a merge with an unchanged table → the snapshot that holds it."""
        self._ends: list[AttemptEnd] = []
        self._environments: dict[str, bytes] = {}
        self._pending: list[PublicationRecord] = []
        self._quarantine: list[QuarantineRecord] = []
        self._replaced: list[tuple[str, str, int]] = []
        """Partitions of sources whose newest delivery failed.

        Their earlier quarantined deliveries need no decision any more.
        """
        self._withheld: list[tuple[int, int, bytes]] = []
        self._checks: list[Sequence[object]] = []
        self._profiles: list[Sequence[object]] = []
        self._metrics: list[tuple[int, int, str, str, bytes]] = []
        self._drift: list[DriftRow] = []
        self._facts: list[FactRow] = []
        self._deliveries: list[tuple[str, str | None, str | None, str | None, int, int]] = []
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
        if wrong is not None:
            outcome = as_failed(
                outcome,
                f"what was staged isn't there as it was staged: {wrong}",
                ErrorKind.TRANSIENT,
            )
        elif not self._claims.held(attempt.id, attempt.node, attempt.keys):
            outcome = as_failed(
                outcome, "another attempt has taken its partitions over", ErrorKind.CANCELLED
            )
        elif outcome.state == "staged" and self._overtaken(attempt):
            outcome = as_failed(
                outcome,
                "what its views read besides was published meanwhile: they are checked again",
                ErrorKind.TRANSIENT,
            )
        elif outcome.state == "staged" and (other := self._repeats(attempt, outcome)):
            outcome = as_repeated(
                outcome, f"the same rows were published as {other} meanwhile: it is checked again"
            )
        if outcome.state == "staged":
            try:
                outcome = self._publish(attempt, completed(attempt, outcome))
            except _Crowded:
                task_outcome = completed(attempt, outcome)
                self._crowded.append(
                    msgspec.structs.replace(attempt, made=task_outcome, copied=attempt.copied + 1)
                )
                return
        if outcome.drift:
            outcome = self._told(attempt, outcome)
        self._write_audit(attempt, outcome)
        self._write_oddities(attempt, outcome)
        if outcome.state != "staged":
            self._stop(attempt, outcome)
        self._claims.release(attempt.id, attempt.node, attempt.keys)

    def lose(
        self, attempt: RunningAttempt, reason: str, *, begun: bool = True, cancelled: bool = False
    ) -> None:
        """Record an attempt whose worker ended; its delivery, if any, still waits.

        The limit on worker deaths over a delivery counts only attempts that had `begun`.
        """
        text = f"its worker {reason}" if begun else f"it hadn't begun when its worker {reason}"
        if not cancelled:
            self._ends.append(
                AttemptEnd(*attempt.id, state="lost", finished_at=self._now, reason=text)
            )
        self._claims.release(attempt.id, attempt.node, attempt.keys)
        self.news += [
            News(attempt.node, key, "lost", None, text, runs=attempt.runs) for key in attempt.keys
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
        leader_writes.write_checks(self._tx, self._checks)
        leader_writes.write_profiles(self._tx, self._profiles)
        quality.write_metrics(self._tx, self._metrics)
        write_drift(self._tx, self._drift)
        write_facts(self._tx, self._facts)
        ingestion.settle_deliveries(self._tx, self._deliveries)
        leader_writes.end_attempts(self._tx, self._ends)
        if self._environments:
            applied_versions.keep_content(self._tx, self._environments.items())
        applied_versions.reshaped(self._tx, self._reshaped)
        if self._audit:
            append_all(self._tx, self._now, self._audit)

    def errands(self) -> list[tuple[RunningAttempt, Prune]]:
        """Return attempts that need copies of shared files, with the task that makes the copies.

        Call it after `write`. The copies leave out the attempt's partitions.
        """
        return [(attempt, self._errand(attempt)) for attempt in self._crowded]

    def _errand(self, attempt: RunningAttempt) -> Prune:
        known = self._tasks.table(self._tx, attempt.node)
        assert known is not None, "files are there, so it has columns"
        files = tuple(shared_files(self._tx, attempt.node, attempt.keys))
        return Prune(str(attempt.id), known, files, (attempt.keys,) * len(files), "UTC")

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

    def _repeats(self, attempt: RunningAttempt, outcome: TaskOutcome) -> str | None:
        """Return the interval whose rows a delivery repeats, if a worker couldn't know it.

        That is the case if the interval was published after the task was sent. If the worker knew
        it, the worker has evaluated the repetition.
        """
        task, staged = attempt.prepared.task, outcome.staged
        if not isinstance(task, IngestTask) or staged is None or len(attempt.keys) != 1:
            return None
        if task.source.partition.grain is None or staged.rows < STALE_ROWS_MIN:
            return None
        if task.source.expect.unchanged or task.around.on_anomaly == IGNORE:
            return None
        (key,) = attempt.keys
        known = contents(attempt, outcome, staged)[0][key]
        if known is None or any(version.content_hash == known for version in task.around.versions):
            return None
        pending = [row for row in self._pending if row.node == attempt.node]
        published = quality.published_lately(self._tx, attempt.node, known)
        others = [*(row.partition for row in pending if row.content_hash == known), *published]
        newer = [PublishedContent(other, known) for other in others]
        return same_as(key, known, [*newer, *task.around.versions])

    def _in_snapshot(self, row: PublicationRecord, snapshot: int | None) -> PublicationRecord:
        shown_in = self._unchanged.get(row.id, snapshot)
        return row if shown_in is None else msgspec.structs.replace(row, snapshot=shown_in)

    def _publish(self, attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
        """Add an attempt's partitions to the snapshot and return its outcome.

        The outcome is a failed one if its columns don't fit the table.
        """
        staged = outcome.staged
        if staged is not None and not self._merged_alike(attempt, outcome):
            try:
                self._add_to_lake(attempt, outcome, staged)
            except (TableMoved, FileMoved, NeedsRewrite) as error:
                if self._can_be_copied(attempt, outcome, error):
                    raise _Crowded from error
                return as_failed(outcome, str(error), ErrorKind.TRANSIENT)
            except LakeError as error:
                return as_failed(outcome, str(error), ErrorKind.DETERMINISTIC)
        hashes: dict[str, str | None] = dict.fromkeys(attempt.keys)
        rows = dict.fromkeys(attempt.keys, 0)
        if staged is not None:
            hashes, rows = contents(attempt, outcome, staged)
        elif outcome.manifest is not None:
            hashes = dict.fromkeys(attempt.keys, outcome.sha256)
            rows = dict.fromkeys(
                attempt.keys, sum(int(item.get("rows", 0)) for item in outcome.manifest)
            )
        if outcome.quarantined is not None and len(attempt.keys) == 1:
            self._quarantine.append(self._taken_out(attempt, outcome))
        for key in attempt.keys:
            verdict, text = verdict_of(outcome, key), warnings(outcome, key)
            self._pending.append(
                self._publication(attempt, outcome, key, hashes[key], rows[key], verdict)
            )
            self.news.append(
                News(attempt.node, key, "published", verdict, text, rows[key], attempt.runs)
            )
        verdict = outcome.audit.verdict if outcome.audit else Verdict.UNCHECKED
        seconds = outcome.measures.seconds + outcome.measures.audit_seconds
        records = self._pending[-len(attempt.keys) :]
        shown = tuple((record.partition, not record.identical) for record in records)
        self.events.append(
            AttemptPublished(attempt.id, shown, seconds, tuple(record.id for record in records))
        )
        self._end(attempt, outcome, "published", verdict)
        self._deliver(attempt, outcome, "published", None)
        self._audit.append(
            self._event(
                Action.PARTITION_PUBLISHED,
                attempt,
                {"verdict": verdict, "rows": sum(rows.values())},
            )
        )
        if attempt.prepared.evolves and self._tasks.reshaped(self._tx, attempt.node):
            self._reshaped.append(attempt.node)
        return outcome

    def _can_be_copied(
        self, attempt: RunningAttempt, outcome: TaskOutcome, error: LakeError
    ) -> bool:
        """Whether the staged rows can be published after a copy of the shared files.

        The copies leave out these partitions.
        """
        if (
            isinstance(error, TableMoved)
            or outcome.table is not None
            or outcome.replacement is not None
        ):
            return False
        return attempt.copied < COPIED_MAX

    def _merged_alike(self, attempt: RunningAttempt, outcome: TaskOutcome) -> bool:
        """Whether a merge left its table unchanged; then later partitions of the table stay."""
        if outcome.replacement is None:
            return False
        before = leader_writes.published_of(self._tx, attempt.node, attempt.keys[0])
        return before is not None and before[1] == outcome.replacement.content_hash

    def _add_to_lake(
        self, attempt: RunningAttempt, outcome: TaskOutcome, staged: StagedFile
    ) -> None:
        """Add the staged file to the catalog.

        Raises TableMoved, FileMoved or NeedsRewrite if the table has changed in the meantime, so
        that a retry fits, and LakeError for what can't be published.
        """
        if self._change is None:
            self._change = CatalogChange.begin(self._tx, self._now)
        if outcome.table is not None:
            if self._tasks.table(self._tx, attempt.node) is None:
                self._change.create_table(outcome.table)
            else:
                self._change.evolve_table(outcome.table)
                if isinstance(attempt.prepared.task, IngestTask):
                    self._tasks.grown(self._tx, attempt.node)
            self._tasks.forget(attempt.node)
        if outcome.replacement is not None:
            self._change.merge(attempt.node, staged, outcome.replacement)
            return
        rewrites = [Rewrite(file.path, file.staged) for file in outcome.rewritten]
        self._change.replace(attempt.node, attempt.keys, [staged], rewrites=rewrites)
        if outcome.learnt is not None:
            ingestion.pin_schema(
                self._tx, attempt.node, msgspec.json.encode(outcome.learnt).decode(), self._now
            )

    def _publication(
        self,
        attempt: RunningAttempt,
        outcome: TaskOutcome,
        key: str,
        content_hash: str | None,
        rows: int,
        verdict: Verdict,
    ) -> PublicationRecord:
        compared = content_hash is not None or outcome.replacement is not None
        before = leader_writes.published_of(self._tx, attempt.node, key) if compared else None
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
            identical=before is not None and content_hash is not None and before[1] == content_hash,
            version=self._version,
            delivery_id=attempt.prepared.delivery_of(key),
            manifest=msgspec.json.encode(outcome.manifest).decode()
            if outcome.manifest is not None
            else None,
        )

    def _stop(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """Record an attempt that publishes nothing: held, rejected or failed."""
        if self._is_too_large(attempt, outcome):
            self._keep_only(attempt, outcome)
            return
        reason = outcome.reason or (outcome.error.message if outcome.error else "")
        kind = (
            FailureKind(outcome.error.kind.value)
            if outcome.error and outcome.state == "failed"
            else None
        )
        after = outcome.error.after_seconds if outcome.error is not None else None
        after_us = None if after is None else int(after * 1_000_000)
        everywhere = kind is not None and outcome.error is not None and outcome.error.everywhere
        machine = outcome.error is not None and outcome.error.machine
        self.events.append(
            AttemptUnsuccessful(
                attempt.id,
                PartitionState(outcome.state),
                reason,
                kind,
                after_us,
                everywhere,
                machine,
            )
        )
        if kind in WAITS:  # not counted as an attempt: a delivery still waits
            self._end(attempt, outcome, "skipped", None, reason)
            self.news += [
                News(attempt.node, key, "waiting", None, reason, runs=attempt.runs)
                for key in attempt.keys
            ]
            return
        # retried in smaller batches: the outcome says nothing about one partition
        if is_batch(attempt) and not everywhere:
            self._end(attempt, outcome, outcome.state, None, reason)
            return
        if outcome.state in ("held", "rejected"):
            self._quarantine += [
                self._quarantined(attempt, outcome, key, reason) for key in attempt.keys
            ]
            if outcome.staged is not None and outcome.replacement is None:
                self._withheld.append((*attempt.id, withheld(outcome)))
            action = Action.PARTITION_HELD if outcome.state == "held" else Action.PARTITION_REJECTED
            self._audit.append(self._event(action, attempt, {"reason": reason[:1000]}))
        state = "cancelled" if kind is FailureKind.CANCELLED else outcome.state
        if state == "failed":
            delivered = ((key, attempt.prepared.delivery_of(key)) for key in attempt.keys)
            self._replaced += [
                (attempt.node, key, number) for key, number in delivered if number is not None
            ]
        self._end(attempt, outcome, state, outcome.audit.verdict if outcome.audit else None, reason)
        self._deliver(attempt, outcome, outcome.state, reason)
        self.news += [
            News(attempt.node, key, outcome.state, None, reason, runs=attempt.runs)
            for key in attempt.keys
        ]

    def _is_too_large(self, attempt: RunningAttempt, outcome: TaskOutcome) -> bool:
        """Whether the delivery's size is to blame for running out of memory."""
        if (
            outcome.error is None
            or outcome.error.code != OUT_OF_MEMORY
            or not isinstance(attempt.prepared.task, IngestTask)
        ):
            return False
        return is_to_blame(self._tx, attempt.node, attempt.keys[0], attempt.queued_at)

    def _keep_only(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """Send a delivery out again at once, to be kept and rejected without being read."""
        assert outcome.error is not None
        reason = outcome.error.message
        outcome = msgspec.structs.replace(
            outcome, error=msgspec.structs.replace(outcome.error, code=TOO_LARGE)
        )
        self.events.append(
            AttemptUnsuccessful(attempt.id, PartitionState.FAILED, reason, FailureKind.THROTTLED, 0)
        )
        self._end(attempt, outcome, "failed", None, reason)
        self.news += [
            News(attempt.node, key, "waiting", None, reason, runs=attempt.runs)
            for key in attempt.keys
        ]

    def _quarantined(
        self, attempt: RunningAttempt, outcome: TaskOutcome, key: str, reason: str
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
            state=outcome.state,
            reason=reason,
            path=outcome.quarantined,
            rows=outcome.staged.rows if outcome.staged else outcome.quarantined_rows,
            sample=msgspec.json.encode(sample).decode() if sample else None,
            delivery_id=attempt.prepared.delivery_of(key),
            at=self._now,
        )

    def _taken_out(self, attempt: RunningAttempt, outcome: TaskOutcome) -> QuarantineRecord:
        """Return the quarantine record of rows that broke a check; all others are published."""
        (key,) = attempt.keys
        row = self._quarantined(attempt, outcome, key, warnings(outcome, key))
        return msgspec.structs.replace(row, state="rejected", rows=outcome.quarantined_rows)

    def _write_audit(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        if outcome.audit is None or (outcome.state != "staged" and is_batch(attempt)):
            return
        for key in attempt.keys:
            head, audit = (*attempt.id, attempt.node, key), outcome.audit.of(key)
            self._checks += [
                (
                    *head,
                    r.name,
                    r.kind,
                    r.severity.value,
                    r.outcome.value,
                    r.rows,
                    r.failing,
                    r.detail,
                    self._now,
                )
                for r in audit.results
            ]
            if audit.profile:
                self._profiles.append((*head, msgspec.json.encode(audit.profile).decode()))
            if audit.metrics:
                self._metrics.append((*attempt.id, attempt.node, key, audit.metrics))

    def _told(self, attempt: RunningAttempt, outcome: TaskOutcome) -> TaskOutcome:
        """Return the outcome with all users of the drifted columns.

        The reason names the users of blocking changes.
        """
        changes = self._tasks.reached(attempt.node, outcome.drift)
        stops = [change for change in changes if change.policy is Policy.BLOCK]
        return msgspec.structs.replace(
            outcome, drift=changes, reason=with_users(outcome.reason, stops)
        )

    def _write_oddities(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """Store drift and anomalies of an attempt, under each of its partitions."""
        for key in attempt.keys if has_facts_to_keep(attempt, outcome) else ():
            number = attempt.prepared.delivery_of(key)
            self._drift += [
                drift_row(attempt.node, key, number, attempt.id, change, self._now)
                for change in outcome.drift
            ]
            facts = [fact for fact in outcome.facts if fact.partition in ("", key)]
            self._facts += [
                fact_row(attempt.node, key, number, attempt.id, fact, self._now) for fact in facts
            ]

    def _end(
        self,
        attempt: RunningAttempt,
        outcome: TaskOutcome,
        state: str,
        verdict: Verdict | None,
        reason: str = "",
    ) -> None:
        self._ends.append(
            AttemptEnd(
                *attempt.id,
                state=state,
                finished_at=self._now,
                seconds=outcome.measures.seconds + outcome.measures.audit_seconds,
                published_at=self._now if state == "published" else None,
                verdict=verdict,
                reason=reason or warnings(outcome, None) or None,
                measures=msgspec.json.encode(self._measures(outcome)).decode(),
                error=msgspec.json.encode(outcome.error).decode() if outcome.error else None,
            )
        )

    def _measures(self, outcome: TaskOutcome) -> dict[str, Any]:
        """Return the attempt's measures, with the hash of its environment, which is stored once."""
        results = msgspec.structs.asdict(
            msgspec.structs.replace(outcome.measures, publish_seconds=self._publish_seconds)
        )
        if outcome.environment:
            results[ENVIRONMENT] = hashlib.sha256(outcome.environment).hexdigest()
            self._environments[results[ENVIRONMENT]] = outcome.environment
        return results

    def _deliver(
        self, attempt: RunningAttempt, outcome: TaskOutcome, state: str, reason: str | None
    ) -> None:
        for number in {attempt.prepared.delivery_of(key): None for key in attempt.keys}:
            if number is not None:
                read = outcome.measures.bytes_in if outcome.sha256 else -1
                self._deliveries.append(
                    (state, reason, outcome.sha256, outcome.fingerprint, read, number)
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
