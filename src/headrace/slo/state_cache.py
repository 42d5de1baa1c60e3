"""States of all nodes, cached between snapshots: only affected nodes are re-evaluated.

The functions and facts are those of a full evaluation (`freshness.node_states`). The result depends
on more than the partitions: on the applied version, on where rhythms begin, and on which intervals
have begun. If one of these changes, all nodes are evaluated again.

The last four snapshots are cached by revision, since concurrent readers may see different
revisions.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping

import msgspec

from headrace.model.intervals import key_at_us
from headrace.slo.declared_promises import DeclaredPromises, Rhythm, Rhythms
from headrace.slo.facts import Newest
from headrace.slo.freshness import (
    FreshnessState,
    NodeStates,
    asset_state_counts,
    freshness,
    unchecked,
    view_freshness,
)
from headrace.slo.obligations import EvaluationContext
from headrace.slo.stored_facts import StoredFacts
from headrace.store.queries import partition_states
from headrace.store.queries.partition_states import VisibleExtent
from headrace.store.transaction import Transaction

KEPT_MAX = 4
"""Number of cached snapshots: concurrent readers may see different ones."""


class CachedFacts(StoredFacts):
    """The facts of a transaction, with known extents of what readers see of each node."""

    def __init__(self, tx: Transaction, seen: Mapping[str, VisibleExtent]) -> None:
        super().__init__(tx)
        self._seen = seen

    def _find_newest(self, node: str) -> Newest | None:
        seen = self._seen.get(node)
        if seen is None:
            return None
        summary = seen.extent
        return Newest(summary.newest, summary.newest_at, summary.newest_verdict, summary.oldest)

    def published_between(self, node: str, first: str, last: str) -> int:
        """Return how many partitions from `first` to `last`, both included, readers see."""
        seen = self._seen.get(node)
        if seen is None:
            return 0
        if first <= seen.extent.oldest and seen.extent.newest <= last:
            return seen.partitions
        return super().published_between(node, first, last)


class RevisionStates(msgspec.Struct, frozen=True):
    """The states of all nodes at a revision.

    They also depend on the rhythms and the newest intervals (`begun`). `newest_unchecked` are
    assets whose newest partition is unchecked.
    """

    revision: int
    rhythms: Mapping[str, Rhythm]
    begun: tuple[str, ...]
    seen: Mapping[str, VisibleExtent]
    states: Mapping[str, FreshnessState]
    tally: Mapping[FreshnessState, int]
    newest_unchecked: frozenset[str]


class StateSnapshot(msgspec.Struct, frozen=True):
    """One snapshot: its facts, its evaluation context, and the states of all nodes."""

    facts: CachedFacts
    context: EvaluationContext
    nodes: NodeStates


class StateCache:
    """The cached states of one applied version; safe for several threads."""

    def __init__(self, declared: DeclaredPromises) -> None:
        self._declared = declared
        self._rhythms = Rhythms({**declared.nodes, **declared.exports})
        self._places = {
            name: place for place, name in enumerate((*declared.nodes, *declared.views))
        }
        self._names = list(self._places)
        self._cuts = [
            *{
                (grain, node.timezone)
                for node in declared.nodes.values()
                if (grain := node.partition.grain) is not None
            }
        ]
        self._below = _below(declared)
        self._moments: deque[RevisionStates] = deque(maxlen=KEPT_MAX)
        self._lock = threading.Lock()

    def at(self, tx: Transaction, now_us: int) -> StateSnapshot:
        """Return the states of all nodes in a transaction's snapshot."""
        with self._lock:
            revision = partition_states.last_revision(tx)
            before = max(
                (states for states in self._moments if states.revision <= revision),
                key=lambda revision_states: revision_states.revision,
                default=None,
            )
            changed = [] if before is None else partition_states.changed_nodes(tx, before.revision)
            seen = (
                partition_states.visible_extents(tx)
                if before is None
                else _brought(tx, before.seen, changed)
            )
            facts = CachedFacts(tx, seen)
            context = EvaluationContext(self._declared, facts, self._rhythms)
            begun = tuple(key_at_us(now_us, grain, timezone) for grain, timezone in self._cuts)
            anew = before is None or before.rhythms is not context.rhythms or before.begun != begun
            if before is not None and not anew and before.revision == revision:
                states = before
            else:
                node_names = self._names if anew else changed
                states = self._evaluated(
                    context,
                    now_us,
                    node_names,
                    before,
                    RevisionStates(revision, context.rhythms, begun, seen, {}, {}, frozenset()),
                )
                self._moments.append(states)
        counts = asset_state_counts(context, states.tally, len(states.newest_unchecked))
        return StateSnapshot(facts, context, NodeStates(states.states, counts))

    def _evaluated(  # complexipy: ignore (a worklist: each state may change those below)
        self,
        context: EvaluationContext,
        now_us: int,
        node_names: Iterable[str],
        before: RevisionStates | None,
        now: RevisionStates,
    ) -> RevisionStates:
        states, tally = (
            (dict(before.states), Counter(before.tally))
            if before is not None
            else ({}, Counter[FreshnessState]())
        )
        unchecked_nodes = set(before.newest_unchecked) if before is not None else set[str]()
        stale = context.facts.stale_nodes()
        waiting = sorted({self._places[name] for name in node_names if name in self._places})
        known = set(waiting)
        while waiting:
            name = self._names[heapq.heappop(waiting)]
            state, old = self._state(name, context, states, stale, now_us), states.get(name)
            states[name] = state
            node = self._declared.nodes.get(name)
            if node is None or not node.is_source:
                tally.update({state: 1})
                tally.subtract({old: 1} if old is not None else {})
            if node is not None and not node.is_source:
                (unchecked_nodes.add if unchecked(node, context) else unchecked_nodes.discard)(name)
            if state is not old:
                for place in self._below.get(name, ()):
                    if place not in known:
                        known.add(place)
                        heapq.heappush(waiting, place)
        return msgspec.structs.replace(
            now, states=states, tally=tally, newest_unchecked=frozenset(unchecked_nodes)
        )

    def _state(
        self,
        name: str,
        context: EvaluationContext,
        states: Mapping[str, FreshnessState],
        stale: Collection[str],
        now_us: int,
    ) -> FreshnessState:
        node = self._declared.nodes.get(name)
        return (
            view_freshness(name, context, states)
            if node is None
            else freshness(node, context, states, stale, now_us)
        )


def _below(declared: DeclaredPromises) -> dict[str, list[int]]:
    """Return node → positions of the nodes whose state depends on its state.

    These are views of it, and nodes not partitioned by time that read it.
    """
    places = {name: place for place, name in enumerate((*declared.nodes, *declared.views))}
    results: dict[str, list[int]] = {}
    for node in declared.nodes.values():
        if node.partition.grain is None:
            for spec in node.inputs:
                results.setdefault(spec.node, []).append(places[node.name])
    for view, reads in declared.views.items():
        for name in reads:
            results.setdefault(name, []).append(places[view])
    return results


def _brought(
    tx: Transaction, seen: Mapping[str, VisibleExtent], changed: Iterable[str]
) -> Mapping[str, VisibleExtent]:
    again = {name: partition_states.visible_extent(tx, name) for name in changed}
    if not again:
        return seen
    visible_extents = {name: extent for name, extent in seen.items() if name not in again}
    return visible_extents | {name: extent for name, extent in again.items() if extent is not None}
