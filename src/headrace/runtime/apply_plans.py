"""The plan of an `apply`, with the facts that the store adds to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from headrace.checks.drift import conversion_at, in_force
from headrace.compiler.project_files import ProjectFiles
from headrace.lake import LakeTable, catalog
from headrace.lake.schema import TargetTable
from headrace.model import Asset, ContractColumn, Project, Source
from headrace.model.check_kinds import CommonCheck
from headrace.model.errors import LakeError
from headrace.model.export_problems import exported
from headrace.model.nodes import PartitionSpec
from headrace.model.retention import first_kept
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.comparison import heard_before, renames, without_places
from headrace.plan.compiled import Columns, CompiledNode
from headrace.plan.impact import resolved_query
from headrace.plan.invalidation import Published, invalidated_by, invalidated_nodes
from headrace.plan.partition_ranges import extent_of, extent_of_keys
from headrace.plan.project_plan import (
    Plan,
    PlanFacts,
    PlannedChanges,
    plan_project,
    planned_changes,
)
from headrace.plan.steps import NO_PARTITIONS, PartitionRangeSummary, Promote
from headrace.plan.timeline import NodeExtents
from headrace.plan.weakening import RETAIN, Weakened
from headrace.runtime.applied_versions import contents_of, manifest_of
from headrace.runtime.graph import graph_of
from headrace.runtime.partition_extents import extents_of_rows, read_states
from headrace.runtime.recomputation import returned
from headrace.scheduler import Graph
from headrace.sql.values import UNKNOWN
from headrace.store import Transaction
from headrace.store.queries import applied_versions, exceptions, partition_states, removed_rows

# Deliveries affected by a changed mapping of column names: intervals for which a column has another
# name than before are re-ingested.


def remapped_partitions(tx: Transaction, before: Project, after: Project) -> dict[str, list[str]]:
    """Return source → partitions whose files are expected to name a column differently than before.

    A delivery that a user accepted with the old names isn't re-ingested for new names: it would be
    held again.
    """
    results: dict[str, list[str]] = {}
    for name, source in after.sources.items():
        was = before.sources.get(name)
        if was is None:
            continue
        old, new = _contract_columns(before, was), _contract_columns(after, source)
        changed = _remapped_columns(old, new)
        if not changed:
            continue
        settled = exceptions.exceptions_of_usual_names(tx, name)
        keys = [
            key
            for key in applied_versions.delivered_keys(tx, name)
            if _differ(old, new, changed, key, values_only=key in settled)
        ]
        if keys:
            results[name] = keys
    return results


def withheld_partitions(tx: Transaction, before: Project, after: Project) -> dict[str, list[str]]:
    """Return node → its held, rejected or failed partitions to retry after a changed declaration.

    These are the nodes whose reading or checks are declared differently than before.
    """
    results: dict[str, list[str]] = {}
    for name in (*after.sources, *after.assets):
        was, node = before.source_or_asset(name), after.source_or_asset(name)
        if was is None or node is None or type(was) is not type(node):
            continue
        if _evaluated_by(before, was) != _evaluated_by(after, node):
            results[name] = applied_versions.withheld_keys(tx, name)
    return {name: keys for name, keys in results.items() if keys}


def _evaluated_by(project: Project, node: Source | Asset) -> Any:
    """Return everything declared about reading and checking rows, except column names."""
    contract = project.contracts.get(node.contract or node.name)
    columns, checks = ((), ()) if contract is None else (contract.columns, contract.checks)
    may_call = any(
        check.kind == CommonCheck.SQL or check.where for check in (*checks, *node.checks)
    )
    return without_places(
        [
            [
                (column.name, column.type, column.required, column.unique, column.primary_key)
                for column in columns
            ],
            checks,
            (node.checks, node.on_fail, node.on_anomaly),
            project.macros if may_call else {},
            None
            if isinstance(node, Asset)
            else (
                (node.connector, node.on_drift),
                (node.expect.rows_min, node.expect.rows_max, node.expect.unchanged),
            ),
        ]
    )


def _contract_columns(project: Project, source: Source) -> dict[str, ContractColumn]:
    contract = project.contracts.get(source.contract or source.name)
    return {column.name: column for column in contract.columns} if contract is not None else {}


def _remapped_columns(old: dict[str, ContractColumn], new: dict[str, ContractColumn]) -> list[str]:
    """Return the columns with other names in files, or other conversions, than before."""
    return [name for name in {**old, **new} if _mapped(old.get(name)) != _mapped(new.get(name))]


def _mapped(column: ContractColumn | None) -> tuple[dict[str, Any], ...]:
    return (*column.names, *column.conversions) if column is not None else ()


def _differ(
    old: dict[str, ContractColumn],
    new: dict[str, ContractColumn],
    columns: Iterable[str],
    key: str,
    *,
    values_only: bool,
) -> bool:
    """Whether files of an interval should name or convert a column differently than before.

    With `values_only`, names are ignored.
    """
    pairs = ((_in_force(old, column, key), _in_force(new, column, key)) for column in columns)
    return any(was[1] != now[1] if values_only else was != now for was, now in pairs)


def _in_force(columns: dict[str, ContractColumn], name: str, key: str) -> tuple[str, str | None]:
    """Return a column's name in files of an interval, and the conversion of its values."""
    if name not in columns:
        return name, None
    return in_force(columns[name], key), conversion_at(columns[name], key)


# Compares the project with the applied version and adds counts and ranges of partitions.


def changes_of(
    tx: Transaction | None,
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
    *,
    version: int | None,
    now_us: int,
    borrowed: frozenset[str] = frozenset(),
) -> PlannedChanges:
    """Return what `changes` from `before` to `after` do to the state that `tx` reads.

    `version` is the applied version in that state. Nodes in `borrowed` are read from production and
    not computed.
    """
    if tx is None or before is None:
        return planned_changes(before, after, changes)
    added = {change.node for change in changes if change.change is ChangeKind.ADDED}
    heard_of = {name for name in added if applied_versions.has_partitions(tx, name)}
    changes = heard_before(changes, heard_of)
    graph = graph_of(after)
    published = _published(tx, before, after, graph, changes, version, heard_of)
    invalidated = invalidated_by(
        published, before, after, graph, changes, now_us=now_us, borrowed=borrowed
    )
    return planned_changes(before, after, changes, invalidated)


def _published(
    tx: Transaction,
    before: Compiled,
    after: Compiled,
    graph: Graph,
    changes: Sequence[NodeChange],
    version: int | None,
    heard_of: Collection[str],
) -> Published:
    """Return the applied project's partition states, with those of `heard_of` from before."""
    applied = graph_of(before)
    extents = read_states(tx, applied, version=version, arrived={})
    if heard_of:
        extents |= _removed_before(tx, graph, heard_of)
    nodes = {node.name: node for node in graph.nodes}
    returning = {
        name: extent_of_keys(nodes[name], returned(tx, after, name))
        for name in invalidated_nodes(changes)
        if name in after.project.assets and name in nodes
    }
    return Published(graph=applied, extents=extents, returning=returning)


def _removed_before(
    tx: Transaction, graph: Graph, names: Collection[str]
) -> dict[str, NodeExtents]:
    """Return the partition states of nodes that no applied project declares.

    The checkpoint doesn't have them. Keys of another partitioning than the declared one are left
    out: nothing can request them.
    """
    nodes = tuple(node for node in graph.nodes if node.name in names)
    extents = extents_of_rows(Graph(nodes), partition_states.brief_runs(tx))
    timed = {node.name for node in nodes if node.partition.grain is not None}
    return {
        name: NodeExtents(
            **{part: extent_of(getattr(item, part).runs) for part in NodeExtents.__struct_fields__}
        )
        if name in timed
        else item
        for name, item in extents.items()
    }


def plan_of(
    tx: Transaction | None,
    files: ProjectFiles,
    before: Compiled | None,
    after: Compiled,
    changes: PlannedChanges,
    *,
    environment: str,
    now_us: int,
    promoted: Iterable[Promote] = (),
) -> Plan:
    """Return the plan of what `apply` would do now.

    `tx` reads the state that `before` is applied in; None without a state. `now_us` is the time
    from which `retain:` counts.

    Raises ProjectError for a module or a command's file that can't be read, and for a former name
    that no asset has.
    """
    manifest = manifest_of(contents_of(files, after))
    newest = applied_versions.newest(tx) if tx is not None else None
    was = newest.manifest if newest is not None else {}
    facts = _facts(tx, before, after, changes.nodes, promoted)
    if tx is not None and before is not None:
        removed = _removed(tx, before, after, changes.weakened, now_us)
        facts = msgspec.structs.replace(facts, removed=removed)
    return plan_project(
        environment, newest.id if newest else None, (was, manifest), (before, after), changes, facts
    )


def _facts(
    tx: Transaction | None,
    before: Compiled | None,
    after: Compiled,
    changes: Sequence[NodeChange],
    promoted: Iterable[Promote],
) -> PlanFacts:
    if tx is None or before is None:
        return PlanFacts(promoted=tuple(promoted))
    projects = (before.project, after.project)
    former = renames(before, after)
    names = {former.get(change.node, change.node) for change in changes}
    reading_themselves = {
        former.get(name, name)
        for name, node in after.nodes.items()
        if changes and node.uses_self and node.columns is None
    }
    published = {
        name: results
        for name in names | reading_themselves
        if (results := applied_versions.published_range(tx, name)) is not None
    }
    returning = {
        name: keys for name in names if name in after.nodes and (keys := returned(tx, after, name))
    }
    left = {
        name: applied_versions.published_range(tx, name, besides=keys)
        for name, keys in returning.items()
    }
    return PlanFacts(
        published={
            name: _range(projects, name, *results, applied_versions.withdrawn_keys(tx, name))
            for name, results in published.items()
        },
        returning={
            name: NO_PARTITIONS if item is None else _range(projects, name, *item, ())
            for name, item in left.items()
        },
        renamed_deliveries={
            name: tuple(keys) for name, keys in remapped_partitions(tx, *projects).items()
        },
        withheld_deliveries={
            name: tuple(keys) for name, keys in withheld_partitions(tx, *projects).items()
        },
        retyped=dict(_retyped(tx, after, former, published)),
        promoted=tuple(promoted),
    )


def _retyped(
    tx: Transaction, after: Compiled, former: Mapping[str, str], published: Collection[str]
) -> Iterator[tuple[str, tuple[tuple[str, str, str], ...]]]:
    """Yield the nodes whose published columns get other types, with these columns."""
    for name, node in after.nodes.items():
        was = former.get(name, name)
        table = catalog.table(tx, was) if was in published else None
        columns = node.columns if table is None else node.columns or _derived(after, node, table)
        if table is None or columns is None:
            continue
        with suppress(LakeError):  # the attempt says what is wrong with the columns
            target = TargetTable(name, table, evolve=True).fitting(columns)
            if target.retyped:
                yield name, _other_types(table, target)


def _derived(after: Compiled, node: CompiledNode, table: LakeTable) -> Columns | None:
    """Return the columns of an asset that has some of unknown types, as its table takes them.

    Those keep the type that they have there, and `$self` has the table's. New ones are left out.
    None for unknown columns.
    """
    if node.sql is None:
        return None
    types = {column.name.lower(): column.type for column in table.columns}
    of_self = tuple((column.name, column.type) for column in table.columns[1:])
    columns = resolved_query(after, node, node.sql, of_self).columns
    return columns and tuple(
        (name, kind)
        for name, type_ in columns
        if (kind := types.get(name.lower(), UNKNOWN) if type_ == UNKNOWN else type_) != UNKNOWN
    )


def _other_types(table: LakeTable, target: LakeTable) -> tuple[tuple[str, str, str], ...]:
    types = {column.id: column.type for column in table.columns}
    return tuple(
        (column.name, types[column.id], column.type)
        for column in target.columns
        if types.get(column.id, column.type) != column.type
    )


def _removed(
    tx: Transaction, before: Compiled, after: Compiled, weakened: Iterable[Weakened], now_us: int
) -> dict[str, PartitionRangeSummary]:
    """Return the partitions that a new or shortened `retain:` removes, by node."""
    results, former = {}, renames(before, after)
    for item in weakened:
        node = after.project.source_or_asset(item.node) if item.what == RETAIN else None
        first = first_kept(node, now_us) if node is not None else None
        name = former.get(item.node, item.node)
        old = removed_rows.published_before(tx, name, first) if first is not None else None
        if old is not None:
            results[item.node] = PartitionRangeSummary(
                first=old.first, last=old.last, partitions=old.partitions
            )
    return results


def _range(
    projects: Sequence[Project],
    node: str,
    first: str,
    last: str,
    partitions: int,
    taken_back: Iterable[str],
) -> PartitionRangeSummary:
    ordered = _ordered(projects, node)
    return PartitionRangeSummary(
        first=first, last=last, partitions=partitions, ordered=ordered, taken_back=tuple(taken_back)
    )


def _ordered(projects: Sequence[Project], node: str) -> bool:
    """Whether the node's partitions are ordered by time alone."""
    for project in projects:
        spec = _partition(project, node)
        if spec is not None:
            return spec.grain is not None and spec.key is None
    return False


def _partition(project: Project, name: str) -> PartitionSpec | None:
    node = project.source_or_asset(name) or exported(project, name)
    return node.partition if node is not None else None
