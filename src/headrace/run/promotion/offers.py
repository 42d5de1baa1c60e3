"""What of an environment may be published in production as it is: the same code, the same checks, made of the same inputs.

The same inputs means publication by publication: what the environment's attempt read, of production and of its own, has the content
that readers of production see once the promotion is done. Whatever can't be known to be so is computed, as it would be without an
environment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

import msgspec

from headrace.model import Asset, InputMode, InputSpec
from headrace.plan import Compiled
from headrace.plan.attempt_numbers import plan_of
from headrace.plan.borrowing import borrowed
from headrace.plan.views import expanded, expanded_names
from headrace.run.applying import AppliedVersion
from headrace.run.tasks.inputs import wanted_of
from headrace.run.tasks.lookup import TaskLookup
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import borrowing, publications, standings, versions
from headrace.store.queries.publications import ComparedPublication

PROMOTED = ("table", "append")
"""Materialisations whose partitions stand by themselves: a merge builds on what production has published before."""
_CLOSED = ("running", "withdrawn", "waived")
"""States of a partition in which nothing is brought to it from elsewhere."""


class Offer(msgspec.Struct, frozen=True):
    """A partition that needn't be computed: the environment's publication of it."""

    node: str
    key: str
    publication: ComparedPublication


class Histories:
    """What was published in one store, by node."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._found: dict[str, dict[str, list[ComparedPublication]]] = {}

    def of(self, node: str) -> Mapping[str, list[ComparedPublication]]:
        """Partition → its publications, oldest first."""
        known = self._found.get(node)
        if known is None:
            known = self._found[node] = {}
            for publication in publications.history_of(self._tx, node):
                known.setdefault(publication.partition, []).append(publication)
        return known

    def at(self, node: str, key: str, snapshot: int) -> ComparedPublication | None:
        """What a reader of a snapshot sees of a partition."""
        for publication in reversed(self.of(node).get(key, ())):
            if publication.snapshot <= snapshot:
                return publication if publication.ended_snapshot is None or publication.ended_snapshot > snapshot else None
        return None

    def current(self, node: str, key: str) -> ComparedPublication | None:
        """What readers see of a partition."""
        newest = self.of(node).get(key)
        return newest[-1] if newest and newest[-1].ended_snapshot is None else None


class Offers:
    """What the environment called `name`, whose state is read by `theirs`, offers to production, which is read by `tx` and is going
    to run `compiled`. Everything of `changed` nodes is about to be stale there."""

    def __init__(self, tx: Transaction, theirs: Transaction, name: str, compiled: Compiled, changed: Collection[str]) -> None:
        self.name, self._tx, self._theirs, self._compiled, self._changed = name, tx, theirs, compiled, frozenset(changed)
        self._production, self._own = Histories(tx), Histories(theirs)
        self._borrowed = borrowing.nodes(theirs)
        self._lookup = TaskLookup(AppliedVersion(0, "", compiled), "")
        self._only: Collection[tuple[str, str, int]] | None = None
        self._taken: dict[str, dict[str, ComparedPublication]] = {}
        self._alike: dict[int, frozenset[str]] = {}
        self._whole: dict[tuple[str, int, int, int, int], bool] = {}

    def found(self, only: Collection[tuple[str, str, int]] | None = None) -> list[Offer]:
        """All that may be promoted: inputs before what reads them, by partition. With `only`, of these (node, partition, the environment's
        publication)."""
        self._only = only
        offers: list[Offer] = []
        for node in self._compiled.order:
            asset = self._compiled.project.assets.get(node)
            if asset is not None and node not in self._borrowed and self._promotable(asset):
                offers += self._of(asset)
        return offers

    def _promotable(self, asset: Asset) -> bool:
        node = self._compiled.nodes[asset.name]
        checked = [view.name for view in self._lookup.checked_views]
        audited_besides = asset.name in expanded_names(self._compiled, checked)
        return asset.materialize in PROMOTED and not asset.partition.by_delivery and not node.uses_self and not audited_besides

    def _of(self, asset: Asset) -> Iterable[Offer]:
        reads, stale = borrowing.reads(self._theirs, asset.name), self._stale_there.get(asset.name, frozenset())
        taken = self._taken.setdefault(asset.name, {})
        for key in sorted(self._own.of(asset.name)):
            publication = self._own.current(asset.name, key)
            if publication is None or key in stale or (publication.epoch, publication.n) not in reads or not self._needed(asset.name, key):
                continue
            if self._only is not None and (asset.name, key, publication.id) not in self._only:
                continue
            if asset.name in self._same_as(publication.version) and self._reads_the_same(
                asset, publication, *reads[publication.epoch, publication.n]
            ):
                taken[key] = publication
                yield Offer(asset.name, key, publication)

    def _needed(self, node: str, key: str) -> bool:
        """Whether production would compute it."""
        state = self._standing.get(node, {}).get(key)
        if state is None:
            return True
        return state.state not in _CLOSED and (state.stale or not state.published or node in self._changed or self._moves(node))

    def _moves(self, node: str) -> bool:
        """Whether something that it reads is promoted, which would make it stale."""
        return any(self._taken.get(spec.node) for spec in expanded(self._compiled, self._compiled.nodes[node].inputs))

    @cached_property
    def _standing(self) -> dict[str, dict[str, standings.StoredPartitionState]]:
        return _by_node(self._tx)

    @cached_property
    def _stale_there(self) -> dict[str, frozenset[str]]:
        results = _by_node(self._theirs)
        return {node: frozenset(key for key, state in keys.items() if state.stale) for node, keys in results.items()}

    def _same_as(self, version: int) -> frozenset[str]:
        """The nodes that give the same data under the same checks in a version of the environment, with all that they read."""
        known = self._alike.get(version)
        if known is None:
            row = versions.get(self._theirs, version)
            there = None if row is None else msgspec.msgpack.decode(row.compiled, type=Compiled)
            known = self._alike[version] = borrowed(there, self._compiled)
        return known

    def _reads_the_same(self, asset: Asset, publication: ComparedPublication, own: int, production: int) -> bool:
        node = self._compiled.nodes[asset.name]
        place = asset.place
        checks = [InputSpec(node=name, mode=InputMode.ALL, place=place) for name in node.check_references]
        for spec in expanded(self._compiled, (*node.inputs, *checks)):
            snapshot = production if spec.node in self._borrowed else own
            wanted = None if spec.mode is InputMode.ALL else wanted_of(self._lookup, self._tx, asset, spec, (publication.partition,))
            if not (
                self._whole_same(spec.node, snapshot, publication)
                if wanted is None
                else self._same(spec.node, wanted, snapshot, publication)
            ):
                return False
        return True

    def _whole_same(self, node: str, snapshot: int, by: ComparedPublication) -> bool:
        done = node, snapshot, len(self._taken.get(node, ())), plan_of(AttemptId(by.epoch, by.n)), by.snapshot
        if done not in self._whole:
            self._whole[done] = self._same(node, {*self._production.of(node), *self._read(node).of(node)}, snapshot, by)
        return self._whole[done]

    def _same(self, node: str, keys: Iterable[str], snapshot: int, by: ComparedPublication) -> bool:
        """Whether what `by` read of a node in a snapshot is what readers of production see afterwards."""
        return all(_alike(self._seen(node, key, snapshot, by), self._after(node, key), self._is_open(node, key)) for key in keys)

    def _seen(self, node: str, key: str, snapshot: int, by: ComparedPublication) -> ComparedPublication | None:
        """What `by` was made of: a plan's attempts read what the plan had staged, which became visible together with what they made."""
        read = self._read(node)
        current, plan = read.current(node, key), plan_of(AttemptId(by.epoch, by.n))
        together = current is not None and plan > 0 and plan == plan_of(AttemptId(current.epoch, current.n))
        if current is not None and together and node not in self._borrowed and current.snapshot == by.snapshot:
            return current
        return read.at(node, key, snapshot)

    def _read(self, node: str) -> Histories:
        """Where the environment reads a node."""
        return self._production if node in self._borrowed else self._own

    def _after(self, node: str, key: str) -> ComparedPublication | None:
        """What readers of production see once this is promoted."""
        return self._taken.get(node, {}).get(key) or self._production.current(node, key)

    def _is_open(self, node: str, key: str) -> bool:
        """Whether production is going to compute a partition that the environment computed for itself."""
        if node in self._borrowed or key in self._taken.get(node, {}):
            return False
        state = self._standing.get(node, {}).get(key)
        return node in self._changed or (state is not None and state.stale)


def _alike(read: ComparedPublication | None, after: ComparedPublication | None, is_open: bool) -> bool:
    if read is None or after is None:
        return read is after
    same = read is after or (read.content_hash is not None and read.content_hash == after.content_hash)
    return same and not is_open


def _by_node(tx: Transaction) -> dict[str, dict[str, standings.StoredPartitionState]]:
    results: dict[str, dict[str, standings.StoredPartitionState]] = {}
    for state in standings.standings(tx):
        results.setdefault(state.node, {})[state.partition] = state
    return results
