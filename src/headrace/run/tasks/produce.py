"""The task that computes partitions of an asset."""

from __future__ import annotations

from datetime import datetime

from headrace.engine import InputData, Scope
from headrace.lake.catalog import newest_snapshot, shared_files
from headrace.model import Asset, CommandBody, InputMode, InputSpec, PythonBody
from headrace.model.intervals import interval_of
from headrace.model.required import required
from headrace.run.messages import Produce
from headrace.run.tasks.lookup import Lookup, Undeliverable
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import leading

MATERIALIZATIONS = ("table", "files", "none")


def task(lookup: Lookup, tx: Transaction, attempt: AttemptId, asset: Asset, keys: tuple[str, ...], now: int) -> Produce:
    """An asset's partitions, with exactly the inputs that they require. Raises Undeliverable."""
    if asset.materialize not in MATERIALIZATIONS:
        raise Undeliverable(f"materialize: {asset.materialize} isn't built yet; use {', '.join(MATERIALIZATIONS)}")
    node = lookup.compiled.nodes[asset.name]
    snapshot = newest_snapshot(tx)
    known = lookup.table(tx, asset.name) if asset.materialize == "table" else None
    return Produce(
        scope=_scope(lookup, asset, keys, attempt),
        body=asset.body,
        sql=node.sql,
        code=lookup.code if isinstance(asset.body, PythonBody | CommandBody) else None,
        inputs=tuple(_input(lookup, tx, asset, spec, keys, snapshot) for spec in node.inputs),
        materialize=asset.materialize,
        partition_column=node.partition_column,
        table=known,
        evolve=known is not None and leading.reshaping(tx, asset.name),
        checks=asset.checks,
        on_fail=asset.on_fail,
        macros=lookup.project.macros if node.sql is not None else {},
        shared=tuple(shared_files(tx, asset.name, keys)) if known is not None else (),
        references=lookup.references(tx, asset.name, snapshot),
        now_us=now,
    )


def _scope(lookup: Lookup, asset: Asset, keys: tuple[str, ...], attempt: AttemptId) -> Scope:
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
        parameters={**lookup.project.settings.parameters, **asset.parameters},
    )


def _input(lookup: Lookup, tx: Transaction, asset: Asset, spec: InputSpec, keys: tuple[str, ...], snapshot: int) -> InputData:
    source = lookup.project.sources.get(spec.node) or lookup.project.assets[spec.node]
    if spec.mode is InputMode.ALL or source.partition.whole or asset.partition.whole:
        return lookup.data(tx, spec.node, None, snapshot)
    needed: set[str] = set()
    for key in keys:
        needed.update(required(asset.partition, asset.timezone, key, source.partition, source.timezone, spec).keys or ())
    return lookup.data(tx, spec.node, sorted(needed), snapshot)


def _span(asset: Asset, keys: tuple[str, ...]) -> tuple[datetime | None, datetime | None]:
    if asset.partition.grain is None:
        return None, None
    intervals = [interval_of(key, asset.partition.grain, asset.timezone) for key in keys]
    return min(i.start for i in intervals), max(i.end for i in intervals)
