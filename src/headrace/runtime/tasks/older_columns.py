"""Columns of partitions that older code has published.

A table has one set of columns. Once code that returns other ones is published, the rows of the
partitions before have null in a new one, which no code has returned, and lose one that is gone. A
column that deliveries bring or lose is no such case: what was delivered before has no value of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

import msgspec

from headrace.lake import LakeTable
from headrace.lake.catalog import FAR, column_births
from headrace.model import Asset, LakeError, Source
from headrace.model.errors import shown
from headrace.model.partitions import command_line, order_of, partition_argument, range_of
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.impact import ALL_COLUMNS, lines_of, resolved_query
from headrace.plan.node_graph import NodeGraph
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.sql.values import SELF, UNKNOWN
from headrace.store import Transaction
from headrace.store.queries import applied_versions, publications


class OlderColumns(LakeError):
    """Published rows would lose the values of a column (`configuration_error`)."""


def refuse_lacking(
    lookup: TaskLookup,
    tx: Transaction,
    reader: Source | Asset,
    name: str,
    keys: Collection[str] | None,
) -> None:
    """Raise Undeliverable if partitions of an asset (None: all) lack a column that is read."""
    asset = lookup.project.assets.get(name)
    if asset is None:
        return
    with lookup.state_of(tx, name) as its:
        births = column_births(its, name)
        first, columns = min(births.values(), default=FAR), list(births)
        if its is tx and (known := lookup.table(tx, name)) is not None:
            columns = [column.name.lower() for column in known.columns]
            columns += map(str.lower, lookup.compiled.nodes[name].column_names or ())
        lacking = {}
        for column in dict.fromkeys(columns):
            birth = births.get(column, FAR)  # what isn't in the catalog yet is staged, or to come
            if birth > first and (older := _older(its, lookup.compiled, asset, birth)):
                lacking[column] = older - set(lookup.staged_keys(name))
    read = _read(lookup, reader, name, columns) if lacking else set()
    for column, partitions in lacking.items():
        if keys is not None and not asset.accumulates:  # whose rows are read together
            partitions &= set(keys)
        if partitions and not read.isdisjoint((column, ALL_COLUMNS)):
            raise Undeliverable(
                f"{partition_argument(name, min(partitions))} was published before {name} had the"
                f" column {shown(column)}, which this reads; {_recompute(asset, partitions)}"
            )


def refuse_lost(tx: Transaction, known: LakeTable, table: LakeTable, keys: Collection[str]) -> None:
    """Raise OlderColumns if an asset's table gets a column and loses one, as if one is renamed.

    Unless `keys` are all partitions that older code has published: others would lose their values,
    and have none of the new column.
    """
    was, now = ({column.id: column.name for column in each.columns} for each in (known, table))
    gone = [name for number, name in was.items() if number not in now]
    new = [name for number, name in now.items() if number not in was]
    version = applied_versions.compiled(tx, applied_versions.newest_id(tx)) if gone and new else b""
    compiled = msgspec.msgpack.decode(version, type=Compiled) if version else None
    asset = None if compiled is None else compiled.project.assets.get(table.name)
    if compiled is None or asset is None:
        return
    columns = f"still has {shown(gone[0])} and no {shown(new[0])}"
    ordered = partial(order_of, spec=asset.partition, timezone=asset.timezone)
    older = _older(tx, compiled, asset)
    if older and asset.accumulates and asset.partition.whole:
        raise OlderColumns(
            f"{asset.name} {columns}, and nothing recomputes the rows that it has collected; return"
            " both, or drop the one with an `apply` of its own"
        )
    if asset.accumulates:
        left = {key for key in older if ordered(key) < min(map(ordered, keys))}
    else:
        left = older - set(keys)
    if left:
        where = partition_argument(asset.name, min(left))
        raise OlderColumns(f"{where} {columns}; {_recompute(asset, left | set(keys))}")


def _older(tx: Transaction, compiled: Compiled, asset: Asset, birth: int = FAR) -> set[str]:
    """Return the partitions with rows that other code published before a snapshot than in it.

    Code is that of the asset and of those upstream: as applied, if nothing was published in that
    snapshot.
    """
    if not (before := publications.visible_before(tx, asset.name, birth)):
        return set()
    code, assets = applied_versions.fingerprints_once(tx), compiled.project.assets
    applied = {name: node.fingerprint for name, node in compiled.nodes.items()}
    above = NodeGraph(compiled).upstream([asset.name]).keys() & assets.keys()

    def codes(version: int) -> list[str | None]:
        known = code(version) or applied
        return [known.get(name) or known.get(assets[name].renamed_from or "") for name in above]

    then = codes(publications.version_in(tx, asset.name, birth))
    other = {version for version in {version for _, version in before} if codes(version) != then}
    return {key for key, version in before if version in other}


def _read(
    lookup: TaskLookup, reader: Source | Asset, name: str, columns: Iterable[str]
) -> set[str]:
    """Return the columns of a node, in lower case, that a reader uses itself or through views."""
    node = lookup.compiled.nodes[name]
    if reader.name == name:
        if node.sql is None:
            return {ALL_COLUMNS}
        of_self = tuple((column, UNKNOWN) for column in columns)
        lines = lines_of(resolved_query(lookup.compiled, node, node.sql, of_self))
        return {edge.column.lower() for edge in lines.uses if edge.input == SELF}
    waiting, results = [reader.name], set[str]()
    if not isinstance(reader, Asset):
        waiting = list(lookup.project.consumers[reader.name].reads)
    while waiting:
        at = waiting.pop()
        if at == name:
            return {ALL_COLUMNS}
        if at == reader.name or is_view(lookup.project, at):
            edges = lookup.uses.lines(at).uses
            results |= {edge.column.lower() for edge in edges if edge.input == name.lower()}
            waiting += [
                spec.node
                for spec in lookup.compiled.nodes[at].inputs
                if is_view(lookup.project, spec.node)
            ]
    return results


def _recompute(asset: Asset, partitions: Collection[str]) -> str:
    """Return what recomputes these partitions, with the command."""
    again = command_line("run", asset.name, "--partition", min(partitions), "--again")
    if asset.partition.grain is not None:
        ordered = partial(order_of, spec=asset.partition, timezone=asset.timezone)
        first, last = range_of(sorted(partitions, key=ordered))
        again = command_line("backfill", asset.name, "--from", first, "--to", last)
    return f"recompute it first: {again} --reason TEXT"
