"""Partitions of a backfill: those in its ranges, and those that are staged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.tables import ColumnLookup
from headrace.model.intervals import keys_between
from headrace.model.partitions import SEPARATOR, WHOLE, end_of, join, order_of
from headrace.plan.backfills import Backfill, BackfillSpan
from headrace.runtime.messages import StagedOutcome
from headrace.scheduler import AttemptId, GraphNode
from headrace.scheduler.partition_states import Covering
from headrace.scheduler.partition_states import PartitionRange as Ordered
from headrace.store import Transaction
from headrace.store.queries import backfill_plans
from headrace.store.queries.backfill_plans import OverlayAttempt, OverlayRow

# Partitions in the ranges of a backfill, and whether two backfills share some.


class PlannedPartitions:
    """The partitions of one node within the ranges of a backfill."""

    def __init__(self, node: GraphNode, spans: Iterable[BackfillSpan]) -> None:
        self._node = node
        self._covering = Covering(Ordered(*_ends(node, span)) for span in spans)

    def __contains__(self, key: str) -> bool:
        return self._covering.covers(order_of(key, self._node.partition, self._node.timezone))


def keys_of(node: GraphNode, spans: Sequence[BackfillSpan], known: Iterable[str]) -> Iterator[str]:
    """Yield the partitions in the spans; if only data defines partitions, the `known` ones."""
    spec = node.partition
    if spec.whole:
        yield WHOLE
        return
    only_by_data = spec.grows
    if spec.grain is None or only_by_data or any(SEPARATOR in span.first for span in spans):
        yield from _named_or_known(node, spans, known)
        return
    for span in spans:
        times = keys_between(span.first, span.last, spec.grain, node.timezone)
        if spec.values is None:
            yield from times
        else:
            yield from (join(time, data) for time in times for data in spec.values)


def _named_or_known(
    node: GraphNode, spans: Sequence[BackfillSpan], known: Iterable[str]
) -> dict[str, None]:
    """Return the partitions that a span names alone, and then the known ones in the spans."""
    by_time = node.partition.grain is not None
    named = [
        span.first
        for span in spans
        if span.first == span.last and (SEPARATOR in span.first or not by_time)
    ]
    planned = PlannedPartitions(node, spans)
    return dict.fromkeys([*named, *(key for key in known if key in planned)])


def shared_partition(
    nodes: Mapping[str, GraphNode], backfill: Backfill, other: Backfill
) -> tuple[str, str] | None:
    """Return a partition that both backfills compute; None if there is none.

    It is the node and the first key of the shared range.
    """
    theirs = {chosen.node: chosen.spans for chosen in other.chosen}
    for chosen in backfill.chosen:
        if chosen.node in nodes and chosen.node in theirs:
            result = _first_shared(nodes[chosen.node], chosen.spans, theirs[chosen.node])
            if result is not None:
                return chosen.node, result
    return None


def _first_shared(
    node: GraphNode, mine: Iterable[BackfillSpan], theirs: Iterable[BackfillSpan]
) -> str | None:
    """Return the start of the first shared range; each range is visited once."""
    ours = sorted((*_ends(node, span), span.first) for span in mine)
    others = sorted((*_ends(node, span), span.first) for span in theirs)
    here = there = 0
    while here < len(ours) and there < len(others):
        (first, last, begins), (from_, until, there_begins) = ours[here], others[there]
        if first <= until and from_ <= last:
            return max(begins, there_begins)
        here, there = (here + 1, there) if last < from_ else (here, there + 1)
    return None


def _ends(node: GraphNode, span: BackfillSpan) -> tuple[str, str]:
    return order_of(span.first, node.partition, node.timezone), end_of(
        span.last, node.partition, node.timezone
    )


# Staged partitions: the attempt and file of each partition, and the columns of the files.

STAGED = "staged"


class OverlayPartitions:
    """The staged partitions of one backfill.

    Memory holds what the store holds, and the content hashes of dropped partitions as well.
    """

    def __init__(self, plan: int) -> None:
        self.plan = plan
        self.rows: dict[str, dict[str, OverlayRow]] = {}
        """Node → partition → its staged row."""
        self.outcomes: dict[AttemptId, StagedOutcome] = {}
        self.tables: dict[str, LakeTable] = {}
        """Node → its table with the staged files' columns, if they differ from production's."""
        self.changes = 0
        """Grows with each change."""
        self._hashes: dict[tuple[str, str], str | None] = {}
        """Content hashes of partitions when they were last computed."""

    @classmethod
    def read(cls, tx: Transaction, plan: int) -> OverlayPartitions:
        """Read a backfill's staged partitions from the store."""
        partitions = cls(plan)
        for row in backfill_plans.staged(tx, plan):
            if row.state == STAGED:
                partitions._keep(row)
        for outcome in backfill_plans.outcomes(tx, plan):
            partitions._remember(
                AttemptId(outcome.epoch, outcome.n),
                outcome.node,
                msgspec.msgpack.decode(outcome.outcome, type=StagedOutcome),
            )
        return partitions

    # Queries

    def keys(self, node: str) -> Collection[str]:
        """Return the staged partitions of a node."""
        return self.rows.get(node, {}).keys()

    def files(self, node: str, keys: Iterable[str]) -> Iterator[FileRef]:
        """Yield the files with the rows of these staged partitions, each once, limited to these."""
        keys_by_attempt: dict[AttemptId, list[str]] = {}
        for key in keys:
            row = self.rows[node][key]
            if row.rows:
                keys_by_attempt.setdefault(AttemptId(row.epoch, row.n), []).append(key)
        for attempt, results in keys_by_attempt.items():
            file = self.outcomes[attempt].staged
            if file is not None:
                yield file_ref(file, results, self.tables.get(node))

    def other(self, node: str, key: str, content_hash: str | None) -> bool:
        """Whether a partition's content differs from its last computation; true if unknown."""
        before = self._hashes.get((node, key))
        return before is None or before != content_hash

    # Changes

    def add(
        self,
        tx: Transaction,
        attempt: AttemptId,
        node: str,
        outcome: StagedOutcome,
        rows: list[OverlayRow],
        table: LakeTable | None,
    ) -> None:
        """Store an attempt's staged partitions; they replace earlier ones."""
        self.changes += 1
        backfill_plans.stage(tx, rows)
        backfill_plans.keep_outcomes(
            tx, [OverlayAttempt(self.plan, *attempt, node, msgspec.msgpack.encode(outcome))]
        )
        for row in rows:
            self._keep(row)
        self.outcomes[attempt] = outcome
        if table is not None:
            self.tables[node] = table

    def drop(self, tx: Transaction, partitions: Iterable[tuple[str, str]]) -> None:
        """Drop these partitions."""
        dropped = [(node, key) for node, key in partitions if key in self.rows.get(node, ())]
        if not dropped:
            return
        self.changes += 1
        for node, key in dropped:
            del self.rows[node][key]
        backfill_plans.unstage(tx, self.plan, dropped)

    def forget_node(self, tx: Transaction, node: str) -> None:
        """Drop all partitions of a node."""
        self.drop(tx, [(node, key) for key in list(self.keys(node))])
        self.tables.pop(node, None)

    def _keep(self, row: OverlayRow) -> None:
        self.rows.setdefault(row.node, {})[row.partition] = row
        self._hashes[row.node, row.partition] = row.content_hash

    def _remember(self, attempt: AttemptId, node: str, outcome: StagedOutcome) -> None:
        self.outcomes[attempt] = outcome
        if outcome.table is not None:
            self.tables[node] = outcome.table
        elif outcome.staged is not None and outcome.staged.columns:
            self.tables.setdefault(node, LakeTable(node, outcome.staged.columns))


def staged_paths(tx: Transaction) -> frozenset[str]:
    """Return staged files that may still be published, relative to the lake's folder."""
    result = (
        msgspec.msgpack.decode(outcome.outcome, type=StagedOutcome).staged
        for outcome in backfill_plans.outcomes(tx)
    )
    return frozenset(file.path for file in result if file is not None)


def file_ref(file: StagedFile, keys: Collection[str], table: LakeTable | None) -> FileRef:
    """Return a reference to a staged file, limited to some of its partitions."""
    held = [part.key for part in file.partitions if part.rows]
    narrowed = None if set(held) <= set(keys) else tuple(sorted(keys))
    alike = table is not None and file.columns == table.columns
    return FileRef(file.path, narrowed, lookup=ColumnLookup.SAME if alike else ColumnLookup.CAST)
