"""A backfill over production: its core's initial state, its tasks' inputs, its publication."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from headrace.faults import FaultPoint, reached
from headrace.lake import FileRef, LakeTable, StagedFile, reshaped
from headrace.lake.catalog import CatalogChange
from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.messages import Prune, RewrittenFile
from headrace.runtime.overlays.partitions import OverlayPartitions
from headrace.runtime.runs import News, NewsState
from headrace.runtime.table_writes import write_partitions
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    AttemptId,
    Event,
    Graph,
    GraphNode,
    Loaded,
    PartitionState,
    Promoted,
    Refreshed,
    SchedulerCheckpoint,
    TakenBack,
)
from headrace.scheduler.events import KeptNode, SavedGroup, SavedPartition
from headrace.scheduler.ranges import IntegerSet, PartitionSet
from headrace.store import Transaction
from headrace.store.queries import applied_versions, backfill_plans, leader_writes
from headrace.store.queries.backfill_plans import OverlayRow
from headrace.store.queries.leader_writes import QuarantineRecord

# The initial state of a backfill's core: production without the partitions that the backfill still
# has to compute.


class UnsuccessfulPartition(NamedTuple):
    """A partition of a backfill that wasn't computed: `held`, `rejected`, `failed` or `waiting`.

    `sample` is JSON of some rows that failed a check; `attempt` is None if there was none.
    """

    node: str
    key: str
    state: PartitionState
    reason: str
    attempt: AttemptId | None = None
    sample: str | None = None


def graph_below(graph: Graph, computed: Collection[str]) -> Graph:
    """Return the graph of the computed nodes and everything upstream of them.

    Triggers, deadlines and restatement periods don't apply in a backfill: a user requested it.
    """
    nodes = {node.name: node for node in graph.nodes}
    needed = reachable(computed, lambda name: nodes[name].parents)
    computed_names = set(computed)
    trimmed_nodes = (
        replace(
            node,
            checked_against=tuple(name for name in node.checked_against if name in computed_names),
        )
        for node in graph.nodes
        if node.name in needed
    )  # nodes outside the backfill are checked as published
    return Graph(
        tuple(
            replace(node, trigger=None, promises=(), restate_within=None, tells=False)
            for node in trimmed_nodes
        ),
        graph.pools,
        by_node=True,
    )


def known_keys(checkpoint: SchedulerCheckpoint, node: GraphNode) -> Iterator[str]:
    """Yield all partitions of a node that production knows; the cost grows with their number."""
    if node.name in checkpoint.nodes:
        kept_node = checkpoint.nodes[node.name]
        yield from _resting(node, kept_node)
        for group in kept_node.groups:
            yield from _partitions(node, group.runs)
    yield from (
        tracked.key for tracked in checkpoint.tracked_partitions if tracked.node == node.name
    )


def loaded(
    graph: Graph,
    checkpoint: SchedulerCheckpoint,
    wanted: Mapping[str, Collection[str]],
    staged: Mapping[str, Collection[str]],
    ended: Iterable[UnsuccessfulPartition],
) -> Loaded:
    """Return the event that a backfill's core starts from.

    Of the `wanted` partitions, `staged` ones are terminal, `ended` ones have their last state, and
    all others wait. All other partitions have production's state.
    """
    nodes = {node.name: node for node in graph.nodes}
    stopped = {(partition.node, partition.key): partition for partition in ended}
    tracked_partitions = [
        _sound(tracked)
        for tracked in checkpoint.tracked_partitions
        if tracked.node in nodes and tracked.key not in wanted.get(tracked.node, ())
    ]
    for name, keys in wanted.items():
        done = staged.get(name, ())
        tracked_partitions += [
            _tracked(name, key, stopped.get((name, key))) for key in keys if key not in done
        ]
    at_rest = {
        name: _sound_groups(checkpoint.nodes[name]) for name in nodes if name in checkpoint.nodes
    }
    for name, keys in wanted.items():
        at_rest[name] = _without(nodes[name], at_rest.get(name), keys, staged.get(name, ()))
    return Loaded(
        graph,
        checkpoint=replace(
            checkpoint, nodes=at_rest, tracked_partitions=tuple(tracked_partitions), complete=True
        ),
    )


def _sound(tracked: SavedPartition) -> SavedPartition:
    """Return a partition of production that this core never retries."""
    return replace(tracked, failures=0, not_before=None)


def _sound_groups(kept_node: KeptNode) -> KeptNode:
    groups = (replace(group, like=_sound(group.like)) for group in kept_node.groups)
    return replace(kept_node, groups=tuple(groups))


def _tracked(name: str, key: str, ended: UnsuccessfulPartition | None) -> SavedPartition:
    state, reason = (
        (ended.state, ended.reason) if ended is not None else (PartitionState.WAITING, "")
    )
    return SavedPartition(name, key, state, False, False, False, False, 0, None, reason, 0)


def _without(
    node: GraphNode, kept_node: KeptNode | None, keys: Collection[str], staged: Collection[str]
) -> KeptNode:
    kept_node = kept_node or KeptNode(
        runs={}, named=(), oldest=None, newest=None, publication=0, expanded=""
    )
    resting = _resting(node, kept_node)
    for key in keys:
        resting.discard(key)
    for key in staged:
        resting.add(key)
    return replace(
        kept_node,
        runs=_edges(resting),
        named=tuple(resting.named),
        groups=tuple(_group_without(node, group, (*keys, *staged)) for group in kept_node.groups),
    )


def _group_without(node: GraphNode, group: SavedGroup, keys: Collection[str]) -> SavedGroup:
    partitions = _partitions(node, group.runs)
    for key in keys:
        partitions.discard(key)
    return replace(group, runs=_edges(partitions))


def _resting(node: GraphNode, kept_node: KeptNode) -> PartitionSet:
    resting = _partitions(node, kept_node.runs)
    resting.named = dict.fromkeys(kept_node.named)
    return resting


def _partitions(node: GraphNode, runs: Mapping[str, Iterable[int]]) -> PartitionSet:
    partitions = PartitionSet(node.partition, node.timezone)
    partitions.runs = {data: IntegerSet(edges) for data, edges in runs.items()}
    return partitions


def _edges(partitions: PartitionSet) -> dict[str, tuple[int, ...]]:
    return {data: tuple(numbers.edges) for data, numbers in partitions.runs.items()}


# Publications of production that no leader followed for the backfill: between leaders, and after
# the backfill had ended.


def missed_events(tx: Transaction, plan: int) -> list[Event]:
    """Return publications and withdrawals that no attempt of the backfill has read, oldest first.

    These are the ones after the snapshot that the newest attempt read. An event that was followed
    before and comes again has no effect: partitions that read it are dropped already.
    """
    read = backfill_plans.newest_snapshot_read(tx, plan)
    if read is None:
        return []
    seen: list[Event] = [
        Refreshed(node, key) for node, key in backfill_plans.published_after(tx, read)
    ]
    return [
        *seen,
        *(
            TakenBack(node, key, "withdrawn")
            for node, key in backfill_plans.withdrawn_after(tx, read)
        ),
    ]


# Partitions that a backfill staged with code that is no longer applied are dropped and recomputed.


def drop_outdated(tx: Transaction, staged: OverlayPartitions, applied: AppliedVersion) -> set[str]:
    """Drop partitions staged by outdated code; return their nodes."""
    made_by = {
        AttemptId(outcome.epoch, outcome.n): outcome.version
        for outcome in backfill_plans.outcomes(tx, staged.plan)
    }
    others = {version for version in made_by.values() if version != applied.id}
    changed = {version: _changed(tx, version, applied.compiled) for version in others}
    dropped_nodes = set()
    for node in list(staged.rows):
        nodes = (
            changed.get(made_by.get(AttemptId(row.epoch, row.n), 0), ())
            for row in staged.rows[node].values()
        )
        if any(node in results for results in nodes):
            staged.forget_node(tx, node)
            dropped_nodes.add(node)
    return dropped_nodes


def recut(tx: Transaction, version: int, applied: AppliedVersion, nodes: list[str]) -> list[str]:
    """Return planned nodes that no longer exist or are partitioned differently than in `version`.

    The plan means nothing for them.
    """
    if version == applied.id:
        return []
    before = _compiled(tx, version)
    return [
        name
        for name in nodes
        if _cut(before, name) is None or _cut(before, name) != _cut(applied.compiled, name)
    ]


def _changed(tx: Transaction, version: int, now: Compiled) -> set[str]:
    before = _compiled(tx, version)
    names = (before.nodes if before is not None else {}) | now.nodes
    return {
        name
        for name in names
        if _fingerprint(before, name) is None
        or _fingerprint(before, name) != _fingerprint(now, name)
    }


def _fingerprint(compiled: Compiled | None, name: str) -> str | None:
    node = compiled.nodes.get(name) if compiled is not None else None
    return None if node is None else node.fingerprint


def _cut(compiled: Compiled | None, name: str) -> tuple[object, ...] | None:
    if compiled is None or name not in compiled.nodes:
        return None
    declared = compiled.project.sources.get(name) or compiled.project.assets[name]
    return (declared.partition, declared.timezone, getattr(declared, "materialize", None))


def _compiled(tx: Transaction, version: int) -> Compiled | None:
    result = applied_versions.get(tx, version)
    return None if result is None else msgspec.msgpack.decode(result.compiled, type=Compiled)


# Files that hold replaced partitions together with others are copied without the replaced ones
# before anything can be published. Production's files may hold partitions outside the backfill; a
# file that the backfill staged may hold partitions that were recomputed.


class Copy(NamedTuple):
    """A file that is needed without some of its partitions."""

    file: FileRef
    without: tuple[str, ...]


Copies = Mapping[Copy, RewrittenFile]


def staged_copies(staged: OverlayPartitions, node: str, keys: Iterable[str]) -> list[Copy]:
    """Return the copies of staged files needed before these partitions can be published."""
    return [
        Copy(FileRef(file.path), outdated)
        for file, outdated in _staged_files(staged, node, frozenset(keys))
        if outdated
    ]


def production_copies(
    change: CatalogChange, node: str, keys: Iterable[str], *, retyped: bool
) -> list[Copy]:
    """Return the published files that hold other partitions than these, and must be rewritten.

    They hold some of these as well, or a column gets another type (`retyped`).
    """
    without = tuple(sorted(keys))
    return [Copy(file, without) for file in change.shared_files(node, without, retyped=retyped)]


def copies_missing(copies: Iterable[Copy], files: Copies) -> list[Copy]:
    """Return the copies that don't exist yet."""
    return [copy for copy in copies if copy not in files]


def prune_task(
    attempt: AttemptId, table: LakeTable, copies: Sequence[Copy], timezone: str
) -> Prune:
    """Return the task that makes the copies."""
    return Prune(
        str(attempt),
        table,
        tuple(copy.file for copy in copies),
        tuple(copy.without for copy in copies),
        timezone,
    )


def files_to_register(
    staged: OverlayPartitions, node: str, keys: frozenset[str], files: Copies
) -> Iterator[StagedFile]:
    """Yield the files to register: as staged, or copied without outdated partitions."""
    for file, outdated in _staged_files(staged, node, keys):
        left = files[Copy(FileRef(file.path), outdated)].staged if outdated else file
        if left is not None:
            yield left


def _staged_files(
    staged: OverlayPartitions, node: str, keys: frozenset[str]
) -> Iterator[tuple[StagedFile, tuple[str, ...]]]:
    """Yield the files of these partitions, each with its outdated partitions."""
    counts: dict[AttemptId, set[str]] = {}
    for key in keys:
        row = staged.rows[node][key]
        counts.setdefault(AttemptId(row.epoch, row.n), set()).add(key)
    for attempt in sorted(counts):
        file = staged.outcomes[attempt].staged
        if file is not None:
            yield (
                file,
                tuple(
                    sorted(part.key for part in file.partitions if part.key not in counts[attempt])
                ),
            )


# Publishes everything that a backfill computed in one transaction: files are registered, nothing is
# computed any more.


class PromotionResult(msgspec.Struct, frozen=True):
    """The published partitions, and the event for production's core."""

    event: Promoted
    news: list[News]
    rows: list[OverlayRow]


class Promoting:
    """One promotion, in its own `change`.

    `tasks` are production's, `files` the copies that it needs.
    """

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
    ) -> None:
        self._tx, self._change, self._staged, self._tasks, self._made = (
            tx,
            change,
            staged,
            tasks,
            files,
        )
        self._now, self._version = now, version

    def promote(
        self, partitions: Mapping[str, Sequence[str]], publication_id: int, runs: tuple[int, ...]
    ) -> PromotionResult:
        """Publish these partitions of each node, inputs first; `runs` are told of them.

        Raises LakeError if tables or files have changed too much; nothing is written then.
        """
        for node, keys in partitions.items():
            self._register(node, frozenset(keys))
        snapshot = self._change.finish(author="headrace", message="publish")
        rows = [self._staged.rows[node][key] for node, keys in partitions.items() for key in keys]
        published = backfill_plans.publish_staged(
            self._tx,
            self._staged.plan,
            partitions,
            first=publication_id + 1,
            snapshot=snapshot,
            now=self._now,
            version=self._version,
        )
        assert len(published) == len(rows), "memory holds what the store holds"
        leader_writes.quarantine(self._tx, list(self._taken_out(rows)))
        backfill_plans.mark_published(self._tx, {(row.epoch, row.n) for row in rows}, self._now)
        applied_versions.reshaped(
            self._tx, [node for node in partitions if self._tasks.lookup.reshaped(self._tx, node)]
        )
        reached(FaultPoint.OVERLAY_PROMOTED)
        contents = tuple((each.node, each.partition, not each.identical) for each in published)
        event = Promoted(contents, tuple(each.id for each in published))
        news = [
            News(row.node, row.partition, NewsState.PUBLISHED, row.verdict, "", row.rows, runs)
            for row in rows
        ]
        return PromotionResult(event, news, rows)

    def _register(self, node: str, keys: frozenset[str]) -> None:
        table = self._staged.tables.get(node)
        self._tasks.lookup.forget(node)
        known = self._tasks.lookup.table(self._tx, node)
        assert known is not None or table is not None, (
            "the first attempt that staged something said for which columns"
        )
        proposed = reshaped(known, table) if known is not None else table
        retyped = known is not None and proposed is not None and proposed.retyped
        copies = production_copies(self._change, node, keys, retyped=retyped)
        write_partitions(
            self._tx,
            self._change,
            node,
            keys,
            list(files_to_register(self._staged, node, keys, self._made)),
            [self._made[copy] for copy in copies],
            None if proposed is known else proposed,
        )
        if known is not None and proposed is not known:
            self._tasks.lookup.grown(self._tx, node)
        self._tasks.lookup.forget(node)

    def _taken_out(self, rows: Sequence[OverlayRow]) -> Iterator[QuarantineRecord]:
        """Yield quarantine records of rows that broke a check, while all others become visible."""
        for row in rows:
            outcome = self._staged.outcomes.get(AttemptId(row.epoch, row.n))
            if outcome is None or outcome.quarantined is None:
                continue
            results = outcome.audit.results if outcome.audit else ()
            sample = [item for result in results for item in result.sample]
            yield QuarantineRecord(
                node=row.node,
                partition=row.partition,
                epoch=row.epoch,
                n=row.n,
                state=PartitionState.REJECTED,
                reason=outcome.reason,
                path=outcome.quarantined,
                rows=outcome.quarantined_rows,
                sample=msgspec.json.encode(sample).decode() if sample else None,
                delivery_id=None,
                at=self._now,
            )
