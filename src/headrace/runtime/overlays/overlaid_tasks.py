"""Tasks of a backfill: they read its staged partitions in place of the published ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec.structs import replace

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeTable
from headrace.lake.catalog import table
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.messages import ComputeTask, PublishedRows
from headrace.runtime.overlays.partitions import OverlayPartitions
from headrace.runtime.tasks import PreparedTask, TaskBuilder
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.scheduler import Dispatch
from headrace.store import Transaction
from headrace.store.queries import leader_writes


class OverlaidLookup(TaskLookup):
    """Look-ups for one applied version, as a backfill sees it."""

    def __init__(
        self,
        applied: AppliedVersion,
        code: str,
        staged: OverlayPartitions,
        production: Production | None,
        cache: Path | None,
    ) -> None:
        super().__init__(applied, code, production, cache)
        self._staged = staged

    def table(self, tx: Transaction, name: str) -> LakeTable | None:
        """Return the table with the columns of the backfill's files; else the lake's table.

        It isn't cached, because production may change it in the meantime.
        """
        self.forget(name)
        lake_table, known = self._staged.tables.get(name), super().table(tx, name)
        if lake_table is None or (known is not None and known.columns == lake_table.columns):
            return known
        return lake_table if known is None else replace(lake_table, folder=known.folder)

    def published_keys(self, tx: Transaction, name: str, moment: str = "") -> list[str]:
        """Return the published and staged partitions."""
        staged_keys = self._staged.keys(name)
        return sorted(
            {
                *super().published_keys(tx, name, moment),
                *(key for key in staged_keys if not moment or key.startswith(f"{moment}/")),
            }
        )

    def _stored(
        self,
        tx: Transaction,
        known: LakeTable | None,
        name: str,
        keys: Sequence[str] | None,
        snapshot: int,
    ) -> InputData:
        staged_keys = self._staged.keys(name)
        wanted_staged = [
            key for key in (staged_keys if keys is None else keys) if key in staged_keys
        ]
        if not wanted_staged:
            return super()._stored(tx, known, name, keys, snapshot)
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        staged = self._staged_data(known, name, wanted_staged)
        wanted = super().published_keys(tx, name) if keys is None else keys
        others = [key for key in wanted if key not in staged_keys]
        if not others or table(tx, name) is None:
            return staged
        published = super()._stored(tx, known, name, others, snapshot)
        return replace(
            staged,
            files=(*published.files, *staged.files),
            rows=(staged.rows or 0) + (published.rows or 0),
        )

    def reshaping(self, tx: Transaction, name: str) -> bool:
        """Whether a node's code changed since its columns were set, or what it reads is staged."""
        above = self.data_graph.upstream([name]).keys() - {name}
        return super().reshaping(tx, name) or not above.isdisjoint(self._staged.tables)

    def staged_keys(self, name: str) -> Collection[str]:
        """Return the partitions of a node that the backfill has computed."""
        return self._staged.keys(name)

    def _staged_data(self, known: LakeTable, name: str, keys: Sequence[str]) -> InputData:
        """Return the staged rows of partitions."""
        return InputData(
            name=name,
            files=tuple(self._staged.files(name, keys)),
            columns=tuple(column for column in known.columns if column.name != PARTITION_COLUMN),
            rows=sum(self._staged.rows[name][key].rows for key in keys),
        )


class OverlaidTasks(TaskBuilder):
    """Builds the tasks of a backfill.

    They read its staged partitions, and compare results with the published ones. Files shared with
    other partitions are rewritten once, when all partitions are computed.
    """

    def __init__(
        self,
        applied: AppliedVersion,
        code: str,
        staged: OverlayPartitions,
        production: Production | None,
        cache: Path | None,
    ) -> None:
        super().__init__(
            applied, code, lookup=OverlaidLookup(applied, code, staged, production, cache)
        )
        self._production = TaskLookup(applied, code)

    def prepare(self, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int) -> PreparedTask:
        """Return the task for a dispatch. Raises Undeliverable."""
        prepared = super().prepare(tx, dispatch, now, snapshot)
        task = prepared.task
        assert isinstance(task, ComputeTask)
        seen = self._previous(tx, dispatch, snapshot)
        overlaid = replace(
            task,
            shared=(),
            check_data=replace(task.check_data, beside=()),
            previous=PublishedRows(seen, self._hashes(tx, dispatch)) if seen is not None else None,
        )
        return replace(prepared, task=overlaid)

    def _hashes(self, tx: Transaction, dispatch: Dispatch) -> dict[str, str]:
        """Return hashes of published partitions; equal ones aren't compared row by row."""
        seen = leader_writes.published_hashes(tx, dispatch.node, dispatch.keys)
        return {key: content_hash for key, content_hash in seen.items() if content_hash is not None}

    def _previous(self, tx: Transaction, dispatch: Dispatch, snapshot: int) -> InputData | None:
        """Return the published rows of these partitions; None if there are none."""
        self._production.forget(dispatch.node)
        if self._production.table(tx, dispatch.node) is None:
            return None
        result = self._production.data(tx, dispatch.node, dispatch.keys, snapshot)
        return result if result.files else None
