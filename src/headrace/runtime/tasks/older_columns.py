"""Columns of partitions that older code has published.

A table has one set of columns. Once code that returns other ones is published, the rows of the
partitions before have null in a new one, which no code has returned, and lose one that is gone. A
column that deliveries bring or lose is no such case: what was delivered before has no value of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile

import msgspec

from headrace.lake import LakeColumn, LakeTable
from headrace.lake.catalog import FAR, column_versions
from headrace.lake.catalog.columns import leaves_of
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
from headrace.store.queries import applied_versions
from headrace.store.queries.publications import version_in, versions_of, visible_before


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
    asset = None if lookup.as_written else lookup.project.assets.get(name)
    lacking = {} if asset is None else _lacking(lookup, tx, asset, keys)
    if asset is None or not lacking:
        return
    read = _read_of_self(lookup, asset) if reader.name == name else _read(lookup, reader, name)
    for column, partitions in lacking.items():
        if not read.isdisjoint((column, ALL_COLUMNS)):
            raise Undeliverable(
                f"{partition_argument(name, min(partitions))} was published before {name} had the"
                f" column {shown(column)}, which this reads; {_recompute(asset, partitions)}"
            )


def _lacking(
    lookup: TaskLookup, tx: Transaction, asset: Asset, keys: Collection[str] | None
) -> dict[str, set[str]]:
    """Return the columns that partitions lack, in lower case, with these partitions.

    The rows of a table that accumulates are read together.
    """
    name, staged = asset.name, set(lookup.staged_keys(asset.name))
    with lookup.state_of(tx, name) as its:
        versions = [*lookup.columns(tx, name)] if its is tx else column_versions(its, name)
        if (known := lookup.table(tx, name)) is not None:
            versions.append((FAR, known.columns))  # what isn't in the catalog yet is staged
        names = lookup.compiled.nodes[name].column_names or ()
        births = dict.fromkeys(map(str.lower, names), FAR) | _births(versions)
        first = versions[0][0] if versions else FAR
        late = {column: birth for column, birth in births.items() if birth > first}
        results = {
            column: _older(its, lookup.compiled, asset, birth) - staged
            for column, birth in late.items()
        }
    wanted = None if keys is None or asset.accumulates else set(keys)
    return {
        column: lacking
        for column, older in results.items()
        if (lacking := older if wanted is None else older & wanted)
    }


def _births(versions: Sequence[tuple[int, Sequence[LakeColumn]]]) -> dict[str, int]:
    """Return the newest columns, in lower case, with the snapshot that first had all its fields."""
    held = [(snapshot, _fields(columns)) for snapshot, columns in reversed(versions)]
    return {
        column.name.lower(): min(
            snapshot
            for snapshot, _ in takewhile(lambda each: _fields([column]) <= each[1], held)  # noqa: B023
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
    applied = applied_versions.compiled(tx, applied_versions.newest_id(tx))
    compiled = msgspec.msgpack.decode(applied, type=Compiled)
    asset = compiled.project.assets.get(table.name)
    left = set() if asset is None else _left(asset, _older(tx, compiled, asset), keys)
    if asset is None or not left:
        return
    where, what = partition_argument(asset.name, min(left)), _recompute(asset, left | set(keys))
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


def _older(tx: Transaction, compiled: Compiled, asset: Asset, birth: int = FAR) -> set[str]:
    """Return the partitions with rows that other code published before a snapshot than in it.

    Code is that of the asset and of those upstream: as applied, if nothing was published in that
    snapshot.
    """
    if not (before := visible_before(tx, asset.name, birth)):
        return set()
    code, assets = applied_versions.fingerprints_once(tx), compiled.project.assets
    applied = {name: node.fingerprint for name, node in compiled.nodes.items()}
    above = NodeGraph(compiled).upstream([asset.name]).keys() & assets.keys()

    def codes(version: int) -> list[str | None]:
        known = code(version) or applied
        return [known.get(name) or known.get(assets[name].renamed_from or "") for name in above]

    since = version_in(tx, asset.name, birth) or applied_versions.newest_id(tx)
    then = codes(since)
    # a column may go and come back: what counts is that no other code was published in between
    for version in versions_of(tx, asset.name, since):
        if codes(version) != then:
            break
        since = version
    return {key for key, version in before if version < since}


def _read(lookup: TaskLookup, reader: Source | Asset, name: str) -> set[str]:
    """Return the columns of a node, in lower case, that a reader uses itself or through views."""
    starts: Sequence[str] = (reader.name,)
    if not isinstance(reader, Asset):
        starts = lookup.project.consumers[reader.name].reads
    if name in starts:
        return {ALL_COLUMNS}
    readers = [each for start in starts for each in _with_views(lookup.compiled, start)]
    edges = [edge for each in readers for edge in lookup.uses.lines(each).uses]
    return {edge.column.lower() for edge in edges if edge.input == name.lower()}


def _with_views(compiled: Compiled, name: str) -> Iterator[str]:
    """Yield a node and the views that it reads."""
    yield name
    for spec in compiled.nodes[name].inputs:
        if is_view(compiled.project, spec.node):
            yield from _with_views(compiled, spec.node)


def _read_of_self(lookup: TaskLookup, asset: Asset) -> set[str]:
    """Return the columns of `$self`, in lower case, that an asset uses."""
    node = lookup.compiled.nodes[asset.name]
    if node.sql is None or node.column_names is None:
        return {ALL_COLUMNS}
    of_self = tuple((column, UNKNOWN) for column in node.column_names)
    lines = lines_of(resolved_query(lookup.compiled, node, node.sql, of_self))
    return {edge.column.lower() for edge in lines.uses if edge.input == SELF}


def _order(asset: Asset, key: str) -> str:
    return order_of(key, asset.partition, asset.timezone)


def _recompute(asset: Asset, partitions: Collection[str]) -> str:
    """Return what recomputes these partitions, with the command."""
    first, last = range_of(sorted(partitions, key=partial(_order, asset)))
    span = ("--from", first, "--to", last, "--mode", "all")
    return f"recompute it first: {command_line('backfill', asset.name, *span)} --reason TEXT"
