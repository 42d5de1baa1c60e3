"""Exactly the partitions of its inputs that an attempt requires (SEMANTICS §2), and what it has to do without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from headrace.engine import InputData
from headrace.lake import LakeColumn
from headrace.model import Asset, InputMode, InputSpec, PartitionSpec, Source
from headrace.model.intervals import previous_key
from headrace.model.ordering import order_of
from headrace.model.required import WHOLE, join, required, split
from headrace.plan.materialised import delivers
from headrace.plan.views import is_view
from headrace.run.tasks.lookup import TaskLookup, Undeliverable
from headrace.store import Transaction
from headrace.store.queries import leading

_ANY_TYPE = '"NULL"'
STEPS_MAX = 400
"""So many intervals without a publication may lie between a partition and the one before it."""


def input_of(lookup: TaskLookup, tx: Transaction, asset: Source | Asset, spec: InputSpec, keys: Sequence[str], snapshot: int) -> InputData:
    """One input as the body sees it. Of one of which nothing ever came, and that it needn't wait for, a relation without rows.

    Raises Undeliverable where its columns aren't known.
    """
    if is_view(lookup.project, spec.node):
        return lookup.view(spec, lambda spec: input_of(lookup, tx, asset, spec, keys, snapshot))
    if (delivered := _delivered(lookup, tx, asset, spec, keys)) is not None:
        return delivered
    wanted = wanted_of(lookup, tx, asset, spec, keys)
    try:
        return lookup.data(tx, spec.node, wanted, snapshot)
    except Undeliverable:
        if lookup.published_keys(tx, spec.node):
            raise
        return InputData(name=spec.node, files=(), columns=_promised_columns(lookup, spec.node), rows=0)


def _delivered(lookup: TaskLookup, tx: Transaction, asset: Source | Asset, spec: InputSpec, keys: Sequence[str]) -> InputData | None:
    """Of an asset that has a partition for each publication of an input that isn't cut: the input as that publication left it."""
    if not asset.partition.by_delivery or not isinstance(asset, Asset):
        return None
    followed = delivers(lookup.compiled.nodes[asset.name].inputs, lookup.project)
    if followed != spec or (lookup.project.sources.get(spec.node) or lookup.project.assets[spec.node]).partition.by_delivery:
        return None
    snapshot = lookup.snapshot_of(tx, spec.node, int(keys[0]))
    if snapshot is None:
        raise Undeliverable(f"{spec.node} has no publication {int(keys[0])} any more")
    return lookup.data_at(tx, spec.node, snapshot)


def wanted_of(lookup: TaskLookup, tx: Transaction, asset: Source | Asset, spec: InputSpec, keys: Sequence[str]) -> list[str] | None:
    """The required partitions, in the order of time; None for all that is published."""
    source = lookup.project.sources.get(spec.node) or lookup.project.assets[spec.node]
    output, into = asset.partition, source.partition
    if _by_key_alone(output, into, spec):
        data_keys = {split(key, output)[1] for key in keys}
        return [key for key in lookup.published_keys(tx, spec.node) if split(key, into)[1] in data_keys]
    results: set[str] = set()
    for key in keys:
        needed = required(output, asset.timezone, key, into, source.timezone, spec, partial(_seen, lookup, tx, spec.node, into)).keys
        if needed is None:
            return None
        results.update(needed)
    return sorted(results, key=lambda key: order_of(key, into, source.timezone))


def _by_key_alone(output: PartitionSpec, into: PartitionSpec, spec: InputSpec) -> bool:
    """Whether all intervals of the output's own key are read."""
    return (
        output.grain is None
        and output.key is not None
        and into.grain is not None
        and into.key == output.key
        and spec.mode is not InputMode.ALL
    )


def _seen(lookup: TaskLookup, tx: Transaction, node: str, spec: PartitionSpec, moment: str) -> list[str]:
    return [split(key, spec)[1] for key in lookup.published_keys(tx, node, moment)]


def _promised_columns(lookup: TaskLookup, name: str) -> tuple[LakeColumn, ...]:
    columns = lookup.compiled.nodes[name].columns
    if columns is None:
        raise Undeliverable(
            f"nothing of {name} was ever published, and nobody knows its columns", hint="give it a contract with their names and types"
        )
    return _numbered(columns)


def self_of(lookup: TaskLookup, tx: Transaction, asset: Asset, keys: Sequence[str], snapshot: int) -> InputData:
    """What `$self` means: the asset's own rows of the partition before the first of these; of a whole asset, those that
    readers see. Empty for the first partition. Raises Undeliverable where not even its columns' names are known."""
    if lookup.table(tx, asset.name) is None:
        return InputData(name=asset.name, files=(), columns=_own_columns(lookup, asset), rows=0)
    if asset.partition.whole:
        return lookup.data(tx, asset.name, (WHOLE,), snapshot)
    before = _before(tx, asset, keys[0])
    if before is None:
        empty = lookup.data(tx, asset.name, (keys[0],), snapshot)
        return msgspec.structs.replace(empty, files=(), rows=0)
    return lookup.data(tx, asset.name, (before,), snapshot)


def _own_columns(lookup: TaskLookup, asset: Asset) -> tuple[LakeColumn, ...]:
    """The columns that the asset's table will have. Where only their names are known, they take whatever type they are used as."""
    node = lookup.compiled.nodes[asset.name]
    columns = node.columns or tuple((name, _ANY_TYPE) for name in node.column_names or ())
    if not columns:
        raise Undeliverable(f"$self of {asset.name} has no columns yet", hint="name the body's columns instead of writing *")
    return _numbered(columns)


def _numbered(columns: Iterable[tuple[str, str]]) -> tuple[LakeColumn, ...]:
    return tuple(LakeColumn(column, type_, number) for number, (column, type_) in enumerate(columns, 1))


def _before(tx: Transaction, asset: Asset, key: str) -> str | None:
    """The newest published partition before one. The core has seen to it that none between them is missing."""
    spec = asset.partition
    if spec.grain is None:
        return max((item for item in leading.published_keys(tx, asset.name) if item < key), default=None) if spec.by_delivery else None
    moment, data = split(key, spec)
    for _ in range(STEPS_MAX):
        moment = previous_key(moment, spec.grain, asset.timezone)
        if leading.published_of(tx, asset.name, join(moment, data)) is not None:
            return join(moment, data)
    return None
