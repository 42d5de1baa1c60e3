"""Tasks: turn a dispatched attempt into a worker's message, one file per kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.checks.facts import DriftChange
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.messages import Task
from headrace.runtime.tasks import delivery_batches, kinds
from headrace.runtime.tasks.deliveries import with_accepted_rules
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.scheduler import Dispatch
from headrace.store import Transaction
from headrace.store.queries import attempts, ingestion

__all__ = ["EXPORT", "PreparedTask", "TaskBuilder", "Undeliverable"]

EXPORT = "export"
"""Kind of attempts with an effect outside Headrace."""


class PreparedTask(msgspec.Struct, frozen=True, gc=False):
    """A task with the values for its attempt's row in the store."""

    task: Task
    kind: str
    snapshot: int
    delivery_id: int | None
    bundled: dict[str, int] = {}
    """Partition → delivery, for a file with several partitions."""
    borrowed: int | None = None
    """In an environment: production's snapshot from before the inputs were read."""

    @property
    def evolves(self) -> bool:
        """Whether the staged columns may differ from the table's."""
        return bool(getattr(self.task, "evolve", True)) or getattr(self.task, "table", None) is None

    def delivery_of(self, key: str) -> int | None:
        """Return the delivery of one of the attempt's partitions."""
        return self.bundled.get(key, self.delivery_id)


class TaskBuilder:
    """Builds tasks for one applied version.

    `production` is the state that an environment borrows from; `lookup` replaces the default
    look-ups.
    """

    def __init__(
        self,
        applied: AppliedVersion,
        code: str,
        production: Production | None = None,
        lookup: TaskLookup | None = None,
        *,
        cache: Path | None = None,
    ) -> None:
        self.lookup = lookup or TaskLookup(applied, code, production, cache)

    def reached(self, node: str, changes: Sequence[DriftChange]) -> tuple[DriftChange, ...]:
        """Return the changes of a source's delivery, each with all users that it affects."""
        return self.lookup.uses.reached(node, changes) if changes else ()

    def proved(self, tx: Transaction, node: str, *, proven: bool) -> None:
        """Store whether a batch by the applied code gave the rows of a partition computed alone."""
        attempts.record_batching(
            tx, node, self.lookup.compiled.nodes[node].fingerprint, proven=proven
        )

    def kind(self, node: str) -> str:
        """Return the kind of a node's attempts: take_in, produce or export."""
        project = self.lookup.project
        return (
            "take_in"
            if node in project.sources
            else EXPORT
            if node in project.consumers
            else "produce"
        )

    def _batch(
        self, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int
    ) -> PreparedTask | None:
        """Return the task for deliveries of several intervals; None for one file of several."""
        source = self.lookup.project.sources[dispatch.node]
        batch = delivery_batches.batch_task(
            self.lookup, tx, dispatch.attempt, source, dispatch.keys, now, snapshot
        )
        if batch is None:
            return None
        task, deliveries = batch
        return PreparedTask(task, "take_in", snapshot, None, deliveries)

    def prepare(self, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int) -> PreparedTask:
        """Return the task for a dispatch, reading that snapshot. Raises Undeliverable."""
        attempt, node, keys = dispatch.attempt, dispatch.node, dispatch.keys
        project = self.lookup.project
        if node in project.sources:
            if len(keys) > 1 and (batch := self._batch(tx, dispatch, now, snapshot)) is not None:
                return batch
            taking, delivery_id = kinds.ingest_task(
                self.lookup, tx, attempt, project.sources[node], keys, now, snapshot
            )
            bundled = (
                ingestion.bundled(tx, node, taking.found.bundle, keys) if len(keys) > 1 else {}
            )
            return PreparedTask(
                with_accepted_rules(tx, node, keys, taking),
                "take_in",
                snapshot,
                delivery_id,
                bundled,
            )
        if node in project.consumers:
            exporting = kinds.export_task(
                self.lookup, tx, attempt, project.consumers[node], keys, now, snapshot
            )
            return PreparedTask(exporting, EXPORT, snapshot, None)
        borrowed = self.lookup.production_snapshot()
        producing = kinds.compute_task(self.lookup, tx, dispatch, now, snapshot)
        return PreparedTask(
            with_accepted_rules(tx, node, keys, producing),
            "produce",
            snapshot,
            None,
            borrowed=borrowed,
        )
