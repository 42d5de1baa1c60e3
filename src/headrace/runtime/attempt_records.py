"""The rows that ended attempts leave in the store besides their publications."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.checks import Verdict
from headrace.checks.facts import DriftChange, Fact, RenameFindings
from headrace.runtime.messages import FailedOutcome, StagedOutcome, TaskOutcome
from headrace.runtime.runs import RunningAttempt, has_facts_to_keep, is_batch, warnings
from headrace.scheduler import AttemptId, AttemptState, PartitionState
from headrace.store import Transaction
from headrace.store.queries import applied_versions, ingestion, leader_writes, quality
from headrace.store.queries.attempts import ENVIRONMENT
from headrace.store.queries.leader_writes import AttemptEnd
from headrace.store.queries.quality import DriftRow, FactRow, write_drift, write_facts


class AttemptRecords:
    """Ends, audits, drift, anomalies and deliveries of the attempts of one commit.

    `publish_seconds` is the leader's time since the start of its loop iteration.
    """

    def __init__(self, *, now: int, publish_seconds: float) -> None:
        self._now, self._publish_seconds = now, publish_seconds
        self._ends: list[AttemptEnd] = []
        self._environments: dict[str, bytes] = {}
        self._checks: list[Sequence[object]] = []
        self._profiles: list[Sequence[object]] = []
        self._metrics: list[tuple[int, int, str, str, bytes]] = []
        self._drift: list[DriftRow] = []
        self._facts: list[FactRow] = []
        self._narrowed: list[tuple[str, int, int]] = []
        self._deliveries: list[ingestion.Settled] = []

    def write(self, tx: Transaction) -> None:
        """Write all rows."""
        self._write_audits(tx)
        write_drift(tx, self._drift)
        write_facts(tx, self._facts)
        ingestion.settle_deliveries(tx, self._deliveries)
        self._write_ends(tx)

    def write_hidden(self, tx: Transaction) -> None:
        """Write the audits and ends of a backfill's attempts, whose data nobody sees yet."""
        self._write_audits(tx)
        self._write_ends(tx)

    def _write_ends(self, tx: Transaction) -> None:
        leader_writes.narrow_attempts(tx, self._narrowed)
        leader_writes.end_attempts(tx, self._ends)
        if self._environments:
            applied_versions.keep_content(tx, self._environments.items())

    def _write_audits(self, tx: Transaction) -> None:
        leader_writes.write_checks(tx, self._checks)
        leader_writes.write_profiles(tx, self._profiles)
        quality.write_metrics(tx, self._metrics)

    def lose(self, attempt: RunningAttempt, reason: str) -> None:
        """Record the end of an attempt whose worker was lost."""
        self._ends.append(
            AttemptEnd(*attempt.id, state=AttemptState.LOST, finished_at=self._now, reason=reason)
        )

    def end(
        self,
        attempt: RunningAttempt,
        outcome: TaskOutcome,
        state: AttemptState,
        verdict: Verdict | None,
        reason: str = "",
    ) -> None:
        """Record the end of an attempt, with its cost and its error."""
        self._ends.append(
            AttemptEnd(
                *attempt.id,
                state=state,
                finished_at=self._now,
                seconds=outcome.measures.seconds + outcome.measures.audit_seconds,
                published_at=self._now if state is AttemptState.PUBLISHED else None,
                verdict=verdict,
                reason=reason or warnings(outcome, None) or None,
                measures=msgspec.json.encode(self._measures(outcome)).decode(),
                error=msgspec.json.encode(outcome.error).decode()
                if isinstance(outcome, FailedOutcome)
                else None,
            )
        )

    def _measures(self, outcome: TaskOutcome) -> dict[str, Any]:
        """Return the attempt's measures, with the hash of its environment, which is stored once."""
        results = msgspec.structs.asdict(outcome.measures)
        results["publish_seconds"] = self._publish_seconds
        if not outcome.measures.environment_seconds:
            del results["environment_seconds"]
        if outcome.environment:
            results[ENVIRONMENT] = _hash(outcome.environment)
            self._environments[results[ENVIRONMENT]] = outcome.environment
        return results

    def deliver(
        self,
        attempt: RunningAttempt,
        outcome: TaskOutcome,
        state: PartitionState,
        reason: str | None,
    ) -> None:
        """Settle the deliveries that an attempt ingested."""
        if isinstance(outcome, StagedOutcome) and outcome.ingested:
            self._deliver_each(attempt, outcome, state)
            return
        for number in {attempt.prepared.delivery_of(key): None for key in attempt.keys}:
            if number is not None:
                read = outcome.measures.bytes_in if outcome.sha256 else -1
                self._deliveries.append(
                    (
                        state,
                        reason,
                        outcome.sha256,
                        outcome.version,
                        outcome.fingerprint,
                        read,
                        number,
                    )
                )

    def _deliver_each(
        self, attempt: RunningAttempt, outcome: StagedOutcome, state: PartitionState
    ) -> None:
        for key, ingested in outcome.ingested.items():
            number = attempt.prepared.delivery_of(key)
            if number is not None:
                read = (ingested.sha256, None, ingested.fingerprint, ingested.size_bytes)
                self._deliveries.append((state, None, *read, number))

    def narrow(self, attempt: RunningAttempt) -> None:
        """Record the partitions of an attempt that gave back others."""
        self._narrowed.append((msgspec.json.encode(attempt.keys).decode(), *attempt.id))

    def add_audit(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """Record check results, profiles and metrics; a withheld batch's are recorded later."""
        if outcome.audit is None:
            return
        if is_batch(attempt) and not isinstance(outcome, StagedOutcome):
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

    def add_facts(self, attempt: RunningAttempt, outcome: TaskOutcome) -> None:
        """Record drift and anomalies of an attempt, under each of its partitions."""
        if isinstance(outcome, FailedOutcome) or not has_facts_to_keep(attempt, outcome):
            return
        for key in attempt.keys:
            number = attempt.prepared.delivery_of(key)
            self._drift += [
                _drift_row(attempt.node, key, number, attempt.id, change, self._now)
                for change in outcome.drift
            ]
            facts = [fact for fact in outcome.facts if not fact.partition or fact.partition == key]
            self._facts += [
                _fact_row(attempt.node, key, number, attempt.id, fact, self._now) for fact in facts
            ]


@functools.lru_cache(maxsize=64)
def _hash(environment: bytes) -> str:
    return hashlib.sha256(environment).hexdigest()


# Changes and facts as rows of the store, with their delivery and their attempt.


def _drift_row(
    node: str, key: str, number: int | None, attempt: AttemptId, change: DriftChange, now: int
) -> DriftRow:
    """Return the row that stores a drift change of a delivery."""
    score = None if change.score is None else f"{change.score:.4f}"
    evidence, users = (
        msgspec.json.encode(item).decode() for item in (change.evidence, change.used_by)
    )
    kind, policy = change.kind.value, change.policy.value
    findings = RenameFindings(change.candidates, change.differs, change.rivals)
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


def _fact_row(
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
        int(fact.let_through),
    )
