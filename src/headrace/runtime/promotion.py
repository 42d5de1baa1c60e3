"""Promotion: publish an environment's partitions in production instead of recomputing them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake.catalog import CatalogChange
from headrace.lake.files import sync, verify
from headrace.model import Asset, InputMode, InputSpec, LakeError
from headrace.plan import Compiled
from headrace.plan.backfills import plan_of_attempt
from headrace.plan.comparison import borrowed
from headrace.plan.compiled import expand_view_names, expand_views
from headrace.runtime.applied_versions import AppliedVersion
from headrace.runtime.folders import Folders
from headrace.runtime.promotion_copies import CopiedJob, CopiedPart
from headrace.runtime.publishing import HEADRACE
from headrace.runtime.table_writes import write_partitions
from headrace.runtime.tasks.inputs import wanted_of
from headrace.runtime.tasks.lookup import TaskLookup
from headrace.scheduler import AttemptId, Promoted
from headrace.security.audit import Action, Actor, AuditEvent, Object, append_all
from headrace.store import Transaction
from headrace.store.queries import (
    applied_versions,
    environments,
    leader_writes,
    partition_states,
    publications,
    quality,
)
from headrace.store.queries.leader_writes import PublicationRecord
from headrace.store.queries.publications import ComparedPublication

# Partitions of an environment that may be published in production unchanged: same code, same
# checks, same inputs. Inputs are compared publication by publication: the inputs that the
# environment's attempt read, from production and from the environment, must have the content that
# readers of production see after the promotion. Partitions that can't be shown to be the same are
# computed, as they would be without an environment.

PROMOTED = ("table", "append")
"""Materialisations with independent partitions: a merge builds on production's earlier rows."""
_CLOSED = ("running", "withdrawn", "waived")
"""States of a partition in which nothing is promoted to it."""


class Offer(msgspec.Struct, frozen=True):
    """An environment's publication of a partition that production needn't compute."""

    node: str
    key: str
    publication: ComparedPublication


class Histories:
    """The publications in one store, by node."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._found: dict[str, dict[str, list[ComparedPublication]]] = {}

    def of(self, node: str) -> Mapping[str, list[ComparedPublication]]:
        """Return partition → its publications, oldest first."""
        known = self._found.get(node)
        if known is None:
            known = self._found[node] = {}
            for publication in publications.history_of(self._tx, node):
                known.setdefault(publication.partition, []).append(publication)
        return known

    def at(self, node: str, key: str, snapshot: int) -> ComparedPublication | None:
        """Return the publication of a partition that a reader of a snapshot sees."""
        for publication in reversed(self.of(node).get(key, ())):
            if publication.snapshot <= snapshot:
                return (
                    publication
                    if publication.ended_snapshot is None or publication.ended_snapshot > snapshot
                    else None
                )
        return None

    def current(self, node: str, key: str) -> ComparedPublication | None:
        """Return the publication of a partition that readers see."""
        newest = self.of(node).get(key)
        return newest[-1] if newest and newest[-1].ended_snapshot is None else None


class Offers:
    """The partitions that the environment `name` offers to production.

    `theirs` reads the environment's state, `tx` production's, which is going to run `compiled`. All
    partitions of `changed` nodes are about to become stale there.
    """

    def __init__(
        self,
        tx: Transaction,
        theirs: Transaction,
        name: str,
        compiled: Compiled,
        changed: Collection[str],
    ) -> None:
        self.name, self._tx, self._theirs, self._compiled, self._changed = (
            name,
            tx,
            theirs,
            compiled,
            frozenset(changed),
        )
        self._production, self._own = Histories(tx), Histories(theirs)
        self._borrowed = environments.borrowed_nodes(theirs)
        self._lookup = TaskLookup(AppliedVersion(0, "", compiled), "")
        self._only: Collection[tuple[str, str, int]] | None = None
        self._taken: dict[str, dict[str, ComparedPublication]] = {}
        self._alike: dict[int, frozenset[str]] = {}
        self._whole: dict[tuple[str, int, int, int, int], bool] = {}

    def collect(self, only: Collection[tuple[str, str, int]] | None = None) -> list[Offer]:
        """Return everything that may be promoted, inputs first, sorted by partition.

        With `only`, just these (node, partition, the environment's publication).
        """
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
        audited_besides = asset.name in expand_view_names(self._compiled, checked)
        return (
            asset.materialize in PROMOTED
            and not asset.partition.by_delivery
            and not node.uses_self
            and not audited_besides
        )

    def _of(self, asset: Asset) -> Iterable[Offer]:
        reads, stale = (
            environments.recorded_reads(self._theirs, asset.name),
            self._stale_there.get(asset.name, frozenset()),
        )
        offered = self._taken.setdefault(asset.name, {})
        for key in sorted(self._own.of(asset.name)):
            publication = self._own.current(asset.name, key)
            if (
                publication is None
                or key in stale
                or (publication.epoch, publication.n) not in reads
                or not self._needed(asset.name, key)
            ):
                continue
            if self._only is not None and (asset.name, key, publication.id) not in self._only:
                continue
            if asset.name in self._same_as(publication.version) and self._reads_the_same(
                asset, publication, *reads[publication.epoch, publication.n]
            ):
                offered[key] = publication
                yield Offer(asset.name, key, publication)

    def _needed(self, node: str, key: str) -> bool:
        """Whether production would compute the partition."""
        state = self._states_before.get(node, {}).get(key)
        if state is None:
            return True
        return state.state not in _CLOSED and (
            state.stale or not state.published or node in self._changed or self._moves(node)
        )

    def _moves(self, node: str) -> bool:
        """Whether an input is promoted, which would make the node stale."""
        return any(
            self._taken.get(spec.node)
            for spec in expand_views(self._compiled, self._compiled.nodes[node].inputs)
        )

    @cached_property
    def _states_before(self) -> dict[str, dict[str, partition_states.StoredPartitionState]]:
        return _by_node(self._tx)

    @cached_property
    def _stale_there(self) -> dict[str, frozenset[str]]:
        results = _by_node(self._theirs)
        return {
            node: frozenset(key for key, state in keys.items() if state.stale)
            for node, keys in results.items()
        }

    def _same_as(self, version: int) -> frozenset[str]:
        """Return the nodes with the same data and checks in an environment's version.

        Everything that they read is the same, too.
        """
        known = self._alike.get(version)
        if known is None:
            row = applied_versions.get(self._theirs, version)
            there = None if row is None else msgspec.msgpack.decode(row.compiled, type=Compiled)
            known = self._alike[version] = borrowed(there, self._compiled)
        return known

    def _reads_the_same(
        self, asset: Asset, publication: ComparedPublication, own_snapshot: int, production: int
    ) -> bool:
        node = self._compiled.nodes[asset.name]
        place = asset.place
        checks = [
            InputSpec(node=name, mode=InputMode.ALL, place=place) for name in node.check_references
        ]
        for spec in expand_views(self._compiled, (*node.inputs, *checks)):
            snapshot = production if spec.node in self._borrowed else own_snapshot
            required_keys = (
                None
                if spec.mode is InputMode.ALL
                else wanted_of(self._lookup, self._tx, asset, spec, (publication.partition,))
            )
            if not (
                self._whole_same(spec.node, snapshot, publication)
                if required_keys is None
                else self._same(spec.node, required_keys, snapshot, publication)
            ):
                return False
        return True

    def _whole_same(self, node: str, snapshot: int, by: ComparedPublication) -> bool:
        done = (
            node,
            snapshot,
            len(self._taken.get(node, ())),
            plan_of_attempt(AttemptId(by.epoch, by.n)),
            by.snapshot,
        )
        if done not in self._whole:
            self._whole[done] = self._same(
                node, {*self._production.of(node), *self._read(node).of(node)}, snapshot, by
            )
        return self._whole[done]

    def _same(self, node: str, keys: Iterable[str], snapshot: int, by: ComparedPublication) -> bool:
        """Whether `by` read the partitions that readers of production see after the promotion.

        `snapshot` is the one that `by` read.
        """
        return all(
            _alike(
                self._seen(node, key, snapshot, by),
                self._after(node, key),
                self._is_open(node, key),
            )
            for key in keys
        )

    def _seen(
        self, node: str, key: str, snapshot: int, by: ComparedPublication
    ) -> ComparedPublication | None:
        """Return the publication of a partition that `by` was computed from.

        A backfill's attempts read its staged partitions, which became visible together with their
        own.
        """
        read = self._read(node)
        current, plan = read.current(node, key), plan_of_attempt(AttemptId(by.epoch, by.n))
        together = (
            current is not None
            and plan > 0
            and plan == plan_of_attempt(AttemptId(current.epoch, current.n))
        )
        if (
            current is not None
            and together
            and node not in self._borrowed
            and current.snapshot == by.snapshot
        ):
            return current
        return read.at(node, key, snapshot)

    def _read(self, node: str) -> Histories:
        """Return the store from which the environment reads a node."""
        return self._production if node in self._borrowed else self._own

    def _after(self, node: str, key: str) -> ComparedPublication | None:
        """Return the publication that readers of production see after the promotion."""
        return self._taken.get(node, {}).get(key) or self._production.current(node, key)

    def _is_open(self, node: str, key: str) -> bool:
        """Whether production will recompute a partition that the environment has computed."""
        if node in self._borrowed or key in self._taken.get(node, {}):
            return False
        state = self._states_before.get(node, {}).get(key)
        return node in self._changed or (state is not None and state.stale)


def _alike(
    read: ComparedPublication | None, after: ComparedPublication | None, is_open: bool
) -> bool:
    if read is None or after is None:
        return read is after
    same = read is after or (
        read.content_hash is not None and read.content_hash == after.content_hash
    )
    return same and not is_open


def _by_node(tx: Transaction) -> dict[str, dict[str, partition_states.StoredPartitionState]]:
    results: dict[str, dict[str, partition_states.StoredPartitionState]] = {}
    for state in partition_states.stored_states(tx):
        results.setdefault(state.node, {})[state.partition] = state
    return results


# Publishes the offered partitions in one transaction, as one snapshot. Their rows were copied
# before (`runtime.promotion_copies`).


class PendingPromotion(msgspec.Struct, frozen=True):
    """The copied partitions of an environment that wait in production's lake to be published."""

    environment: str
    jobs: tuple[CopiedJob, ...]

    @property
    def partitions(self) -> frozenset[tuple[str, str, int]]:
        """(node, partition, the environment's publication) of all copied partitions."""
        return frozenset(
            (job.node, part.key, part.publication) for job in self.jobs for part in job.parts
        )

    def offered(self, offers: Sequence[Offer]) -> PendingPromotion:
        """Return the copied partitions that are still offered.

        Raises LakeError if only a part of a table is, and it can't be published in parts.
        """
        left = {(offer.node, offer.key) for offer in offers}
        jobs = []
        for job in self.jobs:
            parts = tuple(part for part in job.parts if (job.node, part.key) in left)
            if job.rewritten and 0 < len(parts) < len(job.parts):
                raise LakeError(f"what was copied of {job.node} isn't offered as a whole any more")
            if parts:
                jobs.append(msgspec.structs.replace(job, parts=parts))
        return msgspec.structs.replace(self, jobs=tuple(jobs))


def promotion_events(tx: Transaction, promotion: PendingPromotion) -> Promoted:
    """Return the core's event of a promotion about to be published.

    It has the same publication numbers that `Publisher` assigns.
    """
    contents = tuple(
        (
            job.node,
            part.key,
            not _identical(leader_writes.published_of(tx, job.node, part.key), part),
        )
        for job in promotion.jobs
        for part in job.parts
    )
    first = publications.last_id(tx) + 1
    return Promoted(contents, tuple(range(first, first + len(contents))))


def _identical(before: tuple[int, str | None, str | None] | None, part: CopiedPart) -> bool:
    return before is not None and part.content_hash is not None and before[1] == part.content_hash


class Publisher:
    """Publishes the offered partitions of one promotion.

    `tx` is production's transaction, `theirs` reads the environment's state.
    """

    def __init__(
        self,
        tx: Transaction,
        theirs: Transaction,
        *,
        epoch: int,
        version: int,
        actor: Actor,
        now: int,
    ) -> None:
        self._tx, self._theirs, self._epoch, self._version, self._actor, self._now = (
            tx,
            theirs,
            epoch,
            version,
            actor,
            now,
        )
        self._rows: list[PublicationRecord] = []
        self._events: list[AuditEvent] = []
        self._next = publications.last_id(tx)

    def publish(self, promotion: PendingPromotion, offers: Sequence[Offer]) -> dict[str, int]:
        """Publish the partitions; return their number by node.

        Raises TableMoved, FileMoved, NeedsRewrite or LakeError if production's tables have changed
        since the rows were copied; the transaction must not be committed then.
        """
        offered = {(offer.node, offer.key): offer.publication for offer in offers}
        change = CatalogChange.begin(self._tx, self._now)
        request = msgspec.json.encode({"environment": promotion.environment}).decode()
        run = leader_writes.start_run(
            self._tx, kind="promotion", request=request, actor=self._actor.id, now=self._now
        )
        counts = {}
        for job in promotion.jobs:
            counts[job.node] = len(job.parts)
            self._register(change, job)
            self._job(promotion.environment, run, job, offered)
        snapshot = change.finish(
            author=self._actor.id, message=f"promote from {promotion.environment}"
        )
        reached(FaultPoint.ENVIRONMENT_PROMOTED)
        leader_writes.publish(
            self._tx, [msgspec.structs.replace(row, snapshot=snapshot) for row in self._rows]
        )
        applied_versions.reshaped(self._tx, counts)
        leader_writes.finish_run(self._tx, run, "succeeded", self._now)
        append_all(
            self._tx, self._now, [self._event(promotion.environment, run, counts), *self._events]
        )
        return counts

    def _register(self, change: CatalogChange, job: CopiedJob) -> None:
        keys, staged = [part.key for part in job.parts], [part.staged for part in job.parts]
        write_partitions(self._tx, change, job.node, keys, staged, job.rewritten, job.table)

    def _job(
        self,
        environment: str,
        run: int,
        job: CopiedJob,
        offered: dict[tuple[str, str], ComparedPublication],
    ) -> None:
        node, parts = job.node, job.parts
        keys, reason = (
            [part.key for part in parts],
            f"built in {environment}, published as it was audited there",
        )
        n = environments.add_promotion(
            self._tx,
            epoch=self._epoch,
            run_id=run,
            node=node,
            keys=keys,
            version=self._version,
            reason=reason,
            now=self._now,
        )
        for part in parts:
            self._publication(node, n, part, offered[node, part.key])
        verdicts = {offered[node, key].verdict for key in keys}
        environments.mark_verdicts(
            self._tx, [(verdicts.pop() if len(verdicts) == 1 else "warned", self._epoch, n)]
        )
        self._events.append(
            AuditEvent(
                action=Action.PARTITION_PUBLISHED,
                actor=HEADRACE,
                object=Object(
                    "partition",
                    f"{node}@{keys[0]}" if len(keys) == 1 else node,
                    f"{self._epoch}.{n}",
                ),
                after={
                    "promoted_from": environment,
                    "partitions": len(keys),
                    "rows": sum(part.staged.rows for part in parts),
                },
                run_id=str(run),
            )
        )

    def _publication(
        self, node: str, n: int, part: CopiedPart, theirs: ComparedPublication
    ) -> None:
        before = leader_writes.published_of(self._tx, node, part.key)
        self._next += 1
        self._rows.append(
            PublicationRecord(
                id=self._next,
                node=node,
                partition=part.key,
                epoch=self._epoch,
                n=n,
                snapshot=0,
                published_at=self._now,
                rows=part.staged.rows,
                size_bytes=part.staged.size_bytes,
                verdict=theirs.verdict,
                content_hash=part.content_hash,
                identical=_identical(before, part),
                version=self._version,
                delivery_id=None,
                manifest=None,
            )
        )
        head = (self._epoch, n, node, part.key)
        checks = environments.checks_of(self._theirs, theirs.epoch, theirs.n, node, part.key)
        leader_writes.write_checks(self._tx, [(*head, *row, self._now) for row in checks])
        profile = environments.profile_of(self._theirs, theirs.epoch, theirs.n, part.key)
        if profile is not None:
            leader_writes.write_profiles(self._tx, [(*head, profile)])
        vector = quality.metrics_of_attempt(self._theirs, theirs.epoch, theirs.n, part.key)
        if vector is not None:
            quality.write_metrics(self._tx, [(*head, vector)])

    def _event(self, environment: str, run: int, counts: dict[str, int]) -> AuditEvent:
        return AuditEvent(
            action=Action.ENVIRONMENT_PROMOTED,
            actor=self._actor,
            object=Object("environment", environment),
            after={"partitions": counts},
            run_id=str(run),
        )


def make_durable(folders: Folders, promotion: PendingPromotion) -> None:
    """Sync the copied files and verify their content. Raises LakeError."""
    files = [part.staged for job in promotion.jobs for part in job.parts]
    files += [
        file.staged for job in promotion.jobs for file in job.rewritten if file.staged is not None
    ]
    if files:
        sync([folders.lake / file.path for file in files])
    for file in files:
        verify(folders.lake, file)
