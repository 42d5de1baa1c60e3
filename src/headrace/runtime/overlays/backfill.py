"""One open backfill: its plan, progress, result, and entries in the audit trail."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import LakeTable, reshaped
from headrace.lake.catalog import CatalogChange, FilesFound
from headrace.model import LakeError
from headrace.plan.backfills import (
    ERRANDS_FROM,
    Backfill,
    BackfillState,
    BackfillStep,
    Mode,
    first_attempt_of,
)
from headrace.runtime.executors import TaskFinished
from headrace.runtime.messages import (
    FailedOutcome,
    Prune,
    RewrittenFile,
    RowChangeCounts,
    StagedOutcome,
)
from headrace.runtime.overlays import production_state
from headrace.runtime.overlays.overlay import Lent, Overlay, PostCommitActions, ended_rows
from headrace.runtime.overlays.partitions import OverlayPartitions
from headrace.runtime.overlays.production_state import (
    Copy,
    Promoting,
    PromotionResult,
    UnsuccessfulPartition,
    drop_outdated,
    missed_events,
)
from headrace.runtime.publishing import HEADRACE
from headrace.runtime.runs import ActiveRun, NewsState, RunRequest
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    AttemptId,
    PartitionOvertaken,
    PartitionState,
    Paused,
    SchedulerCheckpoint,
    Target,
)
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append, append_all
from headrace.store import Transaction
from headrace.store.queries import attempts, backfill_plans
from headrace.store.queries.backfill_plans import OverlayRow, PlanRecord

# The result of a backfill, as stored and reported.

FAILURES_LISTED_MAX = 20
ROWS_LISTED_MAX = 5


class FailingSample(msgspec.Struct, frozen=True):
    """The attempt that found a fault, and some faulty rows."""

    attempt: AttemptId
    sample: list[dict[str, Any]] = []


class PlanOutcome(msgspec.Struct, frozen=True):
    """The result of a backfill, stored as JSON in `plan.outcome`.

    `failures` are (node, key, state, reason) of the first FAILURES_LISTED_MAX; `changed` is node →
    number of partitions that differ from the published ones, rows added, removed and changed.
    """

    published: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str, str, str], ...] = ()
    changed: dict[str, tuple[int, int, int, int]] = {}
    evidence: dict[str, FailingSample] = {}
    """`node@key` of a failure → the sample to examine."""
    redone: int = 0
    """Partitions that were recomputed because an input was published after they were computed."""

    @classmethod
    def read(cls, text: str | None) -> PlanOutcome:
        """Decode a stored outcome; an empty one if there is none yet."""
        return cls() if text is None else msgspec.json.decode(text, type=cls)

    def encoded(self) -> str:
        """Encode the outcome for storage."""
        return msgspec.json.encode(self).decode()

    def with_published(self, rows: Iterable[OverlayRow]) -> PlanOutcome:
        """Return the outcome with these published partitions added."""
        changed = {
            node: Counter(dict(enumerate(figures))) for node, figures in self.changed.items()
        }
        count = 0
        for row in rows:
            count += 1
            counts = (
                msgspec.json.decode(row.changed, type=RowChangeCounts)
                if row.changed is not None
                else RowChangeCounts()
            )
            if counts != RowChangeCounts():
                changed.setdefault(row.node, Counter()).update(
                    {0: 1, 1: counts.added, 2: counts.removed, 3: counts.changed}
                )
        changed_by_node = {
            node: (figures[0], figures[1], figures[2], figures[3])
            for node, figures in changed.items()
        }
        return msgspec.structs.replace(
            self, published=self.published + count, changed=changed_by_node
        )

    def with_failures(self, ended: Iterable[UnsuccessfulPartition]) -> PlanOutcome:
        """Return the outcome with these failed partitions added."""
        partitions = sorted(
            ended,
            key=lambda partition: (
                partition.state is PartitionState.WAITING,
                partition.node,
                partition.key,
            ),
        )  # causes first
        failures = (
            *self.failures,
            *(
                (partition.node, partition.key, partition.state.value, partition.reason)
                for partition in partitions
            ),
        )
        listed = {f"{node}@{key}" for node, key, *_ in failures[:FAILURES_LISTED_MAX]}
        evidence = {
            **self.evidence,
            **{
                f"{partition.node}@{partition.key}": _evidence(partition)
                for partition in partitions
                if partition.attempt is not None
            },
        }
        evidence = {name: sample for name, sample in evidence.items() if name in listed}
        return msgspec.structs.replace(
            self,
            failed=self.failed + len(partitions),
            failures=failures[:FAILURES_LISTED_MAX],
            evidence=evidence,
        )

    def tried_again(self, *, allow_partial: bool) -> PlanOutcome:
        """Return the outcome without failures, since failed partitions are retried.

        With `allow_partial`, the failures stay: the backfill has gone on without these partitions.
        """
        return (
            self
            if allow_partial
            else msgspec.structs.replace(self, failed=0, failures=(), evidence={})
        )

    def with_redone(self, count: int) -> PlanOutcome:
        """Return the outcome with `count` more recomputed partitions."""
        return msgspec.structs.replace(self, redone=self.redone + count)


def _evidence(partition: UnsuccessfulPartition) -> FailingSample:
    assert partition.attempt is not None
    return FailingSample(
        partition.attempt,
        msgspec.json.decode(partition.sample)[:ROWS_LISTED_MAX] if partition.sample else [],
    )


# The phases of a backfill.

STAGED, INGESTED, AFTERWARDS = "staged", "taken_in", "afterwards"
TIDIED_AT_ONCE = 400
"""Published results that are deleted in one loop iteration, and the rest of their last attempt."""
ERRANDS_LOST_MAX = 3
"""Times that a copy task is sent while its workers end, before the backfill fails."""


class Phase(enum.Enum):
    """What a backfill waits for, in this order."""

    RESTING = enum.auto()
    """A run: until then, only events that make its staged partitions stale are followed."""
    TAKING_IN = enum.auto()
    """Production, to ingest new deliveries."""
    STEPS = enum.auto()
    """The backfill's own core."""
    AFTERWARDS = enum.auto()
    """Production, to compute partitions that build on previously published ones."""


class Backfilling:
    """An open backfill, created from its row.

    `run` is the run that works at it; None without one.
    """

    def __init__(self, row: PlanRecord) -> None:
        self.id, self.actor, self.reason, self.version = row.id, row.actor, row.reason, row.version
        self.backfill = msgspec.msgpack.decode(row.content, type=Backfill)
        self.outcome = PlanOutcome.read(row.outcome)
        self.steps_done = row.steps_done
        self.phase = Phase.RESTING
        self.run: int | None = None
        self.asked_afterwards = False
        self._retry = row.state in (BackfillState.FAILED, BackfillState.PARTIAL)
        """Whether to retry failed partitions."""
        self.fresh = True
        """Whether nothing has checked yet for staged partitions to follow."""
        self.to_tidy = False
        """Whether the store still holds results of published steps."""
        self._is_published = False
        """Whether the last iteration published a step."""
        self._retired: list[Overlay] = []
        """Overlays of published steps, until they are freed."""
        self.overlay: Overlay | None = None
        self.after = first_attempt_of(row.id)
        """Number of this leader's last attempt."""
        self._how = {item.node: item.how for item in self.backfill.chosen}
        self._steps = [
            BackfillStep(
                spans={
                    node: spans
                    for node, spans in step.spans.items()
                    if self._how.get(node) == STAGED
                }
            )
            for step in self.backfill.steps
        ]
        self._files_found: dict[str, FilesFound | None] = {}
        """Node → the published files that the step replaces, found before it is published."""
        self._found_at = -1
        """The staged partitions' number of changes when they were found."""
        self._copies: dict[Copy, RewrittenFile] = {}
        self._errands: dict[AttemptId, tuple[Prune, list[Copy]]] = {}
        self._errands_lost = self._last_errand = self._refused = 0

    def go_on(self, run: int) -> None:
        """Continue the backfill in a run."""
        self.run, self.phase, self.asked_afterwards = run, Phase.TAKING_IN, False
        self.outcome = self.outcome.tried_again(allow_partial=self.backfill.allow_partial)

    def rest(self) -> None:
        """Stop working at the backfill in a run."""
        self.run, self.phase = None, Phase.RESTING
        if self.overlay is not None:
            self.overlay.requested = False

    # The plan

    @property
    def again(self) -> frozenset[str]:
        """The nodes whose partitions production ingests or recomputes in any case."""
        again = self.backfill.mode is Mode.ALL
        return self.nodes(INGESTED) | self.nodes(AFTERWARDS) if again else frozenset()

    @property
    def step(self) -> BackfillStep | None:
        """The next step; None when all are done."""
        return self._steps[self.steps_done] if self.steps_done < len(self._steps) else None

    def targets(self, how: str) -> tuple[Target, ...]:
        """Return the partitions that are computed in one way."""
        return tuple(
            Target(item.node, span.first, span.last)
            for item in self.backfill.chosen
            if item.how == how
            for span in item.spans
        )

    def nodes(self, how: str) -> frozenset[str]:
        """Return the nodes that are computed in one way."""
        return frozenset(item.node for item in self.backfill.chosen if item.how == how)

    # Its core

    def load(
        self, tx: Transaction, lent: Lent, production: SchedulerCheckpoint, now: int
    ) -> PostCommitActions:
        """Create the core of the step, from production's partition states.

        It starts no attempts before the step is requested.
        """
        assert self.step is not None
        staged = OverlayPartitions.read(tx, self.id)
        drop_outdated(tx, staged, lent.applied)
        backfill_plans.forget_unneeded(tx, self.id)
        ended = ended_rows(backfill_plans.staged(tx, self.id))
        self.overlay = Overlay(
            self.id, self.step, staged, ended, lent, run=self.run or 0, after=self.after
        )
        actions = self.overlay.begin(tx, production, now)
        actions.add(self.overlay.hear(tx, missed_events(tx, self.id), now))
        return actions

    def request(self, tx: Transaction, pauses: Sequence[Paused], now: int) -> PostCommitActions:
        """Request the step, for the first time or again."""
        assert self.overlay is not None
        retry, self._retry, self.overlay.run = self._retry, False, self.run or 0
        return self.overlay.request(tx, pauses, now, again=retry)

    def unload(self) -> list[AttemptId]:
        """Discard the core; return its attempts that must be ended."""
        numbers = [*(self.overlay.attempts if self.overlay is not None else ()), *self._errands]
        if self.overlay is not None:
            self.after = max(self.after, self.overlay.last_n)
        self.overlay, self.fresh = None, True
        self._errands.clear()
        self._copies.clear()
        self._files_found.clear()
        return numbers

    @property
    def ready(self) -> bool:
        """Whether the step is computed as far as possible, and no copy task is pending."""
        return (
            self.phase is Phase.STEPS
            and self.overlay is not None
            and self.overlay.at_rest
            and not self._errands
        )

    # Publication

    @property
    def to_find(self) -> str | None:
        """The next node whose published files are to be found; None if they all are.

        That is most of what a publication asks the catalog for, so each node has a loop iteration
        of its own. The publication finds those of tables again that have changed since.
        """
        assert self.overlay is not None
        staged = self.overlay.staged
        if self._found_at != staged.changes:
            self._files_found.clear()
            self._found_at = staged.changes
        return next(
            (node for node, keys in staged.rows.items() if keys and node not in self._files_found),
            None,
        )

    def find(self, tx: Transaction, node: str, now: int) -> None:
        """Find the published files that the step replaces in one node's table."""
        assert self.overlay is not None
        keys = self.overlay.staged.keys(node)
        self._files_found[node] = CatalogChange.begin(tx, now).find(node, keys)
        reached(FaultPoint.OVERLAY_FOUND)

    def begin_change(self, tx: Transaction, now: int) -> CatalogChange:
        """Begin the change that publishes the step."""
        files_found = [item for item in self._files_found.values() if item is not None]
        return CatalogChange.begin(tx, now, files_found)

    def lacking(
        self, tx: Transaction, change: CatalogChange, tasks: TaskBuilder
    ) -> list[tuple[AttemptId, Prune]]:
        """Return the copy tasks needed before the step can be published; they count as sent."""
        assert self.overlay is not None
        results = []
        for node, keys in self._computed_partitions():
            staged, known = self.overlay.staged, tasks.lookup.table(tx, node)
            proposed = staged.tables.get(node)
            target = reshaped(known, proposed) if known is not None else proposed
            assert target is not None
            needed = (
                (
                    target,
                    production_state.production_copies(change, node, keys, retyped=target.retyped),
                ),
                (
                    msgspec.structs.replace(target, changed_from=()),
                    production_state.staged_copies(staged, node, keys),
                ),
            )
            for table, copies in needed:
                if missing := production_state.copies_missing(copies, self._copies):
                    results.append(self._errand(table, missing, tasks.lookup.timezone(node)))
        return results

    def _errand(
        self, table: LakeTable, copies: list[Copy], timezone: str
    ) -> tuple[AttemptId, Prune]:
        assert self.overlay is not None
        self._last_errand += 1
        number = AttemptId(
            self.overlay.epoch, first_attempt_of(self.id) + ERRANDS_FROM + self._last_errand
        )
        task = production_state.prune_task(number, table, copies, timezone)
        self._errands[number] = (task, copies)
        return number, task

    def run_errand(self, finished: TaskFinished) -> str:
        """Record the answer of a copy task; return its error, empty if there is none."""
        _, copies = self._errands.pop(finished.attempt, (None, []))
        match finished.outcome:
            case StagedOutcome(rewritten=rewritten):
                self._copies.update(zip(copies, rewritten, strict=False))
                return ""
            case FailedOutcome(error=error):
                return error.message
            case withheld:
                return withheld.reason

    def lose_errand(self, attempt: AttemptId) -> bool:
        """Record the loss of a copy task, to be sent again; return whether it fails too often."""
        if self._errands.pop(attempt, None) is not None:
            self._errands_lost += 1
        return self._errands_lost >= ERRANDS_LOST_MAX

    def promote(
        self,
        tx: Transaction,
        change: CatalogChange,
        lent: Lent,
        tasks: TaskBuilder,
        unmade: Sequence[UnsuccessfulPartition],
        publication_id: int,
        now: int,
    ) -> PromotionResult:
        """Publish the step's partitions and move on to the next step.

        Raises LakeError if tables or files have changed; nothing is written then, and `make_again`
        follows.
        """
        assert self.overlay is not None
        runs = (self.run,) if self.run is not None else ()
        promoting = Promoting(
            tx,
            change,
            self.overlay.staged,
            tasks,
            self._copies,
            now=now,
            version=lent.applied.id,
        )
        computed = dict(self._computed_partitions(lent.applied.compiled.order))
        promotion_result = promoting.promote(computed, publication_id, runs)
        self.outcome = (
            self.outcome.with_published(promotion_result.rows)
            .with_failures(unmade)
            .with_redone(self.overlay.redone)
        )
        self.overlay.forget_unpublished(tx, promotion_result.rows)
        self.steps_done += 1
        self._refused = 0
        self._retired.append(self.overlay)
        self.unload()
        self.to_tidy = self._is_published = True
        backfill_plans.record_outcome(tx, self.id, self.outcome.encoded(), self.steps_done)
        return promotion_result

    def tidy(self, tx: Transaction) -> None:
        """Delete some of the results that are published already, a few ms of work.

        The first iteration after a publication only evaluates, the second one only frees memory.
        """
        if self._is_published:
            self._is_published = False
            return
        if self._retired:
            self._retired.clear()
            return
        reached(FaultPoint.OVERLAY_TIDYING)
        self.to_tidy = backfill_plans.forget_published(tx, self.id, TIDIED_AT_ONCE)
        if not self.to_tidy:
            backfill_plans.forget_unneeded(tx, self.id)

    def make_again(self, tx: Transaction, error: LakeError, now: int) -> PostCommitActions:
        """Recompute partitions whose staged rows no longer fit production's tables.

        Raises the error if that keeps happening.
        """
        assert self.overlay is not None
        self._refused += 1
        if self._refused > ERRANDS_LOST_MAX:
            raise error
        self._copies.clear()
        actions = PostCommitActions()
        for node, keys in self._computed_partitions():
            self.overlay.staged.forget_node(tx, node)
            actions.add(
                self.overlay.again(tx, [PartitionOvertaken(node, key) for key in keys], now)
            )
        return actions

    def _computed_partitions(
        self, order: Sequence[str] | None = None
    ) -> Iterator[tuple[str, list[str]]]:
        """Yield the step's computed partitions by node, in the given order if there is one."""
        assert self.overlay is not None
        keys_by_node = {
            node: sorted(keys) for node, keys in self.overlay.staged.rows.items() if keys
        }
        for node in order if order is not None else keys_by_node:
            if node in keys_by_node:
                yield node, keys_by_node[node]


# The run that works at a backfill, its entries in the audit trail, and its final result.


def run_request_of(item: Backfilling, row: PlanRecord) -> RunRequest:
    """Return the request of a run that continues a backfill."""
    request: dict[str, Any] = msgspec.json.decode(row.request) if row.request else {}
    actor = Actor(ActorType.PERSON, row.actor)
    return RunRequest(
        kind="backfill",
        targets=item.targets(INGESTED),
        again=item.again & item.nodes(INGESTED),
        actor=actor,
        request=request,
        reason=row.reason,
        plan=row.id,
    )


def record_intervention(
    tx: Transaction, item: Backfilling, now: int, action: Action, actor: Actor, reason: str
) -> None:
    """Record a user's action on a backfill in the audit trail."""
    append(
        tx,
        now,
        AuditEvent(
            action=action,
            actor=actor,
            object=Object("backfill", str(item.id)),
            reason=reason,
            after=_figures(item.outcome),
        ),
    )


def record_publications(
    tx: Transaction, item: Backfilling, rows: Sequence[OverlayRow], now: int
) -> None:
    """Record the published partitions of a step in the audit trail, one entry per node."""
    count, total = Counter(row.node for row in rows), Counter[str]()
    for row in rows:
        total[row.node] += row.rows
    append_all(
        tx,
        now,
        [
            AuditEvent(
                action=Action.PARTITION_PUBLISHED,
                actor=HEADRACE,
                object=Object("partition", node, f"backfill {item.id}"),
                after={"partitions": count[node], "rows": total[node], "step": item.steps_done},
                reason=item.reason,
            )
            for node in count
        ],
    )


def record_end(tx: Transaction, item: Backfilling, state: str, now: int) -> None:
    """Record the end of a backfill and its changes in the audit trail."""
    changed = {
        node: dict(zip(("partitions", "added", "removed", "changed"), figures, strict=True))
        for node, figures in item.outcome.changed.items()
    }
    after = {"state": state, **_figures(item.outcome), "rows": changed}
    event = AuditEvent(
        action=Action.PLAN_FINISHED,
        actor=HEADRACE,
        object=Object("backfill", str(item.id)),
        reason=item.reason,
        after=after,
    )
    append(tx, now, event)


def failed_in_production(
    tx: Transaction, run: ActiveRun, nodes: Collection[str]
) -> list[UnsuccessfulPartition]:
    """Return partitions of these nodes that failed in a run of production.

    The reason is that of their last attempt.
    """
    whys = {
        (attempt.node, key): attempt.reason
        for attempt in attempts.of_run(tx, run.id)
        for key in attempt.partitions
    }
    return [
        UnsuccessfulPartition(node, key, PartitionState.FAILED, whys.get((node, key)) or state)
        for (node, key), state in run.results.items()
        if node in nodes and state is not NewsState.PUBLISHED
    ]


def final_outcome(
    item: Backfilling, run: ActiveRun | None, unmade: Sequence[UnsuccessfulPartition]
) -> PlanOutcome:
    """Return the final outcome of a backfill."""
    after = item.nodes(AFTERWARDS)
    more = (
        sum(
            1
            for (node, _), state in run.results.items()
            if node in after and state is NewsState.PUBLISHED
        )
        if run is not None
        else 0
    )
    return msgspec.structs.replace(
        item.outcome, published=item.outcome.published + more
    ).with_failures(unmade)


def final_state(outcome: PlanOutcome) -> BackfillState:
    """Return the final state of a backfill."""
    if not outcome.failed:
        return BackfillState.SUCCEEDED
    return BackfillState.PARTIAL if outcome.published else BackfillState.FAILED


def _figures(outcome: PlanOutcome) -> dict[str, Any]:
    return {"published": outcome.published, "failed": outcome.failed, "redone": outcome.redone}
