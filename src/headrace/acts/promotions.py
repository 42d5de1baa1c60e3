"""Partitions built in environments: production publishes copies of them instead of computing them.

They are found for a plan, copied into production's lake, and published by `apply`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from headrace.acts.command_context import CommandContext
from headrace.lake import catalog
from headrace.lake.reading import absolute
from headrace.model import LakeError, StoreError
from headrace.model.partitions import order_of
from headrace.model.settings import PRODUCTION
from headrace.plan import Compiled
from headrace.plan.steps import PartitionRangeSummary, Promote
from headrace.project.session import ProjectSession
from headrace.responses import PromotedRow
from headrace.runtime.promotion import (
    Offer,
    Offers,
    PendingPromotion,
    Publisher,
    make_durable,
    promotion_events,
)
from headrace.runtime.promotion_copies import CopyRequest, Job, PartitionCopy, copy_in_process
from headrace.store import Store, Transaction


def find_offers(
    session: ProjectSession, compiled: Compiled, changed: Collection[str]
) -> dict[str, list[Offer]]:
    """Return environment → partitions built there that production needn't compute for `compiled`.

    All partitions of `changed` nodes are to be computed. Empty if production has published nothing
    yet; environments with an unreadable state are skipped.
    """
    results: dict[str, list[Offer]] = {}
    if session.env != PRODUCTION or session.store is None:
        return results
    offered_partitions: set[tuple[str, str]] = set()
    for name in sorted(session.settings.environments):
        with _opened(session, name) as theirs, session.store.read() as tx:
            every = (
                Offers(tx, theirs, name, compiled, changed).collect() if theirs is not None else []
            )
        if every and not offered_partitions & {(offer.node, offer.key) for offer in every}:
            results[name] = every
            offered_partitions |= {(offer.node, offer.key) for offer in every}
    return results


def promoted_rows(results: dict[str, list[Offer]]) -> list[PromotedRow]:
    """Return the number of offered partitions per environment and node."""
    counted: dict[tuple[str, str], int] = {}
    for environment, offers in results.items():
        for offer in offers:
            counted[environment, offer.node] = counted.get((environment, offer.node), 0) + 1
    return [
        PromotedRow(environment=environment, node=node, partitions=n)
        for (environment, node), n in counted.items()
    ]


def promotion_steps(compiled: Compiled, results: dict[str, list[Offer]]) -> list[Promote]:
    """Return the offers as steps of a plan: the first and the last partition of each node."""
    offered: dict[tuple[str, str], list[str]] = {}
    for environment, offers in results.items():
        for offer in offers:
            offered.setdefault((environment, offer.node), []).append(offer.key)
    return [
        Promote(node=node, environment=environment, range=_range(compiled, node, keys))
        for (environment, node), keys in offered.items()
    ]


def _range(compiled: Compiled, node: str, keys: list[str]) -> PartitionRangeSummary:
    declared_node = compiled.project.sources.get(node) or compiled.project.assets[node]
    zone = declared_node.timezone or compiled.project.settings.timezone
    inside = sorted(keys, key=lambda key: order_of(key, declared_node.partition, zone))
    return PartitionRangeSummary(first=inside[0], last=inside[-1], partitions=len(inside))


def stage_offers(
    session: ProjectSession, results: dict[str, list[Offer]]
) -> tuple[PendingPromotion, ...]:
    """Copy the offered rows into production's lake, staged and not registered.

    Raise LakeError on failure.
    """
    return tuple(_prepared(session, name, offers) for name, offers in results.items())


def promote(context: CommandContext, promotions: Collection[PendingPromotion]) -> list[PromotedRow]:
    """Publish the copies that production would still compute; production computes the rest."""
    done: list[PromotedRow] = []
    for promotion in promotions:
        try:
            published_counts = _promote(context, promotion)
        except (LakeError, StoreError) as error:
            context.progress.note(
                f"what {promotion.environment} has built isn't taken over: {error}"
            )
            continue
        done += [
            PromotedRow(environment=promotion.environment, node=node, partitions=count)
            for node, count in published_counts.items()
        ]
    return done


def _promote(context: CommandContext, promotion: PendingPromotion) -> dict[str, int]:
    make_durable(context.session.folders, promotion)
    leader = context.leader()
    applied, published_counts = leader.applied, {}
    with _opened(context.session, promotion.environment) as theirs:
        if theirs is None:
            return {}
        with context.store.read() as tx:
            offers = Offers(tx, theirs, promotion.environment, applied.compiled, ()).collect(
                promotion.partitions
            )
            still = promotion.offered(offers)
            event = promotion_events(tx, still)

        def publish(tx: Transaction, now: int) -> None:
            publisher = Publisher(
                tx,
                theirs,
                epoch=context.held.lease.epoch,
                version=applied.id,
                actor=context.actor,
                now=now,
            )
            published_counts.update(publisher.publish(still, offers))
            leader.took_over(tx, published_counts)

        if still.jobs:
            leader.tell(event, write=publish)
            leader.settle()
    return published_counts


def _prepared(session: ProjectSession, name: str, offers: list[Offer]) -> PendingPromotion:
    there = ProjectSession(session.root, name, None, session.actor)
    lake = there.folders.lake
    with _opened(session, name) as theirs, session.existing_store.read() as tx:
        jobs = tuple(_jobs(tx, theirs, there, offers)) if theirs is not None else ()
    answer = copy_in_process(CopyRequest(str(session.folders.lake), str(lake), jobs))
    return PendingPromotion(name, answer.jobs)


def _jobs(
    tx: Transaction, theirs: Transaction, there: ProjectSession, offers: list[Offer]
) -> Iterator[Job]:
    """Yield one copy job per node, in the order of the offers."""
    assert there.compiled is not None, "what it built was applied there"
    lake, project = there.folders.lake, there.compiled.project
    by_node: dict[str, list[Offer]] = {}
    for offer in offers:
        by_node.setdefault(offer.node, []).append(offer)
    for node, results in by_node.items():
        built = catalog.table(theirs, node)
        if built is None:
            continue
        parts = tuple(
            PartitionCopy(
                key=offer.key,
                publication=offer.publication.id,
                rows=offer.publication.rows,
                content_hash=offer.publication.content_hash,
                files=(
                    absolute(catalog.files(theirs, node, [offer.key]), lake)
                    if offer.publication.rows
                    else ()
                ),
            )
            for offer in results
        )
        keys = [offer.key for offer in results]
        shared, others = (
            tuple(catalog.shared_files(tx, node, keys, retyped=every)) for every in (False, True)
        )
        zone = project.timezone_of(node)
        yield Job(node, built.columns, catalog.table(tx, node), parts, shared, others, zone)


@contextmanager
def _opened(session: ProjectSession, name: str) -> Iterator[Transaction | None]:
    """Open an environment's state for reading; None if it is missing or unreadable."""
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
