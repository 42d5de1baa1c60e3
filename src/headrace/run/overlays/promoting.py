"""All that a plan has made becomes visible in one transaction: files are registered, computed is nothing any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake.catalog import CatalogChange, Rewrite
from headrace.run.news import News
from headrace.run.overlays.room import Copies, own_files, production_files
from headrace.run.overlays.staged import OverlayPartitions
from headrace.run.tasks import TaskBuilder
from headrace.schedule import AttemptId, Promoted
from headrace.store import Transaction
from headrace.store.queries import applying, leading, plans
from headrace.store.queries.leading import PublicationRecord, QuarantineRecord
from headrace.store.queries.plans import OverlayRow


class PromotionResult(msgspec.Struct, frozen=True):
    """What has become visible, and how production's core is told."""

    event: Promoted
    news: list[News]
    rows: list[OverlayRow]


class Promoting:
    """One promotion, in a `change` that nothing else is in. `tasks` are production's, `made` the copies of files that it needs."""

    def __init__(
        self,
        tx: Transaction,
        change: CatalogChange,
        staged: OverlayPartitions,
        tasks: TaskBuilder,
        files: Copies,
        *,
        now: int,
        version: int,
        runs: tuple[int, ...],
    ) -> None:
        self._tx, self._change, self._staged, self._tasks, self._made = tx, change, staged, tasks, files
        self._now, self._version, self._runs = now, version, runs

    def promote(self, partitions: Mapping[str, Sequence[str]], publication_id: int) -> PromotionResult:
        """Publish these partitions of each node, inputs first. Raises LakeError where tables or files have moved so that it can't be:
        nothing has been written then."""
        for node, keys in partitions.items():
            self._register(node, frozenset(keys))
        snapshot = self._change.finish(author="headrace", message="publish")
        rows = [self._staged.rows[node][key] for node, keys in partitions.items() for key in keys]
        before = {node: leading.published_hashes(self._tx, node, keys) for node, keys in partitions.items()}
        publications = [self._publication(row, number, snapshot, before[row.node]) for number, row in enumerate(rows, publication_id + 1)]
        leading.publish(self._tx, publications)
        leading.quarantine(self._tx, list(self._taken_out(rows)))
        plans.published(self._tx, {(row.epoch, row.n) for row in rows}, self._now)
        applying.reshaped(self._tx, [node for node in partitions if self._tasks.reshaped(self._tx, node)])
        reached(FaultPoint.OVERLAY_PROMOTED)
        contents = tuple((publication.node, publication.partition, not publication.identical) for publication in publications)
        event = Promoted(contents, tuple(publication.id for publication in publications))
        news = [News(row.node, row.partition, "published", row.verdict, "", row.rows, self._runs) for row in rows]
        return PromotionResult(event, news, rows)

    def _register(self, node: str, keys: frozenset[str]) -> None:
        table = self._staged.tables.get(node)
        self._tasks.forget(node)
        known = self._tasks.table(self._tx, node)
        if known is None:
            assert table is not None, "the first attempt that staged something said for which columns"
            self._change.create_table(table)
        elif table is not None and table.columns != known.columns:
            self._change.evolve_table(table)
        self._tasks.forget(node)
        rewrites = [Rewrite(copy.file.path, self._made[copy].staged) for copy in production_files(self._change, node, keys)]
        self._change.replace(node, keys, list(own_files(self._staged, node, keys, self._made)), rewrites=rewrites)

    def _taken_out(self, rows: Sequence[OverlayRow]) -> Iterator[QuarantineRecord]:
        """Rows that broke a check, while all others of their partitions become visible."""
        for row in rows:
            outcome = self._staged.outcomes.get(AttemptId(row.epoch, row.n))
            if outcome is not None and outcome.quarantined is not None:
                sample = [item for result in outcome.audit.results for item in result.sample] if outcome.audit else []
                yield QuarantineRecord(
                    node=row.node,
                    partition=row.partition,
                    epoch=row.epoch,
                    n=row.n,
                    state="rejected",
                    reason=outcome.reason,
                    path=outcome.quarantined,
                    rows=outcome.quarantined_rows,
                    sample=msgspec.json.encode(sample).decode() if sample else None,
                    delivery_id=None,
                    at=self._now,
                )

    def _publication(self, row: OverlayRow, number: int, snapshot: int, before: Mapping[str, str | None]) -> PublicationRecord:
        return PublicationRecord(
            id=number, node=row.node, partition=row.partition, epoch=row.epoch, n=row.n, snapshot=snapshot, published_at=self._now,
            rows=row.rows, size_bytes=row.bytes, verdict=row.verdict or "unchecked", content_hash=row.content_hash,
            identical=row.content_hash is not None and before.get(row.partition) == row.content_hash,
            version=self._version, delivery_id=None, manifest=None,
        )  # fmt: skip
