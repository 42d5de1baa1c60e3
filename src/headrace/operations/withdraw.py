"""`withdraw`: a publication is taken back; readers see nothing of its partition, and what was made of it is stale."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from headrace.model import Asset, Project, Refused, Source, UsageError
from headrace.observe.declared_promises import declared_promises
from headrace.observe.facts import StoredFacts
from headrace.observe.obligations import EvaluationContext
from headrace.observe.persist import settle
from headrace.operations import reasons, targets
from headrace.operations.interventions import StalePartitionsRow, WithdrawResponse
from headrace.operations.judging import judge_now
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.run import taking_back
from headrace.run.messages import RewrittenFile
from headrace.run.rewriting import rewritten
from headrace.run.taking_back import RewriteOutdated
from headrace.schedule import TakenBack
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import partitions, publications
from headrace.store.queries.publications import Publication

TRIES = 5
"""So often the files that others share are rewritten anew, where the table moved on meanwhile."""

REFUSED = {
    "view": ("is a view: it has no data of its own", "withdraw what it reads"),
    "none": ("publishes no data: what it did outside can't be undone here", "headrace run {name} --again --reason TEXT does it again"),
    "merge": ("is merged partition over partition: later ones stand on this one",
              "correct its input, then: headrace run {name} --partition {key} --again --reason TEXT"),
    "snapshot": ("keeps a history in which later partitions stand on this one",
                 "correct its input, then: headrace run {name} --partition {key} --again --reason TEXT"),
}  # fmt: skip
"""Materialisations of which a partition can't be taken out, why, and what to do."""


class WithdrawArguments(msgspec.Struct, frozen=True):
    """What was typed, and the files that others share with the partition, rewritten without it."""

    node: str
    key: str
    reason: str
    rewritten: tuple[RewrittenFile, ...] = ()


def withdraw(session: ProjectSession, target: str, *, reason: str | None, progress: Progress) -> WithdrawResponse:
    """Take back what is published of one partition.

    Refused without a reason, and for a materialisation of which a partition can't be taken out; UsageError for a partition that
    isn't published."""
    text = reasons.given(reason, "withdraw", "readers lose data that they could read")
    for attempt in range(TRIES):
        arguments = _prepared(session, target, text)
        try:
            return perform(session, "withdraw", arguments, progress)  # type: ignore[no-any-return]
        except RewriteOutdated:
            taking_back.discard(session.folders, arguments.rewritten)
            if attempt == TRIES - 1:
                raise
    raise AssertionError


def _prepared(session: ProjectSession, target: str, reason: str) -> WithdrawArguments:
    node, key = _partition(session.project(), target)
    if session.store is None:
        raise _unpublished(node, key)
    if node in session.borrowed:
        raise Refused(f"{node} is read from production in this environment", hint="withdraw it there: without --env")
    with session.store.read() as tx:
        if publications.current(tx, node, key) is None:
            raise _unpublished(node, key)
        table, files = taking_back.shared(tx, node, key)
    rewritten_files = rewritten(session.folders.lake, table, files, [key]) if table is not None and files else ()
    return WithdrawArguments(node, key, reason, rewritten_files)


@leader_command("withdraw", WithdrawArguments, WithdrawResponse)
def _withdraw(context: CommandContext, arguments: WithdrawArguments, progress: Progress) -> WithdrawResponse:
    applied = context.applied()
    if applied is None:
        raise _unpublished(arguments.node, arguments.key)
    if context.held.production is not None:
        context.leader(progress)  # what is read from production isn't in this store alone
    order = taking_back.UnpublishRequest(arguments.node, arguments.key, arguments.reason, context.actor.id, arguments.rewritten)
    below = _downstream(applied.compiled, arguments.node)
    told: list[tuple[int, Publication]] = []

    def write(tx: Transaction, now: int) -> None:
        publication = publications.current(tx, order.node, order.key)
        if publication is None:
            raise _unpublished(order.node, order.key)
        settle(tx, EvaluationContext(declared_promises(applied.compiled), StoredFacts(tx)), now)  # what was met until now stays known
        told.append((taking_back.take_back(tx, order, publication, context.actor, now), publication))
        if context.working is None:
            taking_back.tell_nobody(tx, applied, order, context.held.lease.epoch, now)
            judge_now(tx, context.session, applied, now)

    before = _stale(context, below)
    context.tell(TakenBack(order.node, order.key, order.said), write=write)
    if context.working is not None:
        context.working.settle()
    snapshot, publication = told[0]
    return _response(
        context, order, snapshot, publication, _newly(before, _stale(context, below)), _readers(applied.compiled.project, order.node)
    )


def _response(
    context: CommandContext,
    order: taking_back.UnpublishRequest,
    snapshot: int,
    publication: Publication,
    stale: list[StalePartitionsRow],
    readers: list[str],
) -> WithdrawResponse:
    return WithdrawResponse(
        now=context.now(), clock=context.clock.kind, asset=order.node, partition=order.key, state="withdrawn", rows=publication.rows,
        snapshot=snapshot, published_at=instant(publication.published_at).astimezone(context.session.zone), reason=order.reason,
        stale=stale, consumers=readers,
    )  # fmt: skip


def _partition(project: Project, text: str) -> tuple[str, str]:
    name, key = targets.target(text, project)
    node = project.node(name)
    assert isinstance(node, Source | Asset)
    if key is None and not node.partition.whole:
        raise UsageError(f"{name} is partitioned: which partition is to be unpublished?", hint=f"headrace withdraw {name}@K --reason TEXT")
    if isinstance(node, Asset) and node.materialize in REFUSED:
        why, hint = REFUSED[node.materialize]
        raise Refused(f"{name} {why}", hint=hint.format(name=name, key=key or "*"))
    return name, key or "*"


def _unpublished(node: str, key: str) -> UsageError:
    return UsageError(f"{node}@{key} isn't published: readers see nothing of it", hint=f"headrace read {node} shows what they see")


def _downstream(compiled: Compiled, node: str) -> list[str]:
    """What is made of a node, directly or not; exports of it too."""
    results = {node}
    for name in compiled.order:
        if results & {spec.node for spec in compiled.nodes[name].inputs}:
            results.add(name)
    assets = [name for name in compiled.order if name in results and name != node]
    return [*assets, *(name for name, consumer in compiled.project.consumers.items() if results & set(consumer.reads))]


def _readers(project: Project, node: str) -> list[str]:
    return sorted(name for name, consumer in project.consumers.items() if node in consumer.reads)


def _stale(context: CommandContext, nodes: Iterable[str]) -> dict[str, list[str]]:
    with context.store.read() as tx:
        return {name: partitions.stale_keys(tx, name) for name in nodes}


def _newly(before: dict[str, list[str]], after: dict[str, Collection[str]] | dict[str, list[str]]) -> list[StalePartitionsRow]:
    rows = [StalePartitionsRow(node=name, partitions=[key for key in keys if key not in before[name]]) for name, keys in after.items()]
    return [row for row in rows if row.partitions]
