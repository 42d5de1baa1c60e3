"""What an environment has built becomes visible in production: one transaction, as one snapshot, nothing computed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.govern.audit import Action, Actor, AuditEvent, Object, append_all
from headrace.lake.catalog import CatalogChange, Rewrite
from headrace.lake.syncing import sync, verify
from headrace.model import LakeError
from headrace.run.folders import Folders
from headrace.run.promotion.copying import CopiedJob, CopiedPart
from headrace.run.promotion.offers import Offer
from headrace.run.steps.publish import HEADRACE
from headrace.schedule import Promoted
from headrace.store import Transaction
from headrace.store.queries import applying, leading, metrics, promoting
from headrace.store.queries.leading import PublicationRecord
from headrace.store.queries.publications import ComparedPublication


class PendingPromotion(msgspec.Struct, frozen=True):
    """What of an environment lies in production's lake, and waits to be published."""

    environment: str
    jobs: tuple[CopiedJob, ...]

    @property
    def partitions(self) -> frozenset[tuple[str, str, int]]:
        """(node, partition, the environment's publication) of all of it."""
        return frozenset((job.node, part.key, part.publication) for job in self.jobs for part in job.parts)

    def offered(self, offers: Sequence[Offer]) -> PendingPromotion:
        """What of it is still offered. Raises LakeError where a table can't be published in parts."""
        left = {(offer.node, offer.key) for offer in offers}
        jobs = []
        for job in self.jobs:
            parts = tuple(part for part in job.parts if (job.node, part.key) in left)
            if job.rewritten and 0 < len(parts) < len(job.parts):
                raise LakeError(f"what was copied of {job.node} isn't offered as a whole any more")
            if parts:
                jobs.append(msgspec.structs.replace(job, parts=parts))
        return msgspec.structs.replace(self, jobs=tuple(jobs))


def told(tx: Transaction, promotion: PendingPromotion) -> Promoted:
    """What the core is told of a promotion that is about to be published: the same numbers that `Publisher` gives."""
    contents = tuple(
        (job.node, part.key, not _identical(leading.published_of(tx, job.node, part.key), part))
        for job in promotion.jobs
        for part in job.parts
    )
    first = leading.last_publication_id(tx) + 1
    return Promoted(contents, tuple(range(first, first + len(contents))))


def _identical(before: tuple[int, str | None, str | None] | None, part: CopiedPart) -> bool:
    return before is not None and part.content_hash is not None and before[1] == part.content_hash


class Publisher:
    """Publishes what is offered of one promotion. `tx` is production's transaction, `theirs` reads the environment's state."""

    def __init__(self, tx: Transaction, theirs: Transaction, *, epoch: int, version: int, actor: Actor, now: int) -> None:
        self._tx, self._theirs, self._epoch, self._version, self._actor, self._now = tx, theirs, epoch, version, actor, now
        self._rows: list[PublicationRecord] = []
        self._events: list[AuditEvent] = []
        self._next = leading.last_publication_id(tx)

    def publish(self, promotion: PendingPromotion, offers: Sequence[Offer]) -> dict[str, int]:
        """How many partitions of each node that is. Raises TableMoved, FileMoved, NeedsRewrite or LakeError where production's tables
        aren't as they were when the rows were copied; then nothing of it may be committed."""
        offered = {(offer.node, offer.key): offer.publication for offer in offers}
        change = CatalogChange.begin(self._tx, self._now)
        request = msgspec.json.encode({"environment": promotion.environment}).decode()
        run = leading.start_run(self._tx, kind="promotion", request=request, actor=self._actor.id, now=self._now)
        counts = {}
        for job in promotion.jobs:
            counts[job.node] = len(job.parts)
            self._register(change, job)
            self._job(promotion.environment, run, job, offered)
        snapshot = change.finish(author=self._actor.id, message=f"promote from {promotion.environment}")
        reached(FaultPoint.ENVIRONMENT_PROMOTED)
        leading.publish(self._tx, [msgspec.structs.replace(row, snapshot=snapshot) for row in self._rows])
        applying.reshaped(self._tx, counts)
        leading.finish_run(self._tx, run, "succeeded", self._now)
        append_all(self._tx, self._now, [self._event(promotion.environment, run, counts), *self._events])
        return counts

    def _register(self, change: CatalogChange, job: CopiedJob) -> None:
        if change.table(job.node) is None:
            change.create_table(job.table)
        else:
            change.evolve_table(job.table)
        rewrites = [Rewrite(file.path, file.staged) for file in job.rewritten]
        change.replace(job.node, [part.key for part in job.parts], [part.staged for part in job.parts], rewrites=rewrites)

    def _job(self, environment: str, run: int, job: CopiedJob, offered: dict[tuple[str, str], ComparedPublication]) -> None:
        node, parts = job.node, job.parts
        keys, reason = [part.key for part in parts], f"built in {environment}, published as it was audited there"
        n = promoting.add_attempt(
            self._tx, epoch=self._epoch, run_id=run, node=node, keys=keys, version=self._version, reason=reason, now=self._now
        )
        for part in parts:
            self._publication(node, n, part, offered[node, part.key])
        verdicts = {offered[node, key].verdict for key in keys}
        promoting.mark_verdicts(self._tx, [(verdicts.pop() if len(verdicts) == 1 else "warned", self._epoch, n)])
        self._events.append(
            AuditEvent(
                action=Action.PARTITION_PUBLISHED,
                actor=HEADRACE,
                object=Object("partition", f"{node}@{keys[0]}" if len(keys) == 1 else node, f"{self._epoch}.{n}"),
                after={"promoted_from": environment, "partitions": len(keys), "rows": sum(part.staged.rows for part in parts)},
                run_id=str(run),
            )
        )

    def _publication(self, node: str, n: int, part: CopiedPart, theirs: ComparedPublication) -> None:
        before = leading.published_of(self._tx, node, part.key)
        self._next += 1
        self._rows.append(
            PublicationRecord(
                id=self._next, node=node, partition=part.key, epoch=self._epoch, n=n, snapshot=0, published_at=self._now,
                rows=part.staged.rows, size_bytes=part.staged.size_bytes, verdict=theirs.verdict, content_hash=part.content_hash,
                identical=_identical(before, part), version=self._version, delivery_id=None, manifest=None,
            )
        )  # fmt: skip
        head = (self._epoch, n, node, part.key)
        checks = promoting.checks_of(self._theirs, theirs.epoch, theirs.n, node, part.key)
        leading.write_checks(self._tx, [(*head, *row, self._now) for row in checks])
        profile = promoting.profile_of(self._theirs, theirs.epoch, theirs.n, part.key)
        if profile is not None:
            leading.write_profiles(self._tx, [(*head, profile)])
        vector = metrics.of_attempt(self._theirs, theirs.epoch, theirs.n, part.key)
        if vector is not None:
            metrics.write(self._tx, [(*head, vector)])

    def _event(self, environment: str, run: int, counts: dict[str, int]) -> AuditEvent:
        return AuditEvent(
            action=Action.ENVIRONMENT_PROMOTED,
            actor=self._actor,
            object=Object("environment", environment),
            after={"partitions": counts},
            run_id=str(run),
        )


def make_durable(folders: Folders, promotion: PendingPromotion) -> None:
    """What was copied is on the disk, and is what was copied. Raises LakeError."""
    files = [part.staged for job in promotion.jobs for part in job.parts]
    files += [file.staged for job in promotion.jobs for file in job.rewritten if file.staged is not None]
    if files:
        sync([folders.lake / file.path for file in files])
    for file in files:
        verify(folders.lake, file)
