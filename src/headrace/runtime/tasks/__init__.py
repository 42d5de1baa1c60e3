"""Tasks: from a dispatched attempt to the message that a worker gets, one file per kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.checks.facts import DriftChange
from headrace.lake import LakeTable
from headrace.plan.schemas import ColumnLineage
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.messages import Task
from headrace.runtime.tasks import kinds
from headrace.runtime.tasks.deliveries import with_accepted_rules
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.scheduler import Dispatch
from headrace.store import Transaction
from headrace.store.queries import attempts, ingestion

__all__ = ["EXPORT", "PreparedTask", "TaskBuilder", "Undeliverable"]

EXPORT = "export"
"""The kind of attempts that have an effect outside."""


class PreparedTask(msgspec.Struct, frozen=True, gc=False):
    """A task with what the attempt's row says about it."""

    task: Task
    kind: str
    snapshot: int
    delivery_id: int | None
    bundled: dict[str, int] = {}
    """Partition → delivery, of what came in one file for several partitions."""
    borrowed: int | None = None
    """In an environment: production's snapshot from before its inputs were looked up."""

    @property
    def evolves(self) -> bool:
        """Whether what it stages may have other columns than its table: while one runs that may not, the table's readers may have grown."""
        return bool(getattr(self.task, "evolve", True)) or getattr(self.task, "table", None) is None

    def delivery_of(self, key: str) -> int | None:
        """The delivery of one of the attempt's partitions."""
        return self.bundled.get(key, self.delivery_id)


class TaskBuilder:
    """Makes tasks for one applied version. Tables are remembered; `forget` drops one whose columns changed. In an environment
    `production` has what is borrowed; with a `lookup` of its own, what that sees."""

    def __init__(
        self,
        applied: AppliedVersion,
        code: str,
        production: Production | None = None,
        lookup: TaskLookup | None = None,
        *,
        cache: Path | None = None,
    ) -> None:
        self._lookup = lookup or TaskLookup(applied, code, production, cache)

    def forget(self, name: str) -> None:
        """The table's columns have changed."""
        self._lookup.forget(name)

    def table(self, tx: Transaction, name: str) -> LakeTable | None:
        """The lake's table of that name, None while its columns aren't known."""
        return self._lookup.table(tx, name)

    def reshaped(self, tx: Transaction, name: str) -> bool:
        """A node's table has the columns of the code in force; whether the store still says otherwise."""
        return self._lookup.reshaped(tx, name)

    def grown(self, tx: Transaction, name: str) -> None:
        """A source's table has columns that it hadn't."""
        self._lookup.grown(tx, name)

    def reached(self, node: str, changes: Sequence[DriftChange]) -> tuple[DriftChange, ...]:
        """Changes of a source's delivery, each with all whom it would reach."""
        return self._lookup.uses.reached(node, changes) if changes else ()

    def lines(self, node: str) -> ColumnLineage:
        """What a node's columns come from."""
        return self._lookup.uses.lines(node)

    def proved(self, tx: Transaction, node: str, *, proven: bool) -> None:
        """Whether several partitions at once came to what one alone comes to, with the body that is applied."""
        attempts.record_batching(tx, node, self._lookup.compiled.nodes[node].fingerprint, proven=proven)

    def kind(self, node: str) -> str:
        """What attempts at a node are: take_in, produce or export."""
        project = self._lookup.project
        return "take_in" if node in project.sources else EXPORT if node in project.consumers else "produce"

    def prepare(self, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int) -> PreparedTask:
        """The task for a dispatch, which reads that snapshot. Raises Undeliverable."""
        attempt, node, keys = dispatch.attempt, dispatch.node, dispatch.keys
        project = self._lookup.project
        if node in project.sources:
            taking, delivery_id = kinds.ingest_task(self._lookup, tx, attempt, project.sources[node], keys, now, snapshot)
            bundled = ingestion.bundled(tx, node, taking.found.bundle, keys) if len(keys) > 1 else {}
            return PreparedTask(with_accepted_rules(tx, node, keys, taking), "take_in", snapshot, delivery_id, bundled)
        if node in project.consumers:
            exporting = kinds.export_task(self._lookup, tx, attempt, project.consumers[node], keys, now, snapshot)
            return PreparedTask(exporting, EXPORT, snapshot, None)
        borrowed = self._lookup.production_snapshot()
        producing = kinds.compute_task(self._lookup, tx, attempt, project.assets[node], keys, now, snapshot, dispatch.without)
        return PreparedTask(with_accepted_rules(tx, node, keys, producing), "produce", snapshot, None, borrowed=borrowed)
