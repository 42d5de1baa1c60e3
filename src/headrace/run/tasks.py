"""From a dispatch to the message that a worker gets: which files, which columns, which checks."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.connect import Found, SourceSchema
from headrace.engine import InputData, Scope
from headrace.lake import PARTITION_COLUMN, Table
from headrace.lake.catalog import files, newest_snapshot, shared_files, table
from headrace.model import Asset, CommandBody, HeadraceError, InputMode, InputSpec, PythonBody, Source
from headrace.model.intervals import interval_of
from headrace.model.required import required
from headrace.run.applying import Applied
from headrace.run.messages import Produce, TakeIn, Task
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import leading

SAMPLES_MAX = 7
"""Further deliveries that types are learnt from: a column that holds 0 on the first day may hold 0.5 on the tenth."""


MATERIALIZATIONS = ("table", "files", "none")


class Undeliverable(HeadraceError):
    """A dispatch that can't be made into a task: what it needs isn't there (any more)."""


class Prepared(msgspec.Struct, frozen=True):
    """A task with what the attempt's row says about it."""

    task: Task
    kind: str
    snapshot: int
    delivery_id: int | None


class Tasks:
    """Makes tasks for one applied version. Tables are remembered; `forget` drops one whose columns changed."""

    def __init__(self, applied: Applied, code: str) -> None:
        self._applied, self._code = applied, code
        self._tables: dict[str, Table | None] = {}

    def forget(self, name: str) -> None:
        """The table's columns have changed."""
        self._tables.pop(name, None)

    def table(self, tx: Transaction, name: str) -> Table | None:
        """The lake's table of that name, None while its columns aren't known."""
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = table(tx, name)
        return found

    def prepare(self, tx: Transaction, attempt: AttemptId, node: str, keys: tuple[str, ...], now: int) -> Prepared:
        """The task for a dispatch. Raises Undeliverable."""
        project = self._applied.compiled.project
        if node in project.sources:
            return self._take_in(tx, attempt, project.sources[node], keys[0], now)
        return self._produce(tx, attempt, project.assets[node], keys, now)

    def _take_in(self, tx: Transaction, attempt: AttemptId, source: Source, key: str, now: int) -> Prepared:
        delivery = leading.newest_delivery(tx, source.name, key)
        if delivery is None:
            raise Undeliverable(f"nothing was delivered for {source.name}@{key}")
        delivery_id, path, size, modified = delivery
        pinned = leading.pinned_schema(tx, source.name)
        contract = self._applied.compiled.project.contracts.get(source.contract or source.name)
        snapshot = newest_snapshot(tx)
        task = TakeIn(
            attempt=str(attempt),
            source=source,
            found=Found(source.name, key, path, size, modified),
            pinned=msgspec.json.decode(pinned, type=SourceSchema) if pinned else None,
            promised=contract.columns if contract and contract.columns else None,
            table=self.table(tx, source.name),
            evolve=leading.reshaping(tx, source.name),
            history_has_rows=leading.has_rows(tx, source.name),
            samples=() if pinned else self._samples(tx, source.name, delivery_id),
            shared=tuple(shared_files(tx, source.name, [key])),
            references=self._references(tx, source.name, snapshot),
            now_us=now,
        )
        return Prepared(task, "take_in", snapshot, delivery_id)

    def _samples(self, tx: Transaction, source: str, besides: int) -> tuple[Found, ...]:
        rows = leading.other_waiting(tx, source, besides, SAMPLES_MAX)
        return tuple(Found(source, *row) for row in rows)

    def _produce(self, tx: Transaction, attempt: AttemptId, asset: Asset, keys: tuple[str, ...], now: int) -> Prepared:
        if asset.materialize not in MATERIALIZATIONS:
            raise Undeliverable(f"materialize: {asset.materialize} isn't built yet; use {', '.join(MATERIALIZATIONS)}")
        node = self._applied.compiled.nodes[asset.name]
        snapshot = newest_snapshot(tx)
        known = self.table(tx, asset.name) if asset.materialize == "table" else None
        task = Produce(
            scope=self._scope(asset, keys, attempt),
            body=asset.body,
            sql=node.sql,
            code=self._code if isinstance(asset.body, PythonBody | CommandBody) else None,
            inputs=tuple(self._input(tx, asset, spec, keys, snapshot) for spec in node.inputs),
            materialize=asset.materialize,
            partition_column=node.partition_column,
            table=known,
            evolve=known is not None and leading.reshaping(tx, asset.name),
            checks=asset.checks,
            on_fail=asset.on_fail,
            macros=self._applied.compiled.project.macros if node.sql is not None else {},
            shared=tuple(shared_files(tx, asset.name, keys)) if known is not None else (),
            references=self._references(tx, asset.name, snapshot),
            now_us=now,
        )
        return Prepared(task, "produce", snapshot, None)

    def _scope(self, asset: Asset, keys: tuple[str, ...], attempt: AttemptId) -> Scope:
        start, end = _span(asset, keys)
        grain = asset.partition.grain
        return Scope(
            asset=asset.name,
            partitions=keys,
            grain=grain.value if grain else None,
            start=start.isoformat() if start else None,
            end=end.isoformat() if end else None,
            timezone=asset.timezone,
            attempt=str(attempt),
            parameters={**self._applied.compiled.project.settings.parameters, **asset.parameters},
        )

    def _input(self, tx: Transaction, asset: Asset, spec: InputSpec, keys: tuple[str, ...], snapshot: int) -> InputData:
        project = self._applied.compiled.project
        source = project.sources.get(spec.node) or project.assets[spec.node]
        if spec.mode is InputMode.ALL or source.partition.whole or asset.partition.whole:
            return self._whole(tx, spec.node, snapshot)
        needed: set[str] = set()
        for key in keys:
            needed.update(required(asset.partition, asset.timezone, key, source.partition, source.timezone, spec).keys or ())
        return self._data(tx, spec.node, sorted(needed), snapshot)

    def _whole(self, tx: Transaction, name: str, snapshot: int) -> InputData:
        return self._data(tx, name, None, snapshot)

    def _data(self, tx: Transaction, name: str, keys: list[str] | None, snapshot: int) -> InputData:
        known = self.table(tx, name)
        if known is None:
            raise Undeliverable(f"{name} has no columns yet: nothing of it was ever published")
        columns = tuple(c for c in known.columns if c.name != PARTITION_COLUMN)
        rows = leading.published_rows(tx, name, keys)
        return InputData(name=name, files=tuple(files(tx, name, keys, snapshot)), columns=columns, rows=rows)

    def _references(self, tx: Transaction, name: str, snapshot: int) -> tuple[InputData, ...]:
        """What a node's checks read besides its own rows, as far as it was ever published."""
        wanted = self._applied.compiled.nodes[name].check_references
        return tuple(self._whole(tx, other, snapshot) for other in wanted if self.table(tx, other) is not None)


def _span(asset: Asset, keys: tuple[str, ...]) -> tuple[datetime | None, datetime | None]:
    if asset.partition.grain is None:
        return None, None
    intervals = [interval_of(key, asset.partition.grain, asset.timezone) for key in keys]
    return min(i.start for i in intervals), max(i.end for i in intervals)
