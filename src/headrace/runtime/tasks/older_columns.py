"""Columns of partitions that older code has published.

A table has one set of columns. Once code that returns other ones is published, the rows of the
partitions before have null in a new one, which no code has returned, and lose one that is gone. A
column that deliveries bring or lose is no such case: what was delivered before has no value of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile

import msgspec

from headrace.lake import LakeColumn, LakeTable
from headrace.lake.catalog import FAR, column_versions
from headrace.lake.catalog.columns import leaves_of
from headrace.model import Asset, LakeError, Source
from headrace.model.errors import shown
from headrace.model.partitions import command_line, order_of, partition_argument, range_of
from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.impact import ALL_COLUMNS, lines_of, resolved_query
from headrace.plan.node_graph import NodeGraph
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.sql.values import SELF, UNKNOWN
from headrace.store import Transaction
from headrace.store.queries.applied_versions import (
    CodeOfVersion,
    fingerprints_once,
    newest_id,
    published_versions,
)
from headrace.store.queries.applied_versions import compiled as stored_code
from headrace.store.queries.publications import version_in, visible_before


class OlderColumns(LakeError):
    """Published rows would lose the values of a column."""

    code = "configuration_error"


def refuse_lacking(
    lookup: TaskLookup,
    tx: Transaction,
    reader: Source | Asset,
    name: str,
    keys: Collection[str] | None,
) -> None:
    """Raise Undeliverable if partitions of an asset (None: all) lack a column that is read."""
    column, lacking = _lacking(lookup, tx, reader, name, keys)
    if not lacking:
        return
    assets = lookup.project.assets
    # a backfill of one of them computes the reader as well, which lacks columns of the others
    together = {
        each: {*_lacking(lookup, tx, reader, each, keys)[1], *lookup.staged_keys(each)}
        for each in sorted(lookup.data_graph.upstream([reader.name]).keys() & assets)
        if assets[each].partition == assets[name].partition
    }
    raise Undeliverable(
        f"{partition_argument(name, min(lacking))} was published before {name} had the column"
        f" {shown(column)}, which this reads; {_recompute(assets[name], together)}"
    )


def _lacking(
    lookup: TaskLookup,
    tx: Transaction,
    reader: Source | Asset,
    name: str,
    keys: Collection[str] | None,
) -> tuple[str, set[str]]:
    """Return a column that is read, and which of the partitions (None: all) lack it."""
    asset = None if lookup.as_written else lookup.project.assets.get(name)
    births = {} if asset is None else _late(lookup, tx, name)
    if asset is None or not births:
        return "", set()
    read = _read_of_self(lookup, asset) if reader.name == name else _read(lookup, reader, name)
    if not (used := [each for each in births if not read.isdisjoint((each, ALL_COLUMNS))]):
        return "", set()
    column = max(used, key=births.__getitem__)  # what lacks an earlier one lacks this one, too
    with lookup.state_of(tx, name) as its:
        code = partial(lookup.fingerprints_in, tx) if its is tx else fingerprints_once(its)
        older = _older(its, lookup.compiled, lookup.data_graph, asset, code, births[column])
    lacking = older - set(lookup.staged_keys(name))
    if keys is not None and not asset.accumulates:  # whose rows are read together
        lacking &= set(keys)
    return column, lacking


def _late(lookup: TaskLookup, tx: Transaction, name: str) -> dict[str, int]:
    """Return the columns that a node's table hasn't had from the start, in lower case.

    With the snapshot that added each; FAR for one that isn't in the catalog yet: it is staged, or
    the applied code returns it.
    """
    with lookup.state_of(tx, name) as its:
        versions = [*lookup.columns(tx, name)] if its is tx else column_versions(its, name)
    if (known := lookup.table(tx, name)) is not None:
        versions.append((FAR, known.columns))
    returned = lookup.compiled.nodes[name].column_names or ()
    births = dict.fromkeys(map(str.lower, returned), FAR) | _births(versions)
    return {name: birth for name, birth in births.items() if versions and birth > versions[0][0]}


def _births(versions: Sequence[tuple[int, Sequence[LakeColumn]]]) -> dict[str, int]:
    """Return the newest columns, in lower case, with the snapshot that first had all its fields."""
    held = [(snapshot, _fields(columns)) for snapshot, columns in reversed(versions)]
    return {
        column.name.lower(): min(
            snapshot
            for snapshot, _ in takewhile(
                lambda each: _fields([column]) <= each[1],  # noqa: B023 - used at once
                held,
            )
        )
        for column in (versions[-1][1] if versions else ())
    }


def _fields(columns: Iterable[LakeColumn]) -> set[tuple[object, ...]]:
    return {(column.id, *path[1:]) for column in columns for _, path, _ in leaves_of(column)}


def refuse_lost(tx: Transaction, known: LakeTable, table: LakeTable, keys: Collection[str]) -> None:
    """Raise OlderColumns if an asset's table gets a column and loses one, as if one is renamed.

    Unless `keys` are all partitions that older code has published: others would lose their values,
    and have none of the new column.
    """
    was, now = ({column.id: column.name for column in each.columns} for each in (known, table))
    gone, new = [was[each] for each in was.keys() - now], [now[each] for each in now.keys() - was]
    if not gone or not new:
        return
    compiled = msgspec.msgpack.decode(stored_code(tx, newest_id(tx)), type=Compiled)
    if (asset := compiled.project.assets.get(table.name)) is None:
        return
    graph, code = NodeGraph(compiled, data_only=True), fingerprints_once(tx)
    if not (left := _left(asset, _older(tx, compiled, graph, asset, code, FAR), keys)):
        return
    where, what = (
        partition_argument(asset.name, min(left)),
        _recompute(asset, {asset.name: left | set(keys)}),
    )
    if asset.partition.whole:
        what = (
            "nothing recomputes the rows that it has collected: return both, or drop the one with"
            " an `apply` of its own"
        )
    raise OlderColumns(f"{where} still has {shown(min(gone))} and no {shown(min(new))}; {what}")


def _left(asset: Asset, older: set[str], keys: Collection[str]) -> set[str]:
    """Return the older partitions whose rows stay when others are published."""
    if not asset.accumulates:
        return older - set(keys)
    if asset.partition.whole:
        return older
    first = min(_order(asset, key) for key in keys)  # it starts from the rows before
    return {key for key in older if _order(asset, key) < first}


def _older(
    tx: Transaction,
    compiled: Compiled,
    graph: NodeGraph,
    asset: Asset,
    code: CodeOfVersion,
    birth: int,
) -> set[str]:
    """Return the partitions with rows that other code published before a snapshot than in it.

    Code is that of the asset and of those upstream: as applied, if nothing was published in that
    snapshot. `graph` has what passes data on.
    """
    assets = compiled.project.assets
    above = graph.upstream([asset.name]).keys() & assets.keys()

    def codes(version: int) -> list[str | None]:
        known = code(version)
        return [known.get(name) or known.get(assets[name].renamed_from or "") for name in above]

    since = version_in(tx, asset.name, birth) or newest_id(tx)
    then, versions = codes(since), reversed(published_versions(tx, asset.name, past=True))
    # a column may go and come back: what counts is that no other code was published in between
    other = next((each for each in versions if each < since and codes(each) != then), 0)
    return {key for key, version in visible_before(tx, asset.name, birth) if version <= other}


def _read(lookup: TaskLookup, reader: Source | Asset, name: str) -> set[str]:
    """Return the columns of a node, in lower case, that a reader uses itself or through views."""
    starts: Sequence[str] = (reader.name,)
    if not isinstance(reader, Asset):
        starts = lookup.project.consumers[reader.name].reads
    if name in starts:
        return {ALL_COLUMNS}
    readers = reachable(
        starts,
        lambda each: (
            spec.node
            for spec in lookup.compiled.nodes[each].inputs
            if is_view(lookup.project, spec.node)
        ),
    )
    edges = [edge for each in readers for edge in lookup.uses.lines(each).uses]
    return {edge.column.lower() for edge in edges if edge.input == name.lower()}


def _read_of_self(lookup: TaskLookup, asset: Asset) -> set[str]:
    """Return the columns of `$self`, in lower case, that an asset uses."""
    node = lookup.compiled.nodes[asset.name]
    if node.sql is None or node.column_names is None:
        return {ALL_COLUMNS}
    of_self = tuple((column, UNKNOWN) for column in node.column_names)
    resolved = resolved_query(lookup.compiled, node, node.sql, of_self)
    return {edge.column.lower() for edge in lines_of(resolved).uses if edge.input == SELF}


def _order(asset: Asset, key: str) -> str:
    return order_of(key, asset.partition, asset.timezone)


def _recompute(asset: Asset, together: Mapping[str, Collection[str]]) -> str:
    """Return what recomputes these partitions of assets, with the command.

    All are partitioned as `asset` is.
    """
    keys = {key for partitions in together.values() for key in partitions}
    first, last = range_of(sorted(keys, key=partial(_order, asset)))
    names, span = filter(together.get, together), ("--from", first, "--to", last, "--mode", "all")
    return f"recompute it first: {command_line('backfill', *names, *span)} --reason TEXT"
