"""One plan that is open: what was planned, how far it is, and what is made of it now."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

import msgspec

from headrace.lake import LakeTable
from headrace.lake.catalog import CatalogChange
from headrace.model import LakeError
from headrace.plan.attempt_numbers import ERRANDS, first_of
from headrace.plan.backfills import Backfill, BackfillStep, Mode
from headrace.run.executors import TaskFinished
from headrace.run.messages import Prune, RewrittenFile
from headrace.run.overlays import room
from headrace.run.overlays.beginning import UnsuccessfulPartition
from headrace.run.overlays.changed_code import drop_outdated
from headrace.run.overlays.missed import missed
from headrace.run.overlays.outcome import PlanOutcome
from headrace.run.overlays.overlay import Lent, Overlay, PostCommitActions, ended_rows
from headrace.run.overlays.promoting import Promoting, PromotionResult
from headrace.run.overlays.room import Copy
from headrace.run.overlays.staged import OverlayPartitions
from headrace.run.tasks import TaskBuilder
from headrace.schedule import AttemptId, PartitionOvertaken, Paused, SchedulerCheckpoint, Target
from headrace.store import Transaction
from headrace.store.queries import plans
from headrace.store.queries.plans import PlanRecord

STAGED, INGESTED, AFTERWARDS = "staged", "taken_in", "afterwards"
ERRANDS_LOST_MAX = 3
"""So many times an errand is sent whose worker ends; then the plan fails."""


class Phase(enum.Enum):
    """What a plan waits for, in this order."""

    RESTING = enum.auto()
    """For somebody to go on with it: only what makes stale what it has made is followed."""
    TAKING_IN = enum.auto()
    """For production to ingest what has arrived."""
    STEPS = enum.auto()
    """For its own core."""
    AFTERWARDS = enum.auto()
    """For production to make what builds on what is published before."""


class Backfilling:
    """Made of a plan's row. `run` is the run that works at it, None while nobody does."""

    def __init__(self, row: PlanRecord) -> None:
        self.id, self.actor, self.reason, self.version = row.id, row.actor, row.reason, row.version
        self.backfill = msgspec.msgpack.decode(row.content, type=Backfill)
        self.outcome = PlanOutcome.read(row.outcome)
        self.steps_done = row.steps_done
        self.phase = Phase.RESTING
        self.run: int | None = None
        self.asked_afterwards = False
        self._retry = row.state in ("failed", "partial")
        """What couldn't be made is tried again."""
        self.fresh = True
        """Nobody has looked yet whether anything of it is staged, that has to be followed."""
        self.overlay: Overlay | None = None
        self.after = first_of(row.id)
        """The last number that an attempt of this leader had."""
        self._how = {item.node: item.how for item in self.backfill.chosen}
        self._steps = [BackfillStep(spans={node: spans for node, spans in step.spans.items() if self._how.get(node) == STAGED})
                       for step in self.backfill.steps]  # fmt: skip
        self._copies: dict[Copy, RewrittenFile] = {}
        self._errands: dict[AttemptId, tuple[Prune, list[Copy]]] = {}
        self._errands_lost = self._last_errand = self._refused = 0

    def go_on(self, run: int) -> None:
        """Somebody works at it again."""
        self.run, self.phase, self.asked_afterwards = run, Phase.TAKING_IN, False
        self.outcome = self.outcome.tried_again(allow_partial=self.backfill.allow_partial)

    def rest(self) -> None:
        """Nobody works at it any more."""
        self.run, self.phase = None, Phase.RESTING
        if self.overlay is not None:
            self.overlay.requested = False

    # What was planned

    @property
    def again(self) -> frozenset[str]:
        """The nodes whose partitions production makes again, whatever they are."""
        return self.nodes(AFTERWARDS) if self.backfill.mode is Mode.ALL else frozenset()

    @property
    def step(self) -> BackfillStep | None:
        """The step that comes next; None when all are done."""
        return self._steps[self.steps_done] if self.steps_done < len(self._steps) else None

    def targets(self, how: str) -> tuple[Target, ...]:
        """The partitions that are made in one way."""
        return tuple(Target(item.node, span.first, span.last) for item in self.backfill.chosen if item.how == how for span in item.spans)

    def nodes(self, how: str) -> frozenset[str]:
        """The nodes that are made in one way."""
        return frozenset(item.node for item in self.backfill.chosen if item.how == how)

    # Its core

    def load(self, tx: Transaction, lent: Lent, production: SchedulerCheckpoint, now: int) -> PostCommitActions:
        """Have a core for the step, that starts from where production stands. It begins nothing before somebody asks for the step."""
        assert self.step is not None
        staged = OverlayPartitions.read(tx, self.id)
        drop_outdated(tx, staged, lent.applied)
        plans.forget_unneeded(tx, self.id)
        ended = ended_rows(plans.staged(tx, self.id))
        self.overlay = Overlay(self.id, self.step, staged, ended, lent, run=self.run or 0, after=self.after)
        actions = self.overlay.begin(tx, production, now)
        actions.add(self.overlay.hear(tx, missed(tx, self.id), now))
        return actions

    def request(self, tx: Transaction, pauses: Sequence[Paused], now: int) -> PostCommitActions:
        """Somebody works at the step, from now on or again."""
        assert self.overlay is not None
        retry, self._retry, self.overlay.run = self._retry, False, self.run or 0
        return self.overlay.request(tx, pauses, now, again=retry)

    def unload(self) -> list[AttemptId]:
        """Another core is to be begun: the attempts that aren't wanted any more."""
        numbers = [*(self.overlay.attempts if self.overlay is not None else ()), *self._errands]
        if self.overlay is not None:
            self.after = max(self.after, self.overlay.last_n)
        self.overlay, self.fresh = None, True
        self._errands.clear()
        self._copies.clear()
        return numbers

    @property
    def ready(self) -> bool:
        """Whether all of the step that can be made is made, and nothing is on its way."""
        return self.phase is Phase.STEPS and self.overlay is not None and self.overlay.at_rest and not self._errands

    # Publication

    def lacking(self, tx: Transaction, change: CatalogChange, tasks: TaskBuilder) -> list[tuple[AttemptId, Prune]]:
        """The errands that have to be run before the step can be published; they count as sent."""
        assert self.overlay is not None
        results = []
        for node, keys in self._made():
            copies = room.lacking(room.wanted(change, self.overlay.staged, node, keys), self._copies)
            if copies:
                table = self.overlay.staged.tables.get(node) or tasks.table(tx, node)
                assert table is not None
                results.append(self._errand(table, copies))
        return results

    def _errand(self, table: LakeTable, copies: list[Copy]) -> tuple[AttemptId, Prune]:
        assert self.overlay is not None
        self._last_errand += 1
        number = AttemptId(self.overlay.epoch, first_of(self.id) + ERRANDS + self._last_errand)
        task = room.errand(number, table, copies)
        self._errands[number] = (task, copies)
        return number, task

    def run_errand(self, finished: TaskFinished) -> str:
        """An errand is done; what went wrong, if something did."""
        _, copies = self._errands.pop(finished.attempt, (None, []))
        if finished.outcome.state != "staged":
            return finished.outcome.error.message if finished.outcome.error else finished.outcome.reason
        self._copies.update(zip(copies, finished.outcome.rewritten, strict=False))
        return ""

    def lose_errand(self, attempt: AttemptId) -> bool:
        """An errand's worker ended: it is sent again with the next look. Whether that has happened too often."""
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
        """Publish what the step has made, and move on to the next. Raises LakeError where something has moved; nothing has been written
        then, and `make_again` says what follows."""
        assert self.overlay is not None
        runs = (self.run,) if self.run is not None else ()
        promoting = Promoting(tx, change, self.overlay.staged, tasks, self._copies, now=now, version=lent.applied.id, runs=runs)
        promotion_result = promoting.promote(dict(self._made(lent.applied.compiled.order)), publication_id)
        self.outcome = self.outcome.with_published(promotion_result.rows).with_failures(unmade).with_redone(self.overlay.redone)
        plans.clear(tx, self.id)
        self.steps_done += 1
        self._refused = 0
        self.unload()
        plans.told(tx, self.id, self.outcome.kept(), self.steps_done)
        return promotion_result

    def make_again(self, tx: Transaction, error: LakeError, now: int) -> PostCommitActions:
        """What was staged doesn't fit production's tables any more: it is made again. Raises the error where that doesn't end."""
        assert self.overlay is not None
        self._refused += 1
        if self._refused > ERRANDS_LOST_MAX:
            raise error
        self._copies.clear()
        actions = PostCommitActions()
        for node, keys in self._made():
            self.overlay.staged.forget_node(tx, node)
            actions.add(self.overlay.again(tx, [PartitionOvertaken(node, key) for key in keys], now))
        return actions

    def _made(self, order: Sequence[str] | None = None) -> Iterator[tuple[str, list[str]]]:
        """What the step has made, by node; in that order, if one is given."""
        assert self.overlay is not None
        made = {node: sorted(keys) for node, keys in self.overlay.staged.rows.items() if keys}
        for node in order if order is not None else made:
            if node in made:
                yield node, made[node]
