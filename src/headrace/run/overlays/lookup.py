"""What tasks of a plan are made of: production's, with what the plan has made in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN, LakeTable
from headrace.lake.catalog import table
from headrace.run.applying import AppliedVersion
from headrace.run.borrowing import Production
from headrace.run.messages import ComputeTask
from headrace.run.overlays.staged import OverlayPartitions
from headrace.run.tasks import PreparedTask, TaskBuilder
from headrace.run.tasks.lookup import TaskLookup, Undeliverable
from headrace.schedule import Dispatch
from headrace.store import Transaction
from headrace.store.queries import leading


class OverlaidLookup(TaskLookup):
    """Look-ups for one applied version, as a plan sees it."""

    def __init__(
        self, applied: AppliedVersion, code: str, staged: OverlayPartitions, production: Production | None, cache: Path | None
    ) -> None:
        super().__init__(applied, code, production, cache)
        self._staged = staged

    def table(self, tx: Transaction, name: str) -> LakeTable | None:
        """The columns that the plan's files have; else the lake's table. It is asked for anew: production may change it meanwhile."""
        self.forget(name)
        lake_table, known = self._staged.tables.get(name), super().table(tx, name)
        if lake_table is None or (known is not None and known.columns == lake_table.columns):
            return known
        return lake_table if known is None else msgspec.structs.replace(lake_table, folder=known.folder)

    def published_keys(self, tx: Transaction, name: str, moment: str = "") -> list[str]:
        """The partitions that the plan sees."""
        own = self._staged.keys(name)
        return sorted({*super().published_keys(tx, name, moment), *(key for key in own if not moment or key.startswith(f"{moment}/"))})

    def _stored(self, tx: Transaction, known: LakeTable | None, name: str, keys: Sequence[str] | None, snapshot: int) -> InputData:
        own = self._staged.keys(name)
        mine = [key for key in (own if keys is None else keys) if key in own]
        if not mine:
            return super()._stored(tx, known, name, keys, snapshot)
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        theirs = [key for key in (super().published_keys(tx, name) if keys is None else keys) if key not in own]
        columns = tuple(column for column in known.columns if column.name != PARTITION_COLUMN)
        rows = sum(self._staged.rows[name][key].rows for key in mine)
        files = tuple(self._staged.files(name, mine))
        if theirs and table(tx, name) is not None:
            result = super()._stored(tx, known, name, theirs, snapshot)
            files, rows = (*result.files, *files), rows + (result.rows or 0)
        return InputData(name=name, files=files, columns=columns, rows=rows)


class OverlaidTasks(TaskBuilder):
    """Makes tasks of a plan: they read what it has made, and are compared with what readers see. Files that hold other partitions
    too are left alone: that is dealt with once, when all is made."""

    def __init__(
        self, applied: AppliedVersion, code: str, staged: OverlayPartitions, production: Production | None, cache: Path | None
    ) -> None:
        super().__init__(applied, code, lookup=OverlaidLookup(applied, code, staged, production, cache))
        self._production = TaskLookup(applied, code)

    def prepare(self, tx: Transaction, dispatch: Dispatch, now: int, snapshot: int) -> PreparedTask:
        """The task for a dispatch. Raises Undeliverable."""
        prepared = super().prepare(tx, dispatch, now, snapshot)
        task = prepared.task
        assert isinstance(task, ComputeTask)
        seen = self._previous(tx, dispatch, snapshot)
        hashes = self._hashes(tx, dispatch) if seen is not None else {}
        overlaid = msgspec.structs.replace(task, shared=(), beside=(), previous=seen, previous_hashes=hashes)
        return msgspec.structs.replace(prepared, task=overlaid)

    def _hashes(self, tx: Transaction, dispatch: Dispatch) -> dict[str, str]:
        """The content hashes of what readers see: what comes to the same isn't compared row by row."""
        seen = leading.published_hashes(tx, dispatch.node, dispatch.keys)
        return {key: content_hash for key, content_hash in seen.items() if content_hash is not None}

    def _previous(self, tx: Transaction, dispatch: Dispatch, snapshot: int) -> InputData | None:
        """What readers see of these partitions now; None for nothing."""
        self._production.forget(dispatch.node)
        if self._production.table(tx, dispatch.node) is None:
            return None
        result = self._production.data(tx, dispatch.node, dispatch.keys, snapshot)
        return result if result.files else None
