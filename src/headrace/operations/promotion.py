"""What environments have built, for `apply` in production: found, copied beside the lake, published instead of being computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.lake import catalog
from headrace.lake.querying import absolute
from headrace.model import LakeError, StoreError
from headrace.model.environments import PRODUCTION
from headrace.model.ordering import order_of
from headrace.operations.performing import CommandContext
from headrace.operations.progress import Progress
from headrace.operations.responses import PromotedRow
from headrace.operations.session import ProjectSession
from headrace.plan import ChangeKind, Compiled, NodeChange
from headrace.plan.steps import PartitionRangeSummary, Promote
from headrace.run.promotion.copying import CopyRequest, Job, PartitionCopy, copied
from headrace.run.promotion.offers import Offer, Offers
from headrace.run.promotion.publishing import PendingPromotion, Publisher, make_durable, told
from headrace.store import Store, Transaction


def stales(changes: Collection[NodeChange]) -> frozenset[str]:
    """The nodes of which everything that is published becomes stale by changes."""
    return frozenset(change.node for change in changes if change.stale or change.change is ChangeKind.ADDED)


def offered(session: ProjectSession, compiled: Compiled, changed: Collection[str]) -> dict[str, list[Offer]]:
    """Environment → what production needn't compute of what `compiled` asks for once it is applied; everything of `changed` nodes is
    stale then. Nothing where production hasn't published anything yet, or for an environment whose state can't be read."""
    results: dict[str, list[Offer]] = {}
    if session.env != PRODUCTION or session.store is None:
        return results
    taken: set[tuple[str, str]] = set()
    for name in sorted(session.settings.environments):
        with _opened(session, name) as theirs, session.store.read() as tx:
            every = Offers(tx, theirs, name, compiled, changed).found() if theirs is not None else []
        if every and not taken & {(offer.node, offer.key) for offer in every}:
            results[name] = every
            taken |= {(offer.node, offer.key) for offer in every}
    return results


def rows(results: dict[str, list[Offer]]) -> list[PromotedRow]:
    """How many partitions of what are offered by whom."""
    counted: dict[tuple[str, str], int] = {}
    for environment, offers in results.items():
        for offer in offers:
            counted[environment, offer.node] = counted.get((environment, offer.node), 0) + 1
    return [PromotedRow(environment=environment, node=node, partitions=n) for (environment, node), n in counted.items()]


def steps(compiled: Compiled, results: dict[str, list[Offer]]) -> list[Promote]:
    """The same as steps of a plan: from the first to the last partition of each node."""
    offered: dict[tuple[str, str], list[str]] = {}
    for environment, offers in results.items():
        for offer in offers:
            offered.setdefault((environment, offer.node), []).append(offer.key)
    return [
        Promote(node=node, environment=environment, range=_range(compiled, node, keys)) for (environment, node), keys in offered.items()
    ]


def _range(compiled: Compiled, node: str, keys: list[str]) -> PartitionRangeSummary:
    made = compiled.project.sources.get(node) or compiled.project.assets[node]
    zone = made.timezone or compiled.project.settings.timezone
    inside = sorted(keys, key=lambda key: order_of(key, made.partition, zone))
    return PartitionRangeSummary(first=inside[0], last=inside[-1], partitions=len(inside))


def prepared(session: ProjectSession, results: dict[str, list[Offer]]) -> tuple[PendingPromotion, ...]:
    """The rows of what is offered, in production's lake: staged, named by nothing. Raises LakeError."""
    return tuple(_prepared(session, name, offers) for name, offers in results.items())


def promote(context: CommandContext, promotions: Collection[PendingPromotion], progress: Progress) -> list[PromotedRow]:
    """Publish it, as far as it still is what production would compute. What can't be is computed, as it would be without."""
    done: list[PromotedRow] = []
    for promotion in promotions:
        try:
            made = _promote(context, promotion, progress)
        except (LakeError, StoreError) as error:
            progress.note(f"what {promotion.environment} has built isn't taken over: {error}")
            continue
        done += [PromotedRow(environment=promotion.environment, node=node, partitions=count) for node, count in made.items()]
    return done


def _promote(context: CommandContext, promotion: PendingPromotion, progress: Progress) -> dict[str, int]:
    make_durable(context.session.folders, promotion)
    leader = context.leader(progress)
    applied, made = leader.applied, {}
    with _opened(context.session, promotion.environment) as theirs:
        if theirs is None:
            return {}
        with context.store.read() as tx:
            offers = Offers(tx, theirs, promotion.environment, applied.compiled, ()).found(promotion.partitions)
            still = promotion.offered(offers)
            event = told(tx, still)

        def publish(tx: Transaction, now: int) -> None:
            publisher = Publisher(tx, theirs, epoch=context.held.lease.epoch, version=applied.id, actor=context.actor, now=now)
            made.update(publisher.publish(still, offers))
            leader.took_over(tx, made)

        if still.jobs:
            leader.tell(event, write=publish)
            leader.settle()
    return made


def _prepared(session: ProjectSession, name: str, offers: list[Offer]) -> PendingPromotion:
    assert session.store is not None
    there = ProjectSession(session.root, name, None, session.actor)
    lake = there.folders.lake
    with _opened(session, name) as theirs, session.store.read() as tx:
        jobs = tuple(_jobs(tx, theirs, lake, offers)) if theirs is not None else ()
    answer = copied(CopyRequest(str(session.folders.lake), str(lake), jobs))
    return PendingPromotion(name, answer.jobs)


def _jobs(tx: Transaction, theirs: Transaction, lake: Path, offers: list[Offer]) -> Iterator[Job]:
    """One job a node, in the order of the offers."""
    by_node: dict[str, list[Offer]] = {}
    for offer in offers:
        by_node.setdefault(offer.node, []).append(offer)
    for node, results in by_node.items():
        there = catalog.table(theirs, node)
        if there is None:
            continue
        parts = tuple(
            PartitionCopy(
                key=offer.key,
                publication=offer.publication.id,
                rows=offer.publication.rows,
                content_hash=offer.publication.content_hash,
                files=absolute(catalog.files(theirs, node, [offer.key]), lake) if offer.publication.rows else (),
            )
            for offer in results
        )
        shared = tuple(catalog.shared_files(tx, node, [offer.key for offer in results]))
        yield Job(node, there.columns, catalog.table(tx, node), parts, shared)


@contextmanager
def _opened(session: ProjectSession, name: str) -> Iterator[Transaction | None]:
    """An environment's state, to be read; None where there is none, or none that can be read."""
    there = ProjectSession(session.root, name, None, session.actor)
    try:
        store: Store | None = there.store
    except StoreError:
        store = None
    if store is None:
        yield None
        return
    try:
        with store.read() as tx:
            yield tx
    finally:
        there.close()
